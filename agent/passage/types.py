"""The values of a passage: what `agent.passage.machine` remembers, and what it is ruled by.

Rules:
- Values only: nothing here does I/O or reads a clock. Every time is the monotonic clock, seconds.
- A subject is a keyed hash; payloads and contexts never show in `repr`.
- Fire is not a mode that someone chose: it is an input that overrides the chosen mode, so the
  chosen one is there again when the input clears.

Words as in EN 60839-11 (access control) and ISO/IEC 2382-37 (biometrics).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from agent.credential.model import Modality
from agent.gatekeeper.words import Direction, Mode, Signal
from agent.reason import Reason
from agent.settings.model import GateConfig, GpioConfig

__all__ = [
    "Code",
    "Direction",
    "Failures",
    "Held",
    "Mode",
    "Occurrence",
    "Phase",
    "RecordKind",
    "Requirement",
    "Rules",
    "Sensing",
    "Signal",
    "State",
    "Use",
]


class Phase(StrEnum):
    """Where the passage stands; VERIFIED and NOT_PASSED of the design last no time."""

    IDLE = "idle"
    READ = "read"
    FACE = "face"
    FINGER = "finger"
    EITHER = "either"
    GRANTED = "granted"
    """Decided; the decision and the replay mark are on their way to the disk, the relay is off."""
    OPEN = "open"
    PASSED = "passed"
    DENIED = "denied"


class Requirement(StrEnum):
    """Which biometric the policy asks for."""

    NONE = "none"
    FACE = "face"
    FINGER = "finger"
    BOTH = "both"
    EITHER = "either"


class Sensing(StrEnum):
    """How the gate learns that a person went through."""

    BEAM = "beam"
    DOOR = "door"
    NONE = "none"
    """Nothing fitted: a grant counts as used when the opening time is over."""


class RecordKind(StrEnum):
    """The event topics of the fleet."""

    DECISION = "decision"
    PASSAGE = "passage"
    TAMPER = "tamper"
    FAULT = "fault"
    MODE = "mode"


class Occurrence(StrEnum):
    """What a journal row says happened; a closed set."""

    GRANTED = "granted"
    DENIED = "denied"

    # The end of a grant: exactly one of these three
    PASSED = "passed"
    ANNULLED = "annulled"
    ABORTED = "aborted"

    TAILGATING = "tailgating"
    REPEATED_ANNULMENT = "repeated_annulment"
    """A use was to be given back again; it was not, and its subject waits."""
    CRAWL_BACK = "crawl_back"
    WRONG_WAY = "wrong_way"
    WITHOUT_GRANT = "without_grant"
    UNCHECKED = "unchecked"
    FORCED_OPEN = "forced_open"
    HELD_OPEN = "held_open"
    HELD_OPEN_CLEARED = "held_open_cleared"
    RELEASED = "released"
    """The release button while the gate was open anyway: the opening is prolonged."""

    TAMPER = "tamper"
    TAMPER_CLEARED = "tamper_cleared"
    FIRE = "fire"
    FIRE_CLEARED = "fire_cleared"
    MODE_CHANGED = "mode_changed"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Code:
    """A code in view.

    Attributes:
        digest: SHA-256 of the payload, to know it again.
        payload: the bytes that the scanner read.
        known: it may be a credential; a poster's advertisement does not count as a second code.
    """

    digest: bytes
    payload: bytes = field(repr=False, compare=False)
    known: bool = True


@dataclass(frozen=True, slots=True)
class Use:
    """A verified presentation, as far as a passage is concerned.

    Attributes:
        subject: keyed hash of the subject; failures are counted on it.
        requirement: biometric that the policy asks for.
        direction: which way the gate opens.
        replay_key: the mark that a grant commits and an annulment takes back; empty for none.
        context: the daemon's own (credential, timings); carried through, never looked at.
        given_back: this very use, or the ticket that it spends, was given back before.
        give_backs: how many of the subject's uses were, in the time that counts.
        ticket_key: the mark of the ticket that it spends, committed and taken back with the other;
            empty for none.
        ticket_until: Unix seconds until which the ticket must be known again.
    """

    subject: str
    requirement: Requirement
    direction: Direction
    replay_key: bytes = b""
    context: Any = field(repr=False, compare=False, default=None)
    given_back: bool = False
    give_backs: int = 0
    ticket_key: bytes = b""
    ticket_until: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """Times (seconds) and habits of the place.

    Attributes:
        direction: which way a release or a command without direction opens.
        two_way: a release opens for either way.
        sensing: how a passage is known.
        unchecked: direction that may be walked without a grant (a free exit), or None.
        passage_timeout_s: how long a grant keeps the gate open.
        grace_s: how long after that a person already on the way still counts.
        lane_s: how long a person seen entering the lane may take to cross.
        tailgate_s: how long after a passage a second one is blamed on the same grant.
        passed_s: how long the lamp stays green after a passage.
        denial_s: how long the red lamp shows.
        rearm_s: how long a judged code must be out of view before it is judged again.
        foreign_rearm_s: the same for a code that can never be a credential, such as a poster's.
        verify_timeout_s: longest wait for a verification.
        biometric_timeout_s: longest biometric check, per modality.
        commit_timeout_s: a grant that reaches the disk later than this opens nothing.
        held_open_s: how long the door may stand open after a passage.
        lockout_failures: failed biometric checks of one subject before it is locked out.
        lockout_s: how long, and how long failures are remembered.
        give_backs: uses of one subject that are given back since nobody was seen to pass.
        give_back_window_s: for how long that counts.
        unsensed: what holds while the passage sensor has a fault: a grant counts as passed, or no
            code is let in.
        silent_openings: openings in a row without any sign of the passage sensor, after which it
            is silent.
    """

    direction: Direction = Direction.IN
    two_way: bool = False
    sensing: Sensing = Sensing.BEAM
    unchecked: Direction | None = None
    passage_timeout_s: float = 5.0
    grace_s: float = 0.5
    lane_s: float = 3.0
    tailgate_s: float = 2.0
    passed_s: float = 0.5
    denial_s: float = 1.5
    rearm_s: float = 1.0
    foreign_rearm_s: float = 600.0
    verify_timeout_s: float = 2.0
    biometric_timeout_s: float = 8.0
    commit_timeout_s: float = 3.0
    held_open_s: float = 10.0
    lockout_failures: int = 3
    lockout_s: float = 300.0
    give_backs: int = 1
    give_back_window_s: float = 3_600.0
    unsensed: Literal["passed", "close"] = "passed"
    silent_openings: int = 3

    @classmethod
    def of(cls, gate: GateConfig, gpio: GpioConfig) -> Rules:
        """Return the rules that the settings ask for."""
        sensing = Sensing.NONE
        if gpio.passage is not None:
            sensing = Sensing.BEAM
        elif gpio.door is not None:
            sensing = Sensing.DOOR
        return cls(
            direction=Direction.OUT if gate.direction == "out" else Direction.IN,
            two_way=gate.direction == "both",
            unchecked=Direction.OUT if gate.free_exit else None,
            sensing=sensing,
            passage_timeout_s=gate.passage_timeout_s,
            biometric_timeout_s=gate.biometric_timeout_s,
            denial_s=gate.denial_s,
            held_open_s=gate.held_open_s,
            lockout_failures=gate.lockout_failures,
            lockout_s=gate.lockout_s,
            give_backs=gate.give_backs,
            give_back_window_s=gate.give_back_window_s,
        )


Held = tuple[bytes, float | None]
"""A code's digest, and since when it is missing from the view; None while it is in view."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed biometric checks of one subject: how many, and when the last one was."""

    subject: str
    count: int
    last_at: float


