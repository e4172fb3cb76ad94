"""What a contributor's editor, hooks and pages are told: that it is so, and that it is one thing."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from fnmatch import translate
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
SCREEN = 70
ADR = ROOT / "docs/adr"
RECORDS = sorted(path.name for path in ADR.glob("*.md") if path.name != "README.md")
HEADINGS = ["Context", "Decision", "Consequences", "To undo it"]
DATA = {".json", ".toml", ".yaml", ".yml"}
"""Where indentation is all structure, so that its width can be judged line by line."""
PRAGMA = re.compile(r"  # (noqa|type: ignore|fmt: skip).*$")
"""Not counted into a line's length, as ruff does not."""


# --- .editorconfig


@cache
def sections() -> list[tuple[re.Pattern[str], dict[str, str]]]:
    """Return the patterns of .editorconfig with what they say, in order."""
    parser = configparser.ConfigParser()
    text = (ROOT / ".editorconfig").read_text("utf-8")
    parser.read_string(f"[top]\n{text}")
    names = [name for name in parser.sections() if name != "top"]
    return [(re.compile("|".join(map(glob, braces(name)))), dict(parser[name])) for name in names]


def braces(pattern: str) -> list[str]:
    """Return the patterns that `{a,b}` stands for; one pair of braces."""
    found = re.fullmatch(r"(.*)\{(.+)\}(.*)", pattern)
    if found is None:
        return [pattern]
    return [found[1] + word + found[3] for word in found[2].split(",")]


def glob(pattern: str) -> str:
    """Return a regular expression: without a slash in the pattern it is of the name alone."""
    if "/" not in pattern:
        return rf"(?:.*/)?{translate(pattern)}"
    return translate(pattern)  # its star goes through slashes, as `**` should; `*` need not here


def asked(path: str) -> dict[str, str]:
    """Return what .editorconfig says of a file; the last section that speaks wins."""
    return {
        key: value
        for pattern, values in sections()
        if pattern.fullmatch(path)
        for key, value in values.items()
    }


def complaints(path: str, data: bytes) -> list[str]:
    """Return how a text file differs from what is asked of it."""
    rules, wrong = asked(path), []
    try:
        text = data.decode(rules["charset"])
    except UnicodeDecodeError:
        return ["charset"]
    if text.startswith("\ufeff"):
        wrong.append("byte order mark")
    if rules["end_of_line"] == "lf" and "\r" in text:
        wrong.append("end of line")
    if rules["insert_final_newline"] == "true" and text and not text.endswith("\n"):
        wrong.append("final newline")
    for number, line in enumerate(text.split("\n"), 1):
        wrong += [f"{number}: {what}" for what in in_line(path, line.removesuffix("\r"), rules)]
    return wrong


def in_line(path: str, line: str, rules: dict[str, str]) -> list[str]:
    """Return what is wrong with one line."""
    wrong = []
    indent = line[: len(line) - len(line.lstrip(" \t"))]
    if rules["trim_trailing_whitespace"] == "true" and line != line.rstrip():
        wrong.append("trailing whitespace")
    if rules["indent_style"] == "space" and "\t" in indent:
        wrong.append("tab")
    if rules["indent_style"] == "tab" and indent.startswith("  "):
        wrong.append("spaces")
    if Path(path).suffix in DATA and len(indent) % int(rules["indent_size"]):
        wrong.append("indent")
    limit = rules.get("max_line_length", "off")
    if limit != "off" and len(PRAGMA.sub("", line)) > int(limit):
        wrong.append("line too long")
    return wrong


@pytest.mark.parametrize(
    ("path", "data", "wrong"),
    [
        ("a.py", b"x = 1\n", []),
        ("a.py", b"", []),
        ("a.py", b"x = 1", ["final newline"]),
        ("a.py", b"x = 1\r\n", ["end of line"]),
        ("a.py", b"\xef\xbb\xbfx = 1\n", ["byte order mark"]),
        ("a.py", b"x = '\xe9'\n", ["charset"]),
        ("a.py", b"x = 1 \n", ["1: trailing whitespace"]),
        ("a.py", b"if x:\n\ty = 1\n", ["2: tab"]),
        ("agent/a.py", b"x" * 101 + b"\n", ["1: line too long"]),
        ("agent/a.py", b"x" * 99 + b"  # noqa: E501\n", []),
        ("tests/scan/a.py", b"x" * 101 + b"\n", []),
        ("docs/a.md", b"x" * 101 + b"\n", []),
        ("docs/a.yml", b"a:\n   - b\n", ["2: indent"]),
        ("agent/report/a.json", b'{\n  "a": 1\n}\n', []),
        ("setup.sh", b"if x; then\n\ty\nfi\n", ["2: tab"]),
        ("tests/pi/virtual_camera/heap.c", b"{\n\tint a;\n}\n", []),
        ("tests/pi/virtual_camera/heap.c", b"{\n    int a;\n}\n", ["2: spaces"]),
    ],
)
def test_what_the_editor_is_told_is_checked(path: str, data: bytes, wrong: list[str]) -> None:
    assert complaints(path, data) == wrong


