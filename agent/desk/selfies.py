"""The challenge of a selfie: turns of the head that nobody could foresee, and whether they came.

Rules:
- first a look straight ahead, then two turns to sides drawn at random for each form;
- a turn is the change of the yaw proxy against the first picture, as for the gate's own challenge
  (`agent.biometrics.liveness.challenge`); to the other side, or too little, is no turn;
- what was asked travels in a token that only this desk could have made, good once and for ten
  minutes; the desk keeps nothing of whom it asked.

It tells a person from a photograph held up. It does not stop a film of somebody who turns to both
sides, shown at the right moments: the card that follows is a basic one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agent.desk.desk import Desk
from agent.desk.tables import nonces

__all__ = ["TOKEN_S", "Turn", "Turns", "missed"]

TOKEN_S: Final = 600
_FRONT: Final = 0.25
"""Most yaw of a look straight ahead: below a turn, above what people hold without a mirror."""
_SIDES: Final = 2
_TIME, _RANDOM, _TAG = 8, 12, 16


class Turn(StrEnum):
    """Where the person looks; sides are the person's own."""

    FRONT = "front"
    LEFT = "left"
    RIGHT = "right"


def missed(turns: Sequence[Turn], yaws: Sequence[float]) -> int | None:
    """Return the first picture that does not show what was asked, None where all do.

    Args:
        turns: what was asked; the first is `FRONT`.
        yaws: the proxy of `agent.biometrics.geometry.pose`, positive to the picture's right, which
            is the person's left, in the same order.
    """
    from agent.biometrics.liveness.challenge import TURN  # numpy, only where faces are looked at

    for number, (turn, yaw) in enumerate(zip(turns, yaws, strict=True)):
        if turn is Turn.FRONT:
            if abs(yaw) > _FRONT:
                return number
        elif (yaw - yaws[0]) * (1 if turn is Turn.LEFT else -1) < TURN:
            return number
    return None


class Turns:
    """Draws challenges and knows them again.

    Args:
        desk: the desk.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def draw(self, about: bytes) -> tuple[list[Turn], str]:
        """Return turns, and the token that says that they were asked.

        Args:
            about: whom they were asked of: an invitation.
        """
        sides = [secrets.choice((Turn.LEFT, Turn.RIGHT)) for _ in range(_SIDES)]
        turns = [Turn.FRONT, *sides]
        body = b"".join(
            (
                self._desk.clock().to_bytes(_TIME),
                secrets.token_bytes(_RANDOM),
                "".join(turn[0] for turn in turns).encode(),
            )
        )
        token = body + self._tag(body, about)
        return turns, base64.urlsafe_b64encode(token).rstrip(b"=").decode()

    def read(self, token: str, about: bytes) -> list[Turn] | None:
        """Return what was asked; None where this desk did not, or too long ago.

        Args:
            token: as `draw` made it.
            about: as `draw` was told.
        """
        try:
            data = base64.b64decode(
                token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True
            )
        except (UnicodeEncodeError, binascii.Error):
            return None
        body, tag = data[:-_TAG], data[-_TAG:]
        if not hmac.compare_digest(tag, self._tag(body, about)):
            return None
        if not 0 <= self._desk.clock() - int.from_bytes(body[:_TIME]) <= TOKEN_S:
            return None
        return [_BY_LETTER[letter] for letter in body[_TIME + _RANDOM :].decode()]

    def use_up(self, connection: Connection, token: str) -> bool:
        """Use a token up in a transaction that writes; False where it was before."""
        digest = self._desk.key.digest("turns", token.encode())
        known = sa.select(nonces.c.digest).where(nonces.c.digest == digest)
        if connection.execute(known).first() is not None:
            return False
        until = self._desk.clock() + TOKEN_S + 1
        connection.execute(nonces.insert().values(digest=digest, expires_at=until))
        return True

    def _tag(self, body: bytes, about: bytes) -> bytes:
        return self._desk.key.digest("asked turns", about + body)[:_TAG]


_BY_LETTER: Final = {turn[0]: turn for turn in Turn}
