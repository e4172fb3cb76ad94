"""The register of gates and the gates file: whose key speaks for whom, over names and databases."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from agent.fleet.expected import read_gates
from agent.fleet.register import KnownGate, Refusal, Refused, judge
from agent.fleet.store import BootKey, EventStore, Gap, RejectedMessage, StoredEvent
from agent.report.cloudevents import Seal
from agent.report.seals import SealKey
from agent.report.topics import GateAddress

A, B, C = GateAddress("s", "a"), GateAddress("s", "b"), GateAddress("s", "c")
ONE, TWO = bytes([1]) * 32, bytes([2]) * 32
SERVES = {A: KnownGate(A, ONE, 0.0)}
RETIRED = {A: KnownGate(A, ONE, 0.0, retired_at=5.0)}
BOOT = "ab" * 16


@pytest.mark.parametrize(
    ("address", "key", "known", "expected", "outcome"),
    [
        (A, ONE, {}, None, True),
        (A, ONE, SERVES, None, False),
        (A, TWO, SERVES, None, Refusal.OTHER_KEY),
        (B, TWO, SERVES, None, True),
        (B, ONE, SERVES, None, Refusal.KEY_OF_ANOTHER),
        (A, ONE, RETIRED, None, Refusal.RETIRED),
        (B, ONE, RETIRED, None, Refusal.KEY_OF_ANOTHER),
        # With a gates file: its keys alone, and without one there the first to come.
        (A, ONE, {}, {A: {ONE}}, True),
        (A, TWO, {}, {A: {ONE}}, Refusal.OTHER_KEY),
        (A, ONE, SERVES, {A: {ONE, TWO}}, False),
        (A, TWO, SERVES, {A: {ONE, TWO}}, True),
        (A, ONE, SERVES, {A: {TWO}}, Refusal.OTHER_KEY),
        (A, ONE, {}, {A: set()}, True),
        (A, ONE, SERVES, {A: set()}, False),
        (A, TWO, SERVES, {A: set()}, Refusal.OTHER_KEY),
        (B, ONE, SERVES, {A: set(), B: set()}, Refusal.KEY_OF_ANOTHER),
        (B, ONE, SERVES, {B: {ONE}}, True),
        (B, TWO, {}, {A: {ONE}}, Refusal.NOT_EXPECTED),
        (A, ONE, SERVES, {}, Refusal.NOT_EXPECTED),
        (A, ONE, RETIRED, {A: {ONE}}, Refusal.RETIRED),
    ],
)  # fmt: skip
def test_whose_key_speaks_for_a_gate(address, key, known, expected, outcome):
    if isinstance(outcome, bool):
        assert judge(address, key, known, expected) is outcome
        return
    with pytest.raises(Refused, match=f"^{outcome}: .+") as refused:
        judge(address, key, known, expected)
    assert refused.value.refusal is outcome
    assert refused.value.offered == (key if outcome is Refusal.OTHER_KEY else b"")


def test_gates_that_nobody_listed_do_not_fill_the_register():
    known = {
        GateAddress("s", f"{number}"): KnownGate(A, number.to_bytes(32), 0.0)
        for number in range(20_000)
    }
    with pytest.raises(Refused, match="gates file"):
        judge(A, b"x" * 32, known, None)
    assert judge(A, b"x" * 32, known, {A: frozenset()})  # an operator's list has no limit


@pytest.fixture
def store(tmp_path):
    store = EventStore(str(tmp_path / "f.sqlite"))
    yield store
    store.close()


def believed(store: EventStore, gate: GateAddress, key: bytes) -> bool:
    try:
        store.register.admit(gate, key, 1.0)
    except Refused:
        return False
    return gate not in store.register.settle()


def row(gate: GateAddress, seq: int) -> StoredEvent:
    seal = Seal(bytes(32), ONE, bytes(64))
    return StoredEvent(BootKey(gate, BOOT), seq, "fault", "t", 1.0, "{}", seal)


def test_the_first_key_is_kept_for_every_collector_and_start(store, tmp_path):
    other = EventStore(str(tmp_path / "f.sqlite"))
    assert believed(store, A, ONE)
    assert not believed(other, A, TWO)  # it had not read the register since
    assert believed(other, A, ONE)
    other.close()
    again = EventStore(str(tmp_path / "f.sqlite"))
    assert not believed(again, A, TWO)
    again.close()


def test_a_fleet_that_comes_at_once_is_one_transaction_and_all_or_nothing(store, monkeypatch):
    begun = []

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    sa.event.listen(store._engine, "begin", begun.append)
    for number in range(1, 200):
        store.register.admit(GateAddress("s", f"{number}"), number.to_bytes(32), 1.0)
    assert begun == []
    monkeypatch.setattr(store.register, "_put", broken)
    with pytest.raises(RuntimeError):
        store.register.settle()
    monkeypatch.undo()
    assert store.register.gates() == {}
    begun.clear()
    for number in range(1, 200):  # nothing of it is believed: it comes again
        store.register.admit(GateAddress("s", f"{number}"), number.to_bytes(32), 1.0)
    assert store.register.settle() == frozenset()
    assert len(begun) <= 2  # written, and read again
    assert len(store.register.gates()) == 199
    assert store.register.settle() == frozenset()


def test_another_key_is_offered_counted_and_believed_when_accepted(store):
    assert believed(store, A, ONE)
    store.reject(
        [RejectedMessage("t", "other_key: ...", 1.0, A, TWO)]
        + [RejectedMessage("t", "forged: ...", 1.0, gate) for gate in (A, B, None)]
    )
    gate = store.register.gates()[A]
    assert (gate.key, gate.offered, gate.refused) == (ONE, TWO, 2)
    assert store.register.gates().keys() == {A}  # B is a name that anybody made up
    store.register.accept(A, TWO)
    assert store.register.reload()
    assert not store.register.reload()
    assert believed(store, A, TWO)
    assert not believed(store, A, ONE)
    assert store.register.gates()[A].offered == b""


def test_a_retired_gate_is_not_believed_until_it_is_accepted_again(store):
    assert believed(store, A, ONE)
    store.add([row(A, 1), row(A, 3)])
    assert (store.gap_boots(), store.gaps()) == (1, [Gap(BootKey(A, BOOT), 2, 2)])
    store.register.retire(A)
    store.register.reload()
    assert not believed(store, A, ONE)
    assert (store.gap_boots(), store.gaps()) == (0, [])
    assert store.count() == 2
    store.register.accept(A, ONE)
    store.register.reload()
    assert believed(store, A, ONE)
    assert store.gap_boots() == 1


def test_a_name_of_which_nothing_came_can_be_retired_too(store):
    store.register.retire(B)
    store.register.retire(B)
    store.register.reload()
    assert not believed(store, B, ONE)


def test_a_renamed_gate_goes_on_where_it_was(store):
    """Mid-run: what was acknowledged under the old name is complete under the new one."""
    assert believed(store, A, ONE)
    assert store.add([row(A, 1), row(A, 2), row(A, 5)]) == {BootKey(A, BOOT): 2}
    store.register.rename(A, B)
    store.register.rename(B, C)
    store.register.reload()
    assert not believed(store, A, ONE)
    assert believed(store, C, ONE)
    assert not believed(store, C, TWO)
    assert store.register.gates()[C].former == B
    assert store.add([row(C, 4)]) == {BootKey(C, BOOT): 2}
    assert store.add([row(C, 3)]) == {BootKey(C, BOOT): 4}
    assert [(each["gate"], each["seq"]) for each in store.read()] == [
        ("a", 1), ("a", 2), ("a", 5), ("c", 3), ("c", 4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [(B, C, "s/b: no gate of that name serves"), (A, B, "s/b: there is such a gate")],
)
def test_what_cannot_be_renamed_is_said(store, old, new, said):
    assert believed(store, A, ONE)
    if old == A:
        assert believed(store, B, TWO)
    before = store.register.gates()
    with pytest.raises(ValueError, match=said):
        store.register.rename(old, new)
    assert store.register.gates() == before


def test_a_database_from_before_is_taken_over(tmp_path):
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript("""
            CREATE TABLE boot(id INTEGER PRIMARY KEY, site VARCHAR(64) NOT NULL,
              gate VARCHAR(64) NOT NULL, boot_id VARCHAR(64) NOT NULL, contiguous INTEGER NOT NULL,
              highest INTEGER NOT NULL, UNIQUE(site, gate, boot_id));
            CREATE TABLE event(boot INTEGER NOT NULL, seq INTEGER NOT NULL, type VARCHAR(16) NOT NULL,
              time VARCHAR(40) NOT NULL, received_at FLOAT NOT NULL, data TEXT NOT NULL,
              PRIMARY KEY(boot, seq)) WITHOUT ROWID;
            INSERT INTO boot VALUES(1, 's', 'a', 'abab', 1, 1);
            INSERT INTO event VALUES(1, 1, 'fault', 't', 1.0, '{}');
        """)
    db.close()
    for _ in range(2):
        store = EventStore(str(path))
        assert [(each["seq"], each["sig"], each["key"]) for each in store.read()] == [
            (1, None, None)
        ]
        store.close()
    store = EventStore(str(path))
    assert store.add([row(A, 1)]) == {BootKey(A, BOOT): 1}
    assert [each["key"] for each in store.read()] == [None, ONE.hex()]
    store.close()


# --- the gates file

KEY = SealKey.new().public.hex()


def test_a_gates_file_names_gates_and_keys(tmp_path):
    path = tmp_path / "gates.toml"
    path.write_bytes(
        b"\xef\xbb\xbf"
        + f'[[gate]]\nsite = "s"\ngate = "a"\nkeys = ["{KEY}"]\n'
        '[[gate]]\nsite = "s"\ngate = "b"\n'.encode()
    )
    assert read_gates(path) == {A: {bytes.fromhex(KEY)}, B: frozenset()}
    path.write_text("")
    assert read_gates(path) == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gate = 1", "Expected `array`"),
        ("[[gate]]\nsite = 's'", "missing required field `gate`"),
        ("[[gate]]\nsite = 's'\ngate = 'a'\nkey = 'x'", "unknown field `key`"),
        ("[[gate]]\nsite = 's'\ngate = 'a'\nkeys = ['x']", "s/a: a key has 64 hexadecimal digits"),
        (f"[[gate]]\nsite = 's'\ngate = 'a'\nkeys = ['{KEY.upper()}']", "in small letters"),
        ("[[gate]]\nsite = 's'\ngate = 'a/b'", "a name has none of"),
        ("[[gate]]\nsite = '+'\ngate = 'a'", "a name has none of"),
        ("[[gate]]\nsite = 's'\ngate = ''", "length >= 1"),
        ("[[gate]]\nsite = 's'\ngate = 'a'\n" * 2, "s/a stands there twice"),
        ("".join(f"[[gate]]\nsite = 's'\ngate = '{n}'\nkeys = ['{KEY}']\n" for n in "ab"),
         "s/b: its key is that of s/a too"),
        ("[[gate", "at end of document"),
        ("# " + "x" * (4 * 2**20), "more than 4 MiB"),
    ],
)  # fmt: skip
def test_a_gates_file_that_is_none_is_one_line_that_names_it(tmp_path, text, said):
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}: ") as refused:
        read_gates(path)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
