"""Aadhaar Secure QR: UIDAI's specimen, all five versions, and broken codes."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from agent.credential import aadhaar as module
from agent.credential import registry
from agent.credential.checks import replay_key
from agent.credential.issuers import Algorithm, IssuerKey, KeySource
from agent.credential.limits import DIGITS, INFLATED_BYTES_AADHAAR, LATEST_TIME
from agent.credential.model import (
    BiometricReference,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    Rejected,
)
from agent.reason import Reason
from tests.support.explained import explained
from tests.support.key_sources import Unfiltered
from tests.support.makers import (
    AADHAAR_FIELDS,
    DAY,
    NOW,
    RULES,
    aadhaar,
    aadhaar_signed,
    codestream,
    ed_key,
    issuer_key,
    rsa_key,
    trust,
    uidai_key,
)
from tests.support.paths import VECTORS, shared

TRUST = trust(uidai_key())


def reason(payload: bytes, keys: KeySource = TRUST, **rules: Any) -> Reason:
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=keys, rules=replace(RULES, **rules))
    return explained(caught.value)


def certificate_key(name: str, *, dated: bool = True) -> IssuerKey:
    """Return a published certificate's key, with its validity as the trust set would pin it."""
    path = VECTORS / "aadhaar" / name
    if not path.exists():
        path = shared(f"vectors/aadhaar/{name}")
    data = path.read_bytes()
    pem = data.startswith(b"-----BEGIN")
    certificate = (x509.load_pem_x509_certificate if pem else x509.load_der_x509_certificate)(data)
    pins = {
        "valid_from": int(certificate.not_valid_before_utc.timestamp()),
        "valid_until": int(certificate.not_valid_after_utc.timestamp()),
    }
    return IssuerKey(
        name,
        name.encode()[:8],
        Algorithm.RS256,
        certificate.public_key(),
        **(pins if dated else {}),
    )


def specimen() -> bytes:
    path = shared("vectors/aadhaar/uidai_official_sample_v1.txt")
    return path.read_bytes().strip()


def test_official_specimen() -> None:
    keys = trust(
        certificate_key("uidai_offline_publickey_26022021.cer"),
        certificate_key("uidai_prod_cdup.cer"),
    )
    credential = registry.read(specimen(), keys=keys, rules=RULES)
    assert credential.issuer == "uidai_prod_cdup.cer"
    assert (credential.kind, credential.level) == (Kind.NATIONAL_ID, Level.BASIC)
    assert credential.issued_at == 1_552_025_647  # 2019-03-08T11:44:07+05:30
    assert credential.birth_date == "1984-01-01"
    assert credential.claims["name"] == "Sumit Kumar"
    assert credential.claims["version"] == 1
    (photo,) = credential.references
    assert (photo.modality, photo.form, photo.subformat) == (Modality.FACE, ReferenceForm.IMAGE, 2)
    assert photo.data.endswith(b"\xff\xd9")
    assert len(photo.data) == 888
    for personal in ("Sumit", "2697", "1984", "Delhi"):
        assert personal not in repr(credential)


def test_specimen_of_a_key_that_is_not_uidais() -> None:
    assert reason(specimen(), trust(certificate_key("testCertificate.pem"))) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("name", ["test.json", "dataInput.json"])
def test_resigned_samples(name: str) -> None:
    key = certificate_key("testCertificate.pem", dated=False)
    payload = json.loads((VECTORS / "aadhaar" / name).read_text())["testQRData"].encode()
    credential = registry.read(payload, keys=trust(key), rules=RULES)
    assert credential.claims["version"] == 2
    assert credential.claims["mobile_last_4"] == "1234"
    assert len(credential.references) == 1


def test_letter_made_while_its_key_was_not_valid() -> None:
    keys = trust(certificate_key("testCertificate.pem"))
    payload = json.loads((VECTORS / "aadhaar" / "dataInput.json").read_text())["testQRData"]
    assert reason(payload.encode(), keys) is Reason.ISSUER_KEY_EXPIRED


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("pack", ["gzip", "zlib"])
@pytest.mark.parametrize("flag", ["0", "1", "2", "3"])
def test_reads(version: int, pack: str, flag: str) -> None:
    payload = aadhaar(aadhaar_signed(version, f0=flag), pack=pack)
    assert registry.sniff(payload) is FormatName.AADHAAR
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert credential.claims["version"] == version
    assert credential.references[0].data == codestream()
    assert credential.valid_until == LATEST_TIME
    assert not credential.dynamic


