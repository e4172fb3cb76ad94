"""The `idgate` command: one module of `agent.commands` a subcommand, imported only when chosen.

Each module offers `add_arguments(parser)` and `run(arguments) -> int`. Exit codes common to all:
0 done (or granted), 1 no (denied, failed checks), 2 usage or settings, 70 internal fault.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from agent import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "run": "run the gate daemon",
    "scan": "decode QR codes in image files with the daemon's own cascade",
    "verify": "verify a payload offline and say what the gate would decide",
    "issue": "make issuer keys, credentials and presentations for pilots and tests",
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
        sub = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        if name == chosen:
            module = importlib.import_module(f"agent.commands.{name}")
            module.add_arguments(sub)
    arguments = parser.parse_args(words)
    module = importlib.import_module(f"agent.commands.{arguments.command}")
    code: int = module.run(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
