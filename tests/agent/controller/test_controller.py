"""The controller with a real journal, judge and machine, a fake clock, and a gate that notes.

What the passage machine asks for is carried out in order: nothing opens before the disk has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import queue
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from agent.controller.controller import QUEUE_LIMIT
from agent.controller.ports import FrameCodes
from agent.journal import events
from agent.journal.journal import JournalFailed, JournalFull
from agent.journal.subjects import SubjectHasher
from agent.passage.events import (
    BiometricDone,
    CodesSeen,
    Command,
    FireChanged,
    GateFault,
    InputFault,
    PassageSensed,
    Shutdown,
)
from agent.passage.types import Code, Direction, Mode, Phase
from agent.policy.profile import parse_profile
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot
from tests.agent.controller.support import PROFILE, T0, Bench


def test_a_passage(bench: Bench) -> None:
    bench.show(bench.code())
    assert bench.controller.state.phase is Phase.OPEN
    assert bench.gate.asked[:1] == ["open in"]
    assert bench.gate.rows_at_open == 1  # the decision was on the disk
    bench.controller.handle(PassageSensed())
    assert bench.outcomes() == ["passed"]
    (decision,) = bench.decisions()
    assert (decision.decision, decision.reason) == ("granted", Reason.GRANTED)
    assert decision.stages_ms["decode"] == 2.0
    assert decision.stages_ms["camera"] == pytest.approx(1.0)
    assert decision.total_ms == pytest.approx(5.0)


def test_the_same_use_is_refused_after_a_passage_and_allowed_after_an_annulment(
    bench: Bench,
) -> None:
    code = bench.code()
    bench.show(code)
    bench.later(6.0)  # nobody walks
    assert bench.outcomes() == ["annulled"]
    bench.clear()
    bench.show(code)
    bench.controller.handle(PassageSensed())
    bench.clear()
    bench.show(code)
    answers = [(row.decision, row.reason) for row in bench.decisions()]
    assert answers == [
        ("granted", Reason.GRANTED),
        ("annulled", Reason.NO_PASSAGE),
        ("granted", Reason.GRANTED),
        ("denied", Reason.REPLAYED),
    ]
    grant = next(row for row in bench.rows if row.event is bench.decisions()[0])
    assert bench.decisions()[1].annuls == grant.seq


def test_the_gate_opens_before_anybody_is_told_of_the_row(bench: Bench) -> None:
    """The reporter, counting and the console wait: none of them is needed for the person."""
    asked: list[tuple[str, list[str]]] = []
    bench.journal.listen(lambda: asked.append(("reporter", list(bench.gate.asked))))
    bench.show(bench.code())
    ((who, before),) = asked
    assert (who, before[0]) == ("reporter", "open in")
    bench.controller.handle(PassageSensed())
    assert len(asked) > 1, "the reporter hears of the passage's row too"
    assert [row.seq for row in bench.rows] == [1, 2]


def test_what_is_written_while_stopping_is_told_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.show(bench.code())
    disk = {"full": True}
    for name in ("append", "annul_use"):
        write = getattr(bench.journal, name)

        def maybe(*words: object, write=write, **more: object) -> int:
            if disk["full"]:
                raise JournalFailed("disk full")
            return write(*words, **more)

        monkeypatch.setattr(bench.journal, name, maybe)
    bench.later(6.0)
    disk["full"] = False
    bench.clock.now += 2.0
    bench.controller.handle(Shutdown())
    assert bench.outcomes() == ["annulled"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (JournalFailed("disk full"), Reason.JOURNAL_FAILED),
        (JournalFull("full"), Reason.JOURNAL_FULL),
    ],
)
def test_what_cannot_be_recorded_opens_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: Reason
) -> None:
    def refuse(*_: object) -> int:
        raise error

    monkeypatch.setattr(bench.journal, "commit_use", refuse)
    bench.show(bench.code())
    assert not any(word.startswith("open") for word in bench.gate.asked)
    assert [row.reason for row in bench.decisions()] == [reason]


def test_the_end_of_a_grant_is_written_when_the_disk_is_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = bench.code()
    bench.show(code)
    disk = {"full": True}
    for name in ("append", "annul_use", "record_passage"):
        write = getattr(bench.journal, name)

        def maybe(*words: object, write=write, **more: object) -> int:
            if disk["full"]:
                raise JournalFailed("disk full")
            return write(*words, **more)

        monkeypatch.setattr(bench.journal, name, maybe)
    bench.later(6.0)  # nobody walks, and nothing can be said of it
    assert bench.outcomes() == []
    disk["full"] = False
    bench.later(0.5)
    assert bench.outcomes() == []
    bench.later(1.0)
    assert bench.outcomes() == ["annulled"]
    assert [row.decision for row in bench.decisions()] == ["granted", "annulled"]
    seqs = [row.seq for row in bench.rows]
    assert seqs == sorted(seqs)
    bench.clear()
    bench.show(code)
    assert bench.decisions()[-1].reason is Reason.GRANTED
    assert bench.controller.lost_rows == 0


def test_a_full_journal_may_mean_free_passage_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, journal_full="free")

    def refuse(*_: object) -> int:
        raise JournalFull("full")

    monkeypatch.setattr(bench.journal, "commit_use", refuse)
    monkeypatch.setattr(bench.journal, "has_room", lambda: False)
    bench.show(bench.code())
    assert bench.controller.state.mode is Mode.FREE
    assert "hold True" in bench.gate.asked
    # Killed now, the gate must not come back as free for ever.
    assert bench.modes == []
    (row,) = [row.event for row in bench.rows if isinstance(row.event, events.Mode)]
    assert (row.mode, row.cause) == ("free", "fault")
    monkeypatch.setattr(bench.journal, "has_room", lambda: True)
    bench.later(1.0)
    assert bench.controller.state.mode is Mode.NORMAL
    assert bench.gate.asked[-2:] != ["hold True"]
    assert "hold False" in bench.gate.asked
    bench.journal.close()


def test_a_full_journal_frees_no_gate_that_somebody_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, journal_full="free")

    def refuse(*_: object) -> int:
        raise JournalFull("full")

    room = [False]
    monkeypatch.setattr(bench.journal, "commit_use", refuse)
    monkeypatch.setattr(bench.journal, "has_room", lambda: room[0])
    bench.show(bench.code())
    bench.controller.handle(Command("mode", "t", None, Mode.LOCKED))
    assert bench.modes == [Mode.LOCKED]
    room[0] = True
    bench.later(1.0)
    assert bench.controller.state.mode is Mode.LOCKED
    bench.journal.close()


def test_after_a_damaged_journal_what_was_shown_before_counts_as_used(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_bytes(b"no database" * 1000)
    bench = Bench(tmp_path)
    assert bench.journal.set_aside
    bench.show(bench.code(at=T0 - 5))
    bench.clear()
    # A phone whose clock is ahead may have shown this one before the start.
    bench.show(bench.code(at=T0 + 5))
    bench.clear(4.0)
    bench.show(bench.code())
    answers = [row.reason for row in bench.decisions()]
    assert answers == [Reason.REPLAYED, Reason.REPLAYED, Reason.GRANTED]
    bench.journal.close()


def test_after_a_damaged_journal_a_static_code_waits_for_its_reuse_time(tmp_path: Path) -> None:
    (tmp_path / "j.sqlite").write_bytes(b"no database" * 1000)
    bench = Bench(tmp_path, PROFILE + "dynamic = false\nreuse_s = 10\n")
    static = bench.code(static=True)
    bench.show(static)
    bench.clear(11.0)
    bench.show(static)
    answers = [row.reason for row in bench.decisions()]
    assert answers == [Reason.REPLAYED, Reason.GRANTED]
    bench.journal.close()


def test_an_untrusted_clock_refuses_dynamic_codes(bench: Bench) -> None:
    bench.clock.believed = False
    bench.show(bench.code())
    assert [row.reason for row in bench.decisions()] == [Reason.CLOCK_UNTRUSTED]


FACE_PROFILE = PROFILE + 'biometric = "face"\n'


def test_a_face_is_asked_and_its_time_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FACE_PROFILE)
    bench.show(bench.code(face=True))
    (check,) = bench.checks.started
    bench.clock.now += 0.7
    bench.controller.handle(BiometricDone(check.attempt, check.modality, matched=True))
    (decision,) = bench.decisions()
    assert decision.decision == "granted"
    assert decision.stages_ms["face"] == pytest.approx(700)
    assert [(each.modality, each.reason) for each in decision.biometrics] == [
        ("face", Reason.GRANTED)
    ]
    bench.journal.close()


def test_three_wrong_faces_lock_the_subject_out_even_over_a_restart(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FACE_PROFILE)
    for number in range(3):
        bench.show(bench.code(face=True))
        check = bench.checks.started[number]
        bench.controller.handle(
            BiometricDone(check.attempt, check.modality, matched=False, reason=Reason.FACE_MISMATCH)
        )
        bench.clear(4.0)
    bench.show(bench.code(face=True))
    bench.show(bench.code(face=True, subject="2"))
    reasons = [row.reason for row in bench.decisions()]
    assert reasons[:4] == [Reason.FACE_MISMATCH] * 3 + [Reason.LOCKED_OUT]
    issuer, holder = bench.issuer, bench.holder
    bench.journal.close()
    again = Bench(tmp_path, FACE_PROFILE)
    again.clock.now = bench.clock.now
    # The same issuer and phone come back after the restart.
    again.issuer, again.holder = issuer, holder
    trust = TrustSnapshot(keys=(issuer.issuer_key(),), updated_at=T0)
    object.__setattr__(again.controller._ports, "trust", lambda: trust)
    again.show(again.code(face=True))
    assert again.decisions()[-1].reason is Reason.LOCKED_OUT
    again.clear(301.0)
    again.show(again.code(face=True))
    assert len(again.checks.started) == 1
    again.journal.close()


def test_anti_passback_asks_the_journal(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PROFILE + 'anti_passback = "on"\n')
    for _ in range(2):
        bench.show(bench.code())
        bench.controller.handle(PassageSensed(Direction.IN))
        bench.clear(3.0)
    assert [row.reason for row in bench.decisions()] == [Reason.GRANTED, Reason.ALREADY_INSIDE]
    bench.clear(600.0)
    bench.show(bench.code())
    assert bench.decisions()[-1].reason is Reason.GRANTED
    bench.journal.close()


@pytest.mark.parametrize(("anti_passback", "kept"), [("off", 0), ("on", 1)])
def test_where_somebody_went_is_kept_for_anti_passback_alone(
    tmp_path: Path, anti_passback: str, kept: int
) -> None:
    bench = Bench(tmp_path, PROFILE + f'anti_passback = "{anti_passback}"\n')
    bench.show(bench.code())
    bench.controller.handle(PassageSensed(Direction.IN))
    bench.clear(3.0)
    assert bench.outcomes() == ["passed"]
    bench.journal.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "j.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM presence").fetchone() == (kept,)


def test_fire_aborts_a_grant_and_gives_the_use_back(bench: Bench) -> None:
    code = bench.code()
    bench.show(code)
    bench.controller.handle(FireChanged(active=True))
    assert bench.outcomes() == ["aborted"]
    annulled = bench.decisions()[-1]
    assert (annulled.decision, annulled.reason) == ("annulled", Reason.FIRE)
    bench.controller.handle(FireChanged(active=False))
    bench.clear()
    bench.show(code)
    assert bench.decisions()[-1].decision == "granted"


def test_commands_are_answered_and_modes_kept(bench: Bench) -> None:
    bench.controller.handle(Command("mode", "t1", mode=Mode.LOCKED))
    bench.show(bench.code())
    assert bench.decisions()[-1].reason is Reason.GATE_LOCKED
    bench.clear()
    bench.controller.handle(Command("open", "t2"))
    assert bench.answers == [("t1", True, None), ("t2", True, None)]
    assert bench.modes == [Mode.LOCKED]
    assert bench.decisions()[-1].source == "command"


def test_nothing_personal_is_in_a_row(bench: Bench) -> None:
    bench.show(bench.code(subject="passport-number-77"))
    for row in bench.journal.replay(bench.journal.boot_id, 1, 100, 100):
        assert b"passport-number-77" not in row.data
        assert "subject" in json.loads(row.data)


def test_a_flood_of_sightings_is_dropped_and_an_input_is_not(bench: Bench) -> None:
    flood = FrameCodes(CodesSeen(), {})
    for _ in range(QUEUE_LIMIT + 50):
        bench.controller.post(flood)
    assert bench.controller.dropped == 50
    with pytest.raises(queue.Full):
        bench.controller.post(FireChanged(active=True), timeout_s=0.01)


def test_the_loop_serves_until_stopped_and_ends_what_is_open(bench: Bench) -> None:
    import threading

    thread = threading.Thread(target=bench.controller.run)
    thread.start()
    text = bench.code()
    digest = hashlib.sha256(text.encode()).digest()
    bench.controller.post(CodesSeen((Code(digest, text.encode()),)))
    bench.controller.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert [row.decision for row in bench.decisions()] == ["granted"]
    assert bench.outcomes() == ["aborted"]
    assert bench.gate.asked[-1] != "open in"


# --- what an opening is worth on which nobody was seen

PASSBACK = PROFILE + 'anti_passback = "on"\n'


@pytest.fixture
def hall(tmp_path: Path) -> Bench:
    """A gate that lets nobody in twice."""
    return Bench(tmp_path, PASSBACK)


def show_until_over(bench: Bench, code: str) -> Reason:
    """Show a code, let an opening's time run out, take the code away; return the answer."""
    before = len(bench.decisions())
    bench.show(code)
    bench.later(5.0)
    bench.later(0.5)
    bench.clear()
    return bench.decisions()[before].reason


