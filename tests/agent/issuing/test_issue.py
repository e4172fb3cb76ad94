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
from tests.support.pilot import NOW


def decoded(png: bytes) -> str:
    image = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    return zxingcpp.read_barcode(image).text


def test_codes_are_alphanumeric_and_read_by_a_decoder(pilot):
    template = issue.face_template(bytes(range(128)), "face-128")
    text = pilot.dynamic(pilot.credential(references=[template]), ticket=pilot.ticket())
    sizes = {}
    for medium, levels in ((issue.Medium.SCREEN, "LMQH"), (issue.Medium.PAPER, "MQH")):
        symbol = issue.qr_symbol(text, medium=medium)
        assert symbol.mode == "alphanumeric"
        assert symbol.error in levels
        sizes[medium] = symbol.version
        assert decoded(issue.qr_png(text, medium=medium, module_px=3)) == text
    assert sizes[issue.Medium.SCREEN] < sizes[issue.Medium.PAPER] <= 25


def test_what_does_not_fit_paper_with_m_goes_there_with_l():
    text = "NI1:" + "A" * 4_000
    assert issue.qr_symbol(text, medium=issue.Medium.PAPER).error == "L"


def test_what_fits_no_symbol_is_told(pilot):
    picture = issue.face_image(b"\xff\xd8\xff" + np.random.default_rng(1).bytes(4000))
    text = pilot.static(pilot.credential(references=[picture]))
    with pytest.raises(ValueError, match="do not fit"):
        issue.qr_symbol(text, medium=issue.Medium.SCREEN)


def test_compression_on_paper_and_only_where_it_helps(pilot):
    plain = base45.decode(pilot.static(compress=True)[4:].encode())
    assert not inflate.is_zlib(plain)
    long = pilot.credential(claims={Claim.SUB: "s" * 400})
    assert not inflate.is_zlib(base45.decode(pilot.static(long)[4:].encode()))
    wordy = pilot.static(long, compress=True)
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


def test_a_finger_that_would_make_the_code_unreadable_stays_in_the_module(pilot):
    fits = issue.finger_template(bytes(issue.MAX_FINGER_BYTES), "r307")
    assert pilot.read(pilot.dynamic(pilot.credential(references=[fits]))).references
    for sign in (pilot.credential, pilot.ticket):
        with pytest.raises(ValueError, match=r"1536 bytes .* stays in the gate's module"):
            sign(references=[fits, issue.finger_template(bytes(1_536), "r503")])


def test_the_public_key_is_enough_to_sign_for_a_phone(pilot):
    public = issue.PublicHolder.from_pem(pilot.holder.key.public_pem())
    signed = {"subject": "42", "issued_at": NOW - 60, "valid_until": NOW + 60, "level": 2}
    card = issue.sign_credential(pilot.city, public, **signed)
    seat = issue.sign_ticket(pilot.rail, public, **signed | {"details": {"train": "G1"}})
    read = pilot.read(pilot.dynamic(card, ticket=seat))
    assert (read.subject, read.business.issuer) == ("42", "rail")
