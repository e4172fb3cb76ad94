"""The desk's settings: one TOML file, `desk.toml` in the desk's folder.

Rules: those of `agent.settings.model`: every key has a type, a range and a default; an unknown key
is an error; relative paths are relative to the file's own directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from agent.credential.model import Kind
from agent.credential.needs import Redact
from agent.settings.errors import NAME
from agent.settings.model import FingerConfig

__all__ = [
    "BrokerSettings",
    "DeskSettings",
    "DeskSettingsError",
    "IssuerSettings",
    "PlaceSettings",
    "RuleSettings",
    "SelfServiceSettings",
    "WebSettings",
    "load_desk",
]

Name = Annotated[str, Meta(pattern=NAME)]
HOST = r"^[a-z0-9][a-z0-9.:\-]*$"
Colour = Annotated[str, Meta(pattern="^#[0-9a-f]{6}$")]
Origin = Annotated[str, Meta(pattern=r"^https?://[a-z0-9.\-]+(:[0-9]{1,5})?$", max_length=253)]
Seconds = Annotated[int, Meta(ge=30, le=86_400)]
Age = Annotated[int, Meta(ge=1, le=150)]
Days = Annotated[int, Meta(ge=1, le=3_660)]


class DeskSettingsError(ValueError):
    """The settings cannot be used; the message is one line for the operator."""


class _Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class PlaceSettings(_Section, frozen=True):
    """The place, as people and gates know it."""

    site: Name
    """As in the gates' own settings."""
    name: Annotated[str, Meta(min_length=1, max_length=80)]
    """As people know it."""
    colour: Colour = "#0b5d4e"
    """Of the place, on the phone's upgraded cards."""
    region: str = ""
    """ISO 3166-2; the default of new members, empty for everywhere."""
    languages: tuple[Literal["en", "es", "zh"], ...] = ("en", "es", "zh")


class IssuerSettings(_Section, frozen=True):
    """Whose signature stands on the credentials, and for how long."""

    name: Name
    """In the gates' trust set."""
    iss: Annotated[str, Meta(min_length=1, max_length=255)]
    kinds: tuple[Kind, ...] = (Kind.LIBRARY_CARD,)
    basic_days: Days = 90
    upgraded_days: Days = 365
    profile: Literal[1, 2] = 2
    """Version of the native profile; 1 for gates that do not read 2."""
    ages: Annotated[tuple[Age, ...], Meta(max_length=8)] = (18,)
    """Ages of which credentials say that the member has reached them; version 2 alone."""
    birth_date: bool = False
    """Whether credentials say when somebody was born: for gates that ask for it."""
    redact: tuple[Redact, ...] = (Redact.BIRTH_DATE, Redact.AGES)
    """What a phone shows only where it is asked for; version 2 alone. Each makes the code larger
    where it is shown."""
    batch: Annotated[int, Meta(ge=1, le=20)] = 5
    """Credentials of one kind that a phone may take at once, each to be shown on its own."""


class WebSettings(_Section, frozen=True):
    """Where it listens: three origins, so that none reaches into another."""

    staff: Origin = "https://desk.localhost:8443"
    issuer: Origin = "https://desk.localhost:8444"
    """The credential issuer's identifier; also `/trust/` for gates."""
    wallet: Origin = "https://desk.localhost:8445"
    """Where phones find the page; another host may serve the same files."""
    bind: str = "0.0.0.0"  # noqa: S104 - phones and gates come from the network
    certificate: str = ""
    """PEM of a certificate that was given, with its chain; empty: the desk makes its own."""
    key: str = ""
    also: tuple[Annotated[str, Meta(pattern=HOST, max_length=253)], ...] = ()
    """Further host names and IP addresses of the certificate that the desk makes."""


class SelfServiceSettings(_Section, frozen=True):
    """Whether and how a person makes the basic card on the own phone."""

    enabled: bool = True
    kind: Kind = Kind.LIBRARY_CARD
    face: Literal["none", "optional", "required"] = "optional"


class RuleSettings(_Section, frozen=True):
    """Limits."""

    offer_s: Seconds = 600
    """How long an offer waits for the phone."""
    transaction_tries: Annotated[int, Meta(ge=1, le=20)] = 5
    session_s: Seconds = 3_600
    """Without a request, after which staff sign in again."""
    invitation_days: Days = 14
    keep_days: Annotated[int, Meta(ge=0, le=3_660)] = 90
    """Days after the end of a membership, or of a credential, after which it is forgotten."""


class StatusSettings(_Section, frozen=True):
    """The Token Status List."""

    size: Annotated[int, Meta(ge=1_024, le=1 << 20)] = 65_536
    """Entries of one list; a full one is followed by another."""
    ttl_s: Annotated[int, Meta(ge=300, le=30 * 86_400)] = 7 * 86_400


class BrokerSettings(_Section, frozen=True):
    """The broker over which gates are told that there is something new; empty: nobody is told."""

    url: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""


class DeskSettings(_Section, frozen=True):
    """All of `desk.toml`."""

    place: PlaceSettings
    issuer: IssuerSettings
    web: WebSettings = WebSettings()
    self_service: SelfServiceSettings = SelfServiceSettings()
    rules: RuleSettings = RuleSettings()
    status: StatusSettings = StatusSettings()
    broker: BrokerSettings = BrokerSettings()
    finger: FingerConfig | None = None
    """The fingerprint module at the desk, as gates' settings have theirs; left out: none."""
    database: str = "desk.sqlite"
    """A file, or postgresql://USER:PASSWORD@HOST/NAME."""
    collector: str = ""
    """The database of `idgate fleet collect`, to show how gates are; empty: not shown."""
    folder: Path = Path()
    """Where the file stands; set by `load_desk`: in the file it is refused, no TOML is a `Path`."""

    def path(self, name: str) -> Path:
        """Return a path of the settings, relative to the folder."""
        return self.folder / name


def load_desk(file: Path) -> DeskSettings:
    """Read `desk.toml`.

    Raises:
        DeskSettingsError: it cannot be read or used; one line that names the file.
    """
    try:
        text = file.read_bytes()
        found = msgspec.toml.decode(text, type=DeskSettings)
    except OSError as error:
        raise DeskSettingsError(f"{file}: {error.strerror}") from None
    except ValueError as error:
        raise DeskSettingsError(f"{file}: {str(error).splitlines()[0]}") from None
    return msgspec.structs.replace(found, folder=file.parent.resolve())
