"""The photo decoder as a tenant of the sandbox: a file in one memory, pixels into the other.

- One photo a worker: the gate has it replaced after each, so that a worker which one person's photo
  took over never sees the next person's, and nothing of a face is left in it.
- What Pillow loads only when it meets it is loaded in the stem: the worker can open no file.
- One thread: the sandbox allows no more, and libavif would ask for some.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from agent.biometrics.photo_wire import SAMPLE, Photo, Refusal, pack_answer, unpack_job
from agent.biometrics.picture_header import CREDENTIAL_LIMITS
from agent.biometrics.picture_unpack import NotDecoded, unpack
from agent.sandbox.confine import Confinement
from agent.sandbox.stem import Mapped, map_readable, serve

__all__ = ["PhotoUnpacker", "main"]

_NEEDED = ("ImageOps", "ImagePalette", "JpegImagePlugin", "MpoImagePlugin", "PngImagePlugin",
           "TiffImagePlugin", "WebPImagePlugin", "Jpeg2KImagePlugin")  # fmt: skip
"""Of Pillow; Tiff reads what EXIF holds."""


class PhotoUnpacker:
    """Decodes the file in the one memory into the other.

    Args:
        files: where the daemon puts a file.
        pixels: where a picture goes, (height, width, 3) uint8.
    """

    confinement = Confinement("idgate-photo", extra_memory=48 << 20, cpu_s=1)

    def __init__(self, files: mmap.mmap, pixels: mmap.mmap) -> None:
        self._files = files
        self._pixels = pixels

    def answer(self, job: bytes) -> bytes:
        """Decode a file.

        Raises:
            WireError: the job is none.
        """
        kind, length = unpack_job(job)
        try:
            picture = unpack(kind, self._files[:length], CREDENTIAL_LIMITS)
        except NotDecoded as reason:
            return pack_answer(Refusal(str(reason)))
        self._pixels[: 3 * picture.width * picture.height] = picture.tobytes()
        return pack_answer(Photo(picture.height, picture.width))


def main(arguments: list[str]) -> int:
    """Be the photo decoder's stem until the daemon goes.

    Args:
        arguments: the sandbox's own two.
    """
    return serve(arguments, _load)


def _load(memories: Sequence[Mapped], _words: Sequence[str]) -> PhotoUnpacker:
    for name in _NEEDED:
        import_module(f"PIL.{name}")
    with suppress(ImportError):  # a build of Pillow without AVIF
        setattr(import_module("PIL.AvifImagePlugin"), "DEFAULT_MAX_THREADS", 1)  # noqa: B010
    files, pixels = memories
    unpacker = PhotoUnpacker(map_readable(files), mmap.mmap(*pixels))
    unpack("PNG", SAMPLE, CREDENTIAL_LIMITS).tobytes()
    return unpacker


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
