"""An engine that types: 24-byte records over a socketpair, and a grab that can be refused."""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.engine.keyboard import EVIOCGRAB, RECORD, KeyboardEngine, grab_exclusively
from hal.engine.keymap import MODIFIERS, TYPED
from hal.errors import DeviceFault, DeviceUnavailable
from hal.scan_engine import MAX_PAYLOAD_BYTES, EngineCounts

CODE = b"NI1:6BFOXN*TS0BI$ZD+%./-ABC"
SYN, KEY = 0, 1
SHIFT, CONTROL, ALT, ENTER, A, CAPS = 42, 29, 56, 28, 30, 58
KEYS = {byte: key for key, byte in TYPED.items()}


def event(kind: int, code: int, value: int) -> bytes:
    return (
        RECORD.pack(1_700_000_000, 5, kind, code, value) if kind else RECORD.pack(0, 0, 0, code, 0)
    )


def stroke(code: int, *held: int) -> bytes:
    """Press a key with others held, and let go of all; a report after each."""
    downs = b"".join(event(KEY, each, 1) for each in (*held, code))
    ups = b"".join(event(KEY, each, 0) for each in (code, *reversed(held)))
    return downs + event(SYN, 0, 0) + ups + event(SYN, 0, 0)


def typed(data: bytes, *, end: bool = True) -> bytes:
    strokes = [stroke(code, *([SHIFT] if shift else [])) for code, shift in map(KEYS.get, data)]
    return b"".join(strokes) + stroke(ENTER) * end


class Desk:
    """A keyboard: what it types, and who has it."""

    def __init__(self) -> None:
        self.here, self.there = socket.socketpair()
        self.grabs: list[int] = []
        self.refuse: int | None = None
        self.opened: list[str] = []

    def open(self, port: str) -> int:
        self.opened.append(port)
        number = os.dup(self.there.fileno())
        os.set_blocking(number, False)
        return number

    def grab(self, number: int) -> None:
        if self.refuse is not None:
            raise OSError(self.refuse, os.strerror(self.refuse))
        self.grabs.append(number)

    def engine(self, clock, **options) -> KeyboardEngine:
        made = KeyboardEngine(
            "/dev/input/by-id/x-event-kbd", opened=self.open, grab=self.grab,
            clock_ns=clock.ns, sleep=clock.sleep, **options,
        )  # fmt: skip
        made.read(0.0)
        return made

    def type(self, data: bytes) -> None:
        self.here.sendall(data)

    def close(self) -> None:
        self.here.close()
        self.there.close()


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def rest(engine: KeyboardEngine, clock) -> None:
    """Let the keys rest for long enough."""
    clock.sleep(1.0)
    engine.read(0.0)


def test_a_record_has_24_bytes_where_a_long_has_64_bits():
    assert RECORD.size == (24 if struct.calcsize("l") == 8 else 16)


def test_what_is_typed_is_read(desk, clock):
    with desk.engine(clock) as engine:
        desk.type(typed(b"]Q1" + CODE))
        scan = engine.read(1.0)
    assert scan is not None
    assert (scan.data, scan.symbology) == (CODE, "Q1")
    assert desk.grabs


def test_every_printable_character_is_typed_by_one_key(desk, clock):
    printable = bytes(range(0x20, 0x7F))
    with desk.engine(clock, aim=False) as engine:
        desk.type(typed(printable))
        assert engine.read(1.0).data == printable


def test_records_may_come_in_pieces(desk, clock):
    stream = typed(b"]Q1" + CODE)
    with desk.engine(clock) as engine:
        found = []
        for at in range(0, len(stream), 37):
            desk.type(stream[at : at + 37])
            found.append(engine.read(0.0))
        assert [scan.data for scan in found if scan is not None] == [CODE]


GARBAGE = [
    ("a control code", typed(b"]Q1NI", end=False) + stroke(46, CONTROL) + typed(b"1:A")),
    ("alt and digits", typed(b"]Q1NI", end=False) + stroke(3, ALT) + typed(b"1:A")),
    ("control held over all", event(KEY, CONTROL, 1) + typed(b"]Q1NI1:A") + event(KEY, CONTROL, 0) + stroke(ENTER)),
    ("a key that types nothing", typed(b"]Q1NI", end=False) + stroke(59) + typed(b"1:A")),
    ("caps lock", stroke(CAPS) + typed(b"]Q1NI1:A")),
    ("events that were dropped", typed(b"]Q1NI", end=False) + event(SYN, 3, 0) + typed(b"1:A")),
]  # fmt: skip


