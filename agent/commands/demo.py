"""`idgate demo`: a day at two simulated gates."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--fast", action="store_true", help="no pauses for the eye")
    parser.add_argument(
        "--broker", metavar="URL", default="", help="mqtt://HOST[:PORT]; default: an embedded one"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where pictures and state go; default: a new one"
    )


def run(arguments: argparse.Namespace) -> int:
    """Play; 0 everything agrees, 1 it does not, 2 usage."""
    from rich.console import Console

    from agent import log
    from agent.demo.show import Show
    from agent.demo.stage import StageError

    log.configure(level="error", style="console")
    directory: Path = arguments.out or Path(tempfile.mkdtemp(prefix="idgate-demo-"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"idgate demo: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    show = Show(directory, fast=arguments.fast, broker=arguments.broker, console=Console(width=150))
    try:
        return 0 if show.run().agrees else 1
    except (StageError, ValueError, OSError) as error:
        print(f"idgate demo: {error}", file=sys.stderr)
        return 1 if isinstance(error, StageError) else 2
