"""Answers that come when nobody waits, ends of phases to the moment, codes and checks exactly."""

from __future__ import annotations

import pytest

from agent.credential.model import Modality
from agent.passage.events import (
    BiometricDone,
    CloseGate,
    CodesSeen,
    Command,
    Commit,
    CommitFailed,
    Committed,
    FireChanged,
    KeyTurned,
    LaneEntered,
    OpenGate,
    PassageSensed,
    Record,
    Refused,
    ReleasePressed,
    Respond,
    Show,
    StaffFound,
    StartBiometric,
    StopBiometrics,
    TamperChanged,
    Tick,
    Verified,
    Verify,
)
from agent.passage.machine import step
from agent.passage.types import (
    Code,
    Direction,
    Mode,
    Occurrence,
    Phase,
    RecordKind,
    Requirement,
    Rules,
    Signal,
    Use,
)
from agent.reason import Reason

MOMENT = 1 / 128
FACE, FINGER = Modality.FACE, Modality.FINGER
BIOMETRIC = (Phase.FACE, Phase.FINGER, Phase.EITHER)
ANNA = Use("anna", Requirement.NONE, Direction.IN, b"mark-a")
BERTA = Use("berta", Requirement.NONE, Direction.IN, b"mark-b")


def denied(reason: Reason, use: Use | None = None, *, attempt: int = 1) -> Record:
    return Record(RecordKind.DECISION, Occurrence.DENIED, reason, attempt=attempt, use=use)


def granted(reason: Reason, use: Use | None, *, direction: str = "in", attempt: int = 1) -> Record:
    row = RecordKind.DECISION, Occurrence.GRANTED, reason
    return Record(*row, attempt=attempt, use=use, data={"direction": direction})


RED = Show(Signal.DENIED)


# --- time


@pytest.mark.parametrize(
    ("phase", "seconds", "after"),
    [
        (Phase.READ, 2.0, Phase.DENIED),
        (Phase.FACE, 9.0, Phase.DENIED),
        (Phase.FINGER, 9.0, Phase.DENIED),
        (Phase.EITHER, 9.0, Phase.DENIED),
        (Phase.OPEN, 5.5, Phase.IDLE),
        (Phase.PASSED, 0.5, Phase.IDLE),
        (Phase.DENIED, 1.5, Phase.IDLE),
    ],
)
def test_a_phase_ends_at_its_time_and_not_a_moment_before(machine, phase, seconds, after):
    machine.reach(phase)
    machine.send(Tick(), seconds - MOMENT)
    assert machine.state.phase is phase
    machine.send(Tick())
    assert machine.state.phase is after


def test_time_is_up_before_what_comes_at_the_same_moment_is_looked_at(machine):
    machine.reach(Phase.OPEN)
    effects = machine.send(PassageSensed(Direction.IN), 5.5)
    rows = [effect.what for effect in effects if isinstance(effect, Record)]
    assert rows == [Occurrence.ANNULLED, Occurrence.WITHOUT_GRANT]


@pytest.mark.parametrize(
    ("mode", "lamp"),
    [
        (Mode.NORMAL, Signal.READY),
        (Mode.LOCKED, Signal.LOCKED),
        (Mode.MAINTENANCE, Signal.MAINTENANCE),
    ],
)
def test_green_goes_out_at_the_end_of_the_opening_and_not_a_moment_before(mode, lamp, make_machine):
    machine = make_machine(mode=mode)
    machine.send(ReleasePressed())
    assert machine.send(Tick(), 5.0 - MOMENT) == ()
    assert machine.send(Tick()) == (CloseGate(), Show(lamp))
    assert machine.send(Tick()) == ()


