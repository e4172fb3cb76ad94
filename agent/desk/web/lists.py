"""Members in lists: the import with its dry run, and the export.

Rules: nothing is imported that was not shown before; what was shown waits in memory, for who
saw it, for some minutes; the file itself is gone when it was read.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response, StreamingResponse

from agent.desk.export import export_csv
from agent.desk.importing import BadFile, apply, plan
from agent.desk.members import MemberError
from agent.desk.web.call import BadRequest, Call

__all__ = ["FILE_BYTES", "dry_run", "export", "import_form", "import_them"]

FILE_BYTES: Final = (16 << 20) + (64 << 10)
_SHOWN: Final = 200


def import_form(call: Call) -> Response:
    """Show how to import."""
    return call.page("import.html", plan=None, wrong="")


def dry_run(call: Call) -> Response:
    """Show what an import would do."""
    assert call.session is not None
    file = call.uploads.get("file")
    if file is None or not file.data:
        raise BadRequest(call.site.texts.lists.no_file)
    try:
        planned = plan(file.data, file.name, call.site.members)
    except BadFile as error:
        return call.page("import.html", status=422, plan=None, wrong=str(error))
    call.site.plans.put(call.session.digest, planned)
    return call.page("import.html", plan=planned, shown=_SHOWN, file=file.name, wrong="")


def import_them(call: Call) -> Response:
    """Do what was shown."""
    assert call.session is not None
    planned = call.site.plans.pop(call.session.digest)
    if planned is None:
        raise BadRequest(call.site.texts.lists.no_plan)
    try:
        apply(planned, call.who, without_wrong=call.field("without_wrong") == "yes")
    except MemberError as error:
        return call.page("import.html", status=422, plan=None, wrong=str(error))
    published = call.site.publish(call.who) if planned.changed else ""
    return call.to(f"/members?done=imported&published={published}")


def export(call: Call) -> Response:
    """Answer the table of all members."""
    return StreamingResponse(
        export_csv(call.site.members, call.who),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="members.csv"'},
    )
