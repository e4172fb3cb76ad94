"""The loop that every worker runs, with a tenant that never ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from agent.sandbox.memory import SharedMemory
from agent.sandbox.process import SandboxProcess, StemLost
from agent.sandbox.wire import pack_budget

LEFT_ALONE = """
import socket, sys
from agent.sandbox import stem

class Endless:
    def answer(self, job):
        while True:
            job = job[::-1]

stem.GRACE_S = 0.05
stem.work(socket.socket(fileno=int(sys.argv[1])), Endless())
"""


def test_a_worker_that_nobody_watches_ends_itself():
    """The daemon and the stem may both be stopped: the worker's own timer is left."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        worker = subprocess.Popen(
            [sys.executable, "-c", LEFT_ALONE, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
        ours.send(pack_budget(b"", 0.05))
        assert worker.wait(30) == -signal.SIGALRM


def _serving(load: str) -> str:
    return (
        "import os, signal, sys\n"
        "from agent.sandbox.stem import serve\n"
        f"def load(memories, words):\n    {load}\n"
        "sys.exit(serve(sys.argv[1:], load))\n"
    )


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (
            "raise ImportError('Unable to find zbar shared library')",
            "^ImportError: Unable to find zbar shared library; install it with: apt install",
        ),
        ("raise ValueError('numpy.dtype size changed')", "^ValueError: .*remove numpy"),
        (
            "os.kill(os.getpid(), signal.SIGILL)",
            "^the stem died: killed by SIGILL; it was built for another system",
        ),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "^the stem died: killed by SIGSEGV$"),
        ("os._exit(7)", "^the stem died: exit code 7$"),
    ],
)
def test_decoders_that_do_not_load_say_why(tmp_path, monkeypatch, load: str, said: str) -> None:
    (tmp_path / "tenant_of_this_test.py").write_text(_serving(load))
    monkeypatch.syspath_prepend(tmp_path)
    memory = SharedMemory(4096)
    process = SandboxProcess("tenant_of_this_test", [memory])
    try:
        with pytest.raises(StemLost, match=said):
            process.listen(30.0)
    finally:
        process.kill()
        memory.close()
