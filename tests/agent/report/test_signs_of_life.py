"""Which acknowledgements free rows, and which are a sign of a collector's life; a clock of its own."""

from __future__ import annotations

import pytest

from agent.fleet.memory import MemoryOutbox
from agent.journal.events import Fault
from agent.report.engine import Engine, EngineSettings
from agent.report.link import LinkSettings, Received
from agent.report.payloads import Ack, encode
from agent.report.seals import CollectorPin, SealKey
from agent.report.topics import GateAddress
from agent.report.values import Sources
from tests.support.acks import sealed_ack

GATE = GateAddress("s", "g")
KEY, STRANGER = SealKey.new(), SealKey.new()
LIMIT_S = 300


class Link:
    """A connection that carries nothing."""

    happenings = ()

    def tick(self) -> None:
        return None

    def close(self, *, will: bool) -> None:
        assert will


class Bench:
    """An engine that is connected, over rows that wait."""

    def __init__(self, rows: int = 3, pin: CollectorPin | None = None) -> None:
        self.outbox = MemoryOutbox(lambda: 1_800_000_000.0)
        for _ in range(rows):
            self.outbox.append(Fault(part="x", code="y"))
        self.told: list[tuple[str, bool]] = []
        self.engine = Engine(
            EngineSettings(LinkSettings("127.0.0.1", 1, tls=False, client_id="x"), GATE),
            self.outbox,
            Sources(lambda: None, lambda: None, dict, lambda: 1_800_000_000.0),
            tell=lambda fault: self.told.append((fault.code, fault.active)),
            collector=pin,
        )
        self.engine.up, self.engine.link = True, Link()
        self.now = 0.0

    def say(self, payload: bytes) -> None:
        self.engine._received(Received(GATE.topic("ack"), payload, 1, False, 1), self.now)

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1.0
            self.engine._tick(self.now)

    @property
    def faults(self) -> set[str]:
        return set(self.engine.faults.active())


def test_silence_is_told_after_its_limit_and_not_before():
    bench = Bench()
    bench.wait(LIMIT_S)
    assert bench.faults == set()
    bench.wait(1)
    assert bench.faults == {"silent_collector"}
    bench.say(sealed_ack(KEY, GATE, bench.outbox.boot_id, 1))
    assert bench.faults == set()
    bench.wait(LIMIT_S)
    assert bench.faults == set()
    bench.wait(1)
    assert bench.faults == {"silent_collector"}


def test_with_nothing_waiting_silence_is_no_fault_and_ends_one():
    bench = Bench(rows=0)
    bench.wait(1_200)
    assert bench.faults == set()
    bench = Bench(rows=1)
    bench.wait(LIMIT_S + 1)
    bench.outbox.acknowledge(bench.outbox.boot_id, 1)
    bench.wait(1)
    assert bench.faults == set()
    bench.outbox.append(Fault(part="x", code="y"))
    bench.wait(LIMIT_S)
    assert bench.faults == set()


NOISE = {
    "a boot that never was": lambda boot: sealed_ack(KEY, GATE, "0" * 32, 0),
    "rows of a boot that never was": lambda boot: sealed_ack(KEY, GATE, "0" * 32, 9),
    "what is free already": lambda boot: sealed_ack(KEY, GATE, boot, 1),
    "nothing": lambda boot: sealed_ack(KEY, GATE, boot, 0),
    "rows never written": lambda boot: sealed_ack(KEY, GATE, boot, 4),
    "no seal": lambda boot: encode(Ack(boot_id=boot, seq=2)),
    "a stranger's seal": lambda boot: sealed_ack(STRANGER, GATE, boot, 2),
    "another gate's": lambda boot: sealed_ack(KEY, GateAddress("s", "h"), boot, 2),
    "another number's": lambda boot: sealed_ack(KEY, GATE, boot, 1).replace(b'"seq":1', b'"seq":2'),
    "a stranger's key with a seal that is not its own": lambda boot: sealed_ack(
        KEY, GATE, boot, 2
    ).replace(KEY.public.hex().encode(), STRANGER.public.hex().encode()),
    "no JSON": lambda boot: b"{",
    "no hexadecimal": lambda boot: encode(Ack(boot_id=boot, seq=2, key="zz" * 32, sig="00" * 64)),
    "an empty message": lambda boot: b"",
}


@pytest.mark.parametrize("make", NOISE.values(), ids=NOISE)
def test_what_frees_nothing_is_no_sign_of_life(make):
    bench = Bench(pin=CollectorPin(KEY.public))
    bench.say(sealed_ack(KEY, GATE, bench.outbox.boot_id, 1))
    noise = make(bench.outbox.boot_id)
    for _ in range(6):
        bench.say(noise)
        bench.wait(200)
    assert bench.outbox.unacknowledged() == 2
    assert "silent_collector" in bench.faults


@pytest.mark.parametrize("every_s", [10, 299])
def test_connections_that_come_and_go_do_not_hide_a_silent_collector(every_s):
    bench = Bench()
    for _ in range(1 + LIMIT_S // every_s):
        bench.wait(every_s)
        bench.engine._lose(bench.now, "connection_lost", "")
        bench.wait(60)  # away: nobody could answer
        bench.engine.up, bench.engine.link = True, Link()
    bench.wait(2)
    assert "silent_collector" in bench.faults


def test_time_without_a_connection_is_not_the_collectors():
    bench = Bench()
    bench.engine.up = False
    bench.wait(5_000)
    assert "silent_collector" not in bench.faults


def test_who_frees_rows_first_is_believed_and_nobody_after():
    bench = Bench()
    boot = bench.outbox.boot_id
    bench.say(sealed_ack(STRANGER, GATE, "0" * 32, 7))  # frees nothing: not believed for that
    bench.say(sealed_ack(KEY, GATE, boot, 1))
    bench.say(sealed_ack(STRANGER, GATE, boot, 3))
    assert bench.outbox.unacknowledged() == 2
    assert bench.faults == {"bad_ack"}
    bench.say(sealed_ack(KEY, GATE, boot, 3))
    assert (bench.outbox.unacknowledged(), bench.faults) == (0, set())


def test_a_collector_that_cannot_be_remembered_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("")
    bench = Bench(pin=CollectorPin(file=tmp_path / "file" / "collector-key"))
    bench.say(sealed_ack(KEY, GATE, bench.outbox.boot_id, 1))
    assert bench.outbox.unacknowledged() == 2
    assert bench.faults == {"collector_key"}
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    bench.say(sealed_ack(KEY, GATE, bench.outbox.boot_id, 2))
    assert bench.faults == set()
