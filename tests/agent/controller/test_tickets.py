"""A ticket beside an identity: spent with its use, once, over fresh codes, restarts and crashes."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from agent.controller.controller import REMEMBERED_S
from agent.controller.memory import JournalMemory
from agent.credential.model import BusinessItem, Kind, ReplayKey
from agent.credential.registry import MAX_FUTURE_S
from agent.credential.ticket import ticket_key
from agent.issuing.issue import present, sign_credential, sign_ticket
from agent.journal.events import Decision
from agent.journal.journal import Journal
from agent.journal.model import Mark
from agent.journal.subjects import SubjectHasher
from agent.passage.events import PassageSensed
from agent.policy.profile import parse_profile
from agent.reason import Reason
from tests.agent.controller.support import PROFILE, T0, Bench

ASKING = PROFILE + 'ticket = "required"\n'
VALID_S = 5_000
GRANTED, INVALID, REPLAYED = Reason.GRANTED, Reason.TICKET_INVALID, Reason.REPLAYED


def code(bench: Bench, number: str = "1") -> str:
    """Return a fresh code with the ticket of this number."""
    now = int(bench.clock.now)
    card = sign_credential(
        bench.issuer, bench.holder, subject="1", issued_at=now - 10, valid_until=now + 1_000,
        kind=Kind.LIBRARY_CARD,
    )  # fmt: skip
    ticket = sign_ticket(
        bench.issuer, bench.holder, subject="t", issued_at=T0 - 10, valid_until=T0 + VALID_S,
        cti=number.encode(),
    )  # fmt: skip
    return present(card, bench.holder, at=now, ticket=ticket)


def shown(bench: Bench, text: str, *, walks: bool = True) -> Reason:
    """Show a code and walk through, or let the opening's time run out; return the answer."""
    before = len(bench.decisions())
    bench.show(text)
    if walks:
        bench.controller.handle(PassageSensed(None))
    else:
        bench.later(5.0)
    bench.later(0.5)
    bench.clear()
    return bench.decisions()[before].reason


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, ASKING)


def test_one_ticket_opens_once_whatever_code_it_stands_in(bench: Bench) -> None:
    assert [shown(bench, code(bench)) for _ in range(3)] == [GRANTED, INVALID, INVALID]
    assert shown(bench, code(bench, "2")) is GRANTED


def test_a_ticket_is_known_by_its_issuer_too(bench: Bench) -> None:
    shown(bench, code(bench))
    assert bench.journal.was_used(ticket_key("lib", b"1"))
    assert not bench.journal.was_used(ticket_key("rail", b"1"))


def test_a_ticket_for_many_uses_is_not_spent(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ASKING + 'ticket_use = "many"\n')
    assert [shown(bench, code(bench)) for _ in range(3)] == [GRANTED] * 3
    assert not bench.journal.was_used(ticket_key("lib", b"1"))


