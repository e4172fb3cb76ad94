"""The engine's loop before a whole controller: what one showing of a code comes to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.controller.engine import DECODER, READ_S, EngineLoop
from agent.controller.ports import FrameCodes
from agent.passage.events import Tick
from hal.errors import DeviceFault
from hal.scan_engine import EngineCounts, Scan
from tests.agent.controller.support import T0, Bench

STEP = 0.05
POSTER = b"https://example.org/visit-us"


class Told:
    """An engine that tells codes at times, each with how long the telling took; time is the bench's."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.counts = EngineCounts()
        self.due: list[tuple[float, bytes, float]] = []

    def tell(self, at: float, data: bytes, took_s: float = 0.06) -> None:
        self.due.append((T0 + at, data, took_s))
        self.due.sort()

    def read(self, timeout_s: float) -> Scan | None:
        until = self.clock.now + timeout_s
        if self.due and self.due[0][0] <= until:
            at, data, took_s = self.due.pop(0)
            self.clock.now = max(self.clock.now, at)
            return Scan(data, self.clock.monotonic_ns() - round(took_s * 1e9), "Q1")
        self.clock.now = until
        return None

    def close(self) -> None:
        self.due.clear()


class Gate:
    """An engine's loop and a controller that hears it at once."""

    def __init__(self, bench: Bench, hold_s: float = 1.0) -> None:
        self.bench = bench
        self.engine = Told(bench.clock)
        self.posted: list[FrameCodes] = []
        bench.controller.handle(Tick())  # as before the first code at every start
        self.loop = EngineLoop(
            self.engine, post=self.post, hold_s=hold_s, clock_ns=bench.clock.monotonic_ns,
            pause=self.pause,
        )  # fmt: skip

    def post(self, seen: FrameCodes) -> None:
        self.posted.append(seen)
        self.bench.controller.handle(seen)

    def pause(self, seconds: float) -> None:
        self.bench.clock.now += seconds

    def pass_time(self, until: float) -> None:
        while self.bench.clock.now < T0 + until:
            self.loop.step()
            self.bench.controller.handle(Tick())

    def reasons(self) -> list[str]:
        """Return why each attempt was granted or denied; nobody ever walks through here."""
        reasons = [str(decision.reason) for decision in self.bench.decisions()]
        return [reason for reason in reasons if reason != "no_passage"]


@pytest.fixture
def gate(bench) -> Gate:
    return Gate(bench)


def test_one_showing_is_one_judgement(gate):
    code = gate.bench.code().encode()
    for at in range(20):  # told thrice a second for seven seconds
        gate.engine.tell(1 + at * 0.35, code)
    gate.pass_time(12)
    assert gate.reasons() == ["granted"]
    assert gate.bench.gate.asked.count("open in") == 1


def test_an_engine_that_tells_once_is_enough(gate):
    gate.engine.tell(1, gate.bench.code().encode())
    gate.pass_time(5)
    assert gate.reasons() == ["granted"]
    sighting = next(row.trace.sighting for row in gate.bench.rows if row.trace is not None)
    assert sighting.decoder == DECODER
    assert sighting.taken_ns - sighting.captured_ns == pytest.approx(0.06e9)


def test_a_code_that_left_the_view_may_be_shown_again(gate):
    static = gate.bench.code(static=True).encode()
    gate.engine.tell(1, static)
    gate.engine.tell(30, static)
    gate.pass_time(40)
    assert len(gate.reasons()) == 2
    assert not gate.posted[-1].event.codes


def test_a_poster_before_an_engine_that_repeats_itself_is_denied_once(gate):
    for at in range(120):
        gate.engine.tell(at * 0.35, POSTER)
    gate.engine.tell(43, gate.bench.code(at=T0 + 42).encode())
    gate.pass_time(50)
    assert gate.reasons() == ["unknown_format", "granted"]


def test_a_damaged_credential_that_stays_in_view_is_denied_once(gate):
    damaged = gate.bench.code().encode()[:-5]
    for at in range(120):
        gate.engine.tell(at * 0.35, damaged)
    gate.pass_time(45)
    assert len(gate.reasons()) == 1


def test_a_slow_line_that_repeats_itself_is_one_showing(gate):
    """A keyboard at 8 ms a report takes ten seconds each time."""
    damaged = gate.bench.code().encode()[:-5]
    for at in range(6):
        gate.engine.tell(11 + at * 10.9, damaged, took_s=10.6)
    gate.pass_time(70)
    assert len(gate.reasons()) == 1


def test_a_code_that_came_while_the_gate_was_busy_is_judged_when_it_rests(gate):
    gate.engine.tell(1, POSTER)
    gate.engine.tell(1.9, gate.bench.code().encode())
    gate.pass_time(6)
    assert gate.reasons() == ["unknown_format", "granted"]


def test_another_code_takes_the_place_of_the_one_before(gate):
    first, second = (gate.bench.code(subject=who).encode() for who in "12")
    gate.engine.tell(1, first)
    gate.engine.tell(1.3, second)
    gate.pass_time(4)
    assert all(len(seen.event.codes) <= 1 for seen in gate.posted)
    assert {code.payload for seen in gate.posted for code in seen.event.codes} == {first, second}


MANGLED = [
    b"\x00" * 40,
    b"NI1:\x00\x00",
    b"\\000026NI1:6BF",
    b"\xef\xbb\xbfNI1:A",
    b"HC1:" + b"\xff" * 99,
]


@pytest.mark.parametrize("data", MANGLED, ids=["nul", "nul in one", "eci", "bom", "binary"])
def test_what_an_engine_made_of_the_contents_is_refused(gate, data):
    gate.engine.tell(1, data)
    gate.pass_time(4)
    assert len(gate.reasons()) == 1
    assert gate.reasons() != ["granted"]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=5))
def test_whatever_is_told_nothing_opens_and_nothing_breaks(tmp_path_factory, payloads):
    bench = Bench(tmp_path_factory.mktemp("bench"))
    gate = Gate(bench)
    for at, data in enumerate(payloads):
        gate.engine.tell(1 + at * 3, data)
    gate.pass_time(3 * len(payloads) + 2)
    assert "granted" not in gate.reasons()
    assert not [asked for asked in bench.gate.asked if asked.startswith("open")]
    Bench.made.remove(bench)
    bench.journal.close()


def test_payloads_are_at_least_a_frame_apart(gate):
    for at in range(50):
        gate.engine.tell(1, b"https://example.org/%d" % at)
    gate.pass_time(2)
    assert len([seen for seen in gate.posted if seen.event.codes]) <= 1 / 0.05 + 1 / READ_S


def test_rounds_go_on_and_a_stop_ends_them(gate):
    gate.pass_time(1)
    assert gate.loop.rounds >= 9
    gate.loop.stop()
    gate.loop.run()


def test_a_fault_ends_the_loop(gate, monkeypatch):
    def gone(_timeout_s: float) -> None:
        raise DeviceFault("engine: gone")

    monkeypatch.setattr(gate.engine, "read", gone)
    with pytest.raises(DeviceFault):
        gate.loop.run()
