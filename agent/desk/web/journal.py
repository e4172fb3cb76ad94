"""The journal, for the auditor: who did what to which reference; no page of it names a person."""

from __future__ import annotations

from starlette.responses import Response

from agent.desk.web.call import Call

__all__ = ["listing"]

_PAGE = 100


def listing(call: Call) -> Response:
    """Show the newest rows, or those before a number; say whether the chain holds."""
    text = call.query.get("before", "")
    before = int(text) if text.isdecimal() and len(text) < 15 else None
    desk = call.site.desk
    broken: int | None = None
    with desk.store.read() as connection:
        rows = desk.journal.read(connection, before=before, limit=_PAGE + 1)
        checked = call.query.get("check") == "yes"
        if checked:
            broken = desk.journal.verify(connection)
    more = rows[_PAGE - 1].seq if len(rows) > _PAGE else 0
    return call.page("journal.html", rows=rows[:_PAGE], more=more, checked=checked, broken=broken)
