"""A Debian tree of any release and architecture, made and entered without a question.

Used by the trials in trees (`setup.sh arm64`, `bare`, `picamera`), by the card of the emulated Raspberry
Pi, and as a program by `setup.sh install --root`. Standard library only, so that the system's own
Python runs it.

    tree.py [--bind SOURCE:TARGET[:ro]] TREE -- COMMAND [ARGUMENT ...]

- The mirror is the one that this machine's own apt uses; the archive's keys are Debian's keyring.
- A foreign architecture runs under qemu-user: its handler is registered with the kernel here,
  opened at once (flag F), so nothing of QEMU's is copied into a tree.
- A base tree is kept as an archive in the cache and unpacked for each use: what is done in one use
  is not seen by the next.
- Each command in a tree runs in namespaces of its own. Its mounts and its processes end with it,
  and with this process, however that ends. A tree under which something is mounted is not removed.
- Inside, the index settings, the proxies and the certificates of this machine apply.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}  # Debian's name -> the kernel's and QEMU's
# Inside a tree, where nothing stays of them: a tree may be somebody's card in the making.
CERTIFICATES = "/run/idgate-ca.crt"
PIP_SETTINGS = "/run/idgate-pip.conf"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_CERTIFICATE_NAMES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class TreeError(Exception):
    """A tree cannot be made or entered; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """One line of apt's sources: where, and which suite as a suffix of the release's name."""

    uri: str
    suffix: str
    """`""`, `"-updates"` or `"-security"`."""


def say(text: str) -> None:
    """Tell the person at the terminal what is being done."""
    print(f"tree: {text}", file=sys.stderr, flush=True)


def cache() -> Path:
    """Return the folder of all trees and archives: IDGATE_CACHE, else /var/cache/idgate."""
    return Path(os.environ.get("IDGATE_CACHE") or "/var/cache/idgate")


