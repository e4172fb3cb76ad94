"""A gate on a disk: settings, trust, a phone's picture, pins in a file; and the real command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agent.credential.model import Kind, Level
from agent.issuing.issue import Holder, Issuer, new_issuer, present, sign_credential
from hal.simulated.pinboard import PinBoard
from hal.simulated.scene import Phone, Scene
from tests.support import gatekeepers

DAY = 86_400
RELAY, GREEN, RED, FIRE, TAMPER, PASSAGE = 17, 27, 22, 6, 13, 5


PATIENCE = float(os.environ.get("IDGATE_TEST_PATIENCE", "1"))
"""How many times as long to wait for another process: more where a processor is emulated."""
_SHOWN_ROWS = 60


_GATES: list[GateOnDisk] = []
"""Those of the test that runs."""


def until(condition: Callable[[], object], what: str, timeout_s: float = 40.0) -> None:
    """Wait for another process; the suite's own clock is real there.

    What comes at all comes soon, but on a machine that has much else to do; so there is time. A gate
    that ends meanwhile in a fault of its own ends the wait: nothing will come of it.
    """
    end = time.monotonic() + timeout_s * PATIENCE
    running = [
        (gate, each) for gate in _GATES for each in gate.processes if each.returncode is None
    ]
    while not condition():
        for gate, process in running:
            code = process.poll() or 0  # a signal is the test's own doing
            assert code <= 0, f"not {what}: the gate ended with {code}\n{gate.log()}"
        assert time.monotonic() < end, f"not {what} within {timeout_s} s"
        time.sleep(0.01)


@cache
def hall() -> Scene:
    """Return the place before the gate; it takes a quarter of a second to draw."""
    return Scene(seed=1, noise=0)


@dataclass
class GateOnDisk:
    """A directory that `idgate run` can be pointed at."""

    path: Path
    issuer: Issuer
    holder: Holder
    board: PinBoard
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    def write(
        self, gate: str = "", *, camera: str = "", gpio: str = "", simulation: str = "",
        **tables: str,
    ) -> Path:  # fmt: skip
        more = "\n".join(f"[{name}]\n{body}" for name, body in tables.items())
        self.config.write_text(
            f"""
state_dir = "state"
[gate]
site = "s"
gate = "g"
passage_timeout_s = 1.5
{gate}
[[camera]]
driver = "simulated"
fps = 20
{camera}
[gpio]
driver = "simulated"
{gpio}
[simulation]
frames = "view.png"
pins_file = "pins"
{simulation}
[log]
format = "json"
{more}
"""
        )
        return self.config

    def code(self, **change: object) -> str:
        now = int(time.time())
        values = {
            "subject": "4711",
            "issued_at": now - DAY,
            "valid_until": now + DAY,
            "kind": Kind.LIBRARY_CARD,
            "level": Level.BASIC,
            **change,
        }
        credential = sign_credential(self.issuer, self.holder, **values)  # type: ignore[arg-type]
        return present(credential, self.holder, at=now)

    def draw(self, *payloads: str) -> Path:
        """Make a picture of phones with these codes, or of an empty hall, beside the camera's."""
        from PIL import Image

        spots = [0.5] if len(payloads) < 2 else [0.27, 0.75]
        phones = [
            Phone(text, x=x).at_module_px(4.0) for text, x in zip(payloads, spots, strict=False)
        ]
        picture = np.asarray(hall().compose(phones))
        scratch = self.path / "next.png"
        Image.fromarray(picture).save(scratch, compress_level=0)
        return scratch

    def show(self, *payloads: str) -> None:
        """Replace the picture that the camera plays by such a one."""
        self.draw(*payloads).rename(self.path / "view.png")

    def run(self, *, launcher: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "agent.cli", "run", "--config", str(self.config)]
        with (self.path / "log").open("ab") as log:
            process = subprocess.Popen(
                [*launcher, *command],
                stderr=log,
                env={**os.environ, **environment},
            )
        self.processes.append(process)
        return process

    def kill(self) -> None:
        """End what runs, whatever it is at."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)
        gatekeepers.end(self.path)

    def log(self) -> str:
        """Return what the processes said since `log_mark`."""
        log = self.path / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def log_mark(self) -> None:
        """Begin the log anew, so that `ready` waits for the next process."""
        (self.path / "log").unlink()

    def ready(self) -> None:
        def ready() -> bool:
            assert self.processes[-1].poll() is None, self.log()
            return '"ready"' in self.log()

        until(ready, "ready")

    def decisions(self) -> list[dict]:
        return [json.loads(row[3]) for row in self.rows() if row[2] == "decision"]

    def faults(self) -> list[dict]:
        """Return the faults told, but the decoder's: a busy machine is late with a frame now and then."""
        told = [json.loads(row[3]) for row in self.rows() if row[2] == "fault"]
        return [fault for fault in told if fault["part"] != "scan"]

    def openings(self) -> int:
        return len([edge for edge in self.board.edges() if edge.pin == RELAY and edge.level])

    def checking(self, show: Callable[[], None]) -> None:
        """Show a code by `show`, and wait until the lamp asks for a face or a finger."""
        began_ns = time.monotonic_ns()
        show()

        def asked() -> bool:
            lit = [edge.at_ns for edge in self.board.edges() if edge.pin == GREEN and edge.level]
            since = [at_ns for at_ns in lit if at_ns > began_ns]
            # It blinks twice and more a second then, and at rest every other second.
            return any(later - at_ns < 1e9 for at_ns, later in pairwise(since))

        until(asked, "asked for more")

    def judged(self, payload: str, show: Callable[[str], None] | None = None) -> str:
        """Show a code until it is decided on, and take it away; return the reason."""

        def verdicts() -> list[dict]:  # an annulment may come late and belongs to the code before
            return [row for row in self.decisions() if row["decision"] != "annulled"]

        before = len(verdicts())
        (show or self.show)(payload)
        until(lambda: len(verdicts()) > before, "a decision")
        self.show()
        until(lambda: not self.board.level(RED) and not self.board.level(RELAY), "at rest")
        return verdicts()[before]["reason"]

    def rows(self) -> list[tuple[str, int, str, bytes]]:
        import sqlite3

        database = sqlite3.connect(f"file:{self.path}/state/journal.sqlite?mode=ro", uri=True)
        try:
            return database.execute(
                "SELECT boot.boot_id, event.seq, event.type, event.data FROM event"
                " JOIN boot ON boot.number = event.boot ORDER BY event.boot, event.seq"
            ).fetchall()
        finally:
            database.close()

    def tell(self) -> None:
        """Print log and rows; of a test that fails, pytest shows them."""
        import sqlite3

        print(f"--- log\n{self.log()}")
        try:
            rows = self.rows()
        except sqlite3.Error as error:  # no journal was made, or the test has spoilt it
            print(f"--- no rows: {error}")
            return
        print(f"--- {len(rows)} rows, the last of them")
        for row in rows[-_SHOWN_ROWS:]:
            print(*row)


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
    _GATES.append(made)
    yield made
    _GATES.remove(made)
    made.kill()
    made.tell()
    board.close()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
