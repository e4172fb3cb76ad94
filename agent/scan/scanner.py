"""From frame to payload: QR decoding in a process of its own that may hang or die.

Rules:
- `Scanner.scan` blocks for the deadline at most (default 300 ms) and never raises for what a
  picture does to the decoder.
- A worker that hangs, dies or answers nonsense is killed and replaced before the next frame,
  counted, and reported through `on_incident`; the frame that did it is not tried again.
- Bytes, not text; every symbol in view; nothing is kept of a frame but the shared memory's last
  one, which the next overwrites and `close` frees.
- A still picture is many jobs under one deadline (`still`): one that is late costs a quarter of it
  and one decoder, and the next job reads the picture softened, which leaves nothing of what floods
  a decoder.

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
from agent.scan.still import SHEET, SHEET_STEPS, merged, steps
from agent.scan.wire import (
    ANSWER_LIMIT,
    MAX_PAYLOADS,
    MAX_STILL_PAYLOADS,
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
STEP_SHARE = 4
"""A step on a still picture may take one of so many parts of its deadline,"""
STEP_LEAST_S = 0.5
"""or this, where that is more: a slow processor is no attack."""


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
        unfinished: a still picture's time was over before every step had its turn.
    """

    payloads: tuple[Payload, ...]
    decode_ms: float
    variant: Variant
    sequence: int
    incident: IncidentKind | None = None
    unfinished: bool = False


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
            result = self._scan(blank, 0, max(0.05, until - time.monotonic()))
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
        deadline_ms: int | None = None,
        spare_ms: int = NO_HURRY,
    ) -> ScanResult:
        """Decode one plane as a frame of a stream.

        Args:
            luma: (H, W) uint8, rows may be strided.
            sequence: returned in the result.
            deadline_ms: instead of the configured one.
            spare_ms: until the next frame of the stream is due; no retry is to end later.

        Raises:
            ScanError: the scanner is closed, or the plane is empty or over 12 megapixels.
        """
        self._check(luma)
        deadline_s = (deadline_ms or self._settings.deadline_ms) / 1000
        with self._lock:
            if self._closed:
                raise ScanError("the scanner is closed")
            return self._scan(luma, sequence, deadline_s, spare_ms=spare_ms)

    def scan_still(self, luma: NDArray[np.uint8], *, deadline_ms: int | None = None) -> ScanResult:
        """Decode a still picture: every step is tried until one finds something.

        Args:
            luma: (H, W) uint8, rows may be strided.
            deadline_ms: of all steps together, instead of the configured one.

        Returns:
            At most `MAX_STILL_PAYLOADS` payloads, the last variant that answered, the time in the
            decoders of all steps that answered, and the first incident.

        Raises:
            ScanError: the scanner is closed, or the plane is empty or over 12 megapixels.
        """
        self._check(luma)
        deadline_s = (deadline_ms or self._settings.deadline_ms) / 1000
        until = time.monotonic() + deadline_s
        share_s = max(deadline_s / STEP_SHARE, STEP_LEAST_S)
        settings = self._settings
        plan = list(enumerate(steps(luma.shape, retry=settings.retry, pyzbar=settings.pyzbar)))
        found: tuple[Payload, ...] = ()
        spent_ms, variant, incident, softened = 0.0, Variant.NONE, None, False
        with self._lock:
            while plan and (left := until - time.monotonic()) > 0:
                if self._closed:
                    raise ScanError("the scanner is closed")
                step = plan.pop(0)[0]
                done = self._scan(luma, 0, min(left, share_s), step=step)
                if done.variant is Variant.NONE and done.incident is not None and not softened:
                    softened = True
                    left = max(0.02, min(until - time.monotonic(), share_s))
                    incident = incident or done.incident
                    done = self._scan(luma, 0, left, wary=True)
                incident = incident or done.incident
                spent_ms += done.decode_ms
                if done.variant is not Variant.NONE:
                    variant = done.variant
                if done.payloads and not found:
                    del plan[SHEET_STEPS if len(done.payloads) >= SHEET else 0 :]
                found = merged(found, done.payloads)
        return ScanResult(
            found[:MAX_STILL_PAYLOADS], spent_ms, variant, 0, incident, unfinished=bool(plan)
        )

    def _check(self, luma: NDArray[np.uint8]) -> None:
        """Refuse a plane that the worker could not take.

        Raises:
            ScanError: it is empty, over 12 megapixels, or none.
        """
        if luma.ndim != 2 or not 0 < luma.size <= MAX_FRAME_BYTES or max(luma.shape) > 0xFFFF:
            raise ScanError(f"a plane of shape {luma.shape} cannot be scanned")

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
        step: int | None = None,
        wary: bool = False,
        spare_ms: int = NO_HURRY,
    ) -> ScanResult:
        """Have a job done: a frame of a stream, or a step on a still picture."""
        thorough = step is not None
        live = not thorough and not wary
        wary = wary or (live and self._wary)
        turn = self._misses if step is None else step

        def prepare() -> bytes:
            self._memory.put(luma)
            height, width = luma.shape
            job = Job(sequence, width, height, turn, spare_ms, thorough=thorough, wary=wary)
            return pack_job(job)

        def read(message: bytes) -> Answer:
            most = MAX_STILL_PAYLOADS if thorough else MAX_PAYLOADS
            return unpack_answer(message, sequence=sequence, most=most)

        done = self._supervisor.exchange(prepare, read, deadline_s=deadline_s, limit=ANSWER_LIMIT)
        if live:
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
