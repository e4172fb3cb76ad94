"""`idgate desk`: a place's desk: members, cards and phones, the trust set, the gates.

`init` makes a desk's folder and lays the keys of the trust set's root and targets on a stick; `run`
serves it. The rest is what staff do in the browser too, for who has only a terminal.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.commands import values
from agent.credential.model import Kind
from agent.exits import Exit

if TYPE_CHECKING:
    from agent.desk.desk import Desk
    from agent.desk.fingers import FingerModule

__all__ = ["add_arguments", "run"]

_EXTRA: Final = frozenset(
    {"defusedxml", "fido2", "jinja2", "multipart", "openpyxl", "psycopg", "python_multipart",
     "sqlalchemy", "starlette", "uvicorn"}
)  # fmt: skip
"""What only the desk needs."""
_INSTALL = f"{sys.executable} -m pip install '.[desk]'"
_ROLES: Final = ("clerk", "issuer", "auditor")
_SETTINGS: Final = "desk.toml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = actions.add_parser(name, help=summary)
        sub.add_argument(
            "desk", type=Path, metavar="DESK", help="the desk's folder, or its settings file"
        )
        return sub

    _add_init(action("init", "make a desk: folder, keys, trust set, certificate"))
    action("run", "serve staff, phones and gates until stopped")
    action("certificate", "show the certificate, and how browsers come to trust it")
    add = action("staff-add", "add somebody of the staff, and print the link to begin with")
    add.add_argument("name", metavar="NAME", help="work name, as it stands in the journal")
    add.add_argument(
        "--role",
        action="append",
        choices=_ROLES,
        required=True,
        help="what the person may do, repeatable",
    )
    invite = action("staff-invite", "print a new link: another computer, or a lost passkey")
    invite.add_argument("name", metavar="NAME", help="work name")
    end = action("staff-end", "end somebody's work at the desk")
    end.add_argument("name", metavar="NAME", help="work name")
    action("staff-list", "list the staff")
    gate = action("gate-invite", "expect a gate, and print the link that it joins by")
    gate.add_argument("name", metavar="NAME", help="the gate's name inside the site")
    gate.add_argument(
        "--profile", default="library", metavar="NAME", help="the site profile it applies"
    )
    gate.add_argument(
        "--settings",
        type=Path,
        metavar="FILE",
        help="more for its settings (TOML): face, floor, tolerance, gate; default: nothing",
    )
    gate.add_argument(
        "--out", type=Path, metavar="FILE", help="write the link as a file too; default: none"
    )
    remove = action("gate-remove", "expect a gate no longer")
    remove.add_argument("name", metavar="NAME", help="the gate's name")
    action("gates", "list the gates, and what the collector knows of them")
    action("publish", "publish what is new, and tell the gates")
    for name, summary in (
        ("bundle-write", "write what the keys on the stick must sign"),
        ("bundle-take", "take back what was signed on the stick, and publish it"),
    ):
        bundle = action(name, summary)
        bundle.add_argument("folder", type=Path, metavar="DIR", help="a directory of the stick")
    action("erase-expired", "forget what is over, now")
    action("verify", "prove that no row of the desk's journal was changed or taken away")
    broker = action("broker", "lay out the broker's settings and certificates for Mosquitto")
    broker.add_argument(
        "--to",
        type=Path,
        default=Path("/etc/mosquitto/idgate"),
        metavar="DIR",
        help="where Mosquitto's own user may read them",
    )


def _add_init(init: argparse.ArgumentParser) -> None:
    init.add_argument("--site", required=True, metavar="NAME", help="the site, as gates name it")
    init.add_argument("--name", metavar="TEXT", help="the place, as people know it; default: SITE")
    init.add_argument(
        "--host", required=True, metavar="NAME", help="host name under which staff reach it"
    )
    init.add_argument(
        "--phones",
        default="",
        metavar="NAME",
        help="host name or address for phones and gates; default: that of --host",
    )
    init.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="IP",
        help="an address of this machine for the certificate, repeatable; default: none",
    )
    init.add_argument(
        "--port",
        type=values.count(1, 65_533),
        default=8_443,
        metavar="N",
        help="of the staff's pages; issuer and wallet take the next two",
    )
    everywhere = "0.0.0.0"  # noqa: S104 - phones and gates come from the network
    init.add_argument("--bind", default=everywhere, metavar="IP", help="address to listen on")
    init.add_argument(
        "--keys",
        type=Path,
        required=True,
        metavar="DIR",
        help="on a stick: root and targets keys of the trust set, which the desk does not keep",
    )
    init.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="password of the keys on the stick; default: it is asked for",
    )
    init.add_argument(
        "--no-password", action="store_true", help="leave those keys unencrypted; for tests only"
    )
    init.add_argument(
        "--kind",
        action="append",
        choices=[kind.value for kind in Kind],
        metavar="KIND",
        help="what it issues, repeatable; default: library-card",
    )
    init.add_argument("--region", default="", metavar="CODE", help="ISO 3166-2; default: none")
    init.add_argument(
        "--database",
        default="desk.sqlite",
        metavar="FILE|URL",
        help="SQLite file in the folder, or PostgreSQL URL",
    )
    init.add_argument(
        "--broker",
        default="",
        metavar="URL",
        help="mqtts://HOST[:PORT]: make certificates and settings for one; default: none",
    )
    init.add_argument(
        "--staff", default="first", metavar="NAME", help="work name of who sets the desk up"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action; 0 done, 1 the answer is no, 2 what cannot be used."""
    try:
        return _ACTIONS[arguments.action](arguments)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        wrong = f"{where}{error.strerror or error}"
    except ValueError as error:  # each module's own, one line
        wrong = str(error)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        wrong = f"{error.name} is not installed: in the checkout, {_INSTALL}"
    print(f"idgate desk {arguments.action}: {wrong}", file=sys.stderr)
    return Exit.SETTINGS


