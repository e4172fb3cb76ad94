"""Pictures that are made to break their decoders: headers that lie, bombs, headers put together by hand."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

__all__ = [
    "BOMBS",
    "KINDS",
    "UNCHECKED",
    "avif",
    "cod",
    "encode",
    "jp2",
    "jpeg2000",
    "png",
    "png_chunk",
    "progressive",
    "repeat_scans",
    "segment",
    "tile_part",
    "webp",
]

KINDS: dict[str, dict[str, object]] = {
    "WEBP": {"quality": 30},
    "AVIF": {"quality": 40},
    "JPEG": {"quality": 60},
    "JPEG2000": {"quality_mode": "rates", "quality_layers": [8]},
    "PNG": {},
}


def png_chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(width: int, height: int, body: bytes = b"", *, first: bytes = b"") -> bytes:
    """Return a PNG with chunks before its data."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + first
        + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")
    )  # fmt: skip


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">HH", marker, len(body) + 2) + body


def tile_part(
    data: bytes = bytes(64), header: bytes = b"", *, part: int = 0, length: int = -1
) -> bytes:
    """Return a tile-part of tile 0."""
    whole = 12 + len(header) + 2 + len(data)
    sot = struct.pack(">HIBB", 0, whole if length < 0 else length, part, 0)
    return segment(0xFF90, sot) + header + b"\xff\x93" + data


def cod(*, levels: int = 5, layers: int = 1, block: int = 4, precincts: bytes = b"") -> bytes:
    style = bytes([bool(precincts), 0]) + struct.pack(">HB", layers, 0)
    return segment(0xFF52, style + bytes([levels, block, block, 0, 1]) + precincts)


def jpeg2000(
    width: int,
    height: int,
    *,
    tile: tuple[int, int] | None = None,
    components: int = 3,
    offset: int = 0,
    style: bytes | None = None,
    before: bytes = b"",
    tiles: bytes | None = None,
    **coding: object,
) -> bytes:
    """Return a codestream.

    Args:
        before: segments between size and coding style.
        style: instead of the coding style that `coding` describes.
        tiles: instead of one tile-part without sense.
    """
    tile_w, tile_h = tile or (width, height)
    siz = struct.pack(
        ">HIIIIIIIIH", 0, width, height, offset, offset, tile_w, tile_h, 0, 0, components
    )
    levels = coding.get("levels", 5)
    assert isinstance(levels, int)
    head = segment(0xFF51, siz + bytes((7, 1, 1)) * components) + before
    head += cod(**coding) if style is None else style  # type: ignore[arg-type]
    qcd = segment(0xFF5C, b"\x40" * (3 * levels + 2))
    return b"\xff\x4f" + head + qcd + (tile_part() if tiles is None else tiles) + b"\xff\xd9"


def jp2(codestream: bytes, *, before: bytes = b"") -> bytes:
    """Return a JP2 file with boxes before the codestream's."""

    def box(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), name) + content

    ihdr = box(b"ihdr", struct.pack(">IIHBBBB", 64, 64, 3, 7, 7, 0, 0))
    return (
        box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", ihdr)
        + before + box(b"jp2c", codestream)
    )  # fmt: skip


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP"
    for name, content in chunks:
        body += name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encode(kind: str, width: int, height: int, **how: object) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (9, 99, 200)).save(out, kind, **how)
    return out.getvalue()


def progressive(side: int = 64) -> bytes:
    return encode("JPEG", side, side, progressive=True)


def repeat_scans(jpeg: bytes, many: int) -> bytes:
    """Return a progressive JPEG with one of its scans repeated."""
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[:start] + jpeg[start:-2] * many + jpeg[-2:]


def avif(side: int = 64, *, says: int | None = None, **how: object) -> bytes:
    """Return an AVIF, and have its box say another size than its frame's."""
    data = bytearray(encode("AVIF", side, side, speed=10, quality=1, **how))
    if says is not None:
        at = data.find(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", says, says)
    return bytes(data)


def _animation(kind: str) -> bytes:
    out = io.BytesIO()
    frames = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 100, 200)]
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


TEXT = zlib.compress(bytes(1000 << 10), 9)
ROWS = zlib.compress((b"\0" + bytes(64 * 3)) * 64, 9)
TINY = b"\x11" * 6
STYLE_INSIDE = cod(precincts=TINY)

