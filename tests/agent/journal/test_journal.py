"""The journal's promises, one by one."""

from __future__ import annotations

import io
import json
import os
import re
import resource
import threading
import time
from pathlib import Path

import msgspec
import pytest

from agent import log
from agent.journal.events import Decision, Fault, Mode, Passage, Tamper
from agent.journal.journal import RESERVE, AlreadyUsed, Journal, JournalFailed, JournalFull
from agent.journal.model import GiveBack, GiveBacks, Mark, Position, Way
from agent.reason import Reason
from tests.support.databases import edited

PASSAGE_ID = "ab" * 16
GRANT = Decision(passage=PASSAGE_ID, decision="granted", reason=Reason.GRANTED)
DENIAL = Decision(passage=PASSAGE_ID, decision="denied", reason=Reason.EXPIRED)
ANNULMENT = Decision(passage=PASSAGE_ID, decision="annulled", reason=Reason.NO_PASSAGE, annuls=1)
FAULT = Fault(part="camera", code="timeout")
MODE = Mode(mode="normal", cause="start")


def test_seq_counts_from_one_and_survives_a_new_boot(make):
    first = make(boot_id="aa" * 16)
    assert [first.append(MODE), first.append(DENIAL), first.append(FAULT)] == [1, 2, 3]
    first.close()
    second = make(boot_id="bb" * 16)
    assert second.append(MODE) == 1
    assert [(row.boot_id[:2], row.seq, row.type) for row in second.pending()] == [
        ("aa", 1, "mode"), ("aa", 2, "decision"), ("aa", 3, "fault"), ("bb", 1, "mode"),
    ]  # fmt: skip


def test_the_same_boot_goes_on_where_it_was(make):
    journal = make(boot_id="aa" * 16)
    journal.append(MODE)
    journal.close()
    assert make(boot_id="aa" * 16).append(MODE) == 2


def test_a_use_is_committed_once_with_its_decision(make):
    journal = make()
    assert journal.commit_use(b"use", 2**40, GRANT) == 1
    assert journal.was_used(b"use")
    with pytest.raises(AlreadyUsed, match=r"^this use was committed before$"):
        journal.commit_use(b"use", 2**40, GRANT)
    assert len(journal.pending()) == 1
    assert journal.append(DENIAL) == 2


def test_an_annulled_use_can_be_used_again(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT)
    journal.annul_use(b"use", ANNULMENT)
    assert not journal.was_used(b"use")
    assert journal.commit_use(b"use", 2**40, GRANT) == 3


def test_marks_outlive_a_restart_and_expire_after_their_last_second(make, clock):
    journal = make()
    journal.commit_use(b"use", int(clock.now) + 60, GRANT)
    journal.close()
    journal = make()
    clock.now += 60.9  # still the last second
    assert journal.was_used(b"use")
    with pytest.raises(AlreadyUsed):
        journal.commit_use(b"use", int(clock.now) + 60, GRANT)
    clock.now += 0.1
    assert not journal.was_used(b"use")
    journal.commit_use(b"use", int(clock.now) + 60, GRANT)


def test_a_mark_is_of_one_use_alone(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT)
    journal.commit_use(b"other", 2**40, GRANT)
    journal.annul_use(b"other", ANNULMENT)
    assert journal.was_used(b"use")
    assert not journal.was_used(b"other")
    assert not journal.was_used(b"us")


def test_a_commit_clears_at_most_32_expired_marks_the_oldest_first(make, clock):
    """Clearing all at once would keep a person waiting after a quiet weekend."""
    journal = make()
    for number in range(40):
        journal.commit_use(b"%d" % number, int(clock.now) + 100 - number, GRANT)
    clock.now += 1_000
    journal.commit_use(b"new", 2**40, GRANT)
    with edited(journal.path) as db:
        left = [key for (key,) in db.execute("SELECT replay_key FROM used ORDER BY until")]
    db.close()
    assert left == [b"%d" % number for number in range(7, -1, -1)] + [b"new"]


def test_expired_marks_leave_the_disk_however_many_there_are(make, clock):
    journal = make()
    for number in range(100):
        journal.commit_use(b"%d" % number, int(clock.now), GRANT)
    clock.now += 10
    journal.commit_use(b"99", int(clock.now) + 5, GRANT)
    for number in range(4):
        journal.commit_use(b"new %d" % number, int(clock.now) + 5, GRANT)
    with edited(journal.path) as db:
        assert db.execute("SELECT count(*) FROM used").fetchone() == (5,)
    db.close()