NAMES = (
    "hashes", "reference_id", "name", "birth_date", "gender", "care_of", "district", "landmark", "house",
    "location", "pin_code", "post_office", "state", "street", "sub_district", "vtc", "mobile_last_4",
)  # fmt: skip


def test_all_that_a_letter_becomes() -> None:
    made = 1_772_950_447  # 2026-03-08T11:44:07+05:30
    fields = dict(zip(NAMES, (*AADHAAR_FIELDS, "1234"), strict=True)) | {"name": "José Kumar"}
    credential = registry.read(aadhaar(aadhaar_signed(f2="José Kumar")), keys=TRUST, rules=RULES)
    same = b"2697\xffJos\xe9 Kumar\xff01-01-1984\xffM"
    assert credential == Credential(
        format=FormatName.AADHAAR,
        issuer="uidai",
        key_id=b"key-1",
        kind=Kind.NATIONAL_ID,
        level=Level.BASIC,
        subject=hashlib.sha256(same).hexdigest(),
        issued_at=made,
        valid_from=made,
        valid_until=LATEST_TIME,
        dynamic=False,
        replay_key=replay_key("uidai", b"269720260308114407437", made),
        references=(
            BiometricReference(Modality.FACE, ReferenceForm.IMAGE, codestream(), subformat=2),
        ),
        birth_date="1984-01-01",
        claims={"version": 2, **fields},
    )


def test_hashes_after_the_photo_may_be_there_from_version_2_too() -> None:
    payload = aadhaar(aadhaar_signed(2, f0="2", tail=b"\x11" * 32))
    assert registry.read(payload, keys=TRUST, rules=RULES).references[0].data == codestream()


@pytest.mark.parametrize(("version", "tail"), [(1, None), (2, b""), (2, b"\x11" * 64)])
def test_code_without_photo_has_no_reference(version: int, tail: bytes | None) -> None:
    payload = aadhaar(aadhaar_signed(version, photo=b"", tail=tail))
    assert registry.read(payload, keys=TRUST, rules=RULES).references == ()


def test_subject_is_the_same_from_letter_to_letter_and_no_personal_data() -> None:
    first, second = (
        registry.read(aadhaar(aadhaar_signed(f1=reference)), keys=TRUST, rules=RULES)
        for reference in ("269720240308114407437", "269720250308114407437")
    )
    assert first.subject == second.subject
    assert first.replay_key != second.replay_key


@pytest.mark.parametrize(
    "change",
    [
        {"f1": "269820260308114407437"}, {"f2": "Sumita Kumar"}, {"f3": "02-01-1984"}, {"f4": "F"},
        {"f2": "Sumit Kumar0", "f3": "1-01-1984"},
    ],
    ids=["last digits", "name", "birth date", "gender", "no field runs into the next"],
)  # fmt: skip
def test_subject_of_another_person(change: dict[str, str]) -> None:
    one, other = (
        registry.read(aadhaar(aadhaar_signed(**fields)), keys=TRUST, rules=RULES).subject
        for fields in ({}, change)
    )
    assert one != other


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ("01-01-1984", "1984-01-01"), ("31/12/2001", "2001-12-31"), ("1984", "1984"), ("0000", None), ("19841", None), ("198", None),
        ("\xb9984", None), ("31-02-1984", None), ("", None),
        ("01.01.1984", None), ("1-1-1984", None), ("01-01-19840", None), ("001-01-1984", None),
    ],
)  # fmt: skip
def test_birth_date(printed: str, expected: str | None) -> None:
    credential = registry.read(aadhaar(aadhaar_signed(f3=printed)), keys=TRUST, rules=RULES)
    assert credential.birth_date == expected


def number(data: bytes) -> bytes:
    return str(int.from_bytes(data, "big")).encode()


def signed_bytes() -> bytes:
    body = aadhaar_signed()
    return body + rsa_key().sign(body, padding.PKCS1v15(), hashes.SHA256())


