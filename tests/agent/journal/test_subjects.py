"""Subjects leave as HMACs, and only so."""

from __future__ import annotations

import threading

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


def test_the_local_value_is_not_the_reported_one():
    hasher = SubjectHasher(KEY)
    assert hasher.local("i", "s") != hasher.reported("i", "s", at=DAY)


def test_issuer_and_subject_do_not_run_together():
    hasher = SubjectHasher(KEY)
    assert hasher.local("ab", "c") != hasher.local("a", "bc")
    assert hasher.local("", "abc") != hasher.local("abc", "")


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


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_key_of_another_length_is_refused(tmp_path, content):
    path = tmp_path / "subject.key"
    path.write_bytes(content)
    with pytest.raises(SubjectKeyError, match="32"):
        load_or_create_key(path)
    with pytest.raises(SubjectKeyError):
        SubjectHasher(content)


def test_a_missing_directory_is_one_line(tmp_path):
    with pytest.raises(SubjectKeyError, match="No such file"):
        load_or_create_key(tmp_path / "nowhere" / "subject.key")
