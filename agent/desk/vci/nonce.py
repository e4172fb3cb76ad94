"""`c_nonce`: server time that nobody can forge, good for one request.

    base64url( seconds (8 bytes) | random (16) | HMAC over both (16) )

Rules:
- making one keeps nothing, so that whoever asks for many fills nothing;
- one is used up in the transaction in which something is issued for it: a replay finds its digest;
- it says when the phone's proof was made, so that the phone's own `iat` need not be believed.

Standard: OpenID4VCI 1.0 section 7.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agent.desk.desk import Desk
from agent.desk.tables import nonces

__all__ = ["NONCE_S", "Nonces"]

NONCE_S: Final = 300
"""For how long a nonce is good."""
_TIME, _RANDOM, _TAG = 8, 16, 16
_LENGTH: Final = 54
"""Characters of 40 bytes in base64url without padding."""


class Nonces:
    """Makes and takes them.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def make(self) -> str:
        """Return a fresh nonce."""
        body = self._desk.clock().to_bytes(_TIME) + secrets.token_bytes(_RANDOM)
        return base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=").decode()

    def is_ours(self, nonce: str) -> bool:
        """Return whether a nonce was made here and is still good; it may have been used."""
        if len(nonce) != _LENGTH or not nonce.isascii():
            return False
        try:
            data = base64.b64decode(nonce + "==", altchars=b"-_", validate=True)
        except binascii.Error:
            return False
        body, tag = data[: _TIME + _RANDOM], data[_TIME + _RANDOM :]
        if not hmac.compare_digest(tag, self._tag(body)):
            return False
        return 0 <= self._desk.clock() - int.from_bytes(body[:_TIME]) <= NONCE_S

    def use_up(self, connection: Connection, used: Iterable[str]) -> bool:
        """Use nonces up in a transaction that writes; False where one was used before.

        Args:
            connection: of the transaction in which something is issued for them.
            used: nonces that `is_ours` took; each once.
        """
        digests = [self._desk.key.digest("nonce", nonce.encode()) for nonce in set(used)]
        known = sa.select(nonces.c.digest).where(nonces.c.digest.in_(digests)).limit(1)
        if connection.execute(known).first() is not None:
            return False
        until = self._desk.clock() + NONCE_S + 1
        rows = [{"digest": digest, "expires_at": until} for digest in digests]
        connection.execute(nonces.insert(), rows)
        return True

    def _tag(self, body: bytes) -> bytes:
        return self._desk.key.digest("c_nonce", body)[:_TAG]
