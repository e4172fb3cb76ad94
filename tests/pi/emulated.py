"""A whole emulated Raspberry Pi with the agent on it, checked from outside.

    ./setup.sh emulated-pi [--page] [--fresh] [--keep]

Makes the card (`image`), boots it in QEMU (`qemu`), and plays the story (`story`) at its pins, its UART,
its camera and its network. Exit code 0: every check is good. With --page docs/emulated-pi.md gets the
run's tables and picture. The run has a network and processes of its own (`outside`), and whatever it
started ends with it, also at Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.pi import image, outside, premises, report, tree
from tests.pi.chapters import CHAPTERS
from tests.pi.guest import Console, GuestError
from tests.pi.lane import Failed, Lane
from tests.pi.pins import Pins
from tests.pi.qemu import Card, Emulator, EmulatorError
from tests.pi.story import Story

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs/emulated-pi.md"
PICTURE = CHECKOUT / "docs/images/emulated-pi.png"
OUTPUTS = (premises.RELAY, premises.GREEN, premises.RED, premises.BUZZER, premises.READY)


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(f"emulated-pi: {text}", file=sys.stderr, flush=True)


def play(card: Card, private: Path, folder: Path, *, page: bool) -> int:
    """Boot the card and play the story; return how many checks failed.

    Args:
        card: what to boot.
        private: the site's keys.
        folder: for everything that the run writes.
        page: write the page too.
    """
    from hal.simulated.fingerprint import SimulatedFingerprint
    from hal.simulated.fingerprint_script import Script

    with contextlib.ExitStack() as ends:
        module = ends.enter_context(
            SimulatedFingerprint(Script(variant=premises.FAMILY), baud=premises.BAUD)
        )
        view = outside.View()
        fleet = outside.Fleet(folder, private / "certs")
        ends.callback(fleet.close)
        board = Emulator(card, module.open_pty(), folder)
        ends.callback(board.close)
        console = Console(board.console, folder / "console.log")
        ends.callback(console.close)
        pins = Pins(board.qtest, OUTPUTS)
        ends.callback(pins.close)
        lane = Lane(pins, console, fleet, view, say)
        lane.rest()
        story = Story(lane, board, module, private, board.go())
        try:
            for title, rises, chapter in CHAPTERS:
                story.tell(title, rises, chapter)
        except (Failed, GuestError, EmulatorError, RuntimeError) as error:
            story.check("the gate goes on", str(error), False)
        ended = time.monotonic()
        watch = report.Watch(pins.looks, ended - story.began, pins.longest_gap_s, pins.gap_at)
        text = report.render(words(), story, watch, "images/emulated-pi.png")
        print(text)
        picture = PICTURE if page else folder / "pins.png"
        report.plot(picture, pins.changes, story.marks, story.began, ended)
        if page:
            report.put_into(PAGE, text)
        return sum(not check.good for check in story.checks)


def words() -> str:
    """Return the machine and the emulator in words."""
    from tests.bench.stages import words as machine

    version = subprocess.run(
        ["qemu-system-aarch64", "--version"], check=True, capture_output=True, text=True
    ).stdout.split()[3]
    return f"{machine()}; QEMU {version.partition('(')[0]}"


def arguments_of(words_given: list[str]) -> argparse.Namespace:
    """Parse the command line; the last two options are for the run's own second half."""
    parser = argparse.ArgumentParser(
        prog="setup.sh emulated-pi", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--page", action="store_true", help="write docs/emulated-pi.md again")
    parser.add_argument("--fresh", action="store_true", help="make the card anew")
    parser.add_argument("--keep", action="store_true", help="keep the run's files, and say where")
    parser.add_argument("--card", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(words_given)


def main() -> int:
    arguments = arguments_of(sys.argv[1:])
    if arguments.card is not None:
        card, site_folder = image.files(arguments.card), arguments.card / "site"
        failed = play(card, site_folder, arguments.folder, page=arguments.page)
        say(f"{failed} checks failed" if failed else "every check is good")
        return 1 if failed else 0
    began = time.monotonic()
    try:
        card, _ = image.card(fresh=arguments.fresh)
    except tree.TreeError as error:
        say(str(error))
        return 2
    say(f"the card is there after {time.monotonic() - began:.0f} s")
    folder = Path(tempfile.mkdtemp(prefix="idgate-pi-"))
    inside = [sys.executable, "-m", "tests.pi.emulated", *sys.argv[1:]]
    inside += ["--card", str(card.image.parent), "--folder", str(folder)]
    try:
        return subprocess.run(outside.in_own_network(inside), check=False, cwd=CHECKOUT).returncode
    finally:
        if arguments.keep:
            say(f"kept {folder}")
        else:
            shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
