"""The `idgate` command: one module of `agent.commands` a subcommand, imported only when chosen.

Each module offers `add_arguments(parser)` and `run(arguments) -> int`; the exit codes are those of
`agent.exits`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from agent import __version__
from agent.exits import Exit

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "run": "run the gate daemon",
    "scan": "decode QR codes in image files with the daemon's own cascade",
    "verify": "verify a payload offline and say what the gate would decide",
    "issue": "make issuer keys, credentials and presentations for pilots and tests",
    "holidays": "read a holiday calendar into a site profile",
    "trust": "publish, update and show the trust set",
    "finger": "enrol and test with the fingerprint module",
    "face": "enrol, compare and evaluate faces",
    "models": "list, verify and add TFLite models",
    "gate": "hardware helpers: put every pin into its safe state, read the inputs",
    "fleet": "collect, watch, export, simulate and command gates over MQTT",
    "doctor": "check every part of this gate and say what to do",
    "demo": "play a day at two simulated gates",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="idgate",
        description="Offline gate verifier: signed QR identities, face and finger on the device.",
    )
    parser.add_argument("--version", action="version", version=f"idgate {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        if name == chosen:
            module = importlib.import_module(f"agent.commands.{name}")
            module.add_arguments(sub)
    arguments = parser.parse_args(words)
    module = importlib.import_module(f"agent.commands.{arguments.command}")
    return _guarded(module.run, arguments)


def _guarded(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; an end that is none of its own is one line or none, and an exit code."""
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Who read the output has enough; what is left in the buffer must not be flushed at it.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        return Exit.NO_READER
    except Exception as error:  # noqa: BLE001 - a traceback may quote input, and says exit code 1
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = ", ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        fault = f"{type(error).__name__} at {where}"
        sys.stderr.write(f"idgate {arguments.command}: internal fault: {fault}\n")
        return Exit.FAULT


if __name__ == "__main__":
    sys.exit(main())
