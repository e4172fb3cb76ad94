"""What the staff's pages are made with: the desk's services, the templates and their words.

Rules: templates escape everything (`autoescape`), know no missing name (`StrictUndefined`), and are
given no object that can change anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from agent import log
from agent.desk.credentials import Credentials
from agent.desk.desk import Desk
from agent.desk.faces import Faces
from agent.desk.fingers import FingerModule, Fingers
from agent.desk.importing import Plan
from agent.desk.invitations import Invitations
from agent.desk.jobs import Jobs
from agent.desk.joining import Joining
from agent.desk.members import Members
from agent.desk.offers import Offers
from agent.desk.passkeys import Passkeys
from agent.desk.scanning import CodeReader
from agent.desk.staff import Role, Session, Staff
from agent.desk.taken import Taken
from agent.desk.upgrading import Presented, Upgrades
from agent.desk.web.held import Held
from agent.desk.web.texts import load_texts
from agent.trust.roster import RosterEntry

__all__ = ["Publishes", "Site", "make_site"]

_log = log.get(__name__)


class Publishes(Protocol):
    """The trust set, as `agent.desk.publishing.Publisher` keeps it; errors are ValueErrors."""

    def publish(self, *, who: str) -> object:
        """Sign and publish what has changed, and tell the gates."""

    def state(self) -> object:
        """Return how the set is."""

    def set_roster(
        self, name: str, entries: Iterable[RosterEntry], *, blocks: bool, who: str
    ) -> int:
        """Put a roster into the draft; return its number of records."""

    def write_bundle(self, folder: Path, *, who: str) -> None:
        """Write what offline keys are to sign."""

    def take_bundle(self, folder: Path, *, who: str) -> list[str]:
        """Take their signatures."""


@dataclass(frozen=True, slots=True)
class Site:
    """The application's parts.

    Attributes:
        desk: the desk.
        staff: who works here.
        passkeys: how they sign in.
        members, credentials, offers: what the desk is there for.
        faces, fingers, codes, taken: what is taken of a person who stands there.
        plans, jobs: imports that wait for a yes; cards that are being made.
        upgrades, challenges, presented: cards on phones that were scanned here.
        invitations: to make a card oneself.
        joining: gates that are to come.
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
    plans: Held[Plan]
    jobs: Jobs
    upgrades: Upgrades
    challenges: Held[bytes]
    presented: Held[Presented]
    invitations: Invitations
    joining: Joining
    publisher: Publishes | None
    texts: Any
    templates: Environment
    allowed: Callable[[frozenset[Role], str], bool]

    @property
    def publishing(self) -> Publishes:
        """Who publishes.

        Raises:
            ValueError: nobody does from here.
        """
        if self.publisher is None:
            raise ValueError(self.texts.trust.off)
        return self.publisher

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
        self.jobs.close()

    def page(
        self, session: Session | None, template: str, *, status: int = 200, **values: Any
    ) -> Response:
        """Return a page made of a template.

        Args:
            session: who asks; None where nobody is signed in.
            template: its file.
            status: of HTTP.
            values: for the template.
        """
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
    faces: Faces | None = None,
) -> Site:
    """Return the parts of a desk's pages.

    Args:
        desk: that is open.
        allowed: whether roles may see a path.
        plans, jobs: imports that wait for a yes; cards that are being made.
        upgrades, challenges, presented: cards on phones that were scanned here.
        invitations: to make a card oneself.
        joining: gates that are to come.
        publisher: None where nothing is published from here.
        module: the fingerprint module at the desk, where there is one.
        faces: looks at pictures; made here where None.
    """
    return Site(
        desk=desk,
        staff=Staff(desk),
        passkeys=Passkeys(desk),
        members=Members(desk),
        credentials=Credentials(desk),
        offers=Offers(desk),
        faces=faces or Faces(),
        fingers=Fingers(module),
        codes=CodeReader(),
        taken=Taken(desk.clock),
        plans=Held(desk.clock),
        jobs=Jobs(desk.clock),
        upgrades=Upgrades(desk),
        challenges=Held(desk.clock),
        presented=Held(desk.clock),
        invitations=Invitations(desk),
        joining=Joining(desk),
        publisher=publisher,
        texts=load_texts("en"),
        templates=_templates(),
        allowed=allowed,
    )


@cache
def _templates() -> Environment:
    """Return the pages; they are the same for every desk, and are compiled once."""
    templates = Environment(
        loader=PackageLoader("agent.desk.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters["day"] = _day
    templates.filters["moment"] = _moment
    return templates


def _day(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
