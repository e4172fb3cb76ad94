"""What the deciding process and the gatekeeper say to each other: messages of one size a kind.

Rules:
- One message a datagram of a `SOCK_SEQPACKET` socket; of another size, with an unknown number or a
  session that is not the present one, it ends the connection. Nothing in it is parsed.
- The decider begins with HELLO and is answered WELCOME (with the number of its session) or BUSY;
  every later request carries that number.
- BEAT comes at least every `BEAT_S`. After a silence of `SILENCE_S` every opening and hold that was
  asked for ends, and the ready output is dark until the decider speaks again; after `LOST_S` the
  session is over.
- OPEN says when it was asked for (the monotonic clock, which both processes share); one that is
  older than `STALE_S` opens nothing.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = [
    "BEAT_S", "BUSY", "EVENTS", "EVENT_NAMES", "LOST_S", "OPS", "PROTOCOL", "REPORT_SIZE",
    "REQUEST_SIZE", "SILENCE_S", "STALE_S", "STATUS", "TAKEN", "WELCOME", "Event", "Report",
    "Request", "WireError",
]  # fmt: skip

PROTOCOL = 1
"""What HELLO says: both sides must mean the same by these numbers."""
BEAT_S = 0.1
SILENCE_S = 0.4
LOST_S = 2.0
STALE_S = 0.4

OPS = (
    "hello", "beat", "open", "close", "hold", "signal", "ready", "card", "mode", "map", "bye",
)  # fmt: skip
"""What can be asked for; a number is the place here."""

EVENT_NAMES = (
    "fire", "tamper", "door", "release", "key", "lane", "passed", "reversed", "fault",
)  # fmt: skip
EVENTS, WELCOME, BUSY, STATUS, TAKEN = range(5)
"""Kinds of reports."""

_REQUEST = struct.Struct("<BBHIQQ")
_REPORT = struct.Struct("<BBBBIQQ96s")
REQUEST_SIZE, REPORT_SIZE = _REQUEST.size, _REPORT.size


class WireError(ValueError):
    """These bytes are no message."""


class Event(NamedTuple):
    """What happened at the lines.

    Attributes:
        name: of `EVENT_NAMES`.
        on: begun (or opened, pressed), or over.
        which: of a passage 0 (not known), 1 in, 2 out; of a key the mode; of a fault the input.
        kind: of a fault, how the input misbehaves.
    """

    name: str
    on: bool = True
    which: int = 0
    kind: int = 0


class Request(NamedTuple):
    """What the decider asks for.

    Attributes:
        op: of `OPS`.
        flag: direction, signal, mode, on or off, or the width of a card number.
        milliseconds: length of an opening.
        session: as WELCOME said; 0 in HELLO.
        value: a card number, or the monotonic nanoseconds at which it was asked.
    """

    op: str
    flag: int = 0
    milliseconds: int = 0
    session: int = 0
    value: int = 0

    def pack(self) -> bytes:
        """Return the message."""
        return _REQUEST.pack(
            OPS.index(self.op), self.flag, 0, self.milliseconds, self.session, self.value
        )

    @classmethod
    def unpack(cls, message: bytes) -> Request:
        """Return what a message asks for.

        Raises:
            WireError: it has another size or an unknown number.
        """
        try:
            op, flag, spare, milliseconds, session, value = _REQUEST.unpack(message)
            if spare:
                raise WireError("not a request")
            return cls(OPS[op], flag, milliseconds, session, value)
        except (struct.error, IndexError):
            raise WireError("not a request") from None


class Report(NamedTuple):
    """What the gatekeeper tells.

    Attributes:
        kind: EVENTS, WELCOME, BUSY, STATUS or TAKEN.
        a, b, c: of an event its name, on and which (`c` holds kind * 16 + which); of WELCOME the
            mode; of STATUS what is on and which inputs' levels are active; of TAKEN whether the
            map is in force, and the number of releases nobody was told of.
        polls: polls done, modulo 2**32.
        session: number of the session.
        value: of STATUS the latest poll's lateness, nanoseconds.
        text: what a device said.
    """

    kind: int
    a: int = 0
    b: int = 0
    c: int = 0
    polls: int = 0
    session: int = 0
    value: int = 0
    text: str = ""

    def pack(self) -> bytes:
        """Return the message; what a device said is cut to its place."""
        *numbers, text = self
        return _REPORT.pack(*numbers, text.encode("ascii", "replace"))

    @classmethod
    def unpack(cls, message: bytes) -> Report:
        """Return what a message tells.

        Raises:
            WireError: it has another size or an unknown number.
        """
        try:
            *numbers, text = _REPORT.unpack(message)
        except struct.error:
            raise WireError("not a report") from None
        kind, a, b, c, polls, session, value = numbers
        said = text.rstrip(b"\0").decode("ascii", "replace")
        return cls(kind, a, b, c, polls, session, value, said)

    @classmethod
    def of(cls, event: Event, session: int) -> Report:
        """Return the report of an event."""
        code = EVENT_NAMES.index(event.name)
        return cls(EVENTS, code, event.on, event.kind << 4 | event.which, session=session)

    def event(self) -> Event:
        """Return the event that is reported.

        Raises:
            WireError: there is none of that number.
        """
        if self.kind != EVENTS or self.a >= len(EVENT_NAMES):
            raise WireError("not an event")
        return Event(EVENT_NAMES[self.a], bool(self.b), self.c & 15, self.c >> 4)
