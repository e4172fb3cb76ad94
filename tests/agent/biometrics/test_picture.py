"""Hostile pictures: one reason, before anything is allocated for them."""

import io
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.biometrics.errors import FaceRejected
from agent.biometrics.picture import (
    CREDENTIAL_LIMITS,
    FILE_LIMITS,
    PictureLimits,
    open_picture,
    sniff,
)
from agent.reason import Reason

KINDS = {
    "WEBP": {"quality": 30},
    "AVIF": {"quality": 40},
    "JPEG": {"quality": 60},
    "JPEG2000": {"quality_mode": "rates", "quality_layers": [8]},
    "PNG": {},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [32, 48, 64])
def test_small_photos_of_each_format_are_read(astronaut, encoded, kind, side):
    import cv2

    small = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_AREA)
    data = encoded(small, kind, **KINDS[kind])
    assert sniff(data) == kind
    picture = open_picture(data)
    assert picture.shape == (side, side, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.writeable, "it can be overwritten after use"
    assert np.abs(picture.astype(int) - small).mean() < 28


def test_a_bare_jpeg2000_codestream_is_read(astronaut, encoded):
    data = encoded(astronaut[::5, ::5], "JPEG2000", no_jp2=True)
    assert data[:4] == b"\xff\x4f\xff\x51"
    assert open_picture(data).shape == (44, 44, 3)


def test_grey_transparent_and_turned_pictures_become_upright_rgb():
    grey = Image.new("L", (40, 30), 90)
    clear = Image.new("RGBA", (40, 30), (255, 0, 0, 0))
    turned = Image.new("RGB", (40, 30), (1, 2, 3))
    exif = turned.getexif()
    exif[0x0112] = 6
    cases = [
        (grey, {}, (30, 40), 90),
        (clear, {}, (30, 40), 128),
        (turned, {"exif": exif}, (40, 30), 1),
    ]
    for image, how, shape, red in cases:
        out = io.BytesIO()
        image.save(out, "PNG", **how)
        picture = open_picture(out.getvalue())
        assert picture.shape == (*shape, 3)
        assert picture[0, 0, 0] == red


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_refused(astronaut, encoded, kind, part):
    data = encoded(astronaut, kind, **KINDS[kind])
    with pytest.raises(FaceRejected) as refused:
        open_picture(data[: int(len(data) * part)])
    assert refused.value.reason is Reason.REFERENCE_INVALID


def test_a_corrupt_webp_is_refused(astronaut, encoded):
    data = bytearray(encoded(astronaut, "WEBP", quality=30))
    data[20:60] = bytes(255 - value for value in data[20:60])
    with pytest.raises(FaceRejected, match="reference_invalid"):
        open_picture(bytes(data))


def png(width, height, body=b""):
    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def jpeg2000(width, height, *, tile=None, components=3, resolutions=5, offset=0):
    tile_w, tile_h = tile or (width, height)
    siz = (
        struct.pack(
            ">HHIIIIIIIIH",
            38 + 3 * components,
            0,
            width,
            height,
            offset,
            offset,
            tile_w,
            tile_h,
            0,
            0,
            components,
        )
        + bytes((7, 1, 1)) * components
    )
    cod = b"\xff\x52" + struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, resolutions, 4, 4, 0, 1)
    qcd = b"\xff\x5c" + struct.pack(">HB", 3 + 1, 0x40) + b"\x00"
    return b"\xff\x4f\xff\x51" + siz + cod + qcd + b"\xff\xd9"


def webp(chunk, content):
    body = b"WEBP" + chunk + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", len(body)) + body


def scans(jpeg, many):
    """Return a progressive JPEG with one of its scans repeated."""
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[:start] + jpeg[start:-2] * many + jpeg[-2:]


def progressive():
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (9, 99, 200)).save(out, "JPEG", progressive=True)
    return out.getvalue()


