"""What the scanner and its worker say to each other: fixed layouts, every length capped.

The decoder's process handles attacker-controlled pictures, so its answers are hostile input too:
`unpack_answer` accepts exactly what an honest decoder can say and refuses all else.

Rules:
- One message a datagram (SOCK_SEQPACKET); little-endian; no pickles.
- At most 8 payloads an answer to a frame and 64 to a step on a still picture, each at most 7,089
  bytes (the most that a QR symbol holds, ISO/IEC 18004 table 7), and no answer longer than one of 8
  such; no bytes left over.
- Corners are clockwise from the symbol's own top left, in pixels of the frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

from agent.sandbox.wire import WireError

__all__ = [
    "ANSWER_LIMIT",
    "JOB_SIZE",
    "MAX_PAYLOADS",
    "MAX_PAYLOAD_BYTES",
    "MAX_STILL_PAYLOADS",
    "NO_HURRY",
    "Answer",
    "Corners",
    "Job",
    "Payload",
    "Variant",
    "pack_answer",
    "pack_job",
    "unpack_answer",
    "unpack_job",
]

Corners = tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]

MAX_PAYLOADS = 8
MAX_STILL_PAYLOADS = 64
MAX_PAYLOAD_BYTES = 7_089
MAX_SIDE = 8_192
NO_HURRY = 0xFFFF
_DECODERS = ("zxing-cpp", "pyzbar")
_JOB = struct.Struct("<IHHIHB")
_ANSWER = struct.Struct("<IIBB")
_RECORD = struct.Struct("<B8hH")
ANSWER_LIMIT = _ANSWER.size + MAX_PAYLOADS * (_RECORD.size + MAX_PAYLOAD_BYTES)
JOB_SIZE = _JOB.size


class Variant(StrEnum):
    """What was done to a frame before the last decoder saw it."""

    PLAIN = "plain"
    UNSHARP = "unsharp"
    CLAHE = "clahe"
    PYZBAR = "pyzbar-half"
    PYZBAR_FULL = "pyzbar"
    BARE = "bare"
    ENLARGED = "enlarged"
    REDUCED = "reduced"
    SOFT = "soft"
    GLOBAL = "global"
    GLOBAL_UNSHARP = "global-unsharp"
    MEAN_15 = "mean-15"
    MEAN_25 = "mean-25"
    MEAN_51 = "mean-51"
    MEAN_25_SOFT = "mean-25-soft"
    CLAHE_SOFT = "clahe-soft"
    FLAT = "flat"
    ENLARGED_MEAN = "enlarged-mean"
    ENLARGED_UNSHARP = "enlarged-unsharp"
    TURNED = "turned"
    FRAMED = "framed"
    BENT = "bent"
    PYZBAR_MEAN = "pyzbar-mean"
    PLACE = "place"
    """Where a code may be: enlarged, sharpened, each pixel against its surroundings."""
    PLACE_GLOBAL = "place-global"
    """Where a code may be: sharpened, one threshold for all of it."""
    NONE = "none"
    """No decoder answered in time."""


_VARIANTS = tuple(Variant)


@dataclass(frozen=True, slots=True)
class Payload:
    """What one QR symbol holds.

    Attributes:
        data: the symbol's bytes, never a guess at text.
        corners: four (x, y) in pixels of the frame.
        decoder: `zxing-cpp` or `pyzbar`.
    """

    data: bytes
    corners: Corners
    decoder: str


@dataclass(frozen=True, slots=True)
class Job:
    """One frame to decode, which lies row by row, unpadded, at the start of the shared memory.

    Attributes:
        sequence: returned in the answer.
        width: pixels.
        height: pixels.
        turn: which retry is due on a miss; of a still picture, which of its steps.
        spare_ms: until the next frame is due; `NO_HURRY` and more is as long as it takes.
        thorough: a still picture: `turn` of `still.steps` is read.
        wary: the frame before was more than the decoder could take: only `SOFT` is tried.
    """

    sequence: int
    width: int
    height: int
    turn: int
    spare_ms: int = NO_HURRY
    thorough: bool = False
    wary: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What the decoder found.

    Attributes:
        sequence: the job's.
        decode_us: microseconds in the decoders.
        variant: the last one tried.
        payloads: all symbols, the same bytes at the same place once.
    """

    sequence: int
    decode_us: int
    variant: Variant
    payloads: tuple[Payload, ...]


