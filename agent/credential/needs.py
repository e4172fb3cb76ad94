"""What may be redacted in a credential, and what a place may ask of it; in words.

The same words stand in site profiles, in a place's question to a wallet and on the command line:
`birth-date`, `face`, `finger`, `name` and `age-N`, N from 1 to 150.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

__all__ = ["OLDEST", "WORDS", "Redact", "age_of", "parse_need"]

OLDEST: Final = 150
"""Years; no age above is asked or told."""

WORDS: Final = ("birth-date", "face", "finger", "name")
"""What can be asked beside ages."""

_AGE: Final = re.compile(r"age-([1-9][0-9]{0,2})")


class Redact(StrEnum):
    """What an issuer can leave to the holder to disclose."""

    BIRTH_DATE = "birth-date"
    AGES = "ages"
    FACE = "face"
    FINGERS = "fingers"
    NAMES = "names"
    """Every member of claim 169 that is neither the birth date nor a biometric."""


def parse_need(word: str) -> str:
    """Return a word as it is, once it is known to be one.

    Raises:
        ValueError: it is none; one line.
    """
    if word in WORDS or age_of(word) is not None:
        return word
    raise ValueError(f"{word[:40]!r} is no need; known: {', '.join(WORDS)}, age-N (1 to {OLDEST})")


def age_of(word: str) -> int | None:
    """Return the N of `age-N`, or None where the word asks no age."""
    found = _AGE.fullmatch(word)
    age = int(found[1]) if found else 0
    return age if 0 < age <= OLDEST else None
