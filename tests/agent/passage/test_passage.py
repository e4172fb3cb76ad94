"""The machine's table, row by row, with a clock of our own."""

from __future__ import annotations

import pytest
from msgspec import structs

from agent.credential.model import Modality
from agent.passage.events import (
    Annul,
    BiometricDone,
    CloseGate,
    CodesSeen,
    Command,
    Commit,
    CommitFailed,
    Committed,
    DoorChanged,
    FireChanged,
    GateFault,
    HoldGate,
    KeyTurned,
    LaneEntered,
    OpenGate,
    PassageReversed,
    PassageSensed,
    Record,
    Refused,
    ReleasePressed,
    Respond,
    SetMode,
    Show,
    Shutdown,
    StartBiometric,
    StopBiometrics,
    TamperChanged,
    Tick,
    Verified,
    Verify,
)
from agent.passage.machine import start
from agent.passage.types import (
    Code,
    Direction,
    Mode,
    Occurrence,
    Phase,
    RecordKind,
    Requirement,
    Rules,
    Sensing,
    Signal,
    State,
    Use,
)
from agent.reason import Reason

FACE, FINGER = Modality.FACE, Modality.FINGER


def denial(effects) -> Reason | None:
    rows = [e for e in effects if isinstance(e, Record) and e.what is Occurrence.DENIED]
    assert len(rows) <= 1
    return rows[0].reason if rows else None


def passages(machine) -> list[Occurrence]:
    return [
        effect.what
        for effect in machine.log
        if isinstance(effect, Record) and effect.kind is RecordKind.PASSAGE
    ]


# --- the main way


def test_a_valid_code_opens_after_its_mark_is_on_the_disk_and_closes_behind_the_person(machine):
    assert [type(e) for e in machine.show("a")] == [Verify]
    (commit,) = machine.verified()
    assert isinstance(commit, Commit)
    assert commit.use is not None
    assert commit.use.replay_key == b"mark-a"
    assert commit.record.reason is Reason.GRANTED
    assert machine.of(OpenGate) == []
    effects = machine.send(Committed(1))
    assert effects == (OpenGate(Direction.IN, 5.0, "anna"), Show(Signal.GRANTED))
    effects = machine.send(PassageSensed(Direction.IN), 1.5)
    assert isinstance(effects[0], CloseGate)
    assert machine.state.phase is Phase.PASSED
    machine.wait(1)
    assert machine.state.phase is Phase.IDLE
    assert machine.what() == [Occurrence.GRANTED, Occurrence.PASSED]
    assert machine.of(Annul) == []


def test_nobody_passes_and_the_use_is_annulled_so_that_it_can_be_tried_again(machine):
    machine.grant("a")
    machine.wait(6)
    assert machine.what() == [Occurrence.GRANTED, Occurrence.ANNULLED]
    (annul,) = machine.of(Annul)
    assert annul.use.replay_key == b"mark-a"
    machine.send(CodesSeen(()))
    machine.send(CodesSeen(()), 1.1)
    machine.grant("a")
    machine.send(PassageSensed(None))
    assert machine.what()[-2:] == [Occurrence.GRANTED, Occurrence.PASSED]


def test_the_passage_row_says_how_long_the_gate_was_open(machine):
    machine.grant()
    machine.send(PassageSensed(Direction.IN), 1.25)
    row = machine.of(Record)[-1]
    assert row.data == {"direction": "in", "open_ms": 1250.0, "cause": "granted"}


@pytest.mark.parametrize("reason", [Reason.REPLAYED, Reason.EXPIRED, Reason.UNKNOWN_FORMAT])
def test_a_refused_code_shows_red_for_its_time_and_moves_nothing(machine, reason):
    machine.show("a")
    effects = machine.send(Refused(1, b"a", reason, context={"format": "native"}))
    assert denial(effects) is reason
    assert effects[-1] == Show(Signal.DENIED)
    machine.wait(1.4)
    assert machine.state.phase is Phase.DENIED
    machine.wait(0.2)
    assert machine.state.phase is Phase.IDLE
    assert machine.of(OpenGate) == []


def test_the_refusals_context_reaches_the_record_and_never_its_repr(machine):
    machine.show("a")
    effects = machine.send(Refused(1, b"a", Reason.EXPIRED, context="Anna Muster"))
    assert effects[0].context == "Anna Muster"
    assert "Muster" not in repr(effects)


