"""`idgate demo`: a day at two simulated gates; with `--camera`, one's own phone before a webcam."""

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
    parser.add_argument(
        "--phone",
        action="store_true",
        help="a desk, a gate and your own phone before this machine's webcam, instead",
    )
    parser.add_argument(
        "--address",
        default="",
        metavar="IP",
        help="with --phone: this machine's on the phone's network; default: looked up",
    )
    eye = parser.add_mutually_exclusive_group()
    eye.add_argument(
        "--camera",
        metavar="CAMERA",
        help="as --phone, before this webcam: a number or a path below /dev; default: 0, the first",
    )
    eye.add_argument(
        "--frames",
        type=Path,
        metavar="FILE",
        help="with --phone: two gates before a picture, folder or video; default: the webcam",
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
    if arguments.phone or arguments.camera is not None:
        return _phone(arguments, directory)
    show = Show(directory, fast=arguments.fast, broker=arguments.broker, console=Console(width=150))
    try:
        return 0 if show.run().agrees else 1
    except (StageError, ValueError, OSError) as error:
        print(f"idgate demo: {error}", file=sys.stderr)
        return 1 if isinstance(error, StageError) else 2


def _phone(arguments: argparse.Namespace, directory: Path) -> int:
    """Play with the visitor's own phone; 0 ended by the keyboard, 1 a part fails, 2 usage."""
    from rich.console import Console

    from agent.demo.eye import open_eye
    from agent.demo.phone import PhoneShow, own_address
    from agent.demo.stage import StageError
    from hal.errors import HalError

    address = arguments.address or own_address()
    if address.startswith("127."):
        print("no network: only a browser on this machine reaches the wallet", file=sys.stderr)
    try:
        eye = open_eye(arguments.frames, arguments.camera or "0")
    except (StageError, HalError) as error:
        print(f"idgate demo: {error}", file=sys.stderr)
        return 2
    try:
        with PhoneShow(directory, address=address, eye=eye, console=Console()) as show:
            show.play()
    except KeyboardInterrupt:
        print(f"\nended; what was made is in {directory}")
        return 0
    except (StageError, ValueError, OSError) as error:
        print(f"idgate demo: {error}", file=sys.stderr)
        return 1 if isinstance(error, StageError) else 2
    return 0
