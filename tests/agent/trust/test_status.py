"""Token Status Lists: the draft's own examples, both forms, all widths, and what is refused."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import StatusReference, StatusVerdict
from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from agent.trust.snapshot import TrustSnapshot
from agent.trust.status import (
    MAX_LIST_BYTES,
    MAX_TOKEN_BYTES,
    StatusList,
    claimed,
    encode_statuses,
    parse,
)
from tests.support.makers import DAY, DIRECT, LEAF, MIDDLE, ROOT, root_key, trust
from tests.support.paths import VECTORS
from tests.support.trust_keys import NOW

DRAFT = VECTORS / "status_list"
URI = "https://status.example/1"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def issuer(name: str = "Ministry", kid: bytes = b"12", key: Any = KEY, **more: Any) -> IssuerKey:
    algorithm = Algorithm.EDDSA if key is ED else Algorithm.ES256
    return IssuerKey(issuer=name, kid=kid, algorithm=algorithm, public_key=key.public_key(), **more)


TRUST = TrustSnapshot(keys=(issuer(),))


def ecdsa(message: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def b64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def cwt(
    packed: bytes | None = None,
    *,
    bits: Any = 1,
    header: dict[int, Any] | None = None,
    claims: dict[int, Any] | None = None,
    unprotected: dict[int, Any] | None = None,
    key: ec.EllipticCurvePrivateKey = KEY,
) -> bytes:
    protected = cbor2.dumps({1: -7, 16: "application/statuslist+cwt"} if header is None else header)
    body = {"bits": bits, "lst": zlib.compress(b"\xb9\xa3") if packed is None else packed}
    payload = cbor2.dumps({2: URI, 6: NOW, 65533: body} | (claims or {}))
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    outer = {4: b"12"} if unprotected is None else unprotected
    return cbor2.dumps(cbor2.CBORTag(18, [protected, outer, payload, ecdsa(signed, key)]))


def jwt(
    packed: str | None = None,
    *,
    header: dict[str, Any] | None = None,
    claims: dict[str, Any] | None = None,
) -> bytes:
    head = {"alg": "ES256", "kid": "12", "typ": "statuslist+jwt"} | (header or {})
    lst = b64url(zlib.compress(b"\xb9\xa3")).decode() if packed is None else packed
    body = {"sub": URI, "iat": NOW, "status_list": {"bits": 1, "lst": lst}} | (claims or {})
    message = b".".join(b64url(json.dumps(part).encode()) for part in (head, body))
    return message + b"." + b64url(ecdsa(message))


# --- the draft's examples ------------------------------------------------------------------------


def vector(name: str) -> str:
    return (DRAFT / "examples" / name).read_text()


def hexes(text: str) -> bytes:
    return bytes.fromhex("".join(re.findall(r"^[0-9a-f]+$", text, re.MULTILINE)))


@pytest.fixture
def example_trust(tmp_path: Path) -> TrustSnapshot:
    (tmp_path / "example.jwk").write_bytes((DRAFT / "example_key.json").read_bytes())
    return load_directory(tmp_path, now=NOW)


FIRST_BITS = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
"""The draft's first example, 0xB9 0xA3."""


def test_the_drafts_cwt_verifies(example_trust: TrustSnapshot) -> None:
    found = parse(hexes(vector("status_list_cwt.md")), example_trust, source="vector")
    assert found.uri == "https://example.com/statuslists/1"
    assert (found.issued_at, found.expires_at, found.ttl_s) == (1686920170, 2291720170, 43200)
    assert [found.value(index) for index in range(len(found))] == FIRST_BITS


def test_the_drafts_jwt_verifies(example_trust: TrustSnapshot) -> None:
    token = "".join(vector("status_list_jwt_raw.md").split()).encode()
    found = parse(token, example_trust, source="vector")
    assert found.uri == "https://example.com/statuslists/1"
    assert [found.value(index) for index in range(len(found))] == FIRST_BITS


def test_the_drafts_list_is_bound_to_its_key(example_trust: TrustSnapshot) -> None:
    token = bytearray(hexes(vector("status_list_cwt.md")))
    token[-1] ^= 1
    with pytest.raises(TrustError, match="bad_signature"):
        parse(bytes(token), example_trust, source="vector")


