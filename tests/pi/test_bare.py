"""The visit to a bare machine: what it is given, what it runs, and what it says of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pi import bare, tree
from tests.pi.bare import COMMANDS, RELEASES, Visit
from tests.pi.trial import StepError
from tests.support.paths import ROOT


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", folder, "-c", "user.name=x", "-c", "user.email=x@example", *words],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_clone_has_what_is_committed_and_nothing_else(tmp_path: Path, capsys) -> None:
    source = tmp_path / "source"
    source.mkdir()
    git(source, "init", "--quiet")
    (source / ".gitignore").write_text(".venv\n")
    (source / "kept").write_text("committed")
    git(source, "add", ".")
    git(source, "commit", "--quiet", "-m", "One")
    (source / ".venv").mkdir()
    (source / "kept").write_text("changed")
    (source / "new").touch()
    commit = bare.clone(source, tmp_path / "a visitor's/idgate")
    inside = tmp_path / "a visitor's/idgate"
    assert sorted(path.name for path in inside.iterdir()) == [".git", ".gitignore", "kept"]
    assert (inside / "kept").read_text() == "committed"
    assert commit == git(source, "rev-parse", "--short", "HEAD")
    assert "not in it, as not committed: 2 files" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_folder_without_git_cannot_be_visited(tmp_path: Path) -> None:
    with pytest.raises(tree.TreeError, match="git clone: "):
        bare.clone(tmp_path, tmp_path / "idgate")


def test_it_runs_what_the_readme_says_first() -> None:
    block = re.search(r"## Try it\n+```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert tuple(re.findall(r"^\./setup\.sh (\w+)", block[1], re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("words", [["sid"], ["--times", "0"], ["--times", "x"], ["--frsh"]])
def test_a_visit_that_cannot_be_is_a_usage_error(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bare.parse(words)
    assert ended.value.code == 2


def test_arguments_of_pytest_follow_two_dashes() -> None:
    asked = bare.parse(["trixie", "--user", "--", "tests/hal", "--", "-q"])
    assert asked.releases == ["trixie"]
    assert asked.arguments == ["tests/hal", "--", "-q"]
    assert bare.parse([]).arguments == []


class Machine:
    """Stands for the tree: writes down what is run, and lets a part fail."""

    def __init__(self, folder: Path, failing: str) -> None:
        self.folder = folder
        self.log = folder / "log.txt"
        self.failing = failing
        self.ran: list[str] = []

    def do(self, *argv: str, **more: object) -> str:
        self.ran.append(" ".join(argv))
        if self.failing in argv:
            raise StepError("./setup.sh: exit 1\n    2 failed, 3 passed in 9.50s\n    (log)")
        return "5 passed in 9.00s\n"


@pytest.fixture
def visited(monkeypatch, tmp_path: Path):
    """Return a function: words of the command line, what fails -> (exit code, machines)."""
    monkeypatch.setenv("IDGATE_CACHE", str(tmp_path))
    monkeypatch.setattr(tree, "remove", lambda folder: None)
    machines: list[Machine] = []

    def visit(*words: str, failing: str = "none") -> tuple[int, list[Machine]]:
        def prepare(self: Visit) -> None:
            self._machine = Machine(tmp_path, failing)
            machines.append(self._machine)

        monkeypatch.setattr(Visit, "_prepare", prepare)
        return bare.main(words), machines

    return visit


def test_both_commands_run_in_each_release(visited, capsys) -> None:
    code, machines = visited()
    assert code == 0
    assert [each.ran for each in machines] == [["./setup.sh demo", "./setup.sh test"]] * len(
        RELEASES
    )
    said = capsys.readouterr().out
    for release in RELEASES:
        assert f"bare: {release}: demo played to its end\n" in said
        assert f"bare: {release}: test 5 passed in 9.00s\n" in said


@pytest.mark.parametrize("failing", COMMANDS)
def test_a_command_that_fails_keeps_the_other_from_nothing(visited, capsys, failing: str) -> None:
    code, (machine,) = visited("trixie", failing=failing)
    assert code == 1
    assert machine.ran == ["./setup.sh demo", "./setup.sh test"]
    said = capsys.readouterr().out
    assert "bare: trixie: FAILED: ./setup.sh: exit 1" in said
    wanted = "2 failed, 3 passed" if failing == "test" else "5 passed"
    assert f"bare: trixie: test {wanted}" in said


def test_three_runs_are_three_trees(visited, capsys) -> None:
    code, machines = visited("bookworm", "--times", "3", "--user", "--", "tests/hal", "-q")
    assert code == 0
    assert len(machines) == 3
    door = f"runuser -u visitor -- env HOME=/home/visitor {bare.OF_VISITOR}/setup.sh"
    assert machines[2].ran == [f"{door} demo --fast", f"{door} test tests/hal -q"]
    assert " " in bare.OF_VISITOR
    assert "bare: bookworm as a user, run 3: all held" in capsys.readouterr().out


def test_where_no_tree_is_made_nothing_is_claimed(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setenv("IDGATE_CACHE", str(tmp_path))

    def no_tree(*words: object, **more: object) -> Path:
        raise tree.TreeError("a Debian tree is made and entered by root")

    monkeypatch.setattr(tree, "base_tree", no_tree)
    assert bare.main(["trixie"]) == 2
    said = capsys.readouterr()
    assert "held" not in said.out
    assert said.err.splitlines()[-1] == "bare: trixie: a Debian tree is made and entered by root"
