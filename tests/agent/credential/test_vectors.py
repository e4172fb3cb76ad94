"""Vectors that others wrote, through this project's own verify path."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.credential import cbor, cose
from agent.credential.algorithms import ALGORITHMS
from agent.credential.issuers import Algorithm
from agent.credential.keys import KeyFileError, load_public_key
from agent.credential.model import Rejected
from agent.credential.numbers import Alg, Header, Tag
from agent.reason import Reason

COSE_NAMES = {"ES256": Alg.ES256, "ES384": Alg.ES384, "EdDSA": Alg.EDDSA, "RSA-PSS-256": Alg.PS256}


def _jwk(key: dict) -> bytes:
    """Turn the working group's key into a JWK; its hexadecimal members become base64url."""
    out = {"kty": {"EC2": "EC"}.get(key["kty"], key["kty"]), "crv": key.get("crv")}
    for name, value in key.items():
        if name in {"x", "y"}:
            out[name] = value
        elif name in {"x_hex", "y_hex", "n_hex", "e_hex"}:
            text = base64.urlsafe_b64encode(bytes.fromhex(value)).decode().rstrip("=")
            out[name[0]] = text
    return json.dumps(out).encode()


# --- COSE working group --------------------------------------------------------------------------

SIGN1 = {
    "CWT/A_3": None,
    "ecdsa-examples/ecdsa-sig-01": None,
    "ecdsa-examples/ecdsa-sig-02": None,
    "ecdsa-examples/ecdsa-sig-03": "key",  # P-521
    "ecdsa-examples/ecdsa-sig-04": Reason.ALGORITHM_MISMATCH,  # ES512 on P-256
    "eddsa-examples/eddsa-sig-01": None,
    "eddsa-examples/eddsa-sig-02": "key",  # Ed448
    "sign1-tests/sign-pass-01": Reason.ALGORITHM_MISMATCH,  # alg only unprotected: refused here
    "sign1-tests/sign-pass-02": None,
    "sign1-tests/sign-pass-03": None,
    "sign1-tests/sign-fail-01": Reason.MALFORMED,
    "sign1-tests/sign-fail-02": Reason.BAD_SIGNATURE,
    "sign1-tests/sign-fail-03": Reason.ALGORITHM_MISMATCH,
    "sign1-tests/sign-fail-04": Reason.ALGORITHM_MISMATCH,
    "sign1-tests/sign-fail-06": Reason.BAD_SIGNATURE,
    "sign1-tests/sign-fail-07": Reason.BAD_SIGNATURE,
}


@pytest.mark.parametrize("name", SIGN1)
def test_cose_wg_sign1(vectors, name):
    expected = SIGN1[name]
    case = json.loads((vectors("cose_wg") / f"{name}.json").read_text())
    signer = case["input"]["sign0"]
    if expected == "key":
        with pytest.raises(KeyFileError):
            load_public_key(_jwk(signer["key"]))
        return
    public = load_public_key(_jwk(signer["key"]))
    data = bytes.fromhex(case["output"]["cbor"])
    external = bytes.fromhex(signer.get("external", ""))
    if expected is not None:
        with pytest.raises(Rejected) as refused:
            cose.verify(cose.parse_sign1(data, untagged=True), public.algorithms[0], public.key)
        assert refused.value.reason is expected
        return
    message = cose.parse_sign1(data, untagged=True)
    to_be_signed = bytes.fromhex(case["intermediates"]["ToBeSign_hex"])
    assert cose.signed_bytes(message, external) == to_be_signed
    if external:
        with pytest.raises(Rejected):
            cose.verify(message, public.algorithms[0], public.key)
        algorithm = cose.algorithm_of(message)
        assert algorithm.verify(public.key, message.signature, to_be_signed)
    else:
        cose.verify(message, public.algorithms[0], public.key)
    assert message.payload == (
        bytes.fromhex(case["input"]["plaintext_hex"])
        if "plaintext_hex" in case["input"]
        else case["input"]["plaintext"].encode()
    )


def test_cose_wg_untagged_needs_leave(vectors):
    case = json.loads((vectors("cose_wg") / "sign1-tests/sign-pass-03.json").read_text())
    with pytest.raises(Rejected):
        cose.parse_sign1(bytes.fromhex(case["output"]["cbor"]))


SIGN = ["ecdsa-examples/ecdsa-01", "eddsa-examples/eddsa-01", "rsa-pss-examples/rsa-pss-01"]
SIGN += [f"x509-examples/signed-0{number}" for number in range(1, 6)]


@pytest.mark.parametrize("name", SIGN)
def test_cose_wg_sign(vectors, name):
    """COSE_Sign is no format here: refused as a message, while its signatures verify."""
    case = json.loads((vectors("cose_wg") / f"{name}.json").read_text())
    data = bytes.fromhex(case["output"]["cbor"])
    with pytest.raises(Rejected):
        cose.parse_sign1(data, untagged=True)
    signers = cbor.decode(data, tags=(98,), shortest=False).value[3]
    for signer, description, intermediate in zip(
        signers, case["input"]["sign"]["signers"], case["intermediates"]["signers"], strict=True
    ):
        algorithm = ALGORITHMS[cbor.decode(signer[0])[Header.ALG]]
        public = load_public_key(_jwk(description["key"]))
        assert algorithm.pinned is public.algorithms[0]
        message = bytes.fromhex(intermediate["ToBeSign_hex"])
        assert algorithm.verify(public.key, signer[2], message)
        assert not algorithm.verify(public.key, signer[2], message + b"\x00")


