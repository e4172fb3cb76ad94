"""What is kept survives restarts and power cuts, and damage locks the gate; nobody waits for it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.gatekeeper.kept import Scribe, load_map, load_mode, write
from agent.gatekeeper.pinmap import SIZE, pack
from agent.gatekeeper.words import Mode
from agent.settings.model import GpioConfig
from tests.support.gate_on_disk import until
from tests.support.rig import lines_of


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# --- the mode


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.FIRE])
def test_a_mode_that_is_written_is_loaded(tmp_path, mode):
    path = tmp_path / "mode"
    write(path, f"{mode}\n".encode())
    assert load_mode(path) == (mode, "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mode"]


def test_without_a_file_the_gate_is_normal(tmp_path):
    assert load_mode(tmp_path / "mode") == (Mode.NORMAL, "")


NO_MODE = "no mode, the gate is locked ({})"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", NO_MODE.format("ValueError")),
        (b"fire\n", "fire is no mode to keep, the gate is locked"),
        (b"FREE\n", NO_MODE.format("ValueError")),
        (b"free\nfree\n", NO_MODE.format("ValueError")),
        (b"free" + b" " * 27 + b"x", NO_MODE.format("ValueError")),
        (b"\xff\xfe", NO_MODE.format("UnicodeDecodeError")),
        (None, NO_MODE.format("IsADirectoryError")),
    ],
)
def test_a_damaged_mode_locks_the_gate_and_is_told(tmp_path, content, said):
    path = tmp_path / "mode"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    before = open_files()
    assert load_mode(path) == (Mode.LOCKED, f"{path}: {said}")
    assert open_files() == before


def test_a_file_of_any_size_is_read_for_its_first_32_bytes_only(tmp_path):
    with (tmp_path / "mode").open("wb") as file:
        file.write(b"free" + b" " * 28 + b"x")
        file.truncate(2**40)  # more than memory holds
    assert load_mode(tmp_path / "mode") == (Mode.FREE, "")


def test_a_link_or_a_pipe_in_the_modes_place_locks_the_gate_at_once(tmp_path):
    (tmp_path / "real").write_text("free\n")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    assert load_mode(tmp_path / "link")[0] is Mode.LOCKED
    assert load_mode(tmp_path / "pipe")[0] is Mode.LOCKED


def test_what_is_read_is_not_handed_to_a_child(tmp_path, monkeypatch):
    flags = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flag: flags.append(flag) or real(path, flag))
    write(tmp_path / "mode", b"free\n")
    flags.clear()
    load_mode(tmp_path / "mode")
    (flag,) = flags
    assert flag & os.O_CLOEXEC


# --- the map


def test_a_map_that_is_written_is_loaded(tmp_path):
    pin_map = lines_of(GpioConfig(passage_2=26))
    write(tmp_path / "pins.map", pack(pin_map))
    assert load_map(tmp_path / "pins.map") == (pin_map, "")


def test_without_a_file_there_is_no_map(tmp_path):
    assert load_map(tmp_path / "pins.map") == (None, "")


@pytest.mark.parametrize("damage", [lambda r: b"", lambda r: r[:-1], lambda r: r + b"\0",
                                    lambda r: r[:40] + b"\x01" + r[41:]])  # fmt: skip
def test_a_damaged_map_is_none_and_is_told(tmp_path, damage):
    path = tmp_path / "pins.map"
    path.write_bytes(damage(pack(lines_of(GpioConfig()))))
    found, said = load_map(path)
    assert found is None
    assert said.startswith(f"{path}: ")
    assert len(said) > len(f"{path}: ")


def test_a_folder_in_the_maps_place_is_no_map(tmp_path):
    assert load_map(tmp_path) == (None, f"{tmp_path}: [Errno 21] Is a directory")


def test_no_more_of_a_map_is_read_than_shows_that_it_is_too_long(tmp_path):
    path = tmp_path / "pins.map"
    with path.open("wb") as file:
        file.write(pack(lines_of(GpioConfig())))
        file.truncate(2**40)
    assert load_map(path)[0] is None
    assert path.stat().st_size > SIZE


# --- on the disk


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, monkeypatch):
    path, synced = tmp_path / "mode", []
    write(path, b"free\n")

    def look(descriptor: int) -> None:
        said = [(each.name, each.read_text()) for each in sorted(tmp_path.iterdir())]
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), said))

    monkeypatch.setattr(os, "fsync", look)
    before = open_files()
    write(path, b"locked\n")
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
        write(tmp_path / "mode", b"free\n")
    assert open_files() == before


def test_a_disk_that_fails_keeps_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "mode"
    write(path, b"locked\n")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, b"free\n")
    assert load_mode(path) == (Mode.LOCKED, "")


# --- the scribe


class Moments:
    """Stands for the scribe's waking: each wait ends at once and does the next of the acts."""

    def __init__(self, scribe: Scribe, *acts: Callable[[], object]) -> None:
        self.acts = list(acts)
        self.waited: list[float] = []
        self.scribe = scribe

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        if self.acts:
            self.acts.pop(0)()
        else:
            self.scribe._ended = True

    def set(self) -> None:
        """Nobody sleeps."""

    def clear(self) -> None:
        """Nobody sleeps."""


def play(scribe: Scribe, *acts: Callable[[], object]) -> list[float]:
    """Let the scribe go round once after each act, and then end; return how long it waited."""
    scribe._wake = moments = Moments(scribe, *acts)
    scribe._run()
    return moments.waited


def test_files_and_lines_are_written_by_a_thread_of_their_own(tmp_path):
    said = []
    scribe = Scribe(lambda line: said.append((line, threading.current_thread().name)))
    scribe.start()
    scribe.keep(tmp_path / "mode", b"free\n")
    scribe.say("hello")
    scribe.end()
    assert load_mode(tmp_path / "mode") == (Mode.FREE, "")
    assert said == [("hello", "scribe")]
    assert scribe._thread.daemon, "a disk that hangs does not keep the process"
    assert not scribe._thread.is_alive()


