"""The page's texts: complete in every language, and each one used."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agent.credential.model import Kind
from tests.support.paths import ROOT

WALLET = ROOT / "agent/wallet"
LANGUAGES = ("en", "es", "zh")
_ENTRY = re.compile(r'^  (\w+):\s*("(?:[^"\\\n]|\\.)*"),$', re.MULTILINE)
_NAMES = re.compile(r"\{(\w+)\}")


def texts(language: str) -> dict[str, str]:
    source = (WALLET / f"strings/{language}.js").read_text()
    found = _ENTRY.findall(source)
    lines = [line for line in source.splitlines() if re.match(r"  \w+:", line)]
    assert len(found) == len(lines), "a text that is no plain string"
    assert len(dict(found)) == len(found), "a key twice"
    return {key: json.loads(text) for key, text in found}


TEXTS = {language: texts(language) for language in LANGUAGES}
CODE = "\n".join(
    path.read_text()
    for path in sorted(WALLET.rglob("*.js"))
    if not {"vendor", "strings"} & set(Path(path.relative_to(WALLET)).parts)
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_in_the_same_order(language):
    assert list(TEXTS[language]) == list(TEXTS["en"])


@pytest.mark.parametrize("language", ["es", "zh"])
def test_every_language_names_the_same_things(language):
    for key, text in TEXTS["en"].items():
        assert set(_NAMES.findall(TEXTS[language][key])) == set(_NAMES.findall(text)), key
        assert TEXTS[language][key].strip(), key


@pytest.mark.parametrize("language", ["es", "zh"])
def test_nothing_was_left_in_english(language):
    same = {key for key, text in TEXTS["en"].items() if TEXTS[language][key] == text}
    assert same <= {"pinLabel", "lock_pin"}


def test_every_text_that_is_asked_for_is_there():
    asked = set(re.findall(r'\b(?:t|raw)\("(\w+)"', CODE))
    assert asked
    assert asked <= set(TEXTS["en"])


def test_no_text_is_without_use():
    words = set(re.findall(r"\w+", CODE))
    families = ("error_", "kind_", "turn_", "lock_", "need_")
    unused = {key for key in TEXTS["en"] if key not in words and not key.startswith(families)}
    assert unused == set()


def test_every_error_of_the_engine_has_a_sentence():
    lines = re.search(r"const LINES = `\n(.*?)`", (WALLET / "errors.js").read_text(), re.DOTALL)
    assert lines is not None
    codes = {line.split()[0] for line in lines[1].splitlines()}
    assert {f"error_{code}" for code in codes} | {"error_unknown"} == {
        key for key in TEXTS["en"] if key.startswith("error_")
    }


def test_every_need_has_words():
    words = {"birth_date", "face", "finger", "name", "age", "other"}
    assert {key for key in TEXTS["en"] if key.startswith("need_")} == {
        f"need_{word}" for word in words
    }


def test_every_kind_has_a_name():
    kinds = {f"kind_{kind.replace('-', '_')}" for kind in set(Kind) - {Kind.UNKNOWN}}
    kinds.add("kind_other")
    assert {key for key in TEXTS["en"] if key.startswith("kind_")} == kinds
