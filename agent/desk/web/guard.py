"""What stands before every page: whose host it is, who may ask for a change, what a browser may do.

Rules:
- a request for another host is answered by nothing of ours (a name that was rebound to us);
- a request that changes something (any method but GET, HEAD, OPTIONS) comes from a page of ours:
  `Sec-Fetch-Site: same-origin` and our own `Origin`, as far as the browser sends them, and one of
  the two it does send. The cookie is `SameSite=Strict` besides;
- every answer forbids script, style, frames and connections of others, and is kept by no cache;
- a header or body that is too long ends the request before anything is made of it.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["POLICY", "Guard", "TooLong"]

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; media-src 'self' blob:; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)
_HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: with that, browsers send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "camera=(self), publickey-credentials-get=(self), publickey-credentials-create=(self), "
        "microphone=(), geolocation=(), payment=(), usb=()"
    ),
    "x-frame-options": "DENY",
}
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LONGEST_BODY: Final = 17 << 20
"""Of any route; a route's own limit is below it."""


class TooLong(ValueError):
    """The body is longer than the route takes."""


class Guard:
    """Middleware around the whole application.

    Args:
        app: what is guarded.
        origin: of the staff's pages, scheme and host and port.
    """

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app = app
        self._origin = origin
        self._host = origin.split("://", 1)[1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(scope["method"], Headers(scope=scope))
        app: ASGIApp = self._app
        if refused is not None:
            status, line = refused
            app = PlainTextResponse(line, status)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await app(scope, _bounded(receive), dressed)

    def _refused(self, method: str, headers: Headers) -> tuple[int, str] | None:
        if headers.get("host", "").lower() != self._host:
            return 421, f"This desk is at {self._origin}\n"
        if method in _SAFE:
            return None
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if (site is None and origin is None) or site not in {None, "same-origin"}:
            return 403, "Refused: the request does not come from a page of this desk.\n"
        if origin not in {None, self._origin}:
            return 403, "Refused: the request comes from another address.\n"
        return None


def _bounded(receive: Receive) -> Receive:
    """Return a `receive` that ends a body which no route would take."""
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > _LONGEST_BODY:
            raise TooLong("the body is longer than anything here")
        return message

    return bounded
