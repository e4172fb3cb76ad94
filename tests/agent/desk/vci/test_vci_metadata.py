"""Metadata: every kind has its name in every language, and colours that can be read."""

from __future__ import annotations

import pytest

from agent.credential.model import Kind
from agent.desk.vci.metadata import issuer_metadata, kind_name
from tests.support.desks import a_desk

KINDS = [kind for kind in Kind if kind is not Kind.UNKNOWN]


@pytest.mark.parametrize("kind", KINDS)
def test_names(kind):
    names = {kind_name(kind, language) for language in ("en", "es", "zh")}
    assert len(names) == 3
    assert str(kind) not in names


def test_a_kind_without_a_name_is_called_by_its_own():
    assert kind_name(Kind.UNKNOWN, "es") == "unknown"


@pytest.mark.parametrize(
    ("batch", "size"), [(1, 2), (2, 2), (20, 20)]
)  # a size of one may not be said
def test_a_batch(tmp_path, batch, size):
    desk = a_desk(tmp_path / "d", more=f"batch = {batch}")
    assert issuer_metadata(desk)["batch_credential_issuance"] == {"batch_size": size}
    desk.close()


def test_languages_and_colour_are_the_places(tmp_path):
    desk = a_desk(tmp_path / "d")
    more = 'name = "Biblioteca"\ncolour = "#123456"\nlanguages = ["es"]'
    file = tmp_path / "d" / "desk.toml"
    file.write_text(file.read_text().replace('name = "Town Library"', more))
    desk.close()
    desk = a_desk(tmp_path / "d")
    got = issuer_metadata(desk)
    assert got["display"] == [{"name": "Biblioteca", "locale": "es"}]
    card = got["credential_configurations_supported"]["online-id"]["credential_metadata"]
    assert card["display"] == [
        {
            "name": "Identidad en línea", "locale": "es", "description": "Biblioteca",
            "background_color": "#123456", "text_color": "#ffffff",
        }
    ]  # fmt: skip
    desk.close()
