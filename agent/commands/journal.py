"""`idgate journal`: read a gate's journal, and find or erase a person's rows in it.

    show     the newest rows, a line each
    export   rows as JSON lines or CSV, to a file or standard output
    find     what the journal holds of one person, by issuer, identifier and the site's key
    erase    take out of it what says who that was

The daemon may run meanwhile. A person's identifier is asked for, or read from a file or standard
input, and never given as an argument: every user of the machine sees the arguments of a command.
Exit 0 done, 1 nobody found or something left, 2 usage or files that cannot be used.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from agent.clock.moment import moment_text
from agent.commands import values
from agent.exits import Exit
from agent.reason import Reason

if TYPE_CHECKING:
    from agent.journal.browse import Entry, Filter
    from agent.journal.person import Found, Person
    from agent.settings.model import Config

__all__ = ["add_arguments", "run"]

KINDS = ("decision", "passage", "tamper", "fault", "mode")
COLUMNS = ("time", "boot_id", "seq", "type", "data")
MOST_ROWS = 10_000_000
LONGEST_SUBJECT = 4_096
_UNSHOWN = frozenset({"passage", "stages_ms", "total_ms", "biometrics"})
"""Fields that a line for people leaves out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="show the newest rows")
    _common(show)
    _filters(show)
    show.add_argument(
        "--last", type=values.count(1, MOST_ROWS), default=20, metavar="N", help="so many rows"
    )
    show.add_argument("--json", action="store_true", help="one JSON object a line")
    export = actions.add_parser("export", help="write rows as JSON lines or CSV")
    _common(export)
    _filters(export)
    export.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", help="what to write")
    export.add_argument(
        "--out", type=Path, metavar="FILE", help="a new file; left out: standard output"
    )
    find = actions.add_parser("find", help="say what the journal holds of a person")
    _common(find)
    _person(find)
    find.add_argument("--json", action="store_true", help="one JSON object")
    erase = actions.add_parser("erase", help="take out of the journal who a person's rows are of")
    _common(erase)
    _person(erase)


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action; return the exit code."""
    from agent.journal.model import JournalError
    from agent.journal.subjects import SubjectKeyError
    from agent.settings.load import load
    from agent.settings.model import ConfigError

    actions = {"show": _show, "export": _export, "find": _find, "erase": _erase}
    try:
        return actions[arguments.action](load(arguments.config), arguments)
    except OSError as error:
        line = f"{error.filename}: {error.strerror}"
    except (ConfigError, JournalError, SubjectKeyError) as error:
        line = str(error)
    print(f"idgate journal: {line}", file=sys.stderr)
    return Exit.SETTINGS


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings")


def _filters(parser: argparse.ArgumentParser) -> None:
    for name, words in (("--since", "not before this"), ("--until", "not after this")):
        parser.add_argument(
            name, type=values.moment, metavar="TIME", help=f"{words}; ISO 8601 or Unix"
        )
    parser.add_argument(
        "--kind", action="append", default=[], choices=KINDS, help="of rows; repeatable"
    )
    parser.add_argument(
        "--reason", action="append", default=[], choices=[*Reason], metavar="CODE",
        help="reason code of a decision or passage; repeatable",
    )  # fmt: skip


def _person(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--issuer", required=True, metavar="NAME", help="the issuer's name in the trust set"
    )
    parser.add_argument(
        "--subject-file", type=Path, metavar="FILE",
        help="holds the person's identifier at the issuer; left out or -: standard input",
    )  # fmt: skip
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the site's key; left out: that of the settings"
    )


# --- reading


def _show(config: Config, arguments: argparse.Namespace) -> int:
    from agent.journal.browse import entries, looking

    with looking(_path(config)) as db:
        rows = entries(db, _filter(arguments), newest_first=True)
        newest = list(islice(rows, arguments.last))
    for entry in reversed(newest):
        print(json.dumps(_as_json(entry)) if arguments.json else _line(entry))
    return Exit.DONE


def _export(config: Config, arguments: argparse.Namespace) -> int:
    from agent.journal.browse import entries, looking

    with looking(_path(config)) as db, _output(arguments.out) as stream:
        rows = entries(db, _filter(arguments))
        if arguments.format == "csv":
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            for entry in rows:
                writer.writerow(_as_json(entry) | {"data": entry.raw.decode(errors="replace")})
        else:
            for entry in rows:
                stream.write(json.dumps(_as_json(entry)) + "\n")
    return Exit.DONE


@contextmanager
def _output(file: Path | None) -> Iterator[TextIO]:
    """Yield where to write; a file is new, its owner's, and whole or not there."""
    if file is None:
        yield sys.stdout
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
    except BaseException:
        file.unlink()
        raise


