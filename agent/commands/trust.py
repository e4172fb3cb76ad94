"""`idgate trust`: publish a signed trust set, and bring a gate's copy up to date.

Publishing: init, add-*, remove, rotate, renew, delegate-status, sign, bundle, take, publish,
publish-status, show. Gate: update, show. A plain directory takes add-* too.
Passwords are asked for on the terminal or read from `--password-file`.
"""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.commands import values
from agent.exits import Exit

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

    from agent.trust.plain import PlainDirectory
    from agent.trust.publish import Repository

__all__ = ["add_arguments", "run"]

_ROLES = ("root", "targets", "snapshot", "timestamp")
_STATUS = "status"
_ONLINE = ("snapshot", "timestamp", _STATUS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, summary: str, what: str = "repository") -> argparse.ArgumentParser:
        sub = actions.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        sub.add_argument("path", type=Path, metavar=what.upper(), help=f"the {what}'s directory")
        return sub

    init = action("init", "make a repository and its keys")
    _key_arguments(init)
    _no_password_argument(init)
    init.add_argument(
        "--status-key",
        action="store_true",
        help="also a role `status` with a key of its own, which publishes status lists alone",
    )
    for role in ("root", "targets"):
        init.add_argument(
            f"--{role}-keys",
            type=values.count(1, 99),
            default=1,
            metavar="N",
            help=f"keys of {role} to make",
        )
        init.add_argument(
            f"--{role}-threshold",
            type=values.count(1, 99),
            default=1,
            metavar="N",
            help=f"how many of them must sign {role}",
        )
    for role, days in zip((*_ROLES, _STATUS), (730, 180, 30, 30, 30), strict=True):
        init.add_argument(
            f"--{role}-days",
            type=values.count(1, 36_525),
            default=days,
            metavar="N",
            help=f"how long a version of {role} is valid",
        )
    _add_arguments_of_add(action)
    remove = action("remove", "take files out of the next set")
    remove.add_argument("names", nargs="+", metavar="NAME", help="as `show` lists them")
    rotate = action("rotate", "give a role new keys")
    rotate.add_argument("role", choices=(*_ROLES, _STATUS), help="whose keys")
    _key_arguments(rotate)
    _no_password_argument(rotate)
    rotate.add_argument(
        "--count",
        type=values.count(0, 99),
        metavar="N",
        help="new keys to make; default: as many as are retired",
    )
    rotate.add_argument(
        "--retire",
        action="append",
        metavar="KEYID",
        help="a key to take out, repeatable; default: all it had",
    )
    rotate.add_argument(
        "--threshold",
        type=values.count(1, 99),
        metavar="N",
        help="how many must sign from now on; default: as before",
    )
    renew = action("renew", "begin a new version that only lasts longer")
    renew.add_argument("role", choices=_ROLES[:2], help="what lasts longer")
    delegate = action("delegate-status", "give status lists a role and a key of their own")
    _key_arguments(delegate)
    _no_password_argument(delegate)
    delegate.add_argument(
        "--take",
        action="append",
        default=[],
        metavar="NAME",
        help="a list of the set that the role takes over, repeatable; default: none",
    )
    sign = action("sign", "sign what waits for signatures")
    _key_arguments(sign, several=True)
    for name, summary in (
        ("bundle", "write what waits for signatures onto a stick, for `sign` elsewhere"),
        ("take", "take the signatures that were made on a stick"),
    ):
        action(name, summary).add_argument(
            "stick", type=Path, metavar="FOLDER", help="a folder on the stick"
        )
    publish = action("publish", "publish what is signed, with a fresh timestamp")
    _key_arguments(publish, several=True)
    publish_status = action("publish-status", "publish status lists by the role `status` alone")
    publish_status.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="signed lists; each is named as its file, and replaces the one of that name",
    )
    _key_arguments(publish_status, several=True)
    update = action("update", "bring a gate's cache up to date", "cache")
    update.add_argument(
        "--from",
        dest="source",
        required=True,
        metavar="URL|DIR",
        help="where the set is: https URL, or directory",
    )
    update.add_argument("--root", type=Path, metavar="FILE", help="pin this root, the first time")
    update.add_argument(
        "--ca",
        type=Path,
        metavar="FILE",
        help="who signed the server's certificate (PEM); default: the system's CAs alone",
    )
    show = action("show", "show a repository, a gate's cache or a plain directory", "directory")
    show.add_argument("--json", action="store_true", help="one JSON object")


