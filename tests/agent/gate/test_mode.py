"""The chosen mode survives restarts and power cuts, and damage locks the gate."""

from __future__ import annotations

import os

import pytest

from agent.gate.mode import KeptMode, load_mode, save_mode
from agent.passage.types import Mode


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.FIRE])
def test_what_is_saved_is_loaded(tmp_path, mode):
    path = tmp_path / "mode"
    save_mode(path, mode)
    assert load_mode(path) is mode
    assert [entry.name for entry in tmp_path.iterdir()] == ["mode"]


def test_without_a_file_the_gate_is_normal(tmp_path):
    assert load_mode(tmp_path / "mode") is Mode.NORMAL


@pytest.mark.parametrize("content", [b"", b"fire\n", b"free\nfree\n", b"\xff\xfe", b"x" * 10_000])
def test_a_damaged_file_locks_the_gate(tmp_path, content):
    path = tmp_path / "mode"
    path.write_bytes(content)
    assert load_mode(path) is Mode.LOCKED


def test_a_file_that_cannot_be_read_locks_the_gate(tmp_path):
    (tmp_path / "mode").mkdir()
    assert load_mode(tmp_path / "mode") is Mode.LOCKED


def test_fire_is_never_saved(tmp_path):
    with pytest.raises(ValueError, match="fire is an input"):
        save_mode(tmp_path / "mode", Mode.FIRE)


def test_a_disk_that_fails_keeps_the_old_mode(tmp_path, monkeypatch):
    path = tmp_path / "mode"
    save_mode(path, Mode.LOCKED)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_mode(path, Mode.FREE)
    assert load_mode(path) is Mode.LOCKED


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