def test_a_passage_moves_the_subject_in_the_same_row(make, clock):
    journal = make()
    assert journal.last_zone("s1") is None
    passed = Passage(passage=PASSAGE_ID, outcome="passed", direction="in")
    journal.record_passage(passed, Way("s1", "hall", "in"))
    clock.now += 5
    journal.record_passage(passed, Way("s1", "hall", "out"))
    entry = journal.last_zone("s1")
    assert (entry.zone, entry.direction, entry.at) == ("hall", "out", clock.now)


@pytest.mark.parametrize(("days", "known"), [(30, True), (30.00001, False)])
def test_whereabouts_are_forgotten_after_thirty_days(make, clock, days, known):
    journal = make()
    passed = Passage(passage=PASSAGE_ID, outcome="passed")
    journal.record_passage(passed, Way("s1", "hall", "in"))
    clock.now += days * 86_400
    journal.record_passage(passed, Way("s2", "hall", "in"))
    assert (journal.last_zone("s1") is not None) is known
    assert journal.last_zone("s2") is not None


def test_a_passage_forgets_at_most_sixteen_the_oldest_first(make, clock):
    journal = make()
    passed = Passage(passage=PASSAGE_ID, outcome="passed")
    for number in range(20):
        clock.now += 1
        journal.record_passage(passed, Way(f"s{19 - number}", "hall", "in"))
    clock.now += 31 * 86_400
    journal.record_passage(passed, Way("new", "hall", "in"))
    known = [number for number in range(20) if journal.last_zone(f"s{number}") is not None]
    assert known == [0, 1, 2, 3]


# --- what was given back, and whom a crash cut short


def test_a_use_that_was_given_back_is_remembered_across_a_restart(make, clock):
    journal = make()
    assert journal.give_backs(b"h1", "s", window_s=60) == GiveBacks(use=False, subject=0)
    journal.commit_use(b"use", 2**40, GRANT)
    journal.annul_use(b"use", ANNULMENT, GiveBack(b"h1", "s", clock.now + 90))
    assert not journal.was_used(b"use")
    journal.close()
    journal = make()
    for use, subject, found in [
        (b"h1", "s", GiveBacks(use=True, subject=1)),
        (b"h2", "s", GiveBacks(use=False, subject=1)),
        (b"h1", "t", GiveBacks(use=True, subject=0)),
        (b"h2", "t", GiveBacks(use=False, subject=0)),
    ]:
        assert journal.give_backs(use, subject, window_s=60) == found
    journal.annul_use(b"other", ANNULMENT, GiveBack(b"h2", "s", clock.now + 90))
    assert journal.give_backs(b"h2", "s", window_s=60) == GiveBacks(use=True, subject=2)


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (59.75, GiveBacks(use=True, subject=1)),
        (60, GiveBacks(use=True, subject=0)),
        (90, GiveBacks(use=True, subject=0)),
        (90.25, GiveBacks(use=False, subject=0)),
    ],
)
def test_what_was_given_back_counts_for_its_time(make, clock, after, found):
    journal = make()
    journal.annul_use(b"use", ANNULMENT, GiveBack(b"h", "s", clock.now + 90))
    clock.now += after
    assert journal.give_backs(b"h", "s", window_s=60) == found


def test_an_annulment_of_a_gate_that_never_opened_counts_for_nothing(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT)
    journal.annul_use(b"use", ANNULMENT)
    with edited(journal.path) as db:
        assert db.execute("SELECT count(*) FROM given_back").fetchone() == (0,)
    db.close()


def test_a_use_given_back_again_is_one_row_and_the_newest(make, clock):
    journal = make()
    journal.annul_use(b"use", ANNULMENT, GiveBack(b"h", "s", clock.now + 10))
    clock.now += 60
    journal.annul_use(b"use", ANNULMENT, GiveBack(b"h", "s", clock.now + 10))
    assert journal.give_backs(b"h", "s", window_s=120) == GiveBacks(use=True, subject=1)


