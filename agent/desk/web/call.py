"""A request as the pages see it, and the table row that says who may make it.

Rules:
- a row names method, path, who may, and the longest body; a page is a plain function of `Call` that
  runs in a thread of its own, so that the database may be waited for;
- who may is decided here and nowhere else, before the body is read; somebody who is signed in and
  may not is told so, and the journal has it;
- a form's values are text of a bounded length without NUL; an uploaded file stays in memory, since
  what it holds must not lie on the disk for a moment.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.desk.credentials import CredentialError
from agent.desk.members import MemberError, UnknownMember
from agent.desk.seal import SealBroken
from agent.desk.staff import Role, Session
from agent.desk.web.guard import TooLong
from agent.desk.web.site import Site

__all__ = ["ANYBODY", "COOKIE", "EVERYBODY", "FORM_BYTES", "BadRequest", "Call", "Row", "Upload"]

COOKIE: Final = "__Host-desk"
ANYBODY: Final = frozenset[Role]()
"""Also who is not signed in."""
EVERYBODY: Final = frozenset(Role)
"""Who is signed in, whatever the role."""
FORM_BYTES: Final = 32 << 10
_FIELDS: Final = 64
_LONGEST_VALUE: Final = 8 << 10


class BadRequest(ValueError):
    """The request cannot be understood; one line."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file out of a form.

    Attributes:
        name: as the browser says; only shown, never a path.
        data: all of it.
    """

    name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is allowed.

    Attributes:
        site: the application's parts.
        session: who asks; None on pages for anybody.
        method: GET or POST.
        path: values out of the path.
        query: values behind the question mark, the last of each name.
        fields: of the form, with all values of a name.
        uploads: files of the form.
        body: as it came.
    """

    site: Site
    session: Session | None
    method: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    fields: Mapping[str, tuple[str, ...]] = field(repr=False)
    uploads: Mapping[str, Upload] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def who(self) -> str:
        """The work name of who asks, for the journal."""
        if self.session is None:
            raise BadRequest("nobody is signed in")
        return self.session.name

    def field(self, name: str, default: str = "") -> str:
        """Return a form's value, stripped of white space around it."""
        values = self.fields.get(name)
        return values[0].strip() if values else default

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            BadRequest: it is none.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadRequest("the body is no JSON") from None
        if not isinstance(found, dict):
            raise BadRequest("the body is no JSON object")
        return found

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page made of a template."""
        return self.site.page(self.session, template, status=status, **values)

    def to(self, path: str) -> Response:
        """Send the browser to another page, by GET."""
        return RedirectResponse(path, 303)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        method: GET or POST.
        path: Starlette's.
        answer: the page.
        roles: any of them may; `ANYBODY`, `EVERYBODY`.
        longest: bytes of the body.
        script: asked for by the page's script, and answered in JSON when refused.
    """

    method: str
    path: str
    answer: Callable[[Call], Response]
    roles: frozenset[Role]
    longest: int = FORM_BYTES
    script: bool = False

    def route(self, site: Site) -> Route:
        """Return the route that enforces the row."""

        async def endpoint(request: Request) -> Response:
            session: Session | None = None
            cookie = request.cookies.get(COOKIE, "")
            if cookie:
                session = await run_in_threadpool(site.staff.session, cookie)
            if self.roles and session is None:
                return self._unknown(request)
            if self.roles and session is not None and not self.roles & session.roles:
                await run_in_threadpool(site.staff.denied, session, f"{self.method} {self.path}")
                return self._refused(site, session, 403, site.texts.errors.role)
            try:
                call = await self._read(site, request, session)
            except BadRequest as error:
                return self._refused(site, session, 400, str(error))
            except TooLong as error:
                return self._refused(site, session, 413, str(error))
            return await run_in_threadpool(self._answer, call)

        return Route(self.path, endpoint, methods=[self.method])

    def _answer(self, call: Call) -> Response:
        try:
            return self.answer(call)
        except UnknownMember as error:
            status, line = 404, str(error)
        except (BadRequest, MemberError, CredentialError) as error:
            status, line = 400, str(error)
        except SealBroken:
            status, line = 500, call.site.texts.errors.seal
        return self._refused(call.site, call.session, status, line)

    async def _read(self, site: Site, request: Request, session: Session | None) -> Call:
        fields: dict[str, tuple[str, ...]] = {}
        uploads: dict[str, Upload] = {}
        body = b""
        if self.method != "GET":
            body = await _body(request, self.longest)
            kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
            if kind == "application/x-www-form-urlencoded":
                fields = _pairs(body)
            elif kind == "multipart/form-data":
                fields, uploads = await _parts(request, body, self.longest)
        query = _checked(request.url.query)
        path = {name: str(value) for name, value in request.path_params.items()}
        return Call(site, session, self.method, path, query, fields, uploads, body)

    def _unknown(self, request: Request) -> Response:
        if self.script:
            return JSONResponse({"error": "You are no longer signed in."}, 401)
        if self.method == "GET":
            return RedirectResponse(f"/signin?next={request.url.path}", 303)
        return RedirectResponse("/signin", 303)

    def _refused(self, site: Site, session: Session | None, status: int, line: str) -> Response:
        if self.script:
            return JSONResponse({"error": line}, status)
        return site.page(session, "message.html", status=status, line=line)


async def _body(request: Request, longest: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    try:
        async for part in request.stream():
            length += len(part)
            if length > longest:
                raise TooLong(f"what was sent is longer than {longest >> 10} KiB")
            parts.append(part)
    except ClientDisconnect:
        raise BadRequest("the connection ended before all of it had come") from None
    return b"".join(parts)


def _pairs(body: bytes) -> dict[str, tuple[str, ...]]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"
        )
    except ValueError:
        raise BadRequest("the form is not well formed") from None
    return _collected(pairs)


async def _parts(
    request: Request, body: bytes, longest: int
) -> tuple[dict[str, tuple[str, ...]], dict[str, Upload]]:
    async def once() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, once(), max_files=4, max_fields=_FIELDS, max_part_size=_LONGEST_VALUE
    )
    parser.spool_max_size = longest + 1  # never on the disk
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):
        raise BadRequest("the form is not well formed") from None
    pairs: list[tuple[str, str]] = []
    uploads: dict[str, Upload] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            pairs.append((name, value))
        else:
            uploads[name] = Upload((value.filename or "")[:200], await value.read())
    await form.close()
    return _collected(pairs), uploads


def _collected(pairs: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        if len(value) > _LONGEST_VALUE or "\0" in value:
            raise BadRequest("a field of the form is too long, or no text")
        found[name] = (*found.get(name, ()), value)
    return found


def _checked(query: str) -> dict[str, str]:
    try:
        found = dict(parse_qsl(query, max_num_fields=_FIELDS, errors="strict"))
    except ValueError:
        raise BadRequest("the address is not well formed") from None
    if any("\0" in value for value in found.values()):
        raise BadRequest("the address is not well formed")
    return found
