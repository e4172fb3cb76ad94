"""docs/profiles.md: its table is the code's, its example is a profile that the code accepts."""

from __future__ import annotations

import re
import tomllib

import msgspec
import pytest
from msgspec import NODEFAULT

from agent.credential.model import Kind
from agent.policy.hours import hours_of
from agent.policy.profile import Profile, ProfileError, parse_profile
from agent.reason import Reason
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "profiles.md").read_text("utf-8")
EXAMPLE, EXCEPTIONS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
ROWS = dict(re.findall(r"^\| `(\w+)` \| (\S.*?) \| .* \|$", PAGE, re.MULTILINE))


def test_every_key_has_a_row_with_its_default() -> None:
    fields = {field.name: field for field in msgspec.structs.fields(Profile)}
    assert ROWS.keys() == fields.keys()
    for name, shown in ROWS.items():
        default = fields[name].default
        if default is NODEFAULT and fields[name].default_factory is not NODEFAULT:
            default = fields[name].default_factory()
        if default is NODEFAULT:
            assert shown == "required", name
        elif default is None:
            assert shown == "none", name
        else:
            value = tomllib.loads(f"value = {shown.strip('`')}")["value"]
            assert msgspec.convert(value, fields[name].type) == default, name


def test_the_example_is_a_profile() -> None:
    profile = parse_profile(EXAMPLE, source="page")
    assert (profile.name, profile.minimum_age, len(profile.hours)) == ("pool", 18, 2)
    with pytest.raises(ProfileError, match="minimum_agee"):
        parse_profile(EXAMPLE.replace("minimum_age", "minimum_agee"), source="page")


def test_the_example_of_exceptions_goes_behind_a_profile() -> None:
    profile = parse_profile(EXAMPLE + EXCEPTIONS, source="page")
    christmas, new_years_eve = (hours_of(profile, day.date) for day in profile.exceptions)
    assert (christmas, new_years_eve) == ((), (("08:00", "14:00"),))


def test_every_kind_and_reason_named_is_one() -> None:
    (kinds,) = re.findall(r"\nKinds:(.*?)\n\n", PAGE, re.DOTALL)
    assert set(re.findall(r"`([a-z-]+)`", kinds)) == {*Kind}
    reasons = {reason.value for reason in Reason}
    named = set(re.findall(r"(?:else|or|is|as|without a reference) `([a-z]+_[a-z_]+)`", PAGE))
    assert len(named) >= 10
    assert named <= reasons
