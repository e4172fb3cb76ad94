"""`idgate fleet`: the other side of the broker."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from agent.commands import values
from agent.fleet.connection import add_broker_arguments, settings_from
from agent.report.topics import CommandName, GateAddress

if TYPE_CHECKING:
    from agent.fleet.expected import Expected
    from agent.fleet.register import KnownGate, Register

__all__ = ["add_arguments", "run"]

_DATABASE = "fleet.sqlite"
MOST_DAYS = 36_525
LONGEST_S = 86_400 * MOST_DAYS
_EXTRA = frozenset({"sqlalchemy", "psycopg", "prometheus_client", "rich"})
"""What only the fleet's side needs."""
_INSTALL = f"{sys.executable} -m pip install '.[fleet]'"

_SHARED: Final[dict[str, dict[str, Any]]] = {
    "--database": {
        "default": _DATABASE,
        "metavar": "FILE|URL",
        "help": "SQLite file, or PostgreSQL URL",
    },
    "--gates": {"type": Path, "metavar": "FILE", "help": "the gates that are expected"},
    "--kid": {"default": "", "metavar": "HEX", "help": "the key's id; default: from the key"},
    "--timeout-s": {
        "type": values.number(0, 3_600, above=True),
        "default": 10.0,
        "metavar": "S",
        "help": "longest wait for an answer",
    },
    "--for-s": {
        "type": values.number(0, LONGEST_S),
        "default": 0.0,
        "metavar": "S",
        "help": "stop after so many seconds; 0: never",
    },
}
"""Options that several actions have."""


def _add(parser: argparse.ArgumentParser, *names: str) -> None:
    for name in names:
        parser.add_argument(name, **_SHARED[name])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_collect(actions)
    simulate = actions.add_parser("simulate", help="play many gates with the real reporting code")
    add_broker_arguments(simulate)
    simulate.add_argument(
        "--gates", type=values.count(1, 100_000), default=100, metavar="N", help="how many"
    )
    simulate.add_argument(
        "--rate",
        type=values.number(0, 1_000_000, above=True),
        default=1.0,
        metavar="N",
        help="decisions a second and gate",
    )
    simulate.add_argument(
        "--seconds",
        type=values.number(0, LONGEST_S, above=True),
        default=60.0,
        metavar="S",
        help="how long",
    )
    simulate.add_argument("--site", default="simulated", metavar="NAME", help="the gates' site")
    simulate.add_argument(
        "--drain-s",
        type=values.number(0, LONGEST_S),
        default=60.0,
        metavar="S",
        help="longest wait for the last acknowledgements",
    )

    send = actions.add_parser("send", help="sign a command and send it")
    add_broker_arguments(send)
    send.add_argument("--key", type=Path, required=True, metavar="FILE", help="operator key (PEM)")
    _add(send, "--kid", "--timeout-s")
    send.add_argument("--json", action="store_true", help="the answer as a JSON object")
    send.add_argument("gate", metavar="SITE/GATE", help="which gate")
    send.add_argument("name", choices=[name.value for name in CommandName], help="the command")
    send.add_argument("arguments", nargs="*", metavar="NAME=VALUE", help="the command's arguments")

    configure = actions.add_parser("configure", help="sign and send a desired configuration")
    add_broker_arguments(configure)
    configure.add_argument(
        "--key", type=Path, required=True, metavar="FILE", help="operator key (PEM)"
    )
    _add(configure, "--kid", "--timeout-s")
    configure.add_argument(
        "--version",
        type=values.count(1, 2**53 - 1),
        required=True,
        metavar="N",
        help="above the last one",
    )
    configure.add_argument("--json", action="store_true", help="the report as a JSON object")
    configure.add_argument("gate", metavar="SITE/GATE", help="which gate")
    configure.add_argument("values", nargs="*", metavar="SECTION.KEY=VALUE", help="the whole state")

    watch = actions.add_parser("watch", help="show the fleet in the terminal, problems first")
    add_broker_arguments(watch)
    _add(watch, "--for-s")
    watch.add_argument("--once", action="store_true", help="print one table and stop")
    watch.add_argument("--json", action="store_true", help="one JSON object a gate, and stop")
    _add(watch, "--gates")

    export = actions.add_parser("export", help="Prometheus endpoint, CSV or Parquet")
    add_broker_arguments(export)
    _add(export, "--database")
    export.add_argument("--csv", metavar="FILE", help="write all events and stop; - is stdout")
    export.add_argument("--parquet", metavar="FILE", help="write all events and stop")
    export.add_argument(
        "--listen", default="127.0.0.1:9464", metavar="HOST:PORT", help=":PORT is every address"
    )
    _add(export, "--gates", "--for-s")
    _add_register(actions)


