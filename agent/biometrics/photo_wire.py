"""What the gate and the photo worker say to each other: fixed layouts, strictly read.

Rules:
- A job names the format and the length of the file that lies in shared memory.
- An answer is the size of the picture that lies in the other shared memory, or one word for why
  there is none. Pixels are any bytes; the size is held against the limits before one is read.
"""

from __future__ import annotations

import base64
import re
import struct
from dataclasses import dataclass

from agent.biometrics.picture_header import CAMERA_LIMITS, CREDENTIAL_LIMITS, FORMATS
from agent.sandbox.wire import WireError

__all__ = [
    "ANSWER_LIMIT",
    "PHOTO_BYTES",
    "PIXEL_BYTES",
    "SAMPLE",
    "Photo",
    "Refusal",
    "pack_answer",
    "pack_job",
    "unpack_answer",
    "unpack_job",
]

PHOTO_BYTES = CAMERA_LIMITS.file_bytes
"""The longest file that any decoder takes; who decodes credentials takes less."""
PIXEL_BYTES = 3 * CREDENTIAL_LIMITS.side_px**2
ANSWER_LIMIT = 64
SAMPLE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAAD0lEQVR4nGOMio5h"
    "YGAAAAVhARNwUvl7AAAAAElFTkSuQmCC"
)
"""A PNG of two grey pixels."""
_JOB = struct.Struct("<BI")
_ANSWER = struct.Struct("<BHH")
_WORD = re.compile(rb"[A-Za-z0-9_]{1,40}")
_PHOTO, _REFUSAL = 1, 2


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture that lies in the shared memory as (height, width, 3) uint8 RGB."""

    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no picture: one word."""

    word: str


def pack_job(kind: str, length: int) -> bytes:
    """Return the job to decode a file of so many bytes."""
    return _JOB.pack(FORMATS.index(kind), length)


def unpack_job(message: bytes) -> tuple[str, int]:
    """Return format and length.

    Raises:
        WireError: it is no job.
    """
    if len(message) != _JOB.size:
        raise WireError(f"a job has {_JOB.size} bytes, not {len(message)}")
    kind, length = _JOB.unpack(message)
    if kind >= len(FORMATS) or length > PHOTO_BYTES:
        raise WireError("an unknown format or a file too long")
    return FORMATS[kind], length


def pack_answer(answer: Photo | Refusal) -> bytes:
    """Return the answer as one datagram."""
    if isinstance(answer, Photo):
        return _ANSWER.pack(_PHOTO, answer.height, answer.width)
    return _ANSWER.pack(_REFUSAL, 0, 0) + answer.word.encode("ascii", "replace")[:40]


def unpack_answer(message: bytes) -> Photo | Refusal:
    """Read an answer of a process that may be hostile.

    Raises:
        WireError: it breaks the layout or a limit.
    """
    if len(message) < _ANSWER.size or len(message) > ANSWER_LIMIT:
        raise WireError(f"an answer of {len(message)} bytes")
    what, height, width = _ANSWER.unpack_from(message)
    word = message[_ANSWER.size :]
    if what == _PHOTO and not word:
        side = CREDENTIAL_LIMITS.side_px
        if not (0 < height <= side and 0 < width <= side):
            raise WireError(f"a picture of {width} x {height} pixels")
        return Photo(height, width)
    if what == _REFUSAL and (height, width) == (0, 0) and _WORD.fullmatch(word):
        return Refusal(word.decode("ascii"))
    raise WireError("neither a picture nor a refusal")
