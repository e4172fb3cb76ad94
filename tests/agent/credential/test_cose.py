"""COSE messages: round trips, hostile bytes, and python-cwt as an oracle."""

from __future__ import annotations

import cbor2
import cwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.credential import cbor, cose
from agent.credential.algorithms import ALGORITHMS, SignatureAlgorithm
from agent.credential.issuers import Algorithm
from agent.credential.model import Rejected
from agent.credential.numbers import Alg, Header
from agent.issuing import issue
from agent.reason import Reason

KEYS = {name: issue.SigningKey.new(name) for name in ("ES256", "ES384", "EdDSA", "PS256")}
REFUSALS = {
    Reason.MALFORMED, Reason.UNSIGNED, Reason.ALGORITHM_MISMATCH, Reason.UNKNOWN_CRITICAL_HEADER,
    Reason.BAD_SIGNATURE,
}  # fmt: skip


def _oracle(key: issue.SigningKey) -> cwt.COSEKey:
    pem = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return cwt.COSEKey.from_pem(pem, alg=str(key.algorithm), kid=b"01234567")


ORACLES = {name: _oracle(key) for name, key in KEYS.items()}


def _ours(data: bytes, key: issue.SigningKey) -> bytes | Reason:
    """Return the payload, or why it is refused."""
    try:
        message = cose.parse_sign1(data)
        cose.verify(message, key.algorithm, key.public)
    except Rejected as error:
        return error.reason
    return message.payload


def _theirs(data: bytes, name: str) -> bytes | None:
    try:
        payload = cwt.COSE.new().decode(data, ORACLES[name])
    except Exception:  # noqa: BLE001 - the oracle's many errors all mean "refused"
        return None
    return payload if isinstance(payload, bytes) else cbor2.dumps(payload)


@pytest.mark.parametrize("name", KEYS)
def test_what_we_sign_python_cwt_verifies(name):
    data = issue.sign1(KEYS[name], {1: "iss"}, kid=b"01234567")
    assert _theirs(data, name) == cbor.encode({1: "iss"})
    assert _theirs(data[:-1] + bytes((data[-1] ^ 1,)), name) is None


@pytest.mark.parametrize("name", KEYS)
def test_what_python_cwt_signs_we_verify(name):
    pem = KEYS[name].private_pem()
    signer = cwt.COSEKey.from_pem(pem, alg=name)
    data = cwt.COSE.new(alg_auto_inclusion=True).encode_and_sign(b"payload", signer)
    assert _ours(data, KEYS[name]) == b"payload"


@pytest.mark.parametrize("name", ["ES256", "EdDSA"])
@settings(max_examples=150)
@given(data=st.data())
def test_we_are_never_more_lenient_than_python_cwt(name, data):
    message = bytearray(issue.sign1(KEYS[name], {1: "iss", 4: 99}, kid=b"01234567"))
    for _ in range(data.draw(st.integers(1, 2))):
        kind = data.draw(st.sampled_from(["set", "drop", "insert"]))
        where = data.draw(st.integers(0, len(message) - 1))
        byte = data.draw(st.integers(0, 255))
        if kind == "set":
            message[where] = byte
        elif kind == "drop":
            del message[where]
        else:
            message.insert(where, byte)
    ours = _ours(bytes(message), KEYS[name])
    if isinstance(ours, bytes):
        assert _theirs(bytes(message), name) == ours
    else:
        assert ours in REFUSALS


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    for prefix in (b"", b"\xd2\x84", b"\xd2\x84\x43\xa1\x01\x26\xa0", b"\xd8\x3d\xd2\x84"):
        assert _ours(prefix + data, KEYS["ES256"]) in REFUSALS


@given(
    st.dictionaries(
        st.one_of(st.integers(-70000, 70000), st.text(max_size=4)),
        st.recursive(
            st.one_of(st.integers(-9, 9), st.text(max_size=4), st.binary(max_size=4)),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
        max_size=4,
    ),
    st.dictionaries(st.integers(-20, 20), st.integers(-9, 9), max_size=3),
)
def test_any_headers_are_read_or_refused(protected, unprotected):
    key = KEYS["EdDSA"]
    raw = cbor.encode(protected)
    signature = key.sign(cbor.encode(["Signature1", raw, b"", b"payload"]))
    outcome = _ours(cbor.encode(cbor.Tagged(18, [raw, unprotected, b"payload", signature])), key)
    sound = (
        protected.get(Header.ALG) in (Alg.EDDSA, Alg.ED25519)
        and Header.CRIT not in protected
        and not {Header.ALG, Header.CRIT} & set(unprotected)
        and not set(protected) & set(unprotected)
    )
    if sound:
        assert outcome == b"payload"
    elif Header.CRIT not in protected:
        assert outcome in REFUSALS


def test_every_algorithm_has_its_own_number_and_a_pin():
    assert set(ALGORITHMS) == {-7, -8, -9, -19, -35, -37, -51, -65600}
    for number, algorithm in ALGORITHMS.items():
        assert issubclass(algorithm, SignatureAlgorithm)
        assert algorithm.number == number
        assert isinstance(algorithm.pinned, Algorithm)
        assert algorithm.pinned is not Algorithm.RS256


@pytest.mark.parametrize("name", KEYS)
def test_a_key_fits_its_own_algorithm_alone(name):
    fitting = {entry.pinned for entry in ALGORITHMS.values() if entry.fits(KEYS[name].public)}
    assert fitting == {Algorithm(name)}


@pytest.mark.parametrize("bits", [1024, 8192])
def test_rsa_keys_of_other_sizes_fit_nothing(bits):
    from cryptography.hazmat.primitives.asymmetric import rsa

    # A public key needs no primes to be measured.
    key = rsa.RSAPublicNumbers(65537, (1 << (bits - 1)) + 1).public_key()
    assert not any(entry.fits(key) for entry in ALGORITHMS.values())


def test_verify_any_tells_the_most_telling_reason():
    data = issue.sign1(KEYS["ES256"], {1: "iss"})
    message = cose.parse_sign1(data)
    honest = issue.Issuer("a", "a", KEYS["ES256"]).issuer_key()
    other = issue.new_issuer("b").issuer_key()
    another = issue.Issuer("c", "c", KEYS["EdDSA"]).issuer_key()
    assert cose.verify_any(message, [another, other, honest]) is honest
    for keys, reason in (
        ([], Reason.UNKNOWN_ISSUER),
        ([another], Reason.ALGORITHM_MISMATCH),
        ([other, another], Reason.BAD_SIGNATURE),
        ([another, other], Reason.BAD_SIGNATURE),
    ):
        with pytest.raises(Rejected) as refused:
            cose.verify_any(message, keys)
        assert refused.value.reason is reason