def _filter(arguments: argparse.Namespace) -> Filter:
    from agent.journal.browse import Filter

    wanted = Filter(types=frozenset(arguments.kind), reasons=frozenset(map(str, arguments.reason)))
    return Filter(
        wanted.since if arguments.since is None else arguments.since,
        wanted.until if arguments.until is None else arguments.until,
        wanted.types,
        wanted.reasons,
    )


def _as_json(entry: Entry) -> dict[str, Any]:
    return {
        "time": moment_text(entry.time_us / 1e6),
        "boot_id": entry.boot_id,
        "seq": entry.position.seq,
        "type": entry.type,
        "data": entry.data,
    }


def _line(entry: Entry) -> str:
    words = [
        str(value) if name in ("decision", "reason", "outcome") else f"{name}={_word(value)}"
        for name, value in entry.data.items()
        if name not in _UNSHOWN
    ]
    checks = [f"{each['modality']}={each['reason']}" for each in entry.data.get("biometrics", ())]
    return "  ".join(
        (moment_text(entry.time_us / 1e6), f"{entry.type:<8}", " ".join(words + checks))
    )


def _word(value: object) -> str:
    return str(value) if isinstance(value, int | float | str) and value != "" else json.dumps(value)


# --- one person


def _find(config: Config, arguments: argparse.Namespace) -> int:
    from agent.journal.person import find

    person = _whom(config, arguments)
    found = find(_path(config), person)
    if arguments.json:
        print(json.dumps(_summary(found, person)))
    else:
        for line in _told(found, person):
            print(line)
    return Exit.DONE if found.rows or any(found.memory.values()) else Exit.NO


def _erase(config: Config, arguments: argparse.Namespace) -> int:
    from agent.daemon.owner import require_owner
    from agent.journal.person import erase

    require_owner(config, "journal erase ...")
    done = erase(_path(config), _whom(config, arguments), collected=config.mqtt is not None)
    print(f"{done.rows} rows no longer say who; {done.memory} places, lockouts and give-backs gone")
    left = []
    if done.waiting:
        left.append(
            f"{done.waiting} rows wait for the collector and were left: again when it has them"
        )
    if done.newest:
        left.append("the newest row is this person's and was left: again when another follows it")
    if done.traces:
        left.append(
            f"traces in {done.traces} places of the file: again while the daemon is stopped, "
            "which rewrites it"
        )
    for line in left:
        print(f"idgate journal: {line}", file=sys.stderr)
    return Exit.NO if left or not (done.rows or done.memory) else Exit.DONE


def _whom(config: Config, arguments: argparse.Namespace) -> Person:
    from agent.journal.person import Person
    from agent.journal.subjects import load_key

    key = load_key(arguments.key or config.state_path(config.journal.subject_key_file))
    return Person(key, arguments.issuer, _subject(arguments.subject_file))


def _subject(file: Path | None) -> str:
    """Return the person's identifier, which is on one line.

    Raises:
        ConfigError: it is empty, longer than any, or no text.
    """
    from agent.settings.model import ConfigError

    try:
        if file is not None and str(file) != "-":
            text = file.read_text(encoding="utf-8-sig")
        elif sys.stdin.isatty():
            text = input("Identifier at the issuer: ")
        else:
            text = sys.stdin.read(LONGEST_SUBJECT + 2)
    except UnicodeDecodeError:
        text = ""
    subject = text.strip("\r\n")
    if not subject or len(subject) > LONGEST_SUBJECT or "\n" in subject:
        raise ConfigError(
            f"--subject-file: one line with the identifier is needed, {LONGEST_SUBJECT} "
            "characters at most"
        )
    return subject


def _summary(found: Found, person: Person) -> dict[str, Any]:
    times = [moment_text(entry.time_us / 1e6) for entry in found.rows]
    return {
        "rows": len(found.rows),
        "first": times[0] if times else None,
        "last": times[-1] if times else None,
        "waiting": found.waiting,
        "by_name": dict(Counter(str(entry.data["subject"]) for entry in found.rows)),
        "local": person.local,
        "memory": found.memory,
        "last_seen": found.zone and f"{found.zone} {found.direction}",
    }


def _told(found: Found, person: Person) -> Iterator[str]:
    for entry in found.rows:
        yield _line(entry)
    summary = _summary(found, person)
    yield f"{len(found.rows)} rows, of which {found.waiting} wait for the collector"
    for name, times in summary["by_name"].items():
        yield f"  named {name} in {times}"
    held = ", ".join(f"{table} {count}" for table, count in found.memory.items() if count)
    yield f"remembered as {person.local}: {held or 'nothing'}"
    if found.zone:
        yield f"last seen to pass: zone {found.zone}, {found.direction}"


def _path(config: Config) -> Path:
    return config.state_path(config.journal.path)
