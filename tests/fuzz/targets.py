"""What is fuzzed: for every format, the code itself and each layer inside it; the rest is apart.

A mutated code nearly always dies at its signature. So a target has several ways to turn bytes into
a code: as they are, or as what stands inside a layer, which is then signed, compressed and encoded
with keys that the trust set holds. `makers` makes the seeds.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from agent.credential import base45, cbor, dcc, disclosure, native, registry, sm2
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.keys import certificate_kid
from agent.credential.model import FormatName, Kind, Rejected
from agent.credential.numbers import Claim, Header
from agent.credential.registry import ReadRules
from agent.issuing import issue
from agent.issuing.keys import Holder, Issuer, SigningKey
from agent.trust.snapshot import TrustSnapshot
from tests.fuzz import desk_targets, message_targets, trust_targets
from tests.fuzz.model import Target, Wrap, as_it_is
from tests.support import makers as make
from tests.support.paths import SHARED, VECTORS

__all__ = ["FORMATS", "RULES", "load_all", "names", "read_code", "target", "trusted"]

CITY = Issuer("city", "urn:idgate:issuer:city", SigningKey(Algorithm.ES256, make.ec_key(50)))
HOLDER = Holder(SigningKey(Algorithm.ES256, make.ec_key(51)))
FORMATS = tuple(FormatName)
_OTHERS = trust_targets.TARGETS | message_targets.TARGETS | desk_targets.TARGETS
RULES: ReadRules = replace(make.RULES, site_keys=(make.SITE_KEY,))


@cache
def trusted() -> TrustSnapshot:
    """Return a trust set in which every seed's issuer is known."""
    return make.trust(
        CITY.issuer_key(formats=frozenset({FormatName.NATIVE})),
        make.issuer_key(make.ec_key(), formats=frozenset({FormatName.CLAIM169, FormatName.DCC})),
        make.issuer_key(make.ed_key(), kid=b"ed", formats=frozenset({FormatName.PRETIX})),
        make.uidai_key(kid=b"uidai", formats=frozenset({FormatName.AADHAAR})),
        make.ca_key(),
        make.root_key(kid=b"root", formats=frozenset({FormatName.CLAIM169})),
        *_published_keys(),
    )


def names() -> list[str]:
    """Return every target's name: the formats, and what else comes from outside."""
    return [*map(str, FORMATS), *_OTHERS]


@cache
def target(name: str) -> Target:
    """Return a target."""
    if name in _OTHERS:
        return _OTHERS[name]()
    layers, seeds = _TARGETS[FormatName(name)]()
    return Target(name, tuple(layers), tuple(seeds), read_code)


def load_all() -> None:
    """Import every format now."""
    registry.load_all()


def read_code(payload: bytes) -> None:
    """Read one code as the gate does."""
    with suppress(Rejected):
        registry.read(payload, keys=trusted(), rules=RULES)


# --- native ------------------------------------------------------------------------------------------


