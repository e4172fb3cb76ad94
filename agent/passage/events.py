"""What happens to a passage (events) and what the machine asks for (effects).

The controller feeds events into `agent.passage.machine.step` and carries out the effects in order.
Rules that it keeps:
- Work carries its `attempt` number and the answer repeats it; the machine ignores late answers.
- Every `Verify` and every `Commit` is answered, exactly once.
- `Commit` is one transaction: the decision's row and the replay mark. `Committed` is sent after it
  is on the disk. The other journal effects of one step (`Record`, `Annul`) go into one transaction.
- `ReleasePressed` and `FireChanged` come from the gate's own thread, which has already acted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.credential.model import Modality
from agent.passage.types import Code, Direction, Mode, Occurrence, RecordKind, Signal, Use
from agent.reason import Reason

__all__ = [
    "Annul",
    "BiometricDone",
    "CloseGate",
    "CodesSeen",
    "Command",
    "Commit",
    "CommitFailed",
    "Committed",
    "DoorChanged",
    "Effect",
    "Event",
    "FireChanged",
    "GateFault",
    "HoldGate",
    "InputEvent",
    "InputFault",
    "KeyTurned",
    "LaneEntered",
    "OpenGate",
    "PassageReversed",
    "PassageSensed",
    "ProfileChanged",
    "Record",
    "Refused",
    "ReleasePressed",
    "Respond",
    "SetMode",
    "Show",
    "Shutdown",
    "StaffFound",
    "StartBiometric",
    "StopBiometrics",
    "TamperChanged",
    "Tick",
    "Verified",
    "Verify",
]

# --- events: the camera


@dataclass(frozen=True, slots=True)
class CodesSeen:
    """One frame's different codes; empty when no code was in the frame."""

    codes: tuple[Code, ...] = ()


# --- events: answers to effects


@dataclass(frozen=True, slots=True)
class Verified:
    """The code verifies and the policy lets it in, subject to `use.requirement`."""

    attempt: int
    digest: bytes
    use: Use


@dataclass(frozen=True, slots=True)
class Refused:
    """The code does not verify, or the policy denies; `context` goes into the record."""

    attempt: int
    digest: bytes
    reason: Reason
    context: Any = field(repr=False, compare=False, default=None)


@dataclass(frozen=True, slots=True)
class BiometricDone:
    """One modality's end: matched, or why not (a reason of the closed enumeration)."""

    attempt: int
    modality: Modality
    matched: bool
    reason: Reason = Reason.GRANTED


@dataclass(frozen=True, slots=True)
class StaffFound:
    """An enrolled member of staff laid a finger on the module, with no code shown.

    Attributes:
        subject: keyed hash, as the enrolment table has it.
    """

    subject: str


@dataclass(frozen=True, slots=True)
class Committed:
    """The decision and its replay mark are on the disk."""

    attempt: int


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """They are not: JOURNAL_FAILED, JOURNAL_FULL or REPLAYED (the mark was there already).

    The failed transaction left no row; the machine records the denial.
    """

    attempt: int
    reason: Reason = Reason.JOURNAL_FAILED


# --- events: the gate's inputs (sent by `agent.gate.gate`)


@dataclass(frozen=True, slots=True)
class LaneEntered:
    """The first of two beams broke: a person is on the way."""


@dataclass(frozen=True, slots=True)
class PassageSensed:
    """A person went through; the direction is None with a single beam."""

    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class PassageReversed:
    """A person entered the lane and went back out of it the same way."""


@dataclass(frozen=True, slots=True)
class DoorChanged:
    """The door or arm left its rest position, or is back."""

    is_open: bool


@dataclass(frozen=True, slots=True)
class FireChanged:
    """The fire loop opened (True) or closed again; the gate's thread holds the relay already."""

    active: bool


@dataclass(frozen=True, slots=True)
class TamperChanged:
    """The housing was opened (True) or closed."""

    active: bool


@dataclass(frozen=True, slots=True)
class ReleasePressed:
    """Staff pressed the release; the gate's thread opened already."""


@dataclass(frozen=True, slots=True)
class KeyTurned:
    """The key switch asks for a mode: the configured one when turned, NORMAL when turned back.

    Attributes:
        by_fault: not the switch but a fault asks (a full journal that frees the gate); such a mode
            is not kept over a restart.
    """

    mode: Mode
    by_fault: bool = False


