"""From frame to payload: QR decoding in a process of its own that may hang or die.

Rules:
- `Scanner.scan` blocks for the deadline at most (default 300 ms) and never raises for what a
  picture does to the decoder.
- A worker that hangs, dies or answers nonsense is killed and replaced before the next frame,
  counted, and reported through `on_incident`; the frame that did it is not tried again.
- Bytes, not text; every symbol in view; nothing is kept of a frame but the shared memory's last
  one, which the next overwrites and `close` frees.

See `cascade` for the decoders, `worker` for the processes, `wire` for the messages.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from agent.scan.process import DecoderProcess, FrameMemory, StemLost, describe_status
from agent.scan.wire import (
    ANSWER_LIMIT,
    Answer,
    Job,
    Payload,
    Variant,
    WireError,
    pack_job,
    unpack_answer,
)
from agent.settings.model import ScanConfig
from hal.camera import Frame

__all__ = [
    "Incident",
    "IncidentKind",
    "Payload",
    "ScanError",
    "ScanResult",
    "Scanner",
    "Variant",
]

MAX_FRAME_BYTES = 4_096 * 3_072
"""The largest frame that the configuration allows; pages of it that are not used cost nothing."""
RESTART_PAUSE_S = 1.0
"""A stem that was lost is started anew at once, but not more often than this."""


class ScanError(RuntimeError):
    """The decoder cannot be started; the message says what is missing."""


class IncidentKind(StrEnum):
    """What went wrong with a decoder."""

    HANG = "hang"
    """No answer within the deadline."""
    CRASH = "crash"
    """The worker died."""
    GARBAGE = "garbage"
    """The worker's answer broke the layout."""
    LOST = "lost"
    """The process that makes workers died or could not load the decoders."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One decoder that had to be replaced.

    Attributes:
        kind: what it did.
        detail: for the log; never anything of the picture.
        total: incidents of this kind since start.
    """

    kind: IncidentKind
    detail: str
    total: int


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
        self.incidents: Counter[IncidentKind] = Counter()
        """How often what went wrong since start."""
        self._settings = settings
        self._on_incident = on_incident
        self._lock = threading.Lock()
        self._memory = FrameMemory(MAX_FRAME_BYTES)
        self._decoder: DecoderProcess | None = None
        self._restart_at = 0.0
        self._misses = 0
        self._closed = False
        self._start()

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
    def worker_pid(self) -> int:
        """Process id of the current worker; 0 while there is none."""
        return 0 if self._decoder is None else self._decoder.worker_pid

    @property
    def stem_pid(self) -> int:
        """Process id of the process that workers are forked from; 0 while there is none."""
        return 0 if self._decoder is None else self._decoder.stem_pid

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
            while True:
                left = until - time.monotonic()
                if self._decoder is None:
                    raise ScanError("the QR decoder is closed or does not start")
                try:
                    self._decoder.listen(max(0.0, left))
                except StemLost as error:
                    raise ScanError(f"the QR decoder does not start: {error}") from None
                if self._decoder.worker_pid:
                    break
                if left <= 0:
                    raise ScanError(f"the QR decoder was not ready within {timeout_s:g} s")
            result = self._scan(blank, 0, max(0.05, until - time.monotonic()), thorough=False)
        if result.variant is Variant.NONE:
            raise ScanError(f"the QR decoder fails on a blank picture: {result.incident}")

    def scan(self, frame: Frame) -> ScanResult:
        """Decode one frame of a stream.

        Raises:
            ScanError: the scanner is closed, or the frame is larger than any camera's.
        """
        return self.scan_luma(frame.luma, sequence=frame.sequence)

    def scan_luma(
        self,
        luma: NDArray[np.uint8],
        *,
        sequence: int = 0,
        thorough: bool = False,
        deadline_ms: int | None = None,
    ) -> ScanResult:
        """Decode one plane.

        Args:
            luma: (H, W) uint8, rows may be strided.
            sequence: returned in the result.
            thorough: a still picture: every variant is tried until one finds something.
            deadline_ms: instead of the configured one.

        Raises:
            ScanError: the scanner is closed, or the plane is empty or over 12 megapixels.
        """
        if luma.ndim != 2 or not 0 < luma.size <= MAX_FRAME_BYTES or max(luma.shape) > 0xFFFF:
            raise ScanError(f"a plane of shape {luma.shape} cannot be scanned")
        deadline_s = (deadline_ms or self._settings.deadline_ms) / 1000
        with self._lock:
            if self._closed:
                raise ScanError("the scanner is closed")
            return self._scan(luma, sequence, deadline_s, thorough=thorough)

    def close(self) -> None:
        """End the decoder's processes and free the frame; may be called twice."""
        with self._lock:
            self._closed = True
            if self._decoder is not None:
                self._decoder.close()
                self._decoder = None
            self._memory.close()

    def _scan(
        self, luma: NDArray[np.uint8], sequence: int, deadline_s: float, *, thorough: bool
    ) -> ScanResult:
        until = time.monotonic() + deadline_s
        incident: IncidentKind | None = None
        lost = self.incidents[IncidentKind.LOST]
        # A worker that was long in coming gets the next frame: with little time left it would look
        # hung, and be killed for it.
        enough = until - deadline_s / 2
        decoder = self._reach(until)
        if decoder is None or time.monotonic() > enough:
            kind = IncidentKind.LOST if self.incidents[IncidentKind.LOST] > lost else None
            return ScanResult((), 0.0, Variant.NONE, sequence, kind)
        self._memory.put(luma)
        job = pack_job(
            Job(
                sequence,
                width=luma.shape[1],
                height=luma.shape[0],
                turn=self._misses,
                budget_ms=max(1, round(deadline_s * 1000)),
                thorough=thorough,
            )
        )
        if not decoder.ask(job):  # it died between frames, so this frame is not to blame
            incident = self._replace(IncidentKind.CRASH, "found dead", until)
            decoder = self._reach(until)
            if decoder is None or time.monotonic() > enough or not decoder.ask(job):
                return ScanResult((), 0.0, Variant.NONE, sequence, incident)
        answer, fault = self._await(decoder, sequence, until)
        if answer is None:
            self._misses += 1  # the next worker does not begin with what killed this one
            return ScanResult((), 0.0, Variant.NONE, sequence, fault)
        if not answer.payloads:
            self._misses += 1
        return ScanResult(
            answer.payloads, answer.decode_us / 1000, answer.variant, sequence, incident
        )

    def _await(
        self, decoder: DecoderProcess, sequence: int, until: float
    ) -> tuple[Answer | None, IncidentKind | None]:
        """Take the worker's answer, or replace the worker and say why."""
        message = decoder.answer(max(0.0, until - time.monotonic()), ANSWER_LIMIT)
        if message is None:
            return None, self._replace(IncidentKind.HANG, "no answer in time", until)
        if not message:
            return None, self._replace(IncidentKind.CRASH, "", until)
        try:
            return unpack_answer(message, sequence=sequence), None
        except WireError as error:
            return None, self._replace(IncidentKind.GARBAGE, str(error), until)

    def _reach(self, until: float) -> DecoderProcess | None:
        """Return the decoder once it has a worker; None where it has none by then."""
        if self._decoder is None and not self._start():
            return None
        decoder = self._decoder
        if decoder is None:
            return None
        try:
            decoder.listen(max(0.0, until - time.monotonic()))
        except StemLost as error:
            self._lose(str(error))
            return None
        return decoder if decoder.worker_pid else None

    def _replace(self, kind: IncidentKind, detail: str, until: float) -> IncidentKind:
        """Ask for a new worker, count the incident, report it."""
        decoder = self._decoder
        if decoder is None:
            return kind
        try:
            decoder.replace()
            if kind is IncidentKind.CRASH:  # there is time left, and forking takes milliseconds
                decoder.listen(min(0.05, max(0.0, until - time.monotonic())))
        except StemLost as error:
            self._report(kind, detail or "with its stem")
            self._lose(str(error))
            return kind
        if kind is IncidentKind.CRASH and decoder.worker_pid:
            detail = f"{detail} {describe_status(decoder.last_status)}".strip()
        self._report(kind, detail)
        return kind

    def _start(self) -> bool:
        """Start a stem unless one was started a moment ago; return whether there is one."""
        now = time.monotonic()
        if now < self._restart_at:
            return False
        self._restart_at = now + RESTART_PAUSE_S
        decoder = DecoderProcess(
            self._memory, retry=self._settings.retry, pyzbar=self._settings.pyzbar
        )
        try:
            decoder.replace()
        except StemLost as error:
            decoder.kill()
            self._report(IncidentKind.LOST, str(error))
            return False
        self._decoder = decoder
        return True

    def _lose(self, detail: str) -> None:
        """Give up on the stem and its worker, and start anew."""
        if self._decoder is not None:
            self._decoder.kill()
            self._decoder = None
        self._report(IncidentKind.LOST, detail)
        self._start()

    def _report(self, kind: IncidentKind, detail: str) -> None:
        self.incidents[kind] += 1
        self._on_incident(Incident(kind, detail, self.incidents[kind]))