def _key_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help="directory of private keys (PEM); default: REPOSITORY-keys",
    )
    if several:
        parser.add_argument(
            "--key",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="a private key, repeatable; default: all of --keys that fit",
        )
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="password of the keys; default: it is asked for",
    )


def _no_password_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-password", action="store_true", help="leave the keys unencrypted; for tests only"
    )


def _add_arguments_of_add(make: Callable[[str, str], argparse.ArgumentParser]) -> None:
    for name, summary in (
        ("add-issuer", "add an issuer's public key or certificate"),
        ("add-root", "add a root certificate"),
        ("add-operator", "add the key of an operator who may command gates"),
    ):
        sub = make(name, summary)
        sub.add_argument("file", type=Path, metavar="FILE", help="what is added")
        sub.add_argument("--name", metavar="NAME", help="name in the set; default: the file's")
        sub.add_argument("--describe", type=Path, metavar="TOML", help="what it is trusted for")
        if name == "add-issuer":
            sub.add_argument(
                "--kind",
                action="append",
                default=[],
                metavar="KIND",
                help="what it may sign, repeatable; default: any kind",
            )
            sub.add_argument(
                "--format",
                action="append",
                default=[],
                metavar="FORMAT",
                help="in which formats, repeatable; default: any format",
            )
            sub.add_argument(
                "--iss",
                action="append",
                default=[],
                metavar="ISS",
                help="what its credentials say in iss, repeatable; default: anything",
            )
        if name == "add-operator":
            sub.add_argument(
                "--role",
                action="append",
                default=[],
                metavar="COMMAND",
                help="a command that the operator may sign, repeatable",
            )
    roster = make("add-roster", "add a roster, from CSV or as it is")
    roster.add_argument("file", type=Path, metavar="FILE", help="the roster, or CSV")
    roster.add_argument("--name", metavar="NAME", help="name in the set; default: the file's")
    roster.add_argument(
        "--roster-key",
        type=Path,
        required=True,
        metavar="FILE",
        help="32 bytes that hide the subjects; the gates have them too",
    )
    roster.add_argument("--block", action="store_true", help="a list of blocked subjects")
    for name, summary in (
        ("add-status", "add a Token Status List"),
        ("add-revocation", "add a revocation list of health certificates (JSON)"),
        ("add-profile", "add a site profile"),
        ("add-model", "add a model file"),
    ):
        sub = make(name, summary)
        sub.add_argument("file", type=Path, metavar="FILE", help="what is added")
        sub.add_argument("--name", metavar="NAME", help="name in the set; default: the file's")


def run(arguments: argparse.Namespace) -> int:
    """Do it; 0 done, 1 an update is refused or did not come, 2 what cannot be used."""
    from agent.trust.model import TrustError, UpdateRefused

    action: str = arguments.action
    try:
        if action == "show":
            return _show(arguments)
        if action == "update":
            return _update(arguments)
        if action == "init":
            return _init(arguments)
        if action.startswith("add-"):
            return _add(arguments)
        return _change(arguments)
    except TrustError as error:
        print(f"idgate trust {action}: {error}", file=sys.stderr)
        return Exit.NO if isinstance(error, UpdateRefused) else Exit.SETTINGS
    except OSError as error:
        print(f"idgate trust {action}: {error.filename}: {error.strerror}", file=sys.stderr)
        return Exit.SETTINGS


def _check_profile(text: str, source: str) -> None:
    from agent.policy.profile import parse_profile

    parse_profile(text, source=source)


def _adding_to(arguments: argparse.Namespace) -> Repository | PlainDirectory:
    """Return what a file is added to: a repository, or a plain directory."""
    from agent.trust.plain import PlainDirectory

    if (arguments.path / "repository.toml").exists():
        return _repository(arguments)
    return PlainDirectory(arguments.path, now=int(time.time()))


