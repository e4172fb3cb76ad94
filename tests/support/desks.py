"""Desks in a scratch folder, with a clock of the test's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from agent.desk.desk import ISSUER_KEY, SITE_KEY, Desk, open_desk
from agent.desk.members import Person
from agent.desk.seal import SiteKey
from agent.issuing.keys import SigningKey

__all__ = ["DAY", "NOW", "DeskClock", "a_desk", "a_person"]

NOW = 1_800_000_000
DAY = 86_400

SETTINGS = """\
{top}
[place]
site = "library"
name = "Town Library"

[issuer]
name = "town"
iss = "urn:idgate:issuer:town"
kinds = ["library-card", "online-id"]
{more}
"""


@dataclass
class DeskClock:
    """Unix seconds that a test moves."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


def a_desk(
    folder: Path, clock: DeskClock | None = None, *, database: str = "", more: str = ""
) -> Desk:
    """Make a desk's folder where it is none yet, and open it.

    Args:
        folder: made where it is not there.
        clock: Unix seconds.
        database: URL; SQLite in the folder where it is empty.
        more: further TOML: keys of `[issuer]` first, then other tables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "desk.toml"
    if not file.exists():
        top = f'database = "{database}"' if database else ""
        file.write_text(SETTINGS.format(top=top, more=more))
        SiteKey.make(folder / SITE_KEY)
        (folder / ISSUER_KEY).write_bytes(SigningKey.new("ES256").private_pem())
    return open_desk(file, clock=clock or DeskClock())


def a_person(name: str = "Ada Lovelace", **fields: object) -> Person:
    """Return somebody who is a member for a year."""
    return replace(Person(name, valid_until=NOW + 365 * DAY), **fields)
