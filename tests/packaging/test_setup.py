"""setup.sh: what each command says and takes, and that a dry run does nothing at all."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

DOOR = (ROOT / "setup.sh").read_text("utf-8")
COMMANDS = re.findall(
    r"^    ([a-z][a-z0-9-]*)\)$", DOOR.partition("\ncase $command in")[2], re.MULTILINE
)
CHANGERS = (
    "apt-get", "chgrp", "chmod", "chown", "cp", "debootstrap", "flock", "git", "install", "ln", "mkdir",
    "mktemp", "mv", "rm", "runuser", "sudo", "systemctl", "tee", "touch", "useradd", "userdel", "usermod",
)  # fmt: skip
"""Programs by which set-up could change something."""
NEEDED = {"fuzz": ["60"]}
"""What a command cannot go without."""


def setup(
    *words: str, door: Path = ROOT / "setup.sh", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(door), *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, **environment}, cwd=cwd,
    )  # fmt: skip


class Bare:
    """A machine on which nothing is installed and each attempt to change it is written down, not done."""

    def __init__(self, folder: Path) -> None:
        self._calls = folder / "calls"
        self.venv = folder / "venv"
        stubs = folder / "stubs"
        stubs.mkdir()
        for name in CHANGERS:
            ends = int(name == "apt-get")
            self._stub(stubs / name, f'echo "{name} $*" >>{self._calls}; exit {ends}\n')
        self._stub(stubs / "dpkg-query", "exit 1\n")
        self.environment = {
            "PATH": f"{stubs}:{os.environ['PATH']}",
            "IDGATE_VENV": str(self.venv),
            "TMPDIR": str(folder),
        }

    @staticmethod
    def _stub(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)

    def changed(self) -> list[str]:
        """Return what was tried."""
        tried = self._calls.read_text().splitlines() if self._calls.exists() else []
        return tried + ([str(self.venv)] if self.venv.exists() else [])


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    return Bare(tmp_path)


def options_of(text: str) -> set[str]:
    """Return the options that a help describes, without --help."""
    return set(re.findall(r"^  (?:-\w, )?(--[a-z][a-z0-9-]*)", text, re.MULTILINE)) - {"--help"}


# --- what is said


def test_the_commands_are_those_of_the_help() -> None:
    done = setup("--help")
    assert done.returncode == 0
    assert len(COMMANDS) > 15
    named = re.findall(r"^  ([a-z][a-z0-9-]*) +[A-Z]", done.stdout, re.MULTILINE)
    assert sorted(named) == sorted(COMMANDS)
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_of_its_own(command: str, word: str, bare: Bare) -> None:
    done = setup(command, word, **bare.environment)
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: ./setup.sh [--dry-run] {command}")
    summary = done.stdout.splitlines()[2]
    assert f" {summary}\n" in setup("--help").stdout
    assert "--dry-run  " not in done.stdout  # not the general one
    assert not done.stderr
    assert bare.changed() == []


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("demo", [["agent.cli", "demo"]]),
        ("bench", [["tests.bench.report"], ["tests.bench.instructions"]]),
        ("fuzz", [["tests.fuzz.fuzz"]]),
        ("chaos", [["tests.chaos.chaos"]]),
        ("mutate", [["tests.mutation.mutate"]]),
        ("soak", [["tests.soak.soak"]]),
        ("picamera", [["tests.pi.picamera"]]),
        ("emulated-pi", [["tests.pi.emulated"]]),
        ("arm64", [["tests.pi.arm64"]]),
        ("bare", [["tests.pi.bare"]]),
    ],
)
def test_the_help_describes_what_the_program_takes(command: str, programs: list[list[str]]) -> None:
    wanted = set()
    for words in programs:
        done = subprocess.run(
            [sys.executable, "-m", *words, "--help"], capture_output=True, text=True, check=True,
            cwd=ROOT, env={**os.environ, "COLUMNS": "120"},
        )  # fmt: skip
        wanted |= options_of(done.stdout)
    wanted -= {"--seconds"}  # of fuzz: SECONDS
    assert options_of(setup(command, "--help").stdout) == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_in_the_usage_line_is_described(command: str) -> None:
    said = setup(command, "--help").stdout
    usage, _, rest = said.partition("\n")
    named = set(re.findall(r"--[a-z][a-z0-9-]*", usage)) - {"--dry-run"}
    assert named <= options_of(rest)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["dance"], "unknown command: dance"),
        (["--fast"], "unknown option: --fast"),
        (["demo", "--fats"], "demo: unknown option: --fats"),
        (["demo", "-x"], "demo: unknown option: -x"),
        (["demo", "--fast=1"], "demo: --fast takes no value"),
        (["demo", "--broker"], "demo: --broker needs a value"),
        (["demo", "now"], "demo: too many arguments"),
        (["check", "agent"], "check: too many arguments"),
        (["fuzz"], "fuzz: needs a number of seconds"),
        (["fuzz", "ten"], "fuzz: needs a number of seconds"),
        (["fuzz", "1", "2"], "fuzz: too many arguments"),
        (["deb", "a", "b"], "deb: too many arguments"),
        (["demo", "--purge"], "demo: unknown option: --purge"),
        (["check", "--root", "/x"], "check: unknown option: --root"),
        (["install", "--purge"], "install: unknown option: --purge"),
        (["install", "--root"], "install: --root needs a value"),
        (["install", "--root", "/nowhere/at/all"], "/nowhere/at/all: there is no such tree"),
        (["install", "--root=/"], "--root /: that is this machine"),
        (["uninstall", "--root", "/proc"], "--root /proc: no Debian that could run"),
        (["uninstall", "--", "x"], "uninstall: too many arguments"),
    ],
)
def test_a_call_that_cannot_be_served_is_one_line_and_2(
    words: list[str], named: str, bare: Bare
) -> None:
    for dry in ([], ["--dry-run"]):
        done = setup(*dry, *words, **bare.environment)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert named in line
        assert done.stdout == ""
        assert bare.changed() == []


def test_without_a_command_it_says_what_there_is() -> None:
    done = setup()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "demo" in done.stderr


def test_what_cannot_be_is_told_by_the_program_with_2() -> None:
    """The programs behind the door agree with it."""
    for words in (
        ["tests.pi.bare", "sid"],
        ["tests.pi.bare", "--times", "0"],
        ["tests.pi.arm64", "sid"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert done.returncode == 2, words


# --- a dry run


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_dry_run_prints_the_steps_and_does_none(command: str, first: bool, bare: Bare) -> None:
    words = [command, *NEEDED.get(command, [])]
    done = setup(*(["--dry-run", *words] if first else [*words, "--dry-run"]), **bare.environment)
    assert done.returncode == 0, done.stderr
    steps = done.stdout.splitlines()
    assert steps
    assert [line for line in steps if not line.startswith("+ ")] == []
    assert bare.changed() == []
    told = done.stderr.splitlines()
    assert told[-1] == "setup: dry run: nothing was done"
    # Nothing is claimed: what would be done is called so.
    claims = [line for line in told[:-1] if not line.startswith("setup: not done, a dry run: ")]
    assert [line for line in claims if "left out" not in line] == []


def test_the_stubs_would_notice(bare: Bare) -> None:
    """That the test above can fail: the same machine, and not a dry run."""
    assert setup("demo", **bare.environment).returncode == 1
    assert any("apt-get" in line for line in bare.changed())


def test_a_dry_run_tells_every_step_of_an_installation(bare: Bare) -> None:
    steps = setup("install", "--dry-run", **bare.environment).stdout
    for part in ("libzbar0", "wheels.sh", "idgate-gatekeeper.service", "useradd", "-m venv", "--no-index",
                 "chgrp -R idgate /etc/idgate", "/usr/local/bin/idgate"):  # fmt: skip
        assert part in steps
    assert "/tmp/" not in steps.replace(str(ROOT), "")
    steps = setup("uninstall", "--purge", "--dry-run", **bare.environment).stdout
    assert "rm -rf /etc/idgate /var/lib/idgate /var/lib/idgate-gatekeeper" in steps
    assert "/etc/idgate" not in setup("uninstall", "--dry-run", **bare.environment).stdout


def test_arguments_go_through_as_they_are(bare: Bare) -> None:
    def last(*words: str) -> str:
        return setup("--dry-run", *words, **bare.environment).stdout.splitlines()[-1]

    assert last("test", "tests/hal", "-k", "a b").endswith(r"loadfile tests/hal -k a\ b")
    assert last("test", "--", "--help").endswith("loadfile --help")
    assert last("test", "-x", "--", "--dry-run").endswith("loadfile -x --dry-run")
    assert last("demo", "--broker=mqtt://b", "--fast").endswith("demo --broker mqtt://b --fast")
    assert last("bare", "trixie", "--times", "3", "--", "-k", "x").endswith(
        "trixie --times 3 -- -k x"
    )
    assert last("fuzz", "9", "--target", "cbor").endswith("--seconds 9 --target cbor")
    assert last("deb").endswith("build.sh " + str(ROOT / "dist"))
    assert last("deb", "/x").endswith("build.sh /x")


@pytest.mark.skipif(os.geteuid() != 0, reason="as root no sudo stands before apt-get")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], {"mosquitto"}),
        (["--postgresql"], {"mosquitto", "postgresql"}),
        (["--events", "9", "--rabbitmq"], {"mosquitto", "rabbitmq-server"}),
    ],
)
def test_chaos_installs_only_the_servers_that_are_asked_for(
    bare: Bare, words: list[str], wanted: set[str]
) -> None:
    done = setup("chaos", "--dry-run", *words, **bare.environment)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "install -y" in line]
    servers = {"mosquitto", "postgresql", "rabbitmq-server"}
    assert servers & set(line.split()) == wanted
    assert done.stdout.splitlines()[-1].endswith(" ".join(["tests/chaos/chaos.py", *words]))


def test_a_package_under_another_name_is_not_fetched_again(tmp_path: Path) -> None:
    """trixie's libzbar0t64 provides libzbar0: else each run would need the network."""
    stub = tmp_path / "dpkg-query"
    stub.write_text(
        "#!/bin/sh\n"
        "echo 'ii  libzbar0t64, libzbar0 (= 0.23.93-8)'\n"
        "echo 'ii  python3, '\n"
        "echo 'rc  python3-venv, '\n"
        "echo 'ii  python3-venv-extra, '\n"
    )
    stub.chmod(0o755)
    done = setup("demo", "--dry-run", PATH=f"{tmp_path}:{os.environ['PATH']}")
    (line,) = [line for line in done.stderr.splitlines() if "installing" in line]
    assert line.endswith(": installing python3-venv")