def bomb(size: int, pack: str) -> bytes:
    data = bytes(size)
    packed = gzip.compress(data, mtime=0) if pack == "gzip" else zlib.compress(data, 9)
    # A bomb is small; bytes after its end make it long enough to be sniffed as a code.
    return number(packed + bytes(600 - len(packed)) if len(packed) < 600 else packed)


def letter(size: int) -> bytes:
    """Return a signed part that fills so many bytes together with its signature."""
    fields = aadhaar_signed(photo=b"")
    return fields + b"\xff\x4f\xff\x51" + bytes(size - 256 - 6 - len(fields)) + b"\xff\xd9"


@pytest.mark.parametrize("pack", ["gzip", "zlib"])
def test_unpacks_to_64_kib_and_no_more(pack: str) -> None:
    whole, more = (
        aadhaar(letter(size), pack=pack)
        for size in (INFLATED_BYTES_AADHAAR, INFLATED_BYTES_AADHAAR + 1)
    )
    assert registry.read(whole, keys=TRUST, rules=RULES).references
    assert reason(more) is Reason.TOO_LARGE


def pss() -> bytes:
    return rsa_key().sign(
        aadhaar_signed(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )


BROKEN: dict[str, tuple[Callable[[], bytes], Reason]] = {
    "leading zero": (lambda: b"0" + aadhaar(), Reason.MALFORMED),
    "neither gzip nor zlib": (lambda: aadhaar(pack="none"), Reason.MALFORMED),
    "zip bomb, zlib": (lambda: bomb(1_500_000, "zlib"), Reason.TOO_LARGE),
    "zip bomb, gzip": (lambda: bomb(1_500_000, "gzip"), Reason.TOO_LARGE),
    "just over the limit": (lambda: bomb(INFLATED_BYTES_AADHAAR + 1, "zlib"), Reason.TOO_LARGE),
    "cut short": (lambda: number(gzip.compress(signed_bytes(), mtime=0)[:-4]), Reason.MALFORMED),
    "checksum wrong": (lambda: number(gzip.compress(signed_bytes(), mtime=0)[:-5] + bytes(5)), Reason.MALFORMED),
    "bytes after the stream": (lambda: number(zlib.compress(signed_bytes()) + b"\0"), Reason.MALFORMED),
    "a second gzip member": (
        lambda: number(gzip.compress(signed_bytes(), mtime=0) + gzip.compress(b"more", mtime=0)),
        Reason.MALFORMED,
    ),
    "no room for a signature": (lambda: number(zlib.compress(bytes(range(256)), 0)), Reason.UNSIGNED),
    "room for a signature of nearly nothing": (
        lambda: number(zlib.compress(bytes(range(256)) + b"\0", 0)),
        Reason.BAD_SIGNATURE,
    ),
    "first byte one": (lambda: number(b"\1" + bytes(600)), Reason.MALFORMED),
    "first byte 255": (lambda: number(b"\xff" + bytes(600)), Reason.MALFORMED),
    "key of another": (lambda: aadhaar(key=rsa_key(1)), Reason.BAD_SIGNATURE),
    "signature with PSS": (lambda: aadhaar(signature=pss()), Reason.BAD_SIGNATURE),
    "signature zero": (lambda: aadhaar(signature=bytes(256)), Reason.BAD_SIGNATURE),
    "signature one": (lambda: aadhaar(signature=bytes(255) + b"\1"), Reason.BAD_SIGNATURE),
    "signature over the modulus": (lambda: aadhaar(signature=b"\xff" * 256), Reason.BAD_SIGNATURE),
    "name changed": (
        lambda: aadhaar(
            aadhaar_signed(f2="Another"),
            signature=rsa_key().sign(aadhaar_signed(), padding.PKCS1v15(), hashes.SHA256()),
        ),
        Reason.BAD_SIGNATURE,
    ),
    "signature over SHA-1": (
        lambda: aadhaar(signature=rsa_key().sign(aadhaar_signed(), padding.PKCS1v15(), hashes.SHA1())),
        Reason.BAD_SIGNATURE,
    ),
    "version 6": (lambda: aadhaar(aadhaar_signed(6)), Reason.MALFORMED),
    "version 1 spelled out": (lambda: aadhaar(b"V1\xff" + aadhaar_signed(1)), Reason.MALFORMED),
    "version without its end": (lambda: aadhaar(b"V2" + aadhaar_signed(2)[3:]), Reason.MALFORMED),
    "version with another end": (lambda: aadhaar(b"V2:" + aadhaar_signed(2)[3:]), Reason.MALFORMED),
    "flag 4": (lambda: aadhaar(aadhaar_signed(f0="4", tail=b"")), Reason.MALFORMED),
    "flag of two digits": (lambda: aadhaar(aadhaar_signed(f0="03")), Reason.MALFORMED),
    "flag empty": (lambda: aadhaar(aadhaar_signed(f0="")), Reason.MALFORMED),
    "fields missing": (lambda: aadhaar(b"V2\xff3\xff269720260308114407437\xff"), Reason.MALFORMED),
    "no name": (lambda: aadhaar(aadhaar_signed(f2="")), Reason.MALFORMED),
    "photo of another kind": (lambda: aadhaar(aadhaar_signed(photo=b"\xff\xd8\xff\xd9")), Reason.MALFORMED),
    "photo cut short": (lambda: aadhaar(aadhaar_signed(photo=codestream()[:-2])), Reason.MALFORMED),
    "hashes missing in version 1": (lambda: aadhaar(aadhaar_signed(1, tail=b"")), Reason.MALFORMED),
    "more hashes than the flag says": (lambda: aadhaar(aadhaar_signed(f0="2", tail=bytes(64))), Reason.MALFORMED),
    "fewer hashes than the flag says": (lambda: aadhaar(aadhaar_signed(tail=bytes(32))), Reason.MALFORMED),
    "hashes cut short after a photo that ends early": (
        lambda: aadhaar(aadhaar_signed(1, photo=b"\xff\x4f\xff\x51\xff\xd9", tail=bytes(29))),
        Reason.MALFORMED,
    ),
    "bytes after the photo": (lambda: aadhaar(aadhaar_signed(tail=b"\0")), Reason.MALFORMED),
    "reference id too short": (lambda: aadhaar(aadhaar_signed(f1="2697")), Reason.MALFORMED),
    "reference id of 20 digits": (lambda: aadhaar(aadhaar_signed(f1="2697202603081144074")), Reason.MALFORMED),
    "reference id of 22 digits": (lambda: aadhaar(aadhaar_signed(f1="2697202603081144074370")), Reason.MALFORMED),
    "reference id with letters": (lambda: aadhaar(aadhaar_signed(f1="2697" + "x" * 17)), Reason.MALFORMED),
    "reference id with other digits": (lambda: aadhaar(aadhaar_signed(f1="\xb2" * 21)), Reason.MALFORMED),
    "month 13": (lambda: aadhaar(aadhaar_signed(f1="269720261308114407437")), Reason.BAD_TIME),
    "before 1970": (lambda: aadhaar(aadhaar_signed(f1="269719690308114407437")), Reason.BAD_TIME),
    "year 0": (lambda: aadhaar(aadhaar_signed(f1="269700000308114407437")), Reason.BAD_TIME),
    "made in future": (lambda: aadhaar(aadhaar_signed(f1="269720270308114407437")), Reason.NOT_YET_VALID),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_refused(case: str) -> None:
    make, expected = BROKEN[case]
    assert reason(make()) is expected


def test_time_out_of_range_is_named() -> None:
    with pytest.raises(Rejected, match="bad_time: the reference id's time is no time"):
        module.read(BROKEN["before 1970"][0](), TRUST, RULES)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"1" * DIGITS, Reason.MALFORMED),
        (b"1" * (DIGITS + 1), Reason.TOO_LARGE),
        (b"-12", Reason.MALFORMED),
        (b"", Reason.MALFORMED),
    ],
    ids=["longest", "longer", "no digit", "empty"],
)
def test_refused_without_being_recognised_first(payload: bytes, expected: Reason) -> None:
    with pytest.raises(Rejected) as caught:
        module.read(payload, TRUST, RULES)
    assert explained(caught.value) is expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (uidai_key(valid_until=NOW - 90 * DAY), Reason.ISSUER_KEY_EXPIRED),
        (uidai_key(kinds=frozenset({Kind.EVENT_TICKET})), Reason.ISSUER_NOT_ENTITLED),
        (uidai_key(formats=frozenset({FormatName.CLAIM169})), Reason.UNKNOWN_ISSUER),
        (uidai_key(is_root=True), Reason.UNKNOWN_ISSUER),
        (issuer_key(rsa_key()), Reason.UNKNOWN_ISSUER),
        (issuer_key(ed_key()), Reason.UNKNOWN_ISSUER),
        (uidai_key(rsa_key(2, 3072)), Reason.UNKNOWN_ISSUER),
        (issuer_key(ed_key(), algorithm=Algorithm.RS256), Reason.UNKNOWN_ISSUER),
    ],
    ids=[
        "over", "other kinds", "other formats", "root", "pinned to PS256", "EdDSA", "RSA-3072", "no RSA key",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "source", [trust, lambda key: Unfiltered([key])], ids=["set", "unfiltered"]
)
def test_refused_by_trust(source: Any, key: IssuerKey, expected: Reason) -> None:
    assert reason(aadhaar(), source(key)) is expected