def test_a_wish_wakes_the_scribe(tmp_path):
    """It would not be written within the test's patience otherwise."""
    scribe = Scribe(lambda _line: None)
    waits: list[float | None] = []
    real = scribe._wake.wait

    def wait(seconds: float | None) -> bool:
        waits.append(seconds)
        return real(3600)

    scribe._wake.wait = wait
    scribe.start()
    scribe.keep(tmp_path / "mode", b"free\n")
    until(lambda: not scribe.behind, "written")
    scribe.say("x")
    until(lambda: not scribe._lines, "said")
    scribe.end(10)
    assert set(waits) == {1.0}
    assert not scribe._thread.is_alive()


def test_what_the_disk_refused_is_told_once_and_written_when_it_takes_it(tmp_path):
    said: list[str] = []
    folder = tmp_path / "state"
    scribe = Scribe(said.append)
    behind = []

    def note() -> None:
        behind.append(scribe.behind)

    assert scribe.behind is False
    waited = play(
        scribe,
        lambda: scribe.keep(folder / "mode", b"free\n"),
        note,
        lambda: scribe.keep(folder / "mode", b"locked\n"),
        folder.mkdir,
        note,
        (folder / "mode").unlink,
    )
    assert said == [f"{folder}/mode is not saved yet: No such file or directory"]
    assert behind == [True, False]
    assert waited == [1.0] * 7
    assert not (folder / "mode").exists(), "written again although it was on the disk"


def test_the_last_of_several_wishes_holds(tmp_path):
    scribe = Scribe(lambda _line: None)
    path = tmp_path / "mode"
    for mode in (b"free\n", b"locked\n", b"normal\n"):
        scribe.keep(path, mode)
    play(scribe)
    assert path.read_bytes() == b"normal\n"
    assert scribe.behind is False
    scribe._ended = False
    play(scribe, lambda: scribe.keep(path, b"free\n"))
    assert path.read_bytes() == b"free\n"


def test_a_wish_while_the_disk_works_is_not_lost(tmp_path, monkeypatch):
    scribe = Scribe(lambda _line: None)
    path = tmp_path / "mode"
    content = [b"free\n", b"locked\n"]
    scribe.keep(path, b"normal\n")
    real = os.fsync

    def slow(descriptor: int) -> None:
        if content:
            scribe.keep(path, content.pop())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    play(scribe, lambda: None, lambda: None)
    assert path.read_bytes() == b"free\n"
    assert scribe.behind is False


def test_another_refusal_is_told_and_one_that_comes_back_too(tmp_path, monkeypatch):
    said: list[str] = []
    scribe = Scribe(said.append)
    errors = ["full", "full", "gone", None, "gone"]

    def refuse(_descriptor: int) -> None:
        if errors[0]:
            raise OSError(5, errors[0])

    monkeypatch.setattr(os, "fsync", refuse)
    scribe.keep(tmp_path / "mode", b"free\n")
    play(
        scribe,
        lambda: None,
        lambda: errors.pop(0),
        lambda: errors.pop(0),
        lambda: errors.pop(0),
        lambda: (errors.pop(0), scribe.keep(tmp_path / "mode", b"locked\n")),
    )
    path = tmp_path / "mode"
    assert said == [f"{path} is not saved yet: {why}" for why in ("full", "gone", "gone")]


def test_one_file_that_is_refused_does_not_keep_the_others(tmp_path):
    scribe = Scribe(lambda _line: None)
    scribe.keep(tmp_path / "nowhere" / "mode", b"free\n")
    scribe.keep(tmp_path / "pins.map", b"x")
    play(scribe)
    assert (tmp_path / "pins.map").read_bytes() == b"x"
    assert scribe.behind is True


def test_a_file_that_is_written_does_not_keep_the_others(tmp_path):
    scribe = Scribe(lambda _line: None)
    scribe.keep(tmp_path / "pins.map", b"x")
    play(scribe, lambda: None, lambda: scribe.keep(tmp_path / "mode", b"free\n"))
    assert (tmp_path / "mode").read_bytes() == b"free\n"


def test_of_too_many_lines_the_oldest_are_dropped():
    said: list[str] = []
    scribe = Scribe(said.append)
    for number in range(70):
        scribe.say(f"{number}")
    play(scribe)
    assert said == [f"{number}" for number in range(6, 70)]


def test_a_log_that_is_gone_does_not_end_the_scribe(tmp_path):
    def gone(line: str) -> None:
        raise BrokenPipeError(line)

    scribe = Scribe(gone)
    scribe.say("1")
    scribe.say("2")
    play(scribe, lambda: scribe.keep(tmp_path / "mode", b"free\n"))
    assert (tmp_path / "mode").read_bytes() == b"free\n"
    assert not scribe._lines


def test_the_scribe_looks_where_it_was_told_to_but_not_at_the_end():
    looks: list[int] = []
    scribe = Scribe(lambda _line: None)
    scribe.watch(lambda: looks.append(1))
    play(scribe, lambda: None, lambda: None)
    assert len(looks) == 2


@pytest.mark.parametrize(("given", "waited"), [({}, 1.0), ({"timeout_s": 3.0}, 3.0)])
def test_the_end_waits_for_the_disk_so_long_and_no_longer(given, waited):
    class Hanging:
        def join(self, timeout: float) -> None:
            asked.append(timeout)

    asked: list[float] = []
    scribe = Scribe(lambda _line: None)
    scribe._thread = Hanging()
    scribe.end(**given)
    assert asked == [waited]
