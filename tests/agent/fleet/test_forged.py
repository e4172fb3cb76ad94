"""Events in a gate's name that are not the gate's, on a real broker; and the proof of what is stored."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from agent import cli
from agent.fleet.collector import Collector
from agent.fleet.live import FleetView
from agent.fleet.memory import MemoryOutbox
from agent.fleet.register import Refused
from agent.fleet.store import BootKey, EventStore, StoredEvent
from agent.fleet.verify import GateVerdict, verify
from agent.journal.events import Decision, Mode
from agent.journal.model import Position
from agent.reason import Reason
from agent.report.cloudevents import decode_event, encode_event, read_seal, source
from agent.report.link import Link, LinkSettings, Message, Received
from agent.report.payloads import decode_ack
from agent.report.seals import SealKey, ack_text, holds
from agent.report.topics import GateAddress

GATE, OTHER = GateAddress("station", "gate-1"), GateAddress("station", "gate-2")
KEY, STRANGER, COLLECTOR = SealKey.new(), SealKey.new(), SealKey.new()
DENIED = Decision(passage="ab" * 16, decision="denied", reason=Reason.EXPIRED)


def sent(count: int, *, gate=GATE, key=KEY, outbox: MemoryOutbox | None = None) -> list[bytes]:
    """Return the next events of a gate, as it sends them."""
    outbox = outbox or MemoryOutbox(time.time)
    first = outbox.head().seq
    for _ in range(count):
        outbox.append(DENIED)
    rows = outbox.pending(after=Position(1, first), upto=outbox.head(), limit=count)
    return [encode_event(row, source(gate.site, gate.gate), key) for row in rows]


def forged(event: bytes, seq: int, **more: object) -> bytes:
    """Return an event after the pattern of a true one, as somebody without the key makes it."""
    found = json.loads(event)
    return json.dumps(
        {**found, "seq": seq, "id": f"{found['bootid']}.{seq}", "type": "idgate.mode.v1",
         "data": {"mode": "free", "cause": "command"}, **more}
    ).encode()  # fmt: skip


# --- on the wire


class Station:
    """A collector, and somebody who may publish what he likes."""

    def __init__(self, broker, path: Path) -> None:
        settings = LinkSettings(
            "127.0.0.1", broker.port, tls=False, client_id="x", session_expiry_s=0
        )
        self.store = EventStore(str(path))
        self.collector = Collector(
            replace(settings, client_id="collector", manual_ack=True), self.store, key=COLLECTOR
        )
        self.link = Link(replace(settings, client_id="wire"))
        self.heard: list[Received] = []
        self.until(lambda: "$share/collectors" in broker.log())
        self.link.subscribe([("gates/v1/+/+/ack", 1)])

    def until(self, what: Callable[[], object]) -> None:
        end = time.monotonic() + 15
        while not what():
            assert time.monotonic() < end, "did not happen"
            self.collector.step(0.02)
            self.link.wait(0.02)
            while self.link.happenings:
                happening = self.link.happenings.popleft()
                if isinstance(happening, Received):
                    self.heard.append(happening)

    def say(self, *payloads: bytes, gate: GateAddress = GATE) -> None:
        for payload in payloads:
            kind = json.loads(payload)["type"].split(".")[1]
            self.link.publish(Message(gate.topic(f"event/{kind}"), payload))


@pytest.fixture
def station(mosquitto, tmp_path) -> Iterator[Station]:
    found = Station(mosquitto(), tmp_path / "fleet.sqlite")
    yield found
    found.link.close()
    found.collector.run(lambda: True)
    found.store.close()


@pytest.mark.broker
def test_a_forged_story_is_neither_stored_nor_acknowledged_nor_in_the_way(station, caplog):
    outbox = MemoryOutbox(time.time)
    first = sent(1, outbox=outbox)[0]
    station.say(first)
    station.until(lambda: station.store.count() == 1)
    bare = dict.fromkeys(("prevhash", "key", "sig"), "")
    stranger = sent(4, key=STRANGER)
    with caplog.at_level(logging.WARNING):
        station.say(
            *(forged(first, seq) for seq in (2, 3, 4)),  # the true seal, of another story
            forged(first, 2, **bare),
            *(
                json.dumps({**json.loads(event), "bootid": "cd" * 16}).encode()
                for event in stranger[:1]
            ),
            stranger[1],  # a story of its own, well sealed by a key of its own
        )
        station.say(forged(first, 9, source=source(OTHER.site, OTHER.gate), **bare), gate=OTHER)
        station.until(lambda: station.collector.counts.rejected == 7)
    assert station.store.count() == 1
    true = sent(3, outbox=outbox)
    station.say(true[2], true[0], true[1])
    station.until(lambda: station.store.count() == 4)
    key = BootKey(GATE, outbox.boot_id)
    assert station.store.progress() == {key: (4, 4)}
    assert {row["type"] for row in station.store.read()} == {"decision"}
    station.until(lambda: station.heard and decode_ack(station.heard[-1].payload).seq == 4)
    for each in station.heard:
        ack = decode_ack(each.payload)
        assert ack.boot_id == outbox.boot_id
        assert ack.key == COLLECTOR.public.hex()
        assert holds(COLLECTOR.public, bytes.fromhex(ack.sig), ack_text(GATE, ack.boot_id, ack.seq))
    gate = station.store.register.gates()[GATE]
    assert (gate.key, gate.offered, gate.refused) == (KEY.public, STRANGER.public, 6)
    told = [record.getMessage() for record in caplog.records if "not stored" in record.getMessage()]
    words = ("forged", "unsealed", "other_key", "no_event")
    assert [sum(word in line for line in told) for word in words] == [1, 2, 1, 1]


@pytest.mark.broker
def test_the_true_gate_is_stored_when_an_operator_accepts_its_new_key(station):
    station.say(*sent(1, key=STRANGER))
    station.until(lambda: station.store.count() == 1)
    true = sent(2)
    station.say(*true)
    station.until(lambda: station.collector.counts.rejected == 2)
    other = EventStore(station.store.name)  # as `idgate fleet accept`, in a process of its own
    other.register.accept(GATE, KEY.public)
    other.close()
    station.collector._registered_at = float("-inf")
    station.until(lambda: station.store.register._known[GATE].key == KEY.public)
    station.say(*true)
    station.until(lambda: station.store.count() == 3)


# --- what is stored


@pytest.fixture
def stored(tmp_path) -> Iterator[EventStore]:
    """Two runs of three events of one gate, collected."""
    store = EventStore(str(tmp_path / "fleet.sqlite"))
    outbox = MemoryOutbox(time.time)
    runs = [sent(3, outbox=outbox)]
    second = MemoryOutbox(time.time)
    second._newest = outbox.pending(after=Position(1, 2), upto=outbox.head(), limit=1)[0].digest
    runs.append(sent(3, outbox=second))
    for run in runs:
        keep(store, run)
    yield store
    store.close()


def keep(store: EventStore, events: list[bytes], gate: GateAddress = GATE) -> None:
    """Store events as a collector does."""
    rows = []
    for payload in events:
        envelope, _ = decode_event(payload)
        seal = read_seal(envelope)
        assert seal is not None
        store.register.admit(gate, seal.key, 1.0)
        store.register.settle()
        rows.append(
            StoredEvent(
                BootKey(gate, envelope.bootid), envelope.seq, envelope.type.split(".")[1],
                envelope.time, 1.0, bytes(envelope.data).decode(), seal,
            )
        )  # fmt: skip
    store.add(rows)


def only(store: EventStore, expected=None) -> GateVerdict:
    (found,) = verify(store, expected)
    return found


def change(store: EventStore, sql: str) -> None:
    with store._engine.begin() as connection:
        assert connection.execute(sa.text(sql)).rowcount


def test_what_is_as_the_gate_sealed_it_is_proven(stored):
    found = only(stored)
    assert (found.events, found.boots, found.wrong, found.notes) == (6, 2, [], [])
    assert only(stored, {GATE: frozenset({KEY.public})}).wrong == []


ANOTHER_SEAL = """UPDATE event SET sig = (SELECT e.sig FROM event e WHERE e.boot = 2 AND e.seq = 2)
    WHERE boot = 1 AND seq = 2"""


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("UPDATE event SET data = replace(data, 'denied', 'granted') WHERE boot = 1 AND seq = 2",
         ["seq 2: altered"]),
        ("UPDATE event SET time = '2027-01-15T08:00:00.000000Z' WHERE boot = 1 AND seq = 2",
         ["seq 2: altered"]),
        ("UPDATE event SET time = 'then' WHERE boot = 1 AND seq = 2", ["seq 2: altered"]),
        ("UPDATE event SET prevhash = sig WHERE boot = 2 AND seq = 3", ["seq 3: altered"]),
        ("UPDATE boot SET site = 'elsewhere'", ["altered"] * 6),
        ("DELETE FROM event WHERE boot = 1 AND seq = 2", ["seq 2: missing"]),
        ("DELETE FROM event WHERE boot = 1 AND seq = 3",
         ["seq 1: the rows before it are missing"]),
        (ANOTHER_SEAL, ["seq 2: altered"]),
    ],
)  # fmt: skip
def test_what_was_changed_in_the_database_is_named(stored, sql, said):
    change(stored, sql)
    wrong = only(stored).wrong
    assert len(wrong) == len(said)
    for line, words in zip(wrong, said, strict=True):
        assert words in line


def test_a_whole_run_that_is_gone_is_named(stored):
    runs = []
    newest = bytes(32)
    for _ in range(3):
        outbox = MemoryOutbox(time.time)
        outbox._newest = newest
        runs.append(sent(2, gate=OTHER, key=STRANGER, outbox=outbox))
        newest = outbox._newest
    keep(stored, runs[0], OTHER)
    keep(stored, runs[2], OTHER)
    verdicts = {each.address: each for each in verify(stored, None)}
    assert verdicts[GATE].wrong == []
    (line,) = verdicts[OTHER].wrong
    assert line.endswith("seq 1: the rows before it are missing or were changed")


def test_two_stories_of_one_gate_do_not_join(stored):
    """The gate's own key signed both: a copied card, or a gate that was set back."""
    one, other = MemoryOutbox(time.time), MemoryOutbox(time.time)
    other.boot_id = one.boot_id
    first = sent(2, gate=OTHER, key=STRANGER, outbox=one)
    second = sent(3, gate=OTHER, key=STRANGER, outbox=other)
    keep(stored, [*first, second[2]], OTHER)
    wrong = {each.address: each.wrong for each in verify(stored, None)}[OTHER]
    assert len(wrong) == 1
    assert "seq 3: the row before it is not the one that it followed" in wrong[0]


