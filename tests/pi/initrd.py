"""The first file system of the emulated board: enough to find the card and start what is on it.

Debian's initramfs-tools takes many minutes under qemu-user for an archive of every driver there is.
This one is put together in a second: a static busybox, the modules that the card and its file
system need with all that they need themselves, and an init of a few lines. Format: cpio newc, gzip.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

MODULES = ("bcm2835", "sdhci-iproc", "crc32c_generic", "ext4")
"""The card's two hosts, and its file system; ext4 asks for crc32c without naming it."""

_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs devtmpfs /dev
/bin/busybox mount -t proc proc /proc
for module in {modules}; do /bin/busybox insmod "/modules/$module"; done
until [ -b /dev/mmcblk0 ]; do /bin/busybox usleep 20000; done
/bin/busybox mount -t ext4 /dev/mmcblk0 /root
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /sbin/init
"""


def ordered(dependencies: str, wanted: Iterable[str]) -> list[str]:
    """Return the files of modules in the order of loading.

    Args:
        dependencies: the text of modules.dep.
        wanted: names of modules.

    Raises:
        ValueError: the kernel has no such module.
    """
    needs: dict[str, list[str]] = {}
    for line in dependencies.splitlines():
        name, _, rest = line.partition(":")
        needs[name] = rest.split()
    by_name = {Path(file).name.split(".", 1)[0]: file for file in needs}
    files: list[str] = []
    for module in wanted:
        if module not in by_name:
            raise ValueError(f"the kernel has no module {module}")
        # modules.dep has all dependencies of a module, the deepest last.
        files += [*reversed(needs[by_name[module]]), by_name[module]]
    return list(dict.fromkeys(files))


def archive(entries: Iterable[tuple[str, int, bytes]]) -> bytes:
    """Return a cpio archive, format newc.

    Args:
        entries: name, mode with the file's type, content; folders before what is in them.
    """
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + path
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def make(tree: Path, version: str) -> bytes:
    """Return the compressed archive for a tree with a kernel of that version and busybox-static.

    Raises:
        OSError, ValueError: something of it is not in the tree.
    """
    modules = tree / "usr/lib/modules" / version
    files = ordered((modules / "modules.dep").read_text("utf-8"), MODULES)
    folder, program = 0o040755, 0o100755
    init = _INIT.format(modules=" ".join(Path(file).name for file in files))
    entries = [
        *((name, folder, b"") for name in ("bin", "dev", "modules", "proc", "root")),
        ("bin/busybox", program, (tree / "bin/busybox").read_bytes()),
        ("init", program, init.encode()),
        *((f"modules/{Path(file).name}", program, (modules / file).read_bytes()) for file in files),
    ]
    return gzip.compress(archive(entries), compresslevel=1, mtime=0)
