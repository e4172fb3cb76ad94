"""What stands before each of the desk's three origins: hosts, sizes, deadlines, headers, the log.

Rules:
- a request for another host than the origin's own is not answered (421): a name that an attacker
  points at this address (DNS rebinding) reaches nothing;
- a body has a limit in bytes and in time, counted as it comes, whatever its header says;
- an exception is one log line of its kind and place and one plain answer; its text may quote what a
  person sent, and is told nowhere;
- the log knows the origin, method, status and duration, and the name of the function that answered;
  no path and no query, since those hold codes;
- headers are added where the application set none of that name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from agent import exits, log

__all__ = ["COMMON_HEADERS", "Guard", "Limits"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COMMON_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may be.

    Attributes:
        body_bytes: of its body.
        body_s: seconds until all of the body is there.
    """

    body_bytes: int
    body_s: float = 60.0


class _Unfit(Exception):
    """A body that is too large, or too slow: what the application makes of it is not sent."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Guard:
    """One origin's doorkeeper, an ASGI application round another.

    Args:
        app: what is guarded.
        origin: its name in the log.
        hosts: the values of `Host` that are answered, with a port where it is not the scheme's own.
        limits: see `Limits`.
        headers: added to each answer, by lower-case name.
    """

    def __init__(
        self,
        app: App,
        *,
        origin: str,
        hosts: Collection[str],
        limits: Limits,
        headers: Mapping[str, str],
    ) -> None:
        self._app = app
        self._origin = origin
        self._hosts = frozenset(host.encode() for host in hosts)
        self._limits = limits
        self._headers = tuple((k.encode(), v.encode("latin-1")) for k, v in headers.items())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no web sockets here
        begun = time.monotonic()
        status = 0
        body = _Counted(receive, self._limits)

        async def send_on(message: Message) -> None:
            nonlocal status
            if body.unfit is not None and not status:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._with_ours(message.get("headers", ()))
            await send(message)

        try:
            host = next((v for k, v in scope["headers"] if k == b"host"), b"")
            if host.lower() not in self._hosts:
                await _plain(send_on, 421, "this host is not served here")
            elif _declared(scope) > self._limits.body_bytes:
                await _plain(send_on, 413, "the request is too large")
            else:
                await self._app(scope, body, send_on)
        except Exception as error:  # noqa: BLE001 - one line without its text, and an answer
            if body.unfit is None:
                what = exits.ending(error)[1]
                _log.error("request_failed", origin=self._origin, what=what)
            if not status and body.unfit is None:
                await _plain(send_on, 500, "internal fault; the desk's log has a line on it")
        if body.unfit is not None and not status:
            unfit, body.unfit = body.unfit, None
            await _plain(send_on, unfit.status, unfit.text)
        endpoint = scope.get("endpoint")
        _log.info(
            "request",
            origin=self._origin,
            method=scope["method"] if scope["method"] in _METHODS else "other",
            status=status,
            answered_by=getattr(endpoint, "__name__", ""),
            ms=round((time.monotonic() - begun) * 1_000, 1),
        )

    def _with_ours(self, headers: Any) -> list[tuple[bytes, bytes]]:
        found = [(bytes(name), bytes(value)) for name, value in headers]
        there = {name.lower() for name, _ in found}
        return found + [pair for pair in self._headers if pair[0] not in there]


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Counted:
    """Passes a body on as it comes, within limits."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._left = limits.body_bytes
        self._until = time.monotonic() + limits.body_s
        self._whole = False
        self.unfit: _Unfit | None = None

    async def __call__(self) -> Message:
        if self._whole:  # what comes now is the end of the connection: it may take its time
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise self._over(408, "the request did not come in time") from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._left < 0:
                raise self._over(413, "the request is too large")
        return message

    def _over(self, status: int, text: str) -> _Unfit:
        self.unfit = _Unfit(status, text)
        return self.unfit


def _declared(scope: Scope) -> int:
    value = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
    return int(value) if value.isdigit() and len(value) < 16 else 0


async def _plain(send: Send, status: int, text: str) -> None:
    body = f"{text}\n".encode()
    await send({
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ],
    })  # fmt: skip
    await send({"type": "http.response.body", "body": body})