def test_an_annulment_forgets_at_most_thirty_two_the_oldest_first(make, clock):
    journal = make()
    for number in range(40):
        until = clock.now + 100 - number
        journal.annul_use(b"use", ANNULMENT, GiveBack(b"%d" % number, "s", until))
    clock.now += 100.5
    journal.annul_use(b"use", ANNULMENT, GiveBack(b"new", "s", clock.now))
    with edited(journal.path) as db:
        left = [use for (use,) in db.execute("SELECT use FROM given_back ORDER BY until")]
    db.close()
    assert left == [b"7", b"6", b"5", b"4", b"3", b"2", b"1", b"0", b"new"]


def test_what_is_still_remembered_is_not_forgotten(make, clock):
    journal = make()
    journal.annul_use(b"use", ANNULMENT, GiveBack(b"h", "s", clock.now))
    journal.annul_use(b"use", ANNULMENT)
    assert journal.give_backs(b"h", "s", window_s=60) == GiveBacks(use=True, subject=1)


# --- a ticket is spent with the use of the code that it stands in


def test_a_use_and_its_ticket_are_marked_together_and_survive_a_restart(make, clock):
    journal = make()
    ticket = Mark(b"ticket", int(clock.now) + 1_000)
    assert journal.commit_use(b"use", int(clock.now) + 60, GRANT, None, ticket) == 1
    journal.close()
    journal = make()
    for key, after, used in [
        (b"use", 60, True),
        (b"use", 61, False),
        (b"ticket", 1_000, True),
        (b"ticket", 1_001, False),
        (b"another", 0, False),
    ]:
        clock.now += after
        assert journal.was_used(key) is used
        clock.now -= after


def test_a_ticket_in_a_fresh_code_is_refused_and_nothing_of_that_code_is_kept(make):
    journal = make()
    journal.commit_use(b"1", 2**40, GRANT, None, Mark(b"ticket", 2**40))
    with pytest.raises(AlreadyUsed, match="this use was committed before"):
        journal.commit_use(b"2", 2**40, GRANT, Way("s", "hall", "in"), Mark(b"ticket", 2**40))
    assert not journal.was_used(b"2")
    assert len(journal) == 1
    journal.record_cut_short(CUT)
    assert journal.last_zone("s") is None
    assert journal.commit_use(b"2", 2**40, GRANT, None, Mark(b"another", 2**40)) == 3


def test_a_code_that_was_used_spends_no_ticket(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT)
    with pytest.raises(AlreadyUsed):
        journal.commit_use(b"use", 2**40, GRANT, None, Mark(b"ticket", 2**40))
    assert not journal.was_used(b"ticket")


def test_a_ticket_whose_mark_ran_out_can_be_spent_anew(make, clock):
    journal = make()
    for number in range(40):
        journal.commit_use(b"%d" % number, int(clock.now), GRANT)
    journal.commit_use(b"use", 2**40, GRANT, None, Mark(b"ticket", int(clock.now) + 5))
    clock.now += 5
    with pytest.raises(AlreadyUsed):
        journal.commit_use(b"in time", 2**40, GRANT, None, Mark(b"ticket", 2**40))
    clock.now += 1
    journal.commit_use(b"new", 2**40, GRANT, None, Mark(b"ticket", 2**40))
    assert journal.was_used(b"ticket")


def test_an_annulment_gives_the_ticket_back_with_the_code_and_remembers_both(make, clock):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT, None, Mark(b"ticket", 2**40))
    journal.commit_use(b"other", 2**40, GRANT, None, Mark(b"other ticket", 2**40))
    given_back = GiveBack(b"h1", "s", clock.now + 90), GiveBack(b"t1", "", clock.now + 500)
    journal.annul_use(b"use", ANNULMENT, *given_back, ticket=b"ticket")
    used = {key: journal.was_used(key) for key in (b"use", b"ticket", b"other", b"other ticket")}
    assert used == {b"use": False, b"ticket": False, b"other": True, b"other ticket": True}
    journal.close()
    journal = make()
    for use, ticket, after, found in [
        (b"h1", b"", 0, GiveBacks(use=True, subject=1)),
        (b"h2", b"", 0, GiveBacks(use=False, subject=1)),
        (b"h2", b"t1", 0, GiveBacks(use=True, subject=1)),
        (b"h2", b"t2", 0, GiveBacks(use=False, subject=1)),
        (b"h1", b"t2", 0, GiveBacks(use=True, subject=1)),
        (b"h2", b"t1", 500, GiveBacks(use=True, subject=0)),
        (b"h2", b"t1", 501, GiveBacks(use=False, subject=0)),
    ]:
        clock.now += after
        assert journal.give_backs(use, "s", window_s=60, ticket=ticket) == found
        clock.now -= after


