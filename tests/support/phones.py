"""A phone that takes credentials: OpenID4VCI 1.0 with any HTTP client, as a wallet would do it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from agent.credential.numbers import CoseKey
from agent.issuing.keys import Holder, SigningKey

__all__ = ["PRE_AUTHORIZED", "Phone", "b64url", "jwk", "proof", "unb64url"]

PRE_AUTHORIZED = "urn:ietf:params:oauth:grant-type:pre-authorized_code"


def b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jwk(holder: Holder) -> dict[str, str]:
    """Return the public key as WebCrypto exports it."""
    key = holder.cose_key()
    out = {"kty": "EC" if CoseKey.Y in key else "OKP", "x": b64url(key[CoseKey.X])}
    out["crv"] = {1: "P-256", 2: "P-384", 6: "Ed25519"}[key[CoseKey.CRV]]
    if CoseKey.Y in key:
        out["y"] = b64url(key[CoseKey.Y])
    return out


def proof(
    key: SigningKey,
    *,
    header: dict[str, Any] | None = None,
    claims: dict[str, Any] | None = None,
    drop: tuple[str, ...] = (),
    audience: str = "https://desk.localhost:8444",
    nonce: str = "",
) -> str:
    """Return a key proof; `header` and `claims` override, `drop` takes members out."""
    top = {"typ": "openid4vci-proof+jwt", "alg": str(key.algorithm), "jwk": jwk(Holder(key))}
    body = {"aud": audience, "iat": 1_800_000_000, "nonce": nonce}
    parts = [
        b64url(json.dumps({k: v for k, v in part.items() if k not in drop}).encode())
        for part in (top | (header or {}), body | (claims or {}))
    ]
    text = ".".join(parts)
    return f"{text}.{b64url(key.sign(text.encode()))}"


@dataclass
class Phone:
    """A wallet with a key for each credential.

    Args:
        web: talks to the issuer's origin.
    """

    web: httpx.Client
    holders: list[Holder] = field(default_factory=lambda: [Holder.new()])
    token: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)

    def read(self, link: str) -> httpx.Response:
        """Get the offer that a QR's text or link names."""
        parts = urlsplit(link)
        uri = parse_qs(parts.query or parts.fragment)["credential_offer_uri"][0]
        return self.web.get(urlsplit(uri).path)

    def redeem(self, code: str, transaction_code: str | None = None) -> httpx.Response:
        form = {"grant_type": PRE_AUTHORIZED, "pre-authorized_code": code}
        if transaction_code is not None:
            form["tx_code"] = transaction_code
        got = self.web.post("/token", data=form)
        if got.status_code == 200:
            self.token = got.json()
        return got

    def refresh(self) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": self.token["refresh_token"]}
        got = self.web.post("/token", data=form)
        if got.status_code == 200:
            self.token = got.json()
        return got

    def nonce(self) -> str:
        got = self.web.post("/nonce")
        assert got.headers["cache-control"] == "no-store"
        return str(got.json()["c_nonce"])

    def proofs(self, nonce: str | None = None) -> list[str]:
        fresh = self.nonce() if nonce is None else nonce
        return [proof(holder.key, nonce=fresh) for holder in self.holders]

    def fetch(self, kind: str = "library-card", **more: Any) -> httpx.Response:
        """Ask for credentials; `more` goes into the request and overrides."""
        body = {"credential_configuration_id": kind, **more}
        if "proofs" not in body:
            body["proofs"] = {"jwt": self.proofs()}
        got = self.web.post("/credential", json=body, headers=self.bearer())
        if got.status_code == 200:
            self.answer = got.json()
        return got

    def notify(self, event: str = "credential_accepted", name: str | None = None) -> httpx.Response:
        said = {"notification_id": name or self.answer["notification_id"], "event": event}
        return self.web.post("/notification", json=said, headers=self.bearer())

    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token['access_token']}"}

    @property
    def credentials(self) -> list[bytes]:
        return [unb64url(one["credential"]) for one in self.answer["credentials"]]

    def take(self, link: str, transaction_code: str | None = None) -> list[bytes]:
        """Do all of it, and say so."""
        offer = self.read(link)
        assert offer.status_code == 200, offer.text
        grant = offer.json()["grants"][PRE_AUTHORIZED]
        for got in (
            self.redeem(unquote(grant["pre-authorized_code"]), transaction_code),
            self.fetch(offer.json()["credential_configuration_ids"][0]),
            self.notify(),
        ):
            assert got.is_success, got.text
        return self.credentials
