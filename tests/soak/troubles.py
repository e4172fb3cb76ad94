"""What goes wrong in a soak: fire, faults, commands, clocks, restarts; one after the other."""

from __future__ import annotations

import random
from collections.abc import Generator
from typing import TYPE_CHECKING

from agent.passage.events import Command
from agent.passage.types import Mode, Phase
from tests.soak.station import SETTINGS, Broken, Station

if TYPE_CHECKING:
    from tests.soak.soak import Soak

__all__ = ["SETTLE_S", "Script", "Troubles"]

SETTLE_S = 2.5
"""How long after a trouble visitors are not yet held against the exact reason."""

Script = Generator[float, None, None]
"""Acts, then yields the seconds until it goes on."""


class Troubles:
    """Makes trouble for one soak."""

    def __init__(self, soak: Soak) -> None:
        self.soak = soak
        self.rng: random.Random = soak.rng
        self.station: Station = soak.station

    @property
    def now(self) -> float:
        return self.station.times.now

    def come(self) -> Script:
        kinds = {
            self._fire: 2, self._tamper: 2, self._mode: 4, self._release: 8, self._bounce: 3,
            self._open_command: 4, self._stuck_beam: 2, self._read_only: 3, self._disk_full: 3,
            self._collector_outage: 2, self._clock_back: 2, self._clock_leap: 2, self._restart: 2,
            self._crash: 3, self._crash_in_alarm: 2, self._power_cut: 1, self._pins_lost: 2,
        }  # fmt: skip
        while True:
            yield self.rng.expovariate(1 / 240)
            trouble = self.rng.choices([*kinds], [*kinds.values()])[0]
            self.station.counts[f"trouble: {trouble.__name__[1:]}"] += 1
            self.station.wake(1.0)
            yield from trouble()
            self.station.wake(7.0)

    def _fire(self) -> Script:
        self.station.barrier.fire(active=True)
        yield self.rng.uniform(5, 200)
        self.station.barrier.fire(active=False)
        self.station.wake(3.0)
        yield 3.0

    def _tamper(self) -> Script:
        self.station.barrier.tamper(active=True)
        yield self.rng.uniform(5, 120)
        self.station.barrier.tamper(active=False)

    def _command(self, name: str, mode: Mode | None = None) -> None:
        self.soak.sent += 1
        command = Command(name, f"t{self.soak.sent}", mode=mode)
        self.station.handle(command)

    def _mode(self) -> Script:
        self._command("mode", self.rng.choice([Mode.FREE, Mode.LOCKED, Mode.MAINTENANCE]))
        yield self.rng.uniform(10, 300)
        self._command("mode", Mode.NORMAL)

    def _release(self) -> Script:
        self.station.barrier.press_release()
        self.station.wake(7.0)
        self.soak.calm_since = self.now + 8.0  # the opening is nobody's who shows a code meanwhile
        yield 0.1

    def _open_command(self) -> Script:
        self._command("open")
        self.soak.calm_since = self.now + 8.0
        yield self.rng.uniform(0.5, 8.0)
        if self.rng.random() < 0.3:
            self._command("close")

    def _bounce(self) -> Script:
        """Interference on the button's line, too short to be a press."""
        before, board = self.station.counts["releases"], self.station.board
        for _ in range(5):
            board.drive(SETTINGS.release, level=False)
            yield 0.001
            board.drive(SETTINGS.release, level=True)
            yield 0.05
        if self.station.counts["releases"] != before:
            raise Broken("interference opened the gate")

    def _stuck_beam(self) -> Script:
        self.soak.broken = True
        self.station.board.drive(SETTINGS.passage, level=False)
        yield self.rng.uniform(3, 60)
        self.station.board.drive(SETTINGS.passage, level=True)
        yield 8.0
        self.soak.broken = False

    def _sick(self, worse: str, better: str) -> Script:
        """Make SQLite itself refuse; both settings last as long as its connection."""
        journal, self.soak.broken = self.station.journal, True
        journal._writer.execute(f"PRAGMA {worse}").fetchone()
        yield self.rng.uniform(3, 120)
        if journal is self.station.journal:
            journal._writer.execute(f"PRAGMA {better}").fetchone()
        self.soak.broken = False
        self.soak.calm_since = self.now + SETTLE_S

    def _read_only(self) -> Script:
        """The disk becomes read-only, as a worn-out card does."""
        yield from self._sick("query_only = ON", "query_only = OFF")

    def _disk_full(self) -> Script:
        (pages,) = self.station.journal._writer.execute("PRAGMA page_count").fetchone()
        yield from self._sick(f"max_page_count = {pages}", "max_page_count = 1073741823")

    def _collector_outage(self) -> Script:
        self.soak.collector_up = False
        yield self.rng.uniform(300, 2400)
        self.soak.collector_up = True

    def _clock_back(self) -> Script:
        """Somebody turns the clock back; nothing that depends on time may be granted."""
        self.station.times.error = -self.rng.uniform(60, 90_000)
        if self.station.guard.trusted:
            raise Broken("a clock that went back is believed")
        yield self.rng.uniform(10, 200)
        self.station.times.error = 0.0
        yield from self._believed()

    def _clock_leap(self) -> Script:
        """The clock leaps ahead and nobody confirms it."""
        self.station.times.error = self.rng.uniform(320, 90_000)
        if self.station.guard.trusted:
            raise Broken("an unconfirmed leap of the clock is believed")
        yield self.rng.uniform(10, 250)
        self.station.times.error = 0.0
        yield from self._believed()

    def _believed(self) -> Script:
        yield 1.0
        if not self.station.guard.trusted:
            raise Broken(f"the right time is not believed: {self.station.guard.reason}")

    def _reboot(self) -> None:
        self.station.journal_full = self.rng.choice(["deny", "deny", "free"])
        self.station.boot()
        self.soak.calm_since = self.now + SETTLE_S

    def _restart(self) -> Script:
        self.station.stop()
        self._reboot()
        yield 0.1

    def _crash(self) -> Script:
        """Die with somebody before the gate or in it, if somebody comes soon."""
        for _ in range(200):
            if self.station.controller.state.phase is not Phase.IDLE:
                break
            yield 0.3
        yield self.rng.uniform(0, 1.5)
        self.station.crash()
        yield from self._nobody(self.rng.uniform(0, 3.0))
        self._reboot()

    def _crash_in_alarm(self) -> Script:
        """The daemon is killed in the middle of a fire alarm, which goes on and ends meanwhile."""
        barrier = self.station.barrier
        barrier.fire(active=True)
        yield self.rng.uniform(0.1, 5.0)
        self.station.crash()
        yield from self._nobody(self.rng.uniform(1.0, 5.0))
        if self.rng.random() < 0.5:
            barrier.fire(active=False)
            yield from self._nobody(3.0)
            barrier.fire(active=True)
            yield from self._nobody(1.0)
        self._reboot()
        yield 1.0
        barrier.fire(active=False)
        self.station.wake(3.0)
        yield 3.0

    def _nobody(self, seconds: float) -> Script:
        """Let time go by without a daemon; every poll is looked at."""
        self.station.wake(seconds)
        self.soak.calm_since = self.now + seconds + SETTLE_S
        yield seconds

    def _power_cut(self) -> Script:
        times = self.station.times
        self.station.crash()
        self.station.lose_lines()
        self.station.take_lines()
        times.kernel, times.booted_at = f"kernel-{self.now}", self.now - 20.0
        self._reboot()
        yield 0.1

    def _pins_lost(self) -> Script:
        """Another process takes the lines: the gatekeeper ends, and is started anew."""
        self.station.gpio.close()
        yield 0.1
        self.soak.calm_since = self.now + SETTLE_S
