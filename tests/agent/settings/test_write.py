"""Writing settings: what a person wrote stays, and the result says what it should."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.settings.load import parse
from agent.settings.write import merged, to_toml

_TEMPLATE = Path(__file__).resolve().parents[3] / "systemd/config.toml"
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES = st.one_of(_TEXT, st.booleans(), st.integers(-(2**40), 2**40), st.lists(_TEXT, max_size=3))
_KEYS = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_TABLES = st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=4), max_size=3)


@settings(max_examples=60, deadline=None)
@given(_TABLES)
def test_what_is_written_is_read(tables) -> None:
    assert tomllib.loads(to_toml(tables)) == tables


@settings(max_examples=60, deadline=None)
@given(_TABLES, _TABLES)
def test_what_is_merged_is_both_and_the_second_wins(first, second) -> None:
    both = {name: {**first.get(name, {}), **second.get(name, {})} for name in {**first, **second}}
    assert tomllib.loads(merged(to_toml(first), second)) == both


def test_the_installed_settings_keep_their_wires_and_comments() -> None:
    before = _TEMPLATE.read_text()
    text = merged(
        before,
        {
            "gate": {"site": "lib", "gate": "north", "profile": "library"},
            "trust": {"signed": True, "directory": "/var/lib/idgate/trust-set"},
            "mqtt": {"url": "mqtts://broker:8883"},
        },
    )
    config = parse(text, source="made")
    assert (config.gate.site, config.gate.gate, config.gate.direction) == ("lib", "north", "in")
    assert config.gpio == parse(before, source="before").gpio
    assert config.mqtt is not None
    assert config.mqtt.url == "mqtts://broker:8883"
    assert "obeys fire by itself" in text  # a person's comment


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[gate", "not TOML"),
        ("gate = 3", "plain table"),
        ('[gate]\nsite = """\nmore\n"""', "only a person"),
        ('note = """\n[gate]\n"""', "only a person"),
        ("gate.site = 'a'", "only a person"),
    ],
)
def test_what_cannot_be_changed_safely_is_refused(text, why) -> None:
    with pytest.raises(ValueError, match=why):
        merged(text, {"gate": {"site": "b"}})


def test_a_value_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="stands in no settings"):
        to_toml({"a": {"b": None}})
