"""Printed cards: for one member or many, with progress, as a page that the browser prints."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.responses import HTMLResponse, JSONResponse, Response

from agent.desk.cards import MOST_CARDS, CardJob, Layout, card_styles
from agent.desk.jobs import Job, JobError, JobState
from agent.desk.statuses import Form, Status
from agent.desk.tables import credentials, members
from agent.desk.web.call import BadRequest, Call

__all__ = ["form", "one", "progress", "sheet", "start", "state", "stop", "style"]


def form(call: Call) -> Response:
    """Show what may be printed."""
    return call.page(
        "cards.html", without=len(_references(call, without=True)), count=call.site.members.count(),
        layouts=list(Layout), most=MOST_CARDS, jobs=call.site.jobs.of(call.who),
    )  # fmt: skip


def start(call: Call) -> Response:
    """Begin to make the cards of many."""
    references = _references(call, without=call.field("whose") != "all")[:MOST_CARDS]
    if not references:
        raise BadRequest(call.site.texts.cards.nobody)
    return _begin(call, references)


def one(call: Call) -> Response:
    """Begin to make the card of one member."""
    return _begin(call, [call.site.members.get(call.path["reference"]).reference])


def progress(call: Call) -> Response:
    """Show how far a job is."""
    return call.page("job.html", job=_job(call))


def state(call: Call) -> Response:
    """Answer how far a job is."""
    job = _job(call)
    texts = call.site.texts.job_states
    line = job.error or getattr(texts, str(job.state))
    return JSONResponse({
        "done": job.done, "total": job.total, "over": job.over,
        "good": job.state is JobState.DONE, "line": line,
    })  # fmt: skip


def sheet(call: Call) -> Response:
    """Answer the cards, to be printed."""
    job = _job(call)
    if job.state is not JobState.DONE:
        raise BadRequest(call.site.texts.cards.not_done)
    return HTMLResponse(job.result)


def style(call: Call) -> Response:
    """Answer the styles of a layout: the policy takes none from within a page."""
    try:
        layout = Layout(call.path["layout"])
    except ValueError:
        raise BadRequest("there is no such layout") from None
    return Response(card_styles(layout), media_type="text/css")


def stop(call: Call) -> Response:
    """Stop a job, and forget what it made; cards of it that were signed are revoked."""
    try:
        call.site.jobs.drop(call.path["job"], call.who)
    except JobError as error:
        raise BadRequest(str(error)) from None
    return call.to("/cards")


def _begin(call: Call, references: list[str]) -> Response:
    try:
        layout = Layout(call.field("layout", Layout.SHEET))
    except ValueError:
        raise BadRequest("there is no such layout") from None
    work = CardJob(
        call.site.desk, references, layout=layout, who=call.who,
        stylesheet=f"/cards/style/{layout}",
    )  # fmt: skip
    try:
        job = call.site.jobs.start(
            work,
            owner=call.who,
            title=f"{call.site.texts.cards.one_job} {len(references)}, {layout}",
        )
    except JobError as error:
        raise BadRequest(str(error)) from None
    return call.to(f"/cards/jobs/{job.id}")


def _job(call: Call) -> Job:
    try:
        return call.site.jobs.get(call.path["job"], call.who)
    except JobError as error:
        raise BadRequest(str(error)) from None


def _references(call: Call, *, without: bool) -> list[str]:
    """Return members in the order in which they came; all, or those without a card that is good."""
    now = call.site.desk.clock()
    query = (
        sa.select(members.c.reference)
        .where(members.c.ended_at.is_(None), members.c.valid_until > now)
        .order_by(members.c.id)
    )
    if without:
        card = sa.select(credentials.c.member).where(
            credentials.c.form == str(Form.CARD),
            credentials.c.status == int(Status.VALID),
            credentials.c.valid_until > now,
        )
        query = query.where(members.c.id.not_in(card))
    with call.site.desk.store.read() as connection:
        return list(connection.execute(query).scalars())
