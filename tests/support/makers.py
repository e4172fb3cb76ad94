"""Makes codes of every format with keys of its own, whole or broken at one chosen place.

Used by the tests, the fuzz targets (as seeds) and the benchmarks; nothing here is product code.
"""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import brotli
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agent.credential import base45, cbor, cose, sm2
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import FormatName
from agent.credential.numbers import Claim, Header
from agent.credential.registry import ReadRules
from agent.trust.snapshot import TrustSnapshot

NOW = 1_780_000_000  # 2026-05-28T20:26:40Z
RULES = ReadRules(now=NOW, clock_trusted=True, site="library", gate="north")
HOUR, DAY = 3_600, 86_400
SITE_KEY = bytes(range(32))


@cache
def rsa_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a key of its own for every number."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(
    number: int = 0, curve: type[ec.EllipticCurve] = ec.SECP256R1
) -> ec.EllipticCurvePrivateKey:
    """Return a fixed key for every number."""
    return ec.derive_private_key(number + 1_000_003, curve())


@cache
def ed_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    """Return a fixed key for every number."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def issuer_key(
    private: Any, *, kid: bytes = b"key-1", algorithm: Algorithm | None = None, **pins: Any
) -> IssuerKey:
    """Return the trust set's entry for a private key (for SM2: a scalar)."""
    if isinstance(private, int):
        public, usual = sm2.public_key(private), Algorithm.SM2
    else:
        public = private.public_key()
        usual = {
            ec.EllipticCurvePrivateKey: Algorithm.ES256,
            ed25519.Ed25519PrivateKey: Algorithm.EDDSA,
            rsa.RSAPrivateKey: Algorithm.PS256,
        }[
            next(
                kind
                for kind in (
                    ec.EllipticCurvePrivateKey,
                    ed25519.Ed25519PrivateKey,
                    rsa.RSAPrivateKey,
                )
                if isinstance(private, kind)
            )
        ]
        if isinstance(private, ec.EllipticCurvePrivateKey) and private.key_size == 384:
            usual = Algorithm.ES384
    return IssuerKey(
        issuer=pins.pop("issuer", "authority"),
        kid=kid,
        algorithm=algorithm or usual,
        public_key=public,
        **pins,
    )


def trust(*keys: IssuerKey, **more: Any) -> TrustSnapshot:
    """Return a trust set of these keys."""
    return TrustSnapshot(keys=keys, **more)


# --- transit ---------------------------------------------------------------------------------------

CA, ISSUER, HOLDER = 0xCA11AB1E, 0x155CE8, 0x401DE8
CA_NAME = bytes.fromhex("0000000a01")


@dataclass(frozen=True)
class Ride:
    """A ride code; every field can be replaced, and bytes overwritten at the end."""

    version: int = 0x80
    ca: int = CA
    issuer: int = ISSUER
    holder: int = HOLDER
    certificate_issuer: bytes = bytes.fromhex("01023456")
    certificate_expiry: bytes = bytes.fromhex("1230")
    certificate_head: bytes = b"\x24" + CA_NAME
    certificate_algorithms: bytes = b"\x04\x04\x00\x21"
    certificate_key: bytes | None = None
    payment_account: bytes = b"3104170000012345"
    holder_key: bytes | None = None
    authorised_until: int = NOW + DAY
    validity_s: int = 60
    custom: bytes = b"line 10"
    custom_length: int | None = None
    generated_at: int = NOW - 5
    length: int | None = None
    tags: bytes = b"\x15\x15"
    tail: bytes = b""

    def certificate(self) -> bytes:
        key = self.certificate_key or sm2.compress(sm2.public_key(self.issuer))
        signed = (
            b"\x12" + self.certificate_issuer + self.certificate_expiry + b"\0\0\x07"
            + self.certificate_algorithms + key
        )  # fmt: skip
        return self.certificate_head + signed + sm2.sign(self.ca, signed)

    def code(self) -> bytes:
        body = (
            self.certificate()
            + self.payment_account
            + bytes(10)
            + bytes.fromhex("01023456")
            + bytes.fromhex("00000001")
            + b"\x01"
            + (20_000).to_bytes(3, "big")
            + (self.holder_key or sm2.compress(sm2.public_key(self.holder)))
            + self.authorised_until.to_bytes(4, "big")
            + self.validity_s.to_bytes(2, "big")
            + bytes([len(self.custom) if self.custom_length is None else self.custom_length])
            + self.custom
        )
        rest = len(body) + 65 + 4 + 65 + len(self.tail)
        head = bytes([self.version]) + (rest if self.length is None else self.length).to_bytes(
            2, "big"
        )
        body += self.tags[:1] + sm2.sign(self.issuer, body) + self.generated_at.to_bytes(4, "big")
        return head + body + self.tags[1:] + sm2.sign(self.holder, head + body) + self.tail


