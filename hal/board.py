"""What a board says of its own health: voltage, throttling, temperature.

Rules:
- What a board does not tell is None, which is neither good nor bad.
- `health` is quick, but may hang where the firmware does: who must not wait has a thread for it.

The firmware's word is that of `vcgencmd get_throttled`: what is now in the low half, and what has
been since the board started in the high half.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Protocol

__all__ = ["Board", "BoardHealth", "Throttled", "health_of"]


class Throttled(IntFlag):
    """Bits of the firmware's word; shifted up by 16 for what has been."""

    UNDER_VOLTAGE = 1
    FREQUENCY_CAPPED = 2
    THROTTLED = 4
    SOFT_TEMPERATURE_LIMIT = 8


SLOWED = Throttled.FREQUENCY_CAPPED | Throttled.THROTTLED
HAS_BEEN = 16


@dataclass(frozen=True, slots=True)
class BoardHealth:
    """How a board is; None where it does not say.

    Attributes:
        temperature_c: of the processor.
        under_voltage: the supply is below what the board needs.
        throttled: the processor is slowed down, for whatever reason.
        too_hot: the firmware's own limit of temperature is reached.
        under_voltage_since_boot: it was, since the board started.
        throttled_since_boot: it was, since the board started.
    """

    temperature_c: float | None = None
    under_voltage: bool | None = None
    throttled: bool | None = None
    too_hot: bool | None = None
    under_voltage_since_boot: bool | None = None
    throttled_since_boot: bool | None = None


def health_of(word: int, temperature_c: float | None) -> BoardHealth:
    """Read the firmware's word."""
    been = word >> HAS_BEEN
    return BoardHealth(
        temperature_c=temperature_c,
        under_voltage=bool(word & Throttled.UNDER_VOLTAGE),
        throttled=bool(word & SLOWED),
        too_hot=bool(word & Throttled.SOFT_TEMPERATURE_LIMIT),
        under_voltage_since_boot=bool((word | been) & Throttled.UNDER_VOLTAGE),
        throttled_since_boot=bool((word | been) & SLOWED),
    )


class Board(Protocol):
    """The board that this process runs on."""

    def health(self) -> BoardHealth:
        """Return how it is now.

        Raises:
            DeviceFault: it said something that cannot be understood.
        """
