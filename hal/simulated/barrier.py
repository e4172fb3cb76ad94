"""The barrier and the people of a simulated gate: what happens after the relay has moved.

Rules:
- The arm is unlocked while the relay is on; after a pulse it stays unlocked for one person or
  `latch_s`. The fire loop unlocks it by itself, as the gate's own hardware must.
- A person who was announced (`expect`) acts when the arm unlocks, after a reaction time: pushes
  through, stays, is followed by a tailgater, or turns round. `force` needs no unlocked arm.
- What really happened is counted apart (`inside`), so that a test can hold the agent's account
  against the truth.
- Time comes from outside (`advance`), or from a thread of its own (`start`) for a demo.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from hal.simulated.pinboard import PinBoard

__all__ = ["Barrier", "Behaviour", "Wiring"]


class Behaviour(StrEnum):
    """What a person does when the arm unlocks."""

    PASS = "pass"  # noqa: S105 - a way to walk, not a secret
    STAY = "stay"
    TAILGATED = "tailgated"
    TURN_BACK = "turn_back"
    CRAWL_BACK = "crawl_back"
    """Goes through, and back out again while the lane is still warm."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What hangs on which BCM pin, and the level that means active; None is not fitted."""

    relay: int
    relay_out: int | None = None
    passage: int | None = None
    passage_2: int | None = None
    fire: int | None = None
    tamper: int | None = None
    release: int | None = None
    door: int | None = None
    key: int | None = None
    relay_active: bool = True
    passage_active: bool = False
    release_active: bool = False
    door_active: bool = True
    key_active: bool = False


@dataclass(frozen=True, slots=True)
class _Walk:
    """When a walker's body meets what, in seconds from the first step."""

    enter: float = 0.0
    reach: float = 0.15
    leave: float = 0.3
    out: float = 0.45


_WALK = _Walk()
_FOLLOW_S = 0.75
_TICK_S = 0.004


