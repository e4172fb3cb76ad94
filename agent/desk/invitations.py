"""Invitations: a link by which a person makes the basic card on the own phone.

Rules:
- the code in the link is a bearer's secret of 128 bits, of which the database has a keyed hash; it
  has a number of uses and an end;
- an invitation may be for one member who is known already: then nobody is asked for a name;
- the level is basic whatever was sent: nobody has looked at the person;
- a face comes by turns of the head (`agent.desk.selfies`), as the place's rule says: not at all,
  as one likes, or always; its template waits sealed for the phone, like any other;
- what was agreed to is journaled by its version; journal, use, member and offer come together or
  not at all;
- whoever never takes the card is forgotten when the offer is over (`Offers.sweep`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from agent.credential.model import BiometricReference, Kind, Level
from agent.desk.audit import Action
from agent.desk.consent import CONSENT_VERSION
from agent.desk.desk import Desk
from agent.desk.faces import FaceError, Faces
from agent.desk.members import Member, MemberError, Members, Person
from agent.desk.offers import Offer, OfferError, Offers, Purpose
from agent.desk.selfies import Turn, Turns
from agent.desk.tables import invitations

__all__ = [
    "Answer", "Asked", "FormRefused", "InvitationError", "InvitationGone", "Invitations",
]  # fmt: skip

_CODE_BYTES: Final = 16
_MOST_USES: Final = 10_000
_DAY: Final = 86_400


class InvitationError(ValueError):
    """An invitation cannot be made; the message is one line for staff."""


class InvitationGone(ValueError):
    """There is no such invitation, or not any more.

    Args:
        reason: `unknown`, `used` or `expired`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class FormRefused(ValueError):
    """A form cannot be taken; the message is one line of English, nothing personal in it.

    Args:
        message: what is wrong.
        reason: `consent`, `picture`, `turns` or `field`.
        field: which one.
    """

    def __init__(self, message: str, reason: str, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field


@dataclass(frozen=True, slots=True)
class Asked:
    """What an invitation asks.

    Attributes:
        kind: of the card.
        fields: name and whether it is required.
        face: `none`, `optional` or `required`.
        turns: of the head, one picture each; empty where no face is asked for.
        turns_token: comes back with the pictures.
    """

    kind: Kind
    fields: tuple[tuple[str, bool], ...]
    face: str
    turns: tuple[Turn, ...]
    turns_token: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A form that was filled in.

    Attributes:
        person: name, e-mail and birth date as typed, `""` where nothing was.
        consent: the version that was agreed to; empty where it was not.
        biometric: whether the face was agreed to.
        language: that it was read in.
        pictures: files, one a turn.
        turns_token: of the invitation.
    """

    person: tuple[str, str, str]
    consent: str
    biometric: bool
    language: str
    pictures: tuple[bytes, ...] = ()
    turns_token: str = ""


class Invitations:
    """Makes and answers invitations.

    Args:
        desk: the desk.
        faces: looks at pictures; None where this one only makes invitations.
    """

    def __init__(self, desk: Desk, faces: Faces | None = None) -> None:
        self._desk = desk
        self._faces = faces
        self._members = Members(desk)
        self._offers = Offers(desk)
        self._turns = Turns(desk)

    # --- staff ---------------------------------------------------------------------------------

    def create(
        self,
        kind: Kind,
        uses: int = 1,
        days: int | None = None,
        member: Member | None = None,
        *,
        who: str,
    ) -> str:
        """Make an invitation.

        Args:
            kind: of the card.
            uses: how many cards may be made with it; one where it is for a member.
            days: until it ends; `rules.invitation_days` where None.
            member: whom it is for; None: for whoever has it.
            who: for the journal.

        Returns:
            The link, for a QR code or a message; it cannot be shown again.

        Raises:
            InvitationError: it cannot be made.
        """
        settings, now = self._desk.settings, self._desk.clock()
        days = settings.rules.invitation_days if days is None else days
        if not settings.self_service.enabled:
            raise InvitationError("the desk's settings allow no cards that people make themselves")
        if kind not in settings.issuer.kinds:
            raise InvitationError(f"kind: allowed: {', '.join(settings.issuer.kinds)}")
        if not 1 <= uses <= (_MOST_USES if member is None else 1):
            raise InvitationError(f"uses: 1 to {_MOST_USES}; 1 where it is for a member")
        if not 1 <= days <= 366:
            raise InvitationError("days: 1 to 366")
        code = secrets.token_urlsafe(_CODE_BYTES)
        with self._desk.store.write() as connection:
            connection.execute(
                invitations.insert().values(
                    code_digest=self._digest(code), member=None if member is None else member.id,
                    kind=str(kind), uses_left=uses, invited_by=who, expires_at=now + days * _DAY,
                )
            )  # fmt: skip
            self._desk.journal.write(
                connection, at=now, who=who, action=Action.INVITED,
                reference="" if member is None else member.reference,
                detail=f"{kind} uses {uses} days {days}",
            )  # fmt: skip
        where = quote(f"{settings.web.issuer}/invitations/{code}", safe="")
        return f"{settings.web.wallet}/#invitation={where}"

    def end(self, link: str, *, who: str) -> bool:
        """End an invitation by its link; False where there is none any more."""
        named = parse_qs(urlsplit(link).fragment).get("invitation", [""])[0]
        code = named.rpartition("/")[2]
        with self._desk.store.write() as connection:
            gone = connection.execute(
                invitations.delete().where(invitations.c.code_digest == self._digest(code))
            ).rowcount
            if gone:
                self._desk.journal.write(
                    connection, at=self._desk.clock(), who=who, action=Action.INVITED,
                    detail="ended",
                )  # fmt: skip
        return bool(gone)

    # --- the person ----------------------------------------------------------------------------

    def ask(self, code: str) -> Asked:
        """Return what an invitation asks.

        Raises:
            InvitationGone: there is none.
        """
        with self._desk.store.read() as connection:
            row = self._row(connection, code)
        settings = self._desk.settings
        face = settings.self_service.face
        turns, token = self._turns.draw(row.code_digest) if face != "none" else ([], "")
        fields: list[tuple[str, bool]] = []
        if row.member is None:
            fields = [("name", True), ("email", False)]
            if settings.issuer.birth_date:  # else it would be kept for nothing
                fields.insert(1, ("birth_date", False))
        return Asked(Kind(row.kind), tuple(fields), face, tuple(turns), token)

    def answer(self, code: str, answer: Answer) -> Offer:
        """Take a form; return the offer for the phone that sent it.

        Raises:
            InvitationGone: there is no such invitation.
            FormRefused: what is wrong, for the person.
        """
        with self._desk.store.read() as connection:
            row = self._row(connection, code)
        if answer.consent != CONSENT_VERSION:
            raise FormRefused("consent of this version is needed", "consent", "consent")
        person = None if row.member is not None else self._person(answer, Kind(row.kind))
        references = self._face(row, answer)
        try:
            with self._desk.store.write() as connection:
                return self._make(connection, code, answer, person, references)
        except (MemberError, OfferError) as error:
            raise FormRefused(str(error), "field") from None

    # --- inside --------------------------------------------------------------------------------

    def _make(
        self,
        connection: Connection,
        code: str,
        answer: Answer,
        person: Person | None,
        references: Sequence[BiometricReference],
    ) -> Offer:
        row = self._row(connection, code)
        if references and not self._turns.use_up(connection, answer.turns_token):
            raise FormRefused("these turns were used already; open the invitation again", "turns")
        mine = invitations.c.code_digest == row.code_digest
        connection.execute(invitations.update().where(mine).values(uses_left=row.uses_left - 1))
        if person is None:
            member = self._members.by_id(row.member, connection)
        else:
            member = self._members.add_in(connection, person, "self")
        self._desk.journal.write(
            connection, at=self._desk.clock(), who="self", action=Action.SELF_MADE,
            reference=member.reference,
            detail=f"consent {answer.consent} {answer.language}"
            + (" with face" if references else ""),
        )  # fmt: skip
        return self._offers.create_in(
            connection, member, purpose=Purpose.ISSUE if person is None else Purpose.SELF,
            kind=Kind(row.kind), level=Level.BASIC, references=references, who="self",
            transaction_code=False,
        )  # fmt: skip

    def _person(self, answer: Answer, kind: Kind) -> Person:
        """Return the new member that a form describes.

        Raises:
            FormRefused: a field is wrong.
        """
        settings = self._desk.settings
        name, email, birth_date = answer.person
        try:
            return self._members.checked(
                Person(
                    name, email, birth_date if settings.issuer.birth_date else "",
                    kind=kind, level=int(Level.BASIC),
                    valid_until=self._desk.clock() + settings.issuer.upgraded_days * _DAY,
                    regions=(settings.place.region,) if settings.place.region else (),
                )
            )  # fmt: skip
        except MemberError as error:
            field = str(error).partition(":")[0].replace("e-mail", "email").replace(" ", "_")
            raise FormRefused(str(error), "field", field) from None

    def _face(self, row: Row[Any], answer: Answer) -> tuple[BiometricReference, ...]:
        """Return the template of the pictures that came, if any should.

        Raises:
            FormRefused: they are missing, not wanted, or show not what was asked.
        """
        rule = self._desk.settings.self_service.face
        if not answer.pictures:
            if rule == "required":
                raise FormRefused("pictures of the face are needed", "picture")
            return ()
        if rule == "none" or not answer.biometric or self._faces is None:
            raise FormRefused("pictures came without consent to them", "consent", "consent")
        turns = self._turns.read(answer.turns_token, row.code_digest)
        if turns is None:
            raise FormRefused("the turns are too old; open the invitation again", "turns")
        try:
            return (self._faces.take_turns(answer.pictures, turns),)
        except FaceError as error:
            raise FormRefused(str(error), "picture") from None

    def _row(self, connection: Connection, code: str) -> Row[Any]:
        found = connection.execute(
            sa.select(invitations).where(invitations.c.code_digest == self._digest(code))
        ).first()
        if found is None or not self._desk.settings.self_service.enabled:
            raise InvitationGone("unknown")
        if found.expires_at <= self._desk.clock():
            raise InvitationGone("expired")
        if found.uses_left < 1:
            raise InvitationGone("used")
        return found

    def _digest(self, code: str) -> bytes:
        return self._desk.key.digest("invitation", code.encode())