def test_an_annulment_without_a_ticket_takes_no_other_mark_back(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT, None, Mark(b"ticket", 2**40))
    journal.annul_use(b"use", ANNULMENT)
    assert journal.was_used(b"ticket")


CUT = Passage(passage=PASSAGE_ID, outcome="aborted", reason=Reason.INTERNAL_ERROR, assumed=True)


def test_whom_a_crash_cut_short_is_where_the_grant_led_as_of_then(make, clock):
    journal = make()
    granted_at = clock.now
    journal.commit_use(b"use", 2**40, GRANT, Way("s", "hall", "in"))
    assert journal.last_zone("s") is None
    journal.close()
    clock.now += 3_600
    journal = make()
    assert journal.record_cut_short(CUT) == 1
    entry = journal.last_zone("s")
    assert (entry.zone, entry.direction, entry.at) == ("hall", "in", granted_at)


def test_only_the_newest_holder_is_kept_and_only_its_own_passage_asks_for_it(make):
    journal = make()
    other = msgspec.structs.replace(GRANT, passage="cd" * 16)
    journal.commit_use(b"1", 2**40, GRANT, Way("s", "hall", "in"))
    journal.commit_use(b"2", 2**40, other, Way("t", "hall", "in"))
    journal.commit_use(b"3", 2**40, other)
    journal.record_cut_short(CUT)
    assert (journal.last_zone("s"), journal.last_zone("t")) == (None, None)
    with edited(journal.path) as db:
        assert db.execute("SELECT one, passage, subject FROM holder").fetchall() == [
            (1, "cd" * 16, "t")
        ]
    db.close()


def test_a_use_that_is_marked_already_changes_no_holder(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT, Way("s", "hall", "in"))
    other = msgspec.structs.replace(GRANT, passage="cd" * 16)
    with pytest.raises(AlreadyUsed):
        journal.commit_use(b"use", 2**40, other, Way("t", "hall", "in"))
    journal.record_cut_short(CUT)
    assert journal.last_zone("s") is not None


def test_a_grant_without_a_mark_is_committed_with_its_holder(make):
    journal = make()
    for _ in range(2):
        journal.commit_use(b"", 0, GRANT, Way("s", "hall", "in"))
    with edited(journal.path) as db:
        assert db.execute("SELECT count(*) FROM used").fetchone() == (0,)
    db.close()
    journal.record_cut_short(CUT)
    assert journal.last_zone("s") is not None


def test_an_alarm_and_the_wait_that_it_brings_are_one_row(make, clock):
    alarm = Passage(passage=PASSAGE_ID, outcome="repeated_annulment")
    journal = make()
    journal.add_failure("s", limit=3, lockout_s=300)
    assert journal.record_lockout(alarm, "s", failures=3, lockout_s=300) == 1
    until = clock.now + 300
    assert journal.locked_until("s", limit=3) == until
    journal.close()
    assert make().locked_until("s", limit=3) == until


def test_a_journal_of_before_gets_the_tables_that_it_lacks(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT)
    journal.close()
    with edited(journal.path) as db:
        db.executescript("DROP TABLE given_back; DROP TABLE holder;")
    db.close()
    journal = make()
    assert journal.was_used(b"use")
    assert journal.give_backs(b"h", "s", window_s=60) == GiveBacks(use=False, subject=0)


def test_lockout_counts_across_a_restart_and_ends(make, clock):
    journal = make()
    assert journal.add_failure("s", limit=3, lockout_s=300) is None
    assert journal.add_failure("s", limit=3, lockout_s=300) is None
    journal.close()
    journal = make()
    assert journal.locked_until("s", limit=3) is None
    assert journal.add_failure("s", limit=3, lockout_s=300) == clock.now + 300
    assert journal.locked_until("s", limit=3) == clock.now + 300
    assert journal.locked_until("other", limit=3) is None
    clock.now += 301
    assert journal.locked_until("s", limit=3) is None
    assert journal.add_failure("s", limit=3, lockout_s=300) is None
    journal.clear_failures("s")
    assert journal.add_failure("s", limit=2, lockout_s=300) is None


