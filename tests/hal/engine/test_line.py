"""The serial engine: the real driver on a pty, a GM65 or a dumb engine at its other end."""

from __future__ import annotations

import os
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hal.engine import gm65
from hal.engine.gm65 import Kind, Register
from hal.engine.line import CHECK_EVERY_S, CHECKS_MISSED, LineSettings, SerialEngine
from hal.errors import DeviceFault, DeviceUnavailable
from hal.recovery import RecoveringEngine
from hal.scan_engine import MAX_PAYLOAD_BYTES, EngineCounts
from hal.simulated.scan_engine import Shown, SimulatedEngine

CODE = b"NI1:" + b"6BFOXN" * 100
PATIENCE_S = 5.0


class Bench:
    """Engines and drivers of one test."""

    def __init__(self) -> None:
        self.ends: list[SimulatedEngine | SerialEngine] = []

    def engine(self, link=None, **options) -> tuple[SimulatedEngine, str]:
        made = SimulatedEngine(**{"baud": 115_200, **options})
        self.ends.append(made)
        return made, made.open_pty(link)

    def driver(self, port: str, **options) -> SerialEngine:
        made = SerialEngine(LineSettings(port, **options))
        self.ends.insert(0, made)
        assert made.read(0.0) is None  # from now on what is shown counts
        return made


@pytest.fixture
def bench():
    made = Bench()
    yield made
    for end in made.ends:
        end.close()


def fell_due(driver: SerialEngine) -> None:
    """Let the time of the next question have come."""
    driver._check_at_ns = 0


def test_a_new_engine_is_set_up_and_reads(bench):
    engine, port = bench.engine(baud=9_600)
    driver = bench.driver(port)
    assert engine.registers[Register.SETUP_CODES] & gm65.SETUP_CODES_OFF
    assert engine.registers[Register.AIM] == gm65.AIM_ON
    assert engine.saved == engine.registers
    assert driver.obeys_printed_codes is False
    engine.show(Shown(CODE))
    scan = driver.read(PATIENCE_S)
    assert scan is not None
    assert (scan.data, scan.symbology) == (CODE, "Q1")
    assert not engine.show_set_up_code(Register.SETUP_CODES, 0)


def test_a_change_of_speed_that_was_lost_is_asked_for_again(bench, monkeypatch):
    obey, lost = SimulatedEngine._obey, []

    def lose_one(engine: SimulatedEngine, whole: bytes) -> bool:
        if whole[2] == Kind.WRITE and whole[5] == Register.BAUD and not lost:
            lost.append(whole)
            return True
        return obey(engine, whole)

    monkeypatch.setattr(SimulatedEngine, "_obey", lose_one)
    engine, port = bench.engine(baud=9_600)
    assert bench.driver(port).obeys_printed_codes is False
    assert len(lost) == 1
    assert engine.saved == engine.registers


def test_one_that_is_set_up_already_is_asked_and_nothing_is_saved(bench):
    engine, port = bench.engine()
    bench.driver(port).close()
    engine.commands.clear()
    bench.driver(port)
    assert engine.commands
    assert not [each for each in engine.commands if each[2] == Kind.SAVE]


def test_while_it_is_asked_it_reads_nothing(bench):
    engine, port = bench.engine(pace=True)
    bench.driver(port).close()
    engine.show(Shown(gm65.answer(b"\x00") * 30))
    engine.commands.clear()
    bench.driver(port)
    modes = [each[6] for each in engine.commands if each[2:6] == b"\x08\x01\x00\x00"]
    assert [mode & gm65.MODE_BITS for mode in modes] == [0x01, 0x02]


def test_printed_codes_that_stay_on_are_no_engine_of_ours(bench, monkeypatch):
    engine, port = bench.engine()
    put = engine._put

    def stubborn(register: int, values: bytes) -> None:
        if register != Register.SETUP_CODES:
            put(register, values)

    monkeypatch.setattr(engine, "_put", stubborn)
    with pytest.raises(DeviceUnavailable, match="does not keep 'printed set-up codes off'"):
        bench.driver(port)


def test_setting_up_has_an_end(bench, monkeypatch):
    _, port = bench.engine()
    monkeypatch.setattr("hal.engine.line.SET_UP_S", 0.0)
    with pytest.raises(DeviceUnavailable, match="stopped answering"):
        bench.driver(port)