_PLACES = (0, 1993, 25460, 159495, 495669, 554353, 645645, 723232, 854545, 934534, 1000345)
LONG: dict[int, dict[int, int]] = {
    1: dict.fromkeys(_PLACES, 1),
    2: dict(zip(_PLACES, (1, 2, 1, 3, 1, 1, 2, 1, 1, 2, 3), strict=True)),
    4: {0: 1, 1993: 2, 35460: 3, 459495: 4, 595669: 5, 754353: 6, 845645: 7, 923232: 8, 924445: 9,
        934534: 10, 1004534: 11, 1000345: 12, 1030203: 13, 1030204: 14, 1030205: 15},
    8: {52451: 1, 576778: 2},
}  # fmt: skip
"""Entries of the draft's long examples, as its appendix tabulates them; of 8 bits the first two."""


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_drafts_encodings_agree_between_forms(bits: int) -> None:
    suffix = "_long" if bits < 4 else ""
    as_cbor = cbor2.loads(hexes(vector(f"status_list_encoding{bits}{suffix}_cbor.md")))
    as_json = json.loads(
        vector(f"status_list_encoding{bits}{suffix}_json.md").replace("\n", "").replace(" ", "")
    )
    parsed = parse(cwt(as_cbor["lst"], bits=bits), TRUST, source="vector")
    other = parse(
        jwt(as_json["lst"], claims=None)
        if bits == 1
        else cwt(base64.urlsafe_b64decode(as_json["lst"] + "=="), bits=bits),
        TRUST,
        source="vector",
    )
    assert parsed.data == other.data
    assert as_cbor["bits"] == as_json["bits"] == bits
    assert len(parsed) == 1 << 20
    for index, value in LONG[bits].items():
        assert parsed.value(index) == value
    counted = sum(1 for index in range(len(parsed)) if parsed.value(index)) if bits == 8 else None
    assert counted in (None, 255)


def test_the_drafts_two_bit_example() -> None:
    text = vector("status_list_encoding2_cbor.md")
    lst = cbor2.loads(hexes(text))["lst"]
    found = parse(cwt(lst, bits=2), TRUST, source="vector")
    assert [found.value(index) for index in range(12)] == [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]


# --- lookup --------------------------------------------------------------------------------------


@given(
    st.sampled_from([1, 2, 4, 8]).flatmap(
        lambda bits: st.tuples(
            st.just(bits), st.lists(st.integers(0, (1 << bits) - 1), max_size=300)
        )
    )
)
def test_every_entry_reads_back(case: tuple[int, list[int]]) -> None:
    bits, statuses = case
    found = StatusList(URI, "Ministry", bits, encode_statuses(statuses, bits))
    assert [found.value(index) for index in range(len(statuses))] == statuses
    assert len(found) - len(statuses) < 8 // bits
    for outside in (-1, len(found), 2**40):
        with pytest.raises(IndexError):
            found.value(outside)
        assert found.answer(outside, NOW).verdict is StatusVerdict.UNKNOWN


