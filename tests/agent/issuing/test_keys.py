"""Keys of issuers and holders, and the files that they are kept in."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.credential import cbor
from agent.issuing.keys import ISSUING, Holder, PublicHolder, SigningKey, load_holder, new_issuer


@pytest.mark.parametrize("algorithm", ISSUING)
def test_private_keys_survive_their_file(algorithm):
    key = SigningKey.new(algorithm)
    again = SigningKey.from_pem(key.private_pem())
    assert (again.algorithm, again.public_pem()) == (key.algorithm, key.public_pem())


def test_no_issuing_with_rs256():
    with pytest.raises(ValueError, match="allowed: ES256"):
        new_issuer("city", "RS256")


# --- holders -------------------------------------------------------------------------------------

RFC_8037_KEY = {
    "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}  # fmt: skip
"""RFC 8037, appendix A.2; A.3 gives its thumbprint."""
P256 = {
    "kty": "EC", "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}  # fmt: skip
"""RFC 7515, appendix A.3.1."""


def test_the_thumbprint_is_that_of_the_rfc():
    said = PublicHolder.from_jwk(RFC_8037_KEY).thumbprint()
    expected = base64.urlsafe_b64decode("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k=")
    assert said == expected.hex()


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
def test_one_key_is_one_holder_however_it_is_written(algorithm, tmp_path):
    private = Holder.new(algorithm)
    key = private.cose_key()
    names = {1: ("OKP", {6: "Ed25519"}), 2: ("EC", {1: "P-256", 2: "P-384"})}[key[1]]
    jwk = {"kty": names[0], "crv": names[1][key[-1]], "kid": "phone", "ext": True}
    jwk |= {name: base64.urlsafe_b64encode(key[number]).rstrip(b"=").decode()
            for name, number in (("x", -2), ("y", -3)) if number in key}  # fmt: skip
    forms = {
        "public.pem": private.key.public_pem(),
        "key.jwk": json.dumps(jwk).encode(),
        "key.cose": cbor.encode(key),
        "private.pem": private.key.private_pem(),
    }
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
    found = [load_holder(tmp_path / name) for name in forms]
    found += [PublicHolder.from_jwk(jwk), PublicHolder.from_cose_key(key)]
    found += [
        PublicHolder.from_pem(forms["public.pem"]),
        PublicHolder.from_cose_key(forms["key.cose"]),
    ]
    assert {holder.thumbprint() for holder in found} == {private.thumbprint()}
    assert all(holder.cose_key() == key for holder in found)
    assert isinstance(found[3], Holder)
    assert not any(isinstance(holder, Holder) for holder in found[:3] + found[4:])


@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        (P256 | {"d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}, "private"),
        (RFC_8037_KEY | {"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}, "private"),
        ({"kty": "oct", "k": "AAAA"}, "private or secret"),
        (P256 | {"y": P256["x"]}, "not a point of the curve"),
        (P256 | {"x": "AAAA"}, "32 bytes"),
        (P256 | {"y": 7}, "in its members"),
        (P256 | {"crv": "P-521"}, "neither"),
        (P256 | {"crv": ["P-256"]}, "."),
        (P256 | {"use": "enc"}, "verify"),
        (P256 | {"alg": "ES384"}, "alg"),
        (RFC_8037_KEY | {"x": base64.urlsafe_b64encode(bytes(32)).decode()[:43]}, "anybody can sign"),
        ({"kty": "RSA", "e": "AQAB", "n": "7" * 342}, "P-256, P-384 or Ed25519"),
        ({"keys": [P256]}, "no kty"),
        ({"kty": "EC", "keys": [P256]}, "a set of keys"),
        ({}, "no kty"),
        ([P256], "no kty"),
        (P256 | {"x": b"bytes"}, "damaged"),
    ],
)  # fmt: skip
def test_a_key_that_is_no_phones_public_one_is_refused(jwk, why):
    with pytest.raises(ValueError, match=why) as caught:
        PublicHolder.from_jwk(jwk)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"\xa0", b"{", b"-----BEGIN PUBLIC KEY-----\nAA\n-----END PUBLIC KEY-----\n",
     b"x" * 70_000, SigningKey.new("PS256").private_pem(), SigningKey.new("SM2").private_pem(),
     SigningKey.new("SM2").public_pem(), cbor.encode(Holder.new().cose_key() | {-4: bytes(32)})],
    ids=["empty", "byte", "map", "brace", "pem", "long", "rsa", "sm2", "sm2 public", "private cose"],
)  # fmt: skip
def test_a_file_that_holds_no_holder_is_named(data, tmp_path):
    file = tmp_path / "key"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{file}: "):
        load_holder(file)
    with pytest.raises(ValueError, match=r"\w"):
        PublicHolder.from_cose_key(data)
    with pytest.raises(ValueError, match=r"\w"):
        PublicHolder.from_pem(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50) | st.sampled_from(
        ["EC", "OKP", "RSA", "P-256", "Ed25519", "SM2", P256["x"], RFC_8037_KEY["x"]]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
MEMBERS = ("kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "key_ops", "point")


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON) | JSON)
def test_whatever_is_no_key_is_one_error(jwk):
    try:
        held = PublicHolder.from_jwk(jwk)
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most are refused, and some are keys
    else:
        assert len(held.thumbprint()) == 64


def test_a_key_that_is_deeper_than_any_stack_is_refused(tmp_path):
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="damaged JWK"):
        PublicHolder.from_jwk({"kty": deep})
    (tmp_path / "deep.jwk").write_text('{"kty": ' + "[" * 30_000 + "]" * 30_000 + "}")
    with pytest.raises(ValueError, match="JWK"):
        load_holder(tmp_path / "deep.jwk")
