"""What a picture's header says, read before any decoder sees the file.

Rules:
- The format is the one that the first bytes say, one of five; a decoder is given that one alone.
- Width and height, and what makes a decoder work or allocate without end, are read here and held
  against limits. Segments, chunks and boxes are walked by their lengths, never searched for: a
  comment may hold anything.
    - JPEG (ISO/IEC 10918-1): Huffman coded, one frame; few scans, each is a pass over the whole.
    - PNG (W3C, third edition): no animation, little compressed text, each piece may be 1 MiB.
    - WebP (RFC 9649): no animation; the frame is no larger than the canvas.
    - JPEG 2000 (ISO/IEC 15444-1): tiles, code-blocks, precincts and packets are counted out, for
      the coding style of the whole and for those of components and tiles; no packed headers.
    - AVIF (AV1 Image File Format): single pictures only; the sizes of the boxes and those of the
      AV1 sequence headers are both judged.
- Every failure is `reference_invalid` with what was wrong.

This spares work and says what was wrong. What bounds a decoder whatever it is fed is the sandbox.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.biometrics.av1 import coded_sizes
from agent.biometrics.errors import FaceRejected
from agent.reason import Reason

__all__ = [
    "CAMERA_LIMITS",
    "CREDENTIAL_LIMITS",
    "FILE_LIMITS",
    "FORMATS",
    "PictureLimits",
    "check_header",
    "sniff",
]


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """How large a picture may be.

    Attributes:
        file_bytes: most bytes of the file.
        side_px: most pixels of a side.
        scans: most scans of a progressive JPEG.
        tiles: most tiles of a JPEG 2000, and tile-parts.
        parts: most code-blocks, and packets, of a JPEG 2000.
        texts: most texts and colour profiles of a PNG.
    """

    file_bytes: int
    side_px: int
    scans: int = 32
    tiles: int = 64
    parts: int = 1 << 14
    texts: int = 4


CREDENTIAL_LIMITS = PictureLimits(file_bytes=64 << 10, side_px=1024)
"""For a picture in a credential, whoever signed it."""
CAMERA_LIMITS = PictureLimits(file_bytes=600 << 10, side_px=1024)
"""For a picture out of the camera of somebody who enrols: as many pixels, at better quality."""
FILE_LIMITS = PictureLimits(
    file_bytes=64 << 20, side_px=12_000, scans=200, tiles=4096, parts=1 << 22, texts=64
)
"""For a picture file that the operator names."""

FORMATS = ("WEBP", "AVIF", "JPEG", "JPEG2000", "PNG")
"""By Pillow's names."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JP2 = b"jP  \r\n\x87\n"
_MAX_RESOLUTIONS = 10
_MAX_LAYERS = 256
_MAX_PIECES = 512
"""Segments, chunks or boxes of a file; a photo has a dozen."""