# --- the same code held still


def test_a_code_held_still_is_judged_once(machine):
    machine.show("a")
    machine.send(Refused(1, b"a", Reason.EXPIRED))
    for _ in range(300):
        machine.show("a")
    assert machine.state.attempt == 1
    assert machine.state.phase is Phase.IDLE


@pytest.mark.parametrize(("away", "judged"), [(0.9, 1), (1.1, 2)])
def test_a_code_is_judged_again_after_it_left_the_view(machine, away, judged):
    machine.show("a")
    machine.send(Refused(1, b"a", Reason.EXPIRED))
    machine.wait(2)
    machine.send(CodesSeen(()))
    machine.send(CodesSeen((Code(b"a", b"a"),)), away)
    assert machine.state.attempt == judged


def test_a_camera_that_stalls_does_not_make_a_held_code_new(machine):
    machine.show("a")
    machine.send(Refused(1, b"a", Reason.EXPIRED))
    machine.wait(30)
    machine.show("a")
    assert machine.state.attempt == 1


def test_codes_are_not_looked_at_while_the_gate_is_open_and_are_judged_afterwards(machine):
    machine.grant("a")
    assert machine.show("b") == ()
    machine.send(PassageSensed(Direction.IN))
    assert [type(e) for e in machine.show("b")] == [Verify]


# --- several codes, exchanged codes


def test_two_codes_in_one_frame_are_denied_once(machine):
    assert denial(machine.show("a", "b")) is Reason.SEVERAL_CODES
    for _ in range(400):
        machine.show("a", "b")
    assert machine.what() == [Occurrence.DENIED]


def test_a_poster_beside_a_ticket_is_no_second_code(machine):
    poster = Code(b"p", b"https://example.org", known=False)
    effects = machine.send(CodesSeen((poster, Code(b"a", b"a"))))
    (verify,) = effects
    assert verify.code.digest == b"a"


def test_two_unknown_codes_are_one_denial_of_the_first(machine):
    codes = tuple(Code(bytes([n]), b"x", known=False) for n in range(2))
    (verify,) = machine.send(CodesSeen(codes))
    assert verify.code == codes[0]


@pytest.mark.parametrize(
    ("codes", "reason"), [("b", Reason.CODE_CHANGED), ("ab", Reason.SEVERAL_CODES)]
)
def test_another_code_while_one_is_verified(machine, codes, reason):
    machine.show("a")
    assert denial(machine.show(*codes)) is reason
    assert machine.verified("a") == ()
    assert machine.state.phase is Phase.DENIED


def test_a_second_code_beside_the_first_during_the_check(machine):
    machine.ask(Requirement.FACE)
    effects = machine.show("a", "b")
    assert denial(effects) is Reason.SEVERAL_CODES
    assert StopBiometrics(1) in effects


def test_a_wallet_that_refreshes_its_code_during_the_check_is_no_exchange(machine):
    machine.ask(Requirement.FACE)
    (verify,) = machine.show("a2")
    assert verify == Verify(1, Code(b"a2", b"a2"))
    assert machine.verified("a2", subject="anna", requirement=Requirement.FACE) == ()
    machine.send(BiometricDone(1, FACE, matched=True))
    assert machine.state.phase is Phase.GRANTED
    assert machine.of(Commit)[0].use.replay_key == b"mark-a"


@pytest.mark.parametrize("answer", ["other", "refused"])
def test_a_code_exchanged_during_the_check_is_denied(machine, answer):
    machine.ask(Requirement.FACE)
    machine.show("b")
    if answer == "other":
        effects = machine.verified("b", subject="berta", requirement=Requirement.FACE)
    else:
        effects = machine.send(Refused(1, b"b", Reason.EXPIRED))
    assert denial(effects) is Reason.CODE_CHANGED
    assert machine.send(BiometricDone(1, FACE, matched=True)) == ()
    assert machine.of(Commit) == []


def test_the_phone_may_be_lowered_during_the_check(machine):
    machine.ask(Requirement.FACE)
    for _ in range(4):
        machine.send(CodesSeen(()), 0.5)
    assert machine.show("a") == ()
    assert machine.state.phase is Phase.FACE


# --- biometrics


