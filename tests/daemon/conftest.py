"""The gate fixture."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.issue import Holder, new_issuer
from hal.simulated.pinboard import PinBoard
from tests.daemon.support import FIRE, TAMPER, GateOnDisk


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[GateOnDisk]:
    issuer, holder = new_issuer("lib", "ES256"), Holder.new()
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "lib.pem").write_bytes(issuer.key.public_pem())
    (trust / "lib.toml").write_text(issuer.trust_toml())
    board = PinBoard(tmp_path / "pins")
    for loop in (FIRE, TAMPER):  # normally closed: an open loop is an alarm
        board.drive(loop, level=False)
    made = GateOnDisk(tmp_path, issuer, holder, board)
    made.write()
    made.show()
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(10)
    board.close()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
