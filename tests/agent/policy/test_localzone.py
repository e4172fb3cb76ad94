"""The gate's own time zone: where it is looked for, and that a bad one is never taken for UTC."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from importlib import resources
from pathlib import Path

import pytest

from agent.policy import load
from agent.policy.load import own_zone_for
from agent.policy.localzone import ZoneError, own_zone
from agent.policy.profile import ProfileError, parse_profile
from tests.agent.policy.support import RULES

SUMMER = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
WINTER = dt.datetime(2026, 12, 1, 12, tzinfo=dt.UTC)
TOKYO = resources.files("tzdata").joinpath("zoneinfo/Asia/Tokyo").read_bytes()


def offsets(zone: dt.tzinfo) -> tuple[float, float]:
    """Return the hours ahead of UTC in summer and in winter."""
    return tuple(  # type: ignore[return-value]
        when.astimezone(zone).utcoffset() / dt.timedelta(hours=1)  # type: ignore[operator]
        for when in (SUMMER, WINTER)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/share/zoneinfo/Asia").mkdir(parents=True)
    (tmp_path / "usr/share/zoneinfo/Asia/Tokyo").write_bytes(TOKYO)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "ahead", "name"),
    [
        ("America/Los_Angeles", (-7, -8), "America/Los_Angeles"),
        (":Europe/Berlin", (2, 1), "Europe/Berlin"),
        ("UTC", (0, 0), "UTC"),
        ("", (0, 0), "UTC"),
        (":", (0, 0), "UTC"),
        ("/usr/share/zoneinfo/Asia/Tokyo", (9, 9), "Asia/Tokyo"),
        (":/usr/share/zoneinfo/Asia/Tokyo", (9, 9), "Asia/Tokyo"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", (2, 1), "CET-1CEST,M3.5.0,M10.5.0/3"),
        ("<+0330>-3:30", (3.5, 3.5), "<+0330>-3:30"),
        ("EST5", (-5, -5), "EST5"),
    ],
)
def test_what_the_environment_says_goes_first(root, words, ahead, name):
    (root / "etc/localtime").write_bytes(b"not looked at")
    zone = own_zone({"TZ": words}, root)
    assert (offsets(zone), str(zone)) == (ahead, name)


def test_a_rule_holds_before_and_after_any_list_of_changes():
    zone = own_zone({"TZ": "CET-1CEST,M3.5.0,M10.5.0/3"})
    for year in (1970, 2026, 2400):
        assert dt.datetime(year, 7, 1, tzinfo=zone).utcoffset() == dt.timedelta(hours=2)
        assert dt.datetime(year, 12, 1, tzinfo=zone).utcoffset() == dt.timedelta(hours=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("Mars/Olympus", "TZ: 'Mars/Olympus' is not an IANA time zone"),
        ("CET-1CEST", "TZ: 'CET-1CEST' is not an IANA time zone"),
        ("../etc/localtime", "TZ: '../etc/localtime' is not an IANA time zone"),
        ("EST5\n", "TZ: 'EST5\\n' is not an IANA time zone"),
        ("EST5\u0660", "TZ: 'EST5\u0660' is not an IANA time zone"),
        ("/nowhere", "TZ=/nowhere: No such file or directory"),
        ("/etc", "TZ=/etc: Is a directory"),
        ("/etc/localtime", "TZ=/etc/localtime: is no compiled time zone"),
    ],
)
def test_an_environment_that_cannot_be_understood(root, words, told):
    (root / "etc/localtime").write_bytes(b"nothing")
    with pytest.raises(ZoneError) as error:
        own_zone({"TZ": words}, root)
    assert str(error.value) == told


def test_a_link_into_the_database_has_a_name_and_a_copy_has_the_files(root):
    local = root / "etc/localtime"
    local.symlink_to("../usr/share/zoneinfo/Asia/Tokyo")
    assert (offsets(own_zone({}, root)), str(own_zone({}, root))) == ((9, 9), "Asia/Tokyo")
    local.unlink()
    local.write_bytes(TOKYO)
    (root / "etc/timezone").write_text("America/Los_Angeles\n")  # the other one counts first
    assert (offsets(own_zone({}, root)), str(own_zone({}, root))) == ((9, 9), "/etc/localtime")


def test_the_name_is_what_stands_behind_the_last_folder_of_the_database(root):
    folder = root / "zoneinfo/zoneinfo/Asia"
    folder.mkdir(parents=True)
    (folder / "Seoul").write_bytes(TOKYO)
    (root / "etc/localtime").symlink_to("../zoneinfo/zoneinfo/Asia/Seoul")
    assert str(own_zone({}, root)) == "Asia/Seoul"


def test_it_is_read_anew_each_time(root):
    local = root / "etc/localtime"
    local.write_bytes(TOKYO)
    assert offsets(own_zone({}, root)) == (9, 9)
    local.write_bytes(resources.files("tzdata").joinpath("zoneinfo/Etc/GMT+3").read_bytes())
    assert offsets(own_zone({}, root)) == (-3, -3)


def test_without_the_file_the_name_counts_and_without_either_it_is_utc(root):
    (root / "etc/timezone").write_text(" Asia/Tokyo \n")
    assert str(own_zone({}, root)) == "Asia/Tokyo"
    (root / "etc/timezone").unlink()
    assert own_zone({}, root) is dt.UTC


@pytest.mark.parametrize("size", [0, 3, 20, 43, 60, len(TOKYO) - 30])
def test_a_file_cut_short_is_not_utc(root, size):
    (root / "etc/localtime").write_bytes(TOKYO[:size])
    with pytest.raises(ZoneError, match=r"^/etc/localtime: is no compiled time zone$"):
        own_zone({}, root)


def test_no_more_of_a_file_is_read_than_a_zone_can_have(root):
    with (root / "etc/localtime").open("wb") as file:
        file.truncate(2**34)
    with pytest.raises(ZoneError, match=r"^/etc/localtime: is no compiled time zone$"):
        own_zone({}, root)
    (root / "etc/localtime").write_bytes(TOKYO + bytes(10**6))
    assert offsets(own_zone({}, root)) == (9, 9)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("timezone", b"Mars/Olympus\n", "/etc/timezone: 'Mars/Olympus' is not an IANA time zone"),
        ("timezone", b"", "/etc/timezone: '' is not an IANA time zone"),
        ("timezone", b"\xff\xfe", "/etc/timezone: is no compiled time zone"),
    ],
)
def test_a_name_that_is_none(root, name, content, told):
    (root / "etc" / name).write_bytes(content)
    with pytest.raises(ZoneError) as error:
        own_zone({}, root)
    assert str(error.value) == told


@pytest.mark.parametrize("name", ["localtime", "timezone"])
def test_what_cannot_be_opened(root, name):
    (root / "etc" / name).mkdir()
    with pytest.raises(ZoneError, match=f"^/etc/{name}: Is a directory$"):
        own_zone({}, root)


def test_a_dangling_link_is_not_utc(root):
    (root / "etc/localtime").symlink_to("../usr/share/zoneinfo/Europe/Nowhere")
    with pytest.raises(ZoneError, match=r"^/etc/localtime: No such file or directory$"):
        own_zone({}, root)


HOURS = 'hours = [{ days = ["mon"] }]\n'


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        ("", False),
        (HOURS, True),
        ("exceptions = [{ date = 2026-12-25 }]\n", True),
        ("minimum_age = 1\n", True),
        (HOURS + 'timezone = "Europe/Berlin"\n', False),
        ('minimum_age = 1\ntimezone = "Europe/Berlin"\n', False),
    ],
)
def test_the_system_is_asked_only_by_a_profile_that_needs_it(monkeypatch, lines, asked):
    profile = parse_profile(RULES + lines, source="p")
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    expected = zoneinfo.ZoneInfo("America/Los_Angeles") if asked else dt.UTC
    assert own_zone_for(profile) == expected
    monkeypatch.setenv("TZ", "Mars/Olympus")
    if not asked:
        assert own_zone_for(profile) is dt.UTC
        return
    with pytest.raises(ProfileError) as error:
        load.own_zone_for(profile)
    assert str(error.value) == (
        "profile t: key timezone: it names none, and the gate's own cannot be told: TZ: "
        "'Mars/Olympus' is not an IANA time zone; name one, or run `timedatectl set-timezone`"
    )
