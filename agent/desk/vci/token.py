"""The token endpoint: a code, and the transaction code where one is asked for, becomes a token.

Rules:
- an access token is good for five minutes, so that it need not count as long-lived (OpenID4VCI 1.0
  section 13.10); the database has a keyed hash of it;
- templates that waited with the code wait with the token from then on, sealed with it;
- a refresh token comes with it, for as long as the credentials may be valid and a month more. It
  alone is not enough: whoever comes with it also proves a key that has a credential here
  (`agent.desk.vci.credential`), so that it is bound to the phone and need not be rotated (RFC 9700
  section 4.14.2), which would lose the card with one lost answer;
- client identifiers, DPoP proofs and parameters that are not known are passed over.

Standard: OpenID4VCI 1.0 section 6, RFC 6749.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.credential.model import BiometricReference, Level
from agent.desk.desk import Desk
from agent.desk.offers import TRANSACTION_DIGITS, Offers, Redeemed, Refusal
from agent.desk.references import open_references, seal_references
from agent.desk.tables import access, members, offers
from agent.desk.vci.errors import ErrorCode, VciError

__all__ = ["ACCESS_S", "PRE_AUTHORIZED", "Access", "Tokens", "describe"]

PRE_AUTHORIZED: Final = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
ACCESS_S: Final = 300
_GRACE_S: Final = 30 * 86_400
_BYTES: Final = 24
_MOST: Final = 128
"""Characters of any code or token that is looked up."""

_TOLD: Final = {
    Refusal.UNKNOWN: "no such offer; ask the desk for a new code",
    Refusal.USED: "this offer was used already; ask the desk for a new code",
    Refusal.EXPIRED: "this offer is over; ask the desk for a new code",
    Refusal.LOCKED: "too many wrong transaction codes: the offer is dead; ask for a new code",
    Refusal.KILLED: "the desk has withdrawn this offer; ask for a new code",
    Refusal.TRANSACTION_WRONG: "wrong transaction code; the offer is still good",
    Refusal.TRANSACTION_MISSING: "tx_code is missing: this offer wants a transaction code",
    Refusal.TRANSACTION_UNEXPECTED: "tx_code is not expected: this offer wants none",
}


@dataclass(frozen=True, slots=True)
class Access:
    """What an access token stands for.

    Attributes:
        digest: of the token; the row's key.
        expires_at: Unix seconds.
        offer: its row.
        refreshed: whether it came of a refresh token.
        references: what waits with it.
    """

    digest: bytes
    expires_at: int
    offer: Row[Any]
    refreshed: bool
    references: tuple[BiometricReference, ...] = field(repr=False)


def describe(refusal: Refusal) -> str:
    """Return what a person can do about a refusal."""
    return _TOLD[refusal]


class Tokens:
    """Makes tokens and knows them again.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._offers = Offers(desk)

    def answer(self, form: Mapping[str, str]) -> dict[str, Any]:
        """Answer a token request.

        Args:
            form: its parameters, each once.

        Raises:
            VciError: as RFC 6749 section 5.2 and OpenID4VCI section 6.3 name it.
        """
        match form.get("grant_type"):
            case None | "":
                raise VciError(ErrorCode.INVALID_REQUEST, "grant_type is missing")
            case grant if grant == PRE_AUTHORIZED:
                return self._pre_authorized(_wanted(form, "pre-authorized_code"), form)
            case "refresh_token":
                return self._refresh(_wanted(form, "refresh_token"))
        raise VciError(
            ErrorCode.UNSUPPORTED_GRANT_TYPE, "pre-authorized_code and refresh_token are taken here"
        )

    def access(self, connection: Connection, token: str) -> Access:
        """Return what an access token stands for.

        Raises:
            VciError: `invalid_token`.
        """
        row = self._row(connection, token, "access")
        if row is None:
            raise VciError(
                ErrorCode.INVALID_TOKEN, "the access token is unknown or over", status=401
            )
        offer = connection.execute(sa.select(offers).where(offers.c.id == row.offer)).one()
        references = open_references(
            self._desk.key, row.sealed, secret=token, about=row.token_digest
        )
        return Access(row.token_digest, row.expires_at, offer, self._refreshed(token), references)

    # --- inside --------------------------------------------------------------------------------

    def _pre_authorized(self, code: str, form: Mapping[str, str]) -> dict[str, Any]:
        typed = form.get("tx_code")
        if typed is not None and not (len(typed) <= 2 * TRANSACTION_DIGITS and typed.isascii()):
            typed = "-"  # wrong, and counted as a try like any other
        with self._desk.store.write() as connection:
            found = self._offers.redeem(connection, code, typed)
            if isinstance(found, Redeemed):
                return self._make(connection, found.offer, found.references, refresh=True)
        refusal, left = found
        mistaken = refusal in (Refusal.TRANSACTION_MISSING, Refusal.TRANSACTION_UNEXPECTED)
        more: dict[str, Any] = {"idgate_reason": str(refusal)}
        if refusal is Refusal.TRANSACTION_WRONG:
            more["tries_left"] = left
        raise VciError(
            ErrorCode.INVALID_REQUEST if mistaken else ErrorCode.INVALID_GRANT,
            describe(refusal), **more,
        )  # fmt: skip

    def _refresh(self, token: str) -> dict[str, Any]:
        now = self._desk.clock()
        with self._desk.store.write() as connection:
            row = self._row(connection, token, "refresh")
            alive = row and connection.execute(
                sa.select(members.c.id)
                .join(offers, offers.c.member == members.c.id)
                .where(
                    offers.c.id == row.offer, members.c.ended_at.is_(None),
                    members.c.valid_until > now,
                )
            ).first()  # fmt: skip
            if row is None or not alive:
                raise VciError(
                    ErrorCode.INVALID_GRANT,
                    "the refresh token is unknown or over; ask the desk for a new card",
                    idgate_reason="unknown",
                )
            answer = self._make(connection, row.offer, (), refresh=False)
            level = connection.execute(
                sa.select(offers.c.level).where(offers.c.id == row.offer)
            ).scalar_one()
            connection.execute(
                access.update()
                .where(access.c.token_digest == row.token_digest)
                .values(expires_at=now + self._refresh_s(level))
            )
        return {**answer, "refresh_token": token}

    def _make(
        self,
        connection: Connection,
        offer: int,
        references: tuple[BiometricReference, ...],
        *,
        refresh: bool,
    ) -> dict[str, Any]:
        """Make an access token, and a refresh token beside it where wanted."""
        now = self._desk.clock()
        # The first letter tells the two ways to a token apart; forging it forges another token.
        token = ("a" if refresh else "r") + secrets.token_urlsafe(_BYTES)
        digest = self._digest(token)
        sealed = seal_references(self._desk.key, references, secret=token, about=digest)
        rows: list[dict[str, Any]] = [
            {"token_digest": digest, "use": "access", "offer": offer,
             "expires_at": now + ACCESS_S, "sealed": sealed}
        ]  # fmt: skip
        answer: dict[str, Any] = {
            "access_token": token, "token_type": "Bearer", "expires_in": ACCESS_S,
        }  # fmt: skip
        if refresh:
            renewing = secrets.token_urlsafe(_BYTES)
            level = connection.execute(
                sa.select(offers.c.level).where(offers.c.id == offer)
            ).scalar_one()
            rows.append(
                {"token_digest": self._digest(renewing), "use": "refresh", "offer": offer,
                 "expires_at": now + self._refresh_s(level), "sealed": None}
            )  # fmt: skip
            answer["refresh_token"] = renewing
        connection.execute(access.insert(), rows)
        return answer

    def _refresh_s(self, level: int) -> int:
        rules = self._desk.settings.issuer
        days = rules.basic_days if level == Level.BASIC else rules.upgraded_days
        return days * 86_400 + _GRACE_S

    def _row(self, connection: Connection, token: str, use: str) -> Row[Any] | None:
        if len(token) > _MOST:
            return None
        return connection.execute(
            sa.select(access).where(
                access.c.token_digest == self._digest(token),
                access.c.use == use,
                access.c.expires_at > self._desk.clock(),
            )
        ).first()

    def _refreshed(self, token: str) -> bool:
        return token.startswith("r")

    def _digest(self, token: str) -> bytes:
        return self._desk.key.digest("token", token.encode())


def _wanted(form: Mapping[str, str], name: str) -> str:
    value = form.get(name, "")
    if not value:
        raise VciError(ErrorCode.INVALID_REQUEST, f"{name} is missing")
    if len(value) > _MOST:
        raise VciError(ErrorCode.INVALID_GRANT, f"no such {name}", idgate_reason="unknown")
    return value
