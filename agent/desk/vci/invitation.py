"""Invitations on the issuer's origin: the form that a phone shows, and what it sends.

    GET  /invitations/CODE    what is asked
    POST /invitations/CODE    the form, pictures in base64 -> {"credential_offer_uri": ...}

Not of any standard: `docs/openid4vci.md` describes both.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec

from agent.desk.consent import CONSENT_VERSION, consent_text
from agent.desk.desk import Desk
from agent.desk.faces import MOST_PICTURES, Faces
from agent.desk.invitations import Answer, FormRefused, InvitationGone, Invitations
from agent.desk.offers import Offers
from agent.desk.vci.errors import ErrorCode, VciError

__all__ = ["FORM_BYTES", "InvitationEndpoint"]

PICTURE_BYTES: Final = 600 << 10
FORM_BYTES: Final = MOST_PICTURES * (PICTURE_BYTES * 4 // 3 + 8) + 8_192
_TOLD: Final = {
    "unknown": "no such invitation; ask the desk for a new one",
    "used": "this invitation was used up; ask the desk for a new one",
    "expired": "this invitation is over; ask the desk for a new one",
}


class _Consent(msgspec.Struct, frozen=True):
    version: str | int = ""
    given: bool = False
    biometric: bool = False


class _Form(msgspec.Struct, frozen=True):
    name: str = ""
    email: str = ""
    birth_date: str = ""
    consent: _Consent = _Consent()
    language: str = "en"
    pictures: list[str] = msgspec.field(default_factory=list)
    turns_token: str = ""


class InvitationEndpoint:
    """Asks and takes.

    Args:
        desk: the desk.
        faces: looks at pictures.
    """

    def __init__(self, desk: Desk, faces: Faces) -> None:
        self._desk = desk
        self._invitations = Invitations(desk, faces)
        self._offers = Offers(desk)

    def ask(self, code: str) -> dict[str, Any]:
        """Return the form as JSON.

        Raises:
            VciError: `invalid_invitation`.
        """
        try:
            asked = self._invitations.ask(code)
        except InvitationGone as gone:
            raise _gone(gone) from None
        settings = self._desk.settings
        place = settings.place
        texts = {
            language: consent_text(
                language, place=place.name, keep_days=settings.rules.keep_days,
                offer_s=settings.rules.offer_s, face=asked.face,
            )
            for language in place.languages
        }  # fmt: skip
        return {
            "place": {"name": place.name, "site": place.site, "colour": place.colour},
            "kind": str(asked.kind),
            "fields": [{"name": name, "required": required} for name, required in asked.fields],
            "face": asked.face,
            "turns": [str(turn) for turn in asked.turns],
            "turns_token": asked.turns_token,
            "consent": {"version": CONSENT_VERSION, "text": texts},
        }

    def take(self, code: str, body: bytes) -> dict[str, Any]:
        """Take a form; return where the offer stands.

        Raises:
            VciError: `invalid_invitation` where it is over, `invalid_request` where the form is not
                as it should be; `idgate_reason` and `field` say what.
        """
        try:
            offer = self._invitations.answer(code, _read(body))
        except InvitationGone as gone:
            raise _gone(gone) from None
        except FormRefused as error:
            more: dict[str, Any] = {"field": error.field} if error.field else {}
            raise VciError(
                ErrorCode.INVALID_REQUEST, str(error), idgate_reason=error.reason, **more
            ) from None
        return {"credential_offer_uri": self._offers.address(offer.code)}


def _read(body: bytes) -> Answer:
    try:
        form = msgspec.json.decode(body, type=_Form)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise VciError(ErrorCode.INVALID_REQUEST, "the body is no form of an invitation") from None
    if len(form.pictures) > MOST_PICTURES:
        raise FormRefused(f"at most {MOST_PICTURES} pictures", "picture")
    pictures = tuple(_picture(text) for text in form.pictures)
    if form.language not in ("en", "es", "zh"):
        raise FormRefused("language: en, es or zh", "field", "language")
    return Answer(
        person=(form.name, form.email, form.birth_date),
        consent=str(form.consent.version) if form.consent.given else "",
        biometric=form.consent.biometric,
        language=form.language,
        pictures=pictures,
        turns_token=form.turns_token[:256],
    )


def _picture(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FormRefused("a picture is base64 of a JPEG", "picture") from None
    if not data.startswith(b"\xff\xd8\xff") or len(data) > PICTURE_BYTES:
        raise FormRefused(f"a picture is a JPEG of at most {PICTURE_BYTES} bytes", "picture")
    return data


def _gone(gone: InvitationGone) -> VciError:
    return VciError(
        ErrorCode.INVALID_INVITATION, _TOLD[gone.reason],
        status=404 if gone.reason == "unknown" else 410, idgate_reason=gone.reason,
    )  # fmt: skip