def _open(arguments: argparse.Namespace) -> Desk:
    from agent.desk.desk import open_desk

    path: Path = arguments.desk
    return open_desk(path / _SETTINGS if path.is_dir() else path)


def _with_desk(work: Callable[[Desk, argparse.Namespace], int]) -> Callable[..., int]:
    """Return an action that opens the desk and lets it go."""

    def act(arguments: argparse.Namespace) -> int:
        desk = _open(arguments)
        try:
            return work(desk, arguments)
        finally:
            desk.close()

    return act


# --- making and serving ------------------------------------------------------------------------


def _init(arguments: argparse.Namespace) -> int:
    from agent.desk.make import Plan, make_desk

    plan = Plan(
        site=arguments.site,
        name=arguments.name or arguments.site,
        host=arguments.host,
        phones=arguments.phones,
        addresses=tuple(arguments.address),
        port=arguments.port,
        bind=arguments.bind,
        kinds=tuple(arguments.kind or ["library-card"]),
        region=arguments.region,
        database=arguments.database,
        broker=arguments.broker,
        staff=arguments.staff,
    )
    folder, keys = arguments.desk, arguments.keys
    made = make_desk(folder, keys, plan, password=_password(arguments), now=int(time.time()))
    print(f"made {folder}; root and targets keys in {keys}: take them away, and keep a copy")
    for line in made.trust:
        print(line)
    if plan.broker:
        print(f"broker: sudo idgate desk broker {folder}, then add to Mosquitto's settings:")
        print("  include_dir /etc/mosquitto/idgate")
    print(f"start it: idgate desk run {folder}")
    print(f"then open, as {plan.staff}, on the PC that is to have the first passkey:")
    _print_link(made.link)
    return Exit.DONE


