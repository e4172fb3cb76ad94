"""`idgate fleet`: the other side of the broker."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.fleet.connection import add_broker_arguments, settings_from
from agent.report.topics import CommandName, GateAddress

if TYPE_CHECKING:
    from agent.fleet.expected import Expected

__all__ = ["add_arguments", "run"]

_DATABASE = "fleet.sqlite"
_EXTRA = frozenset({"sqlalchemy", "psycopg", "prometheus_client", "rich"})
"""What only the fleet's side needs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    collect = actions.add_parser("collect", help="store events, find gaps, acknowledge")
    add_broker_arguments(collect)
    collect.add_argument("--database", default=_DATABASE, metavar="FILE|URL")
    collect.add_argument("--group", default="collectors", help="shared subscription; empty: none")
    collect.add_argument("--keep-days", type=float, default=0.0, help="0 keeps events for ever")
    collect.add_argument("--key", type=Path, help="operator key (PEM) for replay commands")
    collect.add_argument("--kid", default="", help="its id (hex), where the trust set names one")
    collect.add_argument("--gates", type=Path, metavar="FILE", help="the gates that are expected")
    collect.add_argument(
        "--seal-key",
        type=Path,
        metavar="FILE",
        help="seals the acknowledgements; made where there is none (default: DATABASE.key)",
    )
    collect.add_argument("--for-s", type=float, default=0.0, help="stop after so many seconds")

    simulate = actions.add_parser("simulate", help="play many gates with the real reporting code")
    add_broker_arguments(simulate)
    simulate.add_argument("--gates", type=int, default=100)
    simulate.add_argument("--rate", type=float, default=1.0, help="decisions a second and gate")
    simulate.add_argument("--seconds", type=float, default=60.0)
    simulate.add_argument("--site", default="simulated")
    simulate.add_argument("--drain-s", type=float, default=60.0)

    send = actions.add_parser("send", help="sign a command and send it")
    add_broker_arguments(send)
    send.add_argument("--key", type=Path, required=True, help="operator key (PEM)")
    send.add_argument("--kid", default="", help="its id (hex), where the trust set names one")
    send.add_argument("--timeout-s", type=float, default=10.0)
    send.add_argument("--json", action="store_true", help="the answer as a JSON object")
    send.add_argument("gate", help="SITE/GATE")
    send.add_argument("name", choices=[name.value for name in CommandName])
    send.add_argument("arguments", nargs="*", metavar="NAME=VALUE")

    configure = actions.add_parser("configure", help="sign and send a desired configuration")
    add_broker_arguments(configure)
    configure.add_argument("--key", type=Path, required=True, help="operator key (PEM)")
    configure.add_argument("--kid", default="", help="its id (hex), where the trust set names one")
    configure.add_argument("--timeout-s", type=float, default=10.0)
    configure.add_argument("--version", type=int, required=True, help="above the last one")
    configure.add_argument("--json", action="store_true", help="the report as a JSON object")
    configure.add_argument("gate", help="SITE/GATE")
    configure.add_argument("values", nargs="*", metavar="SECTION.KEY=VALUE", help="the whole state")

    watch = actions.add_parser("watch", help="show the fleet in the terminal, problems first")
    add_broker_arguments(watch)
    watch.add_argument("--for-s", type=float, default=0.0, help="stop after so many seconds")
    watch.add_argument("--once", action="store_true", help="print one table and stop")
    watch.add_argument("--json", action="store_true", help="one JSON object a gate, and stop")

    export = actions.add_parser("export", help="Prometheus endpoint, CSV or Parquet")
    add_broker_arguments(export)
    export.add_argument("--database", default=_DATABASE, metavar="FILE|URL")
    export.add_argument("--csv", metavar="FILE", help="write all events and stop; - is stdout")
    export.add_argument("--parquet", metavar="FILE", help="write all events and stop")
    export.add_argument(
        "--listen", default="127.0.0.1:9464", metavar="HOST:PORT", help=":PORT is every address"
    )
    export.add_argument("--for-s", type=float, default=0.0, help="stop after so many seconds")


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
        wrong = f"{error.name} is not installed: pip install 'idgate[fleet]'"
    print(f"idgate fleet {arguments.action}: {wrong}", file=sys.stderr)
    return 2


def _stopper(seconds: float) -> Callable[[], bool]:
    """Return a question that turns True at SIGTERM, SIGINT, or after so many seconds."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if seconds > 0:
        timer = threading.Timer(seconds, stopping.set)
        timer.daemon = True
        timer.start()
    return stopping.is_set


def _collect(arguments: argparse.Namespace) -> int:
    from agent.fleet.collector import Collector
    from agent.fleet.send import OperatorSigner
    from agent.fleet.store import open_store
    from agent.report.seals import SealKey

    if not 0 <= arguments.keep_days < float("inf"):
        raise ValueError("--keep-days: 0 for ever, or more")
    signer = None
    if arguments.key is not None:
        signer = OperatorSigner.from_file(arguments.key, _kid(arguments)).replay
    settings = settings_from(arguments, "collector", stable=True, manual_ack=True)
    expected = _expected(arguments.gates)
    store = open_store(arguments.database, expected=expected)
    key = SealKey.load_or_create(arguments.seal_key or _seal_key(arguments.database))
    collector = Collector(
        settings,
        store,
        group=arguments.group,
        keep_s=arguments.keep_days * 86_400,
        signer=signer,
        key=key,
    )
    print(f"collecting into {store.name}; mqtt.collector_key = {key.public.hex()}", flush=True)
    if expected is not None:
        absent = expected.keys() - store.register.gates().keys()
        print(f"{len(expected)} gates expected, {len(absent)} never came", flush=True)
    collector.run(_stopper(arguments.for_s))
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

    if arguments.gates < 1 or arguments.rate <= 0 or arguments.seconds <= 0:
        raise ValueError("--gates, --rate and --seconds must be greater than 0")
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
    if not 0 < arguments.version < 2**53:
        raise ValueError("--version: 1 or more, above the last one")
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

    if arguments.json:
        lines = snapshot(settings_from(arguments, "watch"))
        for line in lines or ():
            print(line)
        return 1 if lines is None else 0
    settings = settings_from(arguments, "watch")
    there = watch(settings, stop=_stopper(arguments.for_s), once=arguments.once)
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

    store = open_store(arguments.database, new=False)
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


_ACTIONS: dict[str, Callable[[argparse.Namespace], int]] = {
    "collect": _collect,
    "simulate": _simulate,
    "send": _send,
    "configure": _configure,
    "watch": _watch,
    "export": _export,
}
