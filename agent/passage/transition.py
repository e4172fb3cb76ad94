"""One transition of the passage machine: the state being built, the effects so far, shared moves.

A `Transition` lives for one call of `agent.passage.machine.step`. It is the only place that changes
the state, so what must always go together stands together: a denial is recorded once and shown, a
grant is committed before it opens, and the end of a grant closes, records and, where nobody passed
(`agent.passage.accounting`), annuls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from agent.credential.model import Modality
from agent.passage import accounting
from agent.passage.events import (
    Annul,
    CloseGate,
    Commit,
    Effect,
    OpenGate,
    Record,
    Respond,
    Show,
    StartBiometric,
    StopBiometrics,
)
from agent.passage.types import (
    Direction,
    Failures,
    Held,
    Mode,
    Occurrence,
    Phase,
    RecordKind,
    Rules,
    Sensing,
    Signal,
    State,
    Use,
)
from agent.reason import Reason

__all__ = [
    "BIOMETRIC",
    "COUNTED",
    "MAX_FOREIGN",
    "MODE_REASON",
    "NEVER",
    "UNCHECKED_MODES",
    "WORKING",
    "Transition",
]

BIOMETRIC = frozenset({Phase.FACE, Phase.FINGER, Phase.EITHER})
WORKING = BIOMETRIC | {Phase.READ}
"""Phases in which an attempt waits for its decision."""

UNCHECKED_MODES = frozenset({Mode.FREE, Mode.FIRE, Mode.MAINTENANCE})
"""Modes in which walking through needs no grant and raises no alarm."""

COUNTED = frozenset(
    {Reason.FACE_MISMATCH, Reason.FINGER_MISMATCH, Reason.SPOOF_SUSPECTED, Reason.FACE_CHANGED}
)
"""Failures that count towards a lockout: a wet finger or an early departure does not."""

NEVER = frozenset({Reason.UNKNOWN_FORMAT, Reason.FORMAT_NOT_ACCEPTED, Reason.MALFORMED})
"""What no key, clock or person could make good here: the code's bytes are no credential."""

MODE_REASON = {
    Mode.NORMAL: Reason.COMMAND,
    Mode.FREE: Reason.FREE_PASSAGE,
    Mode.LOCKED: Reason.GATE_LOCKED,
    Mode.MAINTENANCE: Reason.MAINTENANCE,
    Mode.FIRE: Reason.FIRE,
}

_RESTING = {
    Mode.NORMAL: Signal.READY,
    Mode.FREE: Signal.FREE,
    Mode.LOCKED: Signal.LOCKED,
    Mode.MAINTENANCE: Signal.MAINTENANCE,
    Mode.FIRE: Signal.FIRE,
}
Data = Mapping[str, str | int | float | bool]

_MAX_HELD = 8
MAX_FOREIGN = 64
_MAX_SUBJECTS = 256
_ANSWER_GRACE_S = 1.0
"""A biometric session ends by its own timeout, with the better reason; this is the backstop."""


