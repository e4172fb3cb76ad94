"""A module in the shape of RPi.GPIO 0.7.1: its names, numbers, order of work and error texts.

It keeps levels in a small board with jumper wires, so that what is written can be read elsewhere.
"""

from __future__ import annotations

import types


class RpiGpioDouble(types.ModuleType):
    BOARD, BCM = 10, 11
    LOW, HIGH = 0, 1
    OUT, IN = 0, 1
    PUD_OFF, PUD_DOWN, PUD_UP = 20, 21, 22

    def __init__(self, jumpers: dict[int, int] | None = None) -> None:
        super().__init__("RPi.GPIO")
        self.jumpers = jumpers or {}
        self.mode: int | None = None
        self.directions: dict[int, int] = {}
        self.latches: dict[int, int] = {}
        self.pulls: dict[int, int] = {}
        self.outside: dict[int, int] = {}
        self.busy: set[int] = set()
        self.broken: set[int] = set()
        self.calls: list[tuple] = []

    # --- the library's interface

    def setwarnings(self, flag: bool) -> None:
        self.calls.append(("setwarnings", flag))

    def setmode(self, mode: int) -> None:
        if self.mode not in (None, mode):
            raise ValueError("A different mode has already been set!")
        self.mode = mode

    def setup(self, channel: int, direction: int, pull_up_down: int = 20, initial: int = -1):
        if self.mode is None:
            raise RuntimeError(
                "Please set pin numbering mode using GPIO.setmode(GPIO.BOARD) or "
                "GPIO.setmode(GPIO.BCM)"
            )
        if channel in self.busy:
            raise Exception("GPIO busy")  # noqa: TRY002 - what lgpio.error is: a bare Exception
        if direction == self.OUT and initial >= 0:
            self.latches[channel] = initial
            self.calls.append(("latch", channel, initial))
        self.directions[channel] = direction
        self.pulls[channel] = pull_up_down
        self.calls.append(("direction", channel, direction))

    def output(self, channel: int, level: int) -> None:
        if channel in self.broken:
            raise OSError(5, "Input/output error")
        if self.directions.get(channel) != self.OUT:
            raise RuntimeError("The GPIO channel has not been set up as an OUTPUT")
        self.latches[channel] = level
        self.calls.append(("latch", channel, level))

    def input(self, channel: int) -> int:
        if channel in self.broken:
            raise OSError(5, "Input/output error")
        if channel not in self.directions:
            raise RuntimeError("You must setup() the GPIO channel first")
        return self.level(channel)

    def cleanup(self, channels: list[int]) -> None:
        for channel in channels:
            self.directions.pop(channel, None)
            self.pulls[channel] = self.PUD_OFF
            self.calls.append(("cleanup", channel))

    # --- the world

    def level(self, channel: int) -> int:
        if self.directions.get(channel) == self.OUT:
            return self.latches[channel]
        other = self.jumpers.get(channel)
        if other is not None and self.directions.get(other) == self.OUT:
            return self.latches[other]
        if channel in self.outside:
            return self.outside[channel]
        return int(self.pulls.get(channel) == self.PUD_UP)
