"""What a confined process can no longer do, tried from inside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SANDBOXED = """
import errno, os, socket, sys
from agent.sandbox.confine import Confinement, enter
def refused(what, attempt):
    try:
        attempt()
    except OSError as error:
        os.write(1, f"{what} {errno.errorcode[error.errno]}\\n".encode())
    except ValueError:  # what setrlimit makes of EPERM
        os.write(1, f"{what} EPERM\\n".encode())
    except MemoryError:
        os.write(1, f"{what} ENOMEM\\n".encode())
    else:
        os.write(1, f"{what} done\\n".encode())
parent, victim = os.getppid(), sys.argv[1]
import resource
if "limits" in sys.argv:
    import agent.sandbox.confine
    agent.sandbox.confine.restrict = lambda libc: False
enter(Confinement("idgate-test", 384 << 20, 1 if "cpu" in sys.argv else None))
if "cpu" in sys.argv:
    while True:
        parent += 1
refused("open", lambda: os.open("/etc/passwd", os.O_RDONLY))
refused("socket", lambda: socket.socket())
refused("pipe", lambda: os.pipe())
refused("memory", lambda: bytearray(600 * 1024 * 1024))
refused("fork", lambda: os.fork() or os._exit(0))
refused("kill", lambda: os.kill(parent, 0))
refused("setrlimit", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (9, 9)))
if "limits" not in sys.argv:
    refused("unlink", lambda: os.unlink(victim))
    refused("chmod", lambda: os.chmod(victim, 0))
    refused("execve", lambda: os.execv("/bin/true", ["true"]))
"""


def inside(victim: Path, *words: str) -> dict[str, str]:
    victim.write_text("the journal")
    victim.parent.chmod(0o777)
    done = subprocess.run(
        [sys.executable, "-c", SANDBOXED, str(victim), *words],
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return dict(line.split() for line in done.stdout.splitlines())


def test_the_sandbox_refuses_all_that_decoding_does_not_need(tmp_path):
    """As whatever user: the daemon's own is the worker's on a gate."""
    told = inside(tmp_path / "journal.sqlite")
    assert told.pop("memory") == "ENOMEM"
    assert told == dict.fromkeys(
        ["open", "socket", "pipe", "fork", "kill", "unlink", "chmod", "execve", "setrlimit"],
        "EPERM",
    )
    assert (tmp_path / "journal.sqlite").read_text() == "the journal"


def test_the_limits_hold_where_there_is_no_filter(tmp_path):
    """A machine whose system calls are not in the table."""
    told = inside(tmp_path / "journal.sqlite", "limits")
    assert {told["open"], told["socket"], told["pipe"]} == {"EMFILE"}
    assert told["memory"] == "ENOMEM"
    if os.getuid() == 0:  # then the worker is nobody
        assert (told["fork"], told["kill"], told["setrlimit"]) == ("EAGAIN", "EPERM", "EPERM")


def test_a_worker_for_one_job_is_out_of_time_after_a_second(tmp_path):
    """RLIMIT_CPU, where neither the daemon nor the worker's own timer ends an endless loop."""
    with pytest.raises(subprocess.CalledProcessError) as ended:
        inside(tmp_path / "journal.sqlite", "cpu")
    assert ended.value.returncode == -signal.SIGKILL
