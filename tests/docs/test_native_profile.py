"""The profile's page is held against the numbers and limits that the reader uses."""

from __future__ import annotations

import re

import pytest

from agent.biometrics.picture_header import CREDENTIAL_LIMITS
from agent.credential import limits, registry
from agent.credential.algorithms import ALGORITHMS
from agent.credential.needs import OLDEST, WORDS
from agent.credential.numbers import (
    KB_TYP,
    KINDS,
    MAKERS,
    SD_CWT_TYP,
    SHA_256,
    VCT_PREFIX,
    Alg,
    Claim,
    Header,
)
from agent.issuing import issue, symbol
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "native-profile.md").read_text(encoding="utf-8")


def test_private_numbers():
    section = PAGE.partition("## Private numbers")[2]
    table = re.findall(r"^\| (-?\d+) \| ", section, flags=re.MULTILINE)
    ours = {int(claim) for claim in Claim if claim < -65536}
    ours |= {int(Alg.SM2_SM3), issue.FACE_TEMPLATE, issue.FINGER_TEMPLATE}
    assert {int(number) for number in table} == ours


def test_algorithms():
    line = next(line for line in PAGE.splitlines() if line.startswith("alg = "))
    assert {int(number) for number in re.findall(r"-\d+", line)} == set(ALGORITHMS)


@pytest.mark.parametrize(
    "words",
    [
        f"at most {limits.PAYLOAD_BYTES:,} characters",
        f"unpack to {limits.INFLATED_BYTES // 1024} KiB",
        f"more than {limits.CBOR_DEPTH} containers",
        f"more than {limits.CBOR_ITEMS} items",
        f"time = 0..{limits.LATEST_TIME}",
        f".size (1..{limits.IDENTIFIER_BYTES})",
        f"site keys in turn, {limits.SITE_KEYS} at most",
        f"16: {KB_TYP}",
        f"16: {SD_CWT_TYP}",
        f"{Header.SD_ALG:d}: {SHA_256}",
        f"{Header.SD_CLAIMS:d}: [1*{limits.SD_DISCLOSURES} bstr]",
        f"{limits.SD_DIGESTS} digests and {limits.SD_DISCLOSURES} disclosures at most",
        (
            f"its first {limits.SHORT_KID_BYTES} are enough, and every key that begins so is tried "
            f"({limits.ISSUER_KEYS} at most)"
        ),
        f"1..{OLDEST} => true",
        (
            f"a code {symbol.CODE_MM} mm wide, a camera that sees {symbol.VIEW_DEGREES} degrees with "
            f"{symbol.CAMERA_PX:,} pixels, {symbol.MODULE_PX} of them a module"
        ),
        f'"{VCT_PREFIX}"',
    ],
)
def test_limits(words):
    assert words in PAGE


def test_kinds_by_number():
    table = PAGE.partition("## Kinds of version 2")[2].partition("\n## ")[0]
    named = {
        int(number): kind for number, kind in re.findall(r"\| (\d+)[^|]* \| `([a-z-]+)`", table)
    }
    assert named == {number: str(kind) for number, kind in KINDS.items()}


def test_makers_by_number():
    line = next(line for line in PAGE.splitlines() if "the issuer may be a number" in line)
    assert {int(n): name for n, name in re.findall(r"(\d+) is `([\w-]+)`", line)} == MAKERS


def test_needs():
    line = next(line for line in PAGE.splitlines() if line.startswith("A place asks with"))
    assert [*re.findall(r"`([a-zN-]+)`", line)] == [*WORDS, "age-N"]


def test_distances():
    rows = {
        name: cells.split("|")
        for name, cells in re.findall(r"^\| ([QRr]\S* [^|]*) \|(.*)\|$", PAGE, re.MULTILINE)
    }
    for versions, distances in zip(
        rows["QR on a screen, was and is"], rows["read from about, was and is"], strict=True
    ):
        computed = [
            symbol.reading_distance_mm(int(each)) // 10 for each in re.findall(r"(\d+)-L", versions)
        ]
        assert computed == [int(each) for each in re.findall(r"(\d+) cm", distances)]


def test_times_are_the_rules_defaults():
    rules = registry.ReadRules(now=0, clock_trusted=True, site="s", gate="g")
    assert f"from {rules.max_future_s} s before to {rules.max_age_s} s after" in PAGE


def test_the_table_of_biometrics():
    assert f"| 1, a template of a face | {issue.FACE_TEMPLATE} |" in PAGE
    assert f"| 1, a template of a finger | {issue.FINGER_TEMPLATE} |" in PAGE
    side, size = CREDENTIAL_LIMITS.side_px, CREDENTIAL_LIMITS.file_bytes
    assert f"at most {size >> 10} KiB and {side:,} pixels a side" in PAGE
    named = re.search(r"\| 0, a picture \(faces\) \| (.*?);", PAGE)
    pictures = {"PNG": b"\x89PNG", "JPEG": b"\xff\xd8\xff", "AVIF": b"....ftypavif",
                "WEBP": b"RIFF....WEBP"}  # fmt: skip
    for name, data in pictures.items():
        assert f"{issue.face_image(data).subformat} {name}" in named[1].split(", ")