def test_what_is_only_wished_for_may_be_missing(bench, monkeypatch, caplog):
    engine, port = bench.engine()
    put = engine._put

    def another(register: int, values: bytes) -> None:
        if register != Register.PAUSE:
            put(register, values)

    monkeypatch.setattr(engine, "_put", another)
    bench.driver(port)
    assert "0.3 s between" in caplog.text


@pytest.mark.parametrize("dumb", [False, True], ids=["hangs", "answers nothing"])
def test_silence_is_not_taken_for_yes(bench, dumb, monkeypatch):
    monkeypatch.setattr("hal.engine.line.ANSWER_S", 0.05)
    engine, port = bench.engine(dumb=dumb)
    engine.silent = not dumb
    with pytest.raises(DeviceUnavailable, match="no answer at 115200 or 9600 baud"):
        bench.driver(port)


def test_no_port():
    with pytest.raises(DeviceUnavailable, match=r"scan_engine\.port"):
        SerialEngine(LineSettings("/dev/serial/by-id/none"))


def test_a_port_is_ours_alone(bench):
    _, port = bench.engine()
    bench.driver(port)
    with pytest.raises(DeviceUnavailable, match="another program has it"):
        bench.driver(port)


def test_an_unknown_engine_is_used_with_a_warning(bench, caplog):
    engine, port = bench.engine(dumb=True)
    driver = bench.driver(port, model="generic")
    assert driver.obeys_printed_codes is None
    assert "set-up codes" in caplog.text
    engine.show(Shown(CODE))
    assert driver.read(PATIENCE_S).data == CODE


def test_start_commands_and_their_answers(bench):
    engine, port = bench.engine()
    off = gm65.command(Kind.WRITE, Register.SETUP_CODES, b"\x02")
    told = {"start_commands": (off,), "model": "generic"}
    bench.driver(port, **told, start_answers=(gm65.answer(b"\x00"),)).close()
    assert engine.registers[Register.SETUP_CODES] == 2
    with pytest.raises(DeviceUnavailable, match="start command 1 was not answered"):
        bench.driver(port, **told, start_answers=(b"OK",))
    bench.driver(port, **told)


FRAMINGS = [
    ("prefix and suffix", {"prefix": b"\x02<", "suffix": b"\r\n\x03"}, CODE),
    ("binary, by silence", {"suffix": b""}, bytes(range(1, 256)) * 4),
]


@pytest.mark.parametrize(
    ("framing", "data"), [row[1:] for row in FRAMINGS], ids=[row[0] for row in FRAMINGS]
)
def test_framings(bench, framing, data):
    engine, port = bench.engine(**framing)
    driver = bench.driver(port, **framing)
    engine.show(Shown(data))
    assert driver.read(PATIENCE_S).data == data


def test_a_bar_code_with_a_credentials_bytes_is_ignored(bench):
    engine, port = bench.engine()
    driver = bench.driver(port, mode="sensor")
    engine.show(Shown(CODE, "C0"))
    assert driver.read(0.2) is None
    assert driver.counts == EngineCounts(foreign=1)


def test_noise_and_a_cut_payload_are_passed_over(bench):
    engine, port = bench.engine()
    driver = bench.driver(port, mode="sensor")
    engine.say(b"\x00\xff" * 20)
    assert driver.read(0.4) is None
    engine.cut = 50
    engine.show(Shown(CODE))
    assert driver.read(0.4) is None
    engine.show(None)
    engine.show(Shown(CODE))
    assert driver.read(PATIENCE_S).data == CODE
    assert driver.counts == EngineCounts(scans=1, cut=2)


def test_what_was_read_before_anybody_asked_is_not_handed_over(bench):
    engine, port = bench.engine()
    driver = SerialEngine(LineSettings(port, mode="sensor"))
    bench.ends.insert(0, driver)
    engine.say(b"]Q1" + CODE + b"\r")
    assert driver.read(0.05) is None


def test_a_question_between_two_payloads_costs_nothing(bench, monkeypatch):
    engine, port = bench.engine()
    driver = bench.driver(port)
    monkeypatch.setattr("hal.engine.line.ANSWER_S", 2.0)  # of a machine that has much else to do
    engine.show(Shown(CODE))
    for _ in range(3):
        fell_due(driver)
        assert driver.read(PATIENCE_S).data == CODE
    assert driver._missed == 0


