"""A profile says what is wrong with it in one line; its bounds are where the page says."""

from __future__ import annotations

import pytest

from agent.policy.profile import ProfileError, parse_profile
from tests.agent.policy.support import RULES

BAD = [
    ("name = 1", "name"),
    (RULES.replace("online-id", "x"), r"kinds\[0\]: .*allowed: online-id, "),
    (RULES + "levle = 2", "levle.*allowed: name, title, formats"),
    (RULES + "level = 3", "key level: .* <= 2"),
    (RULES + 'biometric = "voice"', "key biometric: .*allowed: none, face, finger, both, either"),
    (RULES + 'hours = [{ days = ["mon"], opens = "08:00" }]', r"key hours\[0\]: .*`opens`"),
    (RULES + 'hours = [{ days = ["monday"] }]', r"key hours\[0\].days\[0\]: .*allowed: mon, tue"),
    (RULES + "level = ", "not TOML: Invalid value"),
    (RULES.encode() + b"# \xff", "not TOML: 'utf-8' codec can't decode byte 0xff"),
    (RULES + "x = " + "[" * 5_000, "not TOML"),
    *(
        (RULES + f'timezone = "{name}"', f"^place.toml: key timezone: '{name}' is not an IANA time zone$")
        for name in ("Mars/Olympus", "America", "/etc/hosts", "../UTC")
    ),
    *(
        (
            RULES + f'hours = [{{ days = ["mon"] }}, {{ days = ["mon"], open = "20:00", close = "{close}" }}]',
            f"^place.toml: key hours: 20:00 is not before {close}; write a night as two stretches$",
        )
        for close in ("06:00", "20:00")
    ),
    (RULES + 'exceptions = [{ date = 2026-12-24, open = "14:00", close = "02:00" }]', "^place.toml: key exceptions: 14:00 is not before 02:00; write a night as two stretches$"),
    (RULES + 'exceptions = [{ date = 2026-12-24, close = "00:00" }]', "^place.toml: key exceptions: 00:00 is not before 00:00;"),
    (RULES + 'exceptions = [{ date = 2026-12-24, open = "24:00" }]', "^place.toml: key exceptions: 24:00 is not before 24:00;"),
    (RULES + 'exceptions = [{ date = 2026-12-24, close = "14:00" }, { date = 2026-12-24 }]', "^place.toml: key exceptions: 2026-12-24 is both closed and open$"),
    (RULES + "exceptions = [{ date = 2026-12-24T00:00:00 }]", r"^place.toml: key exceptions\[0\].date: "),
    (RULES + 'exceptions = [{ date = "tomorrow" }]', r"^place.toml: key exceptions\[0\].date: "),
    (RULES + "exceptions = [{}]", r"^place.toml: key exceptions\[0\]: .*`date`"),
    *(
        (RULES + f'needs = ["face", "{need}"]', f"^place.toml: key needs: '{need[:40]}' is no need; known: birth-date, face, finger, name, age-N \\(1 to 150\\)$")
        for need in ("", "Face", "birthdate", "names", "age", "age-0", "age-018", "age-151", "age-18 ", "face,name", "age-" + "1" * 40)
    ),
    *(
        (RULES + f"{key} = [1]", f'^place.toml: key {key}: "pretix" is not among the formats$')
        for key in ("pretix_items", "pretix_variations", "pretix_subevents")
    ),
    *(
        (RULES + f'formats = ["pretix"]\n{key} = []', f"^place.toml: key {key}: no number; leave it out for all$")
        for key in ("pretix_items", "pretix_variations", "pretix_subevents")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD, ids=[row[1] for row in BAD])
def test_a_bad_profile_is_one_clear_line(text: str | bytes, message: str) -> None:
    with pytest.raises(ProfileError, match=message) as error:
        parse_profile(text, source="place.toml")
    assert str(error.value).startswith("place.toml: ")
    assert "\n" not in str(error.value)


BOUNDS = [
    ("level", ["1", "2"], ["0", "3"]),
    ("reuse_s", ["0", "0.5"], ["-0.5"]),
    ("minimum_age", ["0", "120"], ["-1", "121"]),
    ("needs", ["[]", str(["face"] * 16), '["birth-date", "face", "finger", "name", "age-1", "age-99", "age-100", "age-150"]'], [str(["face"] * 17), '"face"', "[18]"]),
    ("anti_passback_s", ["0", "0.5"], ["-0.5"]),
    ("unsensed", ['"passed"', '"close"'], ['"open"', '""']),
    ("hours", [
        '[{ days = ["mon"], open = "00:00", close = "00:01" }]',
        '[{ days = ["mon"], open = "09:59", close = "10:00" }]',
        '[{ days = ["mon"], open = "19:00", close = "20:00" }]',
        '[{ days = ["mon"], open = "23:59", close = "24:00" }]',
    ], [
        '[{ days = ["mon"], open = "9:00" }]',
        '[{ days = ["mon"], open = "12:60" }]',
        '[{ days = ["mon"], close = "24:01" }]',
        '[{ days = ["mon"], close = "25:00" }]',
        '[{ days = ["mon"], close = "30:00" }]',
        '[{ days = ["mon"], close = "012:00" }]',
        '[{ days = ["mon"], close = "12:000" }]',
        '[{ days = ["mon"], close = "124:00" }]',
        '[{ days = ["mon"], open = "08:00\\n" }]',
        '[{ days = ["mon"], close = "24:00\\n" }]',
        '[{ days = ["mon"], open = "0\u0668:00" }]',
    ]),
    ("exceptions", [
        "[{ date = 2026-12-24 }]",
        '[{ date = "2026-12-24", name = "Christmas" }]',
        '[{ date = 2026-12-24, open = "23:59" }]',
        '[{ date = 2026-12-24, close = "00:01" }]',
        '[{ date = 2026-12-24, open = "00:00", close = "24:00" }]',
        "[" + "{ date = 2026-12-24 }," * 1_024 + "]",
        f'[{{ date = 2026-12-24, name = "{"x" * 128}" }}]',
    ], [
        "[{ date = 20261224 }]",
        '[{ date = 2026-12-24, open = "9:00" }]',
        '[{ date = 2026-12-24, close = "24:01" }]',
        "[" + "{ date = 2026-12-24 }," * 1_025 + "]",
        f'[{{ date = 2026-12-24, name = "{"x" * 129}" }}]',
        "[{ date = 2026-12-24, opens = 1 }]",
    ]),
    ("ticket_use", ['"once"', '"many"'], ['"never"', "1"]),
    ('formats = ["native", "pretix"]\npretix_items', ["[0]", "[1, 9223372036854775807]", f"[{'1,' * 256}]"], []),
    ("pretix_items", [], ["[-1]", "[9223372036854775808]", f"[{'1,' * 257}]", "[1.0]", '["1"]', "1"]),
    ("pretix_variations", [], ["[-1]", "[9223372036854775808]", f"[{'1,' * 257}]"]),
    ("pretix_subevents", [], ["[-1]", "[9223372036854775808]", f"[{'1,' * 257}]"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "inside", "outside"), BOUNDS, ids=[row[0].replace("\n", ", ") for row in BOUNDS]
)
def test_bounds(key: str, inside: list[str], outside: list[str]) -> None:
    for value in inside:
        parse_profile(RULES + f"{key} = {value}", source="p")
    for value in outside:
        with pytest.raises(ProfileError, match=f"^p: key {key}"):
            parse_profile(RULES + f"{key} = {value}", source="p")


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("A", True), ("7", True), ("a.B_9-c", True), ("a" * 128, True),
        ("", False), ("a\\n", False), ("a" * 129, False), (".a", False), ("-a", False), ("a b", False), ("é", False),
    ],
)  # fmt: skip
def test_names(name: str, good: bool) -> None:
    text = RULES.replace('name = "t"', f'name = "{name}"')
    if good:
        assert parse_profile(text, source="p").name == name
    else:
        with pytest.raises(ProfileError, match=r"^p: key name: "):
            parse_profile(text, source="p")