@pytest.mark.parametrize(
    ("requirement", "answers", "reason"),
    [
        (Requirement.FACE, [], Reason.FACE_NOT_FOUND),
        (Requirement.FINGER, [], Reason.FINGER_TIMEOUT),
        (Requirement.BOTH, [], Reason.FACE_NOT_FOUND),
        (Requirement.BOTH, [(FACE, True)], Reason.FINGER_TIMEOUT),
        (Requirement.EITHER, [], Reason.FACE_NOT_FOUND),
        (Requirement.EITHER, [(FACE, False)], Reason.FINGER_TIMEOUT),
        (Requirement.EITHER, [(FINGER, False)], Reason.FACE_NOT_FOUND),
    ],
)
def test_a_check_that_runs_out_says_which_answer_is_missing(machine, requirement, answers, reason):
    machine.ask(requirement)
    use = machine.state.use
    for modality, matched in answers:
        machine.send(BiometricDone(1, modality, matched, Reason.FACE_QUALITY))
    assert machine.send(Tick(), 9.0) == (StopBiometrics(1), denied(reason, use), RED)


# --- the lamps of a mode


@pytest.mark.parametrize(
    ("mode", "lamp"),
    [
        (Mode.NORMAL, Signal.READY),
        (Mode.FREE, Signal.FREE),
        (Mode.LOCKED, Signal.LOCKED),
        (Mode.MAINTENANCE, Signal.MAINTENANCE),
    ],
)
def test_boot_shows_the_mode(mode, lamp, make_machine):
    assert make_machine(mode=mode).last[0] == Show(lamp)


# --- answers


ANSWERS = {
    "verified": lambda attempt: Verified(attempt, b"a", ANNA),
    "another verified": lambda attempt: Verified(attempt, b"x", BERTA),
    "refused": lambda attempt: Refused(attempt, b"a", Reason.EXPIRED),
    "another refused": lambda attempt: Refused(attempt, b"x", Reason.EXPIRED),
    "face": lambda attempt: BiometricDone(attempt, FACE, matched=True),
    "finger": lambda attempt: BiometricDone(attempt, FINGER, False, Reason.FINGER_MISMATCH),
    "committed": Committed,
    "commit failed": CommitFailed,
}
AWAITED = {
    Phase.READ: {"verified", "refused"},
    Phase.FACE: {"face"},
    Phase.FINGER: {"finger"},
    Phase.EITHER: {"face", "finger"},
    Phase.GRANTED: {"committed", "commit failed"},
}


@pytest.mark.parametrize("phase", Phase)
def test_an_answer_that_the_phase_does_not_wait_for_changes_nothing(machine, phase):
    machine.reach(phase)
    for name, answer in ANSWERS.items():
        event = answer(machine.state.attempt)
        state, effects = step(machine.state, event, machine.now, machine.rules)
        ignored = (state, effects) == (machine.state, ())
        assert ignored is (name not in AWAITED.get(phase, ())), name


@pytest.mark.parametrize("phase", AWAITED)
def test_a_late_answer_to_an_earlier_attempt_changes_nothing(machine, phase):
    machine.send(ReleasePressed())
    machine.send(PassageSensed(None))
    machine.reach(phase)
    assert machine.state.attempt == 2
    before = machine.state
    for answer in ANSWERS.values():
        assert machine.send(answer(1), 0) == ()
    assert machine.state == before


@pytest.mark.parametrize("phase", BIOMETRIC)
@pytest.mark.parametrize(
    "answer", [Verified(1, b"a2", BERTA), Refused(1, b"a2", Reason.EXPIRED)], ids=repr
)
def test_a_late_answer_about_a_refreshed_code_is_no_exchange(machine, phase, answer):
    machine.send(ReleasePressed())
    machine.send(PassageSensed(None))
    machine.reach(phase)
    machine.show("a2")
    assert machine.send(answer) == ()
    assert machine.state.phase is phase


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    "answer", [Verified(1, b"a2", BERTA), Refused(1, b"a2", Reason.EXPIRED)], ids=repr
)
def test_an_exchange_that_shows_after_the_decision_does_not_change_it(machine, answer, opened):
    machine.ask(Requirement.FACE)
    machine.show("a2")
    machine.send(BiometricDone(1, FACE, matched=True))
    if opened:
        machine.send(Committed(1))
    before = machine.state
    assert machine.send(answer) == ()
    assert machine.state == before


