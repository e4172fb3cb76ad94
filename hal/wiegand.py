"""Wiegand output: card numbers as pulses on two lines, for an access controller behind the gate.

Rules:
- Both lines rest high; a low pulse on D0 is a 0, on D1 a 1. Polarity and any level shifting to 5 V
  are the wiring's (docs/wiring.md).
- 26 bits: even parity over the first 12 data bits, 24 bits of number, odd parity over the last 12.
  34 bits: the same over 16 and 16. Most significant bit first.
- One bit a poll, so that nothing waits: at 200 Hz a bit each 5 ms (the interface allows 0.2 to
  20 ms), 50 us wide; 34 bits take 170 ms. Numbers are 100 ms apart at least, at most four wait.

Standard: SIA AC-01-1996.10, the Wiegand interface.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal

from hal.gpio import Gpio

__all__ = ["PULSE_S", "WiegandLines", "encode"]

PULSE_S = 50e-6
_GAP_S = 0.1
_WAITING = 4

Bits = Literal[26, 34]


def encode(number: int, bits: Bits) -> tuple[bool, ...]:
    """Return a card number with its two parity bits.

    Args:
        number: 0 to 2**24 - 1 for 26 bits, to 2**32 - 1 for 34.
        bits: length of the frame.

    Raises:
        ValueError: the number does not fit.
    """
    width = bits - 2
    if not 0 <= number < 1 << width:
        raise ValueError(f"a {bits}-bit card number is 0 to {(1 << width) - 1}")
    data = tuple(bool(number >> place & 1) for place in reversed(range(width)))
    half = width // 2
    even = sum(data[:half]) % 2 == 1
    odd = sum(data[half:]) % 2 == 0
    return (even, *data, odd)


def spin(seconds: float) -> None:
    """Wait without giving up the processor: a sleep is too coarse for a pulse."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        continue


class WiegandLines:
    """The two lines, set up (high) by whoever owns the pins; confined to that thread.

    Args:
        gpio: the pins.
        d0, d1: BCM numbers.
        clock: monotonic seconds.
        wait: how a pulse's width passes.
    """

    def __init__(
        self,
        gpio: Gpio,
        d0: int,
        d1: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = spin,
    ) -> None:
        self._gpio = gpio
        self._lines = {False: d0, True: d1}
        self._clock = clock
        self._wait = wait
        self._waiting: deque[tuple[bool, ...]] = deque(maxlen=_WAITING)
        self._sending: Iterator[bool] = iter(())
        self._free_at = float("-inf")

    def send(self, frame: tuple[bool, ...]) -> None:
        """Queue a frame; the oldest waiting one makes room."""
        self._waiting.append(frame)

    def poll(self) -> None:
        """Send the next bit, if any."""
        bit = next(self._sending, None)
        if bit is None:
            if not self._waiting or self._clock() < self._free_at:
                return
            self._sending = iter(self._waiting.popleft())
            bit = next(self._sending)
        line = self._lines[bit]
        self._gpio.write(line, level=False)
        self._wait(PULSE_S)
        self._gpio.write(line, level=True)
        self._free_at = self._clock() + _GAP_S