def test_keys_are_held_against_the_gates_file_or_noted(stored):
    stored.register.accept(GATE, STRANGER.public)
    found = only(stored)
    assert found.wrong == []
    assert found.notes == [f"6 sealed by an earlier key, {KEY.public.hex()[:16]}"]
    found = only(stored, {GATE: frozenset({STRANGER.public})})
    assert found.wrong == [f"6 sealed by {KEY.public.hex()[:16]}, which the gates file has not"]


def test_what_cannot_be_proven_is_noted_and_not_wrong(stored, tmp_path):
    change(stored, "UPDATE event SET sig = NULL, prevhash = NULL, signer = NULL WHERE boot = 1")
    change(stored, "DELETE FROM event WHERE boot = 2 AND seq = 1")
    found = only(stored)
    assert found.wrong == []
    assert found.notes == ["3 stored before events were sealed", "older rows are not here"]


def test_a_renamed_gate_is_one_story(stored):
    outbox = MemoryOutbox(time.time)
    keep(stored, sent(2, gate=OTHER, key=STRANGER, outbox=outbox), OTHER)
    new = GateAddress("station", "gate-9")
    stored.register.rename(OTHER, new)
    stored.register.reload()
    keep(stored, sent(2, gate=new, key=STRANGER, outbox=outbox), new)
    found = {each.address: each for each in verify(stored, None)}
    assert set(found) == {GATE, new}
    assert (found[new].events, found[new].boots, found[new].wrong) == (4, 1, [])
    with pytest.raises(Refused):
        stored.register.admit(OTHER, STRANGER.public, 1.0)