def test_tests_go_on_where_no_browser_can_be_had_and_it_is_said(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for path in Path(folder).iterdir():
            if not (programs / path.name).is_symlink() and path.name != "chromium":
                (programs / path.name).symlink_to(path)
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    there = ("libzbar0", "python3", "python3-venv", "cpio", "mosquitto", "procps", "systemd")
    Bare._stub(stubs / "dpkg-query", "".join(f"echo 'ii  {name}, '\n" for name in there))
    Bare._stub(stubs / "apt-get", "echo 'E: no network'; exit 9\n")
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    Bare._stub(venv / "bin/python", 'echo "ran $*"\n')
    stamp = "/usr/bin/python3 -V; sha256sum <pyproject.toml"
    made = subprocess.run(["sh", "-c", stamp], cwd=ROOT, capture_output=True, check=True)
    (venv / ".idgate-dev").write_text(made.stdout.decode().rstrip("\n"))
    done = setup("test", "-k", "relay", PATH=f"{stubs}:{programs}", IDGATE_VENV=str(venv))
    assert (done.returncode, done.stdout.split()[:3]) == (0, ["ran", "-m", "pytest"]), done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "left out" in line]
    assert "chromium" in line


# --- whoever runs it, and wherever


@pytest.fixture
def visited() -> Iterator[Path]:
    """A checkout that a plain user may read, in a path with a space, and may not write."""
    folder = Path(tempfile.mkdtemp(prefix="a gate "))
    folder.chmod(0o755)
    for name in ("setup.sh", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "packaging", folder / "packaging")
    yield folder
    shutil.rmtree(folder)


