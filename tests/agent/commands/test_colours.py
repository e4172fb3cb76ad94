"""Colours: where they are wanted, and that the words stay."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent.commands import colours
from agent.commands.doctor import MARKS
from tests.support.paths import ROOT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "when", "environ", "coloured"),
    [
        (True, "auto", {}, True),
        (False, "auto", {}, False),
        (True, "auto", {"TERM": "xterm"}, True),
        (True, "auto", {"TERM": "dumb"}, False),
        (True, "auto", {"NO_COLOR": "1"}, False),
        (True, "auto", {"NO_COLOR": "0"}, False),
        (True, "auto", {"NO_COLOR": ""}, True),
        (False, "auto", {"FORCE_COLOR": "1"}, True),
        (False, "auto", {"FORCE_COLOR": ""}, False),
        (False, "auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, True),
        (True, "auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (False, "always", {"NO_COLOR": "1"}, True),
        (True, "never", {"FORCE_COLOR": "1"}, False),
    ],
)
def test_when(terminal: bool, when: str, environ: dict[str, str], coloured: bool) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert colours.wanted(stream, when, environ) is coloured


@pytest.mark.parametrize("state", MARKS)
def test_the_word_stays_and_the_colour_ends(state: str) -> None:
    painted = colours.paint(MARKS[state], state)
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == MARKS[state]
    assert painted.startswith("\x1b[")
    assert painted.endswith("\x1b[0m")


def test_each_state_has_a_colour_of_its_own() -> None:
    assert len({colours.paint("x", state) for state in MARKS}) == len(MARKS) == 4


def doctor(tmp_path: Path, *words: str, terminal: bool = False, **environ: str) -> str:
    """Run `idgate doctor` on a terminal or a pipe; return what it wrote."""
    config = tmp_path / "config.toml"
    config.write_text(
        '[gate]\nsite = "s"\ngate = "g"\n[[camera]]\ndriver = "simulated"\n'
        '[gpio]\ndriver = "simulated"\n'
    )
    command = [sys.executable, "-m", "agent.cli", "doctor", "--no-hardware"]
    command += ["--config", str(config), *words]
    clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "FORCE_COLOR", "TERM"}}
    ours, theirs = pty.openpty() if terminal else os.pipe()
    with os.fdopen(ours, "rb", buffering=0) as out:
        process = subprocess.Popen(
            command, stdout=theirs, env=clean | {"PYTHONPATH": str(ROOT)} | environ
        )
        os.close(theirs)
        found = b""
        try:
            while data := out.read(65_536):
                found += data
        except OSError:  # how a terminal ends
            assert terminal
        assert process.wait(60) in {0, 1}
    return found.decode()


def test_doctor_colours_a_terminal_and_nothing_else(tmp_path: Path) -> None:
    plain = doctor(tmp_path)
    assert "\x1b" not in plain
    assert re.search(r"^ok    disk", plain, re.MULTILINE)
    shown = doctor(tmp_path, terminal=True, TERM="xterm")
    assert "\x1b[32mok  \x1b[0m  disk" in shown
    assert doctor(tmp_path, terminal=True, TERM="xterm", NO_COLOR="1").count("\x1b") == 0
    assert "\x1b[32mok" in doctor(tmp_path, "--color", "always")
    assert "\x1b" not in doctor(tmp_path, "--color", "always", "--json")
