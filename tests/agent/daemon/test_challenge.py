"""The gate's challenge: read whole or not at all, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.daemon.challenge import ChallengeError, read_challenge


@pytest.mark.parametrize("digits", [16, 40, 128])
def test_a_nonce_is_read(tmp_path: Path, digits: int) -> None:
    (tmp_path / "nonce").write_text("aB" * (digits // 2) + "\n")
    assert read_challenge(tmp_path / "nonce") == b"\xab" * (digits // 2)


@pytest.mark.parametrize(
    "text", [b"", b"00" * 7, b"00" * 65, b"0" * 17, b"no nonce at all!", b"\xff" * 16, b"00" * 500]
)
def test_what_is_no_nonce_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "nonce").write_bytes(text)
    with pytest.raises(ChallengeError, match="16 to 128 hexadecimal digits"):
        read_challenge(tmp_path / "nonce")


def test_a_missing_file_a_directory_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", ".", "pipe"):
        with pytest.raises(ChallengeError):
            read_challenge(tmp_path / name)