@pytest.mark.parametrize(
    ("requirement", "phase", "started"),
    [
        (Requirement.FACE, Phase.FACE, [FACE]),
        (Requirement.FINGER, Phase.FINGER, [FINGER]),
        (Requirement.BOTH, Phase.FACE, [FACE]),
        (Requirement.EITHER, Phase.EITHER, [FACE, FINGER]),
    ],
)
def test_what_is_asked_is_started(machine, requirement, phase, started):
    machine.ask(requirement)
    assert machine.state.phase is phase
    assert [e.modality for e in machine.of(StartBiometric)] == started


WON, LOST = Phase.GRANTED, Phase.DENIED
BIOMETRIC_TABLE = [
    (Requirement.FACE, [(FACE, True, Reason.GRANTED)], WON, None),
    (Requirement.FACE, [(FACE, False, Reason.FACE_MISMATCH)], LOST, Reason.FACE_MISMATCH),
    (Requirement.FACE, [(FACE, False, Reason.GRANTED)], LOST, Reason.INTERNAL_ERROR),
    (Requirement.FACE, [(FINGER, True, Reason.GRANTED)], Phase.FACE, None),
    (Requirement.FINGER, [(FINGER, True, Reason.GRANTED)], WON, None),
    (Requirement.FINGER, [(FINGER, False, Reason.FINGER_QUALITY)], LOST, Reason.FINGER_QUALITY),
    (Requirement.BOTH, [(FACE, True, Reason.GRANTED)], Phase.FINGER, None),
    (Requirement.BOTH, [(FACE, False, Reason.FACE_MISMATCH)], LOST, Reason.FACE_MISMATCH),
    (Requirement.BOTH, [(FINGER, True, Reason.GRANTED)], Phase.FACE, None),
    (Requirement.BOTH, [(FINGER, False, Reason.FINGER_MISMATCH)], Phase.FACE, None),
    (
        Requirement.BOTH,
        [(FACE, True, Reason.GRANTED), (FINGER, True, Reason.GRANTED)],
        WON,
        None,
    ),
    (
        Requirement.BOTH,
        [(FACE, True, Reason.GRANTED), (FINGER, False, Reason.FINGER_MISMATCH)],
        LOST,
        Reason.FINGER_MISMATCH,
    ),
    (Requirement.EITHER, [(FINGER, True, Reason.GRANTED)], WON, None),
    (Requirement.EITHER, [(FACE, False, Reason.FACE_MISMATCH)], Phase.EITHER, None),
    (
        Requirement.EITHER,
        [(FACE, False, Reason.FACE_MISMATCH), (FINGER, True, Reason.GRANTED)],
        WON,
        None,
    ),
    (
        Requirement.EITHER,
        [(FACE, False, Reason.FACE_MISMATCH), (FINGER, False, Reason.FINGER_TIMEOUT)],
        LOST,
        Reason.FINGER_TIMEOUT,
    ),
    (
        Requirement.EITHER,
        [(FACE, False, Reason.FACE_MISMATCH), (FACE, True, Reason.GRANTED)],
        Phase.EITHER,
        None,
    ),
]


@pytest.mark.parametrize(("requirement", "answers", "phase", "reason"), BIOMETRIC_TABLE)
def test_biometric_ends(machine, requirement, answers, phase, reason):
    machine.ask(requirement)
    for modality, matched, why in answers:
        effects = machine.send(BiometricDone(1, modality, matched, why))
    assert machine.state.phase is phase
    assert denial(effects) is reason


def test_either_stops_the_other_check_when_one_matched(machine):
    machine.ask(Requirement.EITHER)
    assert StopBiometrics(1) in machine.send(BiometricDone(1, FINGER, matched=True))


@pytest.mark.parametrize(
    ("requirement", "reason"),
    [
        (Requirement.FACE, Reason.FACE_NOT_FOUND),
        (Requirement.FINGER, Reason.FINGER_TIMEOUT),
        (Requirement.EITHER, Reason.FACE_NOT_FOUND),
    ],
)
def test_a_session_that_never_answers_ends_by_time(machine, requirement, reason):
    machine.ask(requirement)
    machine.wait(8.9)
    assert denial(machine.log) is None
    assert denial(machine.wait(0.3)) is reason


def test_an_answer_of_an_older_attempt_is_ignored(machine):
    machine.ask(Requirement.FACE)
    leave(machine)
    machine.wait(2)
    machine.ask(Requirement.FACE, "b", "berta")
    assert machine.send(BiometricDone(1, FACE, matched=True)) == ()
    assert machine.state.phase is Phase.FACE