def test_a_ticket_that_nobody_asks_for_is_not_spent(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert [shown(bench, code(bench)) for _ in range(2)] == [GRANTED] * 2
    assert not bench.journal.was_used(ticket_key("lib", b"1"))


def test_a_code_that_is_denied_spends_no_ticket(bench: Bench) -> None:
    bench.clock.believed = False
    assert shown(bench, code(bench)) is Reason.CLOCK_UNTRUSTED
    bench.clock.believed = True
    assert shown(bench, code(bench)) is GRANTED


def test_the_mark_is_on_the_disk_before_the_gate_is_asked(bench: Bench, monkeypatch) -> None:
    marked: list[tuple[int]] = []

    def opened(*_: object) -> None:
        with contextlib.closing(sqlite3.connect(bench.journal.path)) as db:
            marked.extend(
                db.execute(
                    "SELECT until FROM used WHERE replay_key = ?", (ticket_key("lib", b"1"),)
                )
            )

    monkeypatch.setattr(bench.gate, "open", opened)
    bench.show(code(bench))
    assert marked == [(T0 + VALID_S + REMEMBERED_S,)]


def test_a_journal_that_has_the_mark_already_denies(bench: Bench, monkeypatch) -> None:
    """Two codes judged before either was committed, as by two gates of one journal."""
    monkeypatch.setattr(JournalMemory, "ticket_used", lambda *_: False)
    assert [shown(bench, code(bench)) for _ in range(2)] == [GRANTED, REPLAYED]


def test_a_mark_outlives_a_crash(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ASKING)
    bench.show(code(bench))
    bench.journal.close()  # and nothing else is said: the process is gone
    journal = Journal.open(tmp_path / "j.sqlite", clock=bench.clock.wall)
    assert journal.was_used(ticket_key("lib", b"1"))
    journal.close()


def test_a_ticket_that_was_given_back_is_spent_the_next_time(bench: Bench) -> None:
    shown(bench, code(bench, "before"))  # the beam works
    rules = bench.controller.rules
    bench.controller.rules = replace(rules, give_backs=9)
    told = [shown(bench, code(bench), walks=False) for _ in range(3)]
    assert told == [GRANTED, GRANTED, INVALID]
    assert bench.outcomes()[1:] == ["annulled", "passed", "repeated_annulment"]


def test_a_ticket_given_back_counts_once_for_its_holder(bench: Bench) -> None:
    shown(bench, code(bench, "before"))
    bench.controller.rules = replace(bench.controller.rules, give_backs=2)
    told = [shown(bench, code(bench, number), walks=False) for number in ("1", "2")]
    assert told == [GRANTED] * 2
    assert bench.outcomes()[1:] == ["annulled", "annulled"]


def test_what_was_given_back_is_remembered_as_long_as_the_ticket(bench: Bench) -> None:
    shown(bench, code(bench, "before"))
    shown(bench, code(bench), walks=False)
    hasher = SubjectHasher(bytes(32))
    with contextlib.closing(sqlite3.connect(bench.journal.path)) as db:
        rows = db.execute("SELECT use, subject, until FROM given_back ORDER BY subject").fetchall()
    assert rows[0] == (hasher.use(ticket_key("lib", b"1")), "", T0 + VALID_S + REMEMBERED_S)
    assert rows[1][1] == hasher.local("lib", "1")


def _item(valid_from: int) -> BusinessItem:
    return BusinessItem("lib", Kind.RAIL_TICKET, b"1", ReplayKey(b"key"), valid_from, 2**33)


@pytest.mark.parametrize(
    ("lost", "valid_from", "used"),
    [
        (False, T0 - 1, False),
        (True, T0 - 1, True),
        (True, T0 + MAX_FUTURE_S, True),
        (True, T0 + MAX_FUTURE_S + 1, False),
    ],
)
def test_with_a_lost_journal_a_ticket_of_before_may_have_been_used(
    bench: Bench, lost: bool, valid_from: int, used: bool
) -> None:
    bench.journal.lost = "the file was gone" if lost else ""
    memory = bench.controller._ports.judge._memory
    assert memory.ticket_used(_item(valid_from)) is used
    grant = Decision(passage="ab" * 16, decision="granted", reason=GRANTED)
    bench.journal.commit_use(b"code", 2**40, grant, None, Mark(b"key", 2**40))
    assert memory.ticket_used(_item(valid_from)) is True


def test_another_profile_is_followed_by_the_machine(bench: Bench) -> None:
    """What was no code of the place is judged anew, and only where the profile really changed."""
    judge = bench.controller._ports.judge
    bench.show("HC1:" + "A" * 200)
    bench.later(2.0)
    assert len(bench.controller.state.foreign) == 1
    judge.place = replace(judge.place, profile=parse_profile(ASKING, source="again"))
    bench.later(0.1)
    assert len(bench.controller.state.foreign) == 1
    more = parse_profile(ASKING + 'formats = ["native", "dcc"]\n', source="p")
    judge.place = replace(judge.place, profile=more)
    bench.later(0.1)
    assert bench.controller.state.foreign == ()