class Barrier:
    """One lane.

    Args:
        board: the pins.
        wiring: what hangs where.
        latch_s: how long an unlocked arm waits for somebody after a pulse.
        reaction_s: from unlocking to the first step.
        clock: monotonic seconds, for `start`.
    """

    def __init__(
        self,
        board: PinBoard,
        wiring: Wiring,
        *,
        latch_s: float = 5.0,
        reaction_s: float = 0.4,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._wiring = wiring
        self._latch_s = latch_s
        self._reaction_s = reaction_s
        self._clock = clock
        self._mutex = threading.RLock()
        self._plan: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._now = clock()
        self._expected: list[tuple[Behaviour, bool]] = []
        self._latched_until = float("-inf")
        self._was_on = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.inside = 0
        """People who went in, less those who went out: the truth."""
        self._rest()

    # --- the world acts

    def expect(self, behaviour: Behaviour, *, inwards: bool = True) -> None:
        """Announce what the next person does when the arm unlocks."""
        with self._mutex:
            self._expected.append((behaviour, inwards))

    def force(self, *, inwards: bool = True) -> None:
        """Somebody pushes through the locked arm or jumps over it."""
        with self._mutex:
            self._push(self._now)
            self._walk(self._now, inwards=inwards)

    def fire(self, *, active: bool) -> None:
        """Open the fire loop, or close it."""
        self._set(self._wiring.fire, level=active)

    def tamper(self, *, active: bool) -> None:
        """Open the housing, or close it."""
        self._set(self._wiring.tamper, level=active)

    def door(self, *, is_open: bool) -> None:
        """Move the door or arm."""
        self._set(self._wiring.door, level=is_open == self._wiring.door_active)

    def key(self, *, turned: bool) -> None:
        """Turn the key switch."""
        self._set(self._wiring.key, level=turned == self._wiring.key_active)

    def press_release(self, seconds: float = 0.3) -> None:
        """Press the release button for a while."""
        active = self._wiring.release_active
        with self._mutex:
            self._set(self._wiring.release, level=active)
            self._at(self._now + seconds, lambda: self._set(self._wiring.release, level=not active))

    @property
    def unlocked(self) -> bool:
        """Whether somebody could push the arm."""
        fire = self._wiring.fire
        alarm = fire is not None and self._board.level(fire)
        return alarm or self._relay_on() or self._now < self._latched_until

    @property
    def busy(self) -> bool:
        """Whether somebody is still on the way."""
        with self._mutex:
            return bool(self._plan)

    # --- time

    def advance(self, now: float) -> None:
        """Let the world go on until `now`."""
        with self._mutex:
            while self._plan and self._plan[0][0] <= now:
                due, _, action = heapq.heappop(self._plan)
                self._now = due
                action()
            self._now = now
            on = self._relay_on()
            if on:
                self._latched_until = now + self._latch_s
            if on and not self._was_on and self._expected:
                self._begin(*self._expected.pop(0))
            self._was_on = on

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="barrier", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread; may be called twice."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            self.advance(self._clock())

    # --- people

    def _begin(self, behaviour: Behaviour, inwards: bool) -> None:
        start = self._now + self._reaction_s
        match behaviour:
            case Behaviour.STAY:
                return
            case Behaviour.PASS:
                self._walk(start, inwards=inwards)
            case Behaviour.TAILGATED:
                self._walk(start, inwards=inwards)
                self._walk(start + _FOLLOW_S, inwards=inwards)
            case Behaviour.CRAWL_BACK:
                self._walk(start, inwards=inwards)
                self._walk(start + _FOLLOW_S, inwards=not inwards)
            case Behaviour.TURN_BACK:
                near = self._wiring.passage if inwards else self._wiring.passage_2
                if self._wiring.passage_2 is not None:
                    self._beam(near, start + _WALK.enter, start + _WALK.leave)
        if behaviour is not Behaviour.TURN_BACK:
            self._push(start)

    def _walk(self, start: float, *, inwards: bool) -> None:
        """Break the beams as a body does, and count the person."""
        wiring = self._wiring
        near, far = (wiring.passage, wiring.passage_2)
        if not inwards and far is not None:
            near, far = far, near
        self._beam(near, start + _WALK.enter, start + _WALK.leave)
        self._beam(far, start + _WALK.reach, start + _WALK.out)

        def arrive() -> None:
            self.inside += 1 if inwards else -1
            self._latched_until = float("-inf")

        self._at(start + _WALK.out, arrive)

    def _push(self, start: float) -> None:
        """Move the door or arm while somebody goes through."""
        if self._wiring.door is not None:
            self._at(start, lambda: self.door(is_open=True))
            self._at(start + _WALK.out + 0.5, lambda: self.door(is_open=False))

    def _beam(self, pin: int | None, broken: float, free: float) -> None:
        active = self._wiring.passage_active
        self._at(broken, lambda: self._set(pin, level=active))
        self._at(free, lambda: self._set(pin, level=not active))

    # --- lines

    def _rest(self) -> None:
        """Close the loops and free the beams: what an installer leaves behind."""
        wiring = self._wiring
        self.fire(active=False)
        self.tamper(active=False)
        self.door(is_open=False)
        self.key(turned=False)
        self._set(wiring.release, level=not wiring.release_active)
        for pin in (wiring.passage, wiring.passage_2):
            self._set(pin, level=not wiring.passage_active)
        for pin in (wiring.relay, wiring.relay_out):
            self._set(pin, level=not wiring.relay_active)

    def _relay_on(self) -> bool:
        pins = (self._wiring.relay, self._wiring.relay_out)
        return any(
            self._board.level(pin) == self._wiring.relay_active for pin in pins if pin is not None
        )

    def _set(self, pin: int | None, *, level: bool) -> None:
        if pin is not None:
            self._board.drive(pin, level=level)

    def _at(self, due: float, action: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._plan, (due, self._order, action))