def sniff(data: bytes) -> str:
    """Return Pillow's name of the format that the first bytes say.

    Raises:
        FaceRejected: none of WEBP, AVIF, JPEG, JPEG2000 and PNG.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and b"avif" in data[8:40]:
        return "AVIF"
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:4] == b"\xff\x4f\xff\x51" or data[4:12] == _JP2:
        return "JPEG2000"
    if data[:8] == _PNG:
        return "PNG"
    raise _invalid("not a WebP, AVIF, JPEG, JPEG 2000 or PNG picture")


def check_header(data: bytes, limits: PictureLimits) -> str:
    """Refuse what a decoder would choke on.

    Args:
        data: the file.
        limits: what is refused.

    Returns:
        Pillow's name of the format.

    Raises:
        FaceRejected: `reference_invalid`.
    """
    if len(data) > limits.file_bytes:
        raise _invalid(f"picture file has {len(data)} bytes, allowed are {limits.file_bytes}")
    kind = sniff(data)
    try:
        _CHECKS[kind](data, limits)
    except (struct.error, IndexError, EOFError):
        raise _invalid(f"{kind} header is cut off") from None
    return kind


def check_size(width: int, height: int, limits: PictureLimits) -> None:
    """Refuse a picture without pixels or with too many a side.

    Raises:
        FaceRejected: `reference_invalid`.
    """
    if not (0 < width <= limits.side_px and 0 < height <= limits.side_px):
        raise _invalid(f"picture is {width}x{height}, allowed are {limits.side_px} a side")


def _count(number: int) -> None:
    if number >= _MAX_PIECES:
        raise _invalid(f"picture has more than {_MAX_PIECES} segments")


# -- JPEG ---------------------------------------------------------------------------------------


def _check_jpeg(data: bytes, limits: PictureLimits) -> None:
    if data.count(b"\xff\xda") > limits.scans:  # in coded data a zero follows each 0xff
        raise _invalid(f"JPEG has more than {limits.scans} scans")
    at = 2
    for number in range(_MAX_PIECES + 1):
        _count(number)
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == 0xFFFF:  # a fill byte
            at += 1
            continue
        if marker in (0xFFC0, 0xFFC1, 0xFFC2):
            _, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            check_size(width, height, limits)
            if not 1 <= components <= 4:
                raise _invalid(f"JPEG has {components} components")
            return
        if marker < 0xFFC0 or marker in _NO_PHOTO or length < 2:
            raise _invalid(f"JPEG with marker {marker:#x} before its frame")
        at += 2 + length


_NO_PHOTO = {0xFFC3, *range(0xFFC5, 0xFFC8), *range(0xFFC9, 0xFFCC), *range(0xFFCD, 0xFFDB)}
"""Lossless, hierarchical and arithmetic frames, restarts, a second start, an end, a scan."""


# -- PNG ----------------------------------------------------------------------------------------


def _check_png(data: bytes, limits: PictureLimits) -> None:
    length, name, width, height = struct.unpack_from(">I4sII", data, 8)
    if name != b"IHDR" or length != 13:
        raise _invalid("PNG does not begin with its header")
    check_size(width, height, limits)
    at, texts = 8, 0
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"acTL":
            raise _invalid("picture is animated")
        texts += name in (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
        if texts > limits.texts:
            raise _invalid(f"PNG has more than {limits.texts} texts and profiles")
        if name == b"IEND":
            return
        at += 12 + length
    raise EOFError


# -- WebP ---------------------------------------------------------------------------------------


def _check_webp(data: bytes, limits: PictureLimits) -> None:
    """Judge canvas and frame (RFC 9649, 2.5 to 2.7)."""
    canvas: tuple[int, int] | None = None
    at = 12
    for number in range(_MAX_PIECES + 1):
        _count(number)
        name, length = struct.unpack_from("<4sI", data, at)
        body = at + 8
        if name == b"VP8X" and canvas is None:
            if data[body] & 2:
                raise _invalid("picture is animated")
            if len(data) < body + 10:
                raise EOFError
            sides = [int.from_bytes(data[k : k + 3], "little") + 1 for k in (body + 4, body + 7)]
            canvas = (sides[0], sides[1])
            check_size(*canvas, limits)
        elif name in (b"ANIM", b"ANMF"):
            raise _invalid("picture is animated")
        elif name in (b"VP8L", b"VP8 "):
            frame = _webp_frame(name, data, body)
            check_size(*frame, limits)
            if canvas not in (None, frame):
                raise _invalid("WEBP frame and canvas differ")
            return
        elif canvas is None:
            raise _invalid("WEBP without a picture")
        at = body + length + length % 2


def _webp_frame(name: bytes, data: bytes, body: int) -> tuple[int, int]:
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, body + 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, body + 6)
    return width & 0x3FFF, height & 0x3FFF


# -- JPEG 2000 ----------------------------------------------------------------------------------

_SOC, _SIZ, _COD, _COC, _PPM, _PPT = 0xFF4F, 0xFF51, 0xFF52, 0xFF53, 0xFF60, 0xFF61
_SOT, _SOD, _EOC = 0xFF90, 0xFF93, 0xFFD9


@dataclass(frozen=True, slots=True)
class _Grid:
    """SIZ: where picture and tiles lie on the reference grid (15444-1, A.5.1)."""

    right: int
    bottom: int
    left: int
    top: int
    tile_w: int
    tile_h: int
    components: int
    tiles: int


def _check_jpeg2000(data: bytes, limits: PictureLimits) -> None:
    at = _codestream(data)
    if struct.unpack_from(">HH", data, at) != (_SOC, _SIZ):
        raise _invalid("JPEG 2000 without a codestream")
    at += 2
    grid = _siz(data, at + 4, limits)
    styled = False
    for number in range(_MAX_PIECES + 1):
        _count(number)
        marker, length = struct.unpack_from(">HH", data, at)
        if marker == _SOT:
            break
        styled |= marker == _COD
        _check_segment(marker, data[at + 4 : at + 2 + length], grid, limits)
        if marker < _SOC or length < 2:
            raise _invalid("JPEG 2000 main header is malformed")
        at += 2 + length
    if not styled:
        raise _invalid("JPEG 2000 coding style is missing or absurd")
    _check_tile_parts(data, at, grid, limits)


def _codestream(data: bytes) -> int:
    """Return where the first codestream begins: past the boxes (15444-1, I.4)."""
    if data[:2] == b"\xff\x4f":
        return 0
    at = 0
    for number in range(_MAX_PIECES + 1):
        _count(number)
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"jp2c":
            return at + (16 if length == 1 else 8)
        if length < 8:
            break
        at += length
    raise _invalid("JPEG 2000 without a codestream")


def _siz(data: bytes, at: int, limits: PictureLimits) -> _Grid:
    fields = struct.unpack_from(">HIIIIIIIIH", data, at)
    _, right, bottom, left, top, tile_w, tile_h, tile_x, tile_y, components = fields
    check_size(right - left, bottom - top, limits)
    if tile_w == 0 or tile_h == 0 or tile_x > left or tile_y > top:
        raise _invalid("JPEG 2000 tiles are malformed")
    tiles = -(-(right - tile_x) // tile_w) * -(-(bottom - tile_y) // tile_h)
    if tiles > limits.tiles or max(right, bottom) > 4 * limits.side_px:
        raise _invalid(f"JPEG 2000 has {tiles} tiles, allowed are {limits.tiles}")
    if not 1 <= components <= 4:
        raise _invalid(f"JPEG 2000 has {components} components")
    sampling = data[at + 36 : at + 36 + 3 * components]
    if len(sampling) < 3 * components or 0 in sampling[1::3] or 0 in sampling[2::3]:
        raise _invalid("JPEG 2000 components are malformed")
    return _Grid(right, bottom, left, top, tile_w, tile_h, components, tiles)


def _check_segment(marker: int, body: bytes, grid: _Grid, limits: PictureLimits) -> None:
    """Judge a segment of the main header or of a tile-part's (A.6)."""
    if marker == _COD:
        own_precincts, _, layers = struct.unpack_from(">BBH", body)
        if not 1 <= layers <= _MAX_LAYERS:
            raise _invalid("JPEG 2000 coding style is missing or absurd")
        _check_style(own_precincts, layers, body[5:], grid, limits)
    elif marker == _COC:  # layers are the whole's
        _check_style(body[1], 1, body[2:], grid, limits)
    elif marker in (_PPM, _PPT):
        raise _invalid("JPEG 2000 with packed headers")


