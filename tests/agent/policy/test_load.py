"""Where a profile is looked for, and what an operator reads when it is not there."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from agent.policy.load import load_profile, shipped_profile
from agent.policy.profile import SHIPPED, ProfileError
from tests.agent.policy.support import RULES


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_goes_before_a_file_of_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(RULES)
    assert load_profile(name, base_dir=tmp_path) == shipped_profile(name)
    assert shipped_profile(name).name == name


def test_a_profile_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(RULES)
    assert load_profile("mine.toml", base_dir=tmp_path).title == "t"
    assert load_profile(str(tmp_path / "mine.toml"), base_dir=Path("/")).title == "t"


def test_a_profile_that_an_editor_of_windows_saved(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbf" + RULES.replace("\n", "\r\n").encode())
    assert load_profile("mine.toml", base_dir=tmp_path).title == "t"


@pytest.mark.parametrize(
    ("name", "why"), [("nowhere", "No such file or directory"), (".", "Is a directory")]
)
def test_a_profile_that_is_not_there(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(ProfileError) as error:
        load_profile(name, base_dir=tmp_path)
    assert str(error.value) == (
        f"profile '{name}': cannot be read: {why}; shipped ones are airport, government-hall, "
        "hotel, internet-cafe, library, logistics, railway"
    )


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("name = 1")
    with pytest.raises(ProfileError, match=f"^{re.escape(str(tmp_path))}/mine.toml: key name: "):
        load_profile("mine.toml", base_dir=tmp_path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("fifo", "device"):
        with pytest.raises(ProfileError, match="cannot be read: it is no file; shipped ones are"):
            load_profile(name, base_dir=tmp_path)


@pytest.mark.parametrize(("more", "taken"), [(0, True), (1, False)])
def test_a_file_has_256_kib_at_most(tmp_path: Path, more: int, *, taken: bool) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(RULES + "#" * (262_144 - len(RULES) + more))
    before = len(list(Path("/proc/self/fd").iterdir()))
    if taken:
        assert load_profile("mine.toml", base_dir=tmp_path).title == "t"
    else:
        with pytest.raises(ProfileError, match="cannot be read: more than 262144 bytes"):
            load_profile("mine.toml", base_dir=tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
