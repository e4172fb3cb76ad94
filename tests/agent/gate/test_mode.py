"""The chosen mode survives restarts and power cuts, and damage locks the gate."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from agent.gate.mode import KeptMode, load_mode, save_mode
from agent.passage.types import Mode


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.FIRE])
def test_what_is_saved_is_loaded(tmp_path, mode):
    path = tmp_path / "mode"
    save_mode(path, mode)
    assert load_mode(path) is mode
    assert [entry.name for entry in tmp_path.iterdir()] == ["mode"]


def test_without_a_file_the_gate_is_normal(tmp_path):
    assert load_mode(tmp_path / "mode") is Mode.NORMAL


UNREADABLE = "mode file unreadable, the gate is locked: {}"
NO_MODE = "mode file holds no mode, the gate is locked"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", NO_MODE),
        (b"fire\n", NO_MODE),
        (b"FREE\n", NO_MODE),
        (b"free\nfree\n", NO_MODE),
        (b"free" + b" " * 27 + b"x", NO_MODE),
        (b"\xff\xfe", UNREADABLE.format("UnicodeDecodeError")),
        (None, UNREADABLE.format("IsADirectoryError")),
    ],
)
def test_a_damaged_file_locks_the_gate_and_is_told(tmp_path, caplog, content, said):
    path = tmp_path / "mode"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert load_mode(path) is Mode.LOCKED
    assert caplog.messages == [said]


def test_a_file_of_any_size_is_read_for_its_first_32_bytes_only(tmp_path):
    with (tmp_path / "mode").open("wb") as file:
        file.write(b"free" + b" " * 28 + b"x")
        file.truncate(2**40)  # more than memory holds
    assert load_mode(tmp_path / "mode") is Mode.FREE


def test_fire_is_never_saved(tmp_path):
    with pytest.raises(ValueError, match=r"^fire is an input, not a mode to keep$"):
        save_mode(tmp_path / "mode", Mode.FIRE)
    assert list(tmp_path.iterdir()) == []


def test_a_mode_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    path, synced = tmp_path / "mode", []
    save_mode(path, Mode.FREE)

    def look(descriptor: int) -> None:
        said = [(each.name, each.read_text()) for each in sorted(tmp_path.iterdir())]
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), said))

    monkeypatch.setattr(os, "fsync", look)
    before = open_files()
    save_mode(path, Mode.LOCKED)
    assert synced == [
        (False, [("mode", "free\n"), ("mode.new", "locked\n")]),
        (True, [("mode", "locked\n")]),
    ]
    assert open_files() == before


def test_a_folder_that_cannot_be_synced_is_told_and_let_go_of(tmp_path, monkeypatch):
    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    before = open_files()
    with pytest.raises(OSError, match="Input/output"):
        save_mode(tmp_path / "mode", Mode.FREE)
    assert open_files() == before


def test_a_disk_that_fails_keeps_the_old_mode(tmp_path, monkeypatch):
    path = tmp_path / "mode"
    save_mode(path, Mode.LOCKED)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_mode(path, Mode.FREE)
    assert load_mode(path) is Mode.LOCKED


def test_a_mode_that_the_disk_refuses_is_told(tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        KeptMode(tmp_path / "nowhere" / "mode").save(Mode.FREE)
    assert caplog.messages == ["the mode is not saved yet: No such file or directory"]


def test_what_is_written_is_not_written_again(tmp_path):
    path = tmp_path / "mode"
    kept = KeptMode(path)
    kept.save(Mode.FREE)
    path.unlink()
    kept.flush()
    assert not path.exists()


def test_a_mode_that_the_disk_refused_is_written_when_it_takes_it(tmp_path):
    folder = tmp_path / "state"
    kept = KeptMode(folder / "mode")
    kept.flush()  # nothing was chosen, so nothing is written
    kept.save(Mode.FREE)
    kept.save(Mode.LOCKED)
    with pytest.raises(FileNotFoundError):
        kept.flush()
    folder.mkdir()
    kept.flush()
    assert load_mode(folder / "mode") is Mode.LOCKED
    kept.save(Mode.NORMAL)
    assert load_mode(folder / "mode") is Mode.NORMAL
