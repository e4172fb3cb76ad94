"""Wycheproof's signature vectors through the formats that verify without COSE."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.credential import aadhaar, pretix
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import Rejected
from agent.reason import Reason
from tests.support.makers import NOW, trust
from tests.support.paths import VECTORS

Signer = Callable[..., object]


def groups(name: str) -> list[dict[str, Any]]:
    path = VECTORS / "wycheproof" / name
    found: list[dict[str, Any]] = json.loads(path.read_text())["testGroups"]
    return found


def accepted(signer: Signer, case: dict[str, Any], *trusted: Any) -> bool:
    try:
        signer(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]), *trusted)
    except Rejected as error:
        if error.reason is not Reason.BAD_SIGNATURE:
            raise
        return False
    return True


def test_rsa_pkcs1_as_aadhaar_verifies_it() -> None:
    seen = 0
    for group in groups("rsa_signature_2048_sha256_test.json"):
        public = load_der_public_key(bytes.fromhex(group["publicKeyDer"]))
        keys = trust(IssuerKey("vector", b"kid", Algorithm.RS256, public))
        for case in group["tests"]:
            # "acceptable" is a signature whose digest lacks its NULL: no reader need take it.
            allowed = {"valid": {True}, "invalid": {False}, "acceptable": {True, False}}
            assert accepted(aadhaar._signers, case, keys) in allowed[case["result"]], case[
                "comment"
            ]
            seen += 1
    assert seen > 200


def test_ed25519_as_pretix_verifies_it() -> None:
    seen = 0
    for group in groups("ed25519_test.json"):
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        keys = trust(IssuerKey("vector", b"kid", Algorithm.EDDSA, public))
        for case in group["tests"]:
            assert accepted(pretix._signer, case, keys, NOW) is (case["result"] == "valid"), case[
                "comment"
            ]
            seen += 1
    assert seen > 100
