"""Gates: which are expected, how they are, and the link by which one joins."""

from __future__ import annotations

import base64
import re
from functools import cache
from importlib.resources import files

from starlette.responses import Response

from agent.desk.gate_states import GateState, StatesError
from agent.desk.joining import GateInvitation, JoiningError
from agent.desk.web.call import BadRequest, Call
from agent.desk.web.qr import qr_svg
from agent.settings.errors import NAME

__all__ = ["invite", "listing", "remove"]


def listing(call: Call) -> Response:
    """Show the gates."""
    return _page(call)


def invite(call: Call) -> Response:
    """Expect a gate and show its link, this once."""
    name, profile = call.field("name"), call.field("profile")
    if not re.fullmatch(NAME, name) or (profile and not re.fullmatch(NAME, profile)):
        raise BadRequest(call.site.texts.gates.bad_name)
    settings = f'[gate]\nprofile = "{profile}"\n' if profile else ""
    try:
        made = call.site.joining.invite_gate(name, settings, who=call.who)
    except JoiningError as error:
        return _page(call, wrong=str(error), status=422)
    return _page(call, made=made)


def remove(call: Call) -> Response:
    """Expect a gate no longer."""
    try:
        call.site.joining.remove(call.path["name"], who=call.who)
    except JoiningError as error:
        return _page(call, wrong=str(error), status=422)
    return call.to("/gates")


def _page(
    call: Call, *, made: GateInvitation | None = None, wrong: str = "", status: int = 200
) -> Response:
    joining = call.site.joining
    states: dict[str, GateState] = {}
    try:
        states = joining.gate_states()
    except StatesError as error:
        wrong = wrong or str(error)
    expected = {gate.name: gate for gate in joining.expected()}
    return call.page(
        "gates.html",
        status=status,
        names=sorted({*expected, *states}),
        expected=expected,
        states=states,
        collector=bool(call.site.desk.settings.collector),
        made=made,
        drawn=qr_svg(made.link, call.site.texts.gates.qr_label) if made else "",
        file=base64.b64encode(made.file).decode() if made else "",
        profiles=_profiles(),
        wrong=wrong,
        now=call.site.desk.clock(),
    )


@cache
def _profiles() -> tuple[str, ...]:
    """Return the names of the profiles that gates have with them."""
    folder = files("agent.policy").joinpath("profiles")
    found = (each.name.removesuffix(".toml") for each in folder.iterdir())
    return tuple(sorted(name for name in found if "__" not in name))