def as_nobody(
    checkout: Path, *words: str, sudo: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the door as a user who is not root, on a machine without sudo or with one that says no."""
    programs = checkout / "programs"
    programs.mkdir(exist_ok=True)
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        for path in Path(folder).iterdir():
            if path.name != "sudo" and not (programs / path.name).is_symlink():
                (programs / path.name).symlink_to(path)
    if sudo:
        (programs / "sudo").write_text(f"#!/bin/sh\n{sudo}\n")
        (programs / "sudo").chmod(0o755)
    drop = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    return subprocess.run(
        [*(drop if os.geteuid() == 0 else []), checkout / "setup.sh", *words],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, cwd="/",
        env={"PATH": str(programs), "HOME": "/", **environment},
    )  # fmt: skip


def nothing_installed(checkout: Path) -> str:
    """Return a PATH's folder whose dpkg-query knows no package."""
    stubs = checkout / "stubs"
    stubs.mkdir()
    Bare._stub(stubs / "dpkg-query", "exit 1\n")
    Bare._stub(stubs / "apt-get", "exit 9\n")
    return f"{stubs}:{checkout / 'programs'}"


@pytest.mark.parametrize(
    ("sudo", "named"),
    [
        ("", "needs root, and there is no sudo; as root once: apt-get install -y"),
        ("exit 1", "needs root, and sudo would ask for a password; run: sudo ./setup.sh demo"),
    ],
)
def test_a_user_who_cannot_be_root_is_told_in_a_line(visited: Path, sudo: str, named: str) -> None:
    done = as_nobody(visited, "demo", sudo=sudo, PATH=nothing_installed(visited))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"setup: {named}")


