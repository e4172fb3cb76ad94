"""The ride code with two SM2 signatures: what it proves, and every way to break it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.credential import registry, sm2, sm2_openssl, transit
from agent.credential.checks import replay_key
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import Credential, FormatName, Kind, Level, Rejected
from agent.reason import Reason
from tests.support.explained import explained
from tests.support.makers import (
    CA,
    CA_NAME,
    DAY,
    HOUR,
    ISSUER,
    NOW,
    RULES,
    Ride,
    ca_key,
    ec_key,
    issuer_key,
    trust,
)

TRUST = trust(ca_key())


def reason(payload: bytes, keys: tuple[IssuerKey, ...] = (), **rules: object) -> Reason:
    with pytest.raises(Rejected) as caught:
        registry.read(payload, keys=trust(*keys) if keys else TRUST, rules=replace(RULES, **rules))
    return explained(caught.value)


@pytest.mark.parametrize("version", [0x80, 0x81])
@pytest.mark.parametrize("custom", [b"", b"line 10", bytes(32)])
def test_reads(version: int, custom: bytes) -> None:
    payload = Ride(version=version, custom=custom).code()
    assert len(payload) == 332 + len(custom)
    assert registry.sniff(payload) is FormatName.TRANSIT
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert (credential.issuer, credential.kind) == ("transport-ca", Kind.TRANSIT_CODE)
    assert (credential.level, credential.dynamic) == (Level.BASIC, True)
    assert (credential.presented_at, credential.issued_at) == (NOW - 5, None)
    assert credential.valid_until == NOW + DAY
    assert credential.subject == "01023456:3104170000012345"
    assert credential.claims["amount_limit_fen"] == 20_000
    assert "3104170000012345" not in repr(credential)


def test_all_that_a_code_becomes() -> None:
    subject = "01023456:3104170000012345"
    assert registry.read(Ride().code(), keys=TRUST, rules=RULES) == Credential(
        format=FormatName.TRANSIT,
        issuer="transport-ca",
        key_id=CA_NAME,
        kind=Kind.TRANSIT_CODE,
        level=Level.BASIC,
        subject=subject,
        issued_at=None,
        valid_from=0,
        valid_until=NOW + DAY,
        dynamic=True,
        presented_at=NOW - 5,
        replay_key=replay_key("transport-ca", subject.encode(), NOW - 5),
        claims={
            "payment_account": "3104170000012345",
            "card_account": bytes(10).hex(),
            "issuer": "01023456",
            "platform": "00000001",
            "account_type": 1,
            "amount_limit_fen": 20_000,
            "custom": b"line 10".hex(),
        },
    )


@pytest.mark.parametrize("backend", ["libcrypto", "python"])
def test_reads_with_either_verifier(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backend == "python":
        monkeypatch.setattr(sm2_openssl, "load", lambda: None)
    assert sm2.backend() == backend
    assert registry.read(Ride().code(), keys=TRUST, rules=RULES).dynamic
    assert reason(Ride(holder=5, holder_key=sm2.compress(sm2.public_key(6))).code()) is (
        Reason.BAD_HOLDER_SIGNATURE
    )


def test_two_codes_of_one_account_are_two_uses_of_one_subject() -> None:
    first, second = (
        registry.read(Ride(generated_at=NOW - age).code(), keys=TRUST, rules=RULES)
        for age in (5, 6)
    )
    assert first.subject == second.subject
    assert first.replay_key != second.replay_key
    again = registry.read(Ride().code(), keys=TRUST, rules=RULES)
    assert again.replay_key == first.replay_key


def flipped(payload: bytes, position: int) -> bytes:
    return payload[:position] + bytes([payload[position] ^ 1]) + payload[position + 1 :]


BROKEN: dict[str, tuple[Callable[[], bytes], Reason]] = {
    # lengths and shape
    "cut short": (lambda: Ride().code()[:-1], Reason.MALFORMED),
    "only a header": (lambda: Ride().code()[:4], Reason.MALFORMED),
    "trailing byte": (lambda: Ride().code() + b"\0", Reason.MALFORMED),
    "trailing byte that the length covers": (lambda: Ride(tail=b"\0").code(), Reason.MALFORMED),
    "length too small": (lambda: Ride(length=300).code(), Reason.MALFORMED),
    "length huge": (lambda: Ride(length=0xFFFF).code(), Reason.MALFORMED),
    "custom data over 32 bytes": (lambda: Ride(custom=bytes(33)).code(), Reason.MALFORMED),
    "custom length past the end": (lambda: Ride(custom_length=255).code(), Reason.MALFORMED),
    "custom length too small": (lambda: Ride(custom_length=1).code(), Reason.MALFORMED),
    "issuer signature's tag": (lambda: Ride(tags=b"\x14\x15").code(), Reason.MALFORMED),
    "holder signature's tag": (lambda: Ride(tags=b"\x15\x14").code(), Reason.MALFORMED),
    "account not ASCII": (lambda: Ride(payment_account=b"\xe5" * 16).code(), Reason.MALFORMED),
    "account with control characters": (
        lambda: Ride(payment_account=b"31041700\n0012345").code(),
        Reason.MALFORMED,
    ),
    "certificate of another format": (
        lambda: Ride().code()[:9] + b"\x13" + Ride().code()[10:],
        Reason.MALFORMED,
    ),
    "certificate for another algorithm": (
        lambda: Ride(certificate_algorithms=b"\x01\x04\x00\x21").code(),
        Reason.ALGORITHM_MISMATCH,
    ),
    "certificate by another algorithm": (
        lambda: Ride(certificate_algorithms=b"\x04\x01\x00\x21").code(),
        Reason.ALGORITHM_MISMATCH,
    ),
    "certificate's key length": (
        lambda: Ride(certificate_algorithms=b"\x04\x04\x00\x20").code(),
        Reason.MALFORMED,
    ),
    "issuer's key no point": (
        lambda: Ride(certificate_key=b"\x02" + b"\xff" * 32).code(),
        Reason.MALFORMED,
    ),
    "holder's key no point": (
        lambda: Ride(holder_key=b"\x05" + bytes(32)).code(),
        Reason.MALFORMED,
    ),
    "account with a space": (lambda: Ride(payment_account=b"310417000001234 ").code(), Reason.MALFORMED),
    "account with DEL": (lambda: Ride(payment_account=b"310417000001234\x7f").code(), Reason.MALFORMED),
    "expiry's year no digits": (lambda: Ride(certificate_expiry=b"\x12\x3a").code(), Reason.MALFORMED),
    "expiry no digits": (lambda: Ride(certificate_expiry=b"\x1a\x30").code(), Reason.MALFORMED),
    "expiry in month 13": (lambda: Ride(certificate_expiry=b"\x13\x30").code(), Reason.MALFORMED),
    "expiry in month 0": (lambda: Ride(certificate_expiry=b"\x00\x30").code(), Reason.MALFORMED),
    # signatures
    "certificate by another CA": (lambda: Ride(ca=4).code(), Reason.BAD_SIGNATURE),
    "certificate by itself": (lambda: Ride(ca=ISSUER).code(), Reason.BAD_SIGNATURE),
    "issuer id changed": (lambda: flipped(Ride().code(), 3 + 8), Reason.BAD_SIGNATURE),
    "issuer by another key": (
        lambda: Ride(issuer=9, certificate_key=sm2.compress(sm2.public_key(ISSUER))).code(),
        Reason.BAD_SIGNATURE,
    ),
    "account changed": (lambda: flipped(Ride().code(), 3 + 117), Reason.BAD_SIGNATURE),
    "authorisation prolonged": (lambda: flipped(Ride().code(), 3 + 188), Reason.BAD_SIGNATURE),
    "validity prolonged": (lambda: flipped(Ride().code(), 3 + 192), Reason.BAD_SIGNATURE),
    "generated later than signed": (
        lambda: flipped(Ride().code(), 332 + 7 - 65 - 1),
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "holder is another": (
        lambda: Ride(holder=5, holder_key=sm2.compress(sm2.public_key(6))).code(),
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "holder's signature zero": (
        lambda: Ride().code()[:-64] + bytes(64),
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "version changed": (
        lambda: b"\x81" + Ride().code()[1:],
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "unknown CA key": (
        lambda: Ride(certificate_head=b"\x24" + bytes(5)).code(),
        Reason.UNKNOWN_ISSUER,
    ),
    # time
    "certificate over": (lambda: Ride(certificate_expiry=b"\x04\x26").code(), Reason.ISSUER_KEY_EXPIRED),
    "authorisation over": (lambda: Ride(authorised_until=NOW - 1).code(), Reason.EXPIRED),
    "authorised until a second ago, and stale": (
        lambda: Ride(authorised_until=NOW - 1, generated_at=NOW - 100).code(),
        Reason.EXPIRED,
    ),
    "too old by a second": (lambda: Ride(generated_at=NOW - 61).code(), Reason.STALE),
    "issuer allows hours, the gate does not": (
        lambda: Ride(generated_at=NOW - 301, validity_s=65_535).code(),
        Reason.STALE,
    ),
    "8 hours behind": (lambda: Ride(generated_at=NOW - 8 * HOUR).code(), Reason.STALE),
    "8 hours ahead": (lambda: Ride(generated_at=NOW + 8 * HOUR).code(), Reason.ISSUED_IN_FUTURE),
    "ahead by too much": (lambda: Ride(generated_at=NOW + 6).code(), Reason.ISSUED_IN_FUTURE),
    "far future": (lambda: Ride(generated_at=2**32 - 1).code(), Reason.ISSUED_IN_FUTURE),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_refused(case: str) -> None:
    make, expected = BROKEN[case]
    assert reason(make()) is expected


def test_every_single_byte_counts() -> None:
    payload = Ride().code()
    for position in range(4, len(payload)):
        assert reason(flipped(payload, position)) in {
            Reason.MALFORMED,
            Reason.UNKNOWN_ISSUER,
            Reason.ALGORITHM_MISMATCH,
            Reason.BAD_SIGNATURE,
            Reason.BAD_HOLDER_SIGNATURE,
        }


@pytest.mark.parametrize(
    ("age_s", "validity_s"), [(60, 60), (0, 0), (-5, 30), (300, 65_535)], ids=str
)
def test_fresh_to_the_last_second(age_s: int, validity_s: int) -> None:
    payload = Ride(generated_at=NOW - age_s, validity_s=validity_s).code()
    assert registry.read(payload, keys=TRUST, rules=RULES).presented_at == NOW - age_s


def test_authorised_to_the_last_second() -> None:
    payload = Ride(authorised_until=NOW).code()
    assert registry.read(payload, keys=TRUST, rules=RULES).valid_until == NOW


@pytest.mark.parametrize("account", [b"!104170000012345", b"310417000001234~"])
def test_account_of_every_printable_character(account: bytes) -> None:
    payload = Ride(payment_account=account).code()
    credential = registry.read(payload, keys=TRUST, rules=RULES)
    assert credential.subject == f"01023456:{account.decode()}"


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("0127", 1_801_411_199),  # 2027-01-31T23:59:59+08:00
        ("0228", 1_835_452_799),  # 2028-02-29T23:59:59+08:00
        ("1299", 4_102_415_999),  # 2099-12-31T23:59:59+08:00
    ],
)
def test_certificate_expires_with_a_month(digits: str, expected: int) -> None:
    code = transit.parse(Ride(certificate_expiry=bytes.fromhex(digits)).code())
    assert code.certificate.valid_until == expected


def test_certificate_lasts_to_the_end_of_its_month_in_china() -> None:
    last = 1_790_783_999  # 2026-09-30T23:59:59+08:00
    for now, expected in ((last, None), (last + 1, Reason.ISSUER_KEY_EXPIRED)):
        payload = Ride(
            certificate_expiry=b"\x09\x26", generated_at=now, authorised_until=now + DAY
        ).code()
        rules = replace(RULES, now=now)
        if expected is None:
            assert registry.read(payload, keys=TRUST, rules=rules).valid_until == last
        else:
            assert reason(payload, now=now) is expected


def test_clock_untrusted_denies() -> None:
    assert reason(Ride().code(), clock_trusted=False) is Reason.CLOCK_UNTRUSTED


KEYS: dict[str, tuple[IssuerKey, Reason]] = {
    "CA not for this format": (
        ca_key(formats=frozenset({FormatName.CLAIM169})),
        Reason.UNKNOWN_ISSUER,
    ),
    "CA for any format is not named for this one": (
        ca_key(formats=frozenset()),
        Reason.UNKNOWN_ISSUER,
    ),
    "CA pinned to another algorithm": (
        issuer_key(
            ec_key(),
            kid=CA_NAME,
            is_root=True,
            formats=frozenset({FormatName.TRANSIT}),
        ),
        Reason.UNKNOWN_ISSUER,
    ),
    "issuer's key pinned as no root": (ca_key(ISSUER, is_root=False), Reason.UNKNOWN_ISSUER),
    "CA with another name": (ca_key(kid=b"\0\0\0\x0a\x02"), Reason.UNKNOWN_ISSUER),
    "CA over": (ca_key(valid_until=NOW - 1), Reason.ISSUER_KEY_EXPIRED),
    "CA not begun": (ca_key(valid_from=NOW + 1), Reason.ISSUER_KEY_EXPIRED),
    "CA for other kinds": (
        ca_key(kinds=frozenset({Kind.NATIONAL_ID})),
        Reason.ISSUER_NOT_ENTITLED,
    ),
}


@pytest.mark.parametrize("case", KEYS)
def test_refused_by_trust(case: str) -> None:
    key, expected = KEYS[case]
    assert reason(Ride().code(), (key,)) is expected


def replaced(payload: bytes, position: int, value: int) -> bytes:
    return payload[:position] + bytes([value]) + payload[position + 1 :]


SAID: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "malformed: 0 bytes"),
    "a byte short": (lambda: bytes(331), "malformed: 331 bytes"),
    "a byte long": (lambda: bytes(365), "malformed: 365 bytes"),
    "shortest": (lambda: bytes(332), "malformed: unknown version"),
    "longest": (lambda: bytes(364), "malformed: unknown version"),
    "version": (lambda: replaced(Ride().code(), 0, 0x82), "malformed: unknown version"),
    "certificate's tag": (
        lambda: replaced(Ride().code(), 3, 0x25),
        "malformed: not an issuer's certificate",
    ),
    "custom length": (lambda: Ride(custom_length=255).code(), "malformed: cut short"),
    "issuer's key": (
        lambda: Ride(certificate_key=b"\x02" + b"\xff" * 32).code(),
        "malformed: the issuer's key is no point",
    ),
    "holder's key": (
        lambda: Ride(holder_key=b"\x02" + b"\xff" * 32).code(),
        "malformed: the holder's key is no point",
    ),
    "expiry's month": (
        lambda: Ride(certificate_expiry=b"\x1a\x30").code(),
        "malformed: the certificate's expiry is no month",
    ),
    "expiry's year": (
        lambda: Ride(certificate_expiry=b"\x12\x3a").code(),
        "malformed: the certificate's expiry is no month",
    ),
    "expiry in month 0": (
        lambda: Ride(certificate_expiry=b"\x00\x30").code(),
        "malformed: the certificate's expiry is no month",
    ),
    "expiry in month 13": (
        lambda: Ride(certificate_expiry=b"\x13\x30").code(),
        "malformed: the certificate's expiry is no month",
    ),
    "certificate over": (
        lambda: Ride(certificate_expiry=b"\x04\x26").code(),
        "issuer_key_expired: the issuer's certificate is over",
    ),
    "authorisation over": (
        lambda: Ride(authorised_until=NOW - 1).code(),
        "expired: the account's authorisation is over",
    ),
    "ahead": (lambda: Ride(generated_at=NOW + 6).code(), "issued_in_future: by 6 s"),
    "stale": (
        lambda: Ride(generated_at=NOW - 61).code(),
        "stale: 61 s old, 60 s allowed by the issuer",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_what_the_operator_reads(case: str) -> None:
    make, said = SAID[case]
    with pytest.raises(Rejected, match=said):
        transit.read(make(), TRUST, RULES)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"\x80\0\0\x24", True), (b"\x81\0\0\x24", True), (b"\x82\0\0\x24", False), (b"\x7f\0\0\x24", False),
        (b"\x80\0\0\x25", False), (b"\x80\0\x24", False), (b"", False),
    ],
)  # fmt: skip
def test_sniff(payload: bytes, expected: bool) -> None:
    assert transit.sniff(payload) is expected


@pytest.mark.parametrize("kid", [CA_NAME, bytes(8)], ids=["named", "under the default kid"])
def test_eight_ca_keys_are_tried_in_turn(kid: bytes) -> None:
    other = ca_key(77, kid=kid, issuer="other")
    keys = trust(*[other] * 7, ca_key(kid=kid))
    assert registry.read(Ride().code(), keys=keys, rules=RULES).issuer == "transport-ca"
    assert reason(Ride().code(), (*[other] * 8, ca_key(kid=kid))) is Reason.BAD_SIGNATURE


def test_ca_under_its_default_kid_is_tried() -> None:
    keys = (ca_key(77, kid=bytes(8)), ca_key(kid=b"12345678", issuer="other-ca"))
    assert registry.read(Ride().code(), keys=trust(*keys), rules=RULES).issuer == "other-ca"
    assert reason(Ride().code(), keys[:1]) is Reason.BAD_SIGNATURE


def test_named_ca_counts_before_unnamed_ones() -> None:
    keys = (ca_key(CA, kid=bytes(8)), ca_key(77))
    assert reason(Ride().code(), keys) is Reason.BAD_SIGNATURE


def test_parse_believes_nothing_and_keeps_personal_data_out_of_repr() -> None:
    code = transit.parse(Ride().code())
    assert code.certificate.ca_key == CA_NAME
    assert code.validity_s == 60
    assert "3104170000012345" not in repr(code)
    assert code.certificate.point.hex() not in repr(code)


def test_algorithm_pin_is_sm2() -> None:
    assert ca_key().algorithm is Algorithm.SM2