@pytest.mark.parametrize("name", ["CWT/A_4", "CWT/A_7"])
def test_cose_wg_mac_is_no_signature(vectors, name):
    case = json.loads((vectors("cose_wg") / f"{name}.json").read_text())
    with pytest.raises(Rejected) as refused:
        cose.parse_sign1(bytes.fromhex(case["output"]["cbor"]))
    assert refused.value.reason is Reason.UNSIGNED


@pytest.mark.parametrize("name", ["CWT/A_5", "CWT/A_6"])
def test_cose_wg_other_encryption(vectors, name):
    case = json.loads((vectors("cose_wg") / f"{name}.json").read_text())
    data = bytes.fromhex(case["output"]["cbor"])
    with pytest.raises(Rejected) as refused:
        cose.decrypt0(data, (b"k" * 32,))
    assert refused.value.reason is Reason.ALGORITHM_MISMATCH


# --- Wycheproof ----------------------------------------------------------------------------------

WYCHEPROOF = {
    "ecdsa_secp256r1_sha256_p1363_test": Alg.ES256,
    "ecdsa_secp384r1_sha384_p1363_test": Alg.ES384,
    "ed25519_test": Alg.EDDSA,
    "rsa_pss_2048_sha256_mgf1_32_test": Alg.PS256,
}


def _groups(folder, name):
    table = json.loads((folder / f"{name}.json").read_text())
    for group in table["testGroups"]:
        key = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
        cases = [
            (case["tcId"], bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]), case["result"])
            for case in group["tests"]
        ]
        yield key, cases


@pytest.mark.parametrize("name", WYCHEPROOF)
def test_wycheproof(vectors, name):
    algorithm = ALGORITHMS[WYCHEPROOF[name]]
    wrong, seen = [], 0
    for key, cases in _groups(vectors("wycheproof"), name):
        assert algorithm.fits(key)
        for number, message, signature, result in cases:
            seen += 1
            if algorithm.verify(key, signature, message) != (result == "valid"):
                wrong.append((number, result))
    assert not wrong
    assert seen > 100


def test_wycheproof_der_signatures_are_never_taken(vectors):
    algorithm = ALGORITHMS[Alg.ES256]
    for key, cases in _groups(vectors("wycheproof"), "ecdsa_secp256r1_sha256_test"):
        for number, message, signature, _ in cases:
            assert not algorithm.verify(key, signature, message), number


def test_wycheproof_other_curves_fit_no_algorithm(vectors):
    for key, _ in _groups(vectors("wycheproof"), "ecdsa_brainpoolP256r1_sha256_p1363_test"):
        assert not any(algorithm.fits(key) for algorithm in ALGORITHMS.values())


def test_rsa_is_never_asked_for_pkcs1(vectors):
    """PKCS #1 v1.5 signatures are Aadhaar's alone, and no COSE number leads to them."""
    for key, cases in _groups(vectors("wycheproof"), "rsa_signature_2048_sha256_test"):
        for _, message, signature, _ in cases[:20]:
            assert not ALGORITHMS[Alg.PS256].verify(key, signature, message)


# --- SD-CWT --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["kbt", "nested_kbt"])
def test_sd_cwt_key_binding_token_verifies_at_both_levels(vectors, name):
    folder = vectors("sd_cwt")
    issuer = load_public_key((folder / "issuer_pub.pem").read_bytes())
    holder = load_public_key((folder / "holder_pub.pem").read_bytes())
    outer = cose.parse_sign1((folder / f"{name}.cbor").read_bytes(), kcwt=True)
    assert outer.protected[Header.TYP] == 294
    tagged = outer.protected[Header.KCWT]
    assert tagged.number == Tag.SIGN1
    inner = cose.sign1_of(tagged.value)
    cose.verify(outer, Algorithm.ES256, holder.key, Reason.BAD_HOLDER_SIGNATURE)
    cose.verify(inner, Algorithm.ES384, issuer.key)
    with pytest.raises(Rejected):
        cose.verify(outer, Algorithm.ES256, load_public_key(_p256()).key)
    # What they disclose: test_disclosure. Who does not ask for redacted claims is given none.
    with pytest.raises(Rejected, match="CBOR"):
        cbor.decode(inner.payload, floats=True)


def _p256() -> bytes:
    from agent.issuing import issue

    return issue.SigningKey.new("ES256").public_pem()


def test_sd_cwt_of_the_issuer_alone(vectors):
    folder = vectors("sd_cwt")
    issuer = load_public_key((folder / "issuer_pub.pem").read_bytes())
    cose.verify(
        cose.parse_sign1((folder / "issuer_cwt.cbor").read_bytes()), Algorithm.ES384, issuer.key
    )