def test_a_lockout_lasts_to_its_last_moment_and_is_one_subject_s(make, clock):
    journal = make()
    for subject in ("s", "s", "other"):
        journal.add_failure(subject, limit=2, lockout_s=300)
    until = clock.now + 300
    clock.now = until
    assert journal.locked_until("s", limit=2) == until
    assert journal.locked_until("other", limit=2) is None
    journal.clear_failures("other")
    clock.now = until + 0.001
    assert journal.locked_until("s", limit=2) is None


@pytest.mark.parametrize(("later_s", "counts"), [(300, True), (300.001, False)])
def test_a_failure_counts_as_long_as_a_lockout_would_last(make, clock, later_s, counts):
    journal = make()
    journal.add_failure("s", limit=2, lockout_s=300)
    clock.now += later_s
    locked = journal.add_failure("s", limit=2, lockout_s=300)
    assert locked == (clock.now + 300 if counts else None)


def test_rows_are_free_only_by_acknowledgement(make):
    journal = make()
    for _ in range(10):
        journal.append(DENIAL)
    assert journal.first_pending() == Position(1, 1)
    assert journal.acknowledge(journal.boot_id, 4) == 4
    assert journal.acknowledge(journal.boot_id, 4) == 0
    assert journal.acknowledge(journal.boot_id, 2) == 0
    assert journal.acknowledge("00" * 16, 7) == 0
    assert [row.seq for row in journal.pending()] == [5, 6, 7, 8, 9, 10]
    assert journal.unacknowledged() == 6
    assert journal.first_pending() == Position(1, 5)
    assert [row.seq for row in journal.replay(journal.boot_id, 2, 3)] == [2, 3]


def test_an_acknowledgement_of_rows_to_come_is_refused(make):
    journal = make()
    journal.append(DENIAL)
    with pytest.raises(ValueError, match="never written"):
        journal.acknowledge(journal.boot_id, 2)
    assert journal.unacknowledged() == 1


def test_pending_is_bounded_by_positions_and_limit(make):
    first = make(boot_id="aa" * 16)
    for _ in range(5):
        first.append(DENIAL)
    first.close()
    journal = make(boot_id="bb" * 16)
    for _ in range(5):
        journal.append(DENIAL)
    rows = journal.pending(after=Position(1, 3), upto=Position(2, 2), limit=10)
    assert [row.position for row in rows] == [(1, 4), (1, 5), (2, 1), (2, 2)]
    assert [row.position for row in journal.pending(after=Position(1, 4), limit=2)] == [
        (1, 5), (2, 1),
    ]  # fmt: skip


def test_acknowledged_rows_stay_until_the_room_is_needed_and_go_oldest_first(make):
    journal = make(capacity=1_000)
    for _ in range(900):
        journal.append(DENIAL)
    assert len(journal) == 900
    with pytest.raises(JournalFull, match=r"^900 events wait for the collector$"):
        journal.append(DENIAL)
    journal.acknowledge(journal.boot_id, 10)
    assert journal.append(DENIAL) == 901
    assert len(journal) == 891
    assert [row.seq for row in journal.replay(journal.boot_id, 1, 12)] == [11, 12]


def test_a_full_journal_still_takes_faults_until_the_reserve_is_gone(make):
    journal = make(capacity=1_000)
    for _ in range(1_000 - RESERVE):
        journal.append(DENIAL)
    others = ("tailgating", "crawl_back", "wrong_way", "without_grant", "unchecked", "forced_open",
              "held_open", "held_open_cleared", "released")  # fmt: skip
    for refused in (GRANT, *(Passage(passage=PASSAGE_ID, outcome=word) for word in others)):
        with pytest.raises(JournalFull):
            journal.append(refused)
    with pytest.raises(JournalFull):
        journal.commit_use(b"use", 2**40, GRANT)
    assert not journal.was_used(b"use")
    reserved = (
        FAULT,
        MODE,
        Tamper(input="case", active=True),
        Passage(passage=PASSAGE_ID, outcome="passed"),
        Passage(passage=PASSAGE_ID, outcome="annulled"),
        Passage(passage=PASSAGE_ID, outcome="aborted"),
        msgspec.structs.replace(GRANT, decision="annulled"),
    )
    for number in range(RESERVE):
        journal.append(reserved[number % len(reserved)])
    with pytest.raises(JournalFull):
        journal.append(FAULT)
    assert len(journal) == 1_000
    assert journal.unacknowledged() == 1_000