@pytest.mark.parametrize(
    ("path", "width"),
    [("agent/cli.py", "4"), ("setup.sh", "4"), (".ci/run", "4"), ("README.md", "2"),
     ("pyproject.toml", "2"), ("docs/asyncapi.yaml", "2"), (".pre-commit-config.yaml", "2")],
)  # fmt: skip
def test_the_width_of_a_step(path: str, width: str) -> None:
    assert asked(path)["indent_size"] == width


def tracked() -> list[str]:
    """Return the files of this checkout; a copy of the source without git has none to tell."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_every_text_file_is_as_the_editor_would_leave_it() -> None:
    wrong, texts = {}, 0
    for name in tracked():
        data = (ROOT / name).read_bytes()
        if b"\0" in data[:8_000]:  # as git tells a picture or a network from a text
            continue
        if name.startswith(("tests/data/vectors/", "agent/wallet/vendor/")):  # as others wrote them
            continue
        texts += 1
        if found := complaints(name, data):
            wrong[name] = found[:5]
    assert wrong == {}
    assert texts > 300


# --- .pre-commit-config.yaml


def test_the_hook_is_the_check_and_nothing_else() -> None:
    """One local hook that fetches nothing: a second list of tools would drift from `check`."""
    text = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    assert "://" not in text
    config = yaml.safe_load(text)
    assert set(config) == {"repos"}
    (repo,) = config["repos"]
    assert (set(repo), repo["repo"]) == ({"repo", "hooks"}, "local")
    (hook,) = repo["hooks"]
    assert hook["language"] == "system"
    assert (hook["pass_filenames"], hook["always_run"]) == (False, True)
    assert "additional_dependencies" not in hook
    assert hook["entry"] == "./setup.sh check"
    assert hook["entry"] in (ROOT / ".ci/run").read_text("utf-8").splitlines()


def test_the_hooks_entry_runs_the_tools_of_the_venv(tmp_path: Path) -> None:
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    done = subprocess.run(
        [*repo["hooks"][0]["entry"].split(), "--dry-run"],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"IDGATE_VENV": str(tmp_path / "venv")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tools = re.findall(rf"^\+ {re.escape(str(tmp_path))}/venv/bin/(\S+)", done.stdout, re.MULTILINE)
    assert {"ruff", "mypy"} <= set(tools)


# --- CONTRIBUTING.md


def test_the_contributors_page_is_a_screen() -> None:
    assert len(CONTRIBUTING.read_text("utf-8").splitlines()) < SCREEN


def test_the_contributors_page_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", CONTRIBUTING.read_text("utf-8"))
    assert len(targets) > 5
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_contributors_page_names_the_two_commands_of_ci() -> None:
    two = {"./setup.sh check", "./setup.sh test"}
    run = {
        " ".join(line.split()[:2]) for line in (ROOT / ".ci/run").read_text("utf-8").splitlines()
    }
    assert two <= run
    page = CONTRIBUTING.read_text("utf-8")
    assert {command for command in two if re.search(f"^{command} ", page, re.MULTILINE)} == two


# --- docs/adr


def rows() -> dict[int, tuple[str, str]]:
    """Return number -> (title, file) as the index has them."""
    index = (ADR / "README.md").read_text("utf-8")
    found = re.findall(r"^\| (\d+) \| \[(.+)\]\(([^)]+)\) \| .+ \|$", index, re.MULTILINE)
    assert len({number for number, _, _ in found}) == len(found)
    return {int(number): (title, name) for number, title, name in found}


def test_decisions_are_numbered_without_a_gap() -> None:
    assert len(RECORDS) > 15
    assert [int(name[:4]) for name in RECORDS] == list(range(1, len(RECORDS) + 1))


def test_the_index_has_every_decision_under_its_own_title() -> None:
    titles = {}
    for name in RECORDS:
        first = (ADR / name).read_text("utf-8").splitlines()[0]
        number, title = re.fullmatch(r"# (\d+)\. (.+)", first).groups()
        assert int(number) == int(name[:4])
        titles[int(number)] = (title, name)
    assert rows() == titles


@pytest.mark.parametrize("name", RECORDS)
def test_a_decision_says_when_why_and_how_to_undo_it(name: str) -> None:
    text = (ADR / name).read_text("utf-8")
    assert re.search(r"^Status: \w+, \d{1,2} \w+ \d{4}\.", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
