"""What goes into a trust set: each kind of file checked, described and named before signing."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agent.credential.model import FormatName
from agent.trust.description import MAX_TEXT_FILE, read_file
from agent.trust.directory import KEY_SUFFIXES, load_directory
from agent.trust.model import TrustError
from agent.trust.revocation import MAX_REVOCATION_FILE, parse_batches
from agent.trust.roster import checked, load_key, load_roster, read_csv, write_roster
from agent.trust.snapshot import TrustSnapshot
from agent.trust.status import MAX_TOKEN_BYTES

__all__ = ["issuer", "model", "operator", "profile", "revocation", "root", "roster", "status"]

_MAX_KEY_FILE = 256 << 10
_MAX_MODEL = 256 << 20


def issuer(
    file: Path,
    name: str,
    *,
    describe: Path | None = None,
    kinds: Sequence[str] = (),
    formats: Sequence[str] = (),
    iss: Sequence[str] = (),
) -> dict[str, bytes]:
    """Return the files of an issuer: its key, and what it is trusted for.

    Args:
        file: key or certificate, in any form that a trust directory takes.
        name: the issuer's name.
        describe: a TOML file that says what it is trusted for; else the words below do.
        kinds: kinds of document.
        formats: formats.
        iss: values of `iss`.

    Raises:
        TrustError: a gate would refuse it.
    """
    words = {"kinds": list(kinds), "formats": list(formats), "iss": list(iss)}
    return _key("issuers", file, name, describe, words)


def root(file: Path, name: str, *, describe: Path | None = None) -> dict[str, bytes]:
    """Return the files of a root certificate; see `issuer`."""
    return _key("issuers", file, name, describe, {"root": True})


def operator(
    file: Path, name: str, *, describe: Path | None = None, roles: Sequence[str] = ()
) -> dict[str, bytes]:
    """Return the files of an operator's key; see `issuer`."""
    return _key("operators", file, name, describe, {"operator": True, "roles": list(roles)})


def roster(
    file: Path,
    name: str,
    *,
    key_file: Path,
    blocks: bool,
    now: int,
    among: TrustSnapshot,
) -> dict[str, bytes]:
    """Return a roster, built from CSV or taken as it is.

    Args:
        file: CSV (see `agent.trust.roster.read_csv`), or a roster already built.
        name: the roster's name.
        key_file: the site's roster key.
        blocks: True for a list of blocked subjects; a roster already built says so itself.
        now: Unix seconds.
        among: the set that it is added to: who its entries must be able to match.

    Raises:
        TrustError: it cannot be used, or an entry can never match.
    """
    key = load_key(key_file)
    with tempfile.TemporaryDirectory(prefix="idgate-") as folder:
        built = Path(folder, f"{name}.roster")
        if file.suffix == ".roster":
            built = file
        else:
            entries = checked(read_csv(file), _formats(among), str(file))
            write_roster(built, entries, key=key, blocks=blocks, created=now)
        load_roster(built, key)
        return {f"rosters/{name}.roster": built.read_bytes()}


def _formats(among: TrustSnapshot) -> dict[str, frozenset[FormatName]]:
    """Return the formats that each issuer of a set may sign; empty for any."""
    held: dict[str, list[frozenset[FormatName]]] = {}
    for key in among.keys:
        held.setdefault(key.issuer, []).append(key.formats)
    return {
        issuer: frozenset().union(*formats) if all(formats) else frozenset()
        for issuer, formats in held.items()
    }


def revocation(file: Path, name: str) -> dict[str, bytes]:
    """Return a revocation list of health certificates.

    Raises:
        TrustError: it is none.
    """
    data = read_file(file, MAX_REVOCATION_FILE)
    try:
        parse_batches(data)
    except TrustError as error:
        raise TrustError(f"{file}: {error}") from None
    return {f"revocation/{name}.json": data}


def status(file: Path, name: str) -> dict[str, bytes]:
    """Return a status list; its signature is checked with the whole set, at publishing."""
    data = read_file(file, MAX_TOKEN_BYTES)
    suffix = ".jwt" if data.lstrip()[:2] == b"ey" else ".cwt"
    return {f"status/{name}{suffix}": data}


def profile(file: Path, name: str, *, check: Callable[[str, str], object]) -> dict[str, bytes]:
    """Return a site profile.

    Args:
        file: TOML.
        name: the profile's name.
        check: raises ValueError for a text, and how errors name it, that is no site profile.

    Raises:
        TrustError: it is no site profile.
    """
    data = read_file(file, MAX_TEXT_FILE)
    try:
        check(data.decode("utf-8"), str(file))
    except ValueError as error:
        raise TrustError(str(error)) from None
    return {f"profiles/{name}.toml": data}


def model(file: Path, name: str) -> dict[str, bytes]:
    """Return a model file."""
    return {f"models/{name}": read_file(file, _MAX_MODEL)}


def _key(
    folder: str, file: Path, name: str, describe: Path | None, words: Mapping[str, object]
) -> dict[str, bytes]:
    if file.suffix not in KEY_SUFFIXES:
        raise TrustError(f"{file}: an unknown kind of key file; {', '.join(sorted(KEY_SUFFIXES))}")
    files = {f"{folder}/{name}{file.suffix}": read_file(file, _MAX_KEY_FILE)}
    described = {key: value for key, value in words.items() if value}
    if describe is not None:
        if any(value not in (True, []) for value in described.values()):
            raise TrustError("give a description or the options, not both")
        text = read_file(describe, MAX_TEXT_FILE).decode("utf-8", "replace")
        table = _toml(describe, text)
        missing = {key: value for key, value in described.items() if key not in table}
        files[f"{folder}/{name}.toml"] = (_lines(missing) + text).encode()
    elif described:
        files[f"{folder}/{name}.toml"] = _lines(described).encode()
    with tempfile.TemporaryDirectory(prefix="idgate-") as trial:
        for target, data in files.items():
            path = Path(trial, target)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        try:
            load_directory(Path(trial), now=0, strict=True)
        except TrustError as error:
            raise TrustError(str(error).replace(f"{trial}/{folder}/", "")) from None
    return files


def _toml(path: Path, text: str) -> Mapping[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise TrustError(f"{path}: not TOML: {error}") from None


def _lines(table: Mapping[str, object]) -> str:
    """Write flat TOML; JSON's booleans, strings and lists of strings are TOML's too."""
    return "".join(
        f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in table.items()
    )
