"""What is remembered of accepted commands, and what of it lies on the disk."""

from __future__ import annotations

import json

import pytest

from agent.report.command_memory import KEPT_S, MOST_IDS, CommandMemory, MemoryRefused

KID, ID = b"operator", b"12345678"


def test_an_id_is_held_for_its_own_key(tmp_path):
    memory = CommandMemory(tmp_path / "commands.json")
    memory.remember(KID, ID, 1_000)
    assert memory.holds(KID, ID)
    assert not memory.holds(b"another", ID)
    assert not memory.holds(KID, b"87654321")
    assert json.loads((tmp_path / "commands.json").read_bytes()) == {
        "newest": 1_000, "seen": {f"{KID.hex()} {ID.hex()}": 1_000},
    }  # fmt: skip


@pytest.mark.parametrize(("before_s", "overtaken"), [(KEPT_S, False), (KEPT_S + 1, True)])
def test_what_may_not_come_again_is_forgotten_and_nothing_else(tmp_path, before_s, overtaken):
    memory = CommandMemory(tmp_path / "commands.json")
    memory.remember(KID, ID, 1_000 - before_s)
    memory.remember(KID, b"newest..", 1_000)
    assert memory.overtaken(1_000 - before_s) is overtaken
    assert memory.holds(KID, ID) is not overtaken
    memory.remember(KID, b"late....", 1_000 - KEPT_S)  # an older one does not take the newest back
    assert memory.overtaken(1_000 - KEPT_S - 1)


def test_it_holds_after_a_start_and_without_a_file_until_the_end(tmp_path):
    path = tmp_path / "commands.json"
    CommandMemory(path).remember(KID, ID, 1_000)
    again = CommandMemory(path)
    assert again.holds(KID, ID)
    assert again.overtaken(1_000 - KEPT_S - 1)
    loose = CommandMemory()
    loose.remember(KID, ID, 1_000)
    assert loose.holds(KID, ID)
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_full_of_what_may_come_again_only():
    memory = CommandMemory()
    for number in range(MOST_IDS):
        assert not memory.full(1_000)
        memory.remember(KID, b"%08d" % number, 1_000)
    assert memory.full(1_000)
    assert memory.full(1_000 + KEPT_S)
    assert not memory.full(1_001 + KEPT_S)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"\xff", b'{"newest":-1}', b'{"newest":1,"more":1}', b'{"newest":"1"}',
        json.dumps({"newest": 1, "seen": {str(n): 1 for n in range(MOST_IDS + 1)}}).encode(),
        b'{"newest":1,"seen":{"x":"' + b"1" * (300 << 10),
    ],
    ids=lambda content: content[:20],
)  # fmt: skip
def test_a_file_that_says_nothing_accepts_nothing(tmp_path, content, caplog):
    path = tmp_path / "commands.json"
    path.write_bytes(content)
    memory = CommandMemory(path)
    with pytest.raises(MemoryRefused, match="damaged; remove it to take commands again"):
        memory.remember(KID, ID, 1_000)
    assert str(path) in caplog.text
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_read_accepts_nothing(tmp_path):
    path = tmp_path / "commands.json"
    path.mkdir()
    with pytest.raises(MemoryRefused, match="cannot be read: Is a directory"):
        CommandMemory(path).remember(KID, ID, 1_000)


def test_what_the_disk_refuses_is_not_remembered(tmp_path):
    memory = CommandMemory(tmp_path / "nowhere" / "commands.json")
    with pytest.raises(MemoryRefused, match="No such file"):
        memory.remember(KID, ID, 1_000)
    assert not memory.holds(KID, ID)
    assert not memory.overtaken(0)
