"""The command line: usage errors, versions, and imports that stay lazy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agent import __version__, cli
from agent.reason import DESCRIPTIONS, Reason


@pytest.mark.parametrize("words", [[], ["nonsense"], ["verify", "--nonsense"]])
def test_usage_errors_exit_2(words: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert "usage: idgate" in capsys.readouterr().err


def test_version(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"idgate {__version__}\n"


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(name: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([name, "--help"])
    assert stop.value.code == 0
    assert f"idgate {name}" in capsys.readouterr().out


def test_help_imports_no_heavy_library() -> None:
    heavy = (
        "numpy cv2 cryptography paho structlog zxingcpp ai_edge_litert tflite_runtime tuf sqlite3"
    )
    code = (
        "import sys; from agent import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([n for n in {heavy.split()!r} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_every_reason_is_described() -> None:
    assert set(DESCRIPTIONS) == set(Reason)
    assert all(text.endswith(".") for text in DESCRIPTIONS.values())
