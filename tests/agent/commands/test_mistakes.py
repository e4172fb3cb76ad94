"""The same mistake has the same exit code everywhere, and is one line on standard error.

A file that is not there, cannot be read, is a directory, or holds something else: 2, whatever the
command. Standard output that takes nothing: 3; that nobody reads: 141, in silence.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import cli
from tests.support.paths import ROOT

MISTAKES = ("none", "loop", "directory", "junk")
"""Not there, not to be read (root too), a directory, and bytes that are nothing."""

FILES = {
    "run --config @": MISTAKES,
    "doctor --config @": MISTAKES,
    "doctor --config @ --no-hardware": MISTAKES,
    "scan @": MISTAKES,
    "verify --config @ x": MISTAKES,
    "verify --trust @ x": ("none", "loop", "junk"),
    "verify --trust pilot/trust --image @": MISTAKES,
    "verify --trust pilot/trust --site @ x": MISTAKES,
    "issue key x --out @": ("loop", "junk"),
    "issue credential --issuer @ --subject 1 --out o": MISTAKES,
    "issue credential --issuer pilot/city.key.pem --holder @ --subject 1 --out o": MISTAKES,
    "issue credential --issuer pilot/city.key.pem --face @ --face-model x --subject 1 --out o": MISTAKES,
    "issue credential --issuer pilot/city.key.pem --finger @ --subject 1 --out o": MISTAKES[:3],
    "issue credential --issuer pilot/city.key.pem --subject 1 --out @": ("loop", "directory"),
    "issue status --issuer @ --uri u --out o": MISTAKES,
    "issue status --issuer pilot/city.key.pem --uri u --out @": ("loop", "directory"),
    "issue ticket --issuer pilot/city.key.pem --holder @ --subject 1 --out o": MISTAKES,
    "issue ticket --issuer @ --subject 1 --out o": MISTAKES,
    "issue present @": MISTAKES,
    "issue present card --holder @": MISTAKES,
    "issue present card --holder pilot/phone.key.pem --ticket @": MISTAKES,
    "issue present card --holder pilot/phone.key.pem --site-key @": MISTAKES,
    "issue present card --holder pilot/phone.key.pem --png @": ("loop", "directory"),
    "trust show @": ("none", "loop", "junk"),
    "trust init @ --no-password --keys keys": ("loop", "junk"),
    "trust update cache --from @": MISTAKES,
    "trust update cache --from repo --root @": MISTAKES,
    "trust add-issuer @ pilot/trust/city.pem": ("none", "loop", "junk"),  # a directory is a trust
    "trust add-revocation repo @": MISTAKES,
    "trust add-issuer repo @": MISTAKES,
    "trust add-issuer repo pilot/trust/city.pem --describe @": MISTAKES,
    "trust add-root repo @": MISTAKES,
    "trust add-operator repo @ --role open": MISTAKES,
    "trust add-roster repo @ --roster-key roster.key": MISTAKES,
    "trust add-roster repo people.csv --roster-key @": MISTAKES,
    "trust add-status repo @": MISTAKES[:3],
    "trust add-profile repo @": MISTAKES,
    "trust add-model repo @": MISTAKES[:3],
    "trust remove @ x": MISTAKES,
    "trust rotate @ root --no-password": MISTAKES,
    "trust renew @ root": MISTAKES,
    "trust sign @": MISTAKES,
    "trust sign repo --key @": MISTAKES,
    "trust publish repo --key @": MISTAKES,
    "trust publish-status repo @": MISTAKES[:3],
    "trust publish-status repo junk --key @": MISTAKES,
    "trust delegate-status @ --no-password": MISTAKES,
    "trust bundle @ stick": MISTAKES,
    "trust bundle repo @": ("loop", "junk"),
    "trust take @ stick": MISTAKES,
    "trust take repo @": MISTAKES,
    "trust update cache --from https://localhost:1 --ca @": MISTAKES,
    "finger enroll --config @": MISTAKES,
    "finger delete --config @": MISTAKES,
    "finger list --config @": MISTAKES,
    "finger verify --config @": MISTAKES,
    "finger export --config @ --out o": MISTAKES,
    "finger test --config @": MISTAKES,
    "finger pair --config @": MISTAKES,
    "gate safe --config @": MISTAKES,
    "gate inputs --config @": MISTAKES,
    "gate test --config @": MISTAKES,
    "gate timeline --config @": MISTAKES,
    "gate key --config @": MISTAKES,
    "holidays @": MISTAKES,
    "holidays holidays.ics --profile @": MISTAKES,
    "journal show --config @": MISTAKES,
    "journal export --config @": MISTAKES,
    "journal find --config @ --issuer city": MISTAKES,
    "journal erase --config @ --issuer city": MISTAKES,
    "issue cards @ --issuer pilot/city.key.pem --out o": MISTAKES,
    "issue cards people.csv --issuer @ --out o": MISTAKES,
    "models list --models @": MISTAKES,
    "models verify --models @": MISTAKES,
    "models add @ --to new --entry entry.toml": MISTAKES,
    "models add junk --to new --entry @": MISTAKES,
    "fleet collect --key @": MISTAKES,
    "fleet collect --database @": MISTAKES[1:],  # one that is not there is made
    "fleet collect --gates @": MISTAKES,
    "fleet gates --gates @": MISTAKES,
    "fleet gates --database @": MISTAKES,
    "fleet verify @": MISTAKES,
    "fleet accept --database @ s/g 0011223344556677": MISTAKES,
    "fleet retire --database @ s/g": MISTAKES,
    "fleet rename --database @ s/g s/h": MISTAKES,
    "fleet send --key @ s/g open": MISTAKES,
    "fleet configure --key @ --version 1 s/g": MISTAKES,
    "fleet export --database @ --csv -": MISTAKES,
    "fleet watch --once --password-file @": MISTAKES[:3],
    "fleet watch --once --ca @": MISTAKES[:3],
    "fleet watch --once --cert @": MISTAKES[:3],
    "desk init @ --site s --host h --keys k --no-password": ("loop", "junk"),
    "desk init new --site s --host h --keys @ --no-password": ("loop", "junk"),
    "desk init new --site s --host h --keys k --password-file @": MISTAKES[:3],
    "desk run @": MISTAKES,
    "desk certificate @": MISTAKES,
    "desk staff-add @ mo --role clerk": MISTAKES,
    "desk staff-invite @ mo": MISTAKES,
    "desk staff-end @ mo": MISTAKES,
    "desk staff-list @": MISTAKES,
    "desk gate-invite @ north": MISTAKES,
    "desk gate-remove @ north": MISTAKES,
    "desk gates @": MISTAKES,
    "desk publish @": MISTAKES,
    "desk bundle-write @ stick": MISTAKES,
    "desk bundle-take @ stick": MISTAKES,
    "desk erase-expired @": MISTAKES,
    "desk verify @": MISTAKES,
    "desk broker @": MISTAKES,
    "join @": MISTAKES,
    "demo --fast --out @": ("loop", "junk"),
    "face enroll @ --out o": MISTAKES[:3],  # that no picture is good enough is an answer: 1
    "face compare @ junk": MISTAKES,
    "face evaluate --images pilot --pairs @": MISTAKES,
    "face calibrate --images @": MISTAKES,
    "face spoof-render --faces @ --out o": MISTAKES,
    "face spoof-eval --clips @": MISTAKES,
    "face compare junk junk --models @": MISTAKES,
}  # fmt: skip

NO_FILE = {"fleet simulate", "help"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with one of each; nothing in it is changed by a mistake."""
    folder = tmp_path_factory.mktemp("desk")
    here = Path.cwd()
    os.chdir(folder)
    try:
        (folder / "loop").symlink_to("loop")
        (folder / "directory").mkdir()
        (folder / "junk").write_bytes(b"junk\xff\x00")
        (folder / "roster.key").write_bytes(b"k" * 32)
        (folder / "people.csv").write_text("subject\n1\n")
        (folder / "entry.toml").write_text("")
        (folder / "holidays.ics").write_text("BEGIN:VCALENDAR\nEND:VCALENDAR\n")
        base = '[gate]\nsite = "s"\ngate = "g"\n%s[[camera]]\ndriver = "simulated"\n'
        base += '[trust]\ndirectory = "pilot/trust"\n[gpio]\ndriver = "simulated"\n[finger]\ndriver = "simulated"\nfamily = "r307"\n'
        (folder / "good.toml").write_text(base % "")
        (folder / "wrong-key.toml").write_text(base % 'profil = "library"\n')
        (folder / "wrong-value.toml").write_text(base % "pulse_ms = -1\n")
        (folder / "wrong-profile.toml").write_text(base % 'profile = "librery"\n')
        city = "pilot/city.key.pem"
        for words in (
            "issue key city --out pilot --kind online-id",
            "issue key phone --out pilot --holder",
            "issue credential --issuer pilot/city.key.pem --subject 1 --out static",
            f"issue credential --issuer {city} --holder pilot/phone.key.pem --subject 1 --out card",
            "trust init repo --no-password",
        ):
            assert cli.main(words.split()) == 0
        yield folder
    finally:
        os.chdir(here)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command line; return its exit code and what it wrote to standard error."""
    capsys.readouterr()
    try:
        code: object = cli.main(words)
    except SystemExit as left:
        code = left.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "mistake"), [(words, one) for words, several in FILES.items() for one in several]
)
def test_a_file_that_cannot_be_used_is_one_line_and_exit_2(
    words: str, mistake: str, desk: Path, capsys
) -> None:
    before = sorted(path.name for path in desk.iterdir())
    code, told = run(capsys, *words.replace("@", mistake).split())
    told = told.removeprefix("INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
    assert (code, told.count("\n")) == (2, 1), told
    assert told.startswith("idgate ")
    assert "internal fault" not in told
    made = {path.name for path in desk.iterdir()} - set(before)
    assert made <= {"cache", "cache.lock", "keys", "repo-keys"}, made


def test_every_command_is_tried() -> None:
    tried = {words.partition(" ")[0] for words in FILES}
    assert tried == set(cli.COMMANDS)
    actions = set()
    (choice,) = [
        each
        for each in cli.make_parser(cli.COMMANDS)._actions
        if isinstance(each, argparse._SubParsersAction)
    ]
    for name, parser in choice.choices.items():
        inner = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
        actions |= {f"{name} {action}" for each in inner for action in each.choices} or {name}
    missing = {
        action
        for action in actions - NO_FILE
        if not any(f"{words} ".startswith(f"{action} ") for words in FILES)
    }
    assert not missing, f"add a row to FILES: {missing}"


@pytest.mark.parametrize("settings", ["wrong-key.toml", "wrong-value.toml"])
@pytest.mark.parametrize("words", [words for words in FILES if "--config @" in words])
def test_settings_that_cannot_be_used_are_one_line_and_exit_2(
    words: str, settings: str, desk: Path, capsys
) -> None:
    code, told = run(capsys, *words.replace("@", settings).split())
    assert (code, told.count("\n")) == (2, 1), told
    assert settings in told
    assert ("profil" if settings == "wrong-key.toml" else "pulse_ms") in told
    assert ("did you mean profile?" in told) == (settings == "wrong-key.toml")


@pytest.mark.parametrize(
    "words",
    [
        "run --config wrong-profile.toml",
        "verify --config wrong-profile.toml x",
        "verify --trust pilot/trust --site librery x",
    ],
)
def test_a_profile_that_is_unknown_is_one_line_with_the_nearest(words: str, desk: Path) -> None:
    done = written(words, desk, "")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "'librery'" in done.stderr
    assert "did you mean library?" in done.stderr


WRITERS = [
    "--help",
    "--version",
    "help fleet send",
    "verify --help",
    "models list",
    "models list --json",
    "verify --trust pilot/trust x",
    "issue key other --out other",
    "issue present static",
    "trust show repo",
    "gate safe --config good.toml",
    "doctor --config good.toml --no-hardware",
]


def written(words: str, desk: Path, redirection: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a shell that redirects."""
    command = f'exec "$0" -m agent.cli {words} {redirection}'
    return subprocess.run(
        ["/bin/sh", "-c", command, sys.executable],
        cwd=desk, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("words", WRITERS)
def test_output_that_takes_nothing_is_one_line_and_exit_3(
    words: str, redirection: str, desk: Path
) -> None:
    done = written(words.replace("other", f"other{len(redirection)}"), desk, redirection)
    why = "No space left on device" if "full" in redirection else "Bad file descriptor"
    assert done.stderr == (
        f"idgate: standard output: {why}: what is missing could not be written\n"
    )
    assert done.returncode == 3


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "<&- 2>&-"])
def test_a_mistake_that_nobody_can_be_told_has_its_exit_code(redirection: str, desk: Path) -> None:
    for words in ("nonsense", "issue present none", "verify"):
        done = written(words, desk, redirection)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_standard_input_that_is_closed_holds_no_codes(desk: Path) -> None:
    done = written("verify --trust pilot/trust -", desk, "<&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_file_takes_the_place_of_a_stream_that_was_closed(desk: Path) -> None:
    done = written("issue present static --out code.txt", desk, "<&- >&- 2>&-")
    assert done.returncode == 0
    assert (desk / "code.txt").read_text().startswith("NI2:")


def test_a_name_that_the_terminal_cannot_show_is_escaped(desk: Path) -> None:
    name = os.fsdecode(b"nonsense-\xff")
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "issue", "key", name, "--out", "odd"],
        cwd=desk, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"nonsense-\\udcff.key.pem" in done.stdout


def test_a_signal_at_any_moment_makes_no_line_come_twice(desk: Path) -> None:
    """Python code below the buffer can be left between a write and its return, and writes again."""
    code = (
        "import io, sys; from agent.commands.output import own_streams; own_streams()\n"
        "print(*(type(each.buffer.raw) is io.FileIO for each in (sys.stdout, sys.stderr)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=desk, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "True True\n"
