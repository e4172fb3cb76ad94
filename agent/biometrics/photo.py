"""Photos out of credentials, decoded in a process that may hang or die.

Rules:
- Whatever the bytes: a picture of bounded size, or `reference_invalid`, within `DEADLINE_S`. Memory
  and work are the worker's, which has little of both (`photo_worker`), and no call here keeps other
  threads from running.
- One worker serves one photo and is replaced; the next one waits, forked, for the next person.
- File and pixels are wiped from the shared memory before `decode` returns.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.biometrics.photo_wire import (
    ANSWER_LIMIT,
    PIXEL_BYTES,
    SAMPLE,
    Photo,
    Refusal,
    pack_job,
    unpack_answer,
)
from agent.biometrics.picture_header import CREDENTIAL_LIMITS, PictureLimits, check_header
from agent.reason import Reason
from agent.sandbox.memory import SharedMemory
from agent.sandbox.process import SandboxProcess
from agent.sandbox.supervisor import Incident, IncidentKind, NotReady, Supervisor

__all__ = ["PhotoDecoder", "PhotoError"]

DEADLINE_S = 0.9
"""For the answer; a photo of a credential takes milliseconds."""
START_S = 60.0
"""A Pi with a slow card loads Pillow in a few seconds."""


class PhotoError(RuntimeError):
    """The photo decoder cannot be started; the message says why."""


class PhotoDecoder:
    """The decoder behind its process boundary; one photo at a time, from any thread.

    Args:
        on_incident: called in the decoding thread for each worker that hung, died or lied; must not
            block.
        limits: of a file; no side may be longer than that of a credential's photo.

    Raises:
        OSError: no memory could be had.
    """

    def __init__(
        self,
        on_incident: Callable[[Incident], None],
        limits: PictureLimits = CREDENTIAL_LIMITS,
    ) -> None:
        self._lock = threading.Lock()
        self._limits = limits
        self._files = SharedMemory(limits.file_bytes)
        self._pixels = SharedMemory(PIXEL_BYTES, shared_write=True)
        self._supervisor = Supervisor(self._make, on_incident)
        self._closed = False

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

    def start(self) -> None:
        """Begin to load; does not wait."""
        with self._lock:
            self._supervisor.start()

    def wait_ready(self, timeout_s: float = START_S) -> None:
        """Wait until a worker has decoded a sample.

        Raises:
            PhotoError: Pillow is missing or broken, or the time is over.
        """
        try:
            with self._lock:
                self._supervisor.wait(timeout_s)
            self.decode(SAMPLE)
        except NotReady as error:
            raise PhotoError(f"the photo decoder {error}") from None
        except FaceRejected as refused:
            raise PhotoError(f"the photo decoder fails on its sample: {refused.detail}") from None

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """Decode a photo.

        Args:
            data: the file, out of a credential that was proven.

        Returns:
            (H, W, 3) uint8 RGB, the caller's own, at most 1,024 pixels a side.

        Raises:
            FaceRejected: `reference_invalid`.
        """
        kind = check_header(data, self._limits)
        with self._lock:
            if self._closed:
                raise _invalid("the photo decoder is closed")
            try:
                return self._decode(kind, data)
            finally:
                self._files.wipe(len(data))

    def close(self) -> None:
        """End the processes and free the memory; may be called twice."""
        with self._lock:
            self._closed = True
            self._supervisor.close()
            self._files.close()
            self._pixels.close()

    def _decode(self, kind: str, data: bytes) -> NDArray[np.uint8]:
        def prepare() -> bytes:
            self._files.put(np.frombuffer(data, dtype=np.uint8))
            return pack_job(kind, len(data))

        done = self._supervisor.exchange(
            prepare, unpack_answer, deadline_s=DEADLINE_S, limit=ANSWER_LIMIT
        )
        match done.answer:
            case Photo(height, width):
                picture = self._pixels.take((height, width, 3))
                self._pixels.wipe(picture.size)
                self._supervisor.renew()
                return picture
            case Refusal(word):
                self._supervisor.renew()
                raise _invalid(f"{kind} cannot be decoded ({word})")
        raise _invalid(f"{kind} cannot be decoded ({done.incident or 'no worker'})")

    def _make(self) -> SandboxProcess:
        return SandboxProcess("agent.biometrics.photo_worker", [self._files, self._pixels])


def _invalid(detail: str) -> FaceRejected:
    return FaceRejected(Reason.REFERENCE_INVALID, detail)