def test_a_dry_run_that_could_not_be_says_so_at_its_end(visited: Path) -> None:
    done = as_nobody(visited, "install", "--dry-run", PATH=nothing_installed(visited))
    assert done.returncode == 2
    assert "+ sudo -n env DEBIAN_FRONTEND=noninteractive apt-get" in done.stdout
    *_, nothing, reason = done.stderr.splitlines()
    assert nothing == "setup: dry run: nothing was done"
    assert reason.startswith("setup: and it could not be: needs root, and there is no sudo")
    done = as_nobody(visited, "install", "--dry-run", sudo="exit 0")
    assert done.returncode == 0, done.stderr


def test_apt_that_fails_is_quoted_and_exits_1(visited: Path) -> None:
    stubs = nothing_installed(visited)
    Bare._stub(visited / "stubs/apt-get", "echo E: no such mirror; exit 100\n")
    done = as_nobody(visited, "demo", sudo='shift; [ "$1" = true ] || exec "$@"', PATH=stubs)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[-2:] == [
        "E: no such mirror",
        "setup: apt-get update failed; its own words are above",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="another's folder is made by root")
def test_a_venv_of_somebody_else_is_told_in_a_line(visited: Path) -> None:
    installed = visited / "stubs"
    installed.mkdir()
    Bare._stub(
        installed / "dpkg-query",
        "printf 'ii  %s, \\n' libzbar0 python3 python3-venv\n",
    )
    path = f"{installed}:{visited / 'programs'}"
    done = as_nobody(visited, "demo", PATH=path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "the folder is not yours to write; name another place by IDGATE_VENV" in line
    (visited / ".venv").mkdir()
    done = as_nobody(visited, "demo", PATH=path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert (
        line
        == f"setup: {visited}/.venv belongs to root: remove it, or name another place by IDGATE_VENV"
    )


@pytest.mark.parametrize(("ends", "mended"), [(1, True), (0, False)])
def test_a_venv_that_was_cut_off_in_the_making_is_mended(
    bare: Bare, ends: int, mended: bool
) -> None:
    (bare.venv / "bin").mkdir(parents=True)
    Bare._stub(bare.venv / "bin/python", f"exit {ends}\n")  # pip is not there yet, or is
    steps = setup("check", "--dry-run", **bare.environment).stdout
    assert (f" -m venv {bare.venv}\n" in steps) is mended


def test_another_shell_hands_over_to_bash() -> None:
    done = subprocess.run(
        ["sh", ROOT / "setup.sh", "demo", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ./setup.sh [--dry-run] demo")


def test_the_folder_somebody_stands_in_is_no_part_of_python(tmp_path: Path) -> None:
    """Root's Python must not take a module from where root happens to stand."""
    trace = tmp_path / "trace"
    for name in ("ensurepip", "venv", "pip", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(trace)!r}, 'a').write(__name__)\n")
    where = {"cwd": tmp_path, "PYTHONPATH": str(tmp_path)}
    done = setup("install", "--dry-run", **where)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [ROOT / "packaging/wheels.sh", "--lock"], capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHON": sys.executable},
    )  # fmt: skip
    assert not trace.exists()


def test_the_files_of_the_one_path_are_run_as_they_are() -> None:
    for name in ("wheels.sh", "settle.sh", "refresh-gatekeeper"):
        assert (ROOT / "packaging" / name).stat().st_mode & stat.S_IXUSR