# --- the camera


@pytest.mark.parametrize("phase", [Phase.GRANTED, Phase.OPEN, Phase.DENIED])
def test_a_code_shown_at_the_wrong_time_is_judged_once_the_gate_is_at_rest(machine, phase):
    machine.reach(phase)
    before = machine.state
    assert machine.send(CodesSeen((Code(b"a", b"a"), Code(b"b", b"b")))) == ()
    assert machine.state == before
    if phase is Phase.GRANTED:
        machine.send(CommitFailed(1))
    machine.wait(6)
    assert machine.show("a", "b") == (Verify(2, Code(b"b", b"b")),)


@pytest.mark.parametrize("event", [KeyTurned(Mode.FREE), FireChanged(active=True)], ids=repr)
def test_a_code_shown_while_nobody_is_judged_is_judged_afterwards(machine, event):
    machine.send(event)
    assert machine.show("a") == ()
    machine.send(KeyTurned(Mode.NORMAL))
    machine.send(FireChanged(active=False))
    assert machine.show("a") == (Verify(1, Code(b"a", b"a")),)


def test_a_poster_is_judged_with_the_ticket_beside_it(machine):
    poster = Code(b"p", b"https://example.org", known=False)
    machine.send(CodesSeen((poster, Code(b"a", b"a"))))
    machine.send(Refused(1, b"a", Reason.EXPIRED))
    machine.wait(2)
    assert machine.send(CodesSeen((poster,))) == ()
    assert machine.state.attempt == 1


@pytest.mark.parametrize(
    ("phase", "codes", "reason"),
    [
        (Phase.READ, "b", Reason.CODE_CHANGED),
        (Phase.READ, "ab", Reason.SEVERAL_CODES),
        (Phase.READ, "bc", Reason.SEVERAL_CODES),
        (Phase.FACE, "ab", Reason.SEVERAL_CODES),
        (Phase.FACE, "bc", Reason.SEVERAL_CODES),
    ],
)
def test_other_codes_while_one_is_judged_are_one_denial(machine, phase, codes, reason):
    machine.reach(phase)
    stopped = (StopBiometrics(1),) if phase is Phase.FACE else ()
    row = denied(reason, machine.state.use)
    assert machine.show(*codes) == (*stopped, row, RED)
    # Held before the camera, they are not judged once more.
    machine.wait(2)
    assert machine.show(*codes) == ()
    assert machine.state.phase is Phase.IDLE


def test_a_code_that_may_be_a_refreshed_one_is_verified_once(machine):
    machine.reach(Phase.FACE)
    assert machine.show("b") == (Verify(1, Code(b"b", b"b")),)
    assert machine.show("b") == ()
    assert machine.state.phase is Phase.FACE


@pytest.mark.parametrize("phase", [Phase.READ, Phase.FACE])
def test_a_poster_that_comes_into_view_is_no_exchange(machine, phase):
    poster = Code(b"p", b"https://example.org", known=False)
    machine.reach(phase)
    assert machine.send(CodesSeen((poster, Code(b"a", b"a")))) == ()
    assert machine.send(CodesSeen((poster,))) == ()
    assert machine.state.phase is phase


@pytest.mark.parametrize("shown_to_be", [b"a2", b"a3"])
def test_every_code_of_a_wallet_that_refreshes_twice_must_be_the_subjects(machine, shown_to_be):
    machine.ask(Requirement.FACE)
    machine.show("a2")
    assert machine.show("a3") == (Verify(1, Code(b"a3", b"a3")),)
    effects = machine.send(Verified(1, shown_to_be, BERTA))
    assert [e.reason for e in effects if isinstance(e, Record)] == [Reason.CODE_CHANGED]


# --- verified


