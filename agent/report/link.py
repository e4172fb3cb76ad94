"""One MQTT connection: a paho client that lives exactly as long as its socket.

Rules:
- A new paho client for every connection, so that nothing hides in an old one's queue: what was not
  delivered is in the journal, and nowhere else.
- No paho thread. The owner calls `service`; callbacks only put a value into a queue, so none can
  raise, block, or publish from inside.
- What comes is bounded (`packets`): a broker is told how long a packet may be, and one that sends a
  longer one is left before it is read.
- TLS 1.2 at least; the server's name is checked; a private CA and a client certificate by file.
- What a gate takes unsigned is judged by how long it may have been on the way (`Received.age_s`):
  whatever the broker sends after its answer to a ping was not sent before that ping.
- Secrets come from files (systemd's `LoadCredential`), are read at each connection so that they can
  be renewed, and are never logged.
"""

from __future__ import annotations

import math
import select
import ssl
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.report.delay import Delay
from agent.report.packets import MAX_PACKET_BYTES, PacketGauge, PacketRefused

__all__ = [
    "Connected",
    "Delivered",
    "Link",
    "LinkError",
    "LinkEvent",
    "LinkSettings",
    "Lost",
    "Message",
    "Received",
    "Subscribed",
    "matches",
]
CONNECT_TIMEOUT_S = 5.0
_INFLIGHT = 100
_READS = 64
_WITH_WILL = 4


class LinkError(Exception):
    """The connection could not be made or used; `code` is a closed word for the fault event."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where and as whom to connect.

    Attributes:
        tls: True for mqtts.
        version5: False speaks MQTT 3.1.1.
        password_file: read at every connection.
        session_expiry_s: 0 asks for a clean session.
        forget_session: begin anew this once, with nothing that the broker kept for us.
        pulse: ping the broker at each `tick`, so that `Received.age_s` says something.
    """

    host: str
    port: int
    tls: bool
    client_id: str
    version5: bool = True
    username: str = ""
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 86_400
    manual_ack: bool = False
    forget_session: bool = False
    pulse: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """What is published; the expiry and the content type are MQTT 5's and left out in 3.1.1."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int = 1
    retain: bool = False
    expiry_s: int | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Connected:
    """CONNACK; `code` 0 is success, else the reason's MQTT 5 number."""

    code: int
    text: str
    session_present: bool


@dataclass(frozen=True, slots=True)
class Subscribed:
    """SUBACK; codes from 128 up are refusals."""

    mid: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Delivered:
    """PUBACK, and for what; 0 and 16 are successes, from 128 up are refusals."""

    mid: int
    code: int
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker.

    Attributes:
        age_s: for how long at most the link held it up, s.
        after_s: how long after the beginning of the connection it came, s.
    """

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool
    mid: int
    age_s: float = math.inf
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection is over.

    Attributes:
        code: MQTT 5's reason, 0 when the broker gave none.
        text: the reason in words.
        refused: this side ended it, for what the broker sent.
        topic: of the message that was too large to be read; else "".
    """

    code: int
    text: str
    refused: bool = False
    topic: str = ""


LinkEvent = Connected | Subscribed | Delivered | Received | Lost


