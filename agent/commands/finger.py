"""`idgate finger`: enrol and test with the gate's fingerprint module.

    enroll   two touches become a template in the module; the gate keeps a keyed hash and the slot
    delete   empty a slot, all slots of a subject, or all
    list     what the module holds, and for whom, by keyed hash
    verify   compare the finger on the glass with a subject's slots, or search for it
    export   write a template to a file, for the issuer to put into a credential (biometric data!)
    test     look at the module, light its ring, take a picture
    pair     give the module a new pairing secret and, with --password, a new password

The module has one owner: stop the daemon first. Exit 0 done or matched, 1 not, 2 usage or settings,
3 the module cannot be had.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets as randomness
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.biometrics.finger.table import EnrolmentTable, Row, TableError
from agent.commands import values
from agent.daemon.owner import require_owner
from agent.exits import Exit
from agent.settings.load import load
from agent.settings.model import Config, ConfigError, FingerConfig
from agent.settings.secrets import secret_path
from hal.errors import HalError
from hal.fingerprint import PROBE, REFERENCE, FingerprintSensor, Light, SensorRefused

__all__ = ["add_arguments", "run"]

_SLOT = {"enroll": "a free one", "delete": "none", "export": "a new touch"}
"""What is taken where no slot is named."""


@dataclass(frozen=True, slots=True)
class _Bench:
    """What an action works with."""

    config: Config
    settings: FingerConfig
    sensor: FingerprintSensor
    table: EnrolmentTable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (_, summary) in _ACTIONS.items():
        action = actions.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        action.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings")
        action.add_argument(
            "--timeout",
            type=values.number(0, 3_600, above=True),
            default=20.0,
            metavar="S",
            help="seconds to wait for a touch",
        )
        if name in {"enroll", "delete", "verify"}:
            action.add_argument(
                "--issuer", default="", metavar="NAME", help="as the trust set names it"
            )
            action.add_argument(
                "--subject", default="", metavar="ID", help="in the issuer's realm; - asks for it"
            )
        if name in {"enroll", "delete", "export"}:
            action.add_argument(
                "--slot",
                type=values.count(0, 65_535),
                metavar="N",
                help=f"in the module's library; default: {_SLOT[name]}",
            )
        if name == "enroll":
            action.add_argument(
                "--staff", action="store_true", help="a search may find this finger"
            )
        if name == "delete":
            action.add_argument("--all", action="store_true", help="every slot of the module")
        if name == "list":
            action.add_argument("--json", action="store_true", help="machine-readable")
        if name == "export":
            action.add_argument(
                "--out", type=Path, required=True, metavar="FILE", help="a new file"
            )
            action.add_argument(
                "--biometric", action="store_true",
                help="confirm that a person's template shall leave the module",
            )  # fmt: skip
        if name == "pair":
            action.add_argument("--password", action="store_true", help="a new password too")


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    from agent.biometrics.finger.enroll import EnrolmentFailed
    from agent.journal.subjects import SubjectKeyError

    try:
        config = load(arguments.config)
        require_owner(config, "finger ...")
        act, _ = _ACTIONS[arguments.action]
        return act(config, arguments)
    except (ConfigError, SubjectKeyError) as error:
        print(f"idgate finger: {error}", file=sys.stderr)
        return Exit.SETTINGS
    except (TableError, EnrolmentFailed, SensorRefused) as error:
        print(f"idgate finger: {error}", file=sys.stderr)
        return Exit.NO
    except HalError as error:
        print(f"idgate finger: {error}", file=sys.stderr)
        return Exit.UNAVAILABLE


def _with_module(
    act: Callable[[_Bench, argparse.Namespace], int],
) -> Callable[[Config, argparse.Namespace], int]:
    """Return an action that opens the module, lets it prove itself, and lets go of it."""

    def opened(config: Config, arguments: argparse.Namespace) -> int:
        from agent.daemon.finger import finger_settings, make_guard, open_sensor, open_table
        from agent.daemon.finger import read_secrets as read

        settings, known = finger_settings(config), read(config)
        sensor = open_sensor(config, known.password)
        try:
            make_guard(config, sensor, known.pairing).prove()
            return act(_Bench(config, settings, sensor, open_table(config)), arguments)
        finally:
            try:
                sensor.light(Light.OFF)
            finally:
                sensor.close()

    return opened


def _subject(config: Config, arguments: argparse.Namespace) -> str:
    """Return the keyed hash of the subject that the arguments name; empty for none."""
    from agent.journal.subjects import SubjectHasher, load_or_create_key

    subject: str = arguments.subject
    if subject == "-":
        subject = input("Subject: ").strip()
    if not subject and not arguments.issuer:
        return ""
    if not subject or not arguments.issuer:
        raise ConfigError("--issuer and --subject belong together")
    key = load_or_create_key(config.state_path(config.journal.subject_key_file))
    return SubjectHasher(key).local(arguments.issuer, subject)


def _say(line: str) -> None:
    print(line, flush=True)


def _enroll(bench: _Bench, arguments: argparse.Namespace) -> int:
    from agent.biometrics.finger.enroll import take_model

    subject = _subject(bench.config, arguments)
    if not subject:
        raise ConfigError("--issuer and --subject say whose finger it is")
    sensor, used = bench.sensor, set(bench.sensor.slots())
    free = (slot for slot in range(sensor.info.library_size) if slot not in used)
    slot = next(free, None) if arguments.slot is None else arguments.slot
    if slot is None or not 0 <= slot < sensor.info.library_size:
        raise TableError(f"no such free slot; the module has {sensor.info.library_size}")
    if slot in used:
        raise TableError(f"slot {slot} is in use: delete it first")
    take_model(sensor, _say, timeout_s=arguments.timeout)
    known = sensor.search()
    if known is not None and known.score >= bench.settings.threshold:
        raise TableError(f"this finger is in slot {known.slot} already")
    sensor.store(slot, PROBE)
    try:
        bench.table.put(Row(slot, subject, arguments.staff))
    except TableError:
        # A template without a row would be a stranger in the module.
        sensor.delete(slot)
        raise
    print(f"enrolled in slot {slot} for subject {subject}{' (staff)' if arguments.staff else ''}")
    return 0


def _delete(bench: _Bench, arguments: argparse.Namespace) -> int:
    subject = _subject(bench.config, arguments)
    named = [arguments.slot is not None, bool(subject), arguments.all]
    if sum(named) != 1:
        raise ConfigError("one of --slot, --issuer with --subject, or --all says what to delete")
    known = {row.slot for row in bench.table.rows()}
    if arguments.all:
        slots = sorted(known | set(bench.sensor.slots()))
    elif subject:
        slots = list(bench.table.slots_of(subject))
    else:
        slots = [arguments.slot]
    used = set(bench.sensor.slots())
    gone = [slot for slot in slots if slot in used or slot in known]
    for slot in gone:
        if slot in used:
            bench.sensor.delete(slot)
    bench.table.remove(gone)
    print(f"deleted: {', '.join(map(str, gone)) or 'nothing'}")
    return 0 if gone else 1


def _list(bench: _Bench, arguments: argparse.Namespace) -> int:
    used = set(bench.sensor.slots())
    rows = {row.slot: row for row in bench.table.rows()}
    found = []
    for slot in sorted(used | rows.keys()):
        row = rows.get(slot)
        found.append(
            {
                "slot": slot,
                "subject": "" if row is None else row.subject,
                "staff": row is not None and row.staff,
                "in_module": slot in used,
            }
        )
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    for entry in found:
        notes = ["staff"] if entry["staff"] else []
        notes += [] if entry["in_module"] else ["the module does not hold it: delete and enrol"]
        notes += [] if entry["subject"] else ["enrolled past this gate: nobody passes by it"]
        print(f"{entry['slot']:>5}  {entry['subject'] or '-':<32}  {', '.join(notes)}".rstrip())
    print(f"{len(used)} of {bench.sensor.info.library_size} slots in use")
    return 0


def _verify(bench: _Bench, arguments: argparse.Namespace) -> int:
    from agent.biometrics.finger.enroll import take_touch

    subject = _subject(bench.config, arguments)
    slots = bench.table.slots_of(subject) if subject else ()
    if subject and not slots:
        raise TableError("this subject is not enrolled here")
    _say("Lay the finger on the glass.")
    sensor, limit = bench.sensor, bench.settings.threshold
    take_touch(sensor, _say, buffer=PROBE, timeout_s=arguments.timeout)
    if not subject:
        hit = sensor.search()
        row = None if hit is None else bench.table.at(hit.slot)
        if hit is None or row is None or hit.score < limit:
            print("no match")
            return 1
        print(f"match: slot {hit.slot}, score {hit.score}, subject {row.subject}")
        return 0
    best = 0
    for slot in slots:
        sensor.load(slot, REFERENCE)
        best = max(best, sensor.compare())
    print(f"{'match' if best >= limit else 'no match'}: score {best}, threshold {limit}")
    return 0 if best >= limit else 1


def _export(bench: _Bench, arguments: argparse.Namespace) -> int:
    from agent.biometrics.finger.enroll import take_model

    if not arguments.biometric:
        raise ConfigError(
            "a template is biometric data of a person and leaves the module by this command; "
            "say --biometric if that is agreed with them"
        )
    try:
        descriptor = os.open(arguments.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"--out {arguments.out}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            if arguments.slot is None:
                take_model(bench.sensor, _say, timeout_s=arguments.timeout)
            else:
                bench.sensor.load(arguments.slot, PROBE)
            template = bench.sensor.upload(PROBE)
            file.write(template)
    except BaseException:
        arguments.out.unlink(missing_ok=True)
        raise
    print(
        f"{len(template)} bytes for sensor family {bench.settings.family} written to "
        f"{arguments.out}; delete the file when the credential is issued"
    )
    return 0


def _test(config: Config, arguments: argparse.Namespace) -> int:
    from agent.daemon.finger import look_at_sensor
    from agent.daemon.finger import read_secrets as read

    read(config)  # what the settings lack is said as their mistake, not as the module's
    problem, detail = look_at_sensor(config)
    if problem:
        print(f"idgate finger: {problem}", file=sys.stderr)
        return 1
    print(detail)
    return _with_module(_try_glass)(config, arguments)


def _try_glass(bench: _Bench, arguments: argparse.Namespace) -> int:
    from agent.biometrics.finger.enroll import take_touch

    for light in Light:
        _say(f"light: {light.value}")
        bench.sensor.light(light)
    _say("Lay a finger on the glass.")
    take_touch(bench.sensor, _say, buffer=PROBE, timeout_s=arguments.timeout)
    template = bench.sensor.upload(PROBE)
    bench.sensor.download(template, REFERENCE)
    score = bench.sensor.compare()
    print(f"a good touch; its template went out and back and compares to itself with {score}")
    return 0 if score >= bench.settings.threshold else 1


def _pair(config: Config, arguments: argparse.Namespace) -> int:
    from agent.biometrics.finger.guard import pair
    from agent.daemon.finger import finger_settings, open_sensor
    from agent.daemon.finger import read_secrets as read
    from hal.fingerprint import FACTORY_PASSWORD

    settings = finger_settings(config)
    if not settings.pairing_file or (arguments.password and not settings.password_file):
        raise ConfigError("name finger.pairing_file (and finger.password_file) in the settings")
    password_path = secret_path(settings.password_file or "-", config.path(""))
    old = FACTORY_PASSWORD
    if settings.password_file and password_path.exists():
        old = read(_without_pairing(config)).password
    sensor = open_sensor(config, old)
    try:
        secret = pair(sensor)
        _write_secret(secret_path(settings.pairing_file, config.path("")), secret)
        if arguments.password:
            new = randomness.token_bytes(len(FACTORY_PASSWORD))
            # First the file: a password that nobody knows would lock the module for good.
            _write_secret(password_path.with_name(f"{password_path.name}.new"), new)
            sensor.set_password(new)
            password_path.with_name(f"{password_path.name}.new").replace(password_path)
    finally:
        sensor.close()
    print(f"paired{' and given a new password' if arguments.password else ''}")
    return 0


def _without_pairing(config: Config) -> Config:
    """Return settings under which only the password is read: the secret is not made yet."""
    import msgspec

    finger = msgspec.structs.replace(config.finger, pairing_file="")  # type: ignore[type-var]
    return msgspec.structs.replace(config, finger=finger)


def _write_secret(path: Path, data: bytes) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(data.hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


_ACTIONS: dict[str, tuple[Callable[[Config, argparse.Namespace], int], str]] = {
    "enroll": (_with_module(_enroll), "enrol a subject's finger in the module"),
    "delete": (_with_module(_delete), "delete enrolled fingers"),
    "list": (_with_module(_list), "list the slots in use, by keyed hash"),
    "verify": (_with_module(_verify), "compare the finger on the glass"),
    "export": (_with_module(_export), "write a template to a file for the issuer"),
    "test": (_test, "look at the module and try its glass"),
    "pair": (_pair, "write a new pairing secret into the module"),
}
