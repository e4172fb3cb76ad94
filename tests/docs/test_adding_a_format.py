"""docs/adding-a-format.md, carried out to the letter in a copy of the source."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "adding-a-format.md"
BLOCK = re.compile(
    r"<!-- (?P<verb>file|insert): (?P<path>\S+?)(?: after: (?P<line>.+?))? -->\n```python\n(?P<body>.*?)```\n",
    re.DOTALL,
)


def test_the_walk_through_holds(tmp_path: Path) -> None:
    for package in ("agent", "hal", "tests/agent/credential", "tests/support"):
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__", "test_*"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    blocks = list(BLOCK.finditer(PAGE.read_text("utf-8")))
    assert [block["verb"] for block in blocks] == ["file", "insert", "insert", "file"]
    for block in blocks:
        carry_out(tmp_path / block["path"], block["line"], block["body"])
    made = tmp_path / blocks[0]["path"]
    tests = tmp_path / blocks[-1]["path"]
    run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
    run(tmp_path, "-m", "ruff", "check", "--no-cache", str(made))
    run(tmp_path, "-m", "ruff", "format", "--no-cache", "--check", str(made))


def carry_out(path: Path, after: str | None, body: str) -> None:
    """Write a file, or put lines after the one that is named, which must stand there once."""
    if after is None:
        assert not path.exists()
        path.write_text(body)
        return
    lines = path.read_text().splitlines(keepends=True)
    (at,) = [number for number, line in enumerate(lines) if line.strip() == after]
    path.write_text("".join([*lines[: at + 1], body, *lines[at + 1 :]]))


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