def test_eight_keys_are_tried_in_turn() -> None:
    other = uidai_key(rsa_key(1), kid=b"other")
    keys = Unfiltered([*[other] * 7, uidai_key()])
    assert registry.read(aadhaar(), keys=keys, rules=RULES).key_id == b"key-1"
    assert reason(aadhaar(), Unfiltered([*[other] * 8, uidai_key()])) is Reason.BAD_SIGNATURE


def test_key_over_today_was_valid_when_the_letter_was_made() -> None:
    keys = trust(uidai_key(valid_until=NOW - DAY))
    assert registry.read(aadhaar(), keys=keys, rules=RULES).issuer == "uidai"


def test_clock_untrusted_denies() -> None:
    assert reason(aadhaar(), clock_trusted=False) is Reason.CLOCK_UNTRUSTED


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"4006381333931", False), (b"1" * 616, False), (b"1" * 617, True), (b"1" * DIGITS, True),
        (b"1" * (DIGITS + 1), False), (b"1" * 617 + b"A", False),
    ],
    ids=["barcode", "no room for a signature", "least", "most", "too long", "no number"],
)  # fmt: skip
def test_sniff(payload: bytes, expected: bool) -> None:
    assert module.sniff(payload) is expected


def packed_size(code: bytes) -> int:
    """Return how many bytes a code's digits stand for."""
    head = min(len(code), 4_000)
    return ((int(code[:head]) * 10 ** (len(code) - head)).bit_length() + 7) // 8


