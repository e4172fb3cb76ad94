"""What lies in tests/data may be passed on: its licence is beside it and the page names its source."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT, VECTORS

PAGE = (ROOT / "tests/data/README.md").read_text()
FOLDERS = sorted(path for path in VECTORS.iterdir() if path.is_dir())
BEGINNINGS = {
    "MIT": "MIT License",
    "Apache-2.0": "Apache License\n",
    "Unlicense": "This is free and unencumbered software",
    "Revised BSD": "Copyright (c)",
}


def rows(table: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| `")
    ]


def test_each_folder_has_a_row_and_nothing_else_has() -> None:
    named = [row[0].strip("`") for row in rows(PAGE.split("\n## ")[0])]
    assert named == [f"vectors/{path.name}" for path in FOLDERS]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_folder_carries_the_licence_of_its_row(folder: Path) -> None:
    (row,) = [row for row in rows(PAGE) if row[0] == f"`vectors/{folder.name}`"]
    _, what, source, commit, licence = row
    assert what
    assert re.fullmatch(r"[\w-]+/[\w.-]+", source.split(",")[0])
    assert re.fullmatch(r"`[0-9a-f]{40}`", commit)
    (beginning,) = [text for name, text in BEGINNINGS.items() if licence.startswith(name)]
    assert (folder / "LICENSE").read_text().lstrip().startswith(beginning)


def test_each_thing_that_a_test_may_miss_is_on_the_page() -> None:
    """A skip sends its reader there."""
    missing = [row[0].strip("`").removesuffix("*") for row in rows(PAGE.split("\n## ")[1])]
    asked = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r'\bshared\(f?"([^"{]+)', path.read_text())
    }
    assert asked
    for name in asked:
        assert any(name.startswith(known) or known.startswith(name) for known in missing), name
