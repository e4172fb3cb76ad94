"""Pages of members: the list, the search, one member, the form, and what is done to credentials."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from starlette.responses import Response

from agent.credential.model import Kind
from agent.desk.members import Member, MemberError, Person
from agent.desk.offers import Purpose
from agent.desk.web.call import BadRequest, Call

__all__ = [
    "add", "change", "change_form", "erase", "listing", "new_form", "phone_lost", "restore",
    "revoke", "show", "suspend",
]  # fmt: skip

_PAGE = 50
_FOUND = 50
_NOTICES = frozenset({
    "added", "changed", "suspended", "restored", "revoked", "phone-lost", "erased", "none",
    "imported",
})  # fmt: skip


def listing(call: Call) -> Response:
    """Show members, or those whom a search finds."""
    members = call.site.members
    words = call.query.get("q", "").strip()[:100]
    after = int(text) if (text := call.query.get("after", "")).isdecimal() and len(text) < 10 else 0
    shown = members.search(words, _FOUND) if words else members.page(after, _PAGE + 1)
    more = 0
    if not words and len(shown) > _PAGE:
        shown = shown[:_PAGE]
        more = shown[-1].id
    return call.page(
        "members.html", members=shown, words=words, more=more, count=members.count(),
        notice=_notice(call), first=not after, published=call.query.get("published", ""),
    )  # fmt: skip


def show(call: Call) -> Response:
    """Show one member and what was issued to them."""
    member = _member(call)
    rows = call.site.credentials.of_member(member.reference)
    now = call.site.desk.clock()
    return call.page(
        "member.html", member=member, rows=rows, now=now, notice=_notice(call),
        published=call.query.get("published", ""), renew=str(Purpose.RENEW),
    )  # fmt: skip


def new_form(call: Call) -> Response:
    """Show the empty form."""
    settings = call.site.desk.settings
    kinds = settings.issuer.kinds
    today = datetime.fromtimestamp(call.site.desk.clock(), UTC).date()
    until = _last_second(today + timedelta(days=settings.issuer.upgraded_days))
    regions = (settings.place.region,) if settings.place.region else ()
    person = Person("", kind=kinds[0], valid_until=until, regions=regions)
    return _form(call, person)


def add(call: Call) -> Response:
    """Add the member of the form."""
    person = _person(call)
    try:
        member = call.site.members.add(person, who=call.who)
    except MemberError as error:
        return _form(call, person, wrong=str(error), status=422)
    return call.to(f"/members/{member.reference}?done=added")


def change_form(call: Call) -> Response:
    """Show the form of a member."""
    member = _member(call)
    return _form(call, member.person, member=member)


def change(call: Call) -> Response:
    """Change a member; what becomes untrue is withdrawn with it, and published."""
    member = _member(call)
    person = _person(call)
    try:
        call.site.members.change(member.reference, person, who=call.who)
    except MemberError as error:
        return _form(call, person, member=member, wrong=str(error), status=422)
    return _done(call, member.reference, "changed")


def erase(call: Call) -> Response:
    """Forget a member."""
    reference = _member(call).reference
    if call.field("sure") != "yes":
        raise BadRequest(call.site.texts.member.erase_unsure)
    call.site.members.erase(reference, who=call.who)
    published = call.site.publish(call.who)
    return call.to(f"/members?done=erased&published={published}")


def suspend(call: Call) -> Response:
    """Suspend everything of a member."""
    reference = _member(call).reference
    changed = call.site.credentials.suspend(reference, who=call.who)
    return _done(call, reference, "suspended" if changed else "none")


def restore(call: Call) -> Response:
    """Restore what was suspended."""
    reference = _member(call).reference
    changed = call.site.credentials.restore(reference, who=call.who)
    return _done(call, reference, "restored" if changed else "none")


def revoke(call: Call) -> Response:
    """Revoke everything of a member, for good."""
    reference = _member(call).reference
    changed = call.site.credentials.revoke(reference, who=call.who)
    return _done(call, reference, "revoked" if changed else "none")


def phone_lost(call: Call) -> Response:
    """Revoke what is on phones, and leave cards as they are."""
    reference = _member(call).reference
    changed = call.site.credentials.phone_lost(reference, who=call.who)
    return _done(call, reference, "phone-lost" if changed else "none")


def _member(call: Call) -> Member:
    return call.site.members.get(call.path["reference"])


def _notice(call: Call) -> str:
    word = call.query.get("done", "")
    return word if word in _NOTICES else ""


def _done(call: Call, reference: str, word: str) -> Response:
    """Publish at once, and say on the member's page how that went."""
    published = call.site.publish(call.who)
    return call.to(f"/members/{reference}?done={word}&published={published}")


def _form(
    call: Call, person: Person, *, member: Member | None = None, wrong: str = "", status: int = 200
) -> Response:
    return call.page(
        "member_form.html", status=status, person=person, member=member, wrong=wrong,
        kinds=call.site.desk.settings.issuer.kinds,
    )  # fmt: skip


def _person(call: Call) -> Person:
    """Return what the form says; the fields themselves are checked by who keeps them."""
    try:
        kind = Kind(call.field("kind"))
        level = int(call.field("level"))
        until = date.fromisoformat(call.field("valid_until"))
    except ValueError:
        raise BadRequest("the form's kind, level or date is none") from None
    regions = tuple(call.field("regions").upper().replace(",", " ").split())
    person = Person(
        name=call.field("name"), email=call.field("email"), birth_date=call.field("birth_date"),
        number=call.field("number"), kind=kind, level=level, regions=regions,
    )  # fmt: skip
    return replace(person, valid_until=_last_second(until))


def _last_second(day: date) -> int:
    return int(datetime.combine(day, time.max, UTC).timestamp())