def _repository(arguments: argparse.Namespace) -> Repository:
    from agent.trust.publish import Repository

    return Repository(arguments.path, now=int(time.time()))


def _init(arguments: argparse.Namespace) -> int:
    from agent.trust.publish import Lifetimes, Repository

    folder = _keys_folder(arguments)
    password = _new_password(arguments)
    counts = {"root": arguments.root_keys, "targets": arguments.targets_keys}
    roles = (*_ROLES, _STATUS) if arguments.status_key else _ROLES
    keys = {role: _make_keys(folder, role, counts.get(role, 1), password) for role in roles}
    Repository.create(
        arguments.path,
        now=int(time.time()),
        keys={role: [signer.public_key for signer in made] for role, made in keys.items()},
        thresholds={"root": arguments.root_threshold, "targets": arguments.targets_threshold},
        lifetimes=Lifetimes(
            **{f"{r}_days": getattr(arguments, f"{r}_days") for r in (*_ROLES, _STATUS)}
        ),
    )
    print(f"repository {arguments.path}, keys in {folder}")
    print("next: add-issuer and the like, then sign, then publish")
    return 0


def _add(arguments: argparse.Namespace) -> int:
    from agent.trust import contents
    from agent.trust.plain import PlainDirectory
    from agent.trust.roster import load_key

    place = _adding_to(arguments)
    note = ""
    name = arguments.name or arguments.file.stem
    match arguments.action:
        case "add-issuer":
            files = contents.issuer(
                arguments.file,
                name,
                describe=arguments.describe,
                kinds=arguments.kind,
                formats=arguments.format,
                iss=arguments.iss,
            )
        case "add-root":
            files = contents.root(arguments.file, name, describe=arguments.describe)
        case "add-operator":
            files = contents.operator(
                arguments.file, name, describe=arguments.describe, roles=arguments.role
            )
        case "add-roster":
            files = contents.roster(
                arguments.file,
                name,
                key_file=arguments.roster_key,
                blocks=arguments.block,
                now=int(time.time()),
                among=place.preview(),
            )
            if isinstance(place, PlainDirectory):
                note = place.roster_key_note(load_key(arguments.roster_key))
        case "add-revocation":
            files = contents.revocation(arguments.file, name)
        case "add-status":
            files = contents.status(arguments.file, name)
        case "add-profile":
            files = contents.profile(arguments.file, name, check=_check_profile)
        case _:
            files = contents.model(arguments.file, arguments.name or arguments.file.name)
    for target, data in files.items():
        place.add(target, data)
        print(f"added {target}")
    if note:
        print(note)
    return 0


def _change(arguments: argparse.Namespace) -> int:
    repository = _repository(arguments)
    match arguments.action:
        case "remove":
            repository.remove(arguments.names)
        case "renew":
            repository.renew(arguments.role)
        case "rotate":
            retire = _retiring(repository, arguments.role, arguments.retire)
            count = len(retire) if arguments.count is None else arguments.count
            made = _make_keys(
                _keys_folder(arguments), arguments.role, count, _new_password(arguments)
            )
            repository.rotate(
                arguments.role,
                [signer.public_key for signer in made],
                retire=retire,
                threshold=arguments.threshold,
            )
        case "delegate-status":
            repository.refuse_second_status_role()
            made = _make_keys(_keys_folder(arguments), _STATUS, 1, _new_password(arguments))
            keys = [signer.public_key for signer in made]
            repository.delegate_status(keys, take=arguments.take)
        case "sign":
            for change in repository.changes():
                print(f"it {change}")
            for line in repository.sign(_signers(arguments)):
                print(f"signed {line}")
        case "bundle":
            repository.write_bundle(arguments.stick)
            print(f"{arguments.stick}: sign it there, then take it here")
        case "take":
            for line in repository.take_bundle(arguments.stick):
                print(f"taken {line}")
        case "publish-status":
            lists = _lists(arguments.files)
            version = repository.publish_status(lists, _signers(arguments))
            print(f"published version {version}")
            return 0
        case _:
            print(f"published version {repository.publish(_signers(arguments))}")
            return 0
    for gap in repository.missing():
        print(f"{gap.role} needs {gap.needed} more signature(s), of: {', '.join(gap.keys)}")
    return 0


