"""The pins of an emulated Raspberry Pi, seen and moved from outside through QEMU's qtest socket.

- The GPIO block of the BCM2837 (BCM2835 ARM Peripherals, chapter 6): GPFSELn says what a pin is,
  three bits each, 000 input and 001 output; GPLEV0 has the levels.
- A pin is *driven high* when it is an output and its level is high. An output that became an input
  drives nothing, whatever QEMU's level bit still says: on a board the pull-down decides then.
- Two ways of looking at once. QEMU reports each edge of an output as it happens; the whole block is
  read all the time besides, since an output that becomes an input is no edge, and since QEMU
  reports no edge twice. The longest time between two looks is kept, so that a report can say it.
- Inputs are levels that qtest writes into GPSET0 and GPCLR0.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

BASE = 0x3F20_0000
GPSET0, GPCLR0, GPLEV0 = 0x1C, 0x28, 0x34
LENGTH = GPLEV0 + 4
DEVICE = "/machine/soc/peripherals/gpio"
LOOK_EVERY_S = 0.01


class Drive(StrEnum):
    """What a pin does to its line."""

    NOTHING = "input"
    LOW = "low"
    HIGH = "high"
    OTHER = "function"
    """One of the chip's own functions, as a serial port's."""


def drives(block: bytes, pins: Iterable[int]) -> dict[int, Drive]:
    """Decode the GPIO block.

    Args:
        block: the registers from GPFSEL0 up to GPLEV0.
        pins: BCM numbers below 28.

    Raises:
        ValueError: the block is too short.
    """
    if len(block) < LENGTH:
        raise ValueError(f"{len(block)} bytes are no GPIO block")
    levels = int.from_bytes(block[GPLEV0 : GPLEV0 + 4], "little")
    found = {}
    for pin in pins:
        select = int.from_bytes(block[pin // 10 * 4 : pin // 10 * 4 + 4], "little")
        function = select >> pin % 10 * 3 & 0b111
        if function == 0:
            found[pin] = Drive.NOTHING
        elif function == 1:
            found[pin] = Drive.HIGH if levels >> pin & 1 else Drive.LOW
        else:
            found[pin] = Drive.OTHER
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """A pin that began to do something else.

    Attributes:
        at: monotonic seconds of this machine.
        pin: BCM number.
        drive: what it does from then on.
    """

    at: float
    pin: int
    drive: Drive


class Pins:
    """Watches the pins from before the first instruction to the end.

    Args:
        path: QEMU's qtest socket.
        watched: BCM numbers of the outputs to watch.
    """

    def __init__(self, path: Path, watched: Iterable[int]) -> None:
        self.watched = tuple(watched)
        self.changes: list[Change] = []
        self.looks = 0
        self.longest_gap_s = self.gap_at = 0.0
        self.error = ""
        self._now: dict[int, Drive] = {}
        self._changed = threading.Condition()
        self._orders: queue.Queue[str] = queue.Queue()
        self._stop = threading.Event()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r", encoding="ascii")
        self._command(f"irq_intercept_out {DEVICE}")
        self._look()
        self.began = self._looked_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="pins", daemon=True)
        self._thread.start()

    def set_input(self, pin: int, *, level: bool) -> None:
        """Put a level on an input's line."""
        self._orders.put(f"writel {BASE + (GPSET0 if level else GPCLR0):#x} {1 << pin:#x}")

    def settled(self) -> bool:
        """Tell whether every level that was set is on its line."""
        return not self._orders.unfinished_tasks

    def drive(self, pin: int) -> Drive:
        """Return what a pin does now."""
        with self._changed:
            return self._now[pin]

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition over the pins holds; return whether it came to hold."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self.error) or condition(), timeout_s)

    def wait_drive(self, pin: int, *wanted: Drive, timeout_s: float) -> float:
        """Wait until a pin does one of these; return when it began to, monotonic seconds.

        Raises:
            TimeoutError: it does not; the message says what it does.
        """
        self.wait(lambda: self._now[pin] in wanted, timeout_s)
        with self._changed:
            if self._now[pin] not in wanted:
                raise TimeoutError(
                    f"GPIO{pin} is {self._now[pin]}, not {' or '.join(wanted)}, after {timeout_s} s"
                    f" {self.error}"
                )
            return next(change.at for change in reversed(self.changes) if change.pin == pin)

    def rises(self, pin: int, since: float, until: float = float("inf")) -> list[float]:
        """Return when a pin began to be driven high."""
        with self._changed:
            return [
                change.at
                for change in self.changes
                if change.pin == pin and change.drive is Drive.HIGH and since <= change.at <= until
            ]

    def close(self) -> None:
        """Stop watching; may be called twice."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._socket.close()

    # -- the watching thread

    def _run(self) -> None:
        try:
            while not self._stop.wait(LOOK_EVERY_S):
                while not self._orders.empty():
                    self._command(self._orders.get())
                    self._orders.task_done()
                self._look()
                now = time.monotonic()
                if now - self._looked_at > self.longest_gap_s:
                    self.longest_gap_s, self.gap_at = now - self._looked_at, now
                self._looked_at = now
        except (OSError, ValueError, EOFError) as error:
            with self._changed:
                if not self._stop.is_set():
                    self.error = f"the watch of the pins ended: {error}"
                self._changed.notify_all()

    def _look(self) -> None:
        answer = self._command(f"read {BASE:#x} {LENGTH:#x}")
        self._take(drives(bytes.fromhex(answer.removeprefix("OK 0x")), self.watched))
        self.looks += 1

    def _command(self, text: str) -> str:
        """Send a command and return its answer; edges that QEMU reports meanwhile are taken."""
        self._socket.sendall(f"{text}\n".encode("ascii"))
        while True:
            line = self._lines.readline().strip()
            if line.startswith("IRQ "):
                _, edge, number = line.split()
                if int(number) in self.watched:
                    self._take({int(number): Drive.HIGH if edge == "raise" else Drive.LOW})
            elif line.startswith("OK"):
                return line
            elif not line:
                raise EOFError("the board is off")
            else:
                raise ValueError(f"qtest answered {line!r}")

    def _take(self, seen: dict[int, Drive]) -> None:
        at = time.monotonic()
        with self._changed:
            for pin, drive in seen.items():
                if self._now.get(pin) is not drive:
                    self._now[pin] = drive
                    self.changes.append(Change(at, pin, drive))
                    self._changed.notify_all()
