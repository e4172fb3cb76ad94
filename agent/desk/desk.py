"""A desk that is open: its settings, its database, its keys and its clock, handed to every part.

A desk's folder:

    desk.toml          settings (`agent.desk.settings`)
    site.key           opens what the database has sealed (`agent.desk.seal`)
    issuer.key.pem     signs credentials and status lists
    online.key.pem     signs `snapshot`, `timestamp` and the delegated `status` of the trust set
    nudge.key.pem      operator's key with the one role `update`
    repository/        the signed trust set (`agent.trust.publish`)
    desk.sqlite        the database, where the settings name no other

The root and targets keys of the trust set are not here: they sign on a stick.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.desk.audit import Journal
from agent.desk.seal import SiteKey
from agent.desk.settings import DeskSettings, DeskSettingsError, load_desk
from agent.desk.store import DeskStore
from agent.fleet.store import store_url
from agent.issuing.keys import Issuer, SigningKey

__all__ = ["ISSUER_KEY", "NUDGE_KEY", "ONLINE_KEY", "REPOSITORY", "SITE_KEY", "Desk", "open_desk"]

SITE_KEY: Final = "site.key"
ISSUER_KEY: Final = "issuer.key.pem"
ONLINE_KEY: Final = "online.key.pem"
NUDGE_KEY: Final = "nudge.key.pem"
REPOSITORY: Final = "repository"


@dataclass(frozen=True, slots=True)
class Desk:
    """What every part of the desk is made with.

    Attributes:
        settings: of `desk.toml`.
        store: the database.
        key: the site key.
        issuer: who signs.
        journal: who did what.
        clock: Unix seconds.
    """

    settings: DeskSettings
    store: DeskStore
    key: SiteKey = field(repr=False)
    issuer: Issuer = field(repr=False)
    journal: Journal
    clock: Callable[[], int]

    def close(self) -> None:
        """Let go of the database; may be called twice."""
        self.store.close()


def open_desk(file: Path, *, clock: Callable[[], int] = lambda: int(time.time())) -> Desk:
    """Open the desk of a settings file.

    Args:
        file: `desk.toml`.
        clock: Unix seconds.

    Raises:
        DeskSettingsError: a file or the database cannot be used; one line.
    """
    settings = load_desk(file)
    try:
        key = SiteKey.from_file(settings.path(SITE_KEY))
        signing = SigningKey.from_file(settings.path(ISSUER_KEY))
        store = DeskStore(_url(settings))
    except OSError as error:
        raise DeskSettingsError(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise DeskSettingsError(str(error)) from None
    issuer = Issuer(settings.issuer.name, settings.issuer.iss, signing)
    return Desk(settings, store, key, issuer, Journal(key), clock)


def _url(settings: DeskSettings) -> str:
    name = settings.database
    return store_url(name if "://" in name else str(settings.path(name)))
