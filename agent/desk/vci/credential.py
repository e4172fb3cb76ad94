"""The credential endpoint: key proofs become credentials, one for each key that was proven.

Rules:
- nothing is issued but in the transaction that uses the nonces up, and writes the journal;
- an offer that names a key is for that key alone: `invalid_proof` for any other;
- with a token that came of a refresh, one of the proven keys must have a credential of this
  member already that is not revoked: the refresh token is worth nothing without the phone;
- `idgate_previous`, a credential of before: on a refresh, or for an offer that renews, its
  biometric references are carried over if it is ours, this member's, of the same level, not
  revoked, and bound to a key that is proven in the same request. The desk itself keeps none;
- an offer brings cards ten times a day at most, refreshed or fetched again: each takes places in
  the status list that nothing gives back before it is over;
- the same token may fetch again while the phone has said nothing of what it got: an answer that was
  lost must not cost the card. What was fetched before is withdrawn.

Standard: OpenID4VCI 1.0 section 8. The extensions begin with `idgate`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agent.credential.model import BiometricReference, Kind
from agent.desk.audit import Action
from agent.desk.credentials import CredentialError, Credentials
from agent.desk.deliveries import Deliveries, Event
from agent.desk.desk import Desk
from agent.desk.members import Member, Members
from agent.desk.offers import OfferState, Purpose
from agent.desk.own import TOKEN_BYTES, NotOurs, read_own
from agent.desk.statuses import Form, Status
from agent.desk.tables import credentials, offers
from agent.desk.vci.errors import ErrorCode, VciError
from agent.desk.vci.nonce import Nonces
from agent.desk.vci.proofs import Proof, read_proof
from agent.desk.vci.token import Access, Tokens

__all__ = ["FETCHES", "FETCHES_A_DAY", "CredentialEndpoint", "batch_size"]

FETCHES: Final = 5
"""How often one access token may fetch, where answers are lost."""
FETCHES_A_DAY: Final = 10
"""How often one offer's tokens may, all of them together."""
_DAY: Final = 86_400
_LEAST_BATCH: Final = 2
"""A `batch_size` of one may not be said (OpenID4VCI 1.0 section 12.2.4)."""


