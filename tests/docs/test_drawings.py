"""The drawings are well-formed, need nothing from outside, and agree with the settings' defaults."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from agent.gatekeeper.signals import PATTERNS
from agent.settings.model import GpioConfig
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
DRAWINGS = sorted((DOCS / "images").glob("*.svg"))


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.name)
def test_a_drawing_stands_alone(path: Path) -> None:
    text = path.read_text("utf-8")
    assert ET.fromstring(text).tag.endswith("svg")
    assert re.findall(r'(?:href|src)="(?!#)', text) == []
    pages = "".join(page.read_text("utf-8") for page in [*DOCS.glob("*.md"), DOCS / "../README.md"])
    assert f"images/{path.name}" in pages


def test_the_header_shows_the_default_pins() -> None:
    """Each name stands in the row of its GPIO."""
    root = ET.fromstring((DOCS / "images/header.svg").read_text("utf-8"))
    texts = [(each.text, each.get("x"), each.get("y")) for each in root.iter() if each.text]
    rows: dict[tuple[str, bool], list[str]] = {}
    for text, x, y in texts:
        if x and y:
            rows.setdefault((y, float(x) < 315), []).append(text)
    shown = {
        word: next(each for each in row if each.startswith("GPIO"))
        for row in rows.values()
        if any(each.startswith("GPIO") for each in row)
        for word in row
    }
    settings = GpioConfig()
    for name in (
        "relay",
        "green",
        "red",
        "buzzer",
        "ready",
        "passage",
        "fire",
        "tamper",
        "release",
    ):
        assert shown[name] == f"GPIO{getattr(settings, name)}"


def test_the_lamp_table_has_a_line_for_every_signal() -> None:
    """A signal that nobody wrote down is one that no operator understands."""
    table = (DOCS / "operation.md").read_text("utf-8").split("## What the lamps say")[1]
    rows = [line for line in table.split("##")[0].splitlines() if line.startswith("| ")]
    assert len(rows) - 1 == len(PATTERNS) + 1  # heading; and dark, which is no signal
