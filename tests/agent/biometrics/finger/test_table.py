"""The table of enrolments: small, whole after any power cut, and never a person's name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.biometrics.finger.table import EnrolmentTable, Row, TableError

ANNA, BORIS = "a" * 32, "b" * 32


@pytest.fixture
def table(tmp_path: Path) -> EnrolmentTable:
    return EnrolmentTable(tmp_path / "fingers.json")


def test_put_find_remove(table):
    assert table.rows() == ()
    for row in (Row(5, ANNA), Row(2, BORIS, staff=True), Row(9, ANNA)):
        table.put(row)
    assert [row.slot for row in table.rows()] == [2, 5, 9]
    assert table.slots_of(ANNA) == (5, 9)
    assert table.at(2) == Row(2, BORIS, staff=True)
    table.put(Row(5, BORIS))
    assert table.slots_of(ANNA) == (9,)
    table.remove([9, 77])
    assert table.slots_of(ANNA) == ()


def test_four_fingers_each(table):
    for slot in range(4):
        table.put(Row(slot, ANNA))
    with pytest.raises(TableError, match="4 fingers"):
        table.put(Row(4, ANNA))
    table.put(Row(3, ANNA, staff=True))
    assert len(table.slots_of(ANNA)) == 4


def test_another_process_changes_it(table, tmp_path):
    table.put(Row(1, ANNA))
    EnrolmentTable(tmp_path / "fingers.json").put(Row(2, ANNA))
    assert table.slots_of(ANNA) == (1, 2)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b'{"version":2,"rows":[]}', b'{"version":1,"rows":[{"slot":1}]}',
        b'{"version":1,"rows":[{"slot":-1,"subject":"' + b"a" * 32 + b'"}]}',
        b'{"version":1,"rows":[{"slot":1,"subject":"Anna Demo"}]}',
        b'{"version":1,"rows":[{"slot":1,"subject":"' + b"a" * 32 + b'","name":"Anna"}]}',
        b"[" * 100_000, os.urandom(2_000),
    ],
    ids=range(11),
)  # fmt: skip
def test_a_damaged_file_enrols_nobody(table, tmp_path, content):
    table.put(Row(1, ANNA))
    (tmp_path / "fingers.json").write_bytes(content)
    assert table.slots_of(ANNA) == ()
    with pytest.raises(TableError, match=r"fingers\.json"):
        table.rows()


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_file(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("table") / "fingers.json"
    path.write_bytes(content)
    assert EnrolmentTable(path).slots_of(ANNA) == ()


def test_a_power_cut_leaves_the_old_or_the_new(table, tmp_path, monkeypatch):
    table.put(Row(1, ANNA))
    for step in ("fsync", "replace"):
        with monkeypatch.context() as cut:

            def fail(*_: object) -> None:
                raise OSError(5, "Input/output error")

            cut.setattr(os if step == "fsync" else Path, step, fail)
            with pytest.raises(TableError):
                table.put(Row(2, BORIS))
        assert table.slots_of(ANNA) == (1,)
        assert [path.name for path in tmp_path.iterdir()] == ["fingers.json"]


def test_a_directory_that_is_not_there(tmp_path):
    with pytest.raises(TableError):
        EnrolmentTable(tmp_path / "gone" / "fingers.json").put(Row(1, ANNA))
