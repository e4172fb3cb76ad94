"""The pages name only ways that work: each command in them is one that the program takes.

A line of a block is parsed whole, with the command's own parser; a word in the text by what of it is
there: the command, its action, its options. What such a line would create is not for a commit.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import shutil
import string
import subprocess
from pathlib import Path

import pytest

from agent.cli import COMMANDS, make_parser
from tests.support.paths import ROOT

PAGES = sorted(
    [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"],
    key=lambda page: page.name,
)
PARSER = make_parser(COMMANDS)
BLOCK = re.compile(r"^```(?:sh|text)?\n(.*?)^```|((?:^ {4}\S.*\n)+)", re.MULTILINE | re.DOTALL)
WORD = re.compile(r"`(?:sudo )?idgate ([^`\n]+)`")


def block_lines(page: Path) -> list[list[str]]:
    """Return the words of each command in a block, from the program's name on."""
    found: list[list[str]] = []
    known: dict[str, str] = {}
    for fenced, indented in BLOCK.findall(page.read_text("utf-8")):
        for line in (fenced or indented).replace("\\\n", " ").splitlines():
            bare = re.sub(r"\s+#.*$", "", line.strip())
            if shell := re.fullmatch(r'([a-z]+)="(.*)"', bare):
                known[shell[1]] = string.Template(shell[2]).substitute(known)
                continue
            bare = string.Template(bare).safe_substitute(known)
            start = re.match(r"(?:sudo (?:-u idgate )?)?(?=idgate )", bare)
            if start and "..." not in bare and "|" not in bare:
                found.append(shlex.split(re.sub(r"[;>&].*$", "", bare[start.end() :]))[1:])
    return found


LINES = [
    pytest.param(words, id=f"{page.name}: {' '.join(words)[:60]}")
    for page in PAGES
    for words in block_lines(page)
]
SPANS = [
    pytest.param(words, id=f"{page.name}: {words[:60]}")
    for page in PAGES
    for words in dict.fromkeys(WORD.findall(page.read_text("utf-8")))
]


def choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def test_there_is_something_to_look_at() -> None:
    assert len(LINES) > 40
    assert len(SPANS) > 40


@pytest.mark.parametrize("words", LINES)
def test_a_line_of_a_block_is_taken_as_it_stands(words: list[str], capsys) -> None:
    code = 0
    with contextlib.suppress(SystemExit):
        code = 2
        PARSER.parse_args(words)
        code = 0
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize("text", SPANS)
def test_a_command_in_the_text_is_there(text: str) -> None:
    parser: argparse.ArgumentParser = PARSER
    words = text.replace("\\|", "|").split()
    while offered := choices(parser):
        if not words or words[0].startswith(("-", "...")) or words[0].isupper():
            break
        names = words.pop(0).split("|")
        assert set(names) <= set(offered), f"{text}: {names} of {sorted(offered)}"
        parser = offered[names[0]]
    known = set(parser._option_string_actions)
    for word in words:
        if word.startswith("--"):
            assert word.partition("=")[0] in known, f"{text}: {word} of {sorted(known)}"


MADE_BY = {"--out", "--keys", "--png", "--csv", "--parquet", "--plot", "--database", "--trust"}


def made(words: list[str]) -> set[str]:
    """Return the relative paths that a command of a page would create or ask for as a secret."""
    found = {words[at + 1] for at, word in enumerate(words[:-1]) if word in MADE_BY}
    found |= {words[at + 1] for at, word in enumerate(words[:-1]) if word == "--password-file"}
    if words[:2] == ["trust", "init"]:
        found |= {words[2], f"{words[2]}-keys"}
    if words[:2] == ["trust", "update"]:
        found.add(words[2])
    return {path for path in found if not path.startswith(("/", "~")) and not path.isupper()}


@pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="not a git checkout"
)
def test_what_the_pages_let_one_create_is_not_for_a_commit() -> None:
    paths = sorted(set().union(*(made(param.values[0]) for param in LINES)))
    assert {"repo", "repo-keys", "cache", "keys", "cards", "code.png"} <= set(paths)
    # A folder's pattern needs the folder, or the slash that stands for one.
    asked = "\n".join(path for name in paths for path in (name, f"{name}/x")).encode()
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=ROOT, input=asked, capture_output=True, check=False,
    )  # fmt: skip
    ignored = set(done.stdout.decode().splitlines())
    assert [name for name in paths if not {name, f"{name}/x"} & ignored] == []