@pytest.mark.parametrize(("bits", "value"), [(1, 2), (2, 4), (4, 16), (8, 256), (8, -1), (3, 0)])
def test_encoding_refuses_what_does_not_fit(bits: int, value: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        encode_statuses([value], bits)


VALID, INVALID, SUSPENDED, UNKNOWN, WITHHELD = StatusVerdict
ANSWERS = [
    ("valid", 0, 0, {}, VALID, ""),
    ("invalid", 1, 0, {}, INVALID, ""),
    ("suspended", 2, 0, {}, SUSPENDED, ""),
    ("a value with no meaning", 3, 0, {}, UNKNOWN, "status value 3"),
    ("outside the list", 4, 0, {}, UNKNOWN, "index 4 is outside the list of 4"),
    ("at expiry", 0, 100, {"expires_at": NOW + 100}, VALID, ""),
    ("after expiry", 0, 101, {"expires_at": NOW + 100}, UNKNOWN, "has expired"),
    ("an expired list still condemns", 1, 101, {"expires_at": NOW + 100}, INVALID, ""),
    ("and still suspends", 2, 101, {"expires_at": NOW + 100}, SUSPENDED, ""),
    ("within ttl", 0, 50, {"ttl_s": 50}, VALID, ""),
    ("past ttl", 0, 51, {"ttl_s": 50}, UNKNOWN, "past its ttl"),
    ("past ttl, still condemned", 1, 51, {"ttl_s": 50}, INVALID, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("index", "later", "fields", "verdict", "detail"),
    [row[1:] for row in ANSWERS],
    ids=[row[0] for row in ANSWERS],
)
def test_answers(
    index: int, later: int, fields: dict[str, int], verdict: StatusVerdict, detail: str
) -> None:
    found = StatusList(
        URI, "Ministry", 2, encode_statuses([0, 1, 2, 3], 2), issued_at=NOW, **fields
    )  # type: ignore[arg-type]
    answer = found.answer(index, NOW + later)
    assert answer.verdict is verdict
    assert detail in answer.detail


def test_ttl_runs_from_the_last_confirmation() -> None:
    found = StatusList(URI, "Ministry", 1, b"\0", issued_at=NOW, ttl_s=50)
    assert found.answer(0, NOW + 140, confirmed_at=NOW + 100).verdict is VALID
    assert found.answer(0, NOW + 151, confirmed_at=NOW + 100).verdict is UNKNOWN


def test_a_list_speaks_for_its_own_issuer_unless_the_trust_set_says_more() -> None:
    mine = StatusList(URI, "Ministry", 1, b"\0", issued_at=NOW)
    bureau = StatusList(
        URI, "Bureau", 1, b"\1", issued_at=NOW + 1, for_issuers=frozenset({"Metro"})
    )
    snapshot = TrustSnapshot(status_lists=(mine, bureau))
    reference = StatusReference(URI, 0)
    assert snapshot.status(reference, NOW, "Ministry") is VALID
    assert snapshot.status(reference, NOW, "Bureau") is INVALID
    assert snapshot.status(reference, NOW, "Metro") is INVALID
    assert snapshot.status(reference, NOW, "Nobody") is UNKNOWN
    assert snapshot.status(reference, NOW) is INVALID  # the newest of any
    assert snapshot.status(StatusReference("https://other", 0), NOW) is UNKNOWN
    assert "no status list" in snapshot.status_answer(StatusReference("x", 0), NOW).detail


# --- proven by a certificate that the token brings ------------------------------------------------

TREE = trust(root_key(status_for=frozenset({"Metro"})))


def chain_jwt(
    *chain: bytes, signer: Any = None, claims: dict[str, Any] | None = None, **header: Any
) -> bytes:
    """Return a JWT with x5c and, unless it is said, no kid."""
    head = {"alg": "ES256", "typ": "statuslist+jwt"} | header
    head["x5c"] = [base64.b64encode(der).decode() for der in chain]
    lst = b64url(zlib.compress(b"\xb9\xa3")).decode()
    body = {"sub": URI, "iat": NOW, "status_list": {"bits": 1, "lst": lst}} | (claims or {})
    message = b".".join(b64url(json.dumps(part).encode()) for part in (head, body))
    return message + b"." + b64url(ecdsa(message, signer or LEAF.private))


def chain_cwt(chain: Any, *, place: str = "protected", signer: Any = None) -> bytes:
    header: dict[int, Any] = {1: -7, 16: "application/statuslist+cwt"}
    if place == "protected":
        header[33] = chain
    return cwt(
        header=header,
        unprotected={33: chain} if place == "unprotected" else {},
        key=signer or LEAF.private,
    )


PATH = (LEAF.der(), MIDDLE.der())
WEB = DIRECT.but(
    extensions=((x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")]), False),)
)


@pytest.mark.parametrize(
    "token",
    [
        chain_jwt(*PATH),
        chain_jwt(*PATH, ROOT.der()),
        chain_jwt(*PATH, kid="nobody's"),
        chain_jwt(DIRECT.der()),
        chain_cwt(list(PATH)),
        chain_cwt(list(PATH), place="unprotected"),
        chain_cwt(DIRECT.der()),
    ],
    ids=["x5c", "with root", "kid of nobody", "one", "x5chain", "unprotected", "one in CBOR"],
)
def test_a_chain_to_a_pinned_root_proves_a_list(token: bytes) -> None:
    found = parse(token, TREE, source="x")
    assert (found.uri, found.issuer, found.for_issuers) == (URI, "national-root", {"Metro"})


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (chain_jwt(LEAF.der()), "unknown_issuer"),
        (chain_jwt(*PATH, signer=OTHER), "does not verify"),
        (chain_cwt(list(PATH), signer=OTHER), "bad_signature"),
        (chain_jwt(WEB.der()), "issuer_not_entitled"),
        (chain_jwt(*PATH, claims={"iat": NOW + 2 * DAY}), "issuer_key_expired"),
        (chain_jwt(*PATH, claims={"iat": "now"}), "issuer_key_expired"),
        (chain_jwt(), "malformed: x5chain is not one to 3"),
        (chain_jwt(*PATH, *PATH), "malformed: x5chain is not one to 3"),
        (chain_jwt(b"\x30\x03\x02\x01\x01"), "its certificate: the certificate is damaged"),
        (jwt(header={"kid": None, "x5c": "AA"}), "x5c is no list"),
        (jwt(header={"kid": None, "x5c": [1]}), "x5c is no list"),
        (jwt(header={"kid": None, "x5c": ["!"]}), "x5c is not base64"),
        (jwt(header={"kid": 12}), "kid is no text"),
        (cwt(unprotected={4: "12"}), "kid is no byte string"),
        (chain_cwt([]), "malformed: x5chain is not one to 3"),
        (chain_cwt([7]), "malformed"),
    ],
)
def test_a_chain_that_proves_nothing_is_refused_by_name(token: bytes, message: str) -> None:
    with pytest.raises(TrustError, match=message):
        parse(token, TREE, source="x")


def test_a_certificate_whose_key_is_pinned_names_it() -> None:
    """As wallets' issuers publish them: x5c and no kid; the issuer's key lies in the directory."""
    keys = trust(issuer(key=LEAF.private, kid=b"whatever"), issuer("Other", key=OTHER))
    for token in (chain_jwt(LEAF.der()), chain_cwt([LEAF.der()])):
        assert parse(token, keys, source="x").issuer == "Ministry"
    with pytest.raises(TrustError, match="does not verify"):
        parse(chain_jwt(LEAF.der(), signer=OTHER), keys, source="x")


def test_a_list_of_a_renewed_key_is_as_good_as_the_best_of_its_entries() -> None:
    old = issuer("Old", valid_until=NOW - 1, status_for=frozenset({"Tram"}))
    foreign = issuer("Foreign", iss=frozenset({"https://elsewhere"}))
    new, again = issuer("New", status_for=frozenset({"Metro"})), issuer("Again")
    for order in ((old, foreign, new, again), (again, new, foreign, old)):
        for token in (cwt(claims={1: "https://here"}), jwt(claims={"iss": "https://here"})):
            found = parse(token, trust(*order), source="x")
            assert {found.issuer} | found.for_issuers == {"New", "Again", "Metro"}
            assert found.speaks_for("Again")
            assert not found.speaks_for("Foreign")


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (cwt(key=OTHER), (URI, NOW)),
        (jwt() + b"\n", (URI, NOW)),
        (cwt(claims={2: 7, 6: -1}), (None, None)),
        (jwt(claims={"sub": "", "iat": True}), (None, None)),
        (jwt(claims={"sub": "x" * 2049}), (None, NOW)),
        (jwt(claims={"sub": "x" * 2048, "iat": 0}), ("x" * 2048, 0)),
        (b"eyJ", (None, None)),
        (b"", (None, None)),
        (cbor2.dumps(cbor2.CBORTag(18, [b"", {}, cbor2.dumps([]), b"s"])), (None, None)),
    ],
)
def test_what_a_list_claims_of_itself(token: bytes, said: tuple[str | None, int | None]) -> None:
    assert claimed(token) == said


