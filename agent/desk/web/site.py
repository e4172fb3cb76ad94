"""What the staff's pages are made with: the desk's services, the templates and their words.

Rules: templates escape everything (`autoescape`), know no missing name (`StrictUndefined`), and are
given no object that can change anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from agent.desk.desk import Desk
from agent.desk.passkeys import Passkeys
from agent.desk.staff import Role, Staff
from agent.desk.web.texts import load_texts

if TYPE_CHECKING:
    from agent.desk.web.call import Call

__all__ = ["Site", "make_site"]


@dataclass(frozen=True, slots=True)
class Site:
    """The application's parts.

    Attributes:
        desk: the desk.
        staff: who works here.
        passkeys: how they sign in.
        texts: the words.
        templates: the pages.
        allowed: whether roles may see a path of the menu.
    """

    desk: Desk
    staff: Staff
    passkeys: Passkeys
    texts: Any
    templates: Environment
    allowed: Callable[[frozenset[Role], str], bool]

    def page(self, call: Call, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page made of a template.

        Args:
            call: the request.
            template: its file.
            status: of HTTP.
            values: for the template.
        """
        session = call.session
        text = self.templates.get_template(template).render(
            t=self.texts,
            place=self.desk.settings.place,
            me=session,
            may=lambda path: session is not None and self.allowed(session.roles, path),
            here=template.removesuffix(".html"),
            **values,
        )
        return HTMLResponse(text, status)


def make_site(desk: Desk, allowed: Callable[[frozenset[Role], str], bool]) -> Site:
    """Return the parts of a desk's pages."""
    templates = Environment(
        loader=PackageLoader("agent.desk.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["day"] = _day
    templates.filters["moment"] = _moment
    return Site(desk, Staff(desk), Passkeys(desk), load_texts("en"), templates, allowed)


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
