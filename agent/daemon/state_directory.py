"""What the state directory stands on: whether it can be written, and outlives a power cut.

Marks of used codes, last places and what waits for the fleet are worth what their disk is worth: on
a RAM disk, or an overlay whose upper part is one, a power cut makes every code good again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mount", "StateRefused", "mount_of", "require_writable", "volatile"]

MOUNTS = Path("/proc/self/mountinfo")
IN_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs", "hugetlbfs", "zram"})
RASPI_CONFIG = "/upper/"
"""Where the overlay of `raspi-config` has its RAM disk, which nobody sees after the start."""
PROBE_BYTES = 4_096


class StateRefused(OSError):
    """The disk refuses the state; the message is one line for the operator."""


def require_writable(directory: Path) -> None:
    """Write and force out a block, before anything else is begun.

    A gate whose disk refuses everything must end at once and say so, not after its camera is open.

    Raises:
        StateRefused: read-only, full, or not ours.
    """
    probe = directory / f".probe-{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with probe.open("xb", buffering=0) as file:
                if file.write(bytes(PROBE_BYTES)) < PROBE_BYTES:
                    raise StateRefused(f"state directory {directory}: the disk is full")
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except StateRefused:
        raise
    except OSError as error:
        raise StateRefused(f"state directory {directory}: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of proc(5)'s mountinfo.

    Attributes:
        point: where it is mounted.
        kind: of file system.
        source: what is mounted.
        options: of the file system.
    """

    point: Path
    kind: str
    source: str
    options: tuple[str, ...]


def volatile(directory: Path, mounts: Path = MOUNTS) -> str:
    """Return what the directory stands on that forgets, or "" where it stands on a disk.

    What cannot be found out is taken for a disk.
    """
    mount = mount_of(directory, mounts)
    seen = {directory}
    while mount is not None:
        if mount.kind in IN_MEMORY or mount.source.startswith(("/dev/zram", "/dev/ram")):
            return f"{mount.kind} at {mount.point}"
        upper = next((o.partition("=")[2] for o in mount.options if o.startswith("upperdir=")), "")
        if mount.kind != "overlay" or not upper or Path(upper) in seen:
            return ""
        seen.add(Path(upper))
        below = mount_of(Path(upper), mounts)
        if below is not None and below.point == mount.point:  # out of sight, under the overlay
            return f"overlay at {mount.point}" if upper.startswith(RASPI_CONFIG) else ""
        mount = below
    return ""


def mount_of(directory: Path, mounts: Path = MOUNTS) -> Mount | None:
    """Return what a directory is mounted on; None where that cannot be found out."""
    try:
        text = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    real = Path(os.path.realpath(directory))
    # Of two at one point, the later hides the earlier.
    fitting = [mount for mount in _read(text) if real.is_relative_to(mount.point)]
    return max(fitting, key=lambda mount: len(mount.point.parts), default=None)


def _read(text: str) -> Iterator[Mount]:
    for line in reversed(text.splitlines()):
        place, _, rest = line.partition(" - ")
        words, tail = place.split(" "), rest.split(" ")
        if len(words) < 6 or len(tail) < 3:
            continue
        yield Mount(
            Path(_plain(words[4])), tail[0], _plain(tail[1]), tuple(map(_plain, tail[2].split(",")))
        )


def _plain(word: str) -> str:
    """Undo proc's octal escapes of spaces and the like."""
    for code, char in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        word = word.replace(code, char)
    return word
