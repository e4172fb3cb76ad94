"""What the trials in Debian trees share: a tree with its log, the steps with their times, pytest's last word.

Standard library only, as `tree`: the system's own Python runs it.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.pi import tree

STEP_S = 3600.0


class StepError(Exception):
    """A step did not hold; the text says which and where to read on."""


@dataclass(slots=True)
class Machine:
    """One tree of one release, and the log of what was done in it."""

    folder: Path
    log: Path
    binds: tuple[str, ...] = ()
    home: str = "/root/idgate"
    """Where a command starts unless it is told, as seen inside."""

    def do(
        self,
        *argv: str,
        cwd: str = "",
        who: str = "",
        named: str = "",
        binds: tuple[str, ...] = (),
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run a command in the tree; return what it said.

        Args:
            argv: the command, with paths as seen inside.
            cwd: where it starts; `home` if left out.
            who: stands before the command in the log, as the processor it runs on.
            named: what it is called in an error; its first word if left out.
            binds: shown inside besides the machine's own.
            env: set besides a tree's own.

        Raises:
            StepError: it failed, or took longer than an hour.
        """
        start = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("a", encoding="utf-8") as log:
            print(f"\n+ {f'{who}: ' if who else ''}{' '.join(argv)}", file=log, flush=True)
            try:
                done = tree.run_in(
                    self.folder, argv, cwd=cwd or self.home, check=False, timeout=STEP_S,
                    binds=[*self.binds, *binds], env=env, stdout=log, stderr=subprocess.STDOUT,
                )  # fmt: skip
                code = done.returncode
            except subprocess.TimeoutExpired:
                code = 124
        said = self.log.read_bytes()[start:].decode("utf-8", "replace")
        if code:
            tail = "\n".join(f"    {line}" for line in said.splitlines()[-30:])
            raise StepError(f"{named or argv[0]}: exit {code}\n{tail}\n    ({self.log})")
        return said


@dataclass(slots=True)
class Report:
    """What is said of a release at the end."""

    name: str
    """Whose report: stands before each line, as `arm64: bookworm`."""
    lines: list[str] = field(default_factory=list)
    minutes: dict[str, float] = field(default_factory=dict)

    def timed(self, name: str, act: Callable[[], None]) -> None:
        """Do a step and keep how long it took."""
        tree.say(f"{name} ...")
        begin = time.monotonic()
        try:
            act()
        finally:
            self.minutes[name] = (time.monotonic() - begin) / 60

    def close(self, problem: str = "") -> None:
        """Print what is to be known."""
        for line in self.lines:
            print(f"{self.name}: {line}")
        taken = ", ".join(f"{name} {minutes:.1f}" for name, minutes in self.minutes.items())
        print(f"{self.name}: minutes: {taken}, in all {sum(self.minutes.values()):.1f}")
        print(f"{self.name}: {'FAILED: ' + problem if problem else 'all held'}", flush=True)


def closing_line(said: str) -> str:
    """Return pytest's closing line, as `2746 passed, 1 skipped in 587.91s`.

    Raises:
        StepError: there is none, or it ran no test.
    """
    lines = re.findall(
        r"^ *(?:=+ )?(\d+ (?:passed|failed|errors?)\b.* in [\d.]+s[^=\n]*?)(?: =+)?$",
        said,
        re.MULTILINE,
    )
    if not lines:
        raise StepError("pytest did not say how it ended")
    return str(lines[-1])


def caches(architecture: str, *, of_root: bool = True) -> list[str]:
    """Return binds that keep downloads between runs: apt's, and pip's where root runs it."""
    kept = {f"apt-{architecture}": "/var/cache/apt/archives"}
    if of_root:
        kept["pip"] = "/root/.cache/pip"
    for name in kept:
        (tree.cache() / name).mkdir(parents=True, exist_ok=True)
    return [f"{tree.cache() / name}:{inside}" for name, inside in kept.items()]