def _one_line(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (uri, suite, components) of sources in apt's one-line form."""
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", "", line.partition("#")[0]).split()
        if len(words) >= 4 and words[0] == "deb":
            yield words[1], words[2], words[3:]


def _deb822(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (uri, suite, components) of sources in apt's deb822 form."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", kept):
        fields: dict[str, list[str]] = {}
        name = ""
        for line in stanza.splitlines():
            head, colon, value = line.partition(":")
            if line[:1].isspace():
                fields.get(name, []).extend(line.split())
            elif colon:
                name = head.strip().lower()
                fields[name] = value.split()
        if "deb" not in fields.get("types", []) or fields.get("enabled") == ["no"]:
            continue
        for uri in fields.get("uris", []):
            for suite in fields.get("suites", []):
                yield uri, suite, fields.get("components", [])


def sources(apt: Path = Path("/etc/apt"), codename: str = "") -> list[Source]:
    """Return where this machine's own apt gets Debian from, the release itself first.

    Raises:
        TreeError: apt knows no source of this machine's release.
    """
    if not codename:
        release = Path("/etc/os-release").read_text("utf-8")
        found_name = re.search(r"^VERSION_CODENAME=\"?([a-z]+)", release, re.MULTILINE)
        codename = found_name[1] if found_name else ""
    entries: list[tuple[str, str, list[str]]] = []
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    for path in files:
        if path.suffix == ".sources" and path.is_file():
            entries += _deb822(path.read_text("utf-8"))
        elif path.suffix == ".list" and path.is_file():
            entries += _one_line(path.read_text("utf-8"))
    found = [
        Source(uri.rstrip("/"), suite[len(codename) :])
        for uri, suite, components in entries
        if "main" in components
        and suite in {codename + end for end in ("", "-updates", "-security")}
    ]
    # A derivative names its own archive by Debian's suites: Debian's is the one that has updates.
    debian = {each.uri for each in found if each.suffix == "-updates"}
    main = [each for each in found if not each.suffix]
    main.sort(key=lambda each: each.uri not in debian)
    if not main:
        raise TreeError(f"apt's sources name no mirror of {codename or 'this release'}")
    return [main[0], *dict.fromkeys(each for each in found if each.suffix)]


def _release_sources(release: str) -> str:
    """Return the sources.list of a tree: as here, for another release, with components as here."""
    return "".join(f"deb {each.uri} {release}{each.suffix} main\n" for each in sources())


def _binfmt_line(machine: str) -> str:
    """Return the kernel's registration line for a machine, as Debian's package has it."""
    path = Path(f"/usr/lib/binfmt.d/qemu-{machine}.conf")
    try:
        lines = [line for line in path.read_text("utf-8").splitlines() if line.startswith(":")]
    except OSError as error:
        raise TreeError(f"{path}: {error.strerror}; install qemu-user-static") from error
    return lines[0]


def need_machine(architecture: str) -> None:
    """See to it that this kernel runs programs of an architecture.

    Raises:
        TreeError: not root, no binfmt_misc in the kernel, or no QEMU.
    """
    if os.geteuid() != 0:
        raise TreeError("a Debian tree is made and entered by root")
    machine = MACHINES[architecture]
    if os.uname().machine == machine:
        return
    if not (BINFMT / "register").exists():
        done = subprocess.run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise TreeError(
                f"this kernel runs no foreign programs (binfmt_misc): {done.stderr.strip()}"
            )
    entry = BINFMT / f"qemu-{machine}"
    if entry.exists():
        state = entry.read_text("ascii")
        if state.startswith("enabled") and re.search(r"^flags: .*F", state, re.MULTILINE):
            return
        entry.write_text("-1")  # registered, but not so that a tree could use it
    (BINFMT / "register").write_text(_binfmt_line(machine))
    say(f"registered qemu-{machine} with the kernel")


def debootstrap(release: str, architecture: str, packages: Sequence[str], folder: Path) -> None:
    """Make a minimal Debian with more packages in an empty folder.

    Raises:
        TreeError: debootstrap failed; its last lines are shown.
    """
    need_machine(architecture)
    (archives := cache() / f"apt-{architecture}").mkdir(parents=True, exist_ok=True)
    say(f"debootstrap of {release} {architecture}; this takes some minutes")
    # Only a mirror behind TLS needs them, and they take minutes under an emulator.
    secure = (
        {"ca-certificates"} if any(each.uri.startswith("https:") for each in sources()) else set()
    )
    chosen = ",".join(sorted({*packages, *secure}))
    # Into namespaces of its own: it mounts /proc in the tree, and may be killed.
    done = subprocess.run(
        [*apart(), "debootstrap", f"--arch={architecture}", "--variant=minbase",
         *([f"--include={chosen}"] if chosen else []), f"--keyring={KEYRING}",
         f"--cache-dir={archives.absolute()}", release, folder, sources()[0].uri],
        check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode:
        tail = "\n".join(done.stdout.decode("utf-8", "replace").splitlines()[-5:])
        raise TreeError(f"debootstrap ended with {done.returncode}:\n{tail}")
    (folder / "etc/apt/sources.list").write_text(_release_sources(release))
    (folder / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (folder / "etc/hostname").write_text("gate\n")


def base_tree(
    release: str, architecture: str, packages: Sequence[str] = (), *, fresh: bool = False
) -> Path:
    """Return the archive of a minimal Debian with more packages: made once, then from the cache.

    Args:
        release: Debian's name of the release, as `"bookworm"`.
        architecture: Debian's name of the architecture, as `"arm64"`.
        packages: installed besides what each Debian has.
        fresh: make it anew.

    Raises:
        TreeError: it cannot be made.
    """
    need_machine(architecture)
    key = hashlib.sha256("\n".join(sorted(set(packages))).encode()).hexdigest()[:8]
    name = f"{release}-{architecture}-{key}"
    cache().mkdir(parents=True, exist_ok=True)
    archive = cache() / f"{name}.tar"
    with locked(cache() / f"{name}.lock"):
        if archive.exists() and not fresh:
            return archive
        folder = cache() / f"{name}.base"
        remove(folder)
        debootstrap(release, architecture, packages, folder)
        partial = archive.with_suffix(".partial")
        _run("tar", "--create", "--numeric-owner", "--xattrs", "--file", partial, "-C", folder, ".")
        partial.rename(archive)
        remove(folder)
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a base tree into a folder, in place of what stood there; return the folder."""
    remove(folder)
    folder.mkdir(parents=True)
    _run("tar", "--extract", "--numeric-owner", "--xattrs", "--same-permissions",
         "--file", archive, "-C", folder)  # fmt: skip
    return folder


def link(source: Path, folder: Path) -> None:
    """Make a folder a second tree of the same files, in place of what stood there.

    It outlives what is removed or replaced in the first, and sees what is written into a file there.
    """
    remove(folder)
    _run("cp", "--archive", "--link", source, folder)


def remove(folder: Path) -> None:
    """Remove a tree.

    Raises:
        TreeError: something is mounted in it.
    """
    inside = f"{folder.absolute()}/"
    for line in Path("/proc/self/mountinfo").read_text("utf-8").splitlines():
        point = line.split()[4].replace("\\040", " ")
        if f"{point}/".startswith(inside):
            raise TreeError(f"{point} is still mounted: not removing {folder}")
    if folder.exists():
        shutil.rmtree(folder)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command in a tree: this machine's index settings and proxies."""
    inside = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    for name, value in os.environ.items():
        # What names a file or folder of this machine means nothing inside.
        local = value.startswith(("/", "file:", "~"))
        if name in _PROXIES or (name.startswith("PIP_") and not local):
            inside[name] = value
    if Path("/etc/pip.conf").is_file():
        inside["PIP_CONFIG_FILE"] = PIP_SETTINGS
    if _certificates() is not None:
        inside |= dict.fromkeys(_CERTIFICATE_NAMES, CERTIFICATES)
    return inside | dict(extra or {})


def run_in(
    tree: Path,
    argv: Sequence[str | Path],
    *,
    binds: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    check: bool = True,
    **more: Any,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a tree as root and wait for it.

    Args:
        tree: an unpacked tree.
        argv: the command, with paths as seen inside.
        binds: `SOURCE:TARGET` or `SOURCE:TARGET:ro`, folders or files of this machine shown inside.
        env: set besides `environment()`.
        cwd: where it starts, as seen inside.
        check: an exit code other than 0 is an error.
        more: for `subprocess.run`, as `timeout`, `stdout` or `capture_output`.

    Raises:
        TreeError: the command failed and `check` is set.
        subprocess.TimeoutExpired: as of `subprocess.run`; nothing of the command is left.
    """
    certificates = _certificates()
    shown = [
        f"{path}:{target}:ro"
        for path, target in (
            (Path("/etc/resolv.conf").resolve(), "/etc/resolv.conf"),
            (Path("/etc/pip.conf"), PIP_SETTINGS),
            (certificates, CERTIFICATES),
        )
        if path is not None and path.is_file()
    ]
    # The one place that a tree may lack: what is made there for the moment does not stay.
    names = tree / "etc/resolv.conf"
    lacking = not os.path.lexists(names)
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [*apart(), HERE / "enter.sh", tree.absolute(), cwd, *shown, *binds, "--", *argv],
            env=environment(env), text=True, check=False, stdin=subprocess.DEVNULL, **more,
        )  # fmt: skip
    finally:
        if lacking and names.is_file() and not names.stat().st_size:
            names.unlink()
    if check and done.returncode:
        said = f"\n{done.stdout or ''}{done.stderr or ''}".rstrip()
        raise TreeError(f"in {tree.name}: {' '.join(map(str, argv))}: exit {done.returncode}{said}")
    return done


def apart() -> list[str]:
    """Return the words that put a command into namespaces of its own and end it with this process."""
    return ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork",
            "--kill-child", "--propagation", "private", "--"]  # fmt: skip


def _certificates() -> Path | None:
    """Return the bundle of certificate authorities that this machine was told to believe, if any."""
    for name in _CERTIFICATE_NAMES:
        path = Path(os.environ.get(name) or "/nowhere")
        if path.is_file():
            return path.resolve()
    return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file: two commands do not make one tree at once."""
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise TreeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command in a tree; return its exit code, or 2 where no tree can be entered."""
    words = argparse.ArgumentParser(prog="tree.py", description=(__doc__ or "").split("\n")[0])
    words.add_argument("--bind", action="append", default=[], metavar="SOURCE:TARGET[:ro]")
    words.add_argument("tree", type=Path)
    words.add_argument("command", nargs="+")
    asked = words.parse_args(argv)
    probe = subprocess.run([*apart(), "true"], check=False, capture_output=True, text=True)
    if probe.returncode:
        why = probe.stderr.strip() or "not as root"
        print(f"tree: {asked.tree} cannot be entered here: {why}", file=sys.stderr)
        return 2
    code = run_in(asked.tree, asked.command, binds=asked.bind, check=False).returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
