"""The state machine of one gate: (state, event, time) -> (state, effects). Pure.

Time runs first: a phase whose deadline is over ends before the event is looked at.

| phase | event | next | effects |
|---|---|---|---|
| IDLE, PASSED | one fresh code, mode normal | READ | Verify |
| IDLE, PASSED | fresh code, mode locked or maintenance | DENIED | GATE_LOCKED, MAINTENANCE |
| IDLE, PASSED | two fresh codes in one frame | DENIED | SEVERAL_CODES |
| any | a code still in view after it was judged | same | none, until it was away `rearm_s` |
| IDLE, PASSED | a fresh code of no format, alone | READ | Verify: it is denied, once |
| any | it again, or beside a code of a format | same | none, until away `foreign_rearm_s` |
| any | ProfileChanged | same | such a code may be tried anew |
| IDLE, PASSED | StaffFound, mode normal, housing closed | GRANTED | Commit |
| IDLE, PASSED | the same, passage sensor has a fault, place closes then | DENIED | SENSOR_FAULT |
| READ | Refused | DENIED | its reason |
| READ | Verified, passage sensor has a fault, place closes then | DENIED | SENSOR_FAULT |
| READ | Verified, subject locked out | DENIED | LOCKED_OUT |
| READ | Verified, biometric asked, housing open | DENIED | SENSOR_FAULT |
| READ | Verified: none | GRANTED | Commit |
| READ | Verified: face, both / finger / either | FACE / FINGER / EITHER | StartBiometric |
| READ | another code / a second code beside it | DENIED | CODE_CHANGED / SEVERAL_CODES |
| READ | `verify_timeout_s` over | DENIED | INTERNAL_ERROR |
| FACE, FINGER | matched, nothing left to ask | GRANTED | Commit |
| FACE | matched, finger asked too | FINGER | StartBiometric |
| EITHER | one matched | GRANTED | StopBiometrics, Commit |
| EITHER | one failed, the other not yet | EITHER | none |
| FACE, FINGER, EITHER | failed | DENIED | its reason; a mismatch counts to the lockout |
| FACE, FINGER, EITHER | another code, same subject (the wallet refreshed it) | same | Verify |
| FACE, FINGER, EITHER | another code, refused or another's | DENIED | CODE_CHANGED |
| FACE, FINGER, EITHER | a second code beside it | DENIED | SEVERAL_CODES |
| FACE, FINGER, EITHER | housing opened | DENIED | SENSOR_FAULT |
| FACE, FINGER, EITHER | time over | DENIED | FACE_NOT_FOUND, FINGER_TIMEOUT |
| GRANTED | Committed in time, not cancelled | OPEN | OpenGate |
| GRANTED | Committed too late, or cancelled by fire, mode, close | IDLE | aborted, Annul |
| GRANTED | CommitFailed | DENIED | its reason |
| OPEN | passage the granted way | PASSED | CloseGate, passed |
| OPEN by release, gate for both | passage the other way | PASSED | CloseGate, passed |
| OPEN | passage the way that is a free exit | OPEN | unchecked |
| OPEN | passage the other way / turned round in the lane | OPEN | wrong_way / crawl_back |
| OPEN | `passage_timeout_s` over | OPEN | CloseGate; `grace_s` for somebody on the way |
| OPEN | time over, nobody passed | IDLE | CloseGate, annulled, Annul |
| OPEN | time over, somebody may have | PASSED | CloseGate, passed (assumed) |
| OPEN | time over, given back before | PASSED | the same, repeated_annulment; the subject waits |
| OPEN | close, mode change, fire; nobody passed | IDLE | CloseGate, aborted, Annul |
| OPEN | the same, somebody may have | IDLE | CloseGate, aborted (assumed) |
| OPEN | shutdown | IDLE | CloseGate, aborted (assumed) |
| OPEN | time over, `silent_openings` in a row without a sign | | first a fault, sensor_silent |
| OPEN | time over, door went and came, no sign of the beam | | first a fault, sensor_silent |
| any | passage, somebody enters the lane or turns round | | sensor_silent ends |
| any | InputFault | same | a fault row, where it is news |
| PASSED, DENIED | time over | IDLE | the mode's lamps |
| not OPEN | passage within `tailgate_s` of a passed grant | same | tailgating, or crawl_back |
| not OPEN | passage otherwise | same | without_grant |
| not OPEN | passage in free, fire, maintenance, or by a free exit | same | unchecked |
| not OPEN | door opens / stands open too long | same | forced_open / held_open |
| IDLE, PASSED, DENIED, READ, FACE, FINGER, EITHER | release | OPEN | granted (MANUAL_RELEASE) |
| GRANTED, OPEN | release | same | released; in OPEN the time starts anew |
| IDLE, PASSED, DENIED, READ, FACE, FINGER, EITHER | command open | GRANTED | Commit (COMMAND) |
| GRANTED, OPEN | command open | same | refused (GATE_BUSY) |
| any | a command past its time | same | refused (STALE) |
| any, fire | any command | same | refused (FIRE) |
| READ, FACE, FINGER, EITHER | mode change, fire, shutdown | IDLE | denied, with its reason |

Invariants, which tests/agent/passage walks at random: `OpenGate` follows only a `Committed` of one
attempt or a release; every attempt has exactly one decision row; every grant ends in exactly one of
passed, annulled, aborted; it is annulled where nobody passed, as `agent.passage.accounting` tells,
a use once at most and never while the passage sensor has a fault; fire and tamper are never lost;
nothing moves at boot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.credential.model import Modality
from agent.passage.accounting import closed_by_sensor
from agent.passage.events import (
    BiometricDone,
    CodesSeen,
    Command,
    CommitFailed,
    Committed,
    DoorChanged,
    Effect,
    Event,
    FireChanged,
    GateFault,
    HoldGate,
    InputFault,
    KeyTurned,
    LaneEntered,
    PassageReversed,
    PassageSensed,
    ProfileChanged,
    Refused,
    ReleasePressed,
    Shutdown,
    StaffFound,
    TamperChanged,
    Tick,
    Verified,
    Verify,
)
from agent.passage.inputs import (
    check_door,
    on_command,
    on_door,
    on_fault,
    on_fire,
    on_input_fault,
    on_key,
    on_lane,
    on_passage,
    on_release,
    on_reversed,
    on_tamper,
)
from agent.passage.transition import (
    BIOMETRIC,
    COUNTED,
    MAX_FOREIGN,
    MODE_REASON,
    NEVER,
    WORKING,
    Transition,
)
from agent.passage.types import (
    Code,
    Failures,
    Mode,
    Occurrence,
    Phase,
    Requirement,
    Rules,
    State,
    Use,
)
from agent.reason import Reason

__all__ = ["start", "step"]


def start(
    mode: Mode, now: float, rules: Rules, failures: tuple[Failures, ...] = ()
) -> tuple[State, tuple[Effect, ...]]:
    """Return the state at boot and what shows it; only a persisted free mode holds the gate open.

    Args:
        mode: the persisted mode, never FIRE.
        now: monotonic seconds.
        rules: of the place.
        failures: recent failed biometric checks, so that a restart is no way round a lockout.
    """
    transition = Transition(State(mode=mode, failures=failures), now, rules)
    transition.rest()
    if mode is Mode.FREE:
        transition.add(HoldGate(held=True))
    return transition.state, tuple(transition.effects)


def step(state: State, event: Event, now: float, rules: Rules) -> tuple[State, tuple[Effect, ...]]:
    """Return the state after `event`, and the effects to carry out in order.

    Args:
        state: as the last step left it.
        event: what happened.
        now: monotonic seconds, never less than in the step before.
        rules: of the place; may change between steps.
    """
    transition = Transition(state, now, rules)
    _expire(transition)
    _HANDLERS[type(event)](transition, event)
    return transition.state, tuple(transition.effects)


# --- time


def _expire(transition: Transition) -> None:
    """End what has had its time."""
    state = transition.state
    if state.deadline is not None and transition.now >= state.deadline:
        _end_phase(transition)
    elif (
        state.phase is Phase.OPEN
        and not state.closing
        and transition.now >= state.opened_at + transition.rules.passage_timeout_s
    ):
        transition.close()
    check_door(transition)


def _end_phase(transition: Transition) -> None:
    """End a phase whose deadline is over; a commit is waited for, however long."""
    state = transition.state
    if state.phase is Phase.READ:
        transition.deny(Reason.INTERNAL_ERROR)
    elif state.phase in BIOMETRIC:
        only_finger = state.pending == {Modality.FINGER}
        transition.deny(Reason.FINGER_TIMEOUT if only_finger else Reason.FACE_NOT_FOUND)
    elif state.phase is Phase.OPEN:
        transition.time_over()
    elif state.phase in {Phase.PASSED, Phase.DENIED}:
        transition.rest()


def _on_tick(_transition: Transition, _event: Tick) -> None:
    """Time has run already."""


# --- the camera


def _on_codes(transition: Transition, event: CodesSeen) -> None:
    """Judge what is new in view."""
    transition.watch(frozenset(code.digest for code in event.codes))
    state = transition.state
    judged = {digest for digest, _ in (*state.held, *state.foreign)}
    fresh = [code for code in event.codes if code.digest not in judged]
    at_rest = state.phase in {Phase.IDLE, Phase.PASSED}
    answered = _foreign(transition, fresh, event.codes, at_rest=at_rest)
    known = [code for code in fresh if code.known]
    if at_rest:
        _judge(transition, known or answered)
    elif state.phase in WORKING:
        _compare(transition, known, event.codes)


def _foreign(
    transition: Transition, fresh: list[Code], in_view: tuple[Code, ...], *, at_rest: bool
) -> list[Code]:
    """Remember the codes that no format claims; return the one to be answered, if any.

    Such a code is answered once: it may be a poster, which hangs there all day. Beside a code that
    a format claims it is not answered at all, since it is not what the person shows; nor where so
    many are remembered that only somebody who wants to fill the journal would show another.
    """
    strange = [code for code in fresh if not code.known]
    beside = any(code.known for code in in_view)
    if not strange or not (at_rest or beside):
        return []
    full = len(transition.state.foreign) >= MAX_FOREIGN
    transition.note_foreign(*(code.digest for code in strange))
    return [] if full or beside else strange[:1]


def _judge(transition: Transition, fresh: list[Code]) -> None:
    """Begin an attempt with the codes that were not in view before."""
    mode = transition.state.effective
    if not fresh or mode in {Mode.FREE, Mode.FIRE}:
        return
    transition.hold(*(code.digest for code in fresh if code.known))
    transition.begin()
    if mode is not Mode.NORMAL:
        transition.deny(MODE_REASON[mode])
    elif len(fresh) > 1:
        transition.deny(Reason.SEVERAL_CODES)
    else:
        (code,) = fresh
        deadline = transition.now + transition.rules.verify_timeout_s
        transition.put(phase=Phase.READ, code=code, deadline=deadline)
        transition.add(Verify(transition.state.attempt, code))


def _compare(transition: Transition, fresh: list[Code], in_view: tuple[Code, ...]) -> None:
    """See whether another code took the place of the one under judgement."""
    state = transition.state
    others = [code for code in fresh if code != state.code]
    if not others:
        return
    transition.hold(*(code.digest for code in others))
    if len(others) > 1 or state.code in in_view:
        transition.deny(Reason.SEVERAL_CODES)
    elif state.phase is Phase.READ:
        transition.deny(Reason.CODE_CHANGED)
    else:
        (other,) = others
        transition.put(refreshed=(*state.refreshed, other.digest))
        transition.add(Verify(state.attempt, other))


# --- answers


def _on_verified(transition: Transition, event: Verified) -> None:
    state = transition.state
    if event.attempt != state.attempt or state.code is None:
        return
    if state.phase is Phase.READ and event.digest == state.code.digest:
        _judge_use(transition, event.use)
    elif state.phase in BIOMETRIC and event.digest in state.refreshed:
        same = state.use is not None and event.use.subject == state.use.subject
        if not same:
            transition.deny(Reason.CODE_CHANGED)


def _judge_use(transition: Transition, use: Use) -> None:
    """Let a verified use in, or ask for what its policy asks for."""
    transition.put(use=use)
    if closed_by_sensor(transition.state, transition.rules):
        transition.deny(Reason.SENSOR_FAULT)
    elif transition.locked_out(use.subject):
        transition.deny(Reason.LOCKED_OUT)
    elif use.requirement is Requirement.NONE:
        transition.commit(Reason.GRANTED, use.direction)
    elif transition.state.tamper:
        transition.deny(Reason.SENSOR_FAULT)
    else:
        _start_biometrics(transition, use)


def _start_biometrics(transition: Transition, use: Use) -> None:
    """Ask for the face before the finger where both are asked; at once where either will do."""
    both = frozenset({Modality.FACE, Modality.FINGER})
    match use.requirement:
        case Requirement.FACE:
            transition.put(pending=frozenset({Modality.FACE}))
            transition.start_biometrics(Phase.FACE, use, Modality.FACE)
        case Requirement.FINGER:
            transition.put(pending=frozenset({Modality.FINGER}))
            transition.start_biometrics(Phase.FINGER, use, Modality.FINGER)
        case Requirement.BOTH:
            transition.put(pending=both)
            transition.start_biometrics(Phase.FACE, use, Modality.FACE)
        case _:
            transition.put(pending=both)
            transition.start_biometrics(Phase.EITHER, use, Modality.FACE, Modality.FINGER)


def _on_refused(transition: Transition, event: Refused) -> None:
    state = transition.state
    if event.attempt != state.attempt or state.code is None:
        return
    if state.phase is Phase.READ and event.digest == state.code.digest:
        if event.reason in NEVER and state.code.known:
            transition.note_foreign(event.digest)
        transition.deny(event.reason, event.context)
    elif state.phase in BIOMETRIC and event.digest in state.refreshed:
        transition.deny(Reason.CODE_CHANGED)


def _on_biometric(transition: Transition, event: BiometricDone) -> None:
    state = transition.state
    if event.attempt != state.attempt or state.use is None or event.modality not in state.pending:
        return
    if state.phase is not Phase.EITHER and event.modality.value != state.phase.value:
        return
    left = state.pending - {event.modality}
    transition.put(pending=left)
    if not event.matched:
        if event.reason in COUNTED:
            transition.count_failure(state.use.subject)
        if state.phase is not Phase.EITHER or not left:
            unexplained = event.reason is Reason.GRANTED
            transition.deny(Reason.INTERNAL_ERROR if unexplained else event.reason)
    elif left and state.phase is Phase.FACE:
        transition.start_biometrics(Phase.FINGER, state.use, Modality.FINGER)
    else:
        transition.commit(Reason.GRANTED, state.use.direction)


def _on_committed(transition: Transition, event: Committed) -> None:
    """Open: the decision and the mark are on the disk."""
    state = transition.state
    if state.phase is not Phase.GRANTED or event.attempt != state.attempt:
        return
    if state.use is not None and state.use.requirement is not Requirement.NONE:
        transition.forget_failures(state.use.subject)
    late = state.deadline is not None and transition.now >= state.deadline
    if state.cancelled is not None or late:
        reason = state.cancelled or Reason.JOURNAL_FAILED
        transition.respond(state.transaction, reason)
        transition.end_grant(Occurrence.ABORTED, reason)
        return
    transition.respond(state.transaction)
    transition.open()


def _on_commit_failed(transition: Transition, event: CommitFailed) -> None:
    state = transition.state
    if state.phase is not Phase.GRANTED or event.attempt != state.attempt:
        return
    transition.respond(state.transaction, event.reason)
    if state.fire:
        transition.decide_denied(event.reason)
        transition.rest()
    else:
        transition.deny(event.reason)


def _on_staff(transition: Transition, event: StaffFound) -> None:
    """Let staff in by finger alone; an open housing means that no sensor is believed."""
    state = transition.state
    at_rest = state.phase in {Phase.IDLE, Phase.PASSED}
    if not at_rest or state.effective is not Mode.NORMAL or state.tamper:
        return
    transition.begin()
    direction = transition.rules.direction
    transition.put(use=Use(event.subject, Requirement.NONE, direction))
    if closed_by_sensor(transition.state, transition.rules):
        transition.deny(Reason.SENSOR_FAULT)
    else:
        transition.commit(Reason.GRANTED, direction)


def _on_profile(transition: Transition, _event: ProfileChanged) -> None:
    transition.forget_foreign()


def _on_shutdown(transition: Transition, _event: Shutdown) -> None:
    transition.interrupt(Reason.MAINTENANCE, stops=True)


_HANDLERS: dict[type, Callable[[Transition, Any], None]] = {
    CodesSeen: _on_codes,
    Verified: _on_verified,
    Refused: _on_refused,
    BiometricDone: _on_biometric,
    StaffFound: _on_staff,
    Committed: _on_committed,
    CommitFailed: _on_commit_failed,
    LaneEntered: on_lane,
    PassageSensed: on_passage,
    PassageReversed: on_reversed,
    DoorChanged: on_door,
    FireChanged: on_fire,
    TamperChanged: on_tamper,
    ReleasePressed: on_release,
    KeyTurned: on_key,
    GateFault: on_fault,
    InputFault: on_input_fault,
    Command: on_command,
    ProfileChanged: _on_profile,
    Tick: _on_tick,
    Shutdown: _on_shutdown,
}
