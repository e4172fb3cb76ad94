"""Grants for an access controller: a subject's card number over Wiegand or OSDP.

The number is derived from the subject's keyed hash, so that it says nothing about the person and
is the same at each passage. The controller learns it as it learns any card. Of 24 bits two in about
5,000 people share one; 34-bit Wiegand or OSDP (64 bits) are meant for more than a few hundred.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, Protocol

from agent.gatekeeper.wire import Request
from hal.cards import CardReader

__all__ = ["CardOutput", "OsdpCards", "WiegandCards", "card_number"]
_OSDP_BYTES = 8


def card_number(subject: str, bits: int) -> int:
    """Return the number that stands for a subject, `bits` wide."""
    digest = hashlib.sha256(b"idgate card\0" + subject.encode()).digest()
    return int.from_bytes(digest) >> (256 - bits)


class CardOutput(Protocol):
    """An access controller that takes the decision in the relay's place (Wiegand, OSDP)."""

    def present(self, subject: str) -> None:
        """Hand over the number that stands for the subject; returns at once.

        Raises:
            DeviceFault: no controller is there to take it.
        """

    def close(self) -> None:
        """Let go of the line."""


class WiegandCards:
    """Card numbers as pulses, which the gatekeeper makes.

    Args:
        send: hands a request to the gatekeeper.
        bits: 26 or 34.
    """

    def __init__(self, send: Callable[[Request], None], bits: Literal[26, 34]) -> None:
        self._send = send
        self._bits: Literal[26, 34] = bits

    def present(self, subject: str) -> None:
        """Queue the subject's number."""
        self._send(Request("card", self._bits, value=card_number(subject, self._bits - 2)))

    def close(self) -> None:
        """Nothing to let go of: the lines are the gatekeeper's."""


class OsdpCards:
    """Card numbers on an OSDP bus.

    Args:
        reader: the reader on the bus.
    """

    def __init__(self, reader: CardReader) -> None:
        self._reader = reader

    def present(self, subject: str) -> None:
        """Send the subject's number.

        Raises:
            DeviceFault: no controller is there to take it.
        """
        number = card_number(subject, _OSDP_BYTES * 8)
        self._reader.present(number.to_bytes(_OSDP_BYTES))

    def close(self) -> None:
        """Leave the bus."""
        self._reader.close()
