"""The thread that decides: feeds the passage machine and carries out what it asks for.

Rules:
- One thread, one machine. Everybody else only posts events; the queue is bounded, and when it is
  full a sighting is dropped (the next frame brings another) while an input waits or stops the
  daemon: a fire is never lost.
- Nothing here waits for a person, a camera or a network. The slowest thing is a commit to the disk.
- The gate is asked to open only by the machine's `OpenGate`, which follows a commit. What need not
  come before (telling the reporter, the counters, the console) comes after it.
- An exception ends the thread, the thread's end stops the daemon, and the service manager restarts
  it with the gate closed.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from agent import log
from agent.controller.ports import FrameCodes, Ports
from agent.controller.records import Sighting, Subject, Trace
from agent.controller.rows import RowWriter
from agent.journal import events
from agent.journal.events import BiometricOutcome
from agent.journal.journal import AlreadyUsed, JournalError, JournalFailed, JournalFull
from agent.journal.model import GiveBack, Mark, Way
from agent.passage import machine
from agent.passage.events import (
    Annul,
    BiometricDone,
    CloseGate,
    Commit,
    CommitFailed,
    Committed,
    Effect,
    Event,
    HoldGate,
    KeyTurned,
    OpenGate,
    ProfileChanged,
    Record,
    Refused,
    Respond,
    SetMode,
    Show,
    Shutdown,
    StartBiometric,
    StopBiometrics,
    Tick,
    Verified,
    Verify,
)
from agent.passage.transition import COUNTED
from agent.passage.types import (
    Direction,
    Mode,
    RecordKind,
    Requirement,
    Rules,
    Use,
)
from agent.policy.profile import Profile
from agent.reason import Reason

__all__ = ["QUEUE_LIMIT", "Controller"]

TICK_S = 0.05
QUEUE_LIMIT = 512
FULL_PAUSE_S = 0.005
TRACES_KEPT = 16
REMEMBERED_S = 86_400
"""How long a mark outlives what it marks: a clock that is put right goes back by a day at most."""

_log = log.get(__name__)


class Controller:
    """Owns the state of the passage.

    Args:
        ports: what it works with.
        rules: times and habits of the place.
        mode: the persisted mode.
    """

    def __init__(self, ports: Ports, rules: Rules, mode: Mode = Mode.NORMAL) -> None:
        self._ports = ports
        self.rules = rules
        # The C queue hands over without a lock in Python; its bound is kept in `post`.
        self._queue: queue.SimpleQueue[Event | FrameCodes | None] = queue.SimpleQueue()
        self._todo: deque[Event] = deque()
        self._traces: dict[int, Trace] = {}
        self._sightings: dict[bytes, Sighting] = {}
        self._rows = RowWriter(ports.journal, ports.observe)
        self._freed_for_full_journal = False
        self._profile: Profile | None = None
        self.rounds = 0
        """Rounds of the loop, for the watchdog."""
        self.dropped = 0
        """Sightings that found the queue full."""
        self.state, effects = machine.start(mode, self._now(), rules)
        self._opening = effects

    @property
    def journal_refuses(self) -> bool:
        """Whether the last row could not be written; nothing opens until one can."""
        return self._rows.refused

    @property
    def lost_rows(self) -> int:
        """Rows that the disk refused for so long that there was no room to keep them."""
        return self._rows.lost

    # -- from other threads --------------------------------------------------------------------

    def post(self, event: Event | FrameCodes, *, timeout_s: float = 2.0) -> None:
        """Hand over an event; a sighting is dropped where the queue is full.

        Raises:
            queue.Full: the controller stands still; the caller's thread must end, and with it the
                daemon.
        """
        if isinstance(event, FrameCodes) and self._queue.qsize() >= QUEUE_LIMIT:
            self.dropped += 1
            return
        until = time.monotonic() + timeout_s
        while self._queue.qsize() >= QUEUE_LIMIT:
            if time.monotonic() >= until:
                raise queue.Full
            time.sleep(FULL_PAUSE_S)
        self._queue.put(event)

    def stop(self) -> None:
        """End the loop after what is queued."""
        self._queue.put(None)

    # -- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Decide until `stop`; then end what is going on in its defined way."""
        self._carry_out(self._opening)
        self._drain()
        while True:
            try:
                event = self._queue.get(timeout=TICK_S)
            except queue.Empty:
                event = Tick()
            self.rounds += 1
            if event is None:
                break
            self.handle(event)
        self.handle(Shutdown())

    def handle(self, event: Event | FrameCodes) -> None:
        """Take one event through the machine, and everything that follows from it."""
        if isinstance(event, FrameCodes):
            self._sightings = event.sightings  # verified now or, shown again, with another frame
            event = event.event
        self._todo.append(event)
        self._drain()
        self._rows.retry(self._now())
        if self._freed_for_full_journal:
            self._look_for_room()
        self._rows.tell()

    def _drain(self) -> None:
        while self._todo:
            event = self._todo.popleft()
            if isinstance(event, BiometricDone):
                self._note_biometric(event)
            self._follow_profile()
            self.state, effects = machine.step(self.state, event, self._now(), self.rules)
            self._carry_out(effects)

    def _follow_profile(self) -> None:
        """Let the machine go by the profile in force."""
        profile, before = self._ports.judge.place.profile, self._profile
        if profile is before:
            return
        self._profile = profile
        if profile == before:
            return
        self.rules = replace(self.rules, unsensed=profile.unsensed)
        self._todo.append(ProfileChanged())

    def _carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        ports = self._ports
        match effect:
            case Verify():
                self._verify(effect)
            case Commit():
                self._commit(effect)
            case Record():
                self._record(effect)
            case Annul():
                self._annul(effect)
            case OpenGate():
                self._open(effect)
            case CloseGate():
                ports.gate.close()
            case HoldGate():
                ports.gate.hold(effect.held)
            case Show():
                ports.gate.signal(effect.signal)
            case StartBiometric():
                self._trace(effect.attempt).began_ns[effect.modality] = ports.clock.monotonic_ns()
                ports.checks.start(effect)
            case StopBiometrics():
                ports.checks.stop(effect.attempt)
            case SetMode():
                self._freed_for_full_journal = False  # somebody chose this one
                ports.save_mode(effect.mode)
            case Respond():
                ports.respond(effect.transaction, effect.done, effect.reason)

    # -- effects -------------------------------------------------------------------------------

    def _verify(self, effect: Verify) -> None:
        ports, code = self._ports, effect.code
        now = ports.clock.believed_wall()
        try:
            judgement = ports.judge.judge(
                code.payload,
                trust=ports.trust(),
                now=int(ports.clock.wall() if now is None else now),
                clock_trusted=now is not None,
                challenge=ports.challenge(),
            )
        except JournalError as error:  # whether the use was committed before is not known
            self._rows.failed(error)
            self._todo.append(Refused(effect.attempt, code.digest, Reason.JOURNAL_FAILED))
            return
        subject = Subject.of(judgement, ports.hasher, ports.clock.wall())
        first = effect.attempt not in self._traces
        trace = self._trace(effect.attempt)
        if first:
            trace.judgement, trace.subject = judgement, subject
            trace.sighting = self._sightings.get(code.digest)
            if trace.sighting is not None:
                sighting = trace.sighting
                trace.stages_ms["camera"] = (sighting.taken_ns - sighting.captured_ns) / 1e6
                trace.stages_ms["decode"] = sighting.decode_ms
            trace.stages_ms.update(judgement.timings_ms)
        if judgement.demand is None or judgement.credential is None or subject is None:
            _log.info("refused", reason=judgement.reason.value, detail=judgement.detail)
            self._todo.append(Refused(effect.attempt, code.digest, judgement.reason))
            return
        replay_key, ticket = judgement.credential.replay_key, judgement.demand.ticket
        try:
            before = ports.journal.give_backs(
                ports.hasher.use(replay_key),
                subject.local,
                window_s=self.rules.give_back_window_s,
                ticket=b"" if ticket is None else ports.hasher.use(ticket.use_key),
            )
        except JournalError as error:
            self._rows.failed(error)
            self._todo.append(Refused(effect.attempt, code.digest, Reason.JOURNAL_FAILED))
            return
        use = Use(
            subject=subject.local,
            requirement=Requirement(judgement.demand.ask.value),
            direction=Direction(judgement.demand.direction),
            replay_key=replay_key,
            ticket_key=b"" if ticket is None else ticket.use_key,
            ticket_until=0 if ticket is None else ticket.valid_until + REMEMBERED_S,
            given_back=before.use,
            give_backs=before.subject,
            context=judgement.credential,
        )
        self._todo.append(Verified(effect.attempt, code.digest, use))

    def _commit(self, effect: Commit) -> None:
        ports = self._ports
        self._rows.catch_up(self._now())
        trace = self._trace(effect.attempt)
        began = ports.clock.monotonic_ns()
        event = ports.recorder.decision(effect.record, trace, now_ns=began)
        try:
            if effect.use is None:
                seq = ports.journal.append(event)
            else:
                use = effect.use
                until = self._remember_until(use) if use.replay_key else 0
                ticket = Mark(use.ticket_key, use.ticket_until) if use.ticket_key else None
                seq = ports.journal.commit_use(use.replay_key, until, event, self._way(use), ticket)
        except AlreadyUsed:
            self._todo.append(CommitFailed(effect.attempt, Reason.REPLAYED))
            return
        except JournalFull:
            self._full(effect.attempt)
            return
        except JournalFailed as error:
            self._rows.failed(error)
            self._todo.append(CommitFailed(effect.attempt, Reason.JOURNAL_FAILED))
            return
        trace.stages_ms["commit"] = (ports.clock.monotonic_ns() - began) / 1e6
        trace.granted_seq, trace.reason = seq, effect.record.reason
        self._rows.written(seq, event, trace)
        self._todo.append(Committed(effect.attempt))

    def _record(self, effect: Record) -> None:
        ports = self._ports
        trace = self._traces.get(effect.attempt) if effect.attempt else None
        if trace is not None and effect.kind is RecordKind.DECISION:
            trace.reason = effect.reason
        event = ports.recorder.event(effect, trace, now_ns=ports.clock.monotonic_ns())
        if isinstance(event, events.Fault) and "part" in effect.data:
            ports.note_fault(event)
        write: Callable[[], int] = partial(ports.journal.append, event)
        if isinstance(event, events.Passage) and effect.use is not None:
            write = self._passage(event, effect.use)
        self._rows.write(write, event, trace, self._now())

    def _passage(self, event: events.Passage, use: Use) -> Callable[[], int]:
        """Return what writes a passage row, and with it what it means for the subject."""
        journal, rules = self._ports.journal, self.rules
        if event.outcome == "repeated_annulment":
            return partial(
                journal.record_lockout,
                event,
                use.subject,
                failures=rules.lockout_failures,
                lockout_s=rules.lockout_s,
            )
        way = self._way(use)
        if way is not None and (event.assumed or event.outcome == "passed"):
            return partial(journal.record_passage, event, way)
        return partial(journal.append, event)

    def _annul(self, effect: Annul) -> None:
        ports = self._ports
        trace = self._traces.get(effect.attempt)
        event = ports.recorder.annulment(effect, trace)
        write = partial(
            ports.journal.annul_use,
            effect.use.replay_key,
            event,
            *self._remembered(effect),
            ticket=effect.use.ticket_key,
        )
        self._rows.write(write, event, trace, self._now())

    def _open(self, effect: OpenGate) -> None:
        ports = self._ports
        ports.gate.open(effect.direction, effect.seconds, effect.subject)
        trace = self._traces.get(self.state.attempt)
        if trace is not None:
            trace.opened_ns = ports.clock.monotonic_ns()
            if trace.sighting is not None:
                trace.stages_ms["total"] = (trace.opened_ns - trace.sighting.captured_ns) / 1e6
            self._forgive(trace)

    # -- helpers -------------------------------------------------------------------------------

    def _note_biometric(self, event: BiometricDone) -> None:
        """Keep the end of a check with its attempt; count what counts towards a lockout."""
        trace = self._traces.get(event.attempt)
        if trace is None or event.attempt != self.state.attempt:
            return
        reason = Reason.GRANTED if event.matched else event.reason
        took_ns = self._ports.clock.monotonic_ns() - trace.began_ns.get(event.modality, 0)
        trace.stages_ms[event.modality.value] = took_ns / 1e6
        trace.biometrics += (BiometricOutcome(modality=event.modality.value, reason=reason),)
        if trace.subject is None:
            return
        if event.matched or event.reason not in COUNTED:
            return
        try:
            self._ports.journal.add_failure(
                trace.subject.local,
                limit=self.rules.lockout_failures,
                lockout_s=self.rules.lockout_s,
            )
        except JournalError as error:
            self._rows.failed(error)

    def _forgive(self, trace: Trace) -> None:
        """Forget a subject's failures once it was let in; half of what was asked is no success."""
        granted = trace.reason is Reason.GRANTED and trace.biometrics
        if trace.subject is None or not granted:
            return
        try:
            self._ports.journal.clear_failures(trace.subject.local)
        except JournalError as error:
            self._rows.failed(error)

    def _remember_until(self, use: Use) -> int:
        """Return until when a use must be known again.

        A dynamic code is stale after seconds; the day covers a clock that is put right. A static
        one may be used again after the place's reuse time.
        """
        now = int(self._ports.clock.wall())
        if use.context.dynamic:
            return max(now, use.context.presented_at or now) + REMEMBERED_S
        return now + int(self._ports.judge.place.profile.reuse_s)

    def _remembered(self, annul: Annul) -> Iterator[GiveBack]:
        """Yield what is kept of a use that is given back; a gate that never opened gave none.

        A ticket is given back once, whichever codes it stands in.
        """
        if not annul.opened:
            return
        use, window_s = annul.use, self.rules.give_back_window_s
        until = max(self._remember_until(use), self._ports.clock.wall() + window_s)
        yield GiveBack(self._ports.hasher.use(use.replay_key), use.subject, until)
        if use.ticket_key:
            until = max(use.ticket_until, until)
            yield GiveBack(self._ports.hasher.use(use.ticket_key), "", until)

    def _way(self, use: Use) -> Way | None:
        """Return where a use leads; kept for the one thing that needs it."""
        place = self._ports.judge.place
        if place.profile.anti_passback != "on":
            return None
        return Way(use.subject, place.zone, use.direction.value)

    def _trace(self, attempt: int) -> Trace:
        trace = self._traces.get(attempt)
        if trace is None:
            trace = Trace(self._ports.recorder.passage_id(attempt))
            self._traces[attempt] = trace
            while len(self._traces) > TRACES_KEPT:
                del self._traces[next(iter(self._traces))]
        return trace

    def _full(self, attempt: int) -> None:
        self._rows.failed(JournalFull("every row waits for the collector"))
        self._todo.append(CommitFailed(attempt, Reason.JOURNAL_FULL))
        chosen = self.state.mode  # a gate that somebody locked is not freed by a full disk
        if self._ports.journal_full == "free" and chosen is Mode.NORMAL:
            self._freed_for_full_journal = True
            self._todo.append(KeyTurned(Mode.FREE, by_fault=True))

    def _look_for_room(self) -> None:
        """Leave the free mode that a full journal caused, once the collector caught up."""
        if self.state.mode is not Mode.FREE:  # somebody chose another meanwhile
            self._freed_for_full_journal = False
        elif self._ports.journal.has_room():
            self._freed_for_full_journal = False
            self._todo.append(KeyTurned(Mode.NORMAL, by_fault=True))
            self._drain()

    def _now(self) -> float:
        return self._ports.clock.monotonic_ns() / 1e9