def packed_to(size: int, pack: str) -> bytes:
    """Return a code whose packed bytes are so many, by a photo that does not compress."""
    noise = random.Random(7).randbytes(size)

    def with_photo(length: int) -> bytes:
        photo = b"\xff\x4f\xff\x51" + noise[:length] + b"\xff\xd9"
        return aadhaar(aadhaar_signed(photo=photo), pack=pack)

    length = size - 700
    code = with_photo(length + size - packed_size(with_photo(length)))
    assert packed_size(code) == size
    return code


@pytest.mark.parametrize(
    ("size", "pack", "digits"),
    [(1_786, "gzip", 4_301), (2_000, "zlib", 4_816), (2_944, "gzip", DIGITS)],
)
def test_as_long_as_a_symbol_holds(size: int, pack: str, digits: int) -> None:
    """Beyond what Python makes a number of at once, up to the largest QR code of digits."""
    code = packed_to(size, pack)
    assert abs(len(code) - digits) <= 3
    assert registry.sniff(code) is FormatName.AADHAAR
    credential = registry.read(code, keys=TRUST, rules=RULES)
    assert len(credential.references[0].data) > size - 700


def test_the_longest_is_exactly_as_long() -> None:
    assert len(packed_to(2_944, "gzip")) == DIGITS
    over = packed_to(2_944, "zlib")
    assert len(over) == DIGITS + 1
    assert reason(over) is Reason.TOO_LARGE


def test_no_limit_on_long_numbers_is_met() -> None:
    code, before = packed_to(2_944, "gzip"), sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)  # the least that Python takes
    try:
        assert registry.read(code, keys=TRUST, rules=RULES).issuer == "uidai"
    finally:
        sys.set_int_max_str_digits(before)


def test_repr_of_a_letter_names_nobody() -> None:
    letter = module.parse(aadhaar_signed())
    assert repr(letter) == "Letter(version=2, issued_at=1772950447)"
