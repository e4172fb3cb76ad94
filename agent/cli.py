"""The `idgate` command: one module of `agent.commands` a subcommand, imported only when chosen.

Each module offers `add_arguments(parser)` and `run(arguments) -> int`; the exit codes are those of
`agent.exits`. What all share is here and in `agent.commands.parser`, `.output` and `.values`.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Collection, Sequence

from agent import __version__, exits
from agent.commands.output import OutputLost, end_of_output, own_streams
from agent.commands.parser import PROGRAM, Parser
from agent.exits import Exit

__all__ = ["COMMANDS", "HELP", "main", "make_parser"]

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
    "journal": "show, export and search the journal; find or erase a person's rows",
    "desk": "run a place's desk: members, cards and phones, the trust set, the gates",
    "join": "let this gate join a desk",
    "fleet": "collect, watch, export, simulate and command gates over MQTT",
    "doctor": "check every part of this gate and say what to do",
    "demo": "play a day at two simulated gates",
}
HELP = "help"
"""The word that asks for a command's help; no module of its own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Raises:
        SystemExit: help was asked for, or the words are a mistake (exit code 2).
    """
    if argv is None:
        own_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _main(words)
        finally:
            sys.stdout.flush()
    except OutputLost as lost:
        return end_of_output(lost)


def make_parser(loaded: Collection[str]) -> Parser:
    """Return the whole parser, with the arguments of those commands that are named."""
    parser = Parser(
        prog=PROGRAM,
        description="Offline gate verifier: signed QR identities, face and finger on the device.",
        epilog="`idgate help COMMAND` or `idgate COMMAND --help` say more of each.",
    )
    parser.add_argument("--version", action="version", version=f"idgate {__version__}")
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True
    )
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary)
        if name in loaded:
            importlib.import_module(f"agent.commands.{name}").add_arguments(sub)
    helper = commands.add_parser(HELP, help="show the help of a command")
    helper.add_argument("words", nargs="*", metavar="COMMAND", help="a command, and its action")
    return parser


def _main(words: list[str]) -> int:
    if words[:1] == [HELP] and words[1:] not in (["-h"], ["--help"]):
        words = [*words[1:], "--help"]
    chosen = next((word for word in words if not word.startswith("-")), "")
    arguments = make_parser({chosen}).parse_args(words)
    module = importlib.import_module(f"agent.commands.{arguments.command}")
    return _guarded(module.run, arguments)


def _guarded(run: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; an end that is none of its own is one line, and an exit code."""
    try:
        return run(arguments)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OutputLost:
        raise
    except Exception as error:  # noqa: BLE001 - said in one line that quotes no input, and coded
        code, line = exits.ending(error)
        sys.stderr.write(f"idgate {arguments.command}: {line}\n")
        return code


if __name__ == "__main__":
    sys.exit(main())