@pytest.mark.parametrize(
    ("requirement", "phase", "modalities", "lamp"),
    [
        (Requirement.FACE, Phase.FACE, [FACE], Signal.PROMPT_FACE),
        (Requirement.FINGER, Phase.FINGER, [FINGER], Signal.PROMPT_FINGER),
        (Requirement.BOTH, Phase.FACE, [FACE], Signal.PROMPT_FACE),
        (Requirement.EITHER, Phase.EITHER, [FACE, FINGER], Signal.PROMPT_FACE),
    ],
)
def test_a_check_is_started_with_its_use_its_time_and_its_prompt(
    make_machine, requirement, phase, modalities, lamp
):
    machine = make_machine(Rules(biometric_timeout_s=4.0))
    machine.show("a")
    use = Use("anna", requirement, Direction.OUT, b"mark-a")
    effects = machine.send(Verified(1, b"a", use))
    started = (StartBiometric(1, modality, use, 4.0) for modality in modalities)
    assert effects == (*started, Show(lamp))
    assert machine.state.phase is phase


def test_the_finger_after_the_face_has_the_whole_time_again(machine):
    machine.ask(Requirement.BOTH)
    use = machine.state.use
    effects = machine.send(BiometricDone(1, FACE, matched=True), 8.0)
    assert effects == (StartBiometric(1, FINGER, use, 8.0), Show(Signal.PROMPT_FINGER))
    machine.send(Tick(), 9.0 - MOMENT)
    assert machine.state.phase is Phase.FINGER
    assert machine.send(BiometricDone(1, FINGER, matched=True), 0)[0] == Commit(
        1, use, granted(Reason.GRANTED, use)
    )


def test_one_failure_of_either_is_no_end_and_shows_nothing(machine):
    machine.ask(Requirement.EITHER)
    assert machine.send(BiometricDone(1, FINGER, False, Reason.FINGER_MISMATCH)) == ()
    effects = machine.send(BiometricDone(1, FACE, False, Reason.FACE_QUALITY))
    assert [e.reason for e in effects if isinstance(e, Record)] == [Reason.FACE_QUALITY]


def test_a_grant_goes_the_way_of_its_use(machine):
    machine.show("a")
    use = Use("anna", Requirement.NONE, Direction.OUT, b"mark-a")
    commit = Commit(1, use, granted(Reason.GRANTED, use, direction="out"))
    assert machine.send(Verified(1, b"a", use)) == (commit,)
    assert machine.send(Committed(1))[0] == OpenGate(Direction.OUT, 5.0, "anna")


def test_a_check_is_committed_for_the_use_that_asked_for_it(machine):
    machine.show("a")
    use = Use("anna", Requirement.EITHER, Direction.OUT, b"mark-a")
    machine.send(Verified(1, b"a", use))
    effects = machine.send(BiometricDone(1, FACE, matched=True))
    commit = Commit(1, use, granted(Reason.GRANTED, use, direction="out"))
    assert effects == (StopBiometrics(1), commit)


@pytest.mark.parametrize(
    ("failed", "tamper", "requirement", "reason"),
    [
        (3, False, Requirement.NONE, Reason.LOCKED_OUT),
        (3, True, Requirement.FACE, Reason.LOCKED_OUT),
        (2, True, Requirement.FACE, Reason.SENSOR_FAULT),
        (2, True, Requirement.NONE, None),
        (2, False, Requirement.NONE, None),
    ],
)
def test_what_is_denied_although_the_code_verifies(machine, failed, tamper, requirement, reason):
    for number in range(failed):
        machine.ask(Requirement.FACE, str(number))
        machine.send(BiometricDone(number + 1, FACE, False, Reason.FACE_MISMATCH))
        machine.wait(2)
    machine.send(TamperChanged(active=tamper))
    machine.show("a")
    effects = machine.verified(requirement=requirement)
    use = Use("anna", requirement, Direction.IN, b"mark-a")
    if reason is None:
        assert machine.state.phase is Phase.GRANTED
    else:
        assert effects == (denied(reason, use, attempt=failed + 1), RED)


