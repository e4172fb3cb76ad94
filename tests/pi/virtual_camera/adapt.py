"""What the real picamera2 needs to serve libcamera's virtual camera, which is no sensor of a Pi.

Four things differ and nothing else is touched: there is no KMS display library to preview on, no raw
stream, buffers have a plane each for luma and chroma, and frames report no exposure time.

Used as a plugin of pytest (`-p tests.pi.virtual_camera.adapt`) and as a program, which then is
`idgate` itself: `python -m tests.pi.virtual_camera.adapt run --config FILE`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

SIZE = (1280, 720)
EXPOSURE_US = 1_000


class _Formats(type):
    """Any pixel format of the display library, none of which is used without a display."""

    def __getattr__(cls, name: str) -> int:
        return 0


def adapt() -> None:
    """Change picamera2 in this process; see the module's list."""
    display = ModuleType("pykms")
    display.PixelFormat = _Formats("PixelFormat", (), {})  # type: ignore[attr-defined]
    sys.modules.setdefault("pykms", display)

    from picamera2 import Picamera2
    from picamera2.allocators import LibcameraAllocator
    from picamera2.request import CompletedRequest

    start = Picamera2.__init__
    metadata = CompletedRequest.get_metadata

    def started(self: Any, number: int) -> None:
        start(self, number)
        self.allocator = LibcameraAllocator(self.camera)

    Picamera2._get_raw_modes = lambda _: [{"format": "NV12", "size": SIZE}]
    Picamera2.__init__ = started
    CompletedRequest.get_metadata = lambda self: {"ExposureTime": EXPOSURE_US, **metadata(self)}


def main() -> int:
    """Be `idgate` with the virtual camera behind picamera2."""
    adapt()
    from agent.cli import main as idgate

    return idgate(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
else:
    adapt()
