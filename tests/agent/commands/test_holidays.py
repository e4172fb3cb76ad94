"""`idgate holidays`: a calendar into a profile, again and again, and nothing else of it touched."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path

import pytest

from agent import cli
from agent.policy.profile import parse_profile

CALENDAR = """BEGIN:VCALENDAR
BEGIN:VEVENT
DTSTART;VALUE=DATE:20201225
RRULE:FREQ=YEARLY
SUMMARY:"Christ\\\\mas"
END:VEVENT
BEGIN:VEVENT
DTSTART;VALUE=DATE:20270101
SUMMARY:New Year
END:VEVENT
BEGIN:VEVENT
DTSTART:20270102T100000Z
SUMMARY:Concert
END:VEVENT
END:VCALENDAR
"""
PROFILE = """# a pool
name = "pool"
title = "Pool"
kinds = ["library-card"]

[kind_names]
"urn:x" = "library-card"   # the last table is another
"""
WINDOW = ("--from", "2026-12-01", "--until", "2027-11-30")


@pytest.fixture
def calendar(tmp_path: Path) -> Path:
    (tmp_path / "c.ics").write_text(CALENDAR)
    return tmp_path / "c.ics"


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    (tmp_path / "pool.toml").write_text(PROFILE)
    return tmp_path / "pool.toml"


def run(*words: object) -> int:
    return cli.main(["holidays", *map(str, words)])


def days(path: Path) -> dict[str, str]:
    found = parse_profile(path.read_text(), source="p").exceptions
    assert all(day.stretch is None for day in found)
    return {day.date.isoformat(): day.name for day in found}


def test_it_prints_tables_that_go_behind_a_profile(calendar, capsys) -> None:
    assert run(calendar, *WINDOW) == 0
    shown = capsys.readouterr()
    assert tomllib.loads(PROFILE + shown.out)["exceptions"] == [
        {"date": dt.date(2026, 12, 25), "name": '"Christ\\mas"'},
        {"date": dt.date(2027, 1, 1), "name": "New Year"},
    ]
    assert shown.err == "idgate holidays: 1 events with a time of day left out\n"


def test_it_writes_them_again_without_ever_having_them_twice(calendar, profile, capsys) -> None:
    profile.chmod(0o640)
    assert run(calendar, "--profile", profile, *WINDOW) == 0
    once = profile.read_text()
    assert capsys.readouterr().out == f"{profile}: 2 holidays from 2026-12-01 until 2027-11-30\n"
    assert once.startswith(PROFILE.rstrip())
    assert days(profile) == {"2026-12-25": '"Christ\\mas"', "2027-01-01": "New Year"}
    assert run(calendar, "--profile", profile, *WINDOW) == 0
    assert profile.read_text() == once
    assert run(calendar, "--profile", profile, "--from", "2027-12-01", "--until", "2028-01-01") == 0
    assert days(profile) == {"2027-12-25": '"Christ\\mas"'}
    assert run(calendar, "--profile", profile, "--from", "2027-12-26", "--until", "2027-12-26") == 0
    assert profile.read_text().strip() == PROFILE.strip()
    assert profile.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in sorted(profile.parent.iterdir())] == ["c.ics", "pool.toml"]


def test_what_stands_behind_them_stays(calendar, profile) -> None:
    run(calendar, "--profile", profile, *WINDOW)
    profile.write_text(profile.read_text() + "[[exceptions]]\ndate = 2027-05-01\n")
    assert run(calendar, "--profile", profile, *WINDOW) == 0
    assert days(profile).keys() == {"2026-12-25", "2027-01-01", "2027-05-01"}


def test_the_profiles_own_exception_of_a_date_goes_first(calendar, profile, capsys) -> None:
    own = '\n[[exceptions]]\ndate = 2026-12-25\nopen = "10:00"\nclose = "12:00"\n'
    profile.write_text(PROFILE + own)
    assert run(calendar, "--profile", profile, *WINDOW) == 0
    assert capsys.readouterr().out.startswith(f"{profile}: 1 holidays")
    christmas, new_year = parse_profile(profile.read_text(), source="p").exceptions
    assert (christmas.stretch, new_year.stretch) == (("10:00", "12:00"), None)


def test_the_time_is_this_year_and_the_two_after_it(tmp_path, capsys) -> None:
    path = tmp_path / "c.ics"
    path.write_text(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20000101\n"
        "RRULE:FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=31\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    before = dt.datetime.now().astimezone().year
    assert run(path) == 0
    years = [day["date"].year for day in tomllib.loads(capsys.readouterr().out)["exceptions"]]
    assert years in ([*range(before, before + 3)], [*range(before + 1, before + 4)])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("{}/none.ics",), "{}/none.ics: No such file or directory"),
        (("{}",), "{}: Is a directory"),
        (("{}/pool.toml",), "{}/pool.toml: line 1: no property of a calendar"),
        (("{}/c.ics", "--profile", "{}/none.toml"), "{}/none.toml: No such file or directory"),
        (
            ("{}/c.ics", "--from", "2027-01-02", "--until", "2027-01-01"),
            "--from 2027-01-02 --until 2027-01-01: at most 20 years, in order",
        ),
        (
            ("{}/c.ics", "--from", "2027-01-02", "--until", "2048-01-01"),
            "--from 2027-01-02 --until 2048-01-01: at most 20 years, in order",
        ),
        (
            ("{}/c.ics", "--profile", "{}/inline.toml", "--from", "2026-12-01"),
            "{}/inline.toml with the holidays: not TOML: Cannot mutate immutable namespace",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line_and_changes_nothing(
    calendar, profile, capsys, words, told
) -> None:
    inline = profile.with_name("inline.toml")
    inline.write_text(PROFILE.replace("[kind", "exceptions = [{ date = 2026-05-01 }]\n[kind"))
    before = {path.name: path.read_bytes() for path in profile.parent.iterdir()}
    assert run(*(word.format(profile.parent) for word in words)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"idgate holidays: {told.format(profile.parent)}")
    assert {path.name: path.read_bytes() for path in profile.parent.iterdir()} == before


def test_a_date_that_is_none_is_told_as_every_other_option(calendar, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        run(calendar, "--from", "soon")
    assert end.value.code == 2
    assert "--from" in capsys.readouterr().err
