"""Claim 169: the identity data and biometrics that a credential carries, read strictly.

Rules:
- only what a gate can use leaves here: the face, the fingers, the birth date; the rest is for
  `--show-claims` alone;
- a biometric of another modality, or in a form that no matcher here takes, is passed over; one that
  is taken must have the exact shape `{0: data, 1: format, 2: sub-format, 3: issuer}`;
- where numbers stand for issuers (version 2), one that is not known is a name no matcher has;
- the birth date is a date of the calendar, YYYYMMDD, or only its month, YYYY-MM, or year, YYYY.

Standard: MOSIP Claim 169, v1.2.1. Its published samples deviate from it; `claim169` is the tolerant
reader, this one serves the native profile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from agent.credential import birth
from agent.credential.model import BiometricReference, Modality, ReferenceForm, Rejected
from agent.credential.numbers import MAKERS
from agent.reason import Reason

__all__ = ["FACE", "FINGERS", "birth_date", "references", "shown"]

FACE: Final = 62
FINGERS: Final = range(50, 60)
"""Right thumb to right little finger, then the left hand."""

_MODALITIES: Final = {FACE: Modality.FACE, **dict.fromkeys(FINGERS, Modality.FINGER)}
_DATA, _FORMAT, _SUBFORMAT, _ISSUER = range(4)
_BIRTH_DATE: Final = 8
_BIRTH_FORM: Final = re.compile(r"[0-9]{4}(?:[0-9]{4}|-[0-9]{2})?")
_SHOWN: Final = {
    1: "id",
    4: "full_name",
    5: "first_name",
    7: "last_name",
    _BIRTH_DATE: "birth_date",
    9: "gender",
    13: "nationality",
}
_FORMS: Final = {0: ReferenceForm.IMAGE, 1: ReferenceForm.TEMPLATE}


def references(
    identity: Mapping[Any, Any], *, numbered: bool = False
) -> tuple[BiometricReference, ...]:
    """Return the face and finger references of a claim 169.

    Args:
        identity: the claim.
        numbered: whether a number may stand for the issuer of a template.

    Raises:
        Rejected: `malformed`.
    """
    found: list[BiometricReference] = []
    for position, entries in identity.items():
        if position in _MODALITIES:
            _add(found, position, entries, numbered=numbered)
    return tuple(found)


def _add(found: list[BiometricReference], position: int, entries: Any, *, numbered: bool) -> None:
    if not isinstance(entries, list) or not entries:
        raise Rejected(Reason.MALFORMED, f"claim 169: {position} is no list of biometrics")
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get(_DATA), bytes):
            raise Rejected(Reason.MALFORMED, f"claim 169: {position} holds no biometric data")
        kind, subformat, issuer = entry.get(_FORMAT), entry.get(_SUBFORMAT), entry.get(_ISSUER, "")
        if numbered and type(issuer) is int and issuer >= 0:
            issuer = MAKERS.get(issuer, f"#{issuer}")
        if type(kind) is not int or type(subformat) is not int or not isinstance(issuer, str):
            raise Rejected(Reason.MALFORMED, f"claim 169: {position} has no sound format")
        if kind in _FORMS:
            found.append(
                BiometricReference(
                    modality=_MODALITIES[position],
                    form=_FORMS[kind],
                    data=entry[_DATA],
                    subformat=subformat,
                    issuer=issuer,
                    position=position,
                )
            )


def birth_date(identity: Mapping[Any, Any]) -> str | None:
    """Return the birth date as `birth.days` takes it, or None.

    Raises:
        Rejected: `malformed`.
    """
    value = identity.get(_BIRTH_DATE)
    if value is None:
        return None
    if isinstance(value, str) and _BIRTH_FORM.fullmatch(value):
        text = birth.parsed(value)
        if text is None:
            raise Rejected(Reason.MALFORMED, "claim 169: no such birth date")
        return text
    raise Rejected(Reason.MALFORMED, "claim 169: the birth date is not YYYYMMDD, YYYY-MM or YYYY")


def shown(identity: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the named attributes for `--show-claims`, without biometrics."""
    return {
        _SHOWN[number]: value
        for number, value in identity.items()
        if number in _SHOWN and isinstance(value, (str, int))
    }