def _check_style(
    own_precincts: int, layers: int, body: bytes, grid: _Grid, limits: PictureLimits
) -> None:
    """Count code-blocks and packets as if all had this style and no tile were cut (A.6.1, B.7)."""
    levels, block_w, block_h = struct.unpack_from(">BBB", body)
    if levels > _MAX_RESOLUTIONS:
        raise _invalid("JPEG 2000 coding style is missing or absurd")
    if block_w > 8 or block_h > 8 or block_w + block_h > 8:
        raise _invalid("JPEG 2000 code-blocks are malformed")
    blocks = packets = 0
    for level in range(levels + 1):
        exponents = body[5 + level] if own_precincts & 1 else 0xFF
        # A precinct of a level above the lowest covers half its sides in each of three bands.
        bands, halved = (3, 1) if level else (1, 0)
        shrink = levels - level
        wide = min(grid.tile_w, grid.right - grid.left) >> shrink
        high = min(grid.tile_h, grid.bottom - grid.top) >> shrink
        precincts = _parts(wide, exponents & 15) * _parts(high, exponents >> 4)
        block = [
            min(size + 2, max(0, exponent - halved))
            for size, exponent in ((block_w, exponents & 15), (block_h, exponents >> 4))
        ]
        blocks += bands * _parts(wide >> halved, block[0]) * _parts(high >> halved, block[1])
        packets += precincts * layers
    many = grid.components * grid.tiles
    if max(blocks, packets) * many > limits.parts:
        raise _invalid("JPEG 2000 has too many code-blocks or packets")


