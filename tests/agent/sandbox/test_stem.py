"""The loop that every worker runs, with a tenant that never ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

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