class State(Struct, frozen=True):
    """Everything the machine remembers; a `Struct`, since a step makes a dozen changed copies.

    Attributes:
        phase: where the passage stands.
        mode: the mode that was chosen; `effective` is the one that holds.
        fire, tamper, door_open: the inputs as last reported.
        attempt: number of the present or last attempt; answers to older ones are ignored.
        code: the code under judgement, or None (release, command).
        use: the verified presentation, or None.
        reason: why the gate opens, from GRANTED on.
        direction: which way it opens, from GRANTED on.
        either_way: whoever goes through uses the opening, whichever way.
        pending: modalities that have not answered.
        deadline: when the phase ends by itself; in GRANTED, after which a commit comes too late.
        opened_at: when the gate was asked to open, in OPEN.
        closing: the opening time is over, only somebody on the way still counts.
        latest: the end of the longest extension of an opening.
        transaction: the command that waits for its commit, or empty.
        cancelled: why a grant on its way to the disk must not open, or None.
        refreshed: digests already being compared with the code under judgement.
        tailgate_until: until when a passage is blamed on the last grant.
        passed_attempt, passed_direction: that grant.
        held: codes judged, newest last, 8 at most; each with the time since which it is missing
            from the view, None while it is in view.
        foreign: codes known to be no credentials, 64 at most, in the same way.
        failures: failed biometric checks, 256 subjects at most.
        door_at: when the door opened, or when the last grant ended with it open.
        held_open: held-open was reported for this opening of the door.
        seen: the passage sensor saw somebody go through since the start.
        lent: a use was given back before it had.
        in_lane: somebody entered the lane and neither crossed nor turned round.
        sign: the passage sensor gave a sign since the gate opened, in OPEN.
        door_moved: the door opened since the gate did, in OPEN; with the door as the sensor, or
            stood open then.
        silent_count: openings in a row that ended without a sign of the passage sensor.
        silent: it has the fault that the machine finds by itself.
        input_faults: faults of inputs that the gate told of, (part, code).
    """

    phase: Phase = Phase.IDLE
    mode: Mode = Mode.NORMAL
    fire: bool = False
    tamper: bool = False
    door_open: bool = False
    attempt: int = 0
    code: Code | None = None
    use: Use | None = None
    reason: Reason | None = None
    direction: Direction = Direction.IN
    either_way: bool = False
    pending: frozenset[Modality] = frozenset()
    deadline: float | None = None
    opened_at: float = float("-inf")
    closing: bool = False
    latest: float = float("-inf")
    transaction: str = ""
    cancelled: Reason | None = None
    refreshed: tuple[bytes, ...] = ()
    tailgate_until: float = float("-inf")
    passed_attempt: int = 0
    passed_direction: Direction = Direction.IN
    held: tuple[Held, ...] = ()
    foreign: tuple[Held, ...] = ()
    failures: tuple[Failures, ...] = ()
    door_at: float = float("-inf")
    held_open: bool = False
    seen: bool = False
    lent: bool = False
    in_lane: bool = False
    sign: bool = False
    door_moved: bool = False
    silent_count: int = 0
    silent: bool = False
    input_faults: frozenset[tuple[str, str]] = frozenset()

    @property
    def effective(self) -> Mode:
        """The mode that holds: fire above the chosen one."""
        return Mode.FIRE if self.fire else self.mode