def test_one_code_that_nobody_is_seen_to_use_opens_twice_and_no_more(bench: Bench) -> None:
    code = bench.code()
    assert [show_until_over(bench, code) for _ in range(3)] == [
        Reason.GRANTED, Reason.GRANTED, Reason.REPLAYED,
    ]  # fmt: skip
    assert bench.outcomes() == ["annulled", "passed", "repeated_annulment"]
    rows = [row.event for row in bench.rows if isinstance(row.event, events.Passage)]
    assert [row.assumed for row in rows] == [False, True, False]
    assert [row.reason for row in rows] == [None, Reason.NO_PASSAGE, None]
    assert rows[2].subject == rows[1].subject is not None


@pytest.mark.parametrize("static", [False, True])
def test_one_subject_whom_nobody_is_seen_to_be_waits_with_any_code(
    bench: Bench, static: bool
) -> None:
    for wanted in (Reason.GRANTED, Reason.GRANTED, Reason.LOCKED_OUT, Reason.LOCKED_OUT):
        if static:
            bench.clear(11.0)
        assert show_until_over(bench, bench.code()) is wanted
    bench.clear(300.0)
    bench.controller.handle(PassageSensed())  # the beam works
    assert show_until_over(bench, bench.code()) is Reason.GRANTED
    assert bench.outcomes()[4:] == ["passed", "repeated_annulment"]
    bench.clear(3_600.0)
    bench.controller.handle(PassageSensed())
    assert show_until_over(bench, bench.code()) is Reason.GRANTED
    assert bench.outcomes()[-1] == "annulled"