def _password(arguments: argparse.Namespace) -> bytes | None:
    if arguments.no_password:
        return None
    if arguments.password_file is not None:
        found: bytes = arguments.password_file.read_bytes().rstrip(b"\r\n")
        if not found:
            raise ValueError(f"{arguments.password_file}: an empty password")
        return found
    password = getpass.getpass("password for the keys on the stick: ")
    if not password or password != getpass.getpass("once more: "):
        raise ValueError("the passwords are empty or differ")
    return password.encode()


def _run(desk: Desk, _: argparse.Namespace) -> int:
    from agent import log

    log.configure(level="info", style="auto", queued=True)
    from agent.desk.compose import compose, publisher_of, upkeep_of
    from agent.desk.serve import serve

    publisher = publisher_of(desk)
    web = desk.settings.web

    def ready() -> None:
        origins = f"staff {web.staff}, issuer {web.issuer}, wallet {web.wallet}"
        print(f"ready in {_age_s():.1f} s: {origins}", flush=True)

    apps = compose(desk, publisher, module=_module(desk))
    try:
        return serve(desk, apps, upkeep=upkeep_of(desk, publisher), ready=ready)
    finally:
        apps.close()


def _age_s() -> float:
    """Return for how long this process has been there, Python's own start included."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _module(desk: Desk) -> FingerModule | None:
    """Return the fingerprint module that the settings name, opened when a finger is taken."""
    from agent.settings.model import Config, GateConfig

    settings = desk.settings
    if settings.finger is None:
        return None
    from agent.daemon.finger import open_sensor, read_secrets
    from agent.desk.fingers import FingerModule

    gate = GateConfig(site=settings.place.site, gate="desk")
    config = Config(gate=gate, finger=settings.finger, base_dir=str(settings.folder))
    password = read_secrets(config).password
    return FingerModule(lambda: open_sensor(config, password), settings.finger.family)


def _certificate(desk: Desk, _: argparse.Namespace) -> int:
    from agent.desk.certificate import certificate_for, how_to_trust

    found = certificate_for(desk.settings, now=desk.clock())
    day = time.strftime("%Y-%m-%d", time.gmtime(found.expires_at))
    print(f"{found.chain}: for {', '.join(found.names)}, until {day}")
    for line in how_to_trust(desk.settings, found):
        print(line)
    return Exit.DONE


# --- staff -------------------------------------------------------------------------------------


def _staff_add(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.staff import Role, Staff

    roles = [Role(role) for role in arguments.role]
    _print_link(Staff(desk).add(arguments.name, roles, who="desk").link)
    return Exit.DONE


def _staff_invite(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.staff import Staff

    _print_link(Staff(desk).invite(arguments.name, who="desk").link)
    return Exit.DONE


def _staff_end(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.staff import Staff

    Staff(desk).end(arguments.name, who="desk")
    print(f"{arguments.name}: ended; sessions and passkeys are dead")
    return Exit.DONE


def _staff_list(desk: Desk, _: argparse.Namespace) -> int:
    from agent.desk.staff import Staff

    for worker in Staff(desk).all():
        words = [worker.name, ",".join(worker.roles), f"{worker.passkeys} passkeys"]
        if worker.ended_at is not None:
            words.append("ended")
        print("  ".join(words))
    return Exit.DONE


# --- gates -------------------------------------------------------------------------------------


def _gate_invite(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.joining import Joining
    from agent.settings.write import merged

    text = arguments.settings.read_text(encoding="utf-8") if arguments.settings else ""
    text = merged(text, {"gate": {"profile": arguments.profile}})
    made = Joining(desk).invite_gate(arguments.name, text, who="desk")
    if arguments.out is not None:
        from agent.desk.authority import write_private

        write_private(arguments.out, made.file)
    print(f"at the gate: sudo idgate join '{made.link}'")
    _print_code(made.link)
    return Exit.DONE


def _gate_remove(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.joining import Joining

    Joining(desk).remove(arguments.name, who="desk")
    return Exit.DONE


def _gates(desk: Desk, _: argparse.Namespace) -> int:
    from agent.desk.gate_states import StatesError
    from agent.desk.joining import Joining

    joining = Joining(desk)
    try:
        states = joining.gate_states()
    except StatesError as error:
        print(f"idgate desk gates: {error}", file=sys.stderr)
        states = {}
    for gate in joining.expected():
        words = [gate.name, "expected" if gate.joined_at is None else "joined"]
        if (state := states.get(gate.name)) is not None:
            heard = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(state.heard_at or 0))
            words += [f"last event {heard}" if state.heard_at else "no event yet", *state.faults]
            words += [] if state.complete else ["events missing"]
        print("  ".join(words))
    return Exit.DONE


# --- the trust set -----------------------------------------------------------------------------


def _publish(desk: Desk, _: argparse.Namespace) -> int:
    from agent.desk.compose import publisher_of

    found = publisher_of(desk).publish(who="desk")
    word = "published" if found.changed else "nothing new; the set is"
    print(f"{word} version {found.version}")
    for told in found.told:
        print(f"{told.gate}: {told.error or 'told'}")
    return Exit.DONE


def _bundle_write(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.compose import publisher_of

    publisher_of(desk).write_bundle(arguments.folder, who="desk")
    print(f"on the machine with the keys: idgate trust sign {arguments.folder} --keys DIR")
    return Exit.DONE


def _bundle_take(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.compose import publisher_of

    for line in publisher_of(desk).take_bundle(arguments.folder, who="desk"):
        print(f"signed {line}")
    return _publish(desk, arguments)


# --- the rest ----------------------------------------------------------------------------------


def _erase_expired(desk: Desk, _: argparse.Namespace) -> int:
    from agent.desk.upkeep import forget_members, forget_secrets

    never = forget_secrets(desk)
    gone = forget_members(desk)
    print(f"erased {gone.members + never} members, {gone.credentials} rows of credentials")
    return Exit.DONE


def _verify(desk: Desk, _: argparse.Namespace) -> int:
    with desk.store.read() as connection:
        wrong = desk.journal.verify(connection)
        last, chain = desk.journal.head(connection)
    if wrong is None:
        print("every row of the journal is as it was written")
        # Who puts back an older copy of the whole database is found by this alone, where noted.
        print(f"it ends with number {last}, chain {chain}")
        return Exit.DONE
    print(f"idgate desk verify: row {wrong} is not as it was written, or missing", file=sys.stderr)
    return Exit.NO


def _broker(desk: Desk, arguments: argparse.Namespace) -> int:
    from agent.desk.broker import FOLDER, lay_out

    lay_out(desk.settings.path(FOLDER), arguments.to)
    print(f"wrote {arguments.to}; then: sudo systemctl restart mosquitto")
    return Exit.DONE


def _print_link(link: str) -> None:
    print(f"  {link}")


def _print_code(link: str) -> None:
    """Print a QR of a link, where somebody looks."""
    if sys.stdout.isatty():
        import segno

        segno.make(link, error="l", micro=False).terminal(compact=True)


_ACTIONS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "init": _init,
    "run": _with_desk(_run),
    "certificate": _with_desk(_certificate),
    "staff-add": _with_desk(_staff_add),
    "staff-invite": _with_desk(_staff_invite),
    "staff-end": _with_desk(_staff_end),
    "staff-list": _with_desk(_staff_list),
    "gate-invite": _with_desk(_gate_invite),
    "gate-remove": _with_desk(_gate_remove),
    "gates": _with_desk(_gates),
    "publish": _with_desk(_publish),
    "bundle-write": _with_desk(_bundle_write),
    "bundle-take": _with_desk(_bundle_take),
    "erase-expired": _with_desk(_erase_expired),
    "verify": _with_desk(_verify),
    "broker": _with_desk(_broker),
}