BOMBS = {
    "png of 60,000 pixels": (png(60_000, 60_000, zlib.compress(bytes(10_000))), "DecompressionBomb"),
    "png of no pixels": (png(0, 0), "PNG|0x0"),
    "jpeg 2000 of 60,000 pixels": (jpeg2000(60_000, 60_000), "60000x60000"),
    "jpeg 2000 of a million tiles": (jpeg2000(1000, 1000, tile=(1, 1)), "1000000 tiles"),
    "jpeg 2000 without tiles": (jpeg2000(64, 64, tile=(0, 0)), "tiles are malformed"),
    "jpeg 2000 of 16,000 components": (jpeg2000(64, 64, components=16_000), "16000 components"),
    "jpeg 2000 of 33 resolutions": (jpeg2000(64, 64, resolutions=32), "coding style"),
    "jpeg 2000 far from its origin": (jpeg2000(2**31, 2**31, offset=2**31 - 64), "tiles"),
    "jpeg 2000 cut in its size": (jpeg2000(64, 64)[:20], "cut off"),
    "webp canvas of 16 million pixels a side": (
        webp(b"VP8X", bytes((0, 0, 0, 0)) + b"\xff\xff\xff" * 2), "16777216x16777216",
    ),
    "webp lossless of 16,384 pixels": (webp(b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(40)), "16384x16384"),
    "webp lossy of 16,383 pixels": (webp(b"VP8 ", bytes(6) + b"\xff\x3f\xff\x3f" + bytes(40)), "16383x16383"),
    "webp animation": (webp(b"VP8X", b"\x02" + bytes(40)), "animated"),
    "webp without a picture": (webp(b"EXIF", bytes(40)), "without a picture"),
    "jpeg of 5,000 scans": (scans(progressive(), 3_000), "scans"),
    "a gif": (b"GIF89a" + bytes(100), "not a WebP"),
    "a script": (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(100), "not a WebP"),
    "nothing": (b"", "not a WebP"),
    "a large file": (b"\xff\xd8\xff" + bytes(70_000), "70003 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_for_what_they_are(name):
    data, message = BOMBS[name]
    with pytest.raises(FaceRejected, match=message) as refused:
        open_picture(data)
    assert refused.value.reason is Reason.REFERENCE_INVALID


def test_an_animation_of_pillows_own_making_is_refused():
    frames = [Image.new("RGB", (32, 32), (shade, 0, 0)) for shade in (0, 100, 200)]
    for kind in ("WEBP", "AVIF", "PNG"):
        out = io.BytesIO()
        frames[0].save(out, kind, save_all=True, append_images=frames[1:])
        with pytest.raises(FaceRejected, match="animated"):
            open_picture(out.getvalue())


def test_bombs_take_no_memory(tmp_path):
    """All bombs in a process that may have 400 MiB; the decoders alone would take gigabytes."""
    for number, (data, _) in enumerate(BOMBS.values()):
        (tmp_path / f"{number}.bin").write_bytes(data)
    script = """
import pathlib, sys
from agent.biometrics.errors import FaceRejected
from agent.biometrics.picture import open_picture
import PIL.Image
PIL.Image.init()
refused = 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        open_picture(path.read_bytes())
    except FaceRejected as error:
        assert "MemoryError" not in str(error)
        refused += 1
print(refused)
"""
    bound = 400 << 20
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (bound, bound)),
    )
    assert done.stdout.strip() == str(len(BOMBS)), done.stderr


def test_limits_are_the_callers():
    out = io.BytesIO()
    Image.new("RGB", (2_000, 30)).save(out, "PNG")
    assert open_picture(out.getvalue(), FILE_LIMITS).shape == (30, 2_000, 3)
    with pytest.raises(FaceRejected, match="allowed are 1024"):
        open_picture(out.getvalue(), CREDENTIAL_LIMITS)
    with pytest.raises(FaceRejected, match="allowed are 10"):
        open_picture(out.getvalue(), PictureLimits(file_bytes=10, side_px=10))


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 2**32 - 1), flips=st.integers(1, 30)
)
def test_damaged_pictures_are_read_or_refused_and_nothing_else(
    astronaut, encoded, kind, seed, flips
):
    data = bytearray(encoded(astronaut[::4, ::4], kind, **KINDS[kind]))
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(data), flips):
        data[place] = int(rng.integers(0, 256))
    try:
        picture = open_picture(bytes(data))
    except FaceRejected:
        return
    assert max(picture.shape[:2]) <= CREDENTIAL_LIMITS.side_px