def _add_collect(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the collector."""
    collect = actions.add_parser("collect", help="store events, find gaps, acknowledge")
    add_broker_arguments(collect)
    _add(collect, "--database")
    collect.add_argument(
        "--group",
        default="collectors",
        metavar="NAME",
        help="shared subscription; empty: none",
    )
    collect.add_argument(
        "--keep-days",
        type=values.number(0, MOST_DAYS),
        default=0.0,
        metavar="DAYS",
        help="days to keep events; 0: for ever",
    )
    collect.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="operator key (PEM) for replay commands; default: none are sent",
    )
    _add(collect, "--kid", "--for-s", "--gates")
    collect.add_argument(
        "--seal-key",
        type=Path,
        metavar="FILE",
        help="seals the acknowledgements; made where there is none; default: DATABASE.key",
    )


def _add_register(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the sub-commands over the register of gates."""
    gates = actions.add_parser("gates", help="list the gates, their keys, and who never came")
    _add(gates, "--database", "--gates")
    gates.add_argument("--json", action="store_true", help="one JSON object a gate")

    accept = actions.add_parser("accept", help="believe another key of a gate, or a retired gate")
    _add(accept, "--database")
    accept.add_argument("gate", help="SITE/GATE")
    accept.add_argument(
        "key", metavar="KEY", help="64 hexadecimal digits, or the 16 that `fleet gates` shows"
    )

    retire = actions.add_parser("retire", help="end a gate: no longer believed, shown or missed")
    add_broker_arguments(retire)
    _add(retire, "--database")
    retire.add_argument("gate", help="SITE/GATE")

    rename = actions.add_parser("rename", help="let a gate go on under another name, with its key")
    add_broker_arguments(rename)
    _add(rename, "--database")
    rename.add_argument("gate", help="SITE/GATE as it was")
    rename.add_argument("to", metavar="NEW", help="SITE/GATE as it is now")

    verify = actions.add_parser("verify", help="prove what is stored: seals, gaps, rewritten rows")
    verify.add_argument(
        "database",
        nargs="?",
        default=_DATABASE,
        metavar="FILE|URL",
        help="SQLite file, or PostgreSQL URL",
    )
    verify.add_argument("--gates", type=Path, metavar="FILE", help="only its keys count")


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen action; 0 done, 1 the other side says no or nothing, 2 usage or settings."""
    try:
        return _ACTIONS[arguments.action](arguments)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        wrong = f"{where}{error.strerror or error}"
    except ValueError as error:
        wrong = str(error)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        wrong = f"{error.name} is not installed: in the checkout, {_INSTALL}"
    print(f"idgate fleet {arguments.action}: {wrong}", file=sys.stderr)
    return 2


def _stopper(seconds: float) -> Callable[[], bool]:
    """Return a question that turns True at SIGTERM, SIGINT, or after so many seconds.

    The handler is a method of C: however many come, none runs within another, or waits for a lock.
    """
    came: dict[int, FrameType | None] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, came.setdefault)
    end = time.monotonic() + seconds if seconds > 0 else math.inf
    return lambda: bool(came) or time.monotonic() >= end


def _collect(arguments: argparse.Namespace) -> int:
    from agent.fleet.collector import Collector
    from agent.fleet.send import OperatorSigner
    from agent.fleet.store import open_store
    from agent.report.seals import SealKey
    from agent.settings.secrets import secret_path

    signer = None
    if arguments.key is not None:
        key = secret_path(str(arguments.key), Path.cwd())
        signer = OperatorSigner.from_file(key, _kid(arguments)).replay
    settings = settings_from(arguments, "collector", stable=True, manual_ack=True)
    expected = _expected(arguments.gates)
    store = open_store(arguments.database, expected=expected)
    seal_key = SealKey.load_or_create(arguments.seal_key or _seal_key(arguments.database))
    collector = Collector(
        settings,
        store,
        group=arguments.group,
        keep_s=arguments.keep_days * 86_400,
        signer=signer,
        key=seal_key,
    )
    public = seal_key.public.hex()
    stop = _stopper(arguments.for_s)
    print(f"collecting into {store.name}; mqtt.collector_key = {public}", flush=True)
    if expected is not None:
        absent = expected.keys() - store.register.gates().keys()
        print(f"{len(expected)} gates expected, {len(absent)} never came", flush=True)
    collector.run(stop)
    counts = collector.counts
    print(
        f"received {counts.received}, rejected {counts.rejected}, acknowledgements {counts.acks},"
        f" replays asked {counts.replays}; stored {store.count()}, gaps {len(store.gaps())}"
    )
    store.close()
    return 0


def _expected(path: Path | None) -> Expected | None:
    """Return what a gates file says, None where none is given."""
    from agent.fleet.expected import read_gates

    return None if path is None else read_gates(path)


def _seal_key(database: str) -> Path:
    """Return where the collector's key is kept: beside a file, else in the working directory."""
    return Path("collector.key") if "://" in database else Path(f"{database}.key")


def _simulate(arguments: argparse.Namespace) -> int:
    from agent.fleet.simulate import simulate

    result = simulate(
        settings_from(arguments, "simulated"),
        gates=arguments.gates,
        rate=arguments.rate,
        seconds=arguments.seconds,
        site=arguments.site,
        drain_s=arguments.drain_s,
        stop=_stopper(0.0),
        tell=lambda line: print(line, flush=True),
    )
    print(
        f"{result.decisions} decisions by {result.gates} gates in {result.run_s:.1f} s,"
        f" {result.acknowledged} acknowledged, {result.resent} sent again,"
        f" {result.connections} connections; drained in {result.drain_s:.1f} s,"
        f" at most {result.late_s:.2f} s behind schedule"
    )
    return 0 if result.acknowledged == result.decisions else 1


def _send(arguments: argparse.Namespace) -> int:
    from agent.fleet.send import OperatorSigner, send_command
    from agent.report.link import LinkError
    from agent.report.payloads import CommandStatus

    gate = _gate(arguments.gate)
    signer = OperatorSigner.from_file(arguments.key, _kid(arguments))
    try:
        answer = send_command(
            settings_from(arguments, "send"),
            signer,
            CommandName(arguments.name),
            gate,
            dict(_argument(word) for word in arguments.arguments),
            timeout_s=arguments.timeout_s,
        )
    except LinkError as error:
        print(f"idgate fleet send: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        _as_json(answer)
    elif answer is None:
        print("no answer: the gate is away, or does not believe this key")
    else:
        print(" ".join(word for word in (answer.status, answer.error, answer.detail) if word))
    return 0 if answer is not None and answer.status is CommandStatus.SUCCEEDED else 1


def _configure(arguments: argparse.Namespace) -> int:
    from agent.fleet.send import OperatorSigner, send_desired
    from agent.report.link import LinkError

    gate = _gate(arguments.gate)
    signer = OperatorSigner.from_file(arguments.key, _kid(arguments))
    try:
        report = send_desired(
            settings_from(arguments, "configure"),
            signer,
            gate,
            dict(_value(word) for word in arguments.values),
            version=arguments.version,
            timeout_s=arguments.timeout_s,
        )
    except LinkError as error:
        print(f"idgate fleet configure: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        _as_json(report)
    elif report is None:
        print("sent; no answer yet: the gate is away and will take it when it comes back")
    else:
        print(" ".join(word for word in (report.status, report.reason, report.detail) if word))
    return 0 if report is not None and report.status == "applied" else 1


def _as_json(answer: object) -> None:
    """Print what a gate answered; `null` where it did not."""
    import msgspec

    print(msgspec.json.encode(answer).decode())


def _kid(arguments: argparse.Namespace) -> bytes | None:
    try:
        return bytes.fromhex(arguments.kid) or None
    except ValueError:
        raise ValueError(f"--kid {arguments.kid}: hexadecimal digits are needed") from None


def _gate(text: str) -> GateAddress:
    site, separator, gate = text.partition("/")
    if not separator or not site or not gate:
        raise ValueError(f"{text!r}: a gate is named SITE/GATE")
    return GateAddress(site, gate)


def _value(word: str) -> tuple[str, object]:
    """Read SECTION.KEY=VALUE; the value as TOML would, or as a plain word."""
    import tomllib

    name, separator, value = word.partition("=")
    if not separator:
        raise ValueError(f"{word!r}: settings are SECTION.KEY=VALUE")
    try:
        found: object = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        found = value
    return name, found


def _argument(word: str) -> tuple[str, str | int]:
    name, separator, value = word.partition("=")
    if not separator:
        raise ValueError(f"{word!r}: arguments are NAME=VALUE")
    return name, int(value) if value.lstrip("-").isdigit() else value


def _watch(arguments: argparse.Namespace) -> int:
    from agent.fleet.watch import snapshot, watch

    expected = _expected(arguments.gates)
    if arguments.json:
        lines = snapshot(settings_from(arguments, "watch"), expected)
        for line in lines or ():
            print(line)
        return 1 if lines is None else 0
    settings = settings_from(arguments, "watch")
    stop = _stopper(arguments.for_s)
    there = watch(settings, stop=stop, once=arguments.once, expected=expected)
    return 0 if there else 1


def _listen(text: str) -> tuple[str, int]:
    """Read HOST:PORT; without a host it is every address of this machine."""
    host, _, port = text.rpartition(":")
    if ":" not in text or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"--listen {text}: HOST:PORT or :PORT is needed")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - asked for by leaving it out


def _export(arguments: argparse.Namespace) -> int:
    from agent.fleet.export import serve, write_csv, write_parquet
    from agent.fleet.store import open_store

    store = open_store(arguments.database, new=False, expected=_expected(arguments.gates))
    try:
        if arguments.csv or arguments.parquet:
            if arguments.csv:
                write_csv(store, arguments.csv)
            if arguments.parquet:
                write_parquet(store, Path(arguments.parquet))
            return 0
        host, port = _listen(arguments.listen)
        serve(
            store,
            settings_from(arguments, "export"),
            host=host,
            port=port,
            stop=_stopper(arguments.for_s),
            tell=lambda line: print(line, flush=True),
        )
    finally:
        store.close()
    return 0


def _gates(arguments: argparse.Namespace) -> int:
    from agent.fleet.store import open_store

    expected = _expected(arguments.gates)
    store = open_store(arguments.database, new=False, expected=expected)
    known = store.register.gates()
    store.close()
    for address in sorted({*known, *(expected or ())}, key=lambda each: each.name):
        row = _described(address, known.get(address), expected)
        if arguments.json:
            _as_json(row)
        else:
            print(
                f"{row['gate']:<24} {row['state']:<9} {row['key'][:16] or '-':<16} {row['detail']}"
            )
    return 0


def _described(
    address: GateAddress, gate: KnownGate | None, expected: Expected | None
) -> dict[str, str]:
    """Return a gate of the register in words."""
    if gate is None:
        return {"gate": address.name, "state": "absent", "key": "", "detail": "it never came"}
    state, detail = "serving", []
    if gate.retired_at is not None:
        state = "retired"
    elif expected is not None and address not in expected:
        state = "unlisted"
    if gate.offered:
        detail.append(f"key {gate.offered.hex()[:16]} is offered")
    if gate.refused:
        detail.append(f"{gate.refused} refused")
    if gate.former is not None:
        detail.append(f"was {gate.former.name}")
    return {
        "gate": address.name, "state": state, "key": gate.key.hex(), "detail": ", ".join(detail),
    }  # fmt: skip


def _accept(arguments: argparse.Namespace) -> int:
    from agent.fleet.store import open_store
    from agent.report.seals import KEY_TEXT

    gate, text = _gate(arguments.gate), arguments.key.lower()
    store = open_store(arguments.database, new=False)
    try:
        known = store.register.gates().get(gate)
        keys = () if known is None else (known.offered.hex(), known.key.hex())
        found = next((key for key in keys if len(text) >= 16 and key.startswith(text)), text)
        if not KEY_TEXT.fullmatch(found):
            raise ValueError(f"{arguments.key}: no key that {gate.name} has or offers")
        store.register.accept(gate, bytes.fromhex(found))
    finally:
        store.close()
    print(f"{gate.name} speaks by {found}")
    return 0


def _retire(arguments: argparse.Namespace) -> int:
    return _end(arguments, lambda register, gate: register.retire(gate))


def _rename(arguments: argparse.Namespace) -> int:
    new = _gate(arguments.to)
    code = _end(arguments, lambda register, gate: register.rename(gate, new))
    if code == 0:
        print(f"set gate.site and gate.gate of the gate itself: {new.name}")
    return code


def _end(arguments: argparse.Namespace, change: Callable[[Register, GateAddress], None]) -> int:
    """End a name: in the register, then at the broker."""
    from agent.fleet.retained import clear_retained
    from agent.fleet.store import open_store
    from agent.report.link import LinkError

    gate = _gate(arguments.gate)
    settings = settings_from(arguments, arguments.action)
    store = open_store(arguments.database, new=False)
    try:
        change(store.register, gate)
    finally:
        store.close()
    print(f"{gate.name} is retired; what is stored of it stays")
    try:
        clear_retained(settings, gate)
    except LinkError as error:
        print(
            f"idgate fleet {arguments.action}: {error}; "
            f"`idgate fleet retire` clears what {gate.name} left at the broker",
            file=sys.stderr,
        )
        return 1
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from agent.fleet.store import open_store
    from agent.fleet.verify import verify

    store = open_store(arguments.database, new=False)
    wrong = False
    try:
        for found in verify(store, _expected(arguments.gates)):
            wrong = wrong or bool(found.wrong)
            notes = "".join(f"; {note}" for note in found.notes)
            word = "WRONG" if found.wrong else "ok"
            print(
                f"{found.address.name}: {word}, {found.events} events of {found.boots} runs{notes}"
            )
            for line in found.wrong:
                print(f"  {line}")
            if found.hidden:
                print(f"  and {found.hidden} more")
    finally:
        store.close()
    return 1 if wrong else 0


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "collect": _collect,
    "simulate": _simulate,
    "send": _send,
    "configure": _configure,
    "watch": _watch,
    "export": _export,
    "gates": _gates,
    "accept": _accept,
    "retire": _retire,
    "rename": _rename,
    "verify": _verify,
}
