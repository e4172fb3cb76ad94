"""What the desk's page says of roles and pages is what the table says."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from agent.desk.settings import DeskSettings
from agent.desk.staff import LONGEST_SESSION_S, Role
from agent.desk.taken import KEPT_S
from agent.desk.web.app import TABLE

PAGE = Path(__file__).parents[2].joinpath("docs", "desk.md").read_text("utf-8")
LISTED = {
    path: frozenset(Role(word.strip()) for word in roles.split(","))
    for path, roles in re.findall(r"^\| `(/[^`]*)` \| ([a-z, ]+) \|$", PAGE, re.MULTILINE)
}


def test_every_page_of_the_table_is_as_it_is_enforced():
    enforced = {row.path: row.roles for row in TABLE if row.method == "GET"}
    assert len(LISTED) > 10
    assert {path: enforced[path] for path in LISTED} == LISTED


def test_no_page_of_the_menu_is_left_out():
    from agent.desk.web.texts import load_texts

    menu = {page["path"] for group in load_texts("en").menu for page in group["pages"]}
    assert menu <= LISTED.keys()


@pytest.mark.parametrize("role", Role)
def test_every_role_is_told(role):
    assert f"| {role} | " in PAGE


def test_times_are_those_of_the_code():
    assert LONGEST_SESSION_S == 12 * 3_600
    assert "after twelve hours" in PAGE
    assert KEPT_S == 600
    assert "until the offer, ten minutes at most" in PAGE


def keys(structure: type[msgspec.Struct], before: str = "") -> dict[str, object]:
    """Return the keys of a structure of settings, with their defaults; tables of their own by their keys."""
    found: dict[str, object] = {}
    for field in msgspec.structs.fields(structure):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found |= keys(field.type, f"{before}{field.name}.")
        else:
            found[before + field.name] = field.default
    if not before:
        del found["folder"]  # never in the file
    return found


def test_every_setting_has_a_line_with_its_default():
    section = PAGE.split("\n## Settings\n")[1].split("\n## ")[0]
    told: dict[str, str] = {}
    for names, default in re.findall(
        r"^\| ((?:`[a-z_.]+`(?:, )?)+) \| (.*?) ?\| ", section, re.MULTILINE
    ):
        told |= dict.fromkeys(re.findall(r"`([a-z_.]+)`", names), default)
    wanted = keys(DeskSettings)
    assert told.keys() == wanted.keys()
    for name, default in wanted.items():
        match default:
            case bool():
                text = str(default).lower()
            case tuple():
                text = ", ".join(f"`{one}`" for one in default)
            case str():
                text = default and f"`{default}`"
            case int():
                text = str(default)
            case None:
                text = ""
            case _:
                text = "needed"
        assert told[name] == text, name
