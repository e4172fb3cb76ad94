"""The chain of the journal's rows: what it covers, where it begins, and what a failure leaves."""

from __future__ import annotations

import hashlib
import sqlite3
from itertools import pairwise

import pytest

from agent.fleet.memory import MemoryOutbox
from agent.journal.chain import START, Link
from agent.journal.events import Fault
from agent.journal.model import JournalFailed, Position
from tests.agent.journal.conftest import T0

FAULT = Fault(part="camera", code="timeout")
ROW = (bytes(range(32)), "ab" * 16, 7, "fault", 1_800_000_000_000_000, b'{"part":"x"}')


def test_a_rows_hash_is_that_of_its_parts_each_behind_its_length():
    """Written out once more, so that nobody changes what collectors compute."""
    parts = [bytes(range(32)), b"ab" * 16, b"7", b"fault", b"1800000000000000", b'{"part":"x"}']
    text = b"idgate-journal-chain-1" + b"".join(
        len(part).to_bytes(4, "big") + part for part in parts
    )
    assert Link(*ROW).digest == hashlib.sha256(text).digest()


@pytest.mark.parametrize("number", range(len(ROW)))
def test_every_part_counts(number):
    other = [bytes(32), "cd" * 16, 8, "mode", 1_800_000_000_000_001, b'{"part":"y"}'][number]
    assert (
        Link(*(other if n == number else part for n, part in enumerate(ROW))).digest
        != Link(*ROW).digest
    )


def test_no_two_rows_are_one_text():
    assert Link(START, "a1", 1, "x", 0, b"").digest != Link(START, "a", 11, "x", 0, b"").digest


def test_rows_are_chained_over_restarts(make):
    first = make()
    for _ in range(3):
        first.append(FAULT)
    first.close()
    second = make()
    second.append(FAULT)
    rows = second.pending()
    assert [row.position for row in rows] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert rows[0].previous == START
    for one, next_ in pairwise(rows):
        assert next_.previous == one.digest != START
    assert second.replay(rows[0].boot_id, 2, 3) == rows[1:3]
    assert list(reversed(second.before(9))) == rows[:3]


def test_the_chain_goes_on_where_old_rows_made_room(make):
    journal = make(capacity=200)
    for _ in range(150):
        journal.append(FAULT)
    last = journal.pending(limit=500)[-1]
    journal.acknowledge(journal.boot_id, 150)
    for _ in range(100):
        journal.append(FAULT)
    assert journal.replay(journal.boot_id, 151, 151)[0].previous == last.digest
    boot = journal.boot_id
    journal.close()
    journal = make(capacity=200)
    journal.append(FAULT)
    assert journal.pending(limit=500)[-1].previous == journal.replay(boot, 250, 250)[0].digest


@pytest.mark.parametrize("kept", [True, False])
def test_a_commit_whose_fate_is_unknown_is_looked_up(make, monkeypatch, kept):
    """Whether the row reached the disk or not, the next one follows what is there."""
    journal = make()
    journal.append(FAULT)

    class Refusing:
        def __init__(self, real):
            self.real = real

        def commit(self):
            if kept:
                self.real.commit()
            raise sqlite3.OperationalError("disk I/O error")

        def __getattr__(self, name):
            return getattr(self.real, name)

    writer = journal._writer
    monkeypatch.setattr(journal, "_writer", Refusing(writer))
    with pytest.raises(JournalFailed):
        journal.append(FAULT)
    monkeypatch.setattr(journal, "_writer", writer)
    journal.append(FAULT)
    rows = journal.pending()
    assert [row.seq for row in rows] == ([1, 2, 3] if kept else [1, 2])
    for one, next_ in pairwise(rows):
        assert next_.previous == one.digest


def test_an_outbox_in_memory_is_chained_alike(make, clock):
    journal, memory = make(boot_id="ab" * 16), MemoryOutbox(clock)
    memory.boot_id = "ab" * 16
    for _ in range(3):
        journal.append(FAULT)
        memory.append(FAULT)
        clock.now += 1.5
    assert clock.now == T0 + 4.5
    rows = memory.pending(after=Position(0, 0), upto=memory.head(), limit=9)
    assert rows == journal.pending()
