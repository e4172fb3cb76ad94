"""Invitations: a link or QR by which people make the basic card on their own phones."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response

from agent.credential.model import Kind
from agent.desk.invitations import InvitationError
from agent.desk.members import Member
from agent.desk.web.call import BadRequest, Call
from agent.desk.web.qr import qr_svg

__all__ = ["create", "end", "form", "invite_member"]


def form(call: Call) -> Response:
    """Show what an invitation may be."""
    return _page(call)


def create(call: Call) -> Response:
    """Make an invitation for whoever has it, and show it this once."""
    try:
        kind = Kind(call.field("kind"))
        uses, days = int(call.field("uses", "1")), int(call.field("days", "14"))
    except ValueError:
        raise BadRequest("the form's kind or numbers are none") from None
    try:
        link = call.site.invitations.create(kind, uses, days, who=call.who)
    except InvitationError as error:
        return _page(call, wrong=str(error), status=422)
    return _page(call, link=link)


def invite_member(call: Call) -> Response:
    """Make an invitation for one member, with a text to be sent."""
    member = call.site.members.get(call.path["reference"])
    try:
        link = call.site.invitations.create(member.person.kind, member=member, who=call.who)
    except InvitationError as error:
        return _page(call, wrong=str(error), status=422)
    return _page(call, link=link, member=member)


def end(call: Call) -> Response:
    """End an invitation by its link."""
    try:
        ended = call.site.invitations.end(call.field("link"), who=call.who)
    except ValueError:  # a link that is none
        ended = False
    texts = call.site.texts.invitations
    return _page(call, line=texts.ended if ended else texts.not_ended)


def _page(
    call: Call, *, link: str = "", member: Member | None = None, wrong: str = "", line: str = "",
    status: int = 200,
) -> Response:  # fmt: skip
    settings = call.site.desk.settings
    texts = call.site.texts.invitations
    text = mail = ""
    if link:
        text = texts.text.format(place=settings.place.name, link=link)
    if member is not None and member.person.email:
        subject = quote(texts.subject.format(place=settings.place.name))
        mail = f"mailto:{quote(member.person.email)}?subject={subject}&body={quote(text)}"
    return call.page(
        "invitations.html", status=status, link=link, member=member, wrong=wrong, line=line,
        text=text, mail=mail, drawn=qr_svg(link, texts.qr_label) if link else "",
        kinds=settings.issuer.kinds, enabled=settings.self_service.enabled,
        days=settings.rules.invitation_days,
    )  # fmt: skip