def _lists(files: list[Path]) -> dict[str, bytes]:
    """Return status lists by their names in the set."""
    from agent.trust import contents
    from agent.trust.model import TrustError

    found: dict[str, bytes] = {}
    for file in files:
        for name, data in contents.status(file, file.stem).items():
            if name in found:
                raise TrustError(f"{file}: another list is named {name} too")
            found[name] = data
    return found


def _update(arguments: argparse.Namespace) -> int:
    from agent.trust.update import pin_root, update

    if arguments.root is not None:
        pin_root(arguments.path, arguments.root.read_bytes())
    result = update(arguments.path, arguments.source, now=int(time.time()), ca=arguments.ca)
    word = "updated to" if result.changed else "confirmed"
    print(f"{word} version {result.snapshot.version}, {len(result.snapshot.keys)} keys")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    import json

    from agent.trust.show import describe_path, lines

    what = describe_path(arguments.path, int(time.time()))
    if arguments.json:
        print(json.dumps(what, ensure_ascii=False))
    else:
        for line in lines(what):
            print(line)
    return 0


def _keys_folder(arguments: argparse.Namespace) -> Path:
    folder: Path = arguments.keys or arguments.path.with_name(arguments.path.name + "-keys")
    return folder


def _retiring(repository: Repository, role: str, wanted: list[str] | None) -> list[str]:
    """Return the whole ids of the keys that a rotation takes away: those that begin so, or all."""
    from agent.trust.model import TrustError

    held = list(repository.keys_of(role))
    if wanted is None:
        return held
    found = []
    for start in wanted:
        fitting = [keyid for keyid in held if start and keyid.startswith(start)]
        if len(fitting) != 1:
            word = "more than one key" if fitting else "not a key"
            raise TrustError(f"{start}: {word} of {role}")
        found += fitting
    return found


def _make_keys(folder: Path, role: str, count: int, password: bytes | None) -> list[CryptoSigner]:
    """Make keys under higher numbers than any that lies there: a lost one's is not given again."""
    from agent.trust.signing_keys import make_signer

    numbers = [path.stem.removeprefix(f"{role}-") for path in folder.glob(f"{role}-*.pem")]
    start = 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)
    return [
        make_signer(folder / f"{role}-{number}.pem", password)
        for number in range(start, start + count)
    ]


def _signers(arguments: argparse.Namespace) -> list[CryptoSigner]:
    from agent.trust.model import TrustError
    from agent.trust.signing_keys import load_signer

    files: list[Path] = list(arguments.key)
    wanted = ("root", "targets") if arguments.action == "sign" else _ONLINE
    if not files:
        folder = _keys_folder(arguments)
        files = sorted(path for role in wanted for path in folder.glob(f"{role}-*.pem"))
        if not files:
            raise TrustError(f"{folder}: no keys of {' or '.join(wanted)}; give --key or --keys")
    return [load_signer(path, lambda path: _password(arguments, path)) for path in files]


def _password(arguments: argparse.Namespace, path: Path) -> bytes:
    if arguments.password_file is not None:
        return _read_password(arguments.password_file)
    return getpass.getpass(f"password of {path}: ").encode()


def _new_password(arguments: argparse.Namespace) -> bytes | None:
    from agent.trust.model import TrustError

    if arguments.no_password:
        return None
    if arguments.password_file is not None:
        return _read_password(arguments.password_file)
    password = getpass.getpass("password for the new keys: ")
    if not password or password != getpass.getpass("once more: "):
        raise TrustError("the passwords are empty or differ")
    return password.encode()


def _read_password(path: Path) -> bytes:
    from agent.trust.model import TrustError

    password = path.read_bytes().rstrip(b"\r\n")
    if not password:
        raise TrustError(f"{path}: an empty password")
    return password