def _parts(length: int, exponent: int) -> int:
    """Return into how many parts of 2**exponent a length falls, wherever it begins."""
    return (length >> exponent) + 2 if length >> exponent else 1


def _check_tile_parts(data: bytes, at: int, grid: _Grid, limits: PictureLimits) -> None:
    """Walk the tile-parts (A.4.2): few, and what their headers say is judged too."""
    parts = 0
    while struct.unpack_from(">H", data, at)[0] == _SOT:
        parts += 1
        if parts > limits.tiles:
            raise _invalid(f"JPEG 2000 has more than {limits.tiles} tile-parts")
        (length,) = struct.unpack_from(">I", data, at + 6)
        inside = at + 12
        for number in range(_MAX_PIECES + 1):
            _count(number)
            marker, size = struct.unpack_from(">HH", data + b"\0\0", inside)
            if marker == _SOD:
                break
            _check_segment(marker, data[inside + 4 : inside + 2 + size], grid, limits)
            if marker < _SOC or size < 2:
                raise _invalid("JPEG 2000 tile-part is malformed")
            inside += 2 + size
        if length == 0:  # up to the end
            return
        if length < 14 or at + length > len(data):
            raise EOFError
        at += length
        if at == len(data):  # without its end marker
            return


# -- AVIF ---------------------------------------------------------------------------------------

_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6}
"""Boxes that hold boxes, and how many bytes of their own come first (ISO/IEC 14496-12)."""


def _check_avif(data: bytes, limits: PictureLimits) -> None:
    boxes = list(_boxes(data, 0, len(data)))
    names = {name for name, _, _ in boxes}
    if b"moov" in names or b"avis" in data[8:12]:
        raise _invalid("picture is animated")
    if b"mdat" not in names and b"idat" not in names:
        raise _invalid("AVIF without a picture")
    sizes = []
    for name, start, end in boxes:
        if name == b"infe" and data[start + 8 : start + 12] in (b"grid", b"iovl"):
            raise _invalid("AVIF is put together of several pictures")
        if name == b"ispe":
            sizes.append(struct.unpack_from(">II", data, start + 4))
        elif name in (b"mdat", b"idat"):
            sizes += coded_sizes(data[start:end])
        elif name == b"av1C":
            sizes += coded_sizes(data[start + 4 : end])
    if not sizes:
        raise _invalid("AVIF does not say its size")
    for width, height in sizes:
        check_size(width, height, limits)


def _boxes(data: bytes, at: int, end: int, depth: int = 0) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of each box's contents, those within others too."""
    for number in range(_MAX_PIECES + 1):
        if at >= end:
            return
        _count(number)
        length, name = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, start)
            start += 8
        stop = at + length if length else end
        if stop < start or stop > end:
            raise EOFError
        yield name, start, stop
        if name in _CONTAINERS and depth < 4:
            own = _CONTAINERS[name]
            if name == b"iinf" and data[start]:  # version 1 counts in 32 bits
                own += 2
            yield from _boxes(data, start + own, stop, depth + 1)
        at = stop


_CHECKS = {
    "WEBP": _check_webp,
    "AVIF": _check_avif,
    "JPEG": _check_jpeg,
    "JPEG2000": _check_jpeg2000,
    "PNG": _check_png,
}


def _invalid(detail: str) -> FaceRejected:
    return FaceRejected(Reason.REFERENCE_INVALID, detail)