# --- committed


@pytest.mark.parametrize(("seconds", "opens"), [(3.0 - MOMENT, True), (3.0, False)])
def test_a_commit_opens_until_its_time_is_over(machine, seconds, opens):
    machine.send(Command("open", "t"))
    effects = machine.send(Committed(1), seconds)
    if opens:
        green = OpenGate(Direction.IN, 5.0), Show(Signal.GRANTED)
        assert effects == (Respond("t", done=True), *green)
    else:
        data = {"direction": "in", "cause": "command"}
        row = RecordKind.PASSAGE, Occurrence.ABORTED, Reason.JOURNAL_FAILED
        assert effects == (
            Respond("t", done=False, reason=Reason.JOURNAL_FAILED),
            CloseGate(),
            Record(*row, attempt=1, data=data),
            Show(Signal.READY),
        )


def test_nobody_on_the_way_can_give_a_late_commit_more_time(machine):
    machine.reach(Phase.GRANTED)
    machine.send(LaneEntered(), 2.9)
    machine.send(Committed(1), 0.2)
    assert machine.of(OpenGate) == []


def test_a_cancelled_command_is_answered_with_what_cancelled_it_first(machine):
    machine.send(Command("open", "t"))
    assert machine.send(FireChanged(active=True))[-1] == Show(Signal.FIRE)
    machine.send(KeyTurned(Mode.LOCKED))
    machine.send(FireChanged(active=False))
    machine.send(KeyTurned(Mode.FREE))
    effects = machine.send(Committed(1), 5.0)
    assert effects[0] == Respond("t", done=False, reason=Reason.FIRE)
    assert effects[2].reason is Reason.FIRE


def test_a_commit_that_fails_in_fire_is_recorded_and_leaves_the_lamps_to_the_fire(machine):
    machine.reach(Phase.GRANTED)
    machine.send(FireChanged(active=True))
    effects = machine.send(CommitFailed(1, Reason.JOURNAL_FULL))
    assert effects == (denied(Reason.JOURNAL_FULL, ANNA), Show(Signal.FIRE))
    assert machine.state.phase is Phase.IDLE


def test_a_commit_that_fails_is_a_denial(machine):
    machine.reach(Phase.GRANTED)
    assert machine.send(CommitFailed(1)) == (denied(Reason.JOURNAL_FAILED, ANNA), RED)


def test_only_a_check_that_was_passed_forgives_and_only_its_own_subject(machine):
    for number, subject in enumerate(["anna", "berta", "anna", "berta"], 1):
        machine.ask(Requirement.FACE, str(number), subject)
        machine.send(BiometricDone(number, FACE, False, Reason.FACE_MISMATCH))
        machine.wait(2)
    machine.grant("5")
    machine.send(PassageSensed(None))
    machine.ask(Requirement.FACE, "6", "berta")
    machine.send(BiometricDone(6, FACE, matched=True))
    machine.send(Committed(6))
    failures = [(entry.subject, entry.count) for entry in machine.state.failures]
    assert failures == [("anna", 2)]


# --- staff


@pytest.mark.parametrize(
    ("phase", "begins"), [(phase, phase in {"idle", "passed"}) for phase in Phase]
)
def test_staff_are_let_in_only_at_rest(machine, phase, begins):
    machine.reach(phase)
    attempt = machine.state.attempt
    assert bool(machine.send(StaffFound("s"))) is begins
    assert machine.state.attempt == attempt + begins


def test_staff_go_the_gates_own_way_and_their_grant_is_a_use_without_a_mark(make_machine):
    machine = make_machine(Rules(direction=Direction.OUT))
    use = Use("s", Requirement.NONE, Direction.OUT)
    commit = Commit(1, use, granted(Reason.GRANTED, use, direction="out"))
    assert machine.send(StaffFound("s")) == (commit,)
    assert machine.send(Committed(1))[0] == OpenGate(Direction.OUT, 5.0, "s")
