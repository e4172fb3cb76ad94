"""A machine with its shell: answers work at once or on demand, and keeps what it recorded."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from agent.passage.events import (
    CodesSeen,
    Commit,
    Committed,
    Effect,
    Event,
    PassageSensed,
    Record,
    Refused,
    Tick,
    Verified,
)
from agent.passage.machine import start, step
from agent.passage.types import (
    Code,
    Direction,
    Mode,
    Occurrence,
    Phase,
    Requirement,
    Rules,
    Use,
)
from agent.reason import Reason

MOMENT = 1 / 128
"""Seconds; a binary fraction, as the machine's times are, so that a boundary is met exactly."""


def code(name: str, *, known: bool = True) -> Code:
    return Code(name.encode(), name.encode(), known)


@dataclass
class Machine:
    """Drives `step`; `now` is the test's clock."""

    rules: Rules = field(default_factory=Rules)
    mode: Mode = Mode.NORMAL
    now: float = 100.0
    log: list[Effect] = field(default_factory=list)
    last: tuple[Effect, ...] = ()

    def __post_init__(self) -> None:
        self.state, self.last = start(self.mode, self.now, self.rules)

    def send(self, event: Event, after: float = MOMENT) -> tuple[Effect, ...]:
        self.now += after
        self.state, self.last = step(self.state, event, self.now, self.rules)
        self.log.extend(self.last)
        return self.last

    def wait(self, seconds: float) -> tuple[Effect, ...]:
        """Let time pass in ticks; return the effects of all of them."""
        begin = len(self.log)
        end = self.now + seconds
        while self.now < end:
            self.send(Tick(), min(0.05, end - self.now))
        return tuple(self.log[begin:])

    def show(self, *names: str) -> tuple[Effect, ...]:
        return self.send(CodesSeen(tuple(code(name) for name in names)))

    def verified(
        self,
        name: str = "a",
        *,
        subject: str = "anna",
        requirement: Requirement = Requirement.NONE,
        direction: Direction = Direction.IN,
    ) -> tuple[Effect, ...]:
        use = Use(subject, requirement, direction, b"mark-" + name.encode())
        return self.send(Verified(self.state.attempt, name.encode(), use))

    def grant(self, name: str = "a", **use: object) -> tuple[Effect, ...]:
        """Walk a code without biometrics to OPEN."""
        self.show(name)
        self.verified(name, **use)
        effects = self.send(Committed(self.state.attempt))
        assert self.state.phase is Phase.OPEN
        return effects

    def ask(self, requirement: Requirement, name: str = "a", subject: str = "anna") -> None:
        """Walk a code to its biometric check."""
        self.show(name)
        self.verified(name, subject=subject, requirement=requirement)

    def reach(self, phase: Phase) -> None:
        """Walk anna's code "a" to a phase."""
        match phase:
            case Phase.IDLE:
                pass
            case Phase.READ:
                self.show("a")
            case Phase.FACE | Phase.FINGER | Phase.EITHER:
                self.ask(Requirement(phase.value))
            case Phase.GRANTED:
                self.show("a")
                self.verified()
            case Phase.OPEN:
                self.grant()
            case Phase.PASSED:
                self.grant()
                self.send(PassageSensed(None))
            case Phase.DENIED:
                self.show("a")
                self.send(Refused(self.state.attempt, b"a", Reason.EXPIRED))
        assert self.state.phase is phase

    def of(self, kind: type) -> list:
        return [effect for effect in self.log if isinstance(effect, kind)]

    def what(self) -> list[Occurrence]:
        """What the journal rows say, committed grants included."""
        rows = []
        for effect in self.log:
            if isinstance(effect, Record):
                rows.append(effect.what)
            elif isinstance(effect, Commit):
                rows.append(effect.record.what)
        return rows


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def make_machine() -> type[Machine]:
    return Machine