def _native() -> tuple[list[Wrap], list[tuple[int, bytes]]]:
    def text(data: bytes) -> bytes:
        return native.PREFIX + base45.encode(data).encode()

    def packed(data: bytes) -> bytes:
        return text(zlib.compress(data, 1))

    def encrypted(data: bytes) -> bytes:
        return text(make.encrypt0(data, make.SITE_KEY))

    def claims(data: bytes) -> bytes:
        return text(
            make.sign1(data, CITY.key.private, protected={Header.ALG: -7, Header.KID: CITY.kid})
        )

    credential = issue.sign_credential(
        CITY, HOLDER, subject="42", issued_at=make.NOW - make.DAY, valid_until=make.NOW + make.DAY,
        cti=b"card-0001", level=2, birth_date="1990-01-31", regions=["CN-BJ"], kind=Kind.ONLINE_ID,
        references=[issue.face_template(bytes(range(128)), "face-128")],
    )  # fmt: skip
    kcwt = cbor.decode(credential, tags=(18,))
    compact = issue.sign_credential(
        CITY, HOLDER, subject="42", issued_at=make.NOW - make.DAY, valid_until=make.NOW + make.DAY,
        level=2, birth_date="1990-01-31", ages=[18], redacted=[*issue.Redact], version=2,
        references=[issue.face_template(bytes(range(128)), "face-embed-v1")],
    )  # fmt: skip
    plain = issue.sign_credential(
        CITY, HOLDER, subject="42", issued_at=make.NOW - make.DAY, valid_until=make.NOW + make.DAY,
        version=2, kind=Kind.LIBRARY_CARD,
    )  # fmt: skip
    parts = cbor.decode(compact, tags=(18,)).value

    def shown(header: dict[int, Any], payload: bytes) -> bytes:
        """Return a dynamic code of version 2 of a credential with this unprotected header."""
        signed = make.sign1(payload, CITY.key.private, protected=cbor.decode(parts[0]))
        held = cbor.decode(signed, tags=(18,))
        held.value[1] = header
        code = issue.present(cbor.encode(held), HOLDER, at=make.NOW, audience="library")
        return b"NI2:" + code.encode()[4:]

    def redacted(data: bytes) -> bytes:
        return shown(parts[1], data)

    def disclosing(data: bytes) -> bytes:
        """Return a code in which the bytes are a disclosure that fits."""
        claims = disclosure.decode(parts[2])
        claims[Claim.IDENTITY] = {cbor.REDACTED: [disclosure.digest_of(data)]}
        return shown({Header.SD_CLAIMS: [data]}, cbor.encode(claims))

    def compact_text(data: bytes) -> bytes:
        return b"NI2:" + text(data)[4:]

    def presentation(data: bytes) -> bytes:
        header = {Header.ALG: -7, Header.KCWT: kcwt, Header.TYP: 294}
        return text(make.sign1(data, HOLDER.key.private, protected=header))

    def ticket(data: bytes) -> bytes:
        signed = make.sign1(
            data, CITY.key.private, protected={Header.ALG: -7, Header.KID: CITY.kid}
        )
        return presentation(cbor.encode({3: "library", 6: make.NOW, Claim.BUSINESS: signed}))

    bought = issue.sign_ticket(
        CITY, HOLDER, subject="42", issued_at=make.NOW - 60, valid_until=make.NOW + make.HOUR, cti=b"t",
        details={"train": "G1"},
    )  # fmt: skip
    use = cbor.encode({3: "library/north", 6: make.NOW, 39: b"nonce"})
    body = kcwt.value[2]
    seeds = [
        (0, issue.present(credential).encode()),
        (0, issue.present(credential, HOLDER, at=make.NOW, audience="library", ticket=bought).encode()),
        (1, credential), (2, credential), (3, credential), (4, body), (5, use),
        (6, cbor.decode(bought, tags=(18,)).value[2]),
        (0, issue.present(compact, HOLDER, at=make.NOW, audience="library").encode()),
        (7, parts[2]), *((8, raw) for raw in parts[1][Header.SD_CLAIMS]), (9, plain),
    ]  # fmt: skip
    return [
        as_it_is, text, packed, encrypted, claims, presentation, ticket, redacted, disclosing,
        compact_text,
    ], seeds  # fmt: skip


# --- Claim 169 ---------------------------------------------------------------------------------------


