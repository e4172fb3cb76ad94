"""Codes before the desk's webcam: a browser's frames, read by the gates' own scanner.

Rules:
- a frame is a stranger's file twice over: its pixels come out of the photos' sandbox, its symbols
  out of the scanner's; both are wiped after it;
- one frame at a time; sandboxes are started when the first comes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from agent import log
from agent.biometrics.errors import FaceRejected
from agent.settings.model import ScanConfig

if TYPE_CHECKING:
    from agent.biometrics.photo import PhotoDecoder
    from agent.sandbox.supervisor import Incident
    from agent.scan.scanner import Scanner

__all__ = ["CodeReader", "ScanningError"]

_log = log.get(__name__)
_LONGEST = 4_096
"""Bytes of a code that anything here is made of."""


class ScanningError(ValueError):
    """Frames cannot be read here; one line."""


class CodeReader:
    """Reads the codes of pictures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: tuple[PhotoDecoder, Scanner] | None = None
        self._closed = False

    def read(self, picture: bytes) -> list[str]:
        """Return the texts of the codes in a picture; nothing where there is none.

        Args:
            picture: JPEG, PNG or WebP, at most 64 KiB and 1,024 pixels a side.

        Raises:
            ScanningError: a sandbox cannot be started.
        """
        import cv2
        import numpy as np

        with self._lock:
            photos, scanner = self._open()
            try:
                pixels = photos.decode(picture)
            except FaceRejected:
                return []
            luma = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
            pixels.fill(0)
            found = scanner.scan_still(luma)
            luma.fill(0)
        return [
            payload.data.decode("ascii")
            for payload in found.payloads
            if len(payload.data) <= _LONGEST and payload.data.isascii()
        ]

    def close(self) -> None:
        """End the sandboxes; may be called twice."""
        with self._lock:
            self._closed = True
            if self._parts is not None:
                for part in self._parts:
                    part.close()
                self._parts = None

    def _open(self) -> tuple[PhotoDecoder, Scanner]:
        from agent.biometrics.photo import PhotoDecoder, PhotoError
        from agent.scan.scanner import ScanError, Scanner

        if self._closed:
            raise ScanningError("the desk is closing")
        if self._parts is None:
            photos = PhotoDecoder(_told)
            scanner = Scanner(ScanConfig(deadline_ms=1_000), _told)
            photos.start()
            try:
                photos.wait_ready()
                scanner.wait_ready()
            except (PhotoError, ScanError) as error:
                photos.close()
                scanner.close()
                raise ScanningError(f"no code can be read here: {error}") from None
            self._parts = photos, scanner
        return self._parts


def _told(incident: Incident) -> None:
    _log.warning("scan_incident", kind=incident.kind.value)