def leave(machine):
    """Walk away from the camera: the face check notices it and answers so."""
    done = BiometricDone(machine.state.attempt, FACE, matched=False, reason=Reason.PERSON_LEFT)
    return machine.send(done)


def test_person_leaves_in_mid_check(machine):
    machine.ask(Requirement.FACE)
    effects = leave(machine)
    assert denial(effects) is Reason.PERSON_LEFT
    assert StopBiometrics(1) in effects
    assert machine.state.failures == (), "who leaves has not failed"


def test_verification_that_never_answers_is_an_internal_error(machine):
    machine.show("a")
    assert denial(machine.wait(2.1)) is Reason.INTERNAL_ERROR


# --- lockout


def fail_face(machine, name: str, subject: str, reason: Reason = Reason.FACE_MISMATCH) -> None:
    machine.ask(Requirement.FACE, name, subject)
    assert machine.state.phase is Phase.FACE, "not asked"
    machine.send(BiometricDone(machine.state.attempt, FACE, matched=False, reason=reason))
    machine.wait(2)


def test_repeated_failures_lock_the_subject_out_and_nobody_else(machine):
    for name in "abc":
        fail_face(machine, name, "anna")
    machine.show("d")
    assert denial(machine.verified("d", requirement=Requirement.FACE)) is Reason.LOCKED_OUT
    machine.wait(2)
    machine.ask(Requirement.FACE, "e", "berta")
    assert machine.state.phase is Phase.FACE
    leave(machine)
    machine.wait(300)
    machine.ask(Requirement.FACE, "f", "anna")
    assert machine.state.phase is Phase.FACE


def test_a_success_forgets_the_failures(machine):
    for name in "ab":
        fail_face(machine, name, "anna")
    machine.ask(Requirement.FACE, "c")
    machine.send(BiometricDone(3, FACE, matched=True))
    machine.send(Committed(3))
    machine.send(PassageSensed(None))
    machine.wait(2)
    for name in "de":
        fail_face(machine, name, "anna")
    machine.ask(Requirement.FACE, "f")
    assert machine.state.phase is Phase.FACE


def test_a_bad_picture_or_a_wet_finger_is_not_held_against_anybody(machine):
    for name in "abcdef":
        fail_face(machine, name, "anna", Reason.FACE_QUALITY)


def test_either_counts_a_mismatch_even_if_the_other_check_only_timed_out(machine):
    for name in "abc":
        machine.ask(Requirement.EITHER, name)
        attempt = machine.state.attempt
        machine.send(BiometricDone(attempt, FACE, False, Reason.FACE_MISMATCH))
        machine.send(BiometricDone(attempt, FINGER, False, Reason.FINGER_TIMEOUT))
        machine.wait(2)
    machine.show("d")
    assert denial(machine.verified("d", requirement=Requirement.EITHER)) is Reason.LOCKED_OUT


def test_a_restart_is_no_way_round_a_lockout(machine):
    for name in "abc":
        fail_face(machine, name, "anna")
    failures = machine.state.failures
    machine.state, _ = start(Mode.NORMAL, machine.now, machine.rules, failures)
    machine.show("z")
    assert denial(machine.verified("z", requirement=Requirement.FACE)) is Reason.LOCKED_OUT


def test_memory_for_failures_is_bounded(machine):
    for index in range(300):
        fail_face(machine, f"c{index}", f"subject {index}")
        machine.now -= 2
    assert len(machine.state.failures) == 256


# --- commit


@pytest.mark.parametrize("reason", [Reason.JOURNAL_FAILED, Reason.JOURNAL_FULL, Reason.REPLAYED])
def test_what_is_not_on_the_disk_does_not_open(machine, reason):
    machine.show("a")
    machine.verified()
    assert denial(machine.send(CommitFailed(1, reason))) is reason
    assert machine.of(OpenGate) == []