def pack_job(job: Job) -> bytes:
    """Return the job as one datagram."""
    return _JOB.pack(
        job.sequence & 0xFFFFFFFF,
        job.width,
        job.height,
        job.turn & 0xFFFFFFFF,
        max(0, min(job.spare_ms, NO_HURRY)),
        job.thorough | job.wary << 1,
    )


def unpack_job(message: bytes) -> Job:
    """Read a job.

    Raises:
        WireError: it is none.
    """
    if len(message) != _JOB.size:
        raise WireError(f"a job has {_JOB.size} bytes, not {len(message)}")
    sequence, width, height, turn, spare_ms, how = _JOB.unpack(message)
    if how > 3:
        raise WireError("a job of an unknown kind")
    return Job(sequence, width, height, turn, spare_ms, thorough=bool(how & 1), wary=bool(how & 2))


def pack_answer(answer: Answer, *, most: int = MAX_PAYLOADS) -> bytes:
    """Return the answer as one datagram; symbols over the caps are left out.

    Args:
        answer: what was found.
        most: symbols, `MAX_PAYLOADS` or `MAX_STILL_PAYLOADS`.
    """
    fitting: list[Payload] = []
    room = ANSWER_LIMIT - _ANSWER.size
    for payload in answer.payloads:
        size = _RECORD.size + len(payload.data)
        if len(payload.data) <= MAX_PAYLOAD_BYTES and size <= room and len(fitting) < most:
            fitting.append(payload)
            room -= size
    parts = [
        _ANSWER.pack(
            answer.sequence & 0xFFFFFFFF,
            min(answer.decode_us, 0xFFFFFFFF),
            _VARIANTS.index(answer.variant),
            len(fitting),
        )
    ]
    for payload in fitting:
        flat = [max(-MAX_SIDE, min(MAX_SIDE, v)) for corner in payload.corners for v in corner]
        parts.append(_RECORD.pack(_DECODERS.index(payload.decoder), *flat, len(payload.data)))
        parts.append(payload.data)
    return b"".join(parts)


def unpack_answer(message: bytes, *, sequence: int, most: int = MAX_PAYLOADS) -> Answer:
    """Read an answer from a process that may be hostile.

    Args:
        message: one datagram.
        sequence: of the job that it must answer.
        most: symbols that it may hold.

    Raises:
        WireError: it breaks the layout, a cap, or answers another job.
    """
    if len(message) < _ANSWER.size or len(message) > ANSWER_LIMIT:
        raise WireError(f"an answer of {len(message)} bytes")
    answered, decode_us, variant, count = _ANSWER.unpack_from(message)
    if answered != sequence & 0xFFFFFFFF:
        raise WireError("an answer to another frame")
    if variant >= len(_VARIANTS) or count > most:
        raise WireError("an unknown variant or too many symbols")
    payloads = []
    at = _ANSWER.size
    for _ in range(count):
        payload, at = _unpack_payload(message, at)
        payloads.append(payload)
    if at != len(message):
        raise WireError("bytes left over")
    return Answer(answered, decode_us, _VARIANTS[variant], tuple(payloads))


def _unpack_payload(message: bytes, at: int) -> tuple[Payload, int]:
    """Read the record at offset `at`; return it and the next offset."""
    start = at + _RECORD.size
    if start > len(message):
        raise WireError("a symbol cut short")
    decoder, x0, y0, x1, y1, x2, y2, x3, y3, length = _RECORD.unpack_from(message, at)
    if decoder >= len(_DECODERS) or length > MAX_PAYLOAD_BYTES or start + length > len(message):
        raise WireError("a symbol of an unknown decoder or a false length")
    corners = ((x0, y0), (x1, y1), (x2, y2), (x3, y3))
    data = message[start : start + length]
    return Payload(data, corners, _DECODERS[decoder]), start + length
