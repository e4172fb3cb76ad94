"""Codes as a phone shows them: what fits, what is compressed, what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import zxingcpp
from PIL import Image

from agent.credential import base45, inflate
from agent.credential.model import FormatName
from agent.credential.numbers import Claim
from agent.issuing import issue


def decoded(png: bytes) -> str:
    image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    return zxingcpp.read_barcode(image).text


def test_codes_are_alphanumeric_and_read_by_a_decoder(pilot):
    template = issue.face_template(bytes(range(128)), "face-128")
    text = pilot.dynamic(pilot.credential(references=[template]), ticket=pilot.ticket())
    symbol = issue.qr_symbol(text)
    assert symbol.mode == "alphanumeric"
    assert symbol.error in {"L", "M"}
    assert symbol.version <= 25
    assert decoded(issue.qr_png(text, module_px=3)) == text


def test_what_fits_no_symbol_is_told(pilot):
    picture = issue.face_image(b"\xff\xd8\xff" + np.random.default_rng(1).bytes(4000))
    with pytest.raises(ValueError, match="do not fit"):
        issue.qr_symbol(pilot.static(pilot.credential(references=[picture])))


def test_compression_only_where_it_helps(pilot):
    plain = base45.decode(pilot.static()[4:].encode())
    assert not inflate.is_zlib(plain)
    wordy = pilot.static(pilot.credential(claims={Claim.SUB: "s" * 400}))
    assert inflate.is_zlib(base45.decode(wordy[4:].encode()))
    assert len(wordy) < 700
    assert pilot.read(wordy).format is FormatName.NATIVE


@pytest.mark.parametrize(
    ("data", "subformat"),
    [
        (b"\x89PNG\r\n", 0),
        (b"\xff\xd8\xff\xe0", 1),
        (b"\x00\x00\x00\x1cftypavif", 3),
        (b"RIFF\x00\x00\x00\x00WEBP", 4),
    ],
)
def test_face_pictures_by_their_first_bytes(data, subformat):
    assert issue.face_image(data).subformat == subformat


def test_a_picture_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="PNG, JPEG, WEBP or AVIF"):
        issue.face_image(b"GIF89a")


def test_a_dynamic_code_needs_its_time_and_a_static_one_no_challenge(pilot):
    with pytest.raises(ValueError, match="time"):
        issue.present(pilot.credential(), pilot.holder)
    with pytest.raises(ValueError, match="dynamic"):
        issue.present(pilot.credential(), challenge=b"n")
