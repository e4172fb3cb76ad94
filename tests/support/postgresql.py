"""A real PostgreSQL of the tests' own, on a socket in a scratch directory."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["new_database", "postgres"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Return the directory of a server's socket."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs or shutil.which("createdb") is None:
        pytest.skip("PostgreSQL is not installed")
    # Not under pytest's own directory: each pytest that starts closes that to other users.
    directory = Path(tempfile.mkdtemp(prefix="idgate-pg-"))
    owner: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and runuser is not there")
        shutil.chown(directory, "postgres")
        owner = ["runuser", "-u", "postgres", "--"]
    data = str(directory / "data")

    def run(*words: object) -> None:
        done = subprocess.run(
            [*owner, *map(str, words)], check=False, capture_output=True, cwd="/", text=True
        )
        log = Path(data, "log")
        assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")

    run(programs[-1] / "initdb", "-D", data, "-A", "trust", "-U", "idgate")
    options = f"-c listen_addresses='' -k {directory} -c fsync=off"
    control = (programs[-1] / "pg_ctl", "-D", data, "-w")
    run(*control, "-o", options, "-l", f"{data}/log", "start")
    yield str(directory)
    run(*control, "-m", "immediate", "stop")
    shutil.rmtree(directory)


def new_database(server: str) -> str:
    """Make an empty database and return its URL, as operators write it."""
    name = f"idgate_{secrets.token_hex(6)}"
    subprocess.run(["createdb", "-h", server, "-U", "idgate", name], check=True)
    return f"postgresql://idgate@/{name}?host={server}"