def ca_key(private: int = CA, *, kid: bytes = CA_NAME, **pins: Any) -> IssuerKey:
    """Return the pinned CA key of the ride codes."""
    pins = {
        "issuer": "transport-ca",
        "formats": frozenset({FormatName.TRANSIT}),
        "is_root": True,
    } | pins
    return issuer_key(private, kid=kid, **pins)


# --- pretix ----------------------------------------------------------------------------------------


def ticket(
    *, seed: bytes = b"CTJqJOl1H", item: int = 1, variation: int = 14,
    valid_from: int | None = None, valid_until: int | None = None,
) -> bytes:  # fmt: skip
    """Return a ticket in protocol buffers."""
    data = (
        b"\x0a" + bytes([len(seed)]) + seed + b"\x10" + varint(item) + b"\x18" + varint(variation)
    )
    for tag, value in ((b"\x28", valid_from), (b"\x30", valid_until)):
        if value is not None:
            data += tag + varint(value)
    return data


def varint(value: int) -> bytes:
    """Return a number as protocol buffers write it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def pretix(
    data: bytes | None = None, *, key: ed25519.Ed25519PrivateKey | None = None,
    version: int = 1, sizes: tuple[int, int] | None = None, signature: bytes | None = None,
) -> bytes:  # fmt: skip
    """Return a signed ticket code."""
    data = ticket() if data is None else data
    signature = (key or ed_key()).sign(data) if signature is None else signature
    first, second = sizes or (len(data), len(signature))
    head = bytes([version]) + first.to_bytes(2, "big") + second.to_bytes(2, "big")
    return base64.b64encode(head + data + signature)[::-1]


# --- Aadhaar ---------------------------------------------------------------------------------------

AADHAAR_FIELDS = (
    "3", "269720260308114407437", "Sumit Kumar", "01-01-1984", "M", "C/O Ishwar Chand", "East Delhi",
    "", "B-31, 3rd Floor", "", "110051", "Krishna Nagar", "Delhi", "Radhey Shyam Park Extension",
    "Gandhi Nagar", "Krishna Nagar",
)  # fmt: skip


@cache
def codestream() -> bytes:
    """Return a small JPEG 2000 codestream."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (60, 60), (90, 60, 40)).save(out, "JPEG2000", no_jp2=True)
    return out.getvalue()


def aadhaar_signed(
    version: int = 2, *, photo: bytes | None = None, tail: bytes | None = None,
    **changes: str,
) -> bytes:  # fmt: skip
    """Return the signed part; `changes` name fields by their index, as `f2="name"`."""
    fields = list(AADHAAR_FIELDS)
    if version > 1:
        fields.append("1234")
    for name, value in changes.items():
        fields[int(name[1:])] = value
    head = b"" if version == 1 else f"V{version}".encode() + b"\xff"
    body = b"".join(value.encode("latin-1") + b"\xff" for value in fields)
    tail = (
        (b"\x11" * 32 * int(fields[0]).bit_count() if version == 1 else b"")
        if tail is None
        else tail
    )
    return head + body + (codestream() if photo is None else photo) + tail


def aadhaar(
    signed: bytes | None = None, *, key: rsa.RSAPrivateKey | None = None, pack: str = "gzip",
    signature: bytes | None = None,
) -> bytes:  # fmt: skip
    """Return a code as decimal digits."""
    signed = aadhaar_signed() if signed is None else signed
    if signature is None:
        signature = (key or rsa_key()).sign(signed, padding.PKCS1v15(), hashes.SHA256())
    data = signed + signature
    packed = (
        gzip.compress(data, mtime=0)
        if pack == "gzip"
        else zlib.compress(data)
        if pack == "zlib"
        else data
    )
    return _digits(int.from_bytes(packed, "big"))


def _digits(number: int) -> bytes:
    """Write a number in digits, of which Python writes 4,300 at once."""
    text = b""
    while number:
        number, step = divmod(number, 10**4_000)
        text = (str(step).zfill(4_000) if number else str(step)).encode() + text
    return text