def test_there_is_room_while_a_decision_could_be_recorded(make):
    journal = make(capacity=RESERVE + 10)
    for number in range(10):
        assert journal.has_room(), f"after {number} rows"
        journal.append(DENIAL)
    assert not journal.has_room()
    journal.acknowledge(journal.boot_id, 1)
    assert journal.has_room()
    journal.append(DENIAL)
    assert not journal.has_room()


@pytest.mark.parametrize(("acknowledged", "left"), [(1, 901), (64, 838), (65, 838), (200, 838)])
def test_rows_leave_64_at_once_and_only_acknowledged_ones(make, acknowledged, left):
    """In batches, since each is a delete of its own in the transaction of a decision."""
    journal = make(capacity=RESERVE + 901)
    for _ in range(901):
        journal.append(DENIAL)
    journal.acknowledge(journal.boot_id, acknowledged)
    journal.append(DENIAL)
    assert len(journal) == left
    assert journal.pending()[0].seq == acknowledged + 1
    with edited(journal.path) as db:
        assert db.execute("SELECT count(*), min(seq) FROM event").fetchone() == (left, 903 - left)
        assert db.execute("SELECT freed FROM boot").fetchone() == (902 - left,)
    db.close()


def test_a_journal_is_large_and_durable_unless_told_otherwise(tmp_path):
    before = time.time()
    with (
        Journal.open(tmp_path / "one.sqlite") as one,
        Journal.open(tmp_path / "two.sqlite") as two,
    ):
        assert one._capacity == 200_000
        assert one._writer.execute("PRAGMA synchronous").fetchone() == (2,)
        assert re.fullmatch("[0-9a-f]{32}", one.boot_id)
        assert one.boot_id != two.boot_id
        assert one.path == tmp_path / "one.sqlite"
        one.append(DENIAL)
        assert before <= one.pending()[0].time_us / 1e6 <= time.time()
    assert (tmp_path / "one.sqlite.lock").exists()


def test_old_boots_are_freed_before_new_ones(make):
    first = make(boot_id="aa" * 16, capacity=1_000)
    for _ in range(450):
        first.append(DENIAL)
    first.close()
    journal = make(boot_id="bb" * 16, capacity=1_000)
    for _ in range(450):
        journal.append(DENIAL)
    journal.acknowledge("bb" * 16, 100)
    journal.acknowledge("aa" * 16, 100)
    journal.append(DENIAL)
    assert [row.seq for row in journal.replay("aa" * 16, 1, 70)] == [65, 66, 67, 68, 69, 70]
    assert len(journal.replay("bb" * 16, 1, 64)) == 64


def test_an_event_that_breaks_its_schema_is_not_written(make):
    journal = make()
    with pytest.raises(ValueError, match="passage"):
        journal.append(Decision(passage="Alice", decision="denied", reason=Reason.EXPIRED))
    assert journal.append(DENIAL) == 1


def test_a_second_process_is_refused(make):
    make()
    with pytest.raises(JournalFailed, match="another process"):
        make()


def test_a_damaged_database_is_set_aside_and_told(make, tmp_path, clock):
    journal = make()
    for _ in range(200):
        journal.append(DENIAL)
    journal.close()
    path = tmp_path / "journal.sqlite"
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xa5" * (4096 * 3)
    path.write_bytes(data)
    journal = make()
    assert journal.set_aside.startswith("journal.sqlite.corrupt-")
    assert (tmp_path / journal.set_aside).read_bytes() == bytes(data)
    (row,) = journal.pending()
    assert (row.seq, row.type) == (1, "fault")
    detail = f"set aside as {journal.set_aside}"
    assert journal.lost == detail
    assert msgspec.json.decode(row.data, type=Fault) == Fault(
        part="journal", code="corrupt", detail=detail
    )


