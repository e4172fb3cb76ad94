"""Passkeys of the staff: how one is made by an invitation, and how one signs in (WebAuthn level 3).

Rules:
- the origin must be the desk's, to the letter, and not within another's frame; the person is
  verified by the device (`userVerification: required`), not only present;
- a challenge is 48 bytes: random, the time it is good for, and a keyed hash that says what it is
  for. It is bound to the invitation where there is one, and is used once: a used one is remembered
  until it would be over anyway. So nothing is kept for somebody who only asks;
- a signature counter that stands still or goes back is a copied authenticator, and is refused;
- whatever is wrong with an answer, one line says so, without the answer.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from typing import Any, Final
from urllib.parse import urlsplit

import sqlalchemy as sa
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from sqlalchemy.engine import Connection

from agent.desk.audit import Action
from agent.desk.desk import Desk
from agent.desk.staff import Staff
from agent.desk.tables import nonces, passkeys, staff

__all__ = ["CHALLENGE_S", "PasskeyError", "Passkeys"]

CHALLENGE_S: Final = 300
_RANDOM_BYTES: Final = 16
_TIME_BYTES: Final = 8
_HASH_BYTES: Final = 24
_REQUIRED: Final = UserVerificationRequirement.REQUIRED
_MOST: Final = 10
"""Passkeys of one person."""


class PasskeyError(ValueError):
    """The passkey was not taken; one line for who stands there."""


class Passkeys:
    """The relying party.

    Args:
        desk: the desk.

    Raises:
        ValueError: the staff's origin is an address: passkeys need a name.
    """

    def __init__(self, desk: Desk) -> None:
        origin = desk.settings.web.staff
        host = urlsplit(origin).hostname or ""
        try:
            ipaddress.ip_address(host)
        except ValueError:
            self._desk = desk
        else:
            raise ValueError(f"web.staff: {origin}: passkeys need a host name, not an address")
        self._staff = Staff(desk)
        party = PublicKeyCredentialRpEntity(id=host, name=desk.settings.place.name)
        self._server = Fido2Server(party, verify_origin=lambda found: found == origin)

    def registration(self, code: str) -> dict[str, Any]:
        """Return the options of `navigator.credentials.create` for who is invited, as JSON.

        Raises:
            PasskeyError: the invitation is wrong, used or over.
        """
        with self._desk.store.read() as connection:
            person = self._staff.invited(connection, code)
            if person is None:
                raise _not_invited()
            known = _credentials(connection, person.id)
        user = PublicKeyCredentialUserEntity(
            id=person.handle, name=person.name, display_name=person.name
        )
        options, _ = self._server.register_begin(
            user,
            known,
            resident_key_requirement=ResidentKeyRequirement.REQUIRED,
            user_verification=_REQUIRED,
            challenge=self._challenge(_purpose(code)),
        )
        return dict(options)

    def register(self, code: str, answer: object) -> str:
        """Take the first or a further passkey, spend the invitation, and sign in.

        Args:
            code: of the invitation.
            answer: RegistrationResponseJSON.

        Returns:
            The session's cookie.

        Raises:
            PasskeyError: it was not taken.
        """
        try:
            response = RegistrationResponse.from_dict(_mapping(answer))
            client = response.response.client_data
            challenge, apart = client.challenge, client.cross_origin
            state = {"challenge": _b64(challenge), "user_verification": _REQUIRED}
            made = self._server.register_complete(state, response)
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise PasskeyError(f"the passkey was not taken: {_why(error)}") from None
        if apart:
            raise PasskeyError("the passkey was not taken: asked for within another page")
        data = made.credential_data
        if data is None:
            raise PasskeyError("the passkey was not taken: no key came with it")
        with self._desk.store.read() as connection:
            if self._staff.invited(connection, code) is None:
                raise _not_invited()
        with self._desk.store.write() as connection:
            person = self._staff.invited(connection, code)
            if person is None:
                raise _not_invited()
            self._spend(connection, challenge, _purpose(code))
            known = _credentials(connection, person.id)
            if len(known) >= _MOST:
                raise PasskeyError(f"more than {_MOST} passkeys: end this name, and make another")
            if _known(connection, data.credential_id):
                raise PasskeyError("this passkey is known already: sign in")
            connection.execute(
                passkeys.insert().values(
                    staff=person.id, credential_id=data.credential_id, data=bytes(data),
                    sign_count=made.counter, created_at=self._desk.clock(),
                )
            )  # fmt: skip
            self._staff.spend(connection, person.id)
            self._desk.journal.write(
                connection, at=self._desk.clock(), who=person.name, action=Action.PASSKEY_ADDED,
                reference=person.name, detail=hashlib.sha256(data.credential_id).hexdigest()[:16],
            )  # fmt: skip
            return self._staff.begin(connection, person.id, person.name)

    def authentication(self) -> dict[str, Any]:
        """Return the options of `navigator.credentials.get`, as JSON; they name nobody."""
        options, _ = self._server.authenticate_begin(
            user_verification=_REQUIRED, challenge=self._challenge("sign-in")
        )
        return dict(options)

    def authenticate(self, answer: object) -> str:
        """Sign somebody in by a passkey.

        Args:
            answer: AuthenticationResponseJSON.

        Returns:
            The session's cookie.

        Raises:
            PasskeyError: it is not one of ours, or something about it is not right.
        """
        try:
            response = AuthenticationResponse.from_dict(_mapping(answer))
            raw_id, client = response.raw_id, response.response.client_data
            challenge, apart = client.challenge, client.cross_origin
            counter = response.response.authenticator_data.counter
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PasskeyError(f"not signed in: {_why(error)}") from None
        if apart:
            raise PasskeyError("not signed in: asked for within another page")
        query = (
            sa.select(passkeys, staff.c.name, staff.c.id.label("person"))
            .join(staff, staff.c.id == passkeys.c.staff)
            .where(passkeys.c.credential_id == raw_id, staff.c.ended_at.is_(None))
        )
        # Who only tries holds up nobody: nothing is written before the signature is right.
        with self._desk.store.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise PasskeyError("not signed in: the desk does not know this passkey")
        state = {"challenge": _b64(challenge), "user_verification": _REQUIRED}
        try:
            self._server.authenticate_complete(state, [AttestedCredentialData(row.data)], response)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PasskeyError(f"not signed in: {_why(error)}") from None
        with self._desk.store.write() as connection:
            row = connection.execute(query).first()
            if row is None:
                raise PasskeyError("not signed in: the desk does not know this passkey")
            self._spend(connection, challenge, "sign-in")
            if row.sign_count and counter <= row.sign_count:
                raise PasskeyError(
                    "not signed in: the passkey's counter went back, as that of a copy does"
                )
            connection.execute(
                passkeys.update().where(passkeys.c.id == row.id).values(sign_count=counter)
            )
            return self._staff.begin(connection, row.person, row.name)

    def _challenge(self, purpose: str) -> bytes:
        until = self._desk.clock() + CHALLENGE_S
        body = secrets.token_bytes(_RANDOM_BYTES) + until.to_bytes(_TIME_BYTES, "big")
        return body + self._sign(body, purpose)

    def _spend(self, connection: Connection, challenge: bytes, purpose: str) -> None:
        """Check a challenge and remember that it was used."""
        body, found = challenge[:-_HASH_BYTES], challenge[-_HASH_BYTES:]
        right = secrets.compare_digest(found, self._sign(body, purpose))
        if len(body) != _RANDOM_BYTES + _TIME_BYTES or not right:
            raise PasskeyError("this was not asked for here: load the page again")
        until, now = int.from_bytes(body[_RANDOM_BYTES:], "big"), self._desk.clock()
        if until <= now:
            raise PasskeyError("it took too long: load the page again")
        digest = self._desk.key.digest("passkey-used", challenge)
        if connection.execute(sa.select(nonces).where(nonces.c.digest == digest)).first():
            raise PasskeyError("this answer was used before: load the page again")
        connection.execute(nonces.delete().where(nonces.c.expires_at <= now))
        connection.execute(nonces.insert().values(digest=digest, expires_at=until))

    def _sign(self, body: bytes, purpose: str) -> bytes:
        return self._desk.key.digest("passkey-challenge", body + purpose.encode())[:_HASH_BYTES]


def _purpose(code: str) -> str:
    return f"invitation {hashlib.sha256(code.encode()).hexdigest()}"


def _credentials(connection: Connection, person: int) -> list[AttestedCredentialData]:
    query = sa.select(passkeys.c.data).where(passkeys.c.staff == person)
    return [AttestedCredentialData(row.data) for row in connection.execute(query)]


def _known(connection: Connection, credential_id: bytes) -> bool:
    query = sa.select(passkeys.c.id).where(passkeys.c.credential_id == credential_id)
    return connection.execute(query).first() is not None


def _not_invited() -> PasskeyError:
    return PasskeyError("the invitation is not valid, was used, or is over: ask for a new one")


def _mapping(answer: object) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise TypeError("not an answer of a passkey")
    return answer


def _b64(data: bytes) -> str:
    from fido2.utils import websafe_encode

    return websafe_encode(data)


def _why(error: Exception) -> str:
    """Say what is wrong in fido2's own words, never the bytes of an answer."""
    text = str(error).splitlines()[0] if str(error) else ""
    known = {
        "Invalid origin in CollectedClientData.": "it was made for another address",
        "Wrong RP ID hash in response.": "it was made for another address",
        "Invalid signature.": "its signature is wrong",
        "Incorrect type in CollectedClientData.": "it answers another question",
        "User Present flag not set.": "nobody touched the device",
    }
    if text.lower().startswith("user verification required"):
        return "the device did not check who holds it"
    return known.get(text, "the browser's answer is not well formed")
