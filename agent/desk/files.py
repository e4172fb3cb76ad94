"""Files that the desk hands out as they are: the wallet's page, and the signed trust set.

Rules:
- the page's files are read once at the start into a table: a path is a key of that table or
  nothing, so no path leads elsewhere; only kinds of file that a page is made of are in it;
- of the trust repository only what gates fetch is reachable: names of metadata and of targets as
  The Update Framework writes them; drafts, settings and keys have other names;
- what never changes under its name may be kept for ever, the rest is asked for each time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

__all__ = ["Page", "authority_route", "status_route", "trust_routes"]

_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".md": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_LICENCE: Final = "LICENSE"
_ISSUERS: Final = "issuers.json"
_NOT_THE_PAGE: Final = frozenset({"headers.json", "package.json"})
_METADATA = re.compile(r"(?:[1-9][0-9]{0,9}\.)?(?:root|targets|snapshot|timestamp|status)\.json")
_TARGET = re.compile(r"[a-z]{1,16}/[0-9a-f]{64}\.[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    packed: bytes
    kind: str
    tag: str


class Page:
    """The wallet's page, an ASGI application.

    Args:
        folder: its files.
        issuers: the origins of issuers that it believes, told as `issuers.json`.
    """

    def __init__(self, folder: Path, issuers: Sequence[str]) -> None:
        self._files: dict[str, _File] = {}
        for path in sorted(folder.rglob("*")):
            kind = _KINDS.get(path.suffix)
            if path.name.startswith(_LICENCE):
                kind = _KINDS[".txt"]
            if kind is not None and path.is_file() and path.name not in _NOT_THE_PAGE:
                self._put(path.relative_to(folder).as_posix(), path.read_bytes(), kind)
        known = json.dumps({"issuers": list(issuers)}).encode()
        self._put(_ISSUERS, known, _KINDS[".json"])
        if "index.html" in self._files:
            self._files[""] = self._files["index.html"]

    def names(self) -> list[str]:
        """Return the paths that are served."""
        return sorted(self._files)

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Answer a request; there is nothing to begin or to end."""
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] != "lifespan.shutdown":
                await send({"type": f"{message['type']}.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await self.answer(Request(scope, receive))(scope, receive, send)

    def answer(self, request: Request) -> Response:
        """Return what is at a path."""
        if request.method not in ("GET", "HEAD"):
            return Response(status_code=405, headers={"allow": "GET, HEAD"})
        found = self._files.get(request.url.path.removeprefix("/"))
        if found is None:
            return Response("nothing here\n", status_code=404, media_type="text/plain")
        # The page's own service worker keeps it for use without a network; a browser's cache that
        # kept it besides would hold back a mended page.
        headers = {"etag": found.tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        content = found.content
        if found.packed and "gzip" in request.headers.get("accept-encoding", ""):
            content = found.packed
            headers["content-encoding"] = "gzip"
        return Response(content, headers=headers, media_type=found.kind)

    def _put(self, name: str, content: bytes, kind: str) -> None:
        packed = gzip.compress(content, 9, mtime=0)
        tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
        kept = packed if len(packed) < len(content) else b""
        self._files[name] = _File(content, kept, kind, tag)


def trust_routes(repository: Path) -> list[Route]:
    """Return the routes under which gates fetch the signed trust set.

    Args:
        repository: the publishing side's directory (`agent.trust.publish`).
    """

    async def trust_metadata(request: Request) -> Response:
        name: str = request.path_params["name"]
        kept = "no-store" if name == "timestamp.json" else "public, max-age=31536000, immutable"
        return _file(repository / "metadata", name, _METADATA, kept)

    async def trust_target(request: Request) -> Response:
        name: str = request.path_params["name"]
        return _file(repository / "targets", name, _TARGET, "public, max-age=31536000, immutable")

    return [
        Route("/trust/metadata/{name}", trust_metadata),
        Route("/trust/targets/{name:path}", trust_target),
    ]


def status_route(read: Callable[[int], bytes | None]) -> Route:
    """Return the route of the status lists, at the URI that credentials name.

    Gates have the lists from the trust set; this is for other readers.

    Args:
        read: returns the published list of a number, None where there is none.
    """

    def status(request: Request) -> Response:
        found = read(request.path_params["number"])
        if found is None:
            return Response("nothing here\n", status_code=404, media_type="text/plain")
        headers = {"cache-control": "no-cache"}
        return Response(found, headers=headers, media_type="application/statuslist+cwt")

    return Route("/status/{number:int}", status)


def authority_route(file: Path) -> Route:
    """Return the route at which a PC or a phone fetches the authority to trust."""

    def authority(_: Request) -> Response:
        if not file.is_file():
            return Response("this desk's certificate was given: nothing to trust\n", 404)
        return Response(
            file.read_bytes(),
            media_type="application/x-x509-ca-cert",
            headers={"content-disposition": 'attachment; filename="desk-ca.pem"'},
        )

    return Route("/ca.pem", authority)


def _file(folder: Path, name: str, allowed: re.Pattern[str], kept: str) -> Response:
    path = folder / name
    if not allowed.fullmatch(name) or not path.is_file():
        return Response("nothing here\n", status_code=404, media_type="text/plain")
    return FileResponse(path, headers={"cache-control": kept})