def test_the_question_comes_by_itself(bench, clock):
    engine, port = bench.engine()
    driver = bench.driver(port)
    driver._clock_ns = lambda: time.monotonic_ns() + clock.ns()
    driver._check_at_ns = driver._clock_ns() + round(CHECK_EVERY_S * 1e9)
    engine.commands.clear()
    driver.read(0.0)
    assert not engine.commands
    clock.sleep(CHECK_EVERY_S + 1)
    driver.read(0.0)
    assert len(engine.commands) == 1


def test_power_that_was_lost_is_noticed(bench):
    engine, port = bench.engine()
    driver = bench.driver(port)
    engine.registers[Register.SETUP_CODES] = 0
    fell_due(driver)
    with pytest.raises(DeviceFault, match="forgot 'printed set-up codes off'"):
        driver.read(0.1)


def test_a_code_that_looks_like_an_answer_is_none(bench, monkeypatch):
    engine, port = bench.engine()
    driver = bench.driver(port)
    monkeypatch.setattr("hal.engine.line.ANSWER_S", 0.05)
    engine.silent = True
    good = gm65.answer(bytes([0xD6, 0, 0, 2]))
    for missed in range(1, CHECKS_MISSED):
        fell_due(driver)
        engine.say(b"]Q1" + good + b"\r")
        driver.read(0.5)
        assert driver._missed == missed
    fell_due(driver)
    with pytest.raises(DeviceFault, match="does not answer any more"):
        driver.read(0.1)


def test_an_engine_that_is_pulled_out_and_put_back(bench, tmp_path):
    engine, port = bench.engine(tmp_path / "by-id")
    counts, told = EngineCounts(), []
    driver = RecoveringEngine(lambda: SerialEngine(LineSettings(port), counts), counts)
    driver.listen(lambda error: told.append(str(error)))
    bench.ends.insert(0, driver)
    driver.read(0.0)
    engine.remove()
    engine.power_cycle(reset=True)  # it comes back new: 9,600 baud, set-up codes on
    engine.open_pty(tmp_path / "by-id")
    assert driver.read(0.1) is None
    assert engine.registers[Register.SETUP_CODES] & gm65.SETUP_CODES_OFF
    engine.show(Shown(CODE))
    assert driver.read(PATIENCE_S).data == CODE
    assert driver.recoveries == 1
    assert "gone" in told[0]
    assert counts.scans == 1


def test_closing_wakes_who_reads_and_never_waits(bench):
    _, port = bench.engine(dumb=True)
    driver = bench.driver(port, model="generic")
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(DeviceFault, match="closed"):
            driver.read(30.0)
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    driver.close()
    driver.close()
    thread.join(5)
    assert ended.is_set()
    with pytest.raises(DeviceFault, match="closed"):
        driver.read(0.0)


def test_a_flood_costs_a_share_of_a_processor_and_no_memory(bench):
    engine, port = bench.engine(dumb=True)
    driver = bench.driver(port, model="generic")
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            try:
                os.write(engine._master, b"]C0" + b"\x00" * 4_000)
            except BlockingIOError:
                stop.wait(0.001)

    thread = threading.Thread(target=flood)
    thread.start()
    began, began_cpu = time.monotonic(), time.thread_time()
    while time.monotonic() - began < 0.5:
        assert driver.read(0.1) is None
    share = (time.thread_time() - began_cpu) / (time.monotonic() - began)
    stop.set()
    thread.join()
    assert share < 0.5
    assert len(driver._framer._buffer) <= MAX_PAYLOAD_BYTES + 16
    assert driver.counts.overlong == 1


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=5))
def test_whatever_is_on_the_line_the_next_code_is_read(parts):
    engine = SimulatedEngine(dumb=True, baud=115_200)
    try:
        driver = SerialEngine(LineSettings(engine.open_pty(), model="generic"))
        with driver:
            driver.read(0.0)
            for part in parts:
                engine.say(part)
            engine.say(b"\r]Q1" + CODE + b"\r")
            found = b""
            while found != CODE:
                scan = driver.read(PATIENCE_S)
                assert scan is not None
                found = scan.data
    finally:
        engine.close()