@pytest.mark.parametrize(
    ("spoil", "detail"),
    [(Path.unlink, "gone"), (lambda path: path.write_bytes(b""), "empty")],
)
def test_a_journal_that_is_gone_or_emptied_is_told(make, tmp_path, spoil, detail):
    first = make()
    assert first.lost == ""
    first.append(DENIAL)
    first.close()
    for name in ("journal.sqlite-wal", "journal.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    spoil(tmp_path / "journal.sqlite")
    journal = make()
    assert (journal.lost, journal.set_aside) == (f"the file was {detail}", "")
    (row,) = journal.pending()
    assert (row.seq, row.type) == (1, "fault")
    assert msgspec.json.decode(row.data, type=Fault) == Fault(
        part="journal", code="lost", detail=f"the file was {detail}"
    )
    journal.close()
    assert make().lost == ""


def test_a_first_start_that_failed_left_no_journal_to_miss(make, tmp_path):
    """As on a full disk: nothing was used before, so nothing counts as used."""
    (tmp_path / "journal.sqlite").mkdir()
    with pytest.raises(JournalFailed):
        make()
    (tmp_path / "journal.sqlite").rmdir()
    assert (tmp_path / "journal.sqlite.lock").exists()
    assert make().lost == ""


def test_what_became_of_the_runs_before_is_logged(make, tmp_path):
    stream = io.StringIO()
    log.configure(style="json", stream=stream)
    (tmp_path / "journal.sqlite").write_bytes(b"damaged " * 1_000)
    journal = make()
    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"]) == (
        "warning", "the journal of the runs before is lost",
    )  # fmt: skip
    assert line["detail"] == journal.lost


def test_a_disk_too_full_to_begin_is_one_error_and_lets_go_of_every_file(make, tmp_path):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(JournalFailed, match=r"lock: No space left on device$") as refused:
            make()
    held = [str(entry.resolve()) for entry in Path("/proc/self/fd").iterdir()]
    assert not any(name.startswith(str(tmp_path)) for name in held), refused.value
    assert make().append(DENIAL) == 1


def test_tables_of_another_program_are_one_error_and_let_go_of(make, tmp_path):
    path = tmp_path / "journal.sqlite"
    with edited(path) as db:
        db.execute("CREATE TABLE boot(colour TEXT)")
    db.close()
    for _ in range(2):
        with pytest.raises(JournalFailed, match=f"^{path}: no such column: number$"):
            make()


@pytest.mark.parametrize("content", [b"not a database, just text " * 400, b"\0" * 8192])
def test_a_foreign_file_is_set_aside(make, tmp_path, content):
    (tmp_path / "journal.sqlite").write_bytes(content)
    journal = make()
    assert journal.set_aside
    assert journal.append(DENIAL) == 2