def _claim169() -> tuple[list[Wrap], list[tuple[int, bytes]]]:
    def packed(data: bytes) -> bytes:
        return base45.encode(zlib.compress(data, 1)).encode()

    def brotli(data: bytes) -> bytes:
        return base45.encode(make.pack(data, "brotli")).encode()

    def stream(data: bytes) -> bytes:
        return base45.encode(data).encode()

    def encrypted(data: bytes) -> bytes:
        return packed(make.encrypt0(data, make.SITE_KEY))

    def claims(data: bytes) -> bytes:
        return make.claim169(data)

    def identity(data: bytes) -> bytes:
        return make.claim169(make.identity_claims(identity=data))

    def header(data: bytes) -> bytes:
        return packed(
            make.sign1(cbor.encode(make.identity_claims()), make.ec_key(), protected=data)
        )

    def chain(data: bytes) -> bytes:
        size = int.from_bytes(data[:2], "big")
        items = [data[2 : 2 + size], data[2 + size :]]
        return make.claim169(private=make.ec_key(102), kid=None, unprotected={33: items})

    leaf, middle = make.LEAF.der(), make.MIDDLE.der()
    whole = make.sign1(
        cbor.encode(make.identity_claims()), make.ec_key(), protected={1: -7, 4: b"key-1"}
    )
    seeds = [
        (0, make.claim169()), (0, make.claim169(how="brotli", encrypt=make.SITE_KEY)),
        (1, whole), (2, whole), (3, make.pack(whole, "brotli")), (3, make.pack(whole)), (4, whole),
        (5, cbor.encode(make.identity_claims(status={"status_list": {"idx": 1, "uri": "u"}}))),
        (6, cbor.encode(make.IDENTITY)), (6, cbor.encode({1: "x", 16: b"RIFF", 17: 4})),
        (7, cbor.encode({1: -7, 4: b"key-1"})), (7, cbor.encode({1: -7, 2: [4], 4: b"key-1"})),
        (8, len(leaf).to_bytes(2, "big") + leaf + middle),
    ]  # fmt: skip
    seeds += [
        (0, json.loads(path.read_text())["qr_data"].encode())
        for path in sorted(VECTORS.glob("claim169/test-vectors/*/*.json"))
    ]
    return [as_it_is, packed, brotli, stream, encrypted, claims, identity, header, chain], seeds


# --- DCC ---------------------------------------------------------------------------------------------


def _dcc() -> tuple[list[Wrap], list[tuple[int, bytes]]]:
    def packed(data: bytes) -> bytes:
        return dcc.PREFIX + base45.encode(zlib.compress(data, 1)).encode()

    def stream(data: bytes) -> bytes:
        return dcc.PREFIX + base45.encode(data).encode()

    def claims(data: bytes) -> bytes:
        return packed(make.sign1(data, make.ec_key(), protected={1: -7, 4: b"key-1"}))

    def certificate(data: bytes) -> bytes:
        head = b"\xa4\x01\x62AT\x04\x1a" + (make.NOW + make.DAY).to_bytes(4, "big")
        head += b"\x06\x1a" + (make.NOW - make.DAY).to_bytes(4, "big") + b"\x39\x01\x03\xa1\x01"
        return claims(head + data)

    kinds = [
        make.health(),
        make.health(v=None, t=[make.TEST]),
        make.health(v=None, r=[make.RECOVERY]),
    ]
    body = {1: "AT", 4: make.NOW + 1.5, 6: make.NOW - make.DAY, -260: {1: kinds[0]}}
    whole = make.sign1(
        cbor.encode(body), make.ec_key(), protected={1: -7}, unprotected={4: b"key-1"}
    )
    seeds = [
        (0, make.dcc()), (1, whole), (2, zlib.compress(whole)), (3, cbor.encode(body)),
        *((4, cbor.encode(kind)) for kind in kinds),
    ]  # fmt: skip
    seeds += [
        (0, json.loads(path.read_text())["PREFIX"].encode())
        for path in sorted(VECTORS.glob("dcc/*/2DCode/raw/*.json"))[::4]
    ]
    return [as_it_is, packed, stream, claims, certificate], seeds


# --- pretix ------------------------------------------------------------------------------------------


def _pretix() -> tuple[list[Wrap], list[tuple[int, bytes]]]:
    def encoded(data: bytes) -> bytes:
        return base64.b64encode(b"\x01\x00" + data)[::-1]

    def ticket(data: bytes) -> bytes:
        return make.pretix(data)

    whole = make.ticket(valid_from=make.NOW - 1, valid_until=make.NOW + 1)
    seeds = [
        (0, make.pretix()), (1, base64.b64decode(make.pretix(whole)[::-1])[2:]), (2, whole),
        (2, make.ticket(seed=bytes(50))),
    ]  # fmt: skip
    path = VECTORS / "pretix" / "vectors.json"
    if path.exists():
        seeds += [(0, entry["qr"].encode()) for entry in json.loads(path.read_text())]
    return [as_it_is, encoded, ticket], seeds


# --- transit -----------------------------------------------------------------------------------------


