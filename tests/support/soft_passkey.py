"""A passkey in software: makes what a browser and its device would answer, and what they would not."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData

__all__ = ["SoftPasskey", "b64url", "unb64url"]

UP, UV, AT = 1, 4, 64


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class SoftPasskey:
    """One credential of one person at one origin.

    Args:
        origin: of the page that asks.
    """

    origin: str
    counter: int = 1
    id: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """Answer `navigator.credentials.create`; see `_client` and `_data` for what may be a lie."""
        client = self._client("webauthn.create", options, lies)
        data = self._data(
            AT, lies, AttestedCredentialData.create(
                Aaguid.NONE, self.id, ES256.from_cryptography_key(self.key.public_key())
            ),
        )  # fmt: skip
        made = AttestationObject.create("none", data, {})
        return self._answer({"clientDataJSON": b64url(client), "attestationObject": b64url(made)})

    def get(self, options: dict[str, Any], **lies: Any) -> dict[str, Any]:
        """Answer `navigator.credentials.get`."""
        self.counter = lies.pop("counter", self.counter + 1)
        client = self._client("webauthn.get", options, lies)
        data = self._data(0, lies)
        signature = self.key.sign(
            bytes(data) + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256())
        )
        if lies.get("unsigned"):
            signature = signature[:-1] + bytes([signature[-1] ^ 1])
        return self._answer({
            "clientDataJSON": b64url(client), "authenticatorData": b64url(data),
            "signature": b64url(signature),
        })  # fmt: skip

    def _client(self, kind: str, options: dict[str, Any], lies: dict[str, Any]) -> bytes:
        said = {
            "type": lies.get("type", kind),
            "challenge": lies.get("challenge", options["publicKey"]["challenge"]),
            "origin": lies.get("origin", self.origin),
            "crossOrigin": lies.get("cross", False),
        }
        return json.dumps(said).encode()

    def _data(
        self, flags: int, lies: dict[str, Any], made: AttestedCredentialData | None = None
    ) -> AuthenticatorData:
        host = lies.get("host", urlsplit(self.origin).hostname)
        flags |= lies.get("flags", UP | UV)
        rp = hashlib.sha256(host.encode()).digest()
        return AuthenticatorData.create(rp, flags, self.counter, made or b"")

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        return {
            "id": b64url(self.id), "rawId": b64url(self.id), "type": "public-key",
            "response": response, "clientExtensionResults": {},
        }  # fmt: skip