def test_a_commit_that_comes_too_late_is_annulled(machine):
    machine.show("a")
    machine.verified()
    machine.wait(5)
    assert machine.state.phase is Phase.GRANTED
    machine.send(Committed(1))
    assert machine.what() == [Occurrence.GRANTED, Occurrence.ABORTED]
    assert len(machine.of(Annul)) == 1
    assert machine.of(OpenGate) == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (FireChanged(active=True), Reason.FIRE),
        (KeyTurned(Mode.LOCKED), Reason.GATE_LOCKED),
        (Command("close", "t"), Reason.COMMAND),
        (Command("mode", "t", mode=Mode.MAINTENANCE), Reason.MAINTENANCE),
        (Shutdown(), Reason.MAINTENANCE),
    ],
)
def test_what_happens_while_the_mark_is_on_its_way_cancels_the_grant(machine, event, reason):
    machine.show("a")
    machine.verified()
    machine.send(event)
    assert machine.state.phase is Phase.GRANTED
    machine.send(Committed(1))
    assert machine.of(OpenGate) == []
    assert len(machine.of(Annul)) == 1
    aborted = [e for e in machine.of(Record) if e.what is Occurrence.ABORTED]
    assert [e.reason for e in aborted] == [reason]
    assert machine.state.phase is Phase.IDLE


# --- the open gate


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (FireChanged(active=True), Reason.FIRE),
        (KeyTurned(Mode.LOCKED), Reason.GATE_LOCKED),
        (KeyTurned(Mode.FREE), Reason.FREE_PASSAGE),
        (KeyTurned(Mode.MAINTENANCE), Reason.MAINTENANCE),
        (Command("close", "t"), Reason.COMMAND),
    ],
)
def test_a_grant_that_is_cut_short_is_aborted_and_annulled(machine, event, reason):
    machine.grant()
    effects = machine.send(event)
    rows = [e for e in effects if isinstance(e, Record) and e.what is Occurrence.ABORTED]
    assert [row.reason for row in rows] == [reason]
    assert any(isinstance(e, CloseGate) for e in effects)
    assert len(machine.of(Annul)) == 1


def test_tailgating(machine):
    machine.grant()
    machine.send(PassageSensed(Direction.IN))
    effects = machine.send(PassageSensed(Direction.IN), 0.8)
    (row,) = (e for e in effects if isinstance(e, Record))
    assert (row.what, row.attempt) == (Occurrence.TAILGATING, 1)
    assert effects[-1] == Show(Signal.ALARM)
    assert machine.of(Annul) == []


def test_tailgating_is_blamed_on_the_grant_even_when_the_next_code_is_up(machine):
    machine.grant("a")
    machine.send(PassageSensed(Direction.IN))
    machine.ask(Requirement.FACE, "b", "berta")
    effects = machine.send(PassageSensed(Direction.IN))
    assert [e.attempt for e in effects if isinstance(e, Record)] == [1]
    assert machine.state.phase is Phase.FACE


def test_crawl_back_after_the_passage_and_in_the_lane(machine):
    machine.grant()
    machine.send(PassageReversed())
    assert machine.state.phase is Phase.OPEN
    machine.send(PassageSensed(Direction.IN))
    machine.send(PassageSensed(Direction.OUT), 0.8)
    assert passages(machine) == [Occurrence.CRAWL_BACK, Occurrence.PASSED, Occurrence.CRAWL_BACK]


def test_somebody_comes_out_on_a_grant_to_go_in(machine):
    machine.grant()
    effects = machine.send(PassageSensed(Direction.OUT))
    assert effects[0].what is Occurrence.WRONG_WAY
    assert machine.state.phase is Phase.OPEN
    machine.send(PassageSensed(Direction.IN))
    assert passages(machine) == [Occurrence.WRONG_WAY, Occurrence.PASSED]


def test_passage_without_a_grant(machine):
    effects = machine.send(PassageSensed(Direction.IN))
    assert [type(e) for e in effects] == [Record, Show]
    assert effects[0].what is Occurrence.WITHOUT_GRANT


def test_a_free_exit_is_no_alarm(make_machine):
    machine = make_machine(Rules(unchecked=Direction.OUT))
    assert [e.what for e in machine.send(PassageSensed(Direction.OUT))] == [Occurrence.UNCHECKED]
    assert machine.send(PassageSensed(Direction.IN))[0].what is Occurrence.WITHOUT_GRANT


def test_a_free_exit_leaves_a_grant_for_the_way_in_alone(make_machine):
    machine = make_machine(Rules(unchecked=Direction.OUT))
    machine.grant()
    machine.send(PassageSensed(Direction.OUT))
    machine.send(PassageSensed(Direction.IN))
    assert passages(machine) == [Occurrence.UNCHECKED, Occurrence.PASSED]
    assert not [show for show in machine.of(Show) if show.signal is Signal.ALARM]