BOMBS: dict[str, tuple[bytes, str]] = {
    "png of 60,000 pixels": (png(60_000, 60_000, zlib.compress(bytes(10_000))), "60000x60000"),
    "png of no pixels": (png(0, 0), "0x0"),
    "png with texts that unpack to 12 MiB": (
        png(64, 64, ROWS, first=png_chunk(b"zTXt", b"a\0\0" + TEXT) * 12), "texts"),
    "png with international texts": (
        png(64, 64, ROWS, first=png_chunk(b"iTXt", b"a\0\1\0\0\0" + TEXT) * 12), "texts"),
    "png with colour profiles": (
        png(64, 64, ROWS, first=png_chunk(b"iCCP", b"a\0\0" + TEXT) * 12), "texts"),
    "png animation": (_animation("PNG"), "animated"),
    "png that ends in a chunk": (png(64, 64, ROWS)[:60], "cut off"),
    "png that begins with its data": (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IDAT", bytes(40)), "begin"),
    "jpeg 2000 of 60,000 pixels": (jpeg2000(60_000, 60_000), "60000x60000"),
    "jpeg 2000 of a million tiles": (jpeg2000(1000, 1000, tile=(1, 1)), "1000000 tiles"),
    "jpeg 2000 without tiles": (jpeg2000(64, 64, tile=(0, 0)), "tiles are malformed"),
    "jpeg 2000 of 16,000 components": (jpeg2000(64, 64, components=16_000), "16000 components"),
    "jpeg 2000 of 33 resolutions": (jpeg2000(64, 64, levels=32), "coding style"),
    "jpeg 2000 of 65,535 layers": (jpeg2000(64, 64, layers=65_535), "coding style"),
    "jpeg 2000 of no layers": (jpeg2000(64, 64, layers=0), "coding style"),
    "jpeg 2000 of huge code-blocks": (jpeg2000(64, 64, block=9), "code-blocks"),
    "jpeg 2000 of tiny code-blocks": (jpeg2000(1024, 1024, block=0), "too many"),
    "jpeg 2000 of tiny precincts": (jpeg2000(1024, 1024, precincts=TINY), "too many"),
    "jpeg 2000 of precincts of a pixel": (jpeg2000(1024, 1024, precincts=bytes(6)), "too many"),
    "jpeg 2000 of tiny precincts at the finest": (
        jpeg2000(1024, 1024, precincts=b"\xff" * 5 + b"\x11"), "too many"),
    "jpeg 2000 of tiny precincts in few tiles": (
        jpeg2000(1024, 1024, tile=(256, 256), precincts=TINY), "too many"),
    "jpeg 2000 of many packets": (
        jpeg2000(1024, 1024, layers=256, precincts=b"\x77" * 6), "too many"),
    "jpeg 2000 far from its origin": (jpeg2000(2**31, 2**31, offset=2**31 - 64), "tiles"),
    "jpeg 2000 cut in its size": (jpeg2000(64, 64)[:20], "cut off"),
    "jpeg 2000 with a calm style in a comment": (
        jpeg2000(1024, 1024, before=segment(0xFF64, b"\0\0" + cod()), precincts=TINY), "too many"),
    "jpeg 2000 with its style in a comment only": (
        jpeg2000(64, 64, style=segment(0xFF64, b"\0\0" + cod())), "coding style"),
    "jpeg 2000 with a component's own style": (
        jpeg2000(1024, 1024, before=segment(0xFF53, b"\0\1\5\4\4\0\1" + TINY)), "too many"),
    "jpeg 2000 with packed headers": (
        jpeg2000(64, 64, before=segment(0xFF60, bytes(7))), "packed headers"),
    "jpeg 2000 with packed headers of a tile": (
        jpeg2000(64, 64, tiles=tile_part(header=segment(0xFF61, bytes(7)))), "packed headers"),
    "jpeg 2000 with a tile's own style": (
        jpeg2000(1024, 1024, tiles=tile_part(header=STYLE_INSIDE)), "too many"),
    "jpeg 2000 with the second part's own style": (
        jpeg2000(1024, 1024, tiles=tile_part() + tile_part(header=STYLE_INSIDE, part=1)), "too many"),
    "jpeg 2000 with a component's own style in a tile": (
        jpeg2000(1024, 1024, tiles=tile_part(
            header=segment(0xFF53, b"\0\1\5\4\4\0\1" + TINY))), "too many"),
    "jpeg 2000 with an absurd style in a tile": (
        jpeg2000(64, 64, tiles=tile_part(header=cod(levels=20))), "absurd"),
    "jpeg 2000 with no segment in a tile's header": (
        jpeg2000(64, 64, tiles=tile_part(header=bytes(4))), "tile-part is malformed"),
    "jpeg 2000 of 300 tile-parts": (jpeg2000(64, 64, tiles=tile_part(b"") * 300), "tile-parts"),
    "jpeg 2000 whose tile-part is of no length": (
        jpeg2000(64, 64, tiles=tile_part(length=1)), "cut off"),
    "jpeg 2000 whose tile-part is longer than the file": (
        jpeg2000(64, 64, tiles=tile_part(length=1 << 30)), "cut off"),
    "jpeg 2000 of 600 segments": (jpeg2000(64, 64, before=segment(0xFF64, b"") * 600), "segments"),
    "jp2 with a calm codestream in a box before": (
        jp2(jpeg2000(1024, 1024, precincts=TINY),
            before=struct.pack(">I4s", 300, b"uuid") + jpeg2000(64, 64).ljust(292, b"\0")), "too many"),
    "jp2 without a codestream": (jp2(b"")[:-8] + struct.pack(">I4s", 4, b"free"), "without a codestream"),
    "webp canvas of 16 million pixels a side": (
        webp((b"VP8X", bytes((0, 0, 0, 0)) + b"\xff\xff\xff" * 2)), "16777216x16777216"),
    "webp frame larger than its canvas": (
        webp((b"VP8X", bytes((0, 0, 0, 0)) + b"\x1f\0\0" * 2),
             (b"VP8 ", bytes(6) + b"\0\2\0\2" + bytes(40))), "differ"),
    "webp lossless of 16,384 pixels": (
        webp((b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(40))), "16384x16384"),
    "webp lossy of 16,383 pixels": (
        webp((b"VP8 ", bytes(6) + b"\xff\x3f\xff\x3f" + bytes(40))), "16383x16383"),
    "webp animation": (webp((b"VP8X", b"\x02" + bytes(40))), "animated"),
    "webp animation that does not say so": (
        webp((b"VP8X", bytes((0, 0, 0, 0)) + b"\x1f\0\0" * 2), (b"ANIM", bytes(6))), "animated"),
    "webp animation of Pillow's": (_animation("WEBP"), "animated"),
    "webp without a picture": (webp((b"EXIF", bytes(40))), "without a picture"),
    "jpeg of 3,000 scans": (repeat_scans(progressive(), 3_000), "scans"),
    "jpeg of 65,535 pixels": (
        progressive().replace(struct.pack(">BHH", 8, 64, 64), struct.pack(">BHH", 8, 65535, 65535), 1),
        "65535x65535"),
    "jpeg without a frame": (b"\xff\xd8" + segment(0xFFDA, bytes(8)), "before its frame"),
    "jpeg with arithmetic coding": (
        progressive().replace(b"\xff\xc2", b"\xff\xca", 1), "before its frame"),
    "jpeg of 255 components": (
        progressive().replace(struct.pack(">HHB", 64, 64, 3), struct.pack(">HHB", 64, 64, 255), 1),
        "255 components"),
    "jpeg that ends in a segment": (b"\xff\xd8\xff\xe0\x01\x00", "cut off"),
    "avif whose box says 2048": (avif(says=2048), "2048x2048"),
    "avif whose frame is 2048 and whose box says 64": (avif(2048, says=64), "2048x2048"),
    "avif put together of tiles": (avif().replace(b"av01Color", b"gridColor"), "several pictures"),
    "avif animation": (_animation("AVIF"), "animated"),
    "avif without a picture": (avif()[:32], "without a picture"),
    "a gif": (b"GIF89a" + bytes(100), "not a WebP"),
    "a tiff": (b"II*\0" + bytes(100), "not a WebP"),
    "a heic": (b"\0\0\0\x18ftypheic" + bytes(100), "not a WebP"),
    "a script": (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(100), "not a WebP"),
    "nothing": (b"", "not a WebP"),
    "a large file": (b"\xff\xd8\xff" + bytes(70_000), "70003 bytes"),
}  # fmt: skip
"""Name -> the file, and what the header's check says of it."""

UNCHECKED = {
    name: data for name, (data, _) in BOMBS.items()
    if name not in ("a gif", "a tiff", "a heic", "a script", "nothing", "a large file")
}  # fmt: skip
"""Those that have a decoder, which must not be harmed by them even where nobody looked first."""
