"""A published trust set of one issuer, with keys that nobody keeps."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner

from agent.issuing.keys import new_issuer
from agent.trust.publish import ROLES, Lifetimes, Repository

__all__ = ["small_repository"]


def small_repository(path: Path, *, now: int) -> Repository:
    """Make and publish it."""
    signers = {role: CryptoSigner(Ed25519PrivateKey.generate()) for role in ROLES}
    repository = Repository.create(
        path,
        now=now,
        keys={role: [signer.public_key] for role, signer in signers.items()},
        thresholds={},
        lifetimes=Lifetimes(),
    )
    issuer = new_issuer("lib", "ES256")
    repository.add("issuers/lib.pem", issuer.key.public_pem())
    repository.add("issuers/lib.toml", issuer.trust_toml().encode())
    repository.sign([signers["root"], signers["targets"]])
    repository.publish([signers["snapshot"], signers["timestamp"]])
    return repository
