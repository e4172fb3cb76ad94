"""Picture files: formats, orientation, transparency, bombs and rubbish."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from agent.scan.picture import PictureError, load_luma, load_reduced


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


@pytest.fixture
def gradient() -> np.ndarray:
    return np.tile(np.arange(200, dtype=np.uint8), (100, 1))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "gif", "pgm"])
def test_formats(tmp_path, gradient, suffix):
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(gradient).save(path)
    luma = load_luma(path)
    assert (luma.shape, luma.dtype) == ((100, 200), np.uint8)
    assert np.abs(luma.astype(int) - gradient).mean() < 3


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_exif_orientation_is_applied(tmp_path, gradient, orientation, turns):
    path = tmp_path / "phone.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(gradient).save(path, exif=exif)
    assert (load_luma(path) == np.rot90(gradient, turns)).all()


def test_what_is_transparent_is_white(tmp_path):
    path = tmp_path / "clear.png"
    picture = np.zeros((10, 10, 4), dtype=np.uint8)
    picture[:5, :, 3] = 255
    Image.fromarray(picture, "RGBA").save(path)
    luma = load_luma(path)
    assert (luma[:5] == 0).all()
    assert (luma[5:] == 255).all()


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((4, 4), 0x8000, dtype=np.uint16)).save(path)
    assert (load_luma(path) == 0x80).all()


def test_a_large_picture_is_reduced_and_says_by_how_much(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (8192, 1000), 50).save(path)
    luma, scale = load_reduced(path)
    assert luma.shape == (500, 4096)
    assert scale == pytest.approx(2)


REFUSED = {
    "bomb": (
        png_header(30_000, 30_000) + png_chunk(b"IDAT", zlib.compress(bytes(9))),
        "megapixels",
    ),
    "giant": (png_header(2**31 - 1, 2**31 - 1), "not a picture"),
    "text": (b"this is no picture\n", "not a picture"),
    "cut short": (
        png_header(100, 100)
        + png_chunk(b"IDAT", zlib.compress(bytes(50)))
        + png_chunk(b"IEND", b""),
        "broken picture",
    ),
    "empty": (b"", "not a picture"),
    "header only": (png_header(10, 10), "not a picture"),
    "a TIFF": (b"II*\0\x08\0\0\0\0\0", "not a picture"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_refusals_are_one_line_with_the_name(tmp_path, content, why):
    path = tmp_path / "hostile.png"
    path.write_bytes(content)
    with pytest.raises(PictureError, match=why) as refusal:
        load_luma(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    """Were it unpacked, 900 MB would be asked for; the header alone is judged."""
    import tracemalloc

    path = tmp_path / "bomb.png"
    path.write_bytes(REFUSED["bomb"][0])
    tracemalloc.start()
    try:
        with pytest.raises(PictureError):
            load_luma(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_what_is_no_file_is_refused(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)  # opening it would wait for ever
    for path, why in (
        (tmp_path, "not a file"),
        (fifo, "not a file"),
        (Path("/dev/zero"), "not a file"),
        (tmp_path / "missing.png", "No such file"),
    ):
        with pytest.raises(PictureError, match=why):
            load_luma(path)


def test_a_file_over_the_limit_is_not_opened(tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    with pytest.raises(PictureError, match="64 MiB"):
        load_luma(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "PPM"]),
    at=st.floats(0, 1),
    junk=st.binary(min_size=1, max_size=40),
)
def test_a_damaged_picture_is_read_or_refused(tmp_path, kind, at, junk):
    path = tmp_path / "damaged"
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).save(path, kind)
    content = bytearray(path.read_bytes())
    place = int(at * (len(content) - 1))
    content[place : place + len(junk)] = junk
    path.write_bytes(content)
    try:
        luma = load_luma(path)
    except PictureError:
        return
    assert luma.ndim == 2
    assert luma.dtype == np.uint8
