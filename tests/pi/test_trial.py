"""What the trials share: pytest's last word, and a report that says what failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pi import tree, trial
from tests.pi.trial import Machine, Report, StepError


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("..\n2746 passed, 1 skipped in 587.91s (0:09:47)\n", "2746 passed, 1 skipped in 587.91s (0:09:47)"),
        ("1 failed, 2 passed, 3 deselected in 1.0s\n", "1 failed, 2 passed, 3 deselected in 1.0s"),
        ("==== 9 passed in 2.50s ====\n", "9 passed in 2.50s"),
        ("== 1 failed, 9 passed in 99.50s (0:01:39) ==\n", "1 failed, 9 passed in 99.50s (0:01:39)"),
        ("    2 errors in 0.10s\n    (/log)\n", "2 errors in 0.10s"),
        ("1 passed in 1.0s\nagain\n2 passed in 2.0s\n", "2 passed in 2.0s"),
    ],
)  # fmt: skip
def test_the_closing_line_is_pytests(said: str, line: str) -> None:
    assert trial.closing_line(said) == line


@pytest.mark.parametrize("said", ["", "no tests ran in 0.01s\n", "3 skipped in 0.1s\n", "killed\n"])
def test_a_suite_that_ran_nothing_is_no_success(said: str) -> None:
    with pytest.raises(StepError):
        trial.closing_line(said)


def test_a_report_names_its_trial_in_each_line(capsys) -> None:
    report = Report("bare: trixie")
    report.lines.append("test 9 passed in 1.0s")
    with pytest.raises(StepError):
        report.timed("test", lambda: (_ for _ in ()).throw(StepError("1 failed")))
    report.close("1 failed")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "bare: trixie: test 9 passed in 1.0s"
    assert said[1].startswith("bare: trixie: minutes: test 0.")
    assert said[2] == "bare: trixie: FAILED: 1 failed"
    Report("arm64: trixie").close()
    assert capsys.readouterr().out.splitlines()[-1] == "arm64: trixie: all held"


def test_a_command_that_fails_is_quoted_with_its_log(tmp_path: Path, monkeypatch) -> None:
    machine = Machine(tmp_path, tmp_path / "log.txt", ("/a:/b",))
    asked = {}

    class Done:
        returncode = 3

    def run_in(folder, argv, *, binds, stdout, cwd, **more):
        asked.update(more, folder=folder, binds=binds, cwd=cwd)
        stdout.write("why\n")
        stdout.flush()
        return Done

    monkeypatch.setattr(tree, "run_in", run_in)
    with pytest.raises(StepError, match=r"(?s)the door: exit 3\n.*    why\n    \(.*log\.txt\)"):
        machine.do("./setup.sh", "demo", named="the door", binds=("/c:/d",), cwd="/x")
    assert asked["binds"] == ["/a:/b", "/c:/d"]
    assert asked["cwd"] == "/x"
    Done.returncode = 0
    assert machine.do("true", who="pi4") == "\n+ pi4: true\nwhy\n"
    assert asked["cwd"] == machine.home
