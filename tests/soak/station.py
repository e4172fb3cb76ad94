"""One gate in simulated time, with the product's own parts, and the invariants around them.

Real: controller, passage machine, judge, journal (a database file, synchronous OFF), clock guard,
gate I/O and its inputs, the simulated pins and barrier that the product ships. Simulated: the
clock, the camera (codes are handed over as read) and the comparison of faces.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.clock.guard import ClockGuard, ClockSources
from agent.controller.controller import Controller
from agent.controller.memory import JournalMemory
from agent.controller.ports import FrameCodes, JournaledEvent, Ports
from agent.controller.records import Recorder
from agent.controller.unfinished import end_unfinished
from agent.daemon.pins import wiring
from agent.journal.events import Decision
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher
from agent.passage.events import (
    BiometricDone,
    Effect,
    Event,
    FireChanged,
    HoldGate,
    InputEvent,
    OpenGate,
    Record,
    ReleasePressed,
    StartBiometric,
    Tick,
    Verify,
)
from agent.passage.types import Code, Mode, Occurrence, Phase, RecordKind, Rules, Use
from agent.policy.judge import Judge, Place
from agent.policy.profile import parse_profile
from agent.reason import Reason
from agent.settings.model import GateConfig, GpioConfig
from agent.trust.model import TrustView
from hal.errors import DeviceFault
from hal.simulated.barrier import Barrier, Behaviour
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import PinBoard
from tests.support.gate_in_hand import GateInHand

T0 = 1_800_000_000
LIMIT_S = 5.0
POLL_S = 0.01
IDLE_S = 0.5
TICK_S = 0.05
CAPACITY = 600
ENDS = frozenset({Occurrence.PASSED, Occurrence.ANNULLED, Occurrence.ABORTED})
SETTINGS = GpioConfig(passage_2=26, relay_out=16, door=12, poll_hz=100)
TIMING = GateConfig(site="soak", gate="g", passage_timeout_s=LIMIT_S)
PROFILE = """
name = "soak"
title = "t"
kinds = ["library-card", "online-id"]
biometric = "face"
biometric_basic = "none"
"""


class Broken(AssertionError):
    """An invariant does not hold."""


@dataclass
class Times:
    """True time, and what the gate's clock makes of it."""

    now: float = 0.0
    error: float = 0.0
    synchronized: bool = False
    booted_at: float = -1000.0
    kernel: str = "kernel-1"

    @property
    def true(self) -> float:
        return T0 + self.now

    def wall(self) -> float:
        return self.true + self.error

    def boottime(self) -> float:
        return self.now - self.booted_at

    def monotonic_ns(self) -> int:
        return round((self.now + 1000.0) * 1e9)


@dataclass
class GateClock:
    """The controller's clock port over the real guard."""

    times: Times
    guard: ClockGuard

    def wall(self) -> float:
        return self.times.wall()

    def monotonic_ns(self) -> int:
        return self.times.monotonic_ns()

    def believed_wall(self) -> float | None:
        return self.guard.now()


@dataclass
class Faces:
    """The comparison of faces: answers after a while as the person before the camera would."""

    station: Station
    running: dict[int, tuple[float, BiometricDone]] = field(default_factory=dict)

    def start(self, effect: StartBiometric) -> None:
        after, matched, reason = self.station.face_settings(effect)
        done = BiometricDone(effect.attempt, effect.modality, matched, reason)
        self.running[effect.attempt] = (self.station.times.now + after, done)

    def stop(self, attempt: int) -> None:
        self.running.pop(attempt, None)

    def due(self, now: float) -> list[BiometricDone]:
        found = [done for due, done in self.running.values() if due <= now]
        for done in found:
            del self.running[done.attempt]
        return found


class WatchedController(Controller):
    """The controller, with every effect shown to the station before it is carried out."""

    watch: Callable[[Effect], None]
    unrecorded: Callable[[Effect], None]

    def _do(self, effect: Effect) -> None:
        self.watch(effect)
        super()._do(effect)
        if isinstance(effect, Record) and self.journal_refuses:
            self.unrecorded(effect)