@pytest.mark.parametrize("way", [Direction.IN, Direction.OUT, None])
def test_a_release_at_a_gate_for_both_is_for_either_way(make_machine, way):
    machine = make_machine(Rules(two_way=True))
    machine.send(ReleasePressed())
    machine.send(PassageSensed(way))
    (row,) = [row for row in machine.of(Record) if row.kind is RecordKind.PASSAGE]
    assert row.what is Occurrence.PASSED
    assert row.data["direction"] == (way or Direction.IN).value
    machine.wait(3)
    # The next person's code is for one way again.
    machine.grant()
    machine.send(PassageSensed(Direction.OUT))
    assert passages(machine)[-1] is Occurrence.WRONG_WAY


def test_a_release_at_a_gate_for_one_way_is_for_that_way(machine):
    machine.send(ReleasePressed())
    machine.send(PassageSensed(Direction.OUT))
    assert passages(machine) == [Occurrence.WRONG_WAY]


def test_a_person_on_the_way_when_the_time_is_over_has_passed(machine):
    machine.grant()
    machine.send(LaneEntered(), 4.9)
    machine.wait(1.5)
    assert machine.state.phase is Phase.OPEN
    machine.send(PassageSensed(Direction.IN))
    assert passages(machine) == [Occurrence.PASSED]


def test_green_goes_out_with_the_opening_time_though_a_walker_still_counts(machine):
    machine.grant()
    machine.send(LaneEntered(), 4.9)
    effects = machine.wait(0.2)
    assert effects == (CloseGate(), Show(Signal.READY))
    assert machine.send(Tick(), 0.2) == ()
    machine.send(PassageSensed(Direction.IN))
    assert passages(machine) == [Occurrence.PASSED]


def test_loitering_in_the_lane_does_not_keep_a_grant_for_ever(machine):
    machine.grant()
    for _ in range(100):
        machine.send(LaneEntered(), 0.1)
    assert passages(machine) == [Occurrence.PASSED]
    assert machine.of(Annul) == []
    assert machine.state.phase is Phase.IDLE


def test_without_a_passage_sensor_the_grant_counts_as_used(make_machine):
    machine = make_machine(Rules(sensing=Sensing.NONE))
    machine.grant()
    machine.wait(5.1)
    row = machine.of(Record)[-1]
    assert row.what is Occurrence.PASSED
    assert row.data["assumed"] is True
    assert machine.of(Annul) == []


def test_with_a_door_contact_opening_the_door_is_the_passage(make_machine):
    machine = make_machine(Rules(sensing=Sensing.DOOR))
    machine.grant()
    machine.send(DoorChanged(is_open=True))
    assert passages(machine) == [Occurrence.PASSED]


# --- the door


def test_forced_open(machine):
    effects = machine.send(DoorChanged(is_open=True))
    assert effects[0].what is Occurrence.FORCED_OPEN
    assert machine.send(DoorChanged(is_open=True)) == ()


def test_the_door_of_a_grant_is_not_forced_and_held_open_is_told_once(machine):
    machine.grant()
    machine.send(DoorChanged(is_open=True))
    machine.send(PassageSensed(Direction.IN))
    machine.wait(30)
    machine.send(DoorChanged(is_open=False))
    assert passages(machine) == [
        Occurrence.PASSED,
        Occurrence.HELD_OPEN,
        Occurrence.HELD_OPEN_CLEARED,
    ]


@pytest.mark.parametrize("quiet", ["grant", "fire", "free"])
def test_held_open_is_counted_from_when_the_door_should_be_closed(machine, quiet):
    machine.grant()
    machine.send(DoorChanged(is_open=True))
    if quiet == "grant":
        machine.wait(4)
        machine.send(PassageSensed(Direction.IN))
    elif quiet == "fire":
        machine.send(FireChanged(active=True))
        machine.wait(60)
        machine.send(FireChanged(active=False))
    else:
        machine.send(KeyTurned(Mode.FREE))
        machine.wait(60)
        machine.send(KeyTurned(Mode.NORMAL))
    machine.wait(9.5)
    assert Occurrence.HELD_OPEN not in machine.what()
    machine.wait(1)
    assert Occurrence.HELD_OPEN in machine.what()


def test_a_door_that_closes_in_time_is_no_event(machine):
    machine.grant()
    machine.send(DoorChanged(is_open=True))
    machine.send(PassageSensed(Direction.IN))
    machine.send(DoorChanged(is_open=False), 2)
    machine.wait(30)
    assert passages(machine) == [Occurrence.PASSED]


