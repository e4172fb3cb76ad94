r"""Where a payload begins and ends in an engine's bytes. Pure: no port and no clock.

Rules:
- With a suffix, a payload ends there; what falls silent without one was cut, and is dropped.
- Without a suffix, a payload ends when the line falls silent: for binary contents, which may hold
  the suffix themselves. Who feeds tells of the silence, since only it knows whether bytes waited.
- A prefix must stand right at the start; what begins otherwise is noise.
- AIM identifiers (ISO/IEC 15424) `]Q0` to `]Q6` are QR; with `aim`, nothing else is handed over:
  a bar code that carries a credential's bytes is ignored, and counted.
- Beyond 7,089 bytes, or `payload_s`, everything is passed over up to the next end.
- Memory is one payload and what waits, 8 payloads at most; work is linear in the bytes. What was
  handed over or passed over does not linger in a buffer that is used on.
- What an engine made of the contents (an ECI as `\000026`, UTF-8 of what was binary) stays: it is
  no credential any more, and the judge says so.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from hal.scan_engine import MAX_PAYLOAD_BYTES, EngineCounts, Scan

__all__ = ["Framer"]

MAX_WAITING: Final = 8
_AIM_BYTES: Final = 3
_ENDS_OF_LINE: Final = (b"\r", b"\n", b"\r\n")


class Framer:
    """Cuts a stream into payloads.

    Args:
        prefix: what the engine sends before each payload (before the AIM identifier).
        suffix: what it sends behind each; empty where silence ends it.
        aim: whether an AIM identifier stands before the contents.
        payload_s: longest time from a payload's first byte to its end.
        counts: where to count.
    """

    def __init__(
        self,
        *,
        prefix: bytes = b"",
        suffix: bytes = b"\r",
        aim: bool = True,
        payload_s: float = 12.0,
        counts: EngineCounts | None = None,
    ) -> None:
        self.counts = counts or EngineCounts()
        self._prefix, self._suffix, self._aim = prefix, suffix, aim
        self._payload_ns = round(payload_s * 1e9)
        self._limit = len(prefix) + _AIM_BYTES * aim + MAX_PAYLOAD_BYTES
        self._buffer = bytearray()
        self._waiting: deque[Scan] = deque()
        self._began_ns: int | None = None
        self._spoiled = False

    @property
    def pending(self) -> bool:
        """Whether something has begun and not ended."""
        return self._began_ns is not None

    def feed(self, data: bytes, now_ns: int) -> None:
        """Take bytes that came at a monotonic time."""
        if not data:
            return
        if self._began_ns is None:
            self._began_ns = now_ns
        elif now_ns - self._began_ns > self._payload_ns:
            self._overlong()
        searched = max(0, len(self._buffer) - len(self._suffix) + 1)
        self._buffer += data
        if self._suffix:
            self._split(searched, now_ns)
        if len(self._buffer) >= self._limit + max(1, len(self._suffix)):
            self._overlong()
        if self._spoiled:
            # Only the beginning of a suffix is still of use.
            kept = max(0, len(self._suffix) - 1)
            self._buffer = self._buffer[max(0, len(self._buffer) - kept) :]

    def silence(self) -> None:
        """Say that the line has been silent for long enough: nothing more belongs to what began."""
        if self._began_ns is None:
            return
        if not self._suffix:
            self._end(bytes(self._buffer))
        elif not self._spoiled and self._buffer.strip(b"\r\n"):
            self.counts.cut += 1
        self._forget()

    def spoil(self, now_ns: int) -> None:
        """Say that what has begun, or begins now, is no payload, whatever follows up to its end."""
        if self._began_ns is None:
            self._began_ns = now_ns
        if not self._spoiled:
            self._spoiled = True
            self.counts.noise += 1

    def clear(self) -> None:
        """Forget everything that came."""
        self._forget()
        self._waiting.clear()

    def take(self) -> Scan | None:
        """Return the oldest payload that waits."""
        return self._waiting.popleft() if self._waiting else None

    def _split(self, searched: int, now_ns: int) -> None:
        start = 0
        while (end := self._buffer.find(self._suffix, max(start, searched))) >= 0:
            self._end(bytes(self._buffer[start:end]))
            start = end + len(self._suffix)
            self._began_ns = now_ns
        if start:
            self._buffer = self._buffer[start:]
        if start and not self._buffer:
            self._began_ns = None

    def _overlong(self) -> None:
        if not self._spoiled:
            self._spoiled = True
            self.counts.overlong += 1

    def _forget(self) -> None:
        self._buffer = bytearray()
        self._began_ns = None
        self._spoiled = False

    def _end(self, raw: bytes) -> None:
        """Judge what stood before a suffix, or before a silence."""
        if self._spoiled:
            self._spoiled = False
            return
        if self._suffix in _ENDS_OF_LINE:
            raw = raw.lstrip(b"\r\n")
        if not raw:
            return
        if not raw.startswith(self._prefix):
            self.counts.noise += 1
            return
        data, symbology = raw[len(self._prefix) :], ""
        if self._aim:
            symbology = _identifier(data)
            data = data[_AIM_BYTES:]
        if self._aim and symbology[:1] != "Q":
            if symbology:
                self.counts.foreign += 1
            else:
                self.counts.noise += 1
        elif not data:
            self.counts.noise += 1
        elif len(data) > MAX_PAYLOAD_BYTES:
            self.counts.overlong += 1
        else:
            self._keep(Scan(data, self._began_ns or 0, symbology))

    def _keep(self, scan: Scan) -> None:
        self.counts.scans += 1
        if len(self._waiting) == MAX_WAITING:
            self._waiting.popleft()
            self.counts.flooded += 1
        self._waiting.append(scan)


def _identifier(data: bytes) -> str:
    """Return an AIM identifier's letter and modifier, "" where there is none."""
    head = data[:_AIM_BYTES]
    if len(head) == _AIM_BYTES and head[:1] == b"]" and head[1:2].isalpha() and head[2:].isalnum():
        return head[1:].decode("ascii")
    return ""