@pytest.mark.parametrize("stream", [row[1] for row in GARBAGE], ids=[row[0] for row in GARBAGE])
def test_it_is_garbage_up_to_its_enter_and_runs_nothing(desk, clock, stream):
    with desk.engine(clock) as engine:
        desk.type(stream + typed(b"]Q1" + CODE))
        assert engine.read(1.0).data == CODE
        assert engine.counts == EngineCounts(scans=1, noise=1)


def test_repeats_and_other_events_type_nothing(desk, clock):
    with desk.engine(clock) as engine:
        desk.type(event(KEY, A, 2) + event(4, 4, 99) + event(2, 0, -5) + typed(b"]Q1" + CODE))
        assert engine.read(1.0).data == CODE


def test_a_lost_release_of_shift_is_over_when_the_keys_rest(desk, clock):
    with desk.engine(clock) as engine:
        desk.type(event(KEY, SHIFT, 1) + typed(b"]q", end=False))
        engine.read(0.0)
        rest(engine, clock)
        desk.type(typed(b"]Q1" + CODE))
        assert engine.read(1.0).data == CODE
        assert engine.counts == EngineCounts(scans=1, cut=1)


def test_a_payload_that_takes_too_long_is_passed_over(desk, clock):
    with desk.engine(clock, payload_s=2.0) as engine:
        for byte in b"]Q1" + CODE:
            desk.type(typed(bytes([byte]), end=False))
            engine.read(0.0)
            clock.sleep(0.3)
        desk.type(stroke(ENTER))
        assert engine.read(0.0) is None
        assert engine.counts == EngineCounts(overlong=1)


def test_what_was_typed_before_anybody_asked_is_not_handed_over(desk, clock):
    desk.type(typed(b"]Q1" + CODE))
    with desk.engine(clock) as engine:
        assert engine.read(0.0) is None


def test_it_is_not_used_where_it_cannot_be_had_alone(desk, clock):
    desk.refuse = errno.EBUSY
    with pytest.raises(DeviceUnavailable, match=r"cannot be had alone.*stop"):
        desk.engine(clock)


def test_the_real_grab_asks_the_kernel(desk):
    assert 1 << 30 | 4 << 16 | ord("E") << 8 | 0x90 == EVIOCGRAB
    with pytest.raises(OSError, match=r".") as refused:
        grab_exclusively(desk.there.fileno())
    assert refused.value.errno in {errno.ENOTTY, errno.EINVAL}


def test_a_keyboard_that_is_not_there():
    with pytest.raises(DeviceUnavailable, match=r"scan_engine\.port"):
        KeyboardEngine("/dev/input/by-id/none")


def test_one_that_is_pulled_out_is_a_fault(desk, clock):
    engine = desk.engine(clock)
    desk.here.close()
    with pytest.raises(DeviceFault, match="gone"):
        engine.read(1.0)
    engine.close()


def test_the_kernel_says_that_it_is_gone(desk, clock, monkeypatch):
    engine = desk.engine(clock)
    desk.type(stroke(A))

    def gone(_number: int, _size: int) -> bytes:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr("hal.engine.descriptor.os.read", gone)
    with pytest.raises(DeviceFault, match="No such device"):
        engine.read(1.0)
    monkeypatch.undo()
    engine.close()
    engine.close()


def test_closing_wakes_who_reads(desk):
    engine = KeyboardEngine("x", opened=desk.open, grab=desk.grab)
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(DeviceFault, match="closed"):
            engine.read(30.0)
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    engine.close()
    thread.join(5)
    assert ended.is_set()


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 255), st.integers(-1, 3)), max_size=150)
)
def test_whatever_is_pressed_memory_is_bounded_and_the_next_code_is_read(events):
    class Still:
        now = 0

        def ns(self) -> int:
            return self.now

        def sleep(self, seconds: float) -> None:
            self.now += round(seconds * 1e9)

    desk, still = Desk(), Still()
    try:
        with desk.engine(still) as engine:
            desk.type(b"".join(RECORD.pack(0, 0, *each) for each in events))
            while (scan := engine.read(0.0)) is not None:
                assert len(scan.data) <= MAX_PAYLOAD_BYTES
            rest(engine, still)
            desk.type(typed(b"]Q1" + CODE))
            assert engine.read(0.0).data == CODE
    finally:
        desk.close()


def test_modifiers_are_no_keys_that_type():
    assert not {code for code, _ in TYPED} & MODIFIERS