def test_a_static_code_is_given_back_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PROFILE + "dynamic = false\nreuse_s = 10\n")
    code = bench.code(static=True)
    assert show_until_over(bench, code) is Reason.GRANTED
    assert show_until_over(bench, code) is Reason.GRANTED
    bench.clear(11.0)
    assert show_until_over(bench, code) is Reason.LOCKED_OUT


def test_who_is_assumed_to_have_passed_is_inside(hall: Bench) -> None:
    answers = [show_until_over(hall, hall.code()) for _ in range(3)]
    assert answers == [Reason.GRANTED, Reason.GRANTED, Reason.ALREADY_INSIDE]


def test_what_was_given_back_is_remembered_by_the_next_run(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    assert show_until_over(first, first.code()) is Reason.GRANTED
    first.journal.close()
    again = Bench(tmp_path)  # another issuer of the same name: the same subject
    again.clock.now = first.clock.now
    again.controller.handle(PassageSensed())
    assert show_until_over(again, again.code()) is Reason.GRANTED
    assert again.outcomes()[1:] == ["passed", "repeated_annulment"]
    assert show_until_over(again, again.code()) is Reason.LOCKED_OUT


def test_a_shutdown_in_an_open_gate_leaves_the_person_inside(hall: Bench) -> None:
    code = hall.code()
    hall.show(code)
    hall.controller.handle(Shutdown())
    (row,) = (row.event for row in hall.rows if isinstance(row.event, events.Passage))
    assert (row.outcome, row.assumed, row.reason) == ("aborted", True, Reason.MAINTENANCE)
    hall.clear()
    hall.show(code)
    assert hall.decisions()[-1].reason is Reason.REPLAYED
    hall.clear()
    hall.show(hall.code())
    assert hall.decisions()[-1].reason is Reason.ALREADY_INSIDE


def test_only_a_place_that_asks_keeps_where_a_grant_leads(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "hall").mkdir()
    for table, kept in ((bench, 0), (Bench(tmp_path / "hall", PASSBACK), 1)):
        table.show(table.code())
        table.controller.handle(Shutdown())
        with contextlib.closing(sqlite3.connect(table.journal.path)) as db:
            for name in ("holder", "presence"):
                assert db.execute(f"SELECT count(*) FROM {name}").fetchone() == (kept,)


def test_the_journal_keeps_keyed_hashes_only_of_what_was_given_back(bench: Bench) -> None:
    show_until_over(bench, bench.code())
    with contextlib.closing(sqlite3.connect(bench.journal.path)) as db:
        ((use, subject, at, until),) = db.execute("SELECT * FROM given_back")
    hasher = SubjectHasher(bytes(32))
    assert subject == hasher.local("lib", "1")
    assert len(use) == 16
    assert until - at == pytest.approx(86_400, abs=10)


def test_a_static_use_is_remembered_for_the_window(tmp_path: Path) -> None:
    bench = Bench(tmp_path, PROFILE + "dynamic = false\nreuse_s = 10\n")
    show_until_over(bench, bench.code(static=True))
    with contextlib.closing(sqlite3.connect(bench.journal.path)) as db:
        ((at, until),) = db.execute("SELECT at, until FROM given_back")
    assert until - at == 3_600


def test_a_journal_that_cannot_say_what_was_given_back_lets_nobody_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> object:
        raise JournalFailed("disk gone")

    monkeypatch.setattr(bench.journal, "give_backs", refuse)
    bench.show(bench.code())
    assert bench.controller.journal_refuses is False  # the denial's row was written
    assert [row.reason for row in bench.decisions()] == [Reason.JOURNAL_FAILED]


def test_a_fault_of_an_input_is_a_row_and_stands_until_it_is_over(tmp_path: Path) -> None:
    stood: list[events.Fault] = []
    bench = Bench(tmp_path, note_fault=stood.append)
    bench.controller.handle(InputFault("passage", "stuck"))
    bench.controller.handle(GateFault("relay"))
    bench.controller.handle(InputFault("passage", "stuck", active=False))
    begins = events.Fault(part="passage", code="sensor_stuck")
    ends = events.Fault(part="passage", code="sensor_stuck", active=False)
    assert stood == [begins, ends]
    relay = events.Fault(part="gate", code="hardware", detail="relay")
    assert [row.event for row in bench.rows] == [begins, relay, ends]


def test_a_fault_stands_though_its_row_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stood: list[events.Fault] = []
    bench = Bench(tmp_path, note_fault=stood.append)

    def refuse(*_: object) -> int:
        raise JournalFailed("disk full")

    monkeypatch.setattr(bench.journal, "append", refuse)
    bench.controller.handle(InputFault("release", "chatter"))
    assert [(fault.part, fault.code) for fault in stood] == [("release", "chatters")]
    assert bench.rows == []


def test_the_profile_in_force_says_what_a_faulty_sensor_means(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.controller.handle(InputFault("passage", "stuck"))
    assert show_until_over(bench, bench.code()) is Reason.GRANTED
    judge = bench.controller._ports.judge
    closing = parse_profile(PROFILE + 'unsensed = "close"\n', source="p")
    judge.place = replace(judge.place, profile=closing)
    assert show_until_over(bench, bench.code()) is Reason.SENSOR_FAULT
    bench.controller.handle(InputFault("passage", "stuck", active=False))
    assert show_until_over(bench, bench.code()) is Reason.GRANTED
