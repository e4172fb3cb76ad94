"""Subjects leave as HMACs, and only so."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest

from agent.journal.subjects import SubjectHasher, SubjectKeyError, load_or_create_key

KEY = bytes(range(32))
DAY = 1_800_000_000.0


def test_values_are_stable_short_and_keyed():
    hasher = SubjectHasher(KEY)
    value = hasher.local("issuer", "subject")
    assert value == SubjectHasher(KEY).local("issuer", "subject")
    assert len(value) == 32
    assert int(value, 16) >= 0
    assert value != SubjectHasher(b"\1" * 32).local("issuer", "subject")
    assert "subject" not in repr(hasher)
    assert KEY.hex() not in repr(hasher)


@pytest.mark.parametrize(
    ("rotate_daily", "local", "reported"),
    [
        (False, "b4a2e4ffdb800ebb19cae6996e9e4c03", "4e558819ad93df22f2f0ad040f481a36"),
        (True, "b4a2e4ffdb800ebb19cae6996e9e4c03", "c8b74f57e99fe845a56fb8fc012964af"),
    ],
)
def test_values_are_the_same_after_an_update(rotate_daily, local, reported):
    """Others would forget lockouts and whereabouts, and the fleet's gates would disagree."""
    hasher = SubjectHasher(KEY, rotate_daily=rotate_daily)
    assert hasher.local("issuer", "subject") == local
    assert hasher.reported("issuer", "subject", at=DAY) == reported


def test_the_local_value_is_not_the_reported_one():
    hasher = SubjectHasher(KEY)
    assert hasher.local("i", "s") != hasher.reported("i", "s", at=DAY)


def test_issuer_and_subject_do_not_run_together():
    hasher = SubjectHasher(KEY)
    assert hasher.local("ab", "c") != hasher.local("a", "bc")
    assert hasher.local("", "abc") != hasher.local("abc", "")


@pytest.fixture(params=["UTC0", "SST11", "LINT-14"])
def zone(request, monkeypatch):
    """The gate's own time zone, which must not matter."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_daily_rotation_changes_at_midnight_utc_and_keeps_the_local_value():
    hasher = SubjectHasher(KEY, rotate_daily=True)
    midnight = DAY - DAY % 86_400
    first = hasher.reported("i", "s", at=midnight)
    assert first == hasher.reported("i", "s", at=midnight + 86_399.9)
    assert first != hasher.reported("i", "s", at=midnight + 86_400)
    assert first != hasher.reported("i", "s", at=midnight - 0.1)
    assert hasher.local("i", "s") == SubjectHasher(KEY).local("i", "s")
    fixed = SubjectHasher(KEY)
    assert fixed.reported("i", "s", at=0) == fixed.reported("i", "s", at=DAY)


def test_a_key_is_made_once_and_for_this_user_only(tmp_path):
    path = tmp_path / "subject.key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert load_or_create_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["subject.key"]


def test_two_starts_at_once_agree(tmp_path):
    found = []
    start = threading.Barrier(6)

    def make() -> None:
        start.wait()
        try:
            found.append(load_or_create_key(tmp_path / "subject.key"))
        except SubjectKeyError:
            found.append(load_or_create_key(tmp_path / "subject.key"))

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1


def test_a_key_is_on_the_disk_whole_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []

    def look(descriptor: int) -> None:
        (scratch,) = tmp_path.iterdir()
        synced.append((scratch.name, os.fstat(descriptor).st_size, scratch.stat().st_mode & 0o777))

    monkeypatch.setattr(os, "fsync", look)
    load_or_create_key(tmp_path / "subject.key")
    ((name, size, mode),) = synced
    assert re.fullmatch(r"subject\.key\.[0-9a-f]{16}\.new", name)
    assert (size, mode) == (32, 0o600)


def test_a_key_that_another_start_made_meanwhile_is_the_one(tmp_path, monkeypatch):
    path, link = tmp_path / "subject.key", os.link

    def late(source: Path, target: Path) -> None:
        path.write_bytes(KEY)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert load_or_create_key(path) == KEY
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "subject.key"
    with pytest.raises(SubjectKeyError, match=f"^{path}: No space left on device$"):
        load_or_create_key(path)
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_another_start_is_not_written_over(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "urandom", bytes)
    scratch = tmp_path / "subject.key.0000000000000000.new"
    scratch.write_bytes(b"another's")
    with pytest.raises(SubjectKeyError, match="File exists"):
        load_or_create_key(tmp_path / "subject.key")
    assert scratch.read_bytes() == b"another's"


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 31, b"x" * 33])
def test_a_key_of_another_length_is_refused(tmp_path, content):
    path, size = tmp_path / "subject.key", len(content)
    path.write_bytes(content)
    with pytest.raises(SubjectKeyError, match=f"^{path}: {size} bytes, a subject key has 32$"):
        load_or_create_key(path)
    with pytest.raises(SubjectKeyError, match=f"^the subject key has {size} bytes, not 32$"):
        SubjectHasher(content)


@pytest.mark.parametrize(
    ("name", "said"),
    [("nowhere/subject.key", "No such file or directory"), (".", "Is a directory")],
)
def test_a_path_that_cannot_be_used_is_one_line(tmp_path, name, said):
    path = tmp_path / name
    with pytest.raises(SubjectKeyError, match=f"^{path}: {said}$"):
        load_or_create_key(path)


def test_a_use_is_kept_by_a_keyed_hash_that_stays():
    """A digest of what a code says could be guessed; another value after an update forgets all."""
    use = SubjectHasher(KEY).use(b"mark")
    assert use.hex() == "8ff95ed040a23fefee99941ff12f7068"
    assert use != SubjectHasher(b"\1" * 32).use(b"mark")
