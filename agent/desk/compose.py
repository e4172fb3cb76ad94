"""The desk's composition root: which application answers at which origin, and what is done beside.

No other module of the desk knows both an application and the other.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from starlette.routing import BaseRoute

from agent.desk.certificate import CA
from agent.desk.desk import REPOSITORY, Desk
from agent.desk.faces import Faces
from agent.desk.files import Page, authority_route, status_route, trust_routes
from agent.desk.fingers import FingerModule
from agent.desk.joining import Joining
from agent.desk.nudge import MqttNudge
from agent.desk.publishing import Publisher
from agent.desk.serve import Apps
from agent.desk.upkeep import FORGET_S, PUBLISH_S, InTime, forget_members, forget_secrets
from agent.desk.vci.app import issuer_app
from agent.desk.web.app import staff_app

__all__ = ["compose", "publisher_of", "upkeep_of", "wallet_folder"]


def compose(desk: Desk, publisher: Publisher, *, module: FingerModule | None = None) -> Apps:
    """Return the three applications of a desk.

    Args:
        desk: open; stays the caller's to close, after the applications.
        publisher: of its trust set.
        module: the fingerprint module at the desk, where there is one.

    Raises:
        ValueError: the staff's origin cannot have passkeys; one line.
    """
    settings = desk.settings
    more: list[BaseRoute] = [
        *trust_routes(settings.path(REPOSITORY)),
        *Joining(desk).routes(),
        authority_route(settings.path(CA)),
        status_route(publisher.status_list),
    ]
    faces = Faces()  # one for both: the networks are loaded once
    staff = staff_app(desk, publisher, module=module, faces=faces)
    return Apps(
        staff,
        issuer_app(desk, more, faces=faces),
        Page(wallet_folder(), [settings.web.issuer]),
        staff.state.close,
    )


def publisher_of(desk: Desk) -> Publisher:
    """Return who publishes the desk's trust set, and tells the gates where there is a broker."""
    return Publisher(desk, MqttNudge(desk) if desk.settings.broker.url else None)


def upkeep_of(desk: Desk, publisher: Publisher) -> list[Callable[[], object]]:
    """Return what is done each minute."""
    return [
        lambda: forget_secrets(desk),
        InTime(lambda: forget_members(desk), desk.clock, FORGET_S),
        InTime(lambda: publisher.publish(who="desk"), desk.clock, PUBLISH_S),
    ]


def wallet_folder() -> Path:
    """Return where the wallet's files lie."""
    return Path(str(resources.files("agent.wallet")))
