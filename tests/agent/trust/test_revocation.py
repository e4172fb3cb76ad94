"""Revocation lists of health certificates: what is read, and who is revoked by it."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.credential import base45, registry
from agent.credential.model import StatusVerdict
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from agent.trust.revocation import MAX_REVOCATION_FILE, Revocations, parse_batches
from agent.trust.snapshot import TrustSnapshot
from tests.support.makers import NOW, RULES, VACCINATION, dcc, ec_key, issuer_key, rsa_key, trust
from tests.support.trust_keys import public_pem

KID, OTHER = b"signer-1", b"signer-2"
UCI = VACCINATION["ci"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def cut(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:16]


def batch(*hashes: bytes, kid: str = b64(KID), **more: Any) -> dict[str, Any]:
    entries = [{"hash": b64(entry)} for entry in hashes]
    return {"kid": kid, "hashType": "UCI", "entries": entries} | more


WHOLE = batch(cut(b"a"), country="DE", expires="2027-01-01T00:00:00Z", batchId="1", date="x")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (batch(cut(b"a")), [(KID, [cut(b"a")])]),
        (WHOLE, [(KID, [cut(b"a")])]),
        ([], []),
        ([batch(), WHOLE], [(KID, []), (KID, [cut(b"a")])]),
        (batch(cut(b"a"), kid="UNKNOWN_KID"), [(b"", [cut(b"a")])]),
        (batch(kid=b64(b"\xff" * 8).replace("/", "_")), [(b"\xff" * 8, [])]),
    ],
)
def test_what_is_read(written: Any, found: list[tuple[bytes, list[bytes]]]) -> None:
    assert parse_batches(json.dumps(written).encode()) == found
    assert parse_batches(json.dumps(written, indent=2).encode()) == found


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({}, "no batch of revoked"),
        ([[]], "no batch of revoked"),
        ("text", "no batch of revoked"),
        (batch(hashType="NAME"), "no batch of revoked"),
        (batch(more=1), "no batch of revoked"),
        (batch(entries=[{"hash": b64(bytes(16)), "more": 1}]), "no batch of revoked"),
        (batch(cut(b"a")[:15]), "hash: not 16 bytes"),
        (batch(cut(b"a") + b"x"), "hash: not 16 bytes"),
        (batch(entries=[{"hash": "00" * 12}]), "hash: not 16 bytes"),
        (batch(entries=[{"hash": "!" * 24}]), "hash: not 16 bytes"),
        (batch(kid=b64(b"1234567")), "kid: not 8 bytes"),
        (batch(kid="UNKNOWN"), "kid: not 8 bytes"),
    ],
)
def test_what_is_refused(written: Any, message: str) -> None:
    with pytest.raises(TrustError, match=message):
        parse_batches(json.dumps(written).encode())


def test_files_are_bounded() -> None:
    most = json.dumps(batch()).encode().ljust(MAX_REVOCATION_FILE)
    assert parse_batches(most) == [(KID, [])]
    with pytest.raises(TrustError, match="larger than"):
        parse_batches(most + b" ")


@given(st.binary(max_size=200).filter(lambda data: b"[" not in data))
def test_any_bytes_are_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(TrustError, match=r"\A[^\n]*\Z"):
        parse_batches(data)


def test_entries_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.trust.revocation._MAX_ENTRIES", 3)
    hashes = [cut(bytes([number])) for number in range(4)]
    assert len(Revocations([(KID, hashes[:3]), (KID, hashes[:3])])) == 3
    with pytest.raises(TrustError, match="4 revoked certificates, at most 3"):
        Revocations([(KID, hashes[:3]), (OTHER, hashes[3:])])


@given(st.sets(st.integers(0, 255), max_size=40), st.integers(0, 255))
def test_a_lookup_is_that_of_the_set(revoked: set[int], asked: int) -> None:
    lists = Revocations([(KID, [cut(bytes([number])) for number in revoked])])
    wanted = cut(bytes([asked]))
    assert lists.revoked(KID, [wanted]) is (asked in revoked)
    assert lists.revoked(KID, [bytes(16), wanted]) is (asked in revoked)
    assert not lists.revoked(OTHER, [wanted])
    assert not lists.revoked(KID, [])


def test_an_unknown_signers_list_is_for_every_signer() -> None:
    lists = Revocations([(b"", [cut(b"a")]), (KID, [cut(b"b")])])
    for kid in (KID, OTHER):
        assert lists.revoked(kid, [cut(b"a")])
    assert lists.revoked(KID, [cut(b"b")])
    assert not lists.revoked(OTHER, [cut(b"b")])


# --- from a code to the verdict -------------------------------------------------------------------


def standing(payload: bytes, keys: TrustSnapshot) -> StatusVerdict | None:
    credential = registry.read(payload, keys=keys, rules=RULES)
    return keys.revocation(credential.key_id, credential.revocation_hashes)


@pytest.mark.parametrize(
    "revoked",
    [cut(UCI.encode()), cut(b"AT", UCI.encode())],
    ids=["UCI", "COUNTRYCODEUCI"],
)
def test_a_certificate_is_revoked_by_its_identifier(revoked: bytes) -> None:
    key = issuer_key(ec_key(), kid=KID)
    payload = dcc(kid=KID)
    assert standing(payload, trust(key)) is None
    assert standing(payload, trust(key, revocations=Revocations([(KID, [revoked])]))) is (
        StatusVerdict.INVALID
    )
    assert standing(payload, trust(key, revocations=Revocations([(OTHER, [revoked])]))) is None


def test_a_certificate_is_revoked_by_its_signature() -> None:
    """Of ECDSA by its first half: the second can be changed by anybody, and still verifies."""
    for private, half in ((ec_key(), True), (rsa_key(), False)):
        payload = dcc(private=private, kid=KID)
        key = issuer_key(private, kid=KID)
        credential = registry.read(payload, keys=trust(key), rules=RULES)
        signature = signature_in(payload)
        assert credential.revocation_hashes[2] == cut(signature[:32] if half else signature)


def signature_in(payload: bytes) -> bytes:
    message = cbor2.loads(zlib.decompress(base45.decode(payload.removeprefix(b"HC1:"))))
    signature: bytes = message.value[3]
    return signature


def test_a_list_that_cannot_be_read_closes_health_certificates_alone(tmp_path: Path) -> None:
    (tmp_path / "board.pem").write_bytes(public_pem(ec_key()))
    (tmp_path / "board.toml").write_text(f"kid = '{KID.hex()}'\n")
    (tmp_path / "revocation").mkdir()
    (tmp_path / "revocation" / "a.json").write_text(json.dumps(batch(cut(b"other"))))
    payload = dcc(kid=KID)
    assert standing(payload, load_directory(tmp_path, now=NOW)) is None
    (tmp_path / "revocation" / "b.json").write_text("{")
    snapshot = load_directory(tmp_path, now=NOW)
    assert standing(payload, snapshot) is StatusVerdict.WITHHELD
    assert [entry.file for entry in snapshot.set_aside] == ["revocation/b.json"]
    (tmp_path / "revocation" / "a.json").write_text(json.dumps(batch(cut(UCI.encode()))))
    assert standing(payload, load_directory(tmp_path, now=NOW)) is StatusVerdict.INVALID


def test_too_many_entries_close_health_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.trust.revocation._MAX_ENTRIES", 1)
    (tmp_path / "revocation").mkdir()
    (tmp_path / "revocation" / "a.json").write_text(json.dumps(batch(cut(b"a"), cut(b"b"))))
    snapshot = load_directory(tmp_path, now=NOW)
    assert snapshot.revocation(KID, [cut(b"a")]) is StatusVerdict.WITHHELD
    assert [str(entry) for entry in snapshot.set_aside] == [
        "revocation: 2 revoked certificates, at most 1"
    ]
