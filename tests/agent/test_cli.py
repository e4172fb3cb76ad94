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
    told = " ".join(capsys.readouterr().out.split())
    assert f"idgate {name}" in told
    assert f"{cli.COMMANDS[name][1:]}." in told  # QR and MQTT stay what they are


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


def test_a_fault_is_one_line_without_its_text_and_exits_70(monkeypatch, capsys) -> None:
    from agent.commands import issue

    monkeypatch.setattr(issue, "run", lambda _arguments: int("Maria 19900101"))
    assert cli.main(["issue", "present", "card"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("idgate issue: internal fault: ValueError at ")
    assert err.count("\n") == 1
    assert "Maria" not in err


def test_who_reads_only_the_first_lines_sees_no_traceback(tmp_path) -> None:
    (tmp_path / "trust").mkdir()
    command = [sys.executable, "-m", "agent.cli", "verify", "--trust", "trust", "-"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"?\n")
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"denied")
        process.stdout.close()
        process.stdin.write(b"?\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait(10) == 141


def test_the_demo_needs_a_place_to_write(tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["demo", "--out", str(tmp_path / "file")]) == 2
    assert f"{tmp_path / 'file'}: File exists" in capsys.readouterr().err
