"""README's two commands on a bare Debian, as somebody who has just cloned the project meets them.

    ./setup.sh bare [--fresh] [--keep] [--user] [--install] [--times N] [RELEASE ...] [-- ARGUMENT ...]

For each release (bookworm and trixie where none is named), in a Debian tree that holds nothing but Debian:

1. a clone of the committed state is put into a fresh directory: no venv, no `../shared`, nothing that
   git does not know;
2. `./setup.sh demo` and `./setup.sh test`, by root; with --user by a plain user who may use sudo, in a
   folder with a space in its name, started from `/`;
3. with --install, `./setup.sh install --root` puts the gate into a second, bare tree from outside, and
   what was installed there is started.

What follows `--` goes to `test`, and makes the demo the fast one: a look at the harness, no proof.
Exit code 0 when all of it held, 1 when something did not, 2 when it cannot be done here. What each
command said is in the log that is named. A tree in which something failed is kept, in IDGATE_CACHE
(/var/cache/idgate), as are downloads.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tests.pi import tree, trial
from tests.pi.tree import TreeError
from tests.pi.trial import Machine, Report, StepError

ROOT = Path(__file__).parents[2]
RELEASES = ("bookworm", "trixie")
VISITOR = "visitor"
OF_ROOT = "/root/idgate"
OF_VISITOR = "/home/visitor/a gate/idgate"
COMMANDS = ("demo", "test")
"""README's, in its order; a test holds them together."""
_ADD_VISITOR = f"""
apt-get -qq update
apt-get -qq install -y --no-install-recommends sudo
useradd --create-home --shell /bin/bash {VISITOR}
echo '{VISITOR} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{VISITOR}
mkdir -p "$(dirname "$1")"
chown -R {VISITOR}: /home/{VISITOR}
"""


def native() -> str:
    """Return Debian's name of this machine's architecture.

    Raises:
        TreeError: no tree is made for it here.
    """
    machine = os.uname().machine
    for name, kernels in tree.MACHINES.items():
        if kernels == machine:
            return name
    raise TreeError(f"no trees for {machine}: {' or '.join(tree.MACHINES.values())}")


