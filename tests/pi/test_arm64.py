"""The arm64 trial: what it reads out of what tools say, and what it leaves no room for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.pi import arm64
from tests.pi.arm64 import BOARDS, CORE, DESELECTED, RELEASES, StepError

ROOT = Path(__file__).parents[2]


def test_leftovers_are_found_wherever_they_stand(tmp_path: Path) -> None:
    for name in ("etc/idgate", "usr/lib/systemd/system", "root/idgate", "var/lib/other", "proc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "usr/lib/systemd/system/idgate.service").touch()
    (tmp_path / "etc/wants").symlink_to("idgate.service")
    found = arm64.leftovers(tmp_path)
    assert sorted(found) == ["/etc/idgate", "/usr/lib/systemd/system/idgate.service"]


def test_what_is_left_out_is_in_the_suite_and_says_why() -> None:
    parts = [ROOT / "tests" / part for part in CORE]
    assert [part for part in parts if not part.exists()] == []
    assert all(why for why in DESELECTED.values())
    for node in DESELECTED:
        path, _, name = node.partition("::")
        function = name.partition("[")[0].rpartition("::")[2]
        assert f"def {function}(" in (ROOT / path).read_text("utf-8"), node


def test_a_failed_suite_keeps_no_later_step_from_being_tried(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IDGATE_CACHE", str(tmp_path))
    done = []

    def failing(trial: arm64.Trial) -> None:
        raise StepError("1 failed")

    for name in ("prepare", "install", "package", "uninstall", "try_package"):
        monkeypatch.setattr(arm64.Trial, f"_{name}", lambda _, name=name: done.append(name))
    monkeypatch.setattr(arm64.Trial, "_suite", failing)
    with pytest.raises(StepError, match="1 failed"):
        arm64.Trial("trixie", fresh=False).run()
    assert done == ["prepare", "install", "package", "uninstall", "try_package"]
    done.clear()
    monkeypatch.setattr(arm64.Trial, "_install", failing)
    with pytest.raises(StepError):
        arm64.Trial("trixie", fresh=False).run()
    assert done == ["prepare"]


def test_a_board_is_described_as_its_kernel_would() -> None:
    for board in BOARDS:
        text = board.cpuinfo()
        assert text.count("processor") == 4
        assert "asimd" in text
    assert "asimddp" not in BOARDS[0].cpuinfo()  # a Pi 4 has no dot product
    assert "asimddp" in BOARDS[1].cpuinfo()


def test_the_releases_match_the_lock_files() -> None:
    for release in RELEASES.values():
        lock = ROOT / f"packaging/requirements-cp{release.python.replace('.', '')}.lock"
        pinned = lock.read_text("utf-8")
        assert all(f"\n{name}==" in pinned for name in release.runtimes)


def test_an_unknown_release_is_a_usage_error() -> None:
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "tests.pi.arm64", "sid"],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no release sid" in done.stderr
