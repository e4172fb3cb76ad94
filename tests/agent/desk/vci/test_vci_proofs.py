"""Key proofs: what is refused, each for its own reason (OpenID4VCI 1.0 appendix F.1)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.desk.vci.errors import VciError
from agent.desk.vci.proofs import read_proof
from agent.issuing.keys import Holder, SigningKey
from tests.support.phones import b64url, jwk, proof

AUDIENCE = "https://desk.localhost:8444"
KEY = SigningKey.new("ES256")
OTHER = SigningKey.new("ES256")
P384 = SigningKey.new("ES384")
PRIVATE = KEY.private.private_numbers().private_value.to_bytes(32)


def made(**more) -> str:
    return proof(KEY, **({"nonce": "n"} | more))


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
def test_each_algorithm(algorithm):
    key = SigningKey.new(algorithm)
    found = read_proof(proof(key, nonce="n"), AUDIENCE)
    assert found.holder.thumbprint() == Holder(key).thumbprint()
    assert found.nonce == "n"


@pytest.mark.parametrize(
    "more",
    [
        {"claims": {"aud": [AUDIENCE]}},
        {"claims": {"iat": 1}},  # a phone whose clock was never set
        {"claims": {"iat": 4_000_000_000}},
        {"claims": {"iss": "a-wallet"}},  # more than the anonymous flow has; believed by nobody
        {"header": {"jwk": jwk(Holder(KEY)) | {"key_ops": ["verify"], "ext": True}}},
    ],
)
def test_what_wallets_do_otherwise_is_taken(more):
    assert read_proof(made(**more), AUDIENCE).nonce == "n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (made(header={"alg": "none"}), "alg is none of"),
        (made(header={"alg": "HS256"}), "alg is none of"),
        (made(header={"alg": ["ES256"]}), "alg is none of"),
        (made(header={"alg": "ES384"}), "alg is not for this key"),
        (made(header={"alg": "EdDSA"}), "alg is not for this key"),
        (made(header={"typ": "JWT"}), "typ is not"),
        (made(drop=("typ",)), "typ is not"),
        (made(drop=("jwk",)), "exactly one"),
        (made(header={"kid": "did:jwk:x"}), "exactly one"),
        (made(header={"x5c": ["x"]}), "exactly one"),
        (made(header={"kid": "did:jwk:x"}, drop=("jwk",)), "kid is not taken"),
        (made(header={"x5c": ["x"]}, drop=("jwk",)), "x5c is not taken"),
        (made(header={"crit": ["exp"]}), "crit"),
        (made(header={"jwk": jwk(Holder(KEY)) | {"d": b64url(PRIVATE)}}), "no public key"),
        (made(header={"jwk": jwk(Holder(KEY)) | {"y": b64url(bytes(32))}}), "no public key"),
        (made(header={"jwk": {"kty": "oct", "k": "AAAA"}}), "no public key"),
        (made(header={"jwk": "text"}), "no public key"),
        (made(header={"jwk": {}}), "no public key"),
        (made(header={"jwk": jwk(Holder(OTHER))}), "does not verify"),
        (proof(P384, nonce="n", header={"jwk": jwk(Holder(KEY)), "alg": "ES256"}), "not verify"),
        (made(claims={"aud": "https://other.example"}), "aud"),
        (made(claims={"aud": AUDIENCE + "/"}), "aud"),
        (made(claims={"aud": [AUDIENCE, "https://other.example"]}), "aud"),
        (made(claims={"aud": {}}), "aud"),
        (made(drop=("aud",)), "aud"),
        (made(drop=("iat",)), "iat"),
        (made(claims={"iat": "now"}), "iat"),
        (made(claims={"iat": True}), "iat"),
        (made(drop=("nonce",)), "nonce is missing"),
        (made(claims={"nonce": 7}), "nonce is missing"),
        (made(claims={"nonce": ""}), "nonce is missing"),
        ("", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d", "three parts"),
        (made().rpartition(".")[0] + ".", "does not verify"),
        (made() + "=", "padding"),
        ("ä.b.c", "padding"),
        ("*." + made().partition(".")[2], "padding"),
        (b64url(b"[]") + "." + made().partition(".")[2], "JSON objects"),
        (b64url(b"[" * 5_000) + ".e30.AAAA", "JSON objects"),
        ("A" * 8_193, "over 8192"),
    ],
)
def test_what_is_refused_says_why(text, why):
    with pytest.raises(VciError, match=why) as told:
        read_proof(text, AUDIENCE)
    assert told.value.code == "invalid_proof"
    assert told.value.description.isascii()


def test_a_signature_in_der_is_refused():
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    signed = made().rpartition(".")[0]
    der = KEY.private.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    with pytest.raises(VciError, match="no DER"):
        read_proof(f"{signed}.{b64url(der)}", AUDIENCE)


def test_changed_claims_are_found():
    head, body, signature = made().split(".")
    claims = json.dumps({"aud": AUDIENCE, "iat": 1, "nonce": "m"}).encode()
    assert b64url(claims) != body
    with pytest.raises(VciError, match="does not verify"):
        read_proof(f"{head}.{b64url(claims)}.{signature}", AUDIENCE)


@given(st.text(max_size=200) | st.from_regex(r"[\w-]{0,80}\.[\w-]{0,80}\.[\w-]{0,80}"))
def test_anything_else_is_one_error(text):
    with pytest.raises(VciError):
        read_proof(text, AUDIENCE)


@given(
    st.dictionaries(
        st.sampled_from(["typ", "alg", "jwk", "aud", "iat", "nonce"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
        ),
    )
)
def test_any_values_are_one_error_or_a_proof(values):
    header = {k: v for k, v in values.items() if k in ("typ", "alg", "jwk")}
    claims = {k: v for k, v in values.items() if k not in header}
    try:
        found = read_proof(made(header=header, claims=claims), AUDIENCE)
    except VciError as told:
        said = str(told.code)
    else:
        said = found.holder.thumbprint()
    assert said in {"invalid_proof", Holder(KEY).thumbprint()}
