"""What the documents claim: tables agree with the code, links lead somewhere, commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent import cli
from agent.policy.profile import SHIPPED
from agent.reason import DESCRIPTIONS
from tests.docs import configuration
from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("models/*.md")])
README = (ROOT / "README.md").read_text("utf-8")


def test_the_configuration_page_is_the_codes() -> None:
    shown = configuration.PAGE.read_text("utf-8")
    assert shown == configuration.render(), "run: python -m tests.docs.configuration"


def test_every_reason_stands_in_the_readme() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.+?) \|$", README, re.MULTILINE))
    expected = {reason.value: text for reason, text in DESCRIPTIONS.items()}
    assert {name: rows.get(name) for name in expected} == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target and not target.startswith("mailto:"):
            assert (page.parent / target).exists(), target


def anchors(page: Path) -> set[str]:
    """Return what a page's headings are called in links."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", page.read_text("utf-8")):
        if "://" not in target:
            assert anchor in anchors(page.parent / target if target else page), (target, anchor)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path) -> None:
    """Every `idgate WORD` in code exists; `./setup.sh WORD` too."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    help_text = (ROOT / "setup.sh").read_text("utf-8")
    for block in blocks:
        for word in re.findall(r"(?:^|[\s`(])idgate (?!idgate)([a-z]+)\b", block):
            assert word in {*cli.COMMANDS, cli.HELP}, block
        for word in re.findall(r"\./setup\.sh(?: --dry-run)? ([a-z][a-z0-9-]*)", block):
            assert re.search(rf"^    {word}\)", help_text, re.MULTILINE), block


def test_every_place_of_use_stands_in_the_readme() -> None:
    assert [name for name in SHIPPED if f"`{name}`" not in README] == []


WORDS = [*PAGES, *sorted(ROOT.glob("agent/**/*.py")), ROOT / "setup.sh"]


@pytest.mark.parametrize("page", WORDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_nobody_is_sent_to_a_registry_for_this_program(page: Path) -> None:
    """It is not there, and whoever takes the name there would be installed as root."""
    text = page.read_text("utf-8")
    assert re.findall(r"pip3? install[^\n`]*['\" ]idgate(?![\w/-])[^\n`]*", text) == []
    # In a message: by which Python. A bare `pip` is another's, or refused (PEP 668).
    if page.suffix == ".py":
        assert re.findall(r"^.*(?<!-m )pip install.*$", text, re.MULTILINE) == []