@dataclass(frozen=True, slots=True)
class GateFault:
    """The gate's hardware misbehaves, or does so no more; `detail` holds no personal data."""

    detail: str
    active: bool = True


@dataclass(frozen=True, slots=True)
class InputFault:
    """An input misbehaves, or does so no more.

    Attributes:
        input: its name as in the settings (`passage`, `passage_2`, `release`, `door`, `key`,
            `fire`, `tamper`).
        kind: it is active for too long; it says nothing while its neighbour does; its level flips
            too often.
        active: False when it works again.
    """

    input: str
    kind: Literal["stuck", "silent", "chatter"]
    active: bool = True


InputEvent = (
    LaneEntered
    | PassageSensed
    | PassageReversed
    | DoorChanged
    | FireChanged
    | TamperChanged
    | ReleasePressed
    | KeyTurned
    | GateFault
    | InputFault
)

# --- events: fleet and time


@dataclass(frozen=True, slots=True)
class Command:
    """A command whose signature, age and freshness were checked; `transaction` is answered.

    Attributes:
        until: monotonic seconds; a machine that comes to it later does nothing. None for no limit.
    """

    name: Literal["open", "close", "mode"]
    transaction: str
    direction: Direction | None = None
    mode: Mode | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """Another profile came into force: what was no credential here may be one now."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went on; send one at least every 50 ms so that phases end in time."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The agent ends in good order: what is going on ends too, and is recorded."""


Event = (
    CodesSeen
    | Verified
    | Refused
    | BiometricDone
    | StaffFound
    | Committed
    | CommitFailed
    | InputEvent
    | Command
    | ProfileChanged
    | Tick
    | Shutdown
)

# --- effects


@dataclass(frozen=True, slots=True)
class Verify:
    """Verify this payload and ask the policy; answer `Verified` or `Refused` with its digest."""

    attempt: int
    code: Code


@dataclass(frozen=True, slots=True)
class StartBiometric:
    """Begin a check; answer one `BiometricDone`, within `timeout_s` of the effect."""

    attempt: int
    modality: Modality
    use: Use
    timeout_s: float


@dataclass(frozen=True, slots=True)
class StopBiometrics:
    """Cancel whatever runs for this attempt; no answer is needed."""

    attempt: int


@dataclass(frozen=True, slots=True)
class Record:
    """One journal row.

    Attributes:
        kind: the topic it is published under.
        what: what happened.
        reason: the closed reason, where one applies.
        attempt: the attempt it belongs to, 0 for none.
        use: the use it belongs to, or None.
        context: of a refusal, as the daemon gave it.
        data: plain values for the event; nothing personal.
    """

    kind: RecordKind
    what: Occurrence
    reason: Reason | None = None
    attempt: int = 0
    use: Use | None = None
    context: Any = field(repr=False, compare=False, default=None)
    data: Mapping[str, str | int | float | bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Commit:
    """Write `record` and the marks that `use` has: one transaction, then answer."""

    attempt: int
    use: Use | None
    record: Record


@dataclass(frozen=True, slots=True)
class Annul:
    """Take the marks of this use back: nobody passed on it, for this reason.

    Attributes:
        attempt: that was granted.
        use: whose marks they are.
        reason: why nobody passed.
        opened: the gate was open meanwhile, so that it counts among the subject's give-backs.
    """

    attempt: int
    use: Use
    reason: Reason
    opened: bool = True


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Open one way for so long; the gate's own limit holds above it.

    Attributes:
        direction: which way.
        seconds: how long, at most.
        subject: keyed hash for whom it opens; an access controller behind a Wiegand or OSDP
            output gets its number. Empty for a release or a command.
    """

    direction: Direction
    seconds: float
    subject: str = ""


@dataclass(frozen=True, slots=True)
class CloseGate:
    """End an opening before its time."""


@dataclass(frozen=True, slots=True)
class HoldGate:
    """Keep the gate open (free passage) or stop doing so."""

    held: bool


@dataclass(frozen=True, slots=True)
class Show:
    """Lamps and buzzer."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class SetMode:
    """Persist the chosen mode."""

    mode: Mode


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer a command: done, or refused with a reason."""

    transaction: str
    done: bool
    reason: Reason | None = None


Effect = (
    Verify
    | StartBiometric
    | StopBiometrics
    | Record
    | Commit
    | Annul
    | OpenGate
    | CloseGate
    | HoldGate
    | Show
    | SetMode
    | Respond
)