class Link:
    """A connection being made, in use, or over.

    Args:
        settings: where and as whom.
        will: last will, or None.

    Raises:
        LinkError: no connection; the code says why.
    """

    def __init__(self, settings: LinkSettings, will: Message | None = None) -> None:
        self.happenings: deque[LinkEvent] = deque()
        self._v5 = settings.version5
        self._pulse = settings.pulse
        self._topics: dict[int, str] = {}
        self._client = self._make(settings)
        if will is not None:
            self._client.will_set(
                will.topic, will.payload, will.qos, will.retain, self._properties(will, will=True)
            )
        self._connect(settings)

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 when the connection is over."""
        socket = self._client.socket()
        return -1 if socket is None else socket.fileno()

    def wants_write(self) -> bool:
        """Return whether bytes wait for the socket."""
        return bool(self._client.want_write())

    def has_buffered(self) -> bool:
        """Return whether TLS holds bytes that select cannot see."""
        socket = self._client.socket()
        return isinstance(socket, ssl.SSLSocket) and socket.pending() > 0

    def peer_until(self) -> float | None:
        """Return when the broker's certificate ends, Unix seconds; None where it shows none."""
        socket = self._client.socket()
        shown = socket.getpeercert() if isinstance(socket, ssl.SSLSocket) else None
        until = shown.get("notAfter") if shown else None
        return ssl.cert_time_to_seconds(until) if isinstance(until, str) else None

    def wait(self, timeout_s: float, *wakers: Any) -> None:
        """Wait for the socket or a waker (anything with `fileno`), and serve the socket."""
        fd = self.fileno()
        if fd < 0:
            return
        timeout = 0.0 if self.has_buffered() else timeout_s
        poll = select.poll()
        poll.register(fd, select.POLLIN | (select.POLLOUT if self.wants_write() else 0))
        for waker in wakers:
            poll.register(waker, select.POLLIN)
        ready = dict(poll.poll(timeout * 1_000)).get(fd, 0)
        hung = ready & (select.POLLERR | select.POLLHUP | select.POLLNVAL)
        self.service(
            read=bool(ready & select.POLLIN or hung) or self.has_buffered(),
            write=bool(ready & select.POLLOUT),
        )

    def service(self, *, read: bool, write: bool) -> None:
        """Read and write what is ready; results stand in `happenings`."""
        if read:
            for _ in range(_READS):
                before = len(self.happenings)
                self._client.loop_read()
                if len(self.happenings) == before:
                    break
        if write:
            self._client.loop_write()

    def tick(self) -> None:
        """Keep the connection alive; call about once a second."""
        self._client.loop_misc()
        if self._pulse:
            self._client.ping()

    def publish(self, message: Message) -> int:
        """Hand a message to the socket; return its packet id, which `Delivered` will name.

        Raises:
            LinkError: the connection is gone.
        """
        info = self._client.publish(
            message.topic, message.payload, message.qos, message.retain, self._properties(message)
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise LinkError("connection_lost", paho.error_string(info.rc))
        if message.qos:
            self._topics[info.mid] = message.topic
        return info.mid

    def settle(self, mid: int, timeout_s: float) -> bool:
        """Wait for the PUBACK of a message; return whether it came.

        A socket closed with bytes still coming in is reset, and the broker then never reads our
        DISCONNECT: it would send the last will over the farewell.
        """
        end = time.monotonic() + timeout_s
        while self.fileno() >= 0 and (left := end - time.monotonic()) > 0:
            if any(isinstance(each, Delivered) and each.mid == mid for each in self.happenings):
                return True
            self.wait(left)
        return False

    def subscribe(self, topics: Sequence[tuple[str, int]]) -> int:
        """Subscribe to (filter, QoS) pairs; return the packet id that `Subscribed` will name.

        With MQTT 5 the retain flag stays as the publisher set it, so that a retained command shows.

        Raises:
            LinkError: the connection is gone.
        """
        if self._v5:
            wanted: list[Any] = [
                (topic, SubscribeOptions(qos=qos, retainAsPublished=not topic.startswith("$share")))
                for topic, qos in topics
            ]
        else:
            wanted = list(topics)
        code, mid = self._client.subscribe(wanted)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise LinkError("connection_lost", paho.error_string(code))
        return mid

    def acknowledge(self, message: Received) -> None:
        """Send PUBACK for a message, where `manual_ack` was asked for."""
        self._client.ack(message.mid, message.qos)

    def close(self, *, will: bool = False) -> None:
        """End the connection; may be called twice.

        Args:
            will: True lets the broker publish the last will all the same (MQTT 5).
        """
        if will and self._v5:
            self._client.disconnect(
                reasoncode=ReasonCode(PacketTypes.DISCONNECT, identifier=_WITH_WILL)
            )
        else:
            self._client.disconnect()
        if self.fileno() >= 0:
            self._client.loop_write()

    # -- inside -------------------------------------------------------------------------------

    def _make(self, settings: LinkSettings) -> _Client:
        clean = None if settings.version5 else _is_clean(settings)
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=clean,
            protocol=paho.MQTTv5 if settings.version5 else paho.MQTTv311,
            manual_ack=settings.manual_ack,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(_INFLIGHT)
        client.max_queued_messages_set(_INFLIGHT)
        if settings.username:
            client.username_pw_set(settings.username, _read_password(settings.password_file))
        if settings.tls:
            client.tls_set_context(_tls_context(settings))
        put = self.happenings.append

        def connected(_c: Any, _u: Any, flags: Any, reason: Any, _p: Any) -> None:
            client.accepted_at = time.monotonic()
            put(Connected(reason.value, str(reason), flags.session_present))

        client.on_connect = connected
        client.on_disconnect = lambda _c, _u, _f, reason, _p: put(
            client.refused or Lost(reason.value, str(reason))
        )
        client.on_publish = lambda _c, _u, mid, reason, _p: put(
            Delivered(mid, reason.value, self._topics.pop(mid, ""))
        )
        client.on_subscribe = lambda _c, _u, mid, reasons, _p: put(
            Subscribed(mid, tuple(reason.value for reason in reasons))
        )
        client.on_message = lambda _c, _u, m: put(
            Received(
                m.topic, bytes(m.payload), m.qos, m.retain, m.mid,
                client.delay.at_most_s(time.monotonic()), time.monotonic() - client.accepted_at,
            )
        )  # fmt: skip
        return client

    def _connect(self, settings: LinkSettings) -> None:
        arguments: dict[str, Any] = {}
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = settings.session_expiry_s
            properties.MaximumPacketSize = MAX_PACKET_BYTES
            arguments = {"clean_start": _is_clean(settings), "properties": properties}
        try:
            self._client.connect(settings.host, settings.port, settings.keepalive_s, **arguments)
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or error
            raise LinkError("tls", f"{settings.host}:{settings.port}: TLS: {why}") from error
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise LinkError("unreachable", f"{settings.host}:{settings.port}: {why}") from error

    def _properties(self, message: Message, *, will: bool = False) -> Properties | None:
        if not self._v5:
            return None
        kind = PacketTypes.WILLMESSAGE if will else PacketTypes.PUBLISH
        return _properties(kind, message.expiry_s, message.content_type)


def matches(name: str, topic: str) -> bool:
    """Return whether a filter brings a topic."""
    return bool(paho.topic_matches_sub(name, topic))


def _is_clean(settings: LinkSettings) -> bool:
    return settings.forget_session or settings.session_expiry_s == 0


class _Client(paho.Client):
    """paho's client, with a gauge where its bytes come in and a watch on its pings.

    It reads a packet's length and then all of the packet into memory, whatever the length. All its
    reads go through `_sock_recv`; an error from there ends the connection.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.refused: Lost | None = None
        """Why this side ended the connection."""
        self._gauge = PacketGauge()
        self.delay = Delay(time.monotonic())
        self.accepted_at = math.inf
        """When the broker answered, monotonic seconds."""

    def ping(self) -> None:
        """Ask whether the broker is there, unless it has yet to answer."""
        if self.is_connected() and not self.delay.asked:
            self._send_pingreq()

    def _send_pingreq(self) -> MQTTErrorCode:
        code = super()._send_pingreq()
        if code == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self.delay.ask(time.monotonic())
        return code

    def _handle_pingresp(self) -> MQTTErrorCode:
        self.delay.answered(time.monotonic())
        return super()._handle_pingresp()

    def _sock_recv(self, bufsize: int) -> bytes:
        data = super()._sock_recv(min(bufsize, self._gauge.wanted or bufsize))
        try:
            if self._gauge.feed(data) or not data:
                return data
        except PacketRefused as error:
            self.refused = Lost(error.code, str(error), refused=True, topic=error.topic)
            raise
        raise BlockingIOError  # of a packet that is not taken, nothing is handed on


@lru_cache(maxsize=64)
def _properties(kind: int, expiry_s: int | None, content_type: str) -> Properties:
    """Return properties to read only; paho packs them anew each time and never changes them."""
    properties = Properties(kind)  # type: ignore[no-untyped-call]
    properties.PayloadFormatIndicator = 0 if content_type == "application/cose" else 1
    properties.ContentType = content_type
    if expiry_s is not None:
        properties.MessageExpiryInterval = expiry_s
    return properties


def _read_password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LinkError("credentials", f"{path.name}: the password cannot be read") from error


class _Socket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _tls_context(settings: LinkSettings) -> ssl.SSLContext:
    for path in (settings.ca_file, settings.cert_file, settings.key_file):
        _readable(path)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.sslsocket_class = _Socket
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            context.load_cert_chain(
                settings.cert_file, settings.key_file, lambda: _no_passphrase(settings)
            )
    except (OSError, ssl.SSLError) as error:
        why = getattr(error, "reason", None) or error
        raise LinkError("credentials", f"TLS files: {why}") from error
    return context


def _no_passphrase(settings: LinkSettings) -> bytes:
    """Answer for OpenSSL, which would ask at the terminal and wait."""
    path = settings.key_file or settings.cert_file
    raise LinkError(
        "credentials",
        f"{path}: the key has a passphrase; take it off: openssl pkey -in KEY -out NEW",
    )


def _readable(path: Path | None) -> None:
    """Name the file that cannot be read: OpenSSL does not."""
    if path is None:
        return
    try:
        path.open("rb").close()
    except OSError as error:
        raise LinkError("credentials", f"{path}: {error.strerror}") from error
