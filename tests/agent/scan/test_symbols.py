"""What is on the code itself: kinds of symbols, and how each is read or refused (docs/formats.md)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import segno
import zxingcpp
from numpy.typing import NDArray

from agent.scan.cascade import Cascade
from agent.scan.decoders import Decoders
from agent.scan.sequence import is_part
from tests.support.paths import ROOT
from tests.support.stills import decode_still

Luma = NDArray[np.uint8]
TEXT = "NI1:" + "A1B2C3 $%*" * 6


def printed(code: Any, px: int = 6) -> Luma:
    modules = np.pad(np.array([list(row) for row in code.matrix], np.uint8), 4)
    return np.kron(1 - modules, np.full((px, px), 255, np.uint8))


def made(kind: str, **options: Any) -> Luma:
    """Draw a symbol that segno does not make."""
    code = zxingcpp.create_barcode(
        options.pop("text", "1234567890"), getattr(zxingcpp.BarcodeFormat, kind), **options
    )
    return np.pad(np.array(code.to_image(scale=6)), 30, constant_values=255)


def live(decoders: Decoders, picture: Luma) -> list[bytes]:
    return [p.data for p in Cascade(decoders, retry=False).decode(picture, turn=0)[0]]


def still(decoders: Decoders, picture: Luma) -> list[bytes]:
    return [p.data for p in decode_still(decoders, picture)[0]]


PLAIN = printed(segno.make_qr(TEXT))
READ = {
    "inverted": (255 - PLAIN, TEXT.encode()),
    "mirrored": (np.ascontiguousarray(PLAIN[:, ::-1]), TEXT.encode()),
    "mirrored and inverted": (np.ascontiguousarray(255 - PLAIN[::-1]), TEXT.encode()),
    "upside down": (np.ascontiguousarray(PLAIN[::-1, ::-1]), TEXT.encode()),
    "ECI UTF-8": (
        printed(segno.make_qr("größe", encoding="utf-8", eci=True)),
        "größe".encode(),
    ),
    "ECI Shift JIS": (
        printed(segno.make_qr("漢字", encoding="shift_jis", eci=True)),
        "漢字".encode("shift_jis"),
    ),
    "kanji": (printed(segno.make_qr("漢字点茗", mode="kanji")), "漢字点茗".encode("shift_jis")),
    "mixed segments": (
        printed(segno.make_qr([("0123456789", 1), ("ABC-", 2), (b"\xff\x00", 4)])),
        b"0123456789ABC-\xff\x00",
    ),
    "FNC1 in first position": (
        made("QRCode", text="(01)04012345678901(10)ABC", gs1=True),
        b"010401234567890110ABC",
    ),
}
REFUSED = {
    "micro QR": printed(segno.make_micro("12345"), 8),
    "rMQR": made("RMQRCode"),
    "Aztec": made("Aztec"),
    "Data Matrix": made("DataMatrix"),
}


@pytest.mark.parametrize("name", READ)
def test_read_live_and_still(decoders: Decoders, name: str) -> None:
    picture, data = READ[name]
    assert live(decoders, picture) == [data]
    assert still(decoders, picture) == [data]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_live_and_still(decoders: Decoders, name: str) -> None:
    assert live(decoders, REFUSED[name]) == []
    assert still(decoders, REFUSED[name]) == []


def test_model_1_is_refused(decoders: Decoders, monkeypatch: pytest.MonkeyPatch) -> None:
    """No encoder of today makes one: the decoder is made to say that it saw one."""
    corner = SimpleNamespace(x=1, y=2)
    seen = SimpleNamespace(
        format=zxingcpp.BarcodeFormat.QRCodeModel1,
        bytes=b"NI1:OLD",
        valid=True,
        extra={},
        position=SimpleNamespace(
            top_left=corner, top_right=corner, bottom_right=corner, bottom_left=corner
        ),
    )
    monkeypatch.setattr(decoders, "_read", lambda *_, **__: [seen])
    assert decoders._zxing(PLAIN) == ()
    seen.format = zxingcpp.BarcodeFormat.QRCode
    assert [p.data for p in decoders._zxing(PLAIN)] == [b"NI1:OLD"]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_part_of_a_sequence_is_no_payload(
    decoders: Decoders, number: int, mirrored: bool
) -> None:
    parts = segno.make_sequence(TEXT * 3, symbol_count=3, mode="alphanumeric")
    picture = printed(parts[number])
    if mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
    assert live(decoders, picture) == []
    assert still(decoders, picture) == []


def test_a_whole_sequence_in_view_is_refused_and_a_code_beside_it_read(decoders: Decoders) -> None:
    parts = [printed(p) for p in segno.make_sequence(TEXT * 3, symbol_count=2)]
    assert still(decoders, np.hstack(parts)) == []
    high = max(len(PLAIN), len(parts[0]))
    beside = [
        np.pad(p, ((0, high - len(p)), (0, 0)), constant_values=255) for p in (parts[0], PLAIN)
    ]
    assert still(decoders, np.hstack(beside)) == [TEXT.encode()]


@pytest.mark.parametrize("mask", range(8))
@pytest.mark.parametrize("error", list("LMQH"))
def test_parts_are_told_by_every_mask_and_level(error: str, mask: int) -> None:
    one = segno.make_qr("A1A1A1", error=error, mask=mask, boost_error=False)
    parts = segno.make_sequence(
        "ABCDEF1" * 4, symbol_count=2, error=error, mask=mask, boost_error=False
    )
    for code, part in ((one, False), (parts[0], True), (parts[1], True)):
        for picture in (printed(code), np.ascontiguousarray(printed(code)[::-1])):
            (result,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
            assert is_part(result) is part


def test_a_whole_code_is_no_part_whatever_module_is_misread() -> None:
    """Also the four that say how the data begins."""
    modules = 1 - printed(segno.make_qr(TEXT, error="h"), 1) // 255
    side = len(modules) - 8
    for y, x in ((-1, -1), (-1, -2), (-2, -1), (-2, -2)):
        changed = modules.copy()
        changed[4 + side + y, 4 + side + x] ^= 1
        picture = np.kron(1 - changed, np.full((6, 6), 255, np.uint8))
        (result,) = zxingcpp.read_barcodes(picture, formats=zxingcpp.BarcodeFormat.QRCode)
        assert bytes(result.bytes) == TEXT.encode()
        assert not is_part(result)


def test_the_formats_page_has_a_line_for_each() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    section = page.split("## What is on the code itself", 1)[1].split("\n## ", 1)[0].lower()
    for word in (
        "inverted", "mirrored", "structured append", "micro qr", "rmqr", "model 1", "aztec",
        "data matrix", "fnc1", "eci", "kanji", "mixed segments",
    ):  # fmt: skip
        assert f"| {word}" in section or f", {word}" in section, word
