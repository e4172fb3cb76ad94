"""Differential tests: what this reader believes, others' libraries read the same way.

python-cwt and cbor2 are lenient where this reader is strict (they take a missing `alg`, duplicate
keys, trailing bytes), so the comparison runs one way: whatever is accepted here must verify there
and say the same.
"""

from __future__ import annotations

import zlib
from typing import Any

import cbor2
import cwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.credential import base45, registry
from agent.credential.issuers import Algorithm, IssuerKey
from agent.credential.model import Credential
from tests.agent.credential import test_dcc as dcc
from tests.support import makers as make

_NAMES = {
    Algorithm.ES256: "ES256",
    Algorithm.ES384: "ES384",
    Algorithm.PS256: "PS256",
    Algorithm.EDDSA: "EdDSA",
}


def oracle(data: bytes, key: IssuerKey) -> dict[Any, Any]:
    """Return the claims of a COSE_Sign1, verified by python-cwt and decoded by cbor2."""
    pem = key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    cose_key = cwt.COSEKey.from_pem(pem, kid=key.kid, alg=_NAMES[key.algorithm])
    item = cbor2.loads(data)
    if isinstance(item, cbor2.CBORTag) and item.tag == 61:
        item = item.value
    if isinstance(item, list):
        item = cbor2.CBORTag(18, item)
    payload = cwt.COSE.new(kid_auto_inclusion=False, verify_kid=False).decode(
        cbor2.dumps(item), cose_key
    )
    claims: dict[Any, Any] = cbor2.loads(payload) if isinstance(payload, bytes) else payload
    return claims


def test_published_health_certificates_say_the_same_to_python_cwt() -> None:
    if not dcc.FOLDER.exists():
        pytest.skip("the shared DCC vectors are not beside this checkout")
    compared = 0
    for name in dcc.names():
        whole = dcc.vector(name)
        verdict = dcc.judge(whole, dcc.clock(whole))
        key = dcc.signer(whole)
        if not isinstance(verdict, Credential) or key.algorithm is Algorithm.ES384:
            continue  # python-cwt ties ES256 to P-256, as the native profile does
        data = zlib.decompress(base45.decode(whole["PREFIX"].removeprefix("HC1:").encode()))
        claims = oracle(data, key)
        assert claims[-260][1] == verdict.claims["certificate"]
        assert (int(claims[6]), int(claims[4])) == (verdict.issued_at, verdict.valid_until)
        compared += 1
    assert compared > 50


@pytest.mark.parametrize(
    "private",
    [make.ec_key(), make.ec_key(1, make.ec.SECP384R1), make.ed_key(), make.rsa_key()],
    ids=["ES256", "ES384", "EdDSA", "PS256"],
)
@pytest.mark.parametrize("tags", [(18,), (61, 18), ()])
def test_identities_say_the_same_to_python_cwt(private: Any, tags: tuple[int, ...]) -> None:
    key = make.issuer_key(private)
    payload = make.claim169(private=private, tags=tags)
    credential = registry.read(payload, keys=make.trust(key), rules=make.RULES)
    claims = oracle(zlib.decompress(base45.decode(payload)), key)
    assert claims[169][1] == credential.subject
    assert claims[169][62][0][0] == credential.references[0].data
    assert claims[4] - 1 == credential.valid_until