def uidai_key(private: rsa.RSAPrivateKey | None = None, **pins: Any) -> IssuerKey:
    """Return UIDAI's entry in the trust set."""
    pins.setdefault("issuer", "uidai")
    return issuer_key(private or rsa_key(), algorithm=Algorithm.RS256, **pins)


# --- COSE ------------------------------------------------------------------------------------------

_ALG = {Algorithm.ES256: -7, Algorithm.ES384: -35, Algorithm.EDDSA: -8, Algorithm.PS256: -37}


def raw_sign(private: Any, message: bytes, hash_: hashes.HashAlgorithm | None = None) -> bytes:
    """Return a signature as COSE has it."""
    match private:
        case ed25519.Ed25519PrivateKey():
            return private.sign(message)
        case rsa.RSAPrivateKey():
            return private.sign(
                message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
            )
    octets = private.key_size // 8
    hash_ = hash_ or (hashes.SHA256() if octets == 32 else hashes.SHA384())
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hash_)))
    return r.to_bytes(octets, "big") + s.to_bytes(octets, "big")


def sign1(
    payload: bytes, private: Any, *, protected: Mapping[Any, Any] | bytes, unprotected: Mapping[Any, Any] | None = None,
    tags: Sequence[int] = (18,), signature: bytes | None = None, hash_: hashes.HashAlgorithm | None = None,
) -> bytes:  # fmt: skip
    """Return a COSE_Sign1, however broken its headers are."""
    raw = (
        protected
        if isinstance(protected, bytes)
        else cbor.encode(dict(protected))
        if protected
        else b""
    )
    message = cose.Sign1({}, {}, payload, b"", raw)
    if signature is None:
        signature = raw_sign(private, cose.signed_bytes(message), hash_)
    item: Any = [raw, dict(unprotected or {}), payload, signature]
    for tag in reversed(tags):
        item = cbor.Tagged(tag, item)
    return cbor.encode(item)


def pack(data: bytes, how: str = "zlib") -> bytes:
    """Compress."""
    return {"zlib": zlib.compress, "brotli": brotli.compress, "none": bytes}[how](data)


# --- Claim 169 -------------------------------------------------------------------------------------

FACE = {0: b"\xff\xd8\xff\xe0face", 1: 0, 2: 1}
FINGER = {0: b"FMR\0 20", 1: 1, 2: 1, 3: "r503"}
IDENTITY = {
    1: "3918592438", 2: "1.0", 4: "Janardhan BS", 8: "19840418", 9: 1, 13: "IN", 62: [FACE], 50: [FINGER],
}  # fmt: skip


def identity_claims(**changes: Any) -> dict[Any, Any]:
    """Return CWT claims; changes by name, None takes a claim away."""
    claims = {
        Claim.ISS: "https://mosip.example.org", Claim.EXP: NOW + DAY, Claim.NBF: NOW - DAY,
        Claim.IAT: NOW - DAY, Claim.IDENTITY: IDENTITY,
    }  # fmt: skip
    for name, value in changes.items():
        label = getattr(Claim, name.upper())
        claims[label] = value
        if value is None:
            del claims[label]
    return claims


def claim169(
    claims: Mapping[Any, Any] | bytes | None = None, private: Any = None, *,
    protected: Mapping[Any, Any] | None = None, kid: bytes | None = b"key-1", alg: int | None = None,
    how: str = "zlib", encrypt: bytes | None = None, **more: Any,
) -> bytes:  # fmt: skip
    """Return an identity as published."""
    private = private or ec_key()
    claims = identity_claims() if claims is None else claims
    payload = claims if isinstance(claims, bytes) else cbor.encode(dict(claims))
    if protected is None:
        protected = {Header.ALG: alg or _ALG[issuer_key(private).algorithm]}
        if kid is not None:
            protected[Header.KID] = kid
    data = sign1(payload, private, protected=protected, **more)
    if encrypt is not None:
        data = encrypt0(data, encrypt)
    return base45.encode(pack(data, how)).encode()


def encrypt0(data: bytes, key: bytes, iv: bytes = bytes(12), alg: int = 3) -> bytes:
    """Return a COSE_Encrypt0 of A256GCM."""
    raw = cbor.encode({1: alg})
    bound = cbor.encode(["Encrypt0", raw, b""])
    return cbor.encode(cbor.Tagged(16, [raw, {5: iv}, AESGCM(key).encrypt(iv, data, bound)]))


# --- DCC -------------------------------------------------------------------------------------------

