"""An ASGI application behind a plain HTTP client, without a socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

__all__ = ["talking_to"]


class _InProcess(httpx.BaseTransport):
    def __init__(self, app: Any, portal: BlockingPortal) -> None:
        self._inner = httpx.ASGITransport(app)
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return self._portal.call(self._answer, request)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        got = await self._inner.handle_async_request(request)
        body = await got.aread()
        return httpx.Response(got.status_code, headers=got.headers, content=body)


@contextmanager
def talking_to(app: Any, origin: str) -> Iterator[httpx.Client]:
    """Give a client of an application.

    Args:
        app: ASGI.
        origin: as its settings name it; relative paths are asked there.
    """
    with (
        start_blocking_portal() as portal,
        httpx.Client(transport=_InProcess(app, portal), base_url=origin) as client,
    ):
        yield client
