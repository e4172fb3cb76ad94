"""What a barcode engine is to the agent: payloads, one at a time, of whatever it was shown.

An engine has a camera and a decoder of its own and hands over what it read; frames are never seen.

Rules:
- `read` blocks for its time at most. None says that nothing was read; that is no failure.
- A payload is hostile input: bytes as they came, bounded, never taken for text, never logged.
- What an engine read before the first `read` is not handed over: whoever showed it may be gone.
- An engine that broke, was pulled out or forgot its settings raises `DeviceFault`.
- `close()` never blocks, may be called twice, and from another thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["MAX_PAYLOAD_BYTES", "EngineCounts", "Scan", "ScanEngine"]

MAX_PAYLOAD_BYTES: Final = 7_089
"""The most that a QR symbol holds, in digits (ISO/IEC 18004 table 7); in base45 it is 4,296."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What an engine read once.

    Attributes:
        data: the payload, 1 to 7,089 bytes.
        captured_ns: monotonic clock when its first byte came; the engine saw the code before.
        symbology: AIM identifier without its bracket, as in `Q1`; "" where the engine says none.
    """

    data: bytes
    captured_ns: int
    symbology: str = ""


@dataclass(slots=True)
class EngineCounts:
    """What came from an engine since the start; outlives a reopening.

    Attributes:
        scans: payloads handed over.
        foreign: codes of another symbology than QR, ignored.
        noise: what was no payload: without the prefix or the identifier, or with forbidden keys.
        overlong: what was longer than a code can be, or took longer than it may.
        cut: payloads that ended without their suffix.
        flooded: payloads that came faster than they were taken; the newest are kept.
    """

    scans: int = 0
    foreign: int = 0
    noise: int = 0
    overlong: int = 0
    cut: int = 0
    flooded: int = 0


class ScanEngine(Protocol):
    """An engine that reads codes."""

    @property
    def counts(self) -> EngineCounts:
        """What came from it so far."""

    def read(self, timeout_s: float) -> Scan | None:
        """Wait for the next payload.

        Raises:
            DeviceFault: the engine is gone or does not answer.
        """

    def close(self) -> None:
        """Let go of the device."""
