"""A Debian tree of this machine's own programs: made in no time, entered for real, and writable where it must be."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pi import tree

_COPIED = (
    "alternatives",
    "ld.so.cache",
    "ld.so.conf",
    "login.defs",
    "os-release",
    "debian_version",
)
PASSWD = "root:x:0:0::/root:/bin/bash\n"
GROUP = "root:x:0:\nshadow:x:42:\nvideo:x:44:\ngpio:x:993:\n"


class SmallTree:
    """The tree; its /usr is this machine's, read-only, and is there while a command runs in or on it."""

    def __init__(self, folder: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("a tree is entered by root")
        probe = subprocess.run([*tree.apart(), "true"], check=False, capture_output=True, text=True)
        if probe.returncode:
            pytest.skip(f"no namespaces of its own here: {probe.stderr.strip()}")
        if not Path("/usr/bin/python3").exists():
            pytest.skip("no Python of the system's own")
        self.folder = folder
        self.local = folder.with_name(f"{folder.name}-local")
        for name in (
            "proc",
            "sys",
            "dev",
            "run",
            "tmp",
            "root",
            "opt",
            "etc",
            "usr",
            "var/lib/dpkg",
        ):
            (folder / name).mkdir(parents=True)
        (self.local / "bin").mkdir(parents=True)
        self._binds = ["/usr", "/var/lib/dpkg"]
        for name in ("bin", "sbin", "lib", "lib64"):
            outside = Path("/", name)
            if outside.is_symlink():
                (folder / name).symlink_to(outside.readlink())
            elif outside.is_dir():
                (folder / name).mkdir()
                self._binds.append(f"/{name}")
        for name in _COPIED:
            outside = Path("/etc", name)
            if outside.is_dir():
                shutil.copytree(outside, folder / "etc" / name, symlinks=True)
            elif outside.exists():
                shutil.copy(outside, folder / "etc" / name)
        (folder / "etc/passwd").write_text(PASSWD)
        (folder / "etc/group").write_text(GROUP)

    def beside(self, *argv: str | Path, **more) -> subprocess.CompletedProcess[str]:
        """Run a command of this machine's while the tree is whole; {tree} in it is the folder."""
        quoted = shlex.quote(str(self.folder))
        lines = [
            f"mount --bind {name} {quoted}{name} && mount -o remount,bind,ro {quoted}{name}"
            for name in self._binds
        ]
        lines.append(f"mount --bind {shlex.quote(str(self.local))} {quoted}/usr/local")
        script = "\n".join([*lines, 'exec "$@"'])
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", script, "sh", *argv],
            check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more,
        )  # fmt: skip

    def inside(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, by nothing but chroot."""
        return self.beside("chroot", self.folder, *argv)