# --- modes


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(Mode.LOCKED, Reason.GATE_LOCKED), (Mode.MAINTENANCE, Reason.MAINTENANCE)],
)
def test_codes_in_locked_and_maintenance_modes_are_denied_unread(mode, reason, make_machine):
    machine = make_machine(mode=mode)
    assert denial(machine.show("a")) is reason
    assert machine.of(Verify) == []


def test_free_passage_holds_the_gate_and_counts_without_judging(machine):
    effects = machine.send(Command("mode", "t1", mode=Mode.FREE))
    assert HoldGate(held=True) in effects
    assert SetMode(Mode.FREE) in effects
    assert Respond("t1", done=True) in effects
    assert machine.show("a") == ()
    (row,) = machine.send(PassageSensed(None))
    assert (row.what, row.reason) == (Occurrence.UNCHECKED, Reason.FREE_PASSAGE)
    assert HoldGate(held=False) in machine.send(Command("mode", "t2", mode=Mode.NORMAL))


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.FIRE])
def test_boot_shows_the_mode_and_only_free_passage_holds(mode, make_machine):
    machine = make_machine(mode=mode)
    held = [HoldGate(held=True)] if mode is Mode.FREE else []
    assert [e for e in machine.last if not isinstance(e, Show)] == held


def test_the_same_mode_again_is_kept_and_answered_but_not_recorded(machine):
    answer = Respond("t", done=True)
    assert machine.send(Command("mode", "t", mode=Mode.NORMAL)) == (SetMode(Mode.NORMAL), answer)
    assert machine.send(KeyTurned(Mode.NORMAL, by_fault=True)) == ()


def test_a_command_past_its_time_is_refused_whatever_it_is(machine):
    for name, mode in (("open", None), ("close", None), ("mode", Mode.FREE)):
        effects = machine.send(Command(name, "t", mode=mode, until=machine.now))
        assert effects == (Respond("t", done=False, reason=Reason.STALE),)
    assert machine.send(Command("close", "t", until=machine.now + 1))[-1].done


@pytest.mark.parametrize("mode", [None, Mode.FIRE])
def test_fire_cannot_be_commanded(machine, mode):
    effects = machine.send(Command("mode", "t", mode=mode))
    assert effects == (Respond("t", done=False, reason=Reason.MALFORMED),)


@pytest.mark.parametrize("mode", [Mode.NORMAL, Mode.LOCKED, Mode.FREE, Mode.MAINTENANCE])
def test_fire_outranks_every_mode_and_gives_it_back(mode, make_machine):
    machine = make_machine(mode=mode)
    effects = machine.send(FireChanged(active=True))
    assert machine.state.effective is Mode.FIRE
    assert effects[-1] == Show(Signal.FIRE)
    assert machine.show("a") == ()
    for name in ("open", "close", "mode"):
        effects = machine.send(Command(name, "t", mode=Mode.NORMAL))
        assert effects == (Respond("t", done=False, reason=Reason.FIRE),)
    (row,) = machine.send(PassageSensed(Direction.OUT))
    assert (row.what, row.reason) == (Occurrence.UNCHECKED, Reason.FIRE)
    machine.send(FireChanged(active=False))
    assert machine.state.effective is mode
    assert machine.state.phase is Phase.IDLE


def test_fire_ends_a_check_with_its_own_reason(machine):
    machine.ask(Requirement.FACE)
    effects = machine.send(FireChanged(active=True))
    assert denial(effects) is Reason.FIRE
    assert StopBiometrics(1) in effects


# --- tamper, fault


def test_an_open_housing_ends_a_biometric_check_and_forbids_the_next(machine):
    machine.ask(Requirement.FINGER)
    effects = machine.send(TamperChanged(active=True))
    assert denial(effects) is Reason.SENSOR_FAULT
    machine.wait(2)
    machine.show("b")
    assert denial(machine.verified("b", requirement=Requirement.FACE)) is Reason.SENSOR_FAULT
    machine.wait(2)
    machine.grant("c")
    machine.send(TamperChanged(active=False))
    tamper = [e.what for e in machine.of(Record) if e.kind is RecordKind.TAMPER]
    assert tamper == [Occurrence.TAMPER, Occurrence.TAMPER_CLEARED]