def test_a_list_set_aside_closes_its_uri_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "Ministry.pem").write_bytes(
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "Ministry.toml").write_text('kid_text = "12"\n')
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "a.cwt").write_bytes(cwt(claims={2: "https://a"}, key=OTHER))
    (tmp_path / "status" / "b.jwt").write_bytes(jwt())
    snapshot = load_directory(tmp_path, now=NOW)
    assert snapshot.status(StatusReference("https://a", 0), NOW, "Ministry") is WITHHELD
    assert snapshot.status(StatusReference("https://a", 0), NOW, "Nobody") is WITHHELD
    assert snapshot.status(StatusReference("https://other", 0), NOW, "Ministry") is UNKNOWN
    assert snapshot.status(StatusReference(URI, 0), NOW, "Ministry") is INVALID
    (tmp_path / "status" / "c.cwt").write_bytes(b"of nobody knows what")
    snapshot = load_directory(tmp_path, now=NOW)
    assert snapshot.status(StatusReference("https://other", 0), NOW, "Ministry") is WITHHELD
    assert snapshot.status(StatusReference(URI, 0), NOW, "Ministry") is INVALID


def test_ten_million_entries_take_no_more_than_the_list() -> None:
    data = bytes(1_250_000)
    found = parse(cwt(zlib.compress(data)), TRUST, source="x")
    assert len(found) == 10_000_000
    assert type(found.data) is bytes
    assert len(found.data) == 1_250_000
    assert found.value(9_999_999) == 0


