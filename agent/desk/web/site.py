"""What the staff's pages are made with: the desk's services, the templates and their words.

Rules: templates escape everything (`autoescape`), know no missing name (`StrictUndefined`), and are
given no object that can change anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from agent import log
from agent.desk.credentials import Credentials
from agent.desk.desk import Desk
from agent.desk.faces import Faces
from agent.desk.fingers import FingerModule, Fingers
from agent.desk.members import Members
from agent.desk.offers import Offers
from agent.desk.passkeys import Passkeys
from agent.desk.scanning import CodeReader
from agent.desk.staff import Role, Staff
from agent.desk.taken import Taken
from agent.desk.web.texts import load_texts

if TYPE_CHECKING:
    from agent.desk.web.call import Call

__all__ = ["Publishes", "Site", "make_site"]

_log = log.get(__name__)


class Publishes(Protocol):
    """What makes gates know what was withdrawn: `agent.desk.publishing.Publisher`."""

    def publish(self, *, who: str) -> object:
        """Sign and publish what has changed, and tell the gates."""


@dataclass(frozen=True, slots=True)
class Site:
    """The application's parts.

    Attributes:
        desk: the desk.
        staff: who works here.
        passkeys: how they sign in.
        members, credentials, offers: what the desk is there for.
        faces, fingers, codes, taken: what is taken of a person who stands there.
        publisher: None where nothing is published from here.
        texts: the words.
        templates: the pages.
        allowed: whether roles may see a path of the menu.
    """

    desk: Desk
    staff: Staff
    passkeys: Passkeys
    members: Members
    credentials: Credentials
    offers: Offers
    faces: Faces
    fingers: Fingers
    codes: CodeReader
    taken: Taken
    publisher: Publishes | None
    texts: Any
    templates: Environment
    allowed: Callable[[frozenset[Role], str], bool]

    def publish(self, who: str) -> str:
        """Publish what has changed; return `yes`, `no` (it failed, and was logged) or `off`."""
        if self.publisher is None:
            return "off"
        try:
            self.publisher.publish(who=who)
        except (ValueError, OSError) as error:
            _log.warning("not_published", what=str(error))
            return "no"
        return "yes"

    def close(self) -> None:
        """End sandboxes and wait for the module; may be called twice."""
        self.faces.close()
        self.codes.close()
        self.fingers.close()

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


def make_site(
    desk: Desk,
    allowed: Callable[[frozenset[Role], str], bool],
    *,
    publisher: Publishes | None = None,
    module: FingerModule | None = None,
) -> Site:
    """Return the parts of a desk's pages.

    Args:
        desk: that is open.
        allowed: whether roles may see a path.
        publisher: None where nothing is published from here.
        module: the fingerprint module at the desk, where there is one.
    """
    templates = Environment(
        loader=PackageLoader("agent.desk.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["day"] = _day
    templates.filters["moment"] = _moment
    return Site(
        desk=desk,
        staff=Staff(desk),
        passkeys=Passkeys(desk),
        members=Members(desk),
        credentials=Credentials(desk),
        offers=Offers(desk),
        faces=Faces(),
        fingers=Fingers(module),
        codes=CodeReader(),
        taken=Taken(desk.clock),
        publisher=publisher,
        texts=load_texts("en"),
        templates=templates,
        allowed=allowed,
    )


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
