"""What others wrote is, byte for byte, what they published, with its licence beside it."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.support.paths import ROOT

VENDOR = ROOT / "agent/wallet/vendor"
HASHES = dict(
    re.findall(
        r"^\| `([^`]+)` \|.*\| `([0-9a-f]{64})` \|$",
        (VENDOR / "README.md").read_text(),
        re.MULTILINE,
    )
)


def test_each_vendored_file_is_listed():
    found = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert found == {*HASHES, "README.md"}


@pytest.mark.parametrize("name", sorted(HASHES))
def test_each_vendored_file_is_as_it_was_published(name):
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == HASHES[name]


@pytest.mark.parametrize(
    ("name", "licence"), [("lean-qr", "MIT License"), ("jsqr", "Apache License")]
)
def test_the_licence_travels_with_it(name, licence):
    assert licence in (VENDOR / name / "LICENSE").read_text()
