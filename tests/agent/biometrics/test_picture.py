"""Pictures that an operator names, decoded in process."""

import io

import numpy as np
import pytest
from PIL import Image

from agent.biometrics.errors import FaceRejected
from agent.biometrics.picture import open_picture
from agent.biometrics.picture_header import CREDENTIAL_LIMITS, PictureLimits, sniff
from agent.reason import Reason
from tests.support.pictures import KINDS


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


def test_limits_are_the_callers():
    out = io.BytesIO()
    Image.new("RGB", (2_000, 30)).save(out, "PNG")
    assert open_picture(out.getvalue()).shape == (30, 2_000, 3)
    with pytest.raises(FaceRejected, match="allowed are 1024"):
        open_picture(out.getvalue(), CREDENTIAL_LIMITS)
    with pytest.raises(FaceRejected, match="allowed are 10"):
        open_picture(out.getvalue(), PictureLimits(file_bytes=10, side_px=10))