def clone(source: Path, folder: Path) -> str:
    """Put the committed state into a folder that is not there yet; return its commit.

    Raises:
        TreeError: git cannot make it.
    """
    words = ["git", "clone", "--quiet", "--depth", "1", source.absolute().as_uri(), str(folder)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise TreeError(f"git clone: {done.stderr.strip()}")
    said = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    changed = subprocess.run(
        ["git", "-C", str(source), "status", "--porcelain"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if changed.stdout:
        tree.say(f"not in it, as not committed: {len(changed.stdout.splitlines())} files")
    return said.stdout.strip()


class Visit:
    """Everything that is done in one tree of one release, in order."""

    def __init__(self, release: str, asked: argparse.Namespace, number: int = 1) -> None:
        self._release = release
        self._asked = asked
        self._architecture = native()
        self._work = tree.cache() / f"{release}-{self._architecture}-bare"
        who = " as a user" if asked.user else ""
        self.report = Report(
            f"bare: {release}{who}" + (f", run {number}" if asked.times > 1 else "")
        )

    def run(self) -> None:
        """Do every step. A command that fails keeps no later one from being tried.

        Raises:
            StepError: one did not hold.
            TreeError: no tree can be made here.
        """
        steps = {"tree": self._prepare, "demo": self._demo, "test": self._test}
        if self._asked.install:
            steps["install"] = self._install
        self._work.mkdir(parents=True, exist_ok=True)
        with tree.locked(self._work / "lock"):
            failed: list[str] = []
            for name, act in steps.items():
                try:
                    self.report.timed(name, act)
                except StepError as error:
                    failed.append(str(error))
            if failed:
                raise StepError("\n".join(failed))
            if not self._asked.keep:
                tree.remove(self._machine.folder)

    def _prepare(self) -> None:
        self._base = tree.base_tree(self._release, self._architecture, fresh=self._asked.fresh)
        folder = tree.unpack(self._base, self._work / "tree")
        log = self._work / "log.txt"
        log.unlink(missing_ok=True)
        self._machine = Machine(
            folder,
            log,
            tuple(trial.caches(self._architecture, of_root=not self._asked.user)),
            home="/",
        )
        inside = OF_VISITOR if self._asked.user else OF_ROOT
        if self._asked.user:
            self._machine.do("sh", "-ec", _ADD_VISITOR, "sh", inside, named="a plain user")
        commit = clone(ROOT, folder / inside[1:])
        if self._asked.user:
            self._machine.do("chown", "-R", f"{VISITOR}:", inside)
        self.report.lines.append(f"commit {commit} in {inside}")

    def _setup(self, *words: str) -> str:
        """Run the door as the visitor does: by its path, from elsewhere, or where it stands."""
        named = " ".join(("./setup.sh", *words))
        if not self._asked.user:
            return self._machine.do("./setup.sh", *words, cwd=OF_ROOT, named=named)
        return self._machine.do(
            "runuser", "-u", VISITOR, "--", "env", f"HOME=/home/{VISITOR}",
            f"{OF_VISITOR}/setup.sh", *words, named=named,
        )  # fmt: skip

    def _demo(self) -> None:
        self._setup("demo", *(["--fast"] if self._asked.arguments else []))
        self.report.lines.append("demo played to its end")

    def _test(self) -> None:
        try:
            said = self._setup("test", *self._asked.arguments)
        except StepError as error:
            with suppress(StepError):
                self.report.lines.append(f"test {trial.closing_line(str(error))}")
            raise
        self.report.lines.append(f"test {trial.closing_line(said)}")

    def _install(self) -> None:
        folder = tree.unpack(self._base, self._work / "gate")
        machine = Machine(folder, self._machine.log, self._machine.binds, home="/")
        with machine.log.open("a", encoding="utf-8") as log:
            words = [str(ROOT / "setup.sh"), "install", "--root", str(folder)]
            print(f"\n+ {' '.join(words)}", file=log, flush=True)
            done = subprocess.run(
                words, check=False, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        if done.returncode:
            raise StepError(f"install --root: exit {done.returncode} ({machine.log})")
        said = machine.do("idgate", "--version")
        machine.do("idgate", "models", "verify")
        for unit in ("idgate-gatekeeper", "idgate"):
            text = (folder / f"etc/systemd/system/{unit}.service").read_text("utf-8")
            started = re.search(r"^ExecStart=(\S+)", text, re.MULTILINE)
            if started is None or not machine.do("test", "-x", started[1]).startswith("\n+ "):
                raise StepError(f"{unit}.service starts nothing that is there")
        self.report.lines.append(f"installed from outside: {said.splitlines()[-1]}")
        if not self._asked.keep:
            tree.remove(folder)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked; `arguments` is what follows `--`."""
    words = argparse.ArgumentParser(
        prog="setup.sh bare", description=(__doc__ or "").split("\n")[0]
    )
    given = list(sys.argv[1:] if argv is None else argv)
    own, arguments = given, []
    if "--" in given:
        at = given.index("--")
        own, arguments = given[:at], given[at + 1 :]
    words.add_argument("releases", nargs="*", metavar="RELEASE", help=" or ".join(RELEASES))
    words.add_argument("--fresh", action="store_true", help="make the trees anew")
    words.add_argument("--keep", action="store_true", help="keep the trees, and say where")
    words.add_argument("--user", action="store_true", help="as a plain user with sudo")
    words.add_argument("--install", action="store_true", help="install --root into a tree too")
    words.add_argument("--times", type=int, default=1, metavar="N", help="N runs of each")
    asked = words.parse_args(own)
    asked.arguments = arguments
    if unknown := set(asked.releases) - set(RELEASES):
        words.error(f"no release {', '.join(sorted(unknown))}: {' or '.join(RELEASES)}")
    if not 1 <= asked.times <= 100:
        words.error("--times takes a number from 1 to 100")
    return asked


def main(argv: Sequence[str] | None = None) -> int:
    """Visit the releases that are named, or all."""
    asked = parse(argv)
    code = 0
    tried: list[tuple[Report, str]] = []
    for release in asked.releases or RELEASES:
        for number in range(1, asked.times + 1):
            problem = ""
            try:
                visit = Visit(release, asked, number)
                visit.run()
            except StepError as error:
                problem, code = str(error), code or 1
            except TreeError as error:
                print(f"bare: {release}: {error}", file=sys.stderr)
                return 2
            tried.append((visit.report, problem))
    for report, problem in tried:
        report.close(problem)
    return code


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
