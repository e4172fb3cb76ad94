"""What an access controller's bus is to the gate: a reader that presents card numbers."""

from __future__ import annotations

from typing import Protocol

__all__ = ["CardReader"]


class CardReader(Protocol):
    """One reader, as the controller sees it; `hal.osdp.OsdpReader` is one."""

    def present(self, card: bytes) -> None:
        """Send a card's bits.

        Raises:
            DeviceFault: no controller is there to take it.
        """

    def close(self) -> None:
        """Leave the bus; may be called twice."""
