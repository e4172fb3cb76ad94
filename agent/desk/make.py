"""Makes a desk: its folder, keys, certificates, trust set, and the first of its staff.

Rules:
- a folder in use is not touched; of what fails in the middle nothing stays in it; keys that were
  made on the stick by then stay there, for no key is ever deleted;
- keys that say what gates believe (root, targets) go to a stick, which is no part of the folder;
- every file of the folder is its owner's only.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent.desk.authority import write_private
from agent.desk.broker import FOLDER as BROKER
from agent.desk.broker import make_broker
from agent.desk.certificate import certificate_for, how_to_trust
from agent.desk.desk import ISSUER_KEY, SITE_KEY, open_desk
from agent.desk.publishing import create_repository
from agent.desk.seal import SiteKey
from agent.desk.settings import HOST, DeskSettings, load_desk
from agent.desk.staff import Role, Staff
from agent.issuing.keys import SigningKey
from agent.settings.broker_url import parse_url
from agent.settings.write import to_toml

__all__ = ["MadeDesk", "MakeError", "Plan", "make_desk"]

SETTINGS: Final = "desk.toml"


class MakeError(ValueError):
    """No desk can be made so; one line."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a desk is to be.

    Attributes:
        site, name, region: of the place.
        host: name under which it is reached.
        phones: name or address for the issuer's and the wallet's origins; empty: `host`.
        addresses: of this machine, for the certificate.
        port: of the staff's pages; the issuer and the wallet have the next two.
        bind: address to listen on.
        kinds: what it issues.
        database: a file in the folder, or a URL.
        broker: mqtts:// URL, empty for none.
        staff: work name of the first person, who has every role.
    """

    site: str
    name: str
    host: str
    phones: str = ""
    addresses: tuple[str, ...] = ()
    port: int = 8_443
    bind: str = "0.0.0.0"  # noqa: S104 - phones and gates come from the network
    kinds: tuple[str, ...] = ("library-card",)
    region: str = ""
    database: str = "desk.sqlite"
    broker: str = ""
    staff: str = "first"


@dataclass(frozen=True, slots=True)
class MadeDesk:
    """What was made.

    Attributes:
        link: with which the first person begins.
        trust: how to trust the certificate, line by line.
    """

    link: str = field(repr=False)
    trust: tuple[str, ...]


def make_desk(
    folder: Path, keys: Path, plan: Plan, *, password: bytes | None, now: int
) -> MadeDesk:
    """Make a desk.

    Args:
        folder: not there, or empty.
        keys: where the root and targets keys go; not in the folder.
        plan: see `Plan`.
        password: what those keys are encrypted under; None leaves them in the clear.
        now: Unix seconds.

    Raises:
        MakeError, DeskSettingsError, TrustError: something cannot be used.
        OSError: something cannot be written.
    """
    _check(folder, keys, plan)
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    before = os.umask(0o077)
    try:
        return _fill(folder, keys, plan, password, now)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        os.umask(before)


def _fill(folder: Path, keys: Path, plan: Plan, password: bytes | None, now: int) -> MadeDesk:
    settings = _settings(folder, plan)
    SiteKey.make(folder / SITE_KEY)
    write_private(folder / ISSUER_KEY, SigningKey.new("ES256").private_pem())
    if plan.broker:
        host, port, _ = parse_url(plan.broker)
        make_broker(folder / BROKER, host, port, site=plan.site, now=now)
    certificate = certificate_for(settings, now=now)
    create_repository(folder, keys, settings, now=now, password=password)
    (folder / f"{SETTINGS}.new").rename(folder / SETTINGS)
    desk = open_desk(folder / SETTINGS, clock=lambda: now)
    try:
        link = Staff(desk).add(plan.staff, list(Role), who="desk").link
    finally:
        desk.close()
    return MadeDesk(link, tuple(how_to_trust(settings, certificate)))


def _check(folder: Path, keys: Path, plan: Plan) -> None:
    if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise MakeError(f"{folder}: not an empty directory")
    # Not Path.resolve(), which raises for a loop of links.
    if Path(os.path.realpath(keys)).is_relative_to(os.path.realpath(folder)):
        raise MakeError(f"{keys}: inside the desk's folder; these keys belong on a stick")
    if not re.fullmatch(HOST, plan.host) or ":" in plan.host:
        raise MakeError(f"--host {plan.host!r}: a host name in lower case is needed")
    if _is_address(plan.host):
        raise MakeError(f"--host {plan.host}: passkeys need a name; an address goes to --address")
    for address in plan.addresses:
        if not _is_address(address):
            raise MakeError(f"--address {address!r}: no IP address")
    if plan.broker and not plan.broker.startswith("mqtts://"):
        raise MakeError(f"--broker {plan.broker}: mqtts://HOST[:PORT] is needed")


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _settings(folder: Path, plan: Plan) -> DeskSettings:
    """Write the settings under a name that no desk opens yet, and read them."""
    phones = plan.phones or plan.host
    issuer = f"https://{phones}:{plan.port + 1}"
    tables: dict[str, dict[str, Any]] = {
        "place": {"site": plan.site, "name": plan.name, "region": plan.region},
        "issuer": {
            "name": plan.site,
            "iss": issuer,
            "kinds": list(plan.kinds),
        },
        "web": {
            "staff": f"https://{plan.host}:{plan.port}",
            "issuer": issuer,
            "wallet": f"https://{phones}:{plan.port + 2}",
            "bind": plan.bind,
            "also": list(plan.addresses),
        },
    }
    if plan.broker:
        tables["broker"] = {
            "url": plan.broker,
            "ca": f"{BROKER}/ca.pem",
            "certificate": f"{BROKER}/desk.pem",
            "key": f"{BROKER}/desk.key.pem",
        }
    head = f"# idgate: settings of one desk. Every key left out has its default.\n\n{_line(plan)}\n"
    file = folder / f"{SETTINGS}.new"
    file.write_text(head + to_toml(tables), encoding="utf-8")
    return load_desk(file)


def _line(plan: Plan) -> str:
    """Return the one key that stands in no table."""
    _, line = to_toml({"top": {"database": plan.database}}).splitlines()
    return f"{line}\n"
