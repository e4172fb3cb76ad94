"""The running daemon on a disk that is full, from the first refusal to the row that is told late."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from agent.gatekeeper.kept import load_mode
from agent.passage.types import Mode
from agent.report.topics import GateAddress
from tests.support import gatekeepers
from tests.support.gate_on_disk import FIRE, RED, RELAY, GateOnDisk, until

GATE = GateAddress("s", "g")
READY, KEY = 24, 20
BLOCK = bytes(4_096)


@dataclass
class SmallDisk:
    """A file system of its own for the gate's state, which can be filled to the last byte."""

    path: Path
    ballast: list[Path] = field(default_factory=list)

    def fill(self) -> None:
        """Take every block that is left."""
        path = self.path / f"ballast-{len(self.ballast)}"
        self.ballast.append(path)
        with path.open("wb", buffering=0) as file:
            for size in (len(BLOCK), 1):
                while _written(file, size):
                    pass

    def free(self) -> None:
        for path in self.ballast:
            path.unlink()
        self.ballast.clear()


def _written(file, size: int) -> bool:
    try:
        return file.write(BLOCK[:size]) == size
    except OSError:
        return False


@pytest.fixture
def disk(gate: GateOnDisk) -> Iterator[SmallDisk]:
    path = gate.path / "state"
    path.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield SmallDisk(path)
    for process in gate.processes:
        if process.poll() is None:
            process.kill()
        process.wait(40)
    gatekeepers.end(gate.path)
    subprocess.run(["umount", str(path)], check=True)


@pytest.fixture
def states(gate: GateOnDisk, mosquitto: Callable) -> Iterator[list[dict]]:
    """What the fleet hears of the gate's state."""
    broker = mosquitto()
    heard: list[dict] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _c, _u, message: heard.append(json.loads(message.payload)["gate"])
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe(GATE.topic("state"), 1)
    gate.write(gate="denial_s = 0.2", mqtt=f'url = "{broker.url}"')
    yield heard
    client.disconnect()
    client.loop_stop()


def refused(gate: GateOnDisk, **change: object) -> None:
    """Show a code to a gate that cannot record it: red, and nothing else to be seen."""
    gate.show(gate.code(**change))
    until(lambda: gate.board.level(RED), "red")
    gate.show()
    until(lambda: not gate.board.level(RED), "dark again")


@pytest.mark.broker
def test_a_full_disk_closes_the_gate_says_so_and_heals(
    gate: GateOnDisk, disk: SmallDisk, states: list[dict]
) -> None:
    process = gate.run()
    gate.ready()
    until(lambda: states and states[-1]["health"] == "ok", "a state in order")
    until(lambda: gate.board.level(READY), "the ready output")
    before = len(gate.rows())
    disk.fill()
    refused(gate)
    refused(gate, subject="2")
    until(lambda: "journal:failed" in states[-1]["faults"], "the fault in the state")
    assert states[-1]["health"] == "degraded"
    until(lambda: not gate.board.level(READY), "the ready output dark")
    assert gate.openings() == 0
    assert len(gate.rows()) == before
    assert process.poll() is None

    disk.free()
    until(lambda: "journal:failed" not in states[-1]["faults"], "the fault's end in the state")
    until(lambda: gate.board.level(READY), "the ready output")
    gate.show(gate.code(subject="3"))
    until(lambda: gate.openings() == 1, "the relay")
    told = [(row["decision"], row["reason"]) for row in gate.decisions()]
    assert told == [("denied", "journal_failed")] * 2 + [("granted", "granted")]
    assert [seq for _, seq, _, _ in gate.rows()] == list(range(1, len(gate.rows()) + 1))


def test_a_fire_opens_on_a_full_disk_and_is_told_once_there_is_room(
    gate: GateOnDisk, disk: SmallDisk
) -> None:
    process = gate.run()
    gate.ready()
    disk.fill()
    gate.board.drive(FIRE, level=True)
    until(lambda: gate.board.level(RELAY), "open for the fire")
    gate.board.drive(FIRE, level=False)
    until(lambda: not gate.board.level(RELAY), "closed again")
    assert process.poll() is None
    disk.free()

    def modes() -> list[str]:
        return [json.loads(row[3])["mode"] for row in gate.rows() if row[2] == "mode"]

    until(lambda: modes() == ["normal", "fire", "normal"], "the fire in the journal")


def test_a_gate_does_not_start_on_a_full_disk_and_says_why(
    gate: GateOnDisk, disk: SmallDisk
) -> None:
    disk.fill()
    assert gate.run().wait(40) == 3
    *_, said = gate.log().splitlines()
    assert said.startswith("idgate run: "), said
    assert "full" in said or "No space left" in said
    assert gate.openings() == 0
    assert not gate.board.level(READY)
    disk.free()
    gate.log_mark()
    gate.run()
    gate.ready()
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "the relay")


@pytest.mark.broker
def test_a_mode_chosen_on_a_full_disk_holds_and_is_kept_later(
    gate: GateOnDisk, disk: SmallDisk, states: list[dict]
) -> None:
    """The key switch locks the gate; a disk that cannot keep that is no reason to stop."""
    settings = gate.config.read_text().replace(
        "[gpio]", f'[gpio]\nkey = {KEY}\nkey_mode = "locked"'
    )
    gate.config.write_text(settings)
    gate.board.drive(KEY, level=True)
    process = gate.run()
    gate.ready()
    until(lambda: states, "a state")
    disk.fill()
    gate.board.drive(KEY, level=False)
    until(lambda: states[-1]["mode"] == "locked", "locked")
    until(lambda: "mode:not_saved" in states[-1]["faults"], "the fault in the state")
    assert process.poll() is None
    disk.free()
    until(lambda: "mode:not_saved" not in states[-1]["faults"], "the fault's end")
    assert load_mode(disk.path / "gatekeeper" / "mode") == (Mode.LOCKED, "")
