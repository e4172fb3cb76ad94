"""Codes before the desk's webcam, by the real sandboxes."""

from __future__ import annotations

import io

import pytest
import segno

from agent.desk.scanning import CodeReader, ScanningError


@pytest.fixture(scope="module")
def reader():
    made = CodeReader()
    yield made
    made.close()


def png(text) -> bytes:
    out = io.BytesIO()
    segno.make_qr(text, error="l").save(out, kind="png", scale=4, border=4)
    return out.getvalue()


def test_codes_are_read_one_after_another(reader):
    assert [reader.read(png(f"NI1:{number}")) for number in range(3)] == [
        ["NI1:0"], ["NI1:1"], ["NI1:2"],
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff" + bytes(99), b"x" * (300 << 10)])
def test_file_that_is_no_picture_holds_no_code(reader, data):
    assert reader.read(data) == []


def test_text_that_is_not_ascii_is_none_of_ours(reader):
    assert reader.read(png("ünï")) == []


def test_closed_is_closed():
    made = CodeReader()
    made.close()
    made.close()
    with pytest.raises(ScanningError, match="closing"):
        made.read(png("x"))
