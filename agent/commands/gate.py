"""`idgate gate`: the gate's pins from the command line.

    safe      put every output into its safe state and let go of it (systemd's ExecStopPost)
    inputs    show what every input reads
    test      show every signal on the lamps and the buzzer; with --relay, open once too
    timeline  draw the recorded edges of a simulated gate as a picture

All but `timeline` take the pins for themselves: stop the daemon first. Exit 0 done, 2 usage or
settings, 3 the pins cannot be had, as with `idgate run`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from agent.daemon.pins import draw_record, make_gpio
from agent.gate.gate import Gate, make_safe, outputs
from agent.gate.inputs import Line, lines
from agent.gate.signals import PATTERNS
from agent.passage.types import Direction
from agent.settings.load import load
from agent.settings.model import Config, ConfigError, GpioConfig
from hal.errors import HalError
from hal.gpio import Gpio

__all__ = ["add_arguments", "run"]

LONGEST_S = 60.0
WATCH_S = 0.01
"""Between two looks at the inputs: somebody walking breaks a beam for a tenth of a second."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (_, summary) in _ACTIONS.items():
        action = actions.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        action.add_argument("--config", type=Path, required=True, metavar="FILE")
        if name == "inputs":
            action.add_argument("--json", action="store_true", help="one JSON object a line")
            action.add_argument(
                "--watch", action="store_true", help="and each change, until interrupted"
            )
        if name == "test":
            action.add_argument("--seconds", type=_seconds, default=2.0, help="for each signal")
            action.add_argument("--relay", action="store_true", help="open once in each direction")
        if name == "timeline":
            action.add_argument("--out", type=Path, default=Path("timeline.png"), metavar="PNG")
            action.add_argument("--last", type=float, default=10.0, help="seconds to show")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"more than 0, at most {LONGEST_S:g}")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(f"idgate gate: {error}", file=sys.stderr)
        return 2
    act, _ = _ACTIONS[arguments.action]
    try:
        return act(config, arguments)
    except HalError as error:
        print(f"idgate gate: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"idgate gate: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def _gpio(config: Config) -> Gpio:
    return make_gpio(config.gpio, config.simulation, Path(config.base_dir))


def _safe(config: Config, _arguments: argparse.Namespace) -> int:
    names = _names(config.gpio)
    for pin in make_safe(_gpio(config), config.gpio):
        print(f"{names[pin]} (GPIO{pin}): inactive, then let go")
    return 0


def _inputs(config: Config, arguments: argparse.Namespace) -> int:
    gpio = _gpio(config)
    fitted = lines(config.gpio)
    if not fitted:
        print("idgate gate: no input is fitted", file=sys.stderr)
    known: dict[str, bool] = {}
    try:
        for line in fitted:
            gpio.setup_input(line.pin, pull=line.pull)
        while True:
            for line in fitted:
                level = gpio.read(line.pin)
                if known.get(line.name) != level:
                    known[line.name] = level
                    _show(line, level=level, as_json=arguments.json)
            if not arguments.watch:
                return 0
            time.sleep(WATCH_S)
    except KeyboardInterrupt:
        return 0
    finally:
        gpio.close()


def _show(line: Line, *, level: bool, as_json: bool) -> None:
    active = level == line.active
    if as_json:
        row = {"input": line.name, "pin": line.pin, "high": level, "active": active}
        print(json.dumps(row), flush=True)
        return
    state, name = "ACTIVE" if active else "at rest", "high" if level else "low"
    print(f"{line.name:<10} GPIO{line.pin:<3} {name:<5} {state}", flush=True)


def _test(config: Config, arguments: argparse.Namespace) -> int:
    gate = Gate(_gpio(config), config.gpio, config.gate, lambda event: print(f"  input: {event}"))
    with gate:
        gate.ready(ready=True)
        for signal in PATTERNS:
            print(signal.value, flush=True)
            gate.signal(signal)
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


def _timeline(config: Config, arguments: argparse.Namespace) -> int:
    picture = draw_record(config, arguments.last)
    if picture is None:
        print(
            "idgate gate: only a simulated gate with simulation.pins_file has a record of its pins",
            file=sys.stderr,
        )
        return 2
    picture.save(arguments.out)
    print(arguments.out)
    return 0


def _names(settings: GpioConfig) -> dict[int, str]:
    """Return what the output pins are called in the settings."""
    fields = ("relay", "relay_out", "green", "red", "buzzer", "ready", "wiegand_d0", "wiegand_d1")
    pins = outputs(settings)
    return {pin: name for name in fields if (pin := getattr(settings, name)) in pins}


_ACTIONS: dict[str, tuple[Callable[[Config, argparse.Namespace], int], str]] = {
    "safe": (_safe, "put every output into its safe state and let go of it"),
    "inputs": (_inputs, "show what every input reads"),
    "test": (_test, "show every signal on the lamps and the buzzer"),
    "timeline": (_timeline, "draw the recorded edges of a simulated gate as a picture"),
}
