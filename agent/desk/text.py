"""What people type or import, made fit to be kept: one spelling, nothing hidden, never too long.

Rules:
- text is kept in Unicode's NFC, blanks at its ends gone and runs of them one;
- what would end a line, steer a terminal or turn the direction of what stands beside it (control
  characters, bidirectional embeddings, overrides and isolates) is refused; marks that show nothing
  are dropped; the joiners that some scripts need stay;
- errors name the field and never repeat what stood in it.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Final

__all__ = ["TextError", "birth_date", "clean", "email", "fold"]

_TURNS: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SHOW_NOTHING: Final = dict.fromkeys(map(ord, "\u00ad\u061c\u200b\u200e\u200f\u2060\ufeff"))
_JOINERS: Final = frozenset("\u200c\u200d")
_REFUSED: Final = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
_MARKS: Final = 4
"""Marks one upon the other; Vietnamese and Hebrew need three."""

_EMAIL: Final = re.compile(
    r"""[^\s@<>"(),:;\\\[\]]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,63}"""
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EMAIL_MOST: Final = 254
_OLDEST: Final = date(1880, 1, 1)


class TextError(ValueError):
    """A field cannot be kept as it is; one line that names the field, not what stood in it."""


def clean(text: str, field: str, *, most: int, least: int = 0) -> str:
    """Return the text as it is kept.

    Args:
        text: as typed.
        field: how errors name it.
        most: characters allowed.
        least: characters needed.

    Raises:
        TextError: it is too long or too short, or holds what is refused.
    """
    if len(text) > 8 * most:
        raise TextError(f"{field}: over {most} characters")
    text = unicodedata.normalize("NFC", text.translate(_SHOW_NOTHING))
    if not _TURNS.isdisjoint(text):
        raise TextError(f"{field}: a character that turns the direction of writing")
    text = " ".join(text.replace("\t", " ").replace("\u00a0", " ").strip().split(" "))
    while "  " in text:
        text = text.replace("  ", " ")
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if category in _REFUSED and character not in _JOINERS:
            raise TextError(f"{field}: a character that cannot be shown, U+{ord(character):04X}")
        marks = marks + 1 if category == "Mn" else 0
        if marks > _MARKS:
            raise TextError(f"{field}: more than {_MARKS} marks on one letter")
    if len(text) > most:
        raise TextError(f"{field}: over {most} characters")
    if len(text) < least:
        raise TextError(f"{field}: empty" if least == 1 else f"{field}: under {least} characters")
    return text


def email(text: str) -> str:
    """Return an e-mail address, or "" for none.

    Raises:
        TextError: it does not look like one.
    """
    text = clean(text, "e-mail", most=_EMAIL_MOST)
    if text and not _EMAIL.fullmatch(text):
        raise TextError("e-mail: no address, such as ada@example.org")
    return text


def birth_date(text: str, today: date) -> str:
    """Return a day as YYYY-MM-DD, or "" for none.

    Args:
        text: as typed.
        today: births after it are refused.

    Raises:
        TextError: no day of the calendar, or none on which somebody alive was born.
    """
    text = clean(text, "birth date", most=10)
    if not text:
        return ""
    try:
        found = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise TextError("birth date: no date, such as 1990-12-31")
    if not _OLDEST <= found <= today:
        raise TextError(f"birth date: not between {_OLDEST.year} and today")
    return text


def fold(text: str) -> str:
    """Return text for comparing in a search: no case, no accents, no width."""
    if text.isascii():  # most of what a search opens
        return text.lower()
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(each for each in split if unicodedata.category(each) != "Mn").casefold()
