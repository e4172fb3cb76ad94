"""The demo as a stranger runs it: one command, a day, a reckoning, pictures, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.timeout(240)

CLAIMS = [
    b"Eileen Demo", b"Grace Demo", b"Lin Demo", b"subject-of-", b"1990-04-01", b"19900401",
    b"NI1:", b"NI2:",
]  # fmt: skip
"""What the demo's people carry in their credentials, and how every code begins."""


@dataclass(frozen=True)
class Day:
    code: int
    output: str
    errors: str
    directory: Path
    left: list[str]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Day:
    directory = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "IDGATE_TEST_DAY": directory.name}
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "demo", "--fast", "--out", str(directory)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    left = [
        process.info["name"]
        for process in psutil.process_iter(["name", "environ"])
        if (process.info["environ"] or {}).get("IDGATE_TEST_DAY") == directory.name
        and process.pid != os.getpid()
    ]
    return Day(done.returncode, done.stdout, done.stderr, directory, left)


def test_everything_agrees(day: Day) -> None:
    assert day.code == 0, day.output + day.errors
    assert "everything agrees" in day.output
    assert "lost 0" in day.output


@pytest.mark.parametrize(
    "reason",
    [
        "granted", "replayed", "stale", "expired", "bad_holder_signature", "unknown_issuer",
        "kind_not_accepted", "level_too_low", "face_mismatch", "face_not_found", "spoof_suspected",
        "finger_mismatch",
    ],
)  # fmt: skip
def test_the_day_shows(day: Day, reason: str) -> None:
    assert reason in day.output


@pytest.mark.parametrize("words", ["annulled", "network cut", "fire alarm: relay on", "her finger"])
def test_the_day_has(day: Day, words: str) -> None:
    assert words in day.output


def test_it_leaves_pictures_of_frames_and_pins(day: Day) -> None:
    from PIL import Image

    pictures = sorted((day.directory / "pictures").glob("*.png"))
    assert len([path for path in pictures if path.stem.endswith("pins")]) >= 5
    assert len(pictures) >= 20
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.size[0] >= 640
            assert len(picture.convert("L").getcolors(1 << 16) or []) > 2, path  # not blank


def test_it_leaves_no_process_behind(day: Day) -> None:
    assert day.left == []


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.decode())
def test_nothing_personal_was_written_sent_or_logged(day: Day, claim: bytes) -> None:
    """Journals, the collector's database, settings, state and output; pictures aside."""
    searched = 0
    for path in day.directory.rglob("*"):
        if path.is_file() and path.parent.name != "pictures":
            searched += 1
            assert claim not in path.read_bytes(), path
    assert searched >= 8
    assert claim.decode() not in day.output + day.errors
