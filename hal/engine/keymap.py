"""What a keyboard's keys type, as a United States keyboard has them; codes of Linux' input events.

Engines type by the layout that they are set to, and a host reads by its own: both must agree. This
is the one layout here. An engine that is set to another turns letters round, and the codes that it
types are refused as malformed.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ENTERS", "MODIFIERS", "SHIFTS", "TYPED"]

SHIFTS: Final = frozenset({42, 54})
MODIFIERS: Final = frozenset({29, 97, 56, 100, 125, 126})
"""Control, alt and super, left and right: with one of them held, a key is a command."""
ENTERS: Final = frozenset({28, 96})
"""Enter, and the keypad's."""

_ROWS: Final = (
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (15, "\tqwertyuiop[]", "\tQWERTYUIOP{}"),
    (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (57, " ", " "),
)
TYPED: Final = {
    (first + at, shifted): ord(character)
    for first, plain, upper in _ROWS
    for shifted, row in ((False, plain), (True, upper))
    for at, character in enumerate(row)
}
"""(key, shift held) to the byte that it types."""