class Station:
    """A gate that can be restarted, crashed and watched.

    Args:
        folder: where its journal and clock memory are.
        trust: the snapshot to believe.
        face_settings: seconds, result and reason of a comparison that begins.
    """

    def __init__(
        self,
        folder: Path,
        trust: Callable[[], TrustView],
        face_settings: Callable[[StartBiometric], tuple[float, bool, Reason]],
    ) -> None:
        self.times = Times()
        self.path = folder / "journal.sqlite"
        self.clock_path = folder / "clock.json"
        self.trust, self.face_settings = trust, face_settings
        self.mode = Mode.NORMAL
        self.journal_full = "deny"
        self.board = PinBoard(clock_ns=self.times.monotonic_ns)
        self.barrier = Barrier(self.board, wiring(SETTINGS), clock=lambda: self.times.now)
        self.walker: Behaviour | None = None
        self.counts: Counter[str] = Counter()
        self.may_pass: dict[bytes, bool] = {}
        self.verdicts: dict[bytes, Reason] = {}
        self.decided_at = -1.0
        self.last_reason: Reason | None = None
        self.spent: set[bytes] = set()
        self.waiting: dict[str, float] = {}
        """Until when a subject is locked out that was given a use back before."""
        self.last_subject = ""
        self.lost_ends: set[str] = set()
        self.awake_until = 1.0
        self.answers: list[tuple[str, bool]] = []
        self._releases = 0.0
        self.down = False
        self.inbox: deque[InputEvent] = deque()
        self.gpio = SimulatedGpio(board=self.board)
        self.gate = GateInHand(
            self.gpio, SETTINGS, TIMING, self._hear, clock=lambda: self.times.now
        )
        self.gate.setup()
        self.boot()

    # --- life of the gatekeeper

    def take_lines(self) -> None:
        """Start the gatekeeper anew: nothing moves, and what lasts is asked for again."""
        self.gpio = SimulatedGpio(board=self.board)
        self.gate.new_keeper(self.gpio)
        self.gate.keeper.setup()
        if not self.down:
            self.gate.attend()

    def lose_lines(self) -> None:
        """The gatekeeper ends; its unit's `--safe` drops what is still driven."""
        try:
            self.gate.safe()
        except DeviceFault:
            self.counts["pins were gone"] += 1  # whoever closed them left them as inputs
        if self.relay_on():
            raise Broken("the relay is on after the end of its gatekeeper")

    # --- life of the daemon

    def boot(self) -> None:
        """Start as the daemon does: journal, the end that a crash cut short, machine."""
        times = self.times
        self.journal = Journal.open(
            self.path, capacity=CAPACITY, clock=times.wall, synchronous="OFF"
        )
        end_unfinished(self.journal)
        self.disk = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)
        self.guard = ClockGuard(
            self.clock_path,
            wall=times.wall,
            boottime=times.boottime,
            boot_id=lambda: times.kernel,
            sources=lambda: ClockSources(synchronized=times.synchronized),
        )
        self.faces = Faces(self)
        hasher = SubjectHasher(bytes(32))
        place = Place(
            site=TIMING.site, gate=TIMING.gate, profile=parse_profile(PROFILE, source="soak")
        )
        rules = Rules.of(TIMING, SETTINGS)
        memory = JournalMemory(
            self.journal, hasher, zone="main", passback_s=600, reuse_s=10, began_at=times.wall(),
            failures=rules.lockout_failures, enrolled=lambda _subject: False,
        )  # fmt: skip
        self._granted: set[int] = set()
        self._told: set[int] = set()
        self._ended: set[int] = set()
        self._codes: dict[int, bytes] = {}
        self._believed: dict[int, bool] = {}
        self._held = self._allowed_before = False
        self._opened_until = self._fire_until = self._releases = float("-inf")
        self._fire = False
        self.down = False
        self.inbox.clear()
        self.gate.forget()
        self.gate.attend()
        parts = Ports(
            judge=Judge(place, timer=lambda: 0, memory=memory),
            trust=self.trust,
            clock=GateClock(times, self.guard),
            journal=self.journal,
            hasher=hasher,
            gate=self.gate,
            checks=self.faces,
            recorder=Recorder(boot_id=self.journal.boot_id, profile="soak", zone="main"),
            respond=lambda transaction, done, _reason: self.answers.append((transaction, done)),
            save_mode=self._save_mode,
            observe=self._observe,
            journal_full=self.journal_full,
        )
        WatchedController.watch = staticmethod(self._watch)
        WatchedController.unrecorded = staticmethod(self._unrecorded)
        self.controller = WatchedController(parts, rules, self.mode)
        self.controller._carry_out(self.controller._opening)
        self.controller._drain()
        self._next_tick = self._next_flush = times.now
        self.counts["boots"] += 1

    def stop(self) -> None:
        """End in good order, as on SIGTERM."""
        from agent.passage.events import Shutdown

        self.controller.handle(Shutdown())
        missing = self._granted - self._ended
        if missing:
            raise Broken(f"grants without an end at shutdown: {missing}")
        self.guard.flush(force=True)
        self._leave()

    def crash(self) -> None:
        """Die without a word: the gatekeeper closes what nobody decides."""
        self.counts["crashes"] += 1
        self._leave()

    def _leave(self) -> None:
        self.gate.keeper.abandon()
        self.close_files()
        self.down = True
        self._left_at = self.times.now

    def close_files(self) -> None:
        """Close the journal and what looks at it, also where the day broke off."""
        self.journal.close()
        self.disk.close()

    def waits(self) -> bool:
        """Whether the one who was judged last must wait: two openings ended with nobody seen."""
        return self.times.now < self.waiting.get(self.last_subject, 0.0) + 1.0

    def handle(self, event: Event | FrameCodes) -> None:
        """Hand the controller an event, where there is one."""
        if not self.down:
            self.controller.handle(event)

    def _save_mode(self, mode: Mode) -> None:
        self.mode = mode
        self.gate.choose(mode)

    # --- time

    @property
    def awake(self) -> bool:
        """Whether something is going on that deserves every poll."""
        now = self.times.now
        return (
            now < self.awake_until
            or self.down
            or self.barrier.busy
            or self.controller.state.phase is not Phase.IDLE
            or bool(self.faces.running)
        )

    def wake(self, seconds: float) -> None:
        """Poll at full rate for a while."""
        self.awake_until = max(self.awake_until, self.times.now + seconds)

    def advance(self, until: float) -> None:
        """Let the world and the gate go on to `until`: one poll while awake."""
        self.times.now = now = until
        self.barrier.advance(now)
        try:
            self.gate.tick(now)
        except DeviceFault:
            self.lose_lines()
            self.take_lines()
            return
        if self.down:
            self._check_alone()
            return
        while self.inbox:
            self.controller.handle(self.inbox.popleft())
        for done in self.faces.due(now):
            self.controller.handle(done)
        if now >= self._next_tick:
            self._next_tick = now + TICK_S
            self.controller.handle(Tick())
        if now >= self._next_flush:
            self._next_flush = now + 60.0
            self.guard.flush()
            self.journal.maintain()
        self._check_relay()

    def _hear(self, event: InputEvent) -> None:
        """Be the gate's callback: note the two causes on which it acts alone."""
        now = self.times.now
        if isinstance(event, ReleasePressed):
            self._releases = now + LIMIT_S
            self.counts["releases"] += 1
        if isinstance(event, FireChanged):
            self._fire = event.active
            self._fire_until = now
            self.counts["fires"] += event.active
        self.inbox.append(event)

    # --- what must hold

    def relay_on(self) -> bool:
        """Whether the arm is let go by the agent."""
        return self.board.level(SETTINGS.relay) or self.board.level(SETTINGS.relay_out)

    def _check_relay(self) -> None:
        now = self.times.now
        allowed = self._held or self._fire or now <= self._opened_until or now <= self._releases
        # What the controller ends now leaves the pin with the next poll.
        if self.relay_on() and not allowed and not self._allowed_before:
            raise Broken(f"relay on without a cause, phase {self.controller.state.phase}")
        if self._fire and not self.relay_on():
            raise Broken("fire, and the relay is off")
        self._allowed_before = allowed

    def _check_alone(self) -> None:
        """Nobody decides: fire, a release and free passage open, and nothing else does."""
        keeper = self.gate.keeper
        fire = keeper.active("fire")
        if fire and not self.relay_on():
            raise Broken("fire while nobody decides, and the relay is off")
        released = self.times.now <= self._releases or keeper.unattended
        allowed = fire or released or keeper.mode is Mode.FREE
        if self.relay_on() and not allowed and self.times.now > self._left_at + POLL_S:
            raise Broken("the relay outlasts its decider")

    def _watch(self, effect: Effect) -> None:
        match effect:
            case Verify():
                self._codes[effect.attempt] = effect.code.digest
                self._believed[effect.attempt] = self.guard.trusted
            case HoldGate():
                self._held = effect.held
            case OpenGate():
                self._check_open(effect)
            case Record(kind=RecordKind.PASSAGE) if effect.what in ENDS:
                self._check_end(effect)
            case Record(what=Occurrence.REPEATED_ANNULMENT, use=Use(subject=subject)):
                self.waiting[subject] = self.times.now + self.controller.rules.lockout_s

    def _check_open(self, effect: OpenGate) -> None:
        attempt, now = self.controller.state.attempt, self.times.now
        use = self.controller.state.use
        if effect.seconds > LIMIT_S:
            raise Broken(f"asked to open for {effect.seconds} s")
        self._opened_until = now + effect.seconds + POLL_S
        if not self.relay_on() and self.walker is not None:
            self.barrier.expect(self.walker)
            self.walker = None
        if not self._is_granted(attempt):
            if now > self._releases:
                raise Broken(f"attempt {attempt} opens without a row on the disk")
            return
        if use is None:
            return
        self._check_use(attempt, use)
        self.counts["opened by code"] += 1

    def _check_use(self, attempt: int, use: Use) -> None:
        marked = self.disk.execute(
            "SELECT 1 FROM used WHERE replay_key = ?", (use.replay_key,)
        ).fetchone()
        if marked is None:
            raise Broken(f"attempt {attempt} opens and its mark is not on the disk")
        if use.replay_key in self.spent:
            raise Broken(f"attempt {attempt} opens on a use that somebody passed on")
        if not self.may_pass.get(self._codes[attempt], False):
            raise Broken(f"attempt {attempt} opens to somebody who must not pass")
        if not self._believed[attempt]:
            raise Broken(f"attempt {attempt} opens on a clock that is not believed")

    def _check_end(self, record: Record) -> None:
        attempt = record.attempt
        if not self._is_granted(attempt):
            if self.journal_works():
                raise Broken(f"attempt {attempt} ends without a grant")
            return
        if attempt in self._ended:
            raise Broken(f"attempt {attempt} ends twice")
        self._ended.add(attempt)
        self.counts[record.what.value] += 1
        used = record.what is Occurrence.PASSED or "assumed" in record.data
        if used and record.use is not None:
            self.spent.add(record.use.replay_key)

    def _is_granted(self, attempt: int) -> bool:
        """Ask the disk itself: the gate opens before anybody is told of the row."""
        passage = self.controller._ports.recorder.passage_id(attempt).encode()
        rows = self.disk.execute(
            "SELECT data FROM event WHERE type = 'decision'"
            " AND boot = (SELECT max(number) FROM boot) ORDER BY seq DESC LIMIT 8"
        )
        if any(passage in data and b'"decision":"granted"' in data for (data,) in rows):
            self._granted.add(attempt)
        return attempt in self._granted

    def _unrecorded(self, effect: Record) -> None:
        """Note an end that the disk refused: the row is missing and must not be blamed later."""
        if effect.what in ENDS:
            self.lost_ends.add(self.controller._ports.recorder.passage_id(effect.attempt))

    def journal_works(self) -> bool:
        """Whether the journal took the last thing it was given."""
        return not self.controller.journal_refuses

    # --- the journal seen by the controller

    def _observe(self, row: JournaledEvent) -> None:
        if not isinstance(row.event, Decision):
            return
        attempt = int(row.event.passage[-8:], 16)
        if row.event.decision == "annulled":
            self.counts["annulments"] += 1
            return
        stored = self.disk.execute(
            "SELECT 1 FROM event WHERE seq = ? AND boot = (SELECT max(number) FROM boot)",
            (row.seq,),
        ).fetchone()
        if stored is None:
            raise Broken(f"row {row.seq} was told of and is not on the disk")
        self.decided_at, self.last_reason = self.times.now, row.event.reason
        known = row.trace is not None and row.trace.subject is not None
        self.last_subject = row.trace.subject.local if known else ""
        if attempt in self._codes:
            self.verdicts[self._codes[attempt]] = row.event.reason
        self.counts[row.event.decision] += 1
        if row.event.decision == "granted":
            if attempt in self._told:
                raise Broken(f"attempt {attempt} is granted twice")
            self._told.add(attempt)
            self._granted.add(attempt)
        else:
            self.counts[f"denied: {row.event.reason}"] += 1


def code_of(text: str, digest: bytes) -> Code:
    """Return a code as the camera's thread would hand it over."""
    return Code(digest, text.encode())
