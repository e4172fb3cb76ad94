"""How long an MQTT packet may be, told from its first bytes: before one of its body is kept.

Rules:
- The stream is followed packet by packet (MQTT 5, 2.1.1; 3.1.1, 2.2): a first byte, a length of one
  to four bytes, and so many bytes of body. What it says is judged when the length is complete.
- A packet above the limit ends the connection. MQTT 5 brokers are told the limit and leave such
  messages out; older ones know none, and a hostile one keeps to nothing.
- A message of QoS 2 ends it too: nobody here asks for one, and a client has to keep each until the
  broker releases it.
- The topic of a message too large is read before the end, so that its subscription can be left out.
"""

from __future__ import annotations

__all__ = ["MAX_PACKET_BYTES", "PACKET_TOO_LARGE", "PacketGauge", "PacketRefused"]

MAX_PACKET_BYTES = 65_536
"""Four times the largest message that anything here takes, which is a desired configuration."""
PROTOCOL_ERROR = 0x82
PACKET_TOO_LARGE = 0x95
_MAX_TOPIC = 512
_PUBLISH = 3


class PacketRefused(ConnectionError):
    """The broker sends what is not taken; the connection must end.

    Attributes:
        code: MQTT 5's reason.
        topic: of the message; "" where there is none or it is absurd.
    """

    def __init__(self, code: int, detail: str, topic: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.topic = topic


class PacketGauge:
    """Follows the bytes of one connection in the order in which they come.

    Args:
        limit: most bytes of a packet's body.
    """

    def __init__(self, limit: int = MAX_PACKET_BYTES) -> None:
        self._limit = limit
        self._first: int | None = None
        self._length = 0
        self._shift = 0
        self._body = 0
        """Bytes of the body that are still to come."""
        self._head: bytearray | None = None
        """The beginning of a message that is too large."""

    @property
    def wanted(self) -> int:
        """How many bytes may be read at once; 0: as many as there are."""
        return 0 if self._head is None else self._missing(self._head)

    def feed(self, data: bytes) -> bool:
        """Follow bytes that have come.

        Returns:
            Whether they may be handed on.

        Raises:
            PacketRefused: they begin a packet that is not taken.
        """
        if self._head is not None:
            self._read_topic(self._head, data)
            return False
        at = 0
        while at < len(data):
            if self._body:
                passed = min(self._body, len(data) - at)
                self._body -= passed
                at += passed
                continue
            head = self._header(data[at])
            at += 1
            if head is not None:
                self._read_topic(head, data[at:])
                break
        return True

    def _header(self, byte: int) -> bytearray | None:
        """Take a byte of a header; return where to keep the topic, once it is one too large."""
        if self._first is None:
            if byte >> 4 == _PUBLISH and byte & 0b100:
                raise PacketRefused(PROTOCOL_ERROR, "a message of QoS 2 that nobody asked for")
            self._first, self._length, self._shift = byte, 0, 0
            return None
        self._length |= (byte & 0x7F) << self._shift
        self._shift += 7
        if byte & 0x80:
            if self._shift > 21:
                raise PacketRefused(PROTOCOL_ERROR, "a packet's length of more than four bytes")
            return None
        if self._length > self._limit:
            if self._first >> 4 != _PUBLISH:
                raise self._too_large("")
            self._head = bytearray()
            return self._head
        self._first, self._body = None, self._length
        return None

    def _missing(self, head: bytearray) -> int:
        return 2 - len(head) if len(head) < 2 else 2 + int.from_bytes(head[:2], "big") - len(head)

    def _read_topic(self, head: bytearray, data: bytes) -> None:
        head += data
        if len(head) >= 2 and not 0 < int.from_bytes(head[:2], "big") <= _MAX_TOPIC:
            raise self._too_large("")
        if len(head) >= 2 and self._missing(head) <= 0:
            end = 2 + int.from_bytes(head[:2], "big")
            raise self._too_large(head[2:end].decode("utf-8", "replace"))

    def _too_large(self, topic: str) -> PacketRefused:
        where = f" on {topic!r}" if topic else ""
        detail = f"a packet of {self._length} bytes{where}, allowed are {self._limit}"
        return PacketRefused(PACKET_TOO_LARGE, detail, topic)