def test_only_the_two_newest_damaged_files_are_kept(make, tmp_path, clock):
    for _ in range(4):
        (tmp_path / "journal.sqlite").write_bytes(b"damaged " * 1_000)
        for name in ("journal.sqlite-wal", "journal.sqlite-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        clock.now += 10
        make().close()
    assert len(list(tmp_path.glob("*.corrupt-*"))) == 2


def test_damage_found_later_fails_the_call_and_is_set_aside_at_the_next_start(make, tmp_path):
    journal = make()
    for _ in range(2_000):
        journal.append(DENIAL)
    journal.maintain()
    size = (tmp_path / "journal.sqlite").stat().st_size
    with (tmp_path / "journal.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    with pytest.raises(JournalFailed):
        journal.pending(limit=2_000)
    journal.close()
    assert make().set_aside


def test_a_full_disk_keeps_the_gate_closed_and_seq_without_gap(tmp_path, clock):
    """A file-size limit stands for the full disk: the same write error, SQLITE_FULL or IOERR."""
    journal = Journal.open(tmp_path / "journal.sqlite", clock=clock)
    written = [journal.append(DENIAL)]

    def write_until_it_fails() -> None:
        for number in range(200):
            seq = journal.commit_use(b"%d" % number, 2**40, GRANT)
            written.append(seq)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "journal.sqlite-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30_000, hard))
    try:
        with pytest.raises(JournalFailed):
            write_until_it_fails()
        with pytest.raises(JournalFailed):
            journal.commit_use(b"another", 2**40, GRANT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    last = written[-1]
    assert 1 < last < 200
    assert written == list(range(1, last + 1))
    assert not journal.was_used(b"%d" % (last - 1))
    assert journal.append(DENIAL) == last + 1
    assert [row.seq for row in journal.pending(limit=500)] == list(range(1, last + 2))
    journal.close()


def test_a_missing_directory_is_one_clear_error(tmp_path):
    with pytest.raises(JournalFailed, match="No such file"):
        Journal.open(tmp_path / "nowhere" / "journal.sqlite")


def test_a_newer_version_is_refused_and_left_alone(make, tmp_path):
    make().close()
    with edited(tmp_path / "journal.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(JournalFailed, match="version 99"):
        make()
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_threads_share_one_count_without_gap(make):
    journal = make()
    seen: list[int] = []
    lock = threading.Lock()

    def write(number: int) -> None:
        got = [journal.commit_use(b"%d-%d" % (number, i), 2**40, GRANT) for i in range(50)]
        with lock:
            seen.extend(got)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 401))


def test_one_use_offered_by_many_threads_is_granted_once(make):
    journal = make()
    outcomes: list[bool] = []
    start = threading.Barrier(8)

    def use() -> None:
        start.wait()
        try:
            journal.commit_use(b"the code", 2**40, GRANT)
            outcomes.append(True)
        except AlreadyUsed:
            outcomes.append(False)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(True) == 1
    assert outcomes.count(False) == 7


def test_quick_questions_do_not_wait_for_a_writer_or_the_pump(make):
    journal = make()
    journal.commit_use(b"use", 2**40, GRANT)
    answered = threading.Event()

    def ask() -> None:
        assert journal.was_used(b"use")
        assert journal.last_zone("nobody") is None
        answered.set()

    # Both long-running parties hold their locks, and the writer an open transaction.
    with journal._write_lock, journal._read_lock:
        journal._writer.execute("BEGIN IMMEDIATE")
        journal._writer.execute("INSERT INTO used VALUES(x'00', 1)")
        thread = threading.Thread(target=ask)
        thread.start()
        assert answered.wait(5)
        thread.join()
        journal._writer.execute("ROLLBACK")


def test_the_log_file_stays_small_with_and_without_a_pump(make, tmp_path):
    journal = make(capacity=5_000)
    for number in range(6_000):
        journal.append(DENIAL)
        if number % 100 == 99:
            journal.acknowledge(journal.boot_id, number + 1)
        if number % 500 == 499:
            journal.maintain()
    assert (tmp_path / "journal.sqlite-wal").stat().st_size < 8 * 2**20
    assert (tmp_path / "journal.sqlite").stat().st_size < 4 * 2**20


def test_a_hundred_thousand_events_fit_and_open_quickly(make):
    journal = make(capacity=110_000)
    with journal._transaction(journal._writer) as db:
        db.executemany(
            "INSERT INTO event(boot, seq, type, time_us, data) VALUES(1, ?, 'decision', 0, ?)",
            ((seq, b"x" * 300) for seq in range(1, 100_001)),
        )
    journal.close()
    start = time.monotonic()
    journal = make(capacity=110_000)
    assert time.monotonic() - start < 10
    assert journal.unacknowledged() == 100_000
    assert journal.append(DENIAL) == 1
    assert journal.pending(after=Position(1, 99_999))[0].seq == 100_000


def test_the_listener_hears_every_row_and_only_rows(make):
    journal = make()
    heard: list[int] = []
    journal.listen(lambda: heard.append(len(journal)))
    journal.append(DENIAL)
    journal.acknowledge(journal.boot_id, 1)
    journal.append(DENIAL)
    journal.commit_use(b"use", 2**40, GRANT)
    assert heard == [1, 2], "the gate opens first"
    journal.announce()
    journal.listen(None)
    journal.append(DENIAL)
    journal.announce()
    assert heard == [1, 2, 3]


def test_closing_twice_is_fine_and_writing_then_is_not(make):
    journal = make()
    journal.append(DENIAL)
    journal.close()
    journal.close()
    for call in (
        lambda: journal.append(DENIAL), lambda: journal.was_used(b"x"), journal.pending,
        lambda: journal.add_failure("s", limit=1, lockout_s=1),
    ):  # fmt: skip
        with pytest.raises(JournalFailed):
            call()


def test_the_path_may_hold_spaces(tmp_path: Path):
    with Journal.open(tmp_path / "a journal.sqlite") as journal:
        assert journal.append(DENIAL) == 1


def test_a_replay_of_any_numbers_is_what_is_there(make):
    """The numbers are a command's: what SQLite cannot hold must not stop the reporter."""
    journal = make()
    for _ in range(3):
        journal.append(DENIAL)
    boot = journal.boot_id
    assert [row.seq for row in journal.replay(boot, -(2**70), 2**70)] == [1, 2, 3]
    assert journal.replay(boot, 2**64, 2**65) == []
    assert journal.replay(boot, -(2**64), -1) == []
