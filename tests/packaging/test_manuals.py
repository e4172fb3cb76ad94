"""Manual pages and completion: what is shipped is what the parsers make, and shells take it."""

from __future__ import annotations

import gzip
import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli import COMMANDS
from tests.support.paths import ROOT

SCRIPT = ROOT / "packaging/manuals.py"
INSTALL = ROOT / "packaging/install-manuals"
REMAKE = "stale; make it anew: .venv/bin/python packaging/manuals.py"


def load():
    spec = importlib.util.spec_from_file_location("idgate_manuals", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


manuals = load()


def compare(made: dict[Path, str], folder: Path) -> None:
    there = {path: path.read_text("utf-8") for path in folder.glob("*")}
    assert sorted(there) == sorted(made), REMAKE
    for path, text in made.items():
        assert there[path] == text, f"{path.relative_to(ROOT)}: {REMAKE}"


def test_the_manual_pages_are_those_that_the_parsers_make(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # of no concern to what is made
    compare(manuals.manuals(), ROOT / "packaging/man")


def test_the_completion_is_what_the_parsers_make(monkeypatch) -> None:
    pytest.importorskip("shtab", reason="shtab is not installed: pip install -e '.[test]'")
    monkeypatch.setenv("COLUMNS", "200")
    compare(manuals.completions(), ROOT / "packaging/completions")


def test_a_page_says_what_help_says() -> None:
    page = (ROOT / "packaging/man/idgate-fleet.1").read_text("utf-8")
    assert '.SH "ACTION send"' in page
    assert "\\fB\\-\\-broker\\fR \\fIURL\\fR" in page
    assert "(default: mqtt://localhost:1883)" in page
    assert ".SH EXIT STATUS" in page
    assert "idgate fleet watch" in page.replace("\\-", "-")
    for name in COMMANDS:
        assert f".BR idgate\\-{name} (1)" in (ROOT / "packaging/man/idgate.1").read_text("utf-8")


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("path", sorted((ROOT / "packaging/man").glob("*.1")), ids=lambda p: p.name)
def test_groff_takes_each_page_without_a_warning(path: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-rLL=78n", path],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in re.sub(".\b", "", done.stdout)  # bold is a letter struck twice


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("idgate tr", {"trust"}),
        ("idgate fleet se", {"send"}),
        ("idgate fleet send --bro", {"--broker"}),
        ("idgate trust add-ro", {"add-root", "add-roster"}),
        ("idgate issue key city --algorithm E", {"ES256", "ES384", "EdDSA"}),
        ("idgate verify --config ./set", {"./settings.toml"}),
        ("idgate trust show ./tr", {"./trust"}),
        ("idgate doctor --config settings.toml --no-h", {"--no-hardware"}),
    ],
)
def test_bash_completes(words: str, offered: set[str], tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("")
    (tmp_path / "trust").mkdir()
    script = (
        f"source {shlex.quote(str(ROOT / 'packaging/completions/idgate'))}\n"
        f"COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))\n"
        "function=$(complete -p idgate | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        '"$function" 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert set(done.stdout.split()) == offered


@pytest.mark.parametrize(
    ("shell", "name"), [("bash", "idgate"), ("zsh", "_idgate"), ("fish", "idgate.fish")]
)
def test_each_shell_can_read_its_completion(shell: str, name: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", ROOT / "packaging/completions" / name], timeout=60, check=True)


@pytest.mark.parametrize(
    ("prefix", "zsh"), [("/usr", "vendor-completions"), ("/usr/local", "site-functions")]
)
def test_they_are_put_into_a_tree_and_taken_away(prefix: str, zsh: str, tmp_path: Path) -> None:
    subprocess.run([INSTALL, tmp_path, prefix], timeout=60, check=True)
    share = tmp_path / prefix[1:] / "share"
    page = gzip.decompress((share / "man/man1/idgate-verify.1.gz").read_bytes())
    assert page == (ROOT / "packaging/man/idgate-verify.1").read_bytes()
    assert (share / "bash-completion/completions/idgate").is_file()
    assert (share / "zsh" / zsh / "_idgate").is_file()
    assert (share / "fish/vendor_completions.d/idgate.fish").is_file()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(COMMANDS) + 1 + 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}
    subprocess.run([INSTALL, "--remove", tmp_path, prefix], timeout=60, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