VACCINATION = {
    "tg": "840539006", "vp": "1119349007", "mp": "EU/1/20/1528", "ma": "ORG-100030215", "dn": 1, "sd": 2,
    "dt": "2026-02-18", "co": "AT", "is": "Ministry of Health, Austria", "ci": "URN:UVCI:01:AT:1078#B",
}  # fmt: skip
TEST = {
    "tg": "840539006", "tt": "LP6464-4", "sc": "2026-05-27T08:00:00Z", "tr": "260415000", "co": "AT",
    "is": "Ministry of Health, Austria", "ci": "URN:UVCI:01:AT:B555#6",
}  # fmt: skip
RECOVERY = {
    "tg": "840539006", "fr": "2026-02-20", "co": "AT", "is": "Ministry of Health, Austria",
    "df": "2026-04-04", "du": "2026-10-04", "ci": "URN:UVCI:01:AT:858C#H",
}  # fmt: skip


def health(**changes: Any) -> dict[str, Any]:
    """Return a certificate; changes by name, None takes a field away."""
    whole = {
        "ver": "1.3.0", "nam": {"fn": "Musterfrau", "fnt": "MUSTERFRAU", "gn": "Gabriele", "gnt": "GABRIELE"},
        "dob": "1998-02-26", "v": [VACCINATION],
    } | changes  # fmt: skip
    return {name: value for name, value in whole.items() if value is not None}


def dcc(
    certificate: Any = None, private: Any = None, *, claims: Mapping[Any, Any] | None = None,
    protected: Mapping[Any, Any] | None = None, how: str = "zlib", prefix: str = "HC1:", kid: bytes = b"key-1",
    **more: Any,
) -> bytes:  # fmt: skip
    """Return a health certificate."""
    private = private or ec_key()
    whole = {
        1: "AT",
        4: NOW + DAY,
        6: NOW - DAY,
        -260: {1: health() if certificate is None else certificate},
    }
    whole |= claims or {}
    payload = cbor.encode({label: value for label, value in whole.items() if value is not None})
    if protected is None:
        protected = {Header.ALG: _ALG[issuer_key(private).algorithm], Header.KID: kid}
    data = sign1(payload, private, protected=protected, **more)
    return (prefix + base45.encode(pack(data, how))).encode()


# --- certificates ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Certificate:
    """A certificate to be made."""

    subject: str
    issuer: str
    private: Any
    signer: Any
    ca: bool | None = None
    path_length: int | None = None
    first: int = NOW - DAY
    last: int = NOW + DAY
    usage: str | None = None
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = field(default=())
    hash_: type[hashes.HashAlgorithm] = hashes.SHA256

    @cache  # noqa: B019 - a handful of constants; ECDSA signs differently each time
    def der(self) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(self.subject))
            .issuer_name(_name(self.issuer))
            .public_key(self.private.public_key())
            .serial_number(4711)
            .not_valid_before(dt.datetime.fromtimestamp(self.first, dt.UTC))
            .not_valid_after(dt.datetime.fromtimestamp(self.last, dt.UTC))
        )
        if self.ca is not None:
            builder = builder.add_extension(
                x509.BasicConstraints(self.ca, self.path_length), critical=True
            )
        if self.usage is not None:
            builder = builder.add_extension(_usage(self.usage), critical=True)
        for extension, critical in self.extensions:
            builder = builder.add_extension(extension, critical=critical)
        hash_ = None if isinstance(self.signer, ed25519.Ed25519PrivateKey) else self.hash_()
        return builder.sign(self.signer, hash_).public_bytes(serialization.Encoding.DER)

    def but(self, **changes: Any) -> Certificate:
        return replace(self, **changes)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _usage(named: str) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name == named for name in names})


ROOT = Certificate("Root", "Root", ec_key(100), ec_key(100), ca=True, usage="key_cert_sign")
MIDDLE = Certificate(
    "Middle", "Root", ec_key(101), ec_key(100), ca=True, path_length=0, usage="key_cert_sign"
)
LEAF = Certificate("Leaf", "Middle", ec_key(102), ec_key(101), ca=False, usage="digital_signature")
DIRECT = LEAF.but(issuer="Root", signer=ec_key(100))


def root_key(certificate: Certificate = ROOT, **pins: Any) -> IssuerKey:
    """Return the trust set's entry for a root."""
    return issuer_key(
        certificate.private, issuer=pins.pop("issuer", "national-root"), certificate=certificate.der(),
        is_root=True, **pins,
    )  # fmt: skip