class Transition:
    """State and effects of one step.

    Args:
        state: as it was before.
        now: monotonic seconds.
        rules: of the place.
    """

    def __init__(self, state: State, now: float, rules: Rules) -> None:
        self.state = state
        self.now = now
        self.rules = rules
        self.effects: list[Effect] = []

    def put(self, **changes: Any) -> None:
        """Change fields of the state."""
        self.state = replace(self.state, **changes)

    def add(self, *effects: Effect) -> None:
        """Ask for effects."""
        self.effects.extend(effects)

    # --- journal

    def record(
        self,
        kind: RecordKind,
        what: Occurrence,
        reason: Reason | None = None,
        *,
        attempt: int = 0,
        data: Data | None = None,
    ) -> None:
        """Add a row that belongs to no use."""
        self.add(Record(kind, what, reason, attempt=attempt, data=data or {}))

    def alarm(self, what: Occurrence, *, attempt: int = 0, data: Data | None = None) -> None:
        """Add a passage row that somebody should look at, and sound."""
        self.record(RecordKind.PASSAGE, what, attempt=attempt, data=data)
        self.add(Show(Signal.ALARM))

    # --- an attempt and its decision

    def begin(self) -> None:
        """Number a new attempt; the last one's particulars went when it ended."""
        self.put(attempt=self.state.attempt + 1)

    def rest(self) -> None:
        """Wait for the next person, showing the mode."""
        self._clear()
        self.put(phase=Phase.IDLE, deadline=None)
        self.add(Show(_RESTING[self.state.effective]))

    def decide_denied(self, reason: Reason, context: Any = None) -> None:
        """Record the attempt's one decision, and stop what still works for it."""
        if self.state.phase in BIOMETRIC:
            self.add(StopBiometrics(self.state.attempt))
        self.add(
            Record(
                RecordKind.DECISION,
                Occurrence.DENIED,
                reason,
                attempt=self.state.attempt,
                use=self.state.use,
                context=context,
            )
        )

    def deny(self, reason: Reason, context: Any = None) -> None:
        """Decide, and show the person the one colour and sound of every denial."""
        self.decide_denied(reason, context)
        self._clear()
        self.put(phase=Phase.DENIED, deadline=self.now + self.rules.denial_s)
        self.add(Show(Signal.DENIED))

    def start_biometrics(self, phase: Phase, use: Use, *modalities: Modality) -> None:
        """Begin checks of the attempt's use."""
        limit = self.rules.biometric_timeout_s
        self.put(phase=phase, deadline=self.now + limit + _ANSWER_GRACE_S)
        for modality in modalities:
            self.add(StartBiometric(self.state.attempt, modality, use, limit))
        face = Modality.FACE in modalities
        self.add(Show(Signal.PROMPT_FACE if face else Signal.PROMPT_FINGER))

    # --- a grant and its end

    def granted(self, reason: Reason, *, direction: Direction) -> Record:
        """Return the row of a positive decision, stopping what still works for the attempt."""
        if self.state.pending:
            self.add(StopBiometrics(self.state.attempt))
        return Record(
            RecordKind.DECISION,
            Occurrence.GRANTED,
            reason,
            attempt=self.state.attempt,
            use=self.state.use,
            data={"direction": direction.value},
        )

    def commit(self, reason: Reason, direction: Direction, *, transaction: str = "") -> None:
        """Send the decision and its mark to the disk; nothing opens before the answer."""
        record = self.granted(reason, direction=direction)
        self.put(
            phase=Phase.GRANTED,
            reason=reason,
            direction=direction,
            pending=frozenset(),
            deadline=self.now + self.rules.commit_timeout_s,
            transaction=transaction,
        )
        self.add(Commit(self.state.attempt, self.state.use, record))

    def open(self) -> None:
        """Open for the grant at hand and wait for the person; said again, the time starts anew."""
        rules = self.rules
        if self.state.phase is not Phase.OPEN:
            stands_open = rules.sensing is Sensing.DOOR and self.state.door_open
            self.put(sign=False, door_moved=stands_open)
        grace = 0.0 if rules.sensing is Sensing.NONE else rules.grace_s
        deadline = self.now + rules.passage_timeout_s + grace
        self.put(
            phase=Phase.OPEN,
            opened_at=self.now,
            closing=False,
            deadline=deadline,
            latest=deadline + rules.lane_s,
        )
        use = self.state.use
        subject = "" if use is None else use.subject
        self.add(
            OpenGate(self.state.direction, rules.passage_timeout_s, subject), Show(Signal.GRANTED)
        )

    def close(self) -> None:
        """The opening time is over: no more green, though somebody on the way still counts."""
        self.put(closing=True)
        self.add(CloseGate(), Show(_RESTING[self.state.effective]))

    def time_over(self) -> None:
        """End an opening on which nobody was seen to pass: given back, or counted as used."""
        self._count_silence()
        use, attempt = self.state.use, self.state.attempt
        found = accounting.verdict(self.state, self.rules)
        if found.given_back:
            self.end_grant(Occurrence.ANNULLED)
            return
        self.end_grant(Occurrence.PASSED, found.reason, assumed=True)
        if use is not None and found.repeated:
            what = Occurrence.REPEATED_ANNULMENT
            self.add(Record(RecordKind.PASSAGE, what, attempt=attempt, use=use))
            self.add(Show(Signal.ALARM))
            self._lock_out(use.subject)

    def end_grant(
        self, outcome: Occurrence, reason: Reason | None = None, *, assumed: bool = False
    ) -> None:
        """Close, and record the one end of the grant; where nobody passed, annul its use.

        Args:
            outcome: passed, annulled or aborted.
            reason: of that, where there is one.
            assumed: somebody may have passed, whom no sensor saw.
        """
        state = self.state
        values: dict[str, str | int | float | bool] = {"direction": state.direction.value}
        if state.phase is Phase.OPEN:
            values["open_ms"] = round((self.now - state.opened_at) * 1000, 3)
        if assumed:
            values["assumed"] = True
        if state.reason is not None:
            values["cause"] = state.reason.value
        self.add(
            CloseGate(),
            Record(
                RecordKind.PASSAGE,
                outcome,
                reason,
                attempt=state.attempt,
                use=state.use,
                data=values,
            ),
        )
        if state.door_open:
            self.put(door_at=self.now)
        if outcome is not Occurrence.PASSED:
            if state.use is not None and state.use.replay_key and not assumed:
                why = Reason.NO_PASSAGE if reason is None else reason
                opened = state.phase is Phase.OPEN
                self.add(Annul(state.attempt, state.use, why, opened))
                self.put(lent=state.lent or opened)
            self.rest()
            return
        self._clear()
        self.put(
            phase=Phase.PASSED,
            deadline=self.now + self.rules.passed_s,
            tailgate_until=self.now + self.rules.tailgate_s,
            passed_attempt=state.attempt,
            passed_direction=state.direction,
        )

    def interrupt(self, reason: Reason, *, stops: bool = False) -> None:
        """End whatever is going on, in its defined way; a commit under way ends when answered.

        Args:
            reason: of the end.
            stops: the agent ends too: nobody sees any more who walks through what was open.
        """
        phase = self.state.phase
        if phase is Phase.GRANTED:
            self.put(cancelled=self.state.cancelled or reason)
            return
        if phase is Phase.OPEN:
            nobody = not stops and accounting.verdict(self.state, self.rules).given_back
            self.end_grant(Occurrence.ABORTED, reason, assumed=not nobody)
            return
        if phase in WORKING:
            self.decide_denied(reason)
        self.rest()

    def respond(self, transaction: str, reason: Reason | None = None) -> None:
        """Answer a command: done without a reason, refused with one."""
        if transaction:
            self.add(Respond(transaction, reason is None, reason))

    # --- the passage sensor

    def note_sign(self, *, complete: bool) -> None:
        """Note that the passage sensor works; only a whole passage says that all of it does."""
        seen = self.state.seen or complete
        self.put(seen=seen, sign=True, silent_count=0)
        self.put_faults(silent=False)

    def put_faults(self, **changes: Any) -> None:
        """Change the faults of inputs; record each that begins or ends by it."""
        before = frozenset(accounting.fault_words(self.state, self.rules))
        self.put(**changes)
        after = frozenset(accounting.fault_words(self.state, self.rules))
        for part, code in sorted(before ^ after):
            active = (part, code) in after
            data: Data = {"part": part, "code": code, "active": active}
            self.record(RecordKind.FAULT, Occurrence.FAULT, data=data)

    def _count_silence(self) -> None:
        """Find the sensor silent: the door went by it, or opening after opening did."""
        state, rules = self.state, self.rules
        works = state.sign or rules.sensing is Sensing.NONE
        if works or accounting.sensor_failed(state, rules):
            return
        self.put(silent_count=state.silent_count + 1)
        by_door = rules.sensing is Sensing.BEAM and state.door_moved and not state.door_open
        if by_door or self.state.silent_count >= rules.silent_openings:
            self.put_faults(silent=True)

    # --- codes already judged

    def hold(self, *digests: bytes) -> None:
        """Remember fresh codes as judged until they have left the view for a while."""
        held = (*self.state.held, *((digest, None) for digest in digests))
        self.put(held=held[-_MAX_HELD:])

    def note_foreign(self, *digests: bytes) -> None:
        """Remember codes in view that are no credentials; none is forgotten to make room."""
        foreign = (*self.state.foreign, *((digest, None) for digest in digests))
        self.put(foreign=foreign[:MAX_FOREIGN])

    def forget_foreign(self) -> None:
        """Let what was no credential be judged anew."""
        self.put(foreign=())

    def watch(self, in_view: frozenset[bytes]) -> None:
        """Note which judged codes are in view, and forget those gone for long enough."""
        state, rules = self.state, self.rules
        held = self._still(state.held, in_view, rules.rearm_s)
        foreign = self._still(state.foreign, in_view, rules.foreign_rearm_s)
        if (held, foreign) != (state.held, state.foreign):
            self.put(held=held, foreign=foreign)

    def _still(
        self, codes: tuple[Held, ...], in_view: frozenset[bytes], rearm_s: float
    ) -> tuple[Held, ...]:
        kept: list[Held] = []
        for digest, missing_since in codes:
            if missing_since is not None and self.now - missing_since >= rearm_s:
                continue
            if digest in in_view:
                kept.append((digest, None))
            else:
                kept.append((digest, self.now if missing_since is None else missing_since))
        return tuple(kept)

    # --- lockout

    def locked_out(self, subject: str) -> bool:
        """Tell whether the subject failed too often, too recently."""
        return any(
            entry.subject == subject and entry.count >= self.rules.lockout_failures
            for entry in self._recent()
        )

    def count_failure(self, subject: str) -> None:
        """Count a failed biometric check; the longest untouched subject makes room."""
        recent = self._recent()
        count = next((entry.count for entry in recent if entry.subject == subject), 0)
        others = [entry for entry in recent if entry.subject != subject]
        others.append(Failures(subject, count + 1, self.now))
        self.put(failures=tuple(others[-_MAX_SUBJECTS:]))

    def _lock_out(self, subject: str) -> None:
        """Let a subject wait as if its checks had failed too often."""
        others = [entry for entry in self._recent() if entry.subject != subject]
        others.append(Failures(subject, self.rules.lockout_failures, self.now))
        self.put(failures=tuple(others[-_MAX_SUBJECTS:]))

    def forget_failures(self, subject: str) -> None:
        """Begin anew after a success."""
        kept = tuple(entry for entry in self._recent() if entry.subject != subject)
        self.put(failures=kept)

    def _recent(self) -> tuple[Failures, ...]:
        limit = self.now - self.rules.lockout_s
        return tuple(entry for entry in self.state.failures if entry.last_at > limit)

    def _clear(self) -> None:
        self.put(
            code=None,
            use=None,
            reason=None,
            either_way=False,
            pending=frozenset(),
            cancelled=None,
            transaction="",
            refreshed=(),
        )
