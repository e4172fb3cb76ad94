"""Key proofs: a JWT by which a phone shows that it has the key that a credential shall be bound to.

Rules:
- three parts of base64url without padding, a header and claims that are JSON objects;
- `typ` is `openid4vci-proof+jwt`; `alg` is ES256, ES384 or EdDSA, and the key's own;
- exactly one of `jwk`, `kid` and `x5c` names the key, and only `jwk` is taken: nobody here could
  look up the others; a private key in it is refused;
- `crit` is refused, since nothing that it could name is understood;
- `aud` is this issuer's identifier; `nonce` is there; whether it is ours, the issuer checks;
- `iat` is there, as the standard has it, and is not believed: clocks of phones are wrong.

Standard: OpenID4VCI 1.0 appendix F.1.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agent.credential.algorithms import ALGORITHMS
from agent.credential.numbers import Alg
from agent.desk.vci.errors import ErrorCode, VciError
from agent.issuing.keys import PublicHolder

__all__ = ["ALGORITHM_NAMES", "PROOF_BYTES", "Proof", "read_proof"]

PROOF_BYTES: Final = 8_192
"""A proof without certificates has some 600."""
ALGORITHM_NAMES: Final = {
    "ES256": Alg.ES256,
    "ES384": Alg.ES384,
    "EdDSA": Alg.EDDSA,
    "Ed25519": Alg.ED25519,
}
"""JOSE's name -> COSE's number of the same algorithm."""
_TYP: Final = "openid4vci-proof+jwt"
_NAMES: Final = ("jwk", "kid", "x5c")


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature was checked.

    Attributes:
        holder: the phone's key.
        nonce: as the phone was given it; not yet checked.
    """

    holder: PublicHolder
    nonce: str


def read_proof(text: str, audience: str) -> Proof:
    """Verify a proof.

    Args:
        text: the JWT.
        audience: the issuer's identifier.

    Raises:
        VciError: `invalid_proof`.
    """
    if len(text) > PROOF_BYTES:
        raise _invalid(f"the proof has over {PROOF_BYTES} characters")
    parts = text.split(".")
    if len(parts) != 3:
        raise _invalid("the proof is no JWT of three parts")
    header, claims, signature = _object(parts[0]), _object(parts[1]), _bytes(parts[2])
    holder = _holder(header)
    algorithm = ALGORITHMS[_algorithm(header)]
    if not algorithm.fits(holder.public):
        raise _invalid("alg is not for this key")
    if not algorithm.verify(holder.public, signature, text.rpartition(".")[0].encode()):
        raise _invalid("the signature does not verify; ES256 is r and s of 32 bytes each, no DER")
    named = claims.get("aud")
    if named not in (audience, [audience]):
        raise _invalid("aud is not this issuer's identifier (credential_issuer of the metadata)")
    issued = claims.get("iat")
    if type(issued) not in (int, float):
        raise _invalid("iat is missing")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not nonce:
        raise _invalid("nonce is missing; get one at the nonce endpoint")
    return Proof(holder, nonce)


def _holder(header: dict[str, Any]) -> PublicHolder:
    if header.get("typ") != _TYP:
        raise _invalid(f"typ is not {_TYP}")
    if "crit" in header:
        raise _invalid("crit is not understood")
    named = [name for name in _NAMES if name in header]
    if len(named) != 1:
        raise _invalid("exactly one of jwk, kid and x5c names the key")
    if named != ["jwk"]:
        raise _invalid(f"{named[0]} is not taken here; put the public key into jwk")
    try:
        return PublicHolder.from_jwk(header["jwk"])
    except ValueError:
        raise _invalid("jwk is no public key of P-256, P-384 or Ed25519") from None


def _algorithm(header: dict[str, Any]) -> Alg:
    name = header.get("alg")
    if not isinstance(name, str) or name not in ALGORITHM_NAMES:
        raise _invalid(f"alg is none of {', '.join(ALGORITHM_NAMES)}")
    return ALGORITHM_NAMES[name]


def _object(part: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(_bytes(part), type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _invalid("header and claims of the proof are JSON objects") from None


def _bytes(part: str) -> bytes:
    try:
        if "=" in part or not part.isascii():
            raise _invalid("base64url without padding is wanted")
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _invalid("base64url without padding is wanted") from None


def _invalid(description: str) -> VciError:
    return VciError(ErrorCode.INVALID_PROOF, description)
