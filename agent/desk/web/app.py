"""The staff's web application: the table of its pages, and what stands before them.

Rules: each line says method, path, page, and which role may; nothing is reachable that has no line.
What a role is for stands in `agent.desk.staff.Role`. Reading the line is all it takes to know who
may do something: there is no check further inside.
"""

from __future__ import annotations

from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from agent.desk.desk import Desk
from agent.desk.staff import Role
from agent.desk.web import sign_in, workers
from agent.desk.web.call import ANYBODY, EVERYBODY, Row
from agent.desk.web.guard import Guard, TooLong
from agent.desk.web.site import make_site

__all__ = ["TABLE", "staff_app"]

CLERK: Final = frozenset({Role.CLERK})
ISSUER: Final = frozenset({Role.ISSUER})
AUDITOR: Final = frozenset({Role.AUDITOR})
SERVING: Final = CLERK | ISSUER

TABLE: Final = (
    # signing in
    Row("GET", "/signin", sign_in.sign_in_page, ANYBODY),
    Row("POST", "/signin/options", sign_in.options, ANYBODY, script=True),
    Row("POST", "/signin", sign_in.sign_in, ANYBODY, script=True),
    Row("GET", "/welcome", sign_in.welcome_page, ANYBODY),
    Row("POST", "/welcome/options", sign_in.welcome_options, ANYBODY, script=True),
    Row("POST", "/welcome", sign_in.welcome, ANYBODY, script=True),
    Row("POST", "/signout", sign_in.sign_out, EVERYBODY),
    Row("GET", "/place.css", sign_in.place_style, ANYBODY),
    Row("GET", "/", sign_in.home, EVERYBODY),
    # who works here
    Row("GET", "/staff", workers.listing, ISSUER | AUDITOR),
    Row("POST", "/staff", workers.add, ISSUER),
    Row("POST", "/staff/{name}/roles", workers.change_roles, ISSUER),
    Row("POST", "/staff/{name}/invite", workers.invite, ISSUER),
    Row("POST", "/staff/{name}/end", workers.end, ISSUER),
)


def staff_app(desk: Desk) -> Starlette:
    """Return the application of the staff's origin.

    Args:
        desk: that is open.

    Raises:
        ValueError: the staff's origin cannot have passkeys; one line.
    """
    menu = {row.path: row.roles for row in TABLE if row.method == "GET"}
    site = make_site(desk, lambda roles, path: bool(menu[path] & roles))

    async def missing(_: Request, __: Exception) -> Response:
        return PlainTextResponse("There is no such page.\n", 404)

    async def too_long(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f"Refused: {error}.\n", 413)

    return Starlette(
        routes=[
            *(row.route(site) for row in TABLE),
            Mount("/static", StaticFiles(packages=[("agent.desk.web", "static")])),
        ],
        middleware=[Middleware(Guard, origin=desk.settings.web.staff)],
        exception_handlers={404: missing, TooLong: too_long},
    )
