"""Trees: where apt gets Debian from, what a command inside sees, and that nothing outlives it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pi import tree
from tests.pi.tree import Source, TreeError

DEB822 = """\
# the archive
Types: deb deb-src
URIs: http://one.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://one.example/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
deb [signed-by=/etc/apt/keys/pi.gpg arch=arm64] http://pi.example/debian bookworm main
deb http://one.example/debian bookworm main # the archive
#deb http://off.example/debian bookworm main
deb-src http://one.example/debian bookworm main
deb http://one.example/debian bookworm-updates main
deb http://other.example/apt stable main
"""
UPDATES = Source("http://one.example/debian", "-updates")


@pytest.mark.parametrize(
    ("name", "text", "more"),
    [
        ("sources.list.d/debian.sources", DEB822, [Source("http://one.example/security", "-security")]),
        ("sources.list", ONE_LINE, []),
        ("sources.list.d/pi.list", ONE_LINE, []),
    ],
)  # fmt: skip
def test_the_mirror_is_apts_own(tmp_path: Path, name: str, text: str, more: list[Source]) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    expected = [Source("http://one.example/debian", ""), UPDATES, *more]
    assert tree.sources(tmp_path, "bookworm") == expected


def test_no_mirror_is_told(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    with pytest.raises(TreeError, match="no mirror of trixie"):
        tree.sources(tmp_path, "trixie")


def test_index_settings_go_inside_and_local_paths_do_not(tmp_path: Path, monkeypatch) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.touch()
    for name in [*tree._CERTIFICATE_NAMES, *(each for each in os.environ if each[:4] == "PIP_")]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", "https://index.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/here/wheels")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("VIRTUAL_ENV", "/here/venv")
    assert "PIP_CERT" not in tree.environment()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    inside = tree.environment({"LANG": "C"})
    assert inside["PIP_INDEX_URL"] == "https://index.example/simple"
    assert inside["https_proxy"] == "http://proxy.example:3128"
    assert inside["PIP_CERT"] == inside["SSL_CERT_FILE"] == tree.CERTIFICATES
    assert inside["LANG"] == "C"
    assert not {"PIP_FIND_LINKS", "VIRTUAL_ENV"} & set(inside)


HOST = [
    f"{path}:{path}:ro"
    for path in ("/usr", "/bin", "/sbin", "/lib", "/lib64")
    if Path(path).is_dir()
]
pty_and_shm = "import os, pty; m, s = pty.openpty(); open('/dev/shm/x', 'w').close(); print(os.ttyname(s), os.getpid())"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree of this machine's own programs, as far as this process may make one."""
    if os.geteuid() != 0:
        pytest.skip("a tree is entered by root")
    probe = subprocess.run([*tree.apart(), "true"], check=False, capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no namespaces of its own here: {probe.stderr.strip()}")
    folder = tmp_path / "tree"
    for name in ("proc", "sys", "dev", "run", "etc"):
        (folder / name).mkdir(parents=True)
    return folder


def test_a_command_finds_what_a_machine_has(small: Path) -> None:
    python = "/usr/bin/python3"
    if not Path(python).exists():
        pytest.skip("no Python of the system's own")
    done = tree.run_in(small, [python, "-c", pty_and_shm], binds=HOST, capture_output=True)
    assert done.stdout.split() == ["/dev/pts/0", "1"]
    assert not list((small / "dev").iterdir())  # the mounts went with it


def test_binds_are_shown_and_read_only_where_asked(small: Path, tmp_path: Path) -> None:
    (shown := tmp_path / "shown").mkdir()
    words = ["sh", "-c", "echo 1 >/a/new; pwd; echo 2 >/b/new"]
    done = tree.run_in(
        small, words, binds=[*HOST, f"{shown}:/a", f"{shown}:/b:ro"], cwd="/a", check=False,
        capture_output=True,
    )  # fmt: skip
    assert (shown / "new").read_text() == "1\n"
    assert done.stdout == "/a\n"
    assert done.returncode
    assert "Read-only" in done.stderr


def test_failure_names_tree_command_and_what_was_said(small: Path) -> None:
    with pytest.raises(TreeError, match=r"(?s)in tree: sh -c .*: exit 3\nwhy"):
        tree.run_in(small, ["sh", "-c", "echo why >&2; exit 3"], binds=HOST, capture_output=True)


def test_nothing_outlives_a_killed_caller(small: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.pi import tree;"
        f"tree.run_in(Path({str(small)!r}), ['sh', '-c', 'echo up; exec sleep 1000'], binds={HOST!r})"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert caller.stdout is not None
    assert caller.stdout.readline() == b"up\n"
    caller.kill()
    caller.wait()
    # The pipe's end comes when the last holder of its other side is gone.
    assert caller.stdout.read() == b""
    caller.stdout.close()


def test_a_tree_with_a_mount_in_it_is_not_removed(small: Path) -> None:
    code = (
        "import subprocess; from pathlib import Path; from tests.pi import tree;"
        f"folder = Path({str(small)!r});"
        "subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', folder / 'run'], check=True);"
        "tree.remove(folder)"
    )
    done = subprocess.run(
        [*tree.apart(), sys.executable, "-c", code], check=False, capture_output=True, text=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "is still mounted" in done.stderr
    assert (small / "etc").is_dir()
    tree.remove(small)
    assert not small.exists()


def test_a_second_tree_outlives_what_is_removed_in_the_first(tmp_path: Path) -> None:
    (tmp_path / "one/opt").mkdir(parents=True)
    (tmp_path / "one/opt/agent").write_text("kept")
    (tmp_path / "one/lib").symlink_to("usr/lib")
    (tmp_path / "two/old").mkdir(parents=True)
    tree.link(tmp_path / "one", tmp_path / "two")
    tree.remove(tmp_path / "one")
    assert (tmp_path / "two/opt/agent").read_text() == "kept"
    assert (tmp_path / "two/lib").readlink() == Path("usr/lib")
    assert not (tmp_path / "two/old").exists()


def test_a_link_of_the_trees_own_leads_to_a_place_in_it(small: Path) -> None:
    """resolv.conf is often a link below /run: outside that is this machine's own file."""
    (small / "etc/names").symlink_to("/run/by/link")
    (shown := small.parent / "names").write_text("inside\n")
    done = tree.run_in(
        small, ["cat", "/run/by/link"], binds=[*HOST, f"{shown}:/etc/names:ro"], capture_output=True
    )
    assert done.stdout == "inside\n"
    assert not Path("/run/by").exists()
    assert list((small / "run").iterdir()) == []


def test_nothing_of_this_machine_stays_in_a_tree(small: Path) -> None:
    def all_of() -> list[Path]:
        return sorted(small.rglob("*"))

    tree.run_in(small, ["true"], binds=HOST)  # makes the mount points of these binds
    before = all_of()
    tree.run_in(small, ["test", "-e", "/etc/resolv.conf"], binds=HOST)
    assert all_of() == before


def test_as_a_program_it_ends_as_the_command_does(small: Path) -> None:
    words = [f"--bind={each}" for each in HOST]
    for code in (0, 5):
        argv = [*words, str(small), "--", "sh", "-c", f"exit {code}"]
        assert tree.main(argv) == code