def batch_size(desk: Desk) -> int:
    """Return how many credentials a phone may take at once."""
    return max(desk.settings.issuer.batch, _LEAST_BATCH)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was read."""

    configuration: str
    proofs: tuple[Proof, ...]
    previous: bytes | None

    @property
    def thumbprints(self) -> list[str]:
        return [proof.holder.thumbprint() for proof in self.proofs]


class CredentialEndpoint:
    """Issues.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._tokens = Tokens(desk)
        self._nonces = Nonces(desk)
        self._members = Members(desk)
        self._credentials = Credentials(desk)
        self._deliveries = Deliveries(desk)

    def answer(self, token: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a credential request.

        Args:
            token: the access token.
            request: the JSON object that was sent.

        Raises:
            VciError: as OpenID4VCI 1.0 section 8.3.1.2 names it.
        """
        with self._desk.store.read() as connection:
            self._tokens.access(connection, token)
        asked = self._read(request)
        try:
            with self._desk.store.write() as connection:
                access = self._tokens.access(connection, token)
                return self._issue(connection, access, asked)
        except CredentialError as error:
            raise _denied(str(error)) from None

    # --- what was asked ------------------------------------------------------------------------

    def _read(self, request: Mapping[str, Any]) -> _Asked:
        named = request.get("credential_configuration_id")
        if "credential_identifier" in request:
            if named is not None:
                raise _wrong("credential_identifier beside credential_configuration_id")
            raise VciError(
                ErrorCode.UNKNOWN_CREDENTIAL_IDENTIFIER,
                "no identifier was given out here; send credential_configuration_id",
            )
        if not isinstance(named, str):
            raise _wrong("credential_configuration_id is missing")
        if named not in {str(kind) for kind in self._desk.settings.issuer.kinds}:
            raise VciError(
                ErrorCode.UNKNOWN_CREDENTIAL_CONFIGURATION,
                "no such configuration; see credential_configurations_supported of the metadata",
            )
        if "credential_response_encryption" in request:
            raise VciError(
                ErrorCode.INVALID_ENCRYPTION_PARAMETERS, "answers are not encrypted here beyond TLS"
            )
        proofs = self._proofs(request)
        return _Asked(named, proofs, _previous(request.get("idgate_previous")))

    def _proofs(self, request: Mapping[str, Any]) -> tuple[Proof, ...]:
        given = request.get("proofs")
        if given is None:
            old = " (proof is of a draft)" if "proof" in request else ""
            raise _invalid_proof(f"proofs is missing{old}")
        texts = given.get("jwt") if isinstance(given, dict) and len(given) == 1 else None
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise _invalid_proof("proofs is an object with jwt, a list of texts, alone in it")
        most = batch_size(self._desk)
        if not 0 < len(texts) <= most:
            raise _invalid_proof(f"1 to {most} proofs are taken at once (batch_size)")
        audience = self._desk.settings.web.issuer
        proofs = tuple(read_proof(text, audience) for text in texts)
        if not all(self._nonces.is_ours(proof.nonce) for proof in proofs):
            raise _invalid_nonce("the nonce is not of this issuer, or over; get a new one")
        return proofs

    # --- what is issued ------------------------------------------------------------------------

    def _issue(self, connection: Connection, access: Access, asked: _Asked) -> dict[str, Any]:
        offer, now = access.offer, self._desk.clock()
        if asked.configuration != offer.kind:
            raise _denied("the token is for another credential configuration")
        events = self._deliveries.events(connection, access.digest)
        if Event.ACCEPTED in events or len(events) >= FETCHES:
            raise _denied("this token has fetched its credentials already")
        if self._deliveries.since(connection, offer.id, now - _DAY) >= FETCHES_A_DAY:
            raise _denied(f"this card was fetched {FETCHES_A_DAY} times today; tomorrow again")
        member = self._members.by_id(offer.member, connection)
        self._check_keys(connection, access, asked, member)
        references = self._references(connection, access, asked, member)
        if not self._nonces.use_up(connection, [proof.nonce for proof in asked.proofs]):
            raise _invalid_nonce("the nonce was used before; get a new one")
        delivery, notification = self._deliveries.begin(
            connection, offer.id, token=access.digest, now=now, settles_at=access.expires_at
        )
        issued = [
            self._credentials.sign(
                connection, member, kind=Kind(offer.kind), level=offer.level,
                holder=proof.holder, references=references, form=Form.PHONE,
                evidence=offer.evidence, issued_by=offer.issued_by, now=now,
            )
            for proof in asked.proofs
        ]  # fmt: skip
        connection.execute(
            credentials.update()
            .where(credentials.c.cti.in_([one.cti for one in issued]))
            .values(delivery=delivery)
        )
        connection.execute(
            offers.update().where(offers.c.id == offer.id).values(state=str(OfferState.DONE))
        )
        self._tell(connection, access, member, len(issued), now)
        return {
            "credentials": [{"credential": _text(one.token)} for one in issued],
            "notification_id": notification,
        }

    def _check_keys(
        self, connection: Connection, access: Access, asked: _Asked, member: Member
    ) -> None:
        keys = asked.thumbprints
        if not access.refreshed:
            if access.offer.holder and any(key != access.offer.holder for key in keys):
                raise _invalid_proof("this offer is for another key (idgate.holder of the offer)")
            return
        known = connection.execute(
            sa.select(credentials.c.id)
            .where(
                credentials.c.member == member.id, credentials.c.form == str(Form.PHONE),
                credentials.c.status != int(Status.REVOKED), credentials.c.holder.in_(keys),
            )
            .limit(1)
        ).first()  # fmt: skip
        if known is None:
            raise _denied("none of these keys has a card here that is not revoked")

    def _references(
        self, connection: Connection, access: Access, asked: _Asked, member: Member
    ) -> tuple[BiometricReference, ...]:
        """Return what goes onto the credentials: what the desk took, or what was there before."""
        renews = access.refreshed or access.offer.purpose == str(Purpose.RENEW)
        if asked.previous is None or not renews or access.references:
            return access.references
        try:
            own = read_own(self._desk.issuer, asked.previous)
        except NotOurs as error:
            raise _wrong(f"idgate_previous: {error}") from None
        row = connection.execute(
            sa.select(credentials.c.member, credentials.c.level, credentials.c.status).where(
                credentials.c.cti == own.cti
            )
        ).first()
        if row is None or row.member != member.id:
            raise _wrong("idgate_previous: not a card of this member")
        if row.status != Status.VALID:
            raise _denied("idgate_previous: that card was withdrawn")
        if row.level != access.offer.level or own.holder.thumbprint() not in asked.thumbprints:
            raise _wrong("idgate_previous: of another level, or of a key that was not proven")
        return own.references

    def _tell(
        self, connection: Connection, access: Access, member: Member, many: int, now: int
    ) -> None:
        offer = access.offer
        action, who = Action.TAKEN, "self"
        if access.refreshed:
            action = Action.REFRESHED
        elif offer.purpose == str(Purpose.UPGRADE):
            action, who = Action.UPGRADED, offer.issued_by  # who saw the document answers for it
        self._desk.journal.write(
            connection, at=now, who=who, action=action, reference=member.reference,
            detail=f"{many} {offer.kind} level {offer.level}",
        )  # fmt: skip


def _previous(text: Any) -> bytes | None:
    if text is None:
        return None
    try:
        if isinstance(text, str) and len(text) <= 2 * TOKEN_BYTES and text.isascii():
            return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _wrong("idgate_previous is no base64url") from None
    raise _wrong("idgate_previous is no base64url of a credential")


def _text(token: bytes) -> str:
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def _wrong(description: str) -> VciError:
    return VciError(ErrorCode.INVALID_CREDENTIAL_REQUEST, description)


def _invalid_proof(description: str) -> VciError:
    return VciError(ErrorCode.INVALID_PROOF, description)


def _invalid_nonce(description: str) -> VciError:
    return VciError(ErrorCode.INVALID_NONCE, description)


def _denied(description: str) -> VciError:
    return VciError(ErrorCode.CREDENTIAL_REQUEST_DENIED, description)