def test_a_fault_is_recorded(machine):
    (row,) = machine.send(GateFault("beam"))
    assert (row.kind, row.data) == (RecordKind.FAULT, {"detail": "beam", "active": True})


# --- staff and fleet


def test_release_opens_in_every_mode_and_is_a_decision(make_machine):
    for mode in (Mode.NORMAL, Mode.LOCKED, Mode.MAINTENANCE):
        machine = make_machine(mode=mode)
        row, opened, _ = machine.send(ReleasePressed())
        assert (row.what, row.reason) == (Occurrence.GRANTED, Reason.MANUAL_RELEASE)
        assert opened == OpenGate(Direction.IN, 5.0)
        machine.wait(6)
        assert machine.what()[-1] is Occurrence.ANNULLED
        assert machine.of(Annul) == []


def test_release_during_a_check_is_that_attempts_one_decision(machine):
    machine.ask(Requirement.FACE)
    effects = machine.send(ReleasePressed())
    assert effects[0] == StopBiometrics(1)
    machine.send(PassageSensed(None))
    assert machine.what() == [Occurrence.GRANTED, Occurrence.PASSED]
    assert machine.state.attempt == 1


def test_release_while_open_prolongs(machine):
    machine.grant()
    machine.wait(4)
    machine.send(ReleasePressed())
    machine.wait(4)
    machine.send(PassageSensed(Direction.IN))
    assert passages(machine) == [Occurrence.RELEASED, Occurrence.PASSED]


def test_release_in_fire_is_only_noted(machine):
    machine.send(FireChanged(active=True))
    (row,) = machine.send(ReleasePressed())
    assert (row.what, row.reason) == (Occurrence.RELEASED, Reason.FIRE)


def test_command_open_is_committed_first_and_answered_when_it_opened(machine):
    (commit,) = machine.send(Command("open", "t", direction=Direction.OUT))
    assert commit.record.reason is Reason.COMMAND
    effects = machine.send(Committed(1))
    assert effects[0] == Respond("t", done=True)
    assert effects[1] == OpenGate(Direction.OUT, 5.0)


@pytest.mark.parametrize("phase", [Phase.GRANTED, Phase.OPEN])
def test_command_open_while_open_is_busy(machine, phase):
    machine.show("a")
    machine.verified()
    if phase is Phase.OPEN:
        machine.send(Committed(1))
    effects = machine.send(Command("open", "t"))
    assert effects == (Respond("t", done=False, reason=Reason.GATE_BUSY),)


def test_command_open_whose_commit_fails_is_answered_so(machine):
    machine.send(Command("open", "t"))
    effects = machine.send(CommitFailed(1))
    assert effects[0] == Respond("t", done=False, reason=Reason.JOURNAL_FAILED)


def test_command_close_when_nothing_is_open(machine):
    assert machine.send(Command("close", "t")) == (CloseGate(), Respond("t", done=True))


def test_command_close_does_not_end_free_passage(make_machine):
    machine = make_machine(mode=Mode.FREE)
    effects = machine.send(Command("close", "t"))
    assert effects == (Respond("t", done=False, reason=Reason.FREE_PASSAGE),)


def test_rules_follow_the_settings():
    from agent.settings.model import GateConfig, GpioConfig

    gate = GateConfig(site="s", gate="g", direction="out", denial_s=2.5)
    rules = Rules.of(gate, GpioConfig(passage=None, door=12))
    assert (rules.direction, rules.sensing, rules.denial_s) == (Direction.OUT, Sensing.DOOR, 2.5)
    assert Rules.of(gate, GpioConfig(passage=None)).sensing is Sensing.NONE


def test_payload_and_context_never_show_in_repr():
    use = Use("hash", Requirement.NONE, Direction.IN, b"k", context="Anna Muster")
    assert "Muster" not in repr(Verified(1, b"d", use))
    assert "SECRET" not in repr(CodesSeen((Code(b"d", b"SECRET"),)))


def test_time_alone_changes_nothing_at_rest(machine):
    before = machine.state
    machine.wait(100)
    assert machine.log == []
    assert machine.state == before
    assert machine.send(Tick()) == ()


def test_a_step_leaves_the_state_it_was_given(machine):
    before = machine.state
    kept = structs.astuple(before)
    assert before == State()
    machine.grant()
    assert machine.state != before
    assert structs.astuple(before) == kept
    with pytest.raises(AttributeError):
        before.phase = Phase.OPEN
