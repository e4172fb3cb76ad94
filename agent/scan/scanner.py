"""From frame to payload: QR decoding in a process of its own that may hang or die.

Rules:
- `Scanner.scan` blocks for the deadline at most (default 300 ms) and never raises for what a
  picture does to the decoder.
- A worker that hangs, dies or answers nonsense is killed and replaced before the next frame,
  counted, and reported through `on_incident`; the frame that did it is not tried again.
- Bytes, not text; every symbol in view; nothing is kept of a frame but the shared memory's last
  one, which the next overwrites and `close` frees.

See `cascade` for the decoders, `agent.sandbox` for the processes, `wire` for the messages.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.sandbox.memory import SharedMemory
from agent.sandbox.process import SandboxProcess
from agent.sandbox.supervisor import Incident, IncidentKind, NotReady, Supervisor
from agent.scan.wire import (
    ANSWER_LIMIT,
    NO_HURRY,
    Answer,
    Job,
    Payload,
    Variant,
    pack_job,
    unpack_answer,
)
from agent.settings.model import ScanConfig
from hal.camera import Frame

__all__ = [
    "Payload",
    "ScanError",
    "ScanResult",
    "Scanner",
    "Variant",
]

MAX_FRAME_BYTES = 4_096 * 3_072
"""The largest frame that the configuration allows; pages of it that are not used cost nothing."""


class ScanError(RuntimeError):
    """The decoder cannot be started; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What one frame held.

    Attributes:
        payloads: every symbol in view; empty where there was none, or after an incident.
        decode_ms: time in the decoders, as the worker measured it.
        variant: the last preparation tried.
        sequence: the frame's.
        incident: set where the decoder failed on this frame or was found dead.
    """

    payloads: tuple[Payload, ...]
    decode_ms: float
    variant: Variant
    sequence: int
    incident: IncidentKind | None = None


def _ignore(_: Incident) -> None:
    """Take no notice: the incident is still counted and in the result."""


class Scanner:
    """The decoder behind its process boundary.

    Starting does not wait for the decoder to load (`wait_ready` does); the first scans find it
    loading and come back empty. `scan` is for one thread; `close` may come from another.

    Args:
        settings: deadline and which decoders.
        on_incident: called in the scanning thread for each decoder replaced; must not block.

    Raises:
        OSError: no process or memory could be had.
    """

    def __init__(
        self, settings: ScanConfig, on_incident: Callable[[Incident], None] = _ignore
    ) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._memory = SharedMemory(MAX_FRAME_BYTES)
        self._supervisor = Supervisor(self._make, on_incident)
        self._misses = 0
        self._last: tuple[int, int] | None = None
        self._wary = False
        self._closed = False
        self._supervisor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def incidents(self) -> Counter[IncidentKind]:
        """How often what went wrong since start."""
        return self._supervisor.incidents

    @property
    def worker_pid(self) -> int:
        """Process id of the current worker; 0 while there is none."""
        return self._supervisor.worker_pid

    @property
    def stem_pid(self) -> int:
        """Process id of the process that workers are forked from; 0 while there is none."""
        return self._supervisor.stem_pid

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Wait until a worker has decoded a blank frame.

        Args:
            timeout_s: longest wait; None takes the settings' `start_s`.

        Raises:
            ScanError: a decoder is missing or broken, or the time is over.
        """
        timeout_s = self._settings.start_s if timeout_s is None else timeout_s
        until = time.monotonic() + timeout_s
        blank = np.full((64, 64), 127, dtype=np.uint8)
        with self._lock:
            try:
                self._supervisor.wait(timeout_s)
            except NotReady as error:
                raise ScanError(f"the QR decoder {error}") from None
            result = self._scan(blank, 0, max(0.05, until - time.monotonic()), thorough=False)
        if result.variant is Variant.NONE:
            raise ScanError(f"the QR decoder fails on a blank picture: {result.incident}")

    def scan(self, frame: Frame) -> ScanResult:
        """Decode one frame of a stream.

        Raises:
            ScanError: the scanner is closed, or the frame is larger than any camera's.
        """
        return self.scan_luma(frame.luma, sequence=frame.sequence, spare_ms=self._until_next(frame))

    def scan_luma(
        self,
        luma: NDArray[np.uint8],
        *,
        sequence: int = 0,
        thorough: bool = False,
        deadline_ms: int | None = None,
        spare_ms: int = NO_HURRY,
    ) -> ScanResult:
        """Decode one plane.

        Args:
            luma: (H, W) uint8, rows may be strided.
            sequence: returned in the result.
            thorough: a still picture: every variant is tried until one finds something.
            deadline_ms: instead of the configured one.
            spare_ms: until the next frame of the stream is due; no retry is to end later.

        Raises:
            ScanError: the scanner is closed, or the plane is empty or over 12 megapixels.
        """
        if luma.ndim != 2 or not 0 < luma.size <= MAX_FRAME_BYTES or max(luma.shape) > 0xFFFF:
            raise ScanError(f"a plane of shape {luma.shape} cannot be scanned")
        deadline_s = (deadline_ms or self._settings.deadline_ms) / 1000
        with self._lock:
            if self._closed:
                raise ScanError("the scanner is closed")
            return self._scan(luma, sequence, deadline_s, thorough=thorough, spare_ms=spare_ms)

    def close(self) -> None:
        """End the decoder's processes and free the frame; may be called twice."""
        with self._lock:
            self._closed = True
            self._supervisor.close()
            self._memory.close()

    def _until_next(self, frame: Frame) -> int:
        """Return how far apart the camera's frames are, milliseconds, by its clock and count."""
        now, last = (frame.sequence, frame.captured_ns), self._last
        self._last = now
        if last is None or now[0] <= last[0] or now[1] <= last[1]:
            return NO_HURRY
        return min(NO_HURRY, round((now[1] - last[1]) / (now[0] - last[0]) / 1e6))

    def _scan(
        self,
        luma: NDArray[np.uint8],
        sequence: int,
        deadline_s: float,
        *,
        thorough: bool,
        spare_ms: int = NO_HURRY,
    ) -> ScanResult:
        wary = self._wary and not thorough

        def prepare() -> bytes:
            self._memory.put(luma)
            height, width = luma.shape
            job = Job(sequence, width, height, self._misses, spare_ms, thorough=thorough, wary=wary)
            return pack_job(job)

        def read(message: bytes) -> Answer:
            return unpack_answer(message, sequence=sequence)

        done = self._supervisor.exchange(prepare, read, deadline_s=deadline_s, limit=ANSWER_LIMIT)
        self._wary = done.answer is None and done.incident is not None and not wary
        if done.answer is None:
            self._misses += 1  # the next worker does not begin with what killed this one
            return ScanResult((), 0.0, Variant.NONE, sequence, done.incident)
        answer = done.answer
        if not answer.payloads:
            self._misses += 1
        return ScanResult(
            answer.payloads, answer.decode_us / 1000, answer.variant, sequence, done.incident
        )

    def _make(self) -> SandboxProcess:
        words = [str(int(self._settings.retry)), str(int(self._settings.pyzbar))]
        return SandboxProcess("agent.scan.worker", [self._memory], words)
