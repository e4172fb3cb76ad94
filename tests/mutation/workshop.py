"""Has mutmut do its work for one part of a core in a folder of its own, outside what git tracks.

The folder holds links to the checkout and a pyproject.toml with mutmut's settings; mutmut copies
what it needs to `mutants` inside. Before the tests are run, each mutant that mypy refuses is marked
so in mutmut's own files, and each that is not to be run as skipped; mutmut leaves such marks alone.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mutation import mutants as made
from tests.mutation.cores import Core, Part

CAUGHT_BY_TYPE = 37  # mutmut's exit codes
SKIPPED = 34
_LINKS = ("agent", "hal", "models", "tests", "docs", "systemd", "packaging", "README.md")
_MEMORY = 6 << 30  # a mutant that fills a list for ever ends before the machine does
_running: set[int] = set()
_GENERATE = """
import os, sys
from mutmut.__main__ import create_mutants
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir
os.makedirs("mutants", exist_ok=True)
copy_src_dir()
copy_also_copy_files()
create_mutants(int(sys.argv[1]))
"""


class Failed(Exception):
    """mutmut, mypy or the tests of unchanged code failed; the message ends with what they said."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """The folder of one part of a core.

    root: the checkout. place: the folder. children: how many mutants are tested at once.
    """

    core: Core
    part: Part
    root: Path
    place: Path
    children: int

    @property
    def name(self) -> str:
        """For people: the core, and the part where there are several."""
        return " ".join(filter(None, (self.core.name, self.part.name)))

    @property
    def mutants(self) -> Path:
        return self.place / "mutants"

    def lay_out(self) -> None:
        """Begin anew: mutmut keeps its results when only tests have changed."""
        shutil.rmtree(self.mutants, ignore_errors=True)
        self.place.mkdir(parents=True, exist_ok=True)
        links = {name: self.root / name for name in _LINKS}
        links["shared"] = self.root.parent / "shared"  # vectors of others, where a machine has them
        for name, target in links.items():
            link = self.place / name
            link.unlink(missing_ok=True)
            if target.exists():
                link.symlink_to(target)
        project = (self.root / "pyproject.toml").read_text("utf-8")
        (self.place / "pyproject.toml").write_text(f"{project}\n{self._settings()}")

    def _settings(self) -> str:
        arguments = ["-p", "tests.mutation.plugin", "-p", "no:xdist", "-p", "no:cacheprovider"]
        arguments += ["--hypothesis-profile=mutation", "--timeout=20", "-r", "N", "--no-header"]
        arguments += ["-m", "not bench and not broker and not chaos and not device"]
        arguments += [f"--deselect={name}" for name in self.part.skip]
        said = {
            "source_paths": ["agent"],
            "only_mutate": list(self.part.sources),
            "also_copy": [name for name in _LINKS if name not in ("agent", "tests")],
            "pytest_add_cli_args": arguments,
            "pytest_add_cli_args_test_selection": list(self.part.tests),
            "track_dependencies": False,
            "use_git_change_detection": False,
            # A test that hangs is ended by its own --timeout. This is for all tests of a mutant
            # together, and so wide that a busy machine does not pass for one that noticed.
            "timeout_multiplier": 20.0,
            "timeout_constant": 3.0,
        }
        rows = "".join(f"{key} = {json.dumps(value)}\n" for key, value in said.items())
        return f"[tool.mutmut]\n{rows}"

    def generate(self) -> list[made.Mutant]:
        """Have mutmut write all mutants, and return them."""
        self._run("mutmut's generation", [sys.executable, "-c", _GENERATE, str(self.children)])
        return made.files(self.mutants, self.core, self.part, self.root)

    def prune(self, mutants: Iterable[made.Mutant]) -> None:
        """Leave only these mutants in the files that mutmut wrote."""
        mutants = list(mutants)
        for file in self.part.sources:
            keys = {mutant.key for mutant in mutants if mutant.file == file}
            path = self.mutants / file
            names = {key.rpartition(".")[2] for key in keys}
            path.write_text(made.pruned(path.read_text("utf-8"), names), "utf-8")
            meta = json.loads(self._meta(file).read_text("utf-8"))
            meta["exit_code_by_key"] = dict.fromkeys(sorted(keys))
            self._meta(file).write_text(json.dumps(meta))

    def refused_by_mypy(self) -> dict[str, str]:
        """Return the mutants that mypy refuses, by mutmut's name, with mypy's words."""
        cache = self.root / ".mutation" / "mypy"
        command = [sys.executable, "-m", "mypy", "--output=json", f"--cache-dir={cache}"]
        done = subprocess.run(
            [*command, *self.part.sources],
            cwd=self.mutants, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1):
            raise Failed(f"mypy: {_end(done.stdout + done.stderr)}")
        errors = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        refused: dict[str, str] = {}
        for file in self.part.sources:
            mine = [error for error in errors if error["file"] == file]
            names = refusals(made.by_line((self.mutants / file).read_text("utf-8")), mine)
            module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
            refused |= {f"{module}.{name}": message for name, message in names.items()}
        return refused

    def mark(self, codes: Mapping[str, int]) -> None:
        """Write results into mutmut's files for mutants that need no run."""
        for file in self.part.sources:
            path = self._meta(file)
            meta = json.loads(path.read_text("utf-8"))
            known = meta["exit_code_by_key"]
            known.update({key: code for key, code in codes.items() if key in known})
            path.write_text(json.dumps(meta))

    def test(self, only: Sequence[str] = ()) -> None:
        """Test the mutants that are not marked, or those that are named."""
        mutmut = [sys.executable, "-c", "from mutmut.__main__ import cli; cli()", "run"]
        self._run("mutmut", [*mutmut, f"--max-children={self.children}", *only])

    def codes(self) -> dict[str, int | None]:
        """Return mutmut's exit codes by its names."""
        found: dict[str, int | None] = {}
        for file in self.part.sources:
            found |= json.loads(self._meta(file).read_text("utf-8"))["exit_code_by_key"]
        return found

    def _meta(self, file: str) -> Path:
        return self.mutants / f"{file}.meta"

    def _run(self, what: str, command: Sequence[str]) -> None:
        """Run a command in the folder, its words in `mutmut.log`; end what it leaves behind."""
        scratch = tempfile.mkdtemp(prefix="idgate-mutation-")
        environment = {**os.environ, "PYTHONHASHSEED": "0", "IDGATE_MUTATION_SCRATCH": scratch}
        path = self.place / "mutmut.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command, cwd=self.place, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment, start_new_session=True,
            )  # fmt: skip
            _running.add(process.pid)
            try:
                resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
                resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
                code = process.wait()
            finally:
                _end_group(process.pid)
                process.wait()
                _running.discard(process.pid)
                shutil.rmtree(scratch, ignore_errors=True)
        if code != 0:
            raise Failed(f"{what} ended with {code}: {_end(path.read_text(errors='replace'))}")


def refusals(function_at: Mapping[int, str], errors: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return which mutants mypy's errors are about; what the unchanged copy shows too is not theirs.

    Such are attributes that are declared once more in each copy of `__init__`.
    """
    told: dict[str, dict[str, str]] = {}
    for error in errors:
        name = function_at.get(error["line"])
        if name is None or error["severity"] != "error":
            continue
        message = f"{error['code']}: {error['message']}"
        told.setdefault(name, {})[re.sub(r"\d+", "N", message)] = message
    found = {}
    for name, messages in told.items():
        own = set(messages) - set(told.get(made.original_of(name), ()))
        if own and not name.endswith("_orig"):
            found[name] = messages[min(own)]
    return found


def end_all() -> None:
    """End what other threads wait for."""
    for group in list(_running):
        _end_group(group)


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _end(text: str) -> str:
    return "\n".join(re.split(r"[\r\n]+", text.strip())[-25:])