def test_many_findings_are_told_in_part(tmp_path):
    store = EventStore(str(tmp_path / "many.sqlite"))
    keep(store, sent(50))
    change(store, "UPDATE event SET data = '{}'")
    found = only(store)
    assert (len(found.wrong), found.hidden) == (20, 30)
    store.close()


# --- commands


def test_gates_are_listed_accepted_and_proven_by_command(stored, tmp_path, capsys):
    path = str(tmp_path / "fleet.sqlite")
    gates = tmp_path / "gates.toml"
    gates.write_text('[[gate]]\nsite = "station"\ngate = "gate-7"\n')
    base = ["--database", path]
    assert cli.main(["fleet", "gates", *base, "--gates", str(gates)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["station/gate-1", "unlisted"], ["station/gate-7", "absent"],
    ]  # fmt: skip
    assert cli.main(["fleet", "verify", path]) == 0
    assert capsys.readouterr().out == "station/gate-1: ok, 6 events of 2 runs\n"
    assert cli.main(["fleet", "verify", path, "--gates", str(gates)]) == 0
    capsys.readouterr()
    change(stored, "UPDATE event SET data = '{}' WHERE boot = 1 AND seq = 2")
    assert cli.main(["fleet", "verify", path]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "station/gate-1: WRONG, 6 events of 2 runs"
    assert out[1].endswith("seq 2: altered, its seal does not hold")
    with stored._engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE gate SET offered = :key"), {"key": STRANGER.public.hex()}
        )
    short = STRANGER.public.hex()[:16]
    assert cli.main(["fleet", "accept", *base, "station/gate-1", short]) == 0
    assert cli.main(["fleet", "gates", *base, "--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert json.loads(out[-1])["key"] == STRANGER.public.hex()
    for wrong in ("0" * 16, "zz", short[:15]):
        assert cli.main(["fleet", "accept", *base, "station/gate-1", wrong]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.broker
def test_a_retired_gate_leaves_nothing_at_the_broker(stored, mosquitto, tmp_path, capsys):
    broker = mosquitto()
    settings = LinkSettings("127.0.0.1", broker.port, tls=False, client_id="g", session_expiry_s=0)
    link = Link(settings)
    for topic, payload in (("status", b"offline"), ("state", b"{}"), ("config/desired", b"x")):
        link.publish(Message(GATE.topic(topic), payload, retain=True))
    link.publish(Message(OTHER.topic("status"), b"online", retain=True))
    link.settle(link.publish(Message("x", b"")), 5)
    link.close()
    base = ["--broker", broker.url, "--database", str(tmp_path / "fleet.sqlite")]
    assert cli.main(["fleet", "rename", *base, "station/gate-1", "station/gate-3"]) == 0
    assert "gate.gate" in capsys.readouterr().out
    assert cli.main(["fleet", "retire", *base, "station/gate-3"]) == 0
    view = FleetView()
    link = Link(replace(settings, client_id="look"))
    link.wait(5)
    link.subscribe([("gates/#", 1)])
    end = time.monotonic() + 15
    while OTHER not in view.gates:
        assert time.monotonic() < end
        link.wait(0.05)
        while link.happenings:
            happening = link.happenings.popleft()
            if isinstance(happening, Received):
                view.feed(happening.topic, happening.payload)
    link.close()
    assert set(view.gates) == {OTHER}
    gates = stored.register.gates()
    assert {each.gate: gates[each].retired_at is not None for each in gates} == {
        "gate-1": True, "gate-3": True,
    }  # fmt: skip
    broker.kill()
    assert cli.main(["fleet", "retire", *base, "station/gate-3"]) == 1
    assert "idgate fleet retire" in capsys.readouterr().err


def test_a_mode_event_is_what_the_forger_makes():
    """The forged story of these tests would be stored, if anybody had sealed it."""
    assert decode_event(forged(sent(1)[0], 2))[1] == Mode(mode="free", cause="command")
