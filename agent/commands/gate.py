"""`idgate gate`: the gate's pins from the command line.

    safe      close a gate that nobody decides for, and let go of its outputs; needs no settings
    inputs    show what every input reads
    test      show every signal on the lamps and the buzzer; with --relay, open once too
    timeline  draw the recorded edges of a simulated gate as a picture
    key       show the public key by which this gate's events are known

All but `timeline` and `key` decide in the daemon's place: stop the daemon first. Exit 0 done, 2
usage or settings, 3 the pins cannot be had, as with `idgate run`.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agent.commands import values
from agent.daemon.gatekeeper import looking, make_gate_safe, visiting
from agent.daemon.pins import draw_record, pin_map
from agent.gatekeeper.pinmap import Line, inputs
from agent.gatekeeper.signals import PATTERNS
from agent.passage.types import Direction
from agent.settings.load import load
from agent.settings.model import ConfigError
from hal.errors import HalError

__all__ = ["add_arguments", "run"]

LONGEST_S = 60.0
WATCH_S = 0.01
"""Between two looks at the inputs: somebody walking breaks a beam for a tenth of a second."""


ENDING = frozenset({signal.SIGINT, signal.SIGTERM})
"""What ends watching."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (_, summary) in _ACTIONS.items():
        action = actions.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        action.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings")
        if name == "inputs":
            action.add_argument("--json", action="store_true", help="one JSON object a line")
            action.add_argument(
                "--watch", action="store_true", help="and each change, until interrupted"
            )
        if name == "test":
            action.add_argument(
                "--seconds",
                type=values.number(0, LONGEST_S, above=True),
                default=2.0,
                metavar="S",
                help="how long each signal lasts",
            )
            action.add_argument("--relay", action="store_true", help="open once in each direction")
        if name == "timeline":
            action.add_argument(
                "--out",
                type=Path,
                default=Path("timeline.png"),
                metavar="PNG",
                help="the picture",
            )
            action.add_argument(
                "--last",
                type=values.number(0, 86_400, above=True),
                default=10.0,
                metavar="S",
                help="seconds to show, before the last edge",
            )


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    act, _ = _ACTIONS[arguments.action]
    try:
        return act(arguments)
    except ConfigError as error:
        print(f"idgate gate: {error}", file=sys.stderr)
        return 2
    except HalError as error:
        print(f"idgate gate: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"idgate gate: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _safe(arguments: argparse.Namespace) -> int:
    for line in make_gate_safe(arguments.config):
        print(line)
    return 0


def _inputs(arguments: argparse.Namespace) -> int:
    config = load(arguments.config)
    fitted = inputs(pin_map(config))
    if not fitted:
        print("idgate gate: no input is fitted", file=sys.stderr)
    known: dict[str, bool] = {}
    if arguments.watch:
        # Waited for, not handled: a shell that starts something behind it has SIGINT ignored.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    with looking(config) as look:
        while True:
            active = look()
            for line in fitted:
                if known.get(line.name) != (line.name in active):
                    known[line.name] = line.name in active
                    _show(line, active=known[line.name], as_json=arguments.json)
            if not arguments.watch or signal.sigtimedwait(ENDING, WATCH_S):
                return 0


def _show(line: Line, *, active: bool, as_json: bool) -> None:
    level = active == line.active
    if as_json:
        row = {"input": line.name, "pin": line.pin, "high": level, "active": active}
        print(json.dumps(row), flush=True)
        return
    state, name = "ACTIVE" if active else "at rest", "high" if level else "low"
    print(f"{line.name:<10} GPIO{line.pin:<3} {name:<5} {state}", flush=True)


def _test(arguments: argparse.Namespace) -> int:
    with visiting(load(arguments.config), lambda event: print(f"  input: {event}")) as gate:
        gate.ready(ready=True)
        for pattern in PATTERNS:
            print(pattern.value, flush=True)
            gate.signal(pattern)
            time.sleep(arguments.seconds)
        for direction in Direction if arguments.relay else ():
            print(f"relay {direction.value}", flush=True)
            gate.open(direction, arguments.seconds)
            time.sleep(arguments.seconds)
            gate.close()
            time.sleep(0.2)
        health = gate.health()
    if health.error:
        print(f"idgate gate: {health.error}", file=sys.stderr)
        return 3
    return 0


def _timeline(arguments: argparse.Namespace) -> int:
    picture = draw_record(load(arguments.config), arguments.last)
    if picture is None:
        print(
            "idgate gate: only a simulated gate with simulation.pins_file has a record of its pins",
            file=sys.stderr,
        )
        return 2
    picture.save(arguments.out)
    print(arguments.out)
    return 0


def _key(arguments: argparse.Namespace) -> int:
    from agent.daemon.reporting import GATE_KEY
    from agent.report.seals import SealKey

    path = load(arguments.config).state_path(GATE_KEY)
    try:
        print(SealKey.load(path).public.hex())
    except FileNotFoundError:
        made = "the daemon makes it when it first starts with [mqtt]"
        print(f"idgate gate: {path}: no key yet; {made}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"idgate gate: {error}", file=sys.stderr)
        return 2
    return 0


_ACTIONS: dict[str, tuple[Callable[[argparse.Namespace], int], str]] = {
    "safe": (_safe, "close a gate that nobody decides for, and let go of its outputs"),
    "inputs": (_inputs, "show what every input reads"),
    "test": (_test, "show every signal on the lamps and the buzzer"),
    "timeline": (_timeline, "draw the recorded edges of a simulated gate as a picture"),
    "key": (_key, "show the public key by which this gate's events are known"),
}
