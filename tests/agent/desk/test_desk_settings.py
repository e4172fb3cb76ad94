"""`desk.toml`: what is wrong is one line that names the file and the key."""

from __future__ import annotations

import re

import pytest

from agent.desk.desk import ISSUER_KEY, SITE_KEY, open_desk
from agent.desk.settings import DeskSettingsError, load_desk
from tests.support.desks import a_desk

LEAST = '[place]\nsite = "library"\nname = "Library"\n[issuer]\nname = "town"\niss = "urn:town"\n'


def test_the_least_is_enough_and_the_rest_has_defaults(tmp_path) -> None:
    file = tmp_path / "desk.toml"
    file.write_text(LEAST)
    found = load_desk(file)
    assert (found.issuer.kinds, found.issuer.basic_days, found.issuer.batch) == (
        ("library-card",), 90, 5,
    )  # fmt: skip
    assert (found.rules.offer_s, found.rules.transaction_tries, found.status.size) == (
        600, 5, 65_536,
    )  # fmt: skip
    assert len({found.web.staff, found.web.issuer, found.web.wallet}) == 3
    assert found.path("x") == tmp_path.resolve() / "x"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "missing required field `place`"),
        ("[place", "Expected ']'"),
        (LEAST + "[web]\nstaff = 'desk'\n", "$.web.staff"),
        (LEAST + "[web]\nissuer = 'https://desk/'\n", "$.web.issuer"),
        (LEAST + "[rules]\noffer_s = 5\n", "$.rules.offer_s"),
        (LEAST + "[rules]\ntransaction_tries = 0\n", "$.rules.transaction_tries"),
        (LEAST + "[status]\nsize = 8\n", "$.status.size"),
        (LEAST + "[place.more]\nx = 1\n", "unknown field `more`"),
        (LEAST + "batch = 0\n", "$.issuer.batch"),
        (LEAST + "kinds = ['bus-pass']\n", "bus-pass"),
        (LEAST.replace('"library"', '"Li brary"'), "$.place.site"),
        ('folder = "/"\n' + LEAST, "got `str` - at `$.folder`"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, text, told) -> None:
    file = tmp_path / "desk.toml"
    file.write_text(text)
    with pytest.raises(DeskSettingsError) as refused:
        load_desk(file)
    line = str(refused.value)
    assert line.startswith(f"{file}: ")
    assert told in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "desk.toml").unlink(), "desk.toml: No such file"),
        (lambda folder: (folder / SITE_KEY).unlink(), f"{SITE_KEY}: No such file"),
        (lambda folder: (folder / SITE_KEY).chmod(0o644), f"{SITE_KEY}: others may read it"),
        (lambda folder: (folder / SITE_KEY).write_bytes(b"x"), "a site key has 32 bytes, not 1"),
        (lambda folder: (folder / ISSUER_KEY).write_bytes(b"x"), ISSUER_KEY),
        (lambda folder: (folder / "desk.sqlite").write_bytes(b"x" * 200), "not a database"),
    ],
)
def test_a_folder_that_is_not_whole_is_one_line(tmp_path, spoil, told) -> None:
    a_desk(tmp_path / "d").close()
    spoil(tmp_path / "d")
    with pytest.raises(DeskSettingsError, match=re.escape(told)) as refused:
        open_desk(tmp_path / "d" / "desk.toml")
    assert "\n" not in str(refused.value)


def test_a_desk_shows_no_key_and_closes_twice(tmp_path) -> None:
    desk = a_desk(tmp_path / "d")
    assert "SiteKey" not in repr(desk)
    assert "SigningKey" not in repr(desk)
    desk.close()
    desk.close()
