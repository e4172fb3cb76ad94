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
from agent.desk.faces import Faces
from agent.desk.fingers import FingerModule
from agent.desk.staff import Role
from agent.desk.web import (
    capture,
    gates,
    handover,
    inviting,
    journal,
    lists,
    members,
    printing,
    sign_in,
    trust,
    upgrades,
    workers,
)
from agent.desk.web.call import ANYBODY, EVERYBODY, Row
from agent.desk.web.guard import Guard, TooLong
from agent.desk.web.site import Publishes, make_site

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
    Row("GET", "/favicon.ico", sign_in.icon, ANYBODY),
    Row("GET", "/", sign_in.home, EVERYBODY),
    # members
    Row("GET", "/members", members.listing, SERVING),
    Row("GET", "/members/new", members.new_form, CLERK),
    Row("POST", "/members/new", members.add, CLERK),
    Row("GET", "/members/{reference}", members.show, SERVING),
    Row("GET", "/members/{reference}/change", members.change_form, CLERK),
    Row("POST", "/members/{reference}/change", members.change, CLERK),
    Row("POST", "/members/{reference}/suspend", members.suspend, SERVING),
    Row("POST", "/members/{reference}/restore", members.restore, SERVING),
    Row("POST", "/members/{reference}/phone-lost", members.phone_lost, SERVING),
    Row("POST", "/members/{reference}/revoke", members.revoke, ISSUER),
    Row("POST", "/members/{reference}/erase", members.erase, ISSUER),
    # members in lists
    Row("GET", "/import", lists.import_form, ISSUER),
    Row("POST", "/import", lists.dry_run, ISSUER, lists.FILE_BYTES),
    Row("POST", "/import/apply", lists.import_them, ISSUER),
    Row("POST", "/export", lists.export, ISSUER),
    # printed cards
    Row("GET", "/cards", printing.form, ISSUER),
    Row("POST", "/cards", printing.start, ISSUER),
    Row("POST", "/members/{reference}/card", printing.one, SERVING),
    Row("GET", "/cards/jobs/{job}", printing.progress, SERVING),
    Row("GET", "/cards/jobs/{job}/state", printing.state, SERVING, script=True),
    Row("GET", "/cards/jobs/{job}/sheet", printing.sheet, SERVING),
    Row("POST", "/cards/jobs/{job}/stop", printing.stop, SERVING),
    Row("GET", "/cards/style/{layout}", printing.style, ANYBODY),
    # handing over, and what is taken for it
    Row("GET", "/members/{reference}/handover", handover.form, CLERK),
    Row("POST", "/members/{reference}/handover", handover.create, CLERK),
    Row("GET", "/offers/{offer}", handover.state, CLERK, script=True),
    Row("POST", "/offers/{offer}/end", handover.kill, CLERK),
    Row("POST", "/look", capture.look, CLERK, capture.PICTURE_BYTES, script=True),
    Row("POST", "/scan", capture.scan, CLERK, capture.PICTURE_BYTES, script=True),
    Row("POST", "/members/{reference}/face", capture.take, CLERK, capture.FACE_BYTES, script=True),
    Row("POST", "/members/{reference}/finger", capture.finger, CLERK, script=True),
    Row("GET", "/members/{reference}/finger", capture.finger_step, CLERK, script=True),
    Row("POST", "/members/{reference}/drop", capture.drop, CLERK),
    # cards that people make themselves
    Row("GET", "/invitations", inviting.form, CLERK),
    Row("POST", "/invitations", inviting.create, CLERK),
    Row("POST", "/invitations/end", inviting.end, CLERK),
    Row("POST", "/members/{reference}/invite", inviting.invite_member, CLERK),
    # the upgrade in person
    Row("GET", "/upgrade", upgrades.scan_form, CLERK),
    Row("POST", "/upgrade", upgrades.read, CLERK),
    Row("GET", "/upgrade/card", upgrades.offer, CLERK),
    Row("POST", "/upgrade/card", upgrades.offer, CLERK),
    # what gates believe
    Row("GET", "/publish", trust.page, ISSUER | AUDITOR),
    Row("POST", "/publish", trust.publish, ISSUER),
    Row("POST", "/publish/roster", trust.roster, ISSUER),
    Row("POST", "/publish/bundle", trust.give_bundle, ISSUER),
    Row("POST", "/publish/signed", trust.take_bundle, ISSUER, trust.BUNDLE_BYTES),
    # gates
    Row("GET", "/gates", gates.listing, EVERYBODY),
    Row("POST", "/gates", gates.invite, ISSUER),
    Row("POST", "/gates/{name}/remove", gates.remove, ISSUER),
    # the house
    Row("GET", "/help", sign_in.help_page, EVERYBODY),
    Row("GET", "/journal", journal.listing, AUDITOR),
    Row("GET", "/staff", workers.listing, ISSUER | AUDITOR),
    Row("POST", "/staff", workers.add, ISSUER),
    Row("POST", "/staff/{name}/roles", workers.change_roles, ISSUER),
    Row("POST", "/staff/{name}/invite", workers.invite, ISSUER),
    Row("POST", "/staff/{name}/end", workers.end, ISSUER),
)


def staff_app(
    desk: Desk,
    publisher: Publishes | None = None,
    *,
    module: FingerModule | None = None,
    faces: Faces | None = None,
) -> Starlette:
    """Return the application of the staff's origin.

    Args:
        desk: that is open. Whoever opened it calls `state.close()` of the application, which ends
            sandboxes and jobs, and then closes the desk.
        publisher: tells gates what was withdrawn; None: pages say that nobody does.
        module: the fingerprint module at the desk, where there is one.
        faces: looks at pictures; the issuer's may be the same, so that models are loaded once.

    Raises:
        ValueError: the staff's origin cannot have passkeys; one line.
    """
    menu = {row.path: row.roles for row in TABLE if row.method == "GET"}
    site = make_site(
        desk, lambda roles, path: bool(menu.get(path, ANYBODY) & roles),
        publisher=publisher, module=module, faces=faces,
    )  # fmt: skip

    async def missing(_: Request, __: Exception) -> Response:
        return PlainTextResponse("There is no such page.\n", 404)

    async def too_long(_: Request, error: Exception) -> Response:
        return PlainTextResponse(f"Refused: {error}.\n", 413)

    application = Starlette(
        routes=[
            *(row.route(site) for row in TABLE),
            Mount("/static", StaticFiles(packages=[("agent.desk.web", "static")])),
        ],
        middleware=[Middleware(Guard, origin=desk.settings.web.staff)],
        exception_handlers={404: missing, TooLong: too_long},
    )
    application.state.site = site
    application.state.close = site.close
    return application