def _transit() -> tuple[list[Wrap], list[tuple[int, bytes]]]:
    ride = make.Ride()
    certificate, known = ride.certificate(), ride.code()

    def counted(data: bytes) -> bytes:
        return b"\x80" + (len(data) & 0xFFFF).to_bytes(2, "big") + data

    def signed(body: bytes) -> bytes:
        """Sign the certificate and account with the issuer's key, and the code with the holder's."""
        body += b"\x15" + sm2.sign(make.ISSUER, body) + (make.NOW - 5).to_bytes(4, "big")
        head = b"\x80" + ((len(body) + 65) & 0xFFFF).to_bytes(2, "big") + body
        return head + b"\x15" + sm2.sign(make.HOLDER, head)

    def account(data: bytes) -> bytes:
        return signed(certificate + data)

    def certified(data: bytes) -> bytes:
        """Sign a certificate's fields with the CA's key."""
        return signed(data + sm2.sign(make.CA, data[6:]) + known[120:-134])

    seeds = [
        (0, known), (1, known[3:]), (2, known[120 : 120 + 78 + len(ride.custom)]), (3, certificate[:53]),
        (0, replace(ride, custom=b"").code()),
    ]  # fmt: skip
    return [as_it_is, counted, account, certified], seeds


# --- Aadhaar -----------------------------------------------------------------------------------------


def _aadhaar() -> tuple[list[Wrap], list[tuple[int, bytes]]]:
    def digits(data: bytes) -> bytes:
        return str(int.from_bytes(data[:1_780], "big")).encode()

    def packed(data: bytes) -> bytes:
        return digits(zlib.compress(data, 1))

    def signed(data: bytes) -> bytes:
        signature = make.rsa_key().sign(data, PKCS1v15(), SHA256())
        return packed(data + signature)

    letters = [make.aadhaar_signed(version) for version in range(1, 6)]
    whole = make.aadhaar(letters[1])
    number = int(whole)
    seeds = [
        (0, whole), (1, number.to_bytes((number.bit_length() + 7) // 8, "big")),
        (2, letters[0] + bytes(256)), *((3, letter) for letter in letters),
        (3, make.aadhaar_signed(2, photo=b"")),
    ]  # fmt: skip
    path = SHARED / "vectors" / "aadhaar" / "uidai_official_sample_v1.txt"
    if path.exists():
        seeds.append((0, path.read_bytes().strip()))
    return [as_it_is, digits, packed, signed], seeds


_TARGETS: Mapping[FormatName, Callable[[], tuple[list[Wrap], list[tuple[int, bytes]]]]] = {
    FormatName.NATIVE: _native,
    FormatName.CLAIM169: _claim169,
    FormatName.DCC: _dcc,
    FormatName.PRETIX: _pretix,
    FormatName.TRANSIT: _transit,
    FormatName.AADHAAR: _aadhaar,
}


# --- published keys ----------------------------------------------------------------------------------


def _published_keys() -> list[IssuerKey]:
    """Return the keys of published vectors, so that these get past their signature."""
    keys: dict[bytes, IssuerKey] = {}
    for path in sorted(VECTORS.glob("dcc/*/2DCode/raw/*.json"))[::4]:
        der = base64.b64decode(json.loads(path.read_text())["TESTCTX"]["CERTIFICATE"])
        keys[certificate_kid(der)] = _pinned(der, certificate_kid(der), FormatName.DCC)
    path = SHARED / "vectors" / "aadhaar" / "uidai_prod_cdup.cer"
    if path.exists():
        der = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
        keys[b"prod"] = _pinned(der, b"prod", FormatName.AADHAAR, Algorithm.RS256)
    return list(keys.values())


def _pinned(
    der: bytes, kid: bytes, name: FormatName, algorithm: Algorithm | None = None
) -> IssuerKey:
    public: Any = x509.load_der_x509_certificate(der).public_key()
    if algorithm is None:
        match public:
            case rsa.RSAPublicKey():
                algorithm = Algorithm.PS256
            case ec.EllipticCurvePublicKey():
                algorithm = Algorithm.ES256 if public.key_size == 256 else Algorithm.ES384
            case ed25519.Ed25519PublicKey():
                algorithm = Algorithm.EDDSA
            case _:
                raise ValueError("a key of another kind")
    return IssuerKey(
        f"published-{kid.hex()}", kid, algorithm, public, formats=frozenset({name}), certificate=der
    )
