"""The SD card of the emulated Raspberry Pi: Debian with its own kernel, and the agent installed on it.

Three steps, each kept in the cache under a name made of what went into it:

1. *system*: a minimal Debian arm64, Debian's kernel, and what Raspberry Pi OS has beside them: the
   group `gpio` with its rule, network by DHCP, time by systemd-timesyncd. A root shell on the mini
   UART stands for the installer's keyboard.
2. *installed*: `setup.sh install` of this checkout, run in the system under qemu-user.
3. *card*: the above with an installer's files (`tests.pi.premises`), as a bare ext4 file system of a
   power of two of bytes, as the emulator wants it.

The first two need a network, all need root; a second run with the same checkout needs no step.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.pi import initrd, premises, tree
from tests.pi.outside import HOST
from tests.pi.qemu import Card

CHECKOUT = Path(__file__).parents[2]
HERE = Path(__file__).parent
RELEASE = "bookworm"
PACKAGES = (
    "busybox-static", "curl", "dbus", "iproute2", "kmod", "libzbar0", "procps", "python3",
    "python3-venv", "systemd-sysv", "systemd-timesyncd", "udev",
)  # fmt: skip
KERNEL = "linux-image-arm64"
BOARD = "bcm2837-rpi-3-b.dtb"
REVISION = "a02082"
CARD_BYTES = 4 << 30
PRODUCT = (
    "agent",
    "hal",
    "models",
    "packaging",
    "systemd",
    "setup.sh",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)

FILES = {
    "etc/fstab": "/dev/mmcblk0 / ext4 defaults,noatime 0 1\n",
    "etc/hostname": "gate-1\n",
    "etc/hosts": "127.0.0.1 localhost gate-1\n",
    "etc/systemd/network/lan.network": "[Match]\nName=en* usb* eth*\n[Network]\nDHCP=yes\n",
    "etc/systemd/timesyncd.conf": f"[Time]\nNTP={HOST}\nFallbackNTP=\nRootDistanceMaxSec=30\n",
    # As Raspberry Pi OS has it.
    "etc/udev/rules.d/99-gpio.rules": 'SUBSYSTEM=="gpio", GROUP="gpio", MODE="0660"\n',
    "etc/systemd/system/serial-getty@ttyS1.service.d/keyboard.conf": (
        "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I vt100\n"
    ),
}
ENABLED = ("systemd-networkd", "systemd-timesyncd")
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer")


def card(*, fresh: bool = False) -> tuple[Card, Path]:
    """Return a card with this checkout's agent, and the folder of its site's keys.

    Args:
        fresh: make the card anew.

    Raises:
        TreeError: it cannot be made.
    """
    tree.cache().mkdir(parents=True, exist_ok=True)
    with tree.locked(tree.cache() / "card.lock"):
        return _card(fresh=fresh)


def _card(*, fresh: bool) -> tuple[Card, Path]:
    installed = _installed(_system())
    parts = [
        installed.name,
        *(_hash(HERE / name) for name in ("image.py", "initrd.py", "premises.py")),
    ]
    folder = tree.cache() / f"card-{_digest(parts)}"
    if fresh or not (folder / "done").exists():
        for old in tree.cache().glob("card-*/"):  # each is a gigabyte or two
            tree.remove(old)
        root = tree.unpack(installed, folder / "tree")
        premises.make(root, folder / "site")
        boot(root, folder)
        write_card(root, folder / "card.img")
        tree.remove(root)
        (folder / "done").touch()
    return files(folder), folder / "site"


def files(folder: Path) -> Card:
    """Return the files of a card in its folder."""
    return Card(*(folder / name for name in ("card.img", "vmlinuz", "initrd", "board.dtb")))


def _system() -> Path:
    """Return the archive of Debian with its kernel."""
    base = tree.base_tree(RELEASE, "arm64", PACKAGES)
    return _kept("system", base, (repr(FILES), KERNEL), _add_kernel)


def _installed(system: Path) -> Path:
    """Return the archive of a system with this checkout's agent."""
    return _kept("installed", system, _product(), _install)


def _kept(kind: str, base: Path, parts: Iterable[str], add: Callable[[Path], None]) -> Path:
    """Return an archive made of another one and something more, from the cache where it is there."""
    how = inspect.getsource(add)
    archive = tree.cache() / f"{kind}-{_digest((base.name, how, *parts))}.tar"
    if archive.exists():
        return archive
    for old in tree.cache().glob(f"{kind}-*.tar"):
        old.unlink()
    folder = tree.unpack(base, archive.with_suffix(".tree"))
    add(folder)
    partial = archive.with_suffix(".partial")
    _run("tar", "--create", "--numeric-owner", "--xattrs", "--file", partial, "-C", folder, ".")
    partial.rename(archive)
    tree.remove(folder)
    return archive


def _add_kernel(folder: Path) -> None:
    """Lay Debian's kernel into a tree, and what Raspberry Pi OS has beside it."""
    tree.say("Debian's kernel")
    tree.run_in(folder, ["apt-get", "-qq", "update"])
    depends = tree.run_in(folder, ["apt-cache", "depends", KERNEL], capture_output=True).stdout
    package = re.search(r"Depends: (linux-image-\S+)", depends)
    if package is None:
        raise tree.TreeError(f"{KERNEL} names no kernel: {depends}")
    # Laid in, not installed: its installation would make an archive of every driver there is.
    script = (
        'apt-get -qq download "$1"; '
        'dpkg-deb --fsys-tarfile "$1"_*.deb | tar -x --keep-directory-symlink -C /; '
        'rm "$1"_*.deb; depmod "${1#linux-image-}"; apt-get clean'
    )
    tree.run_in(folder, ["sh", "-ec", script, "sh", package[1]], cwd="/tmp")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tree.run_in(folder, ["groupadd", "--system", "--force", "gpio"])
    tree.run_in(folder, ["systemctl", "enable", *ENABLED])
    tree.run_in(folder, ["systemctl", "mask", *MASKED])


def _install(folder: Path) -> None:
    """Install this checkout's agent in a tree, by its one door."""
    tree.say("setup.sh install, under qemu-user; this takes some minutes")
    tree.run_in(folder, ["/src/setup.sh", "install"], binds=[f"{CHECKOUT}:/src:ro"], cwd="/src")
    (folder / "src").rmdir()


def write_card(root: Path, image: Path) -> None:
    """Write a tree as a bare ext4 file system of the card's size."""
    with image.open("wb") as file:
        file.truncate(CARD_BYTES)
    _run("mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=1", "-d", root, image)


def boot(root: Path, folder: Path) -> None:
    """Put what the firmware would load into a folder: kernel, first file system, device tree."""
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    version = kernel.name.removeprefix("vmlinuz-")
    shutil.copy(kernel, folder / "vmlinuz")
    (folder / "initrd").write_bytes(initrd.make(root, version))
    board = folder / "board.dtb"
    (found,) = (root / "usr/lib").glob(f"linux-image-{version}/broadcom/{BOARD}")
    shutil.copy(found, board)
    # The module's port is the one that a Raspberry Pi 3 gives to its radio.
    _run("fdtput", "-r", board, "/soc/serial@7e201000/bluetooth")
    _run("fdtput", "-p", "-t", "x", board, "/system", "linux,revision", REVISION)


def _product() -> Iterable[str]:
    """Yield what the agent is installed from: names and contents."""
    for name in PRODUCT:
        path = CHECKOUT / name
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield f"{file.relative_to(CHECKOUT)} {_hash(file)}"


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _run(*words: str | Path) -> None:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise tree.TreeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
