"""The nonce that a display at the gate shows, so that no code can be made before it is seen.

A dynamic code is good for seconds anyway; with a challenge it is good only for who stands before
this display now. The agent does not draw: whatever drives the display writes the nonce to a file,
and the phone repeats it as `cnonce` (CWT claim 39).

Rules:
- the file holds 16 to 128 hexadecimal digits and is replaced by renaming a whole new one;
- it is read for every code, in the deciding thread: it belongs on a local or memory disk;
- a file that is missing or unusable is a challenge that nobody can answer: unknown means closed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["ChallengeError", "read_challenge"]

_LONGEST_FILE = 256
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){8,64}")


class ChallengeError(ValueError):
    """The file holds no challenge; the message is one line."""


def read_challenge(path: Path) -> bytes:
    """Return the nonce that is shown now, 8 to 64 bytes.

    Raises:
        ChallengeError: the file cannot be read, or holds no nonce.
    """
    try:
        # Not blocking: somebody may have put a pipe there.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            text = os.read(file, _LONGEST_FILE).strip()
        finally:
            os.close(file)
    except OSError as error:
        raise ChallengeError(f"{path}: {error.strerror}") from None
    if not _HEX.fullmatch(text):
        raise ChallengeError(f"{path}: not 16 to 128 hexadecimal digits")
    return bytes.fromhex(text.decode("ascii"))
