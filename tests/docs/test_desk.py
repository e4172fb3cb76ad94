"""What the desk's page says of roles and pages is what the table says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