# --- tokens --------------------------------------------------------------------------------------


def test_a_kid_in_the_protected_header_is_taken() -> None:
    header = {1: -7, 16: "application/statuslist+cwt", 4: b"12"}
    assert parse(cwt(header=header, unprotected={}), TRUST, source="x").issuer == "Ministry"


def test_a_jwt_kid_may_be_the_keys_id_in_hexadecimal() -> None:
    trust = TrustSnapshot(keys=(issuer(kid=b"\xab\xcd"),))
    assert parse(jwt(header={"kid": "abcd"}) + b"\n", trust, source="x").uri == URI


def test_an_ed25519_jwt_verifies() -> None:
    trust = TrustSnapshot(keys=(issuer(key=ED),))
    parts = jwt(header={"alg": "EdDSA"}).split(b".")[:2]
    message = b".".join(parts)
    assert parse(message + b"." + b64url(ED.sign(message)), trust, source="x").uri == URI


def test_the_right_one_of_two_keys_with_one_kid_is_found() -> None:
    trust = TrustSnapshot(keys=(issuer("Stranger", key=OTHER), issuer("Ministry")))
    assert parse(cwt(), trust, source="x").issuer == "Ministry"
    assert parse(jwt(), trust, source="x").issuer == "Ministry"


BOMB = zlib.compress(b"\0" * (MAX_LIST_BYTES + 1))
GOOD_BODY = {"bits": 1, "lst": zlib.compress(b"\0")}
REFUSED: list[tuple[str, bytes, str]] = [
    ("empty", b"", "malformed"),
    ("garbage", b"\xff\xff", "malformed"),
    ("too large a token", b"\0" * (MAX_TOKEN_BYTES + 1), "allowed"),
    ("not a status list", cwt(header={1: -7, 16: "application/cwt"}), "typ is not"),
    ("no typ", cwt(header={1: -7}), "typ is not"),
    ("no kid", cwt(unprotected={}), "no kid, and no certificate"),
    ("unknown kid", cwt(unprotected={4: b"99"}), "no trusted key has the kid 3939"),
    ("signed by another", cwt(key=OTHER), "bad_signature"),
    ("alg of another kind", cwt(header={1: -8, 16: "application/statuslist+cwt"}), "algorithm_mismatch"),
    ("no alg", cwt(header={16: "application/statuslist+cwt"}), "algorithm_mismatch"),
    ("three bits", cwt(bits=3), "bits is not"),
    ("bits of true", cwt(bits=True), "bits is not"),
    ("no list", cwt(claims={65533: {"bits": 1}}), "no status_list"),
    ("list of text", cwt(claims={65533: {"bits": 1, "lst": "x"}}), "no status_list"),
    ("no sub", cwt(claims={2: ""}), "sub is not"),
    ("sub of bytes", cwt(claims={2: b"x"}), "sub is not"),
    ("no iat", cwt(claims={6: None}), "no iat"),
    ("iat of text", cwt(claims={6: "now"}), "iat is not"),
    ("negative exp", cwt(claims={4: -1}), "exp is not"),
    ("exp of true", cwt(claims={4: True}), "exp is not"),
    ("float ttl", cwt(claims={65534: 1.5}), "malformed"),
    ("not zlib", cwt(b"raw"), "malformed"),
    ("cut zlib", cwt(zlib.compress(b"\0" * 99)[:-2]), "malformed"),
    ("bytes after zlib", cwt(zlib.compress(b"\0") + b"x"), "malformed"),
    ("bomb", cwt(BOMB), "too_large"),
    ("bytes after the token", cwt() + b"\0", "malformed"),
    ("jwt: two parts", b".".join(jwt().split(b".")[:2]), "no compact JWS"),
    ("jwt: padded", jwt().replace(b".", b"=.", 1), "not base64url"),
    ("jwt: plus", b"ey+." + b"a.b", "not base64url"),
    ("jwt: no JSON", b"eyJ.eyJ.AA", "not JSON"),
    ("jwt: a list", b64url(b'  {"a":[]}')[:-2] + b".e30.AA", "."),
    ("jwt: a name twice", b64url(b'{"typ":"a","typ":"b"}') + b".e30.AA", "a name twice"),
    ("jwt: alg none", jwt(header={"alg": "none"}), "alg is no signature algorithm"),
    ("jwt: HMAC", jwt(header={"alg": "HS256"}), "alg is no signature algorithm"),
    ("jwt: alg of another kind", jwt(header={"alg": "EdDSA"}), "the signature does not verify"),
    ("jwt: alg of a list", jwt(header={"alg": ["ES256"]}), "alg is no signature algorithm"),
    ("jwt: crit", jwt(header={"crit": ["x"]}), "critical"),
    ("jwt: typ", jwt(header={"typ": "JWT"}), "typ is not"),
    ("jwt: typ of a list", jwt(header={"typ": ["statuslist+jwt"]}), "typ is not"),
    ("jwt: no kid", jwt(header={"kid": None}), "no kid"),
    ("jwt: kid of half a character", jwt(header={"kid": "\ud800"}), "no trusted key has the kid eda080$"),
    ("jwt: long kid", jwt(header={"kid": "k" * 9_999}), "no trusted key has the kid (6b){32}$"),
    ("jwt: unknown kid", jwt(header={"kid": "zz"}), "no trusted key"),
    ("jwt: empty signature", jwt().rpartition(b".")[0] + b".", "does not verify"),
    ("jwt: changed", jwt().replace(b".ey", b".fy"), "does not verify"),
    ("jwt: list of bytes", jwt("é"), "not base64url"),
    ("jwt: no list", jwt(claims={"status_list": []}), "no status_list"),
    ("jwt: huge number", jwt(claims={"exp": 10**30}), "exp is not"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_bad_token_is_refused_by_name(token: bytes, message: str) -> None:
    with pytest.raises(TrustError, match=message) as caught:
        parse(token, TRUST, source="list.cwt")
    assert str(caught.value).startswith("list.cwt: status list: ")


def test_a_foreign_iss_is_refused() -> None:
    trust = TrustSnapshot(keys=(issuer(iss=frozenset({"https://ministry.example"})),))
    assert (
        parse(cwt(claims={1: "https://ministry.example"}), trust, source="x").issuer == "Ministry"
    )
    for token in (
        cwt(claims={1: "https://evil.example"}),
        jwt(claims={"iss": "https://evil.example"}),
        jwt(claims={"iss": ["https://ministry.example"]}),
        cwt(claims={1: {}}),
    ):
        with pytest.raises(TrustError, match="iss is not"):
            parse(token, trust, source="x")


def test_a_list_signed_after_its_key_ran_out_is_refused() -> None:
    trust = TrustSnapshot(keys=(issuer(valid_until=NOW - 1),))
    with pytest.raises(TrustError, match="outside the validity"):
        parse(cwt(), trust, source="x")


def test_a_root_certificate_signs_no_lists() -> None:
    trust = TrustSnapshot(keys=(issuer(is_root=True, certificate=b"x"),))
    with pytest.raises(TrustError, match="no trusted key"):
        parse(cwt(), trust, source="x")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(TrustError):
        parse(data, TRUST, source="x")


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_any_jws_is_refused_and_nothing_else(header: bytes, claims: bytes) -> None:
    with pytest.raises(TrustError):
        parse(b"ey" + b64url(header) + b"." + b64url(claims) + b".AA", TRUST, source="x")


@given(st.data())
def test_a_changed_byte_never_verifies(data: st.DataObject) -> None:
    for token in (cwt(), jwt()):
        position = data.draw(st.integers(0, len(token) - 1))
        flipped = bytearray(token)
        flipped[position] ^= data.draw(st.integers(1, 255))
        try:
            found = parse(bytes(flipped), TRUST, source="x")
        except TrustError:
            continue
        # What is not signed may change without changing what is said: the CWT's tag and array, and
        # bits of base64url that no byte needs.
        assert (found.uri, found.data) == (URI, b"\xb9\xa3")


def test_lists_in_a_directory_are_loaded_with_its_keys(tmp_path: Path) -> None:
    (tmp_path / "Ministry.pem").write_bytes(
        KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "Ministry.toml").write_text('kid_text = "12"\nstatus_for = ["Metro"]\n')
    (tmp_path / "status").mkdir()
    (tmp_path / "status" / "a.cwt").write_bytes(cwt())
    (tmp_path / "status" / "b.jwt").write_bytes(jwt(claims={"sub": "https://b"}))
    snapshot = load_directory(tmp_path, now=NOW)
    assert snapshot.status(StatusReference(URI, 0), NOW, "Ministry") is INVALID
    assert snapshot.status(StatusReference("https://b", 1), NOW, "Metro") is VALID


def a_view(*lists: StatusList, dated_at: int = 0) -> TrustSnapshot:
    return TrustSnapshot(status_lists=lists, updated_at=NOW + 9_000, dated_at=dated_at)


AHEAD = [
    ("of now", 0, SUSPENDED),
    ("at the tolerance", 300, SUSPENDED),
    ("beyond it", 301, VALID),
    ("of ten years later", 315_360_000, VALID),
]


@pytest.mark.parametrize(
    ("ahead", "verdict"), [row[1:] for row in AHEAD], ids=[row[0] for row in AHEAD]
)
def test_a_list_from_the_future_is_set_aside(ahead: int, verdict: StatusVerdict) -> None:
    sound = StatusList(URI, "Ministry", 2, encode_statuses([0], 2), issued_at=NOW - 10)
    later = StatusList(URI, "Ministry", 2, encode_statuses([2], 2), issued_at=NOW + ahead)
    for lists in ((sound, later), (later, sound)):
        assert a_view(*lists).status(StatusReference(URI, 0), NOW, "Ministry") is verdict
    answer = a_view(later).status_answer(StatusReference(URI, 0), NOW + ahead - 301, "Ministry")
    assert (answer.verdict, "future" in answer.detail) == (UNKNOWN, True)


def test_a_ttl_counts_from_what_is_signed_and_not_from_a_reading() -> None:
    brief = StatusList(URI, "Ministry", 2, b"\0", issued_at=NOW, ttl_s=50)
    reference = StatusReference(URI, 0)
    plain, signed = a_view(brief), a_view(brief, dated_at=NOW + 100)
    assert plain.status(reference, NOW + 50) is VALID
    assert plain.status(reference, NOW + 51) is UNKNOWN
    assert signed.status(reference, NOW + 150) is VALID
    assert signed.status(reference, NOW + 151) is UNKNOWN
