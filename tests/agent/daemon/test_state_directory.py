"""The state directory: refused before anything is begun, and told where it is in memory."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli import main
from agent.daemon.daemon import Daemon
from agent.daemon.hardware import open_hardware
from agent.daemon.state_directory import StateRefused, mount_of, require_writable, volatile
from agent.settings.load import load
from tests.support import gatekeepers
from tests.support.gate_on_disk import GateOnDisk, until

DISK = "27 1 8:1 / / rw - ext4 /dev/mmcblk0p2 rw"


@pytest.mark.parametrize(
    ("lines", "forgets"),
    [
        ([], ""),
        ([DISK], ""),
        (["27 1 0:2 / / rw - rootfs rootfs rw"], "rootfs at /"),
        ([DISK, "30 27 0:9 / /var/lib rw,nosuid shared:5 - tmpfs tmpfs rw,size=1m"], "tmpfs at /var/lib"),
        ([DISK, "30 27 0:9 / /var/lib rw - ramfs none rw"], "ramfs at /var/lib"),
        ([DISK, "30 27 0:9 / /var rw - ext4 /dev/zram1 rw"], "ext4 at /var"),
        ([DISK, "30 27 0:9 / /var/log rw - tmpfs tmpfs rw", "31 27 0:9 / /var/li rw - tmpfs t rw"], ""),
        # What is mounted later hides what was there.
        ([DISK, "30 27 0:9 / /var rw - tmpfs tmpfs rw", "31 30 8:2 / /var rw - ext4 /dev/sda1 rw"], ""),
        ([DISK, "31 30 8:2 / /var rw - ext4 /dev/sda1 rw", "30 27 0:9 / /var rw - tmpfs t rw"], "tmpfs at /var"),
        # A partition of its own below a root in memory.
        (["27 1 0:2 / / rw - tmpfs tmpfs rw", "31 27 8:2 / /var/lib/idgate rw - ext4 /dev/sda1 rw"], ""),
        # Overlays: the upper part counts.
        (
            ["27 1 0:2 / / rw - overlay overlayroot rw,lowerdir=/media/root-ro,upperdir=/media/root-rw/o,workdir=/w",
             "28 27 0:3 / /media/root-rw rw - tmpfs tmpfs-root rw"],
            "tmpfs at /media/root-rw",
        ),
        (
            ["27 1 0:2 / / rw - overlay overlay rw,lowerdir=/a,upperdir=/data/o,workdir=/w",
             "28 27 8:3 / /data rw - ext4 /dev/sda2 rw"],
            "",
        ),
        (["27 1 0:2 / / rw - overlay overlay rw,lowerdir=/lower,upperdir=/upper/data,workdir=/w"], "overlay at /"),
        (["27 1 0:2 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/x/diff,workdir=/w"], ""),
        (["27 1 0:2 / / ro - overlay overlay ro,lowerdir=/a:/b"], ""),
        # An overlay whose upper part is in an overlay whose upper part is in the first.
        (
            ["27 1 0:2 / / rw - overlay o rw,upperdir=/x/u", "28 27 0:3 / /x rw - overlay o rw,upperdir=/y"],
            "",
        ),
        (["27 1 0:2 / /var\\040lib rw - tmpfs tmpfs rw", DISK, "nonsense", "1 2 3 / /var - tmpfs t rw"], ""),
    ],
)  # fmt: skip
def test_what_forgets(tmp_path: Path, lines: list[str], forgets: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("\n".join(lines) + "\n")
    assert volatile(Path("/var/lib/idgate"), mounts) == forgets


def test_a_place_with_a_space_in_its_name(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"{DISK}\n30 27 0:9 / /var\\040lib\\134x rw - tmpfs tmpfs rw\n")
    assert volatile(Path("/var lib\\x/idgate"), mounts) == "tmpfs at /var lib\\x"


def test_a_link_leads_to_where_it_leads(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    (tmp_path / "link").symlink_to("/memory/state")
    mounts.write_text(f"{DISK}\n30 27 0:9 / /memory rw - tmpfs tmpfs rw\n")
    assert volatile(tmp_path / "link" / "idgate", mounts) == "tmpfs at /memory"


def test_what_cannot_be_found_out_is_taken_for_a_disk(tmp_path: Path) -> None:
    assert volatile(Path("/"), tmp_path / "none") == ""
    mount = mount_of(Path("/proc/self"))
    assert mount is not None
    assert (mount.point, mount.kind) == (Path("/proc"), "proc")


def test_a_directory_that_takes_a_block_is_left_as_it_was(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "state")
    assert list((tmp_path / "new" / "state").iterdir()) == []


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(StateRefused, match=r"^state directory .*: File exists$"):
        require_writable(tmp_path / "state")


Mount = Callable[..., Path]


@pytest.fixture
def mount(gate: GateOnDisk) -> Iterator[Mount]:
    """Put a file system of its own where the state is; its options may be changed later."""
    path = gate.path / "state"
    path.mkdir()
    mounted = False

    def put(options: str) -> Path:
        nonlocal mounted
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        mounted = True
        return path

    yield put
    for process in gate.processes:
        if process.poll() is None:
            process.kill()
        process.wait(40)
    gatekeepers.end(gate.path)
    if mounted:
        subprocess.run(["umount", str(path)], check=True)


def last_words(gate: GateOnDisk) -> str:
    return gate.log().splitlines()[-1]


def test_a_read_only_disk_ends_the_start_with_one_line_and_no_pin(
    gate: GateOnDisk, mount: Mount
) -> None:
    path = mount("size=3m,ro")
    began = time.monotonic()
    process = gate.run()
    assert process.wait(40) == 3
    assert last_words(gate) == f"idgate run: state directory {path}: Read-only file system"
    assert len(gate.log().splitlines()) == 1
    assert gate.board.edges() == []
    assert time.monotonic() - began < 20
    subprocess.run(["mount", "-o", "remount,rw", str(path)], check=True)
    gate.log_mark()
    gate.run()
    gate.ready()


def test_a_full_disk_ends_the_start_with_one_line(gate: GateOnDisk, mount: Mount) -> None:
    path = mount("size=64k")
    (path / "ballast").write_bytes(bytes(65_536))
    with pytest.raises(StateRefused, match="No space left"):
        require_writable(path)
    process = gate.run()
    assert process.wait(40) == 3
    assert "idgate run: state directory" in last_words(gate)
    assert [found.name for found in path.iterdir()] == ["ballast"]


def test_doctor_tells_of_a_state_in_memory(
    gate: GateOnDisk, mount: Mount, capsys: pytest.CaptureFixture[str]
) -> None:
    path = mount("size=3m")
    main(["doctor", "--json", "--no-hardware", "--config", str(gate.config)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (found,) = [line for line in lines if line["part"] == "state"]
    assert found["state"] == "warning"
    assert f"tmpfs at {path}" in found["detail"]
    assert "overlay" in found["remedy"]


def test_a_state_in_memory_is_told_and_is_no_failure(gate: GateOnDisk, mount: Mount) -> None:
    mount("size=9m")
    settings = load(gate.config)
    daemon = Daemon(settings, open_hardware(settings))
    try:
        daemon.start()
        state = daemon.health.state()
        assert state.faults == ("journal:volatile",)
        assert state.health == "ok"
    finally:
        daemon.shutdown()
    gate.run()
    gate.ready()
    until(lambda: "forgets every used code" in gate.log(), "told in the log")
