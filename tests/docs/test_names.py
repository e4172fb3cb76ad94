"""Names of modules in pages and in the code's own words: what was moved or renamed is found here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.sources import is_module, source
from tests.support.paths import ROOT

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/**/*.md")]
CODE = [path for top in ("agent", "hal") for path in (ROOT / top).rglob("*.py")]
DOTTED = re.compile(r"`((?:agent|hal)(?:\.\w+)+)")
FILE = re.compile(r"`((?:agent|hal|tests)(?:/[\w.-]+)+)")
MADE_BY_THE_READER = re.compile(r"membercard|lineboard")
"""What the walk-throughs of `adding-a-format.md` and `adding-a-driver.md` tell the reader to write."""


def stale(text: str) -> list[str]:
    """Return the names in backticks that are nowhere: a dotted one must be where it is defined."""
    names = [name for name in DOTTED.findall(text) if not is_defined(name)]
    files = [name.rstrip(".") for name in FILE.findall(text)]
    names += [
        name for name in files if not ((ROOT / name).exists() or (ROOT / f"{name}.py").exists())
    ]
    return [name for name in names if not MADE_BY_THE_READER.search(name)]


def is_defined(name: str) -> bool:
    """Return whether it is a module, or what one defines: `Name`, or `Class.member`."""
    module, inside = name, ""
    while not is_module(module):
        module, _, last = module.rpartition(".")
        inside = f"{last}.{inside}".rstrip(".")
    return not inside or inside in source(module).defined


@pytest.mark.parametrize("kind", [PAGES, CODE], ids=["pages", "code"])
def test_names_are_where_they_are_said_to_be(kind: list[Path]) -> None:
    assert len(kind) > 20
    found = {path: stale(path.read_text("utf-8")) for path in kind}
    assert {str(path.relative_to(ROOT)): names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("`agent.policy.judge`, `agent.policy.judge.Judge` and `agent/policy/judge.py`", []),
        ("`agent.verify`", ["agent.verify"]),
        ("`agent.policy.judge.Jury`", ["agent.policy.judge.Jury"]),
        ("`agent.trust.roster.TrustError`", ["agent.trust.roster.TrustError"]),  # defined elsewhere
        ("`agent/profiles/library.toml`", ["agent/profiles/library.toml"]),
        ("`tests/agent/policy`", []),
    ],
)
def test_a_stale_name_is_found(text: str, names: list[str]) -> None:
    assert stale(text) == names
