"""docs/adding-a-driver.md, carried out to the letter in a copy of the source."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "adding-a-driver.md"
BLOCK = re.compile(
    r"<!-- (?P<verb>file|insert|replace): (?P<path>\S+)(?: (?:after|line): (?P<line>.+?))? -->\n"
    r"```python\n(?P<body>.*?)```\n",
    re.DOTALL,
)


def test_the_walk_through_holds(tmp_path: Path) -> None:
    for package in ("agent", "hal", "tests/hal", "tests/support"):
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__", "test_*"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    blocks = list(BLOCK.finditer(PAGE.read_text("utf-8")))
    assert [block["verb"] for block in blocks] == [
        "file", "replace", "replace", "insert", "insert", "file",
    ]  # fmt: skip
    for block in blocks:
        carry_out(block, tmp_path / block["path"])
    driver, tests = (str(tmp_path / blocks[index]["path"]) for index in (0, -1))
    run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests)
    changed = [str(tmp_path / block["path"]) for block in blocks[:-1]]
    run(tmp_path, "-m", "ruff", "check", "--no-cache", *changed)
    run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", *changed, tests)
    run(tmp_path, "-m", "mypy", "--cache-dir", str(tmp_path / "mypy"), driver)


def carry_out(block: re.Match[str], path: Path) -> None:
    """Write a file, put lines behind the one that is named, or in its place; it must be there once."""
    if block["verb"] == "file":
        assert not path.exists()
        path.write_text(block["body"])
        return
    lines = path.read_text().splitlines(keepends=True)
    (at,) = [number for number, line in enumerate(lines) if line.strip() == block["line"]]
    keep = at + (block["verb"] == "insert")
    path.write_text("".join([*lines[:keep], block["body"], *lines[at + 1 :]]))


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
