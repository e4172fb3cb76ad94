"""The page of the staff: who works here and as what, invitations, and the end of it."""

from __future__ import annotations

from starlette.responses import Response

from agent.desk.staff import Invitation, Role, StaffError
from agent.desk.web.call import BadRequest, Call

__all__ = ["add", "change_roles", "end", "invite", "listing"]


def listing(call: Call) -> Response:
    """Show everybody."""
    return _page(call)


def add(call: Call) -> Response:
    """Add a person and show the invitation, this once."""
    try:
        made = call.site.staff.add(call.field("name"), _roles(call), who=call.who)
    except StaffError as error:
        return _page(call, wrong=str(error), status=422)
    return _page(call, made=made)


def change_roles(call: Call) -> Response:
    """Change what a person may do."""
    try:
        call.site.staff.set_roles(call.path["name"], _roles(call), who=call.who)
    except StaffError as error:
        return _page(call, wrong=str(error), status=422)
    return call.to("/staff")


def invite(call: Call) -> Response:
    """Invite to a further passkey and show the invitation, this once."""
    try:
        made = call.site.staff.invite(call.path["name"], who=call.who)
    except StaffError as error:
        return _page(call, wrong=str(error), status=422)
    return _page(call, made=made)


def end(call: Call) -> Response:
    """Let a person go."""
    try:
        call.site.staff.end(call.path["name"], who=call.who)
    except StaffError as error:
        return _page(call, wrong=str(error), status=422)
    return call.to("/staff")


def _roles(call: Call) -> list[Role]:
    try:
        return [Role(value) for value in call.fields.get("role", ())]
    except ValueError:
        raise BadRequest("there is no such role") from None


def _page(
    call: Call, *, made: Invitation | None = None, wrong: str = "", status: int = 200
) -> Response:
    changes = call.session is not None and Role.ISSUER in call.session.roles
    return call.page(
        "staff.html", status=status, workers=call.site.staff.all(), roles=list(Role), made=made,
        wrong=wrong, changes=changes,
    )  # fmt: skip
