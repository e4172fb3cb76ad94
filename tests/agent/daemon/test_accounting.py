"""Real daemons on which nobody is seen to pass: how often they open, and what a stop leaves."""

from __future__ import annotations

import json
import signal

import pytest

from agent.cli import main
from agent.daemon.daemon import Daemon
from agent.daemon.hardware import open_hardware
from agent.passage.events import InputFault
from agent.settings.load import load
from tests.support.gate_on_disk import PASSAGE, RELAY, GateOnDisk, until

PROFILE = 'name = "hall"\ntitle = "Hall"\nkinds = ["library-card"]\nanti_passback = "on"\n'
SECOND, DOOR = 12, 16
SENSORS = {
    "one beam": "",
    "two beams": f"passage_2 = {SECOND}",
    "a door": f"passage = false\ndoor = {DOOR}",
}


def passages(gate: GateOnDisk) -> list[dict]:
    return [json.loads(row[3]) for row in gate.rows() if row[2] == "passage"]


def hall(gate: GateOnDisk, sensor: str) -> None:
    """Make the gate one that lets nobody in twice."""
    (gate.path / "hall.toml").write_text(PROFILE)
    gate.write('profile = "hall.toml"\ndenial_s = 0.2', gpio=SENSORS[sensor])
    if sensor == "two beams":
        gate.board.drive(SECOND, level=True)
    if sensor == "a door":
        gate.board.drive(DOOR, level=False)


def test_a_fault_of_an_input_stands_in_the_state_until_it_is_over(gate: GateOnDisk) -> None:
    settings = load(gate.config)
    daemon = Daemon(settings, open_hardware(settings))
    daemon.start()
    try:
        for active, faults in ((True, ("release:chatters",)), (False, ())):
            daemon.parts.controller.post(InputFault("release", "chatter", active))
            until(lambda faults=faults: daemon.health.state().faults == faults, f"{faults}")
    finally:
        daemon.shutdown()


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_sensor_that_never_answers_gives_one_person_two_openings(
    gate: GateOnDisk, sensor: str
) -> None:
    hall(gate, sensor)
    process = gate.run()
    gate.ready()
    answers = []
    for number in range(4):
        answers.append(gate.judged(gate.code()))
        if number < 2:
            until(lambda ends=number + 1: len(passages(gate)) >= ends, "the end of the opening")
    assert answers == ["granted", "granted", "already_inside", "already_inside"]
    assert gate.openings() == 2
    assert [(row["outcome"], row.get("assumed", False)) for row in passages(gate)] == [
        ("annulled", False), ("passed", True), ("repeated_annulment", False),
    ]  # fmt: skip
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0


@pytest.mark.parametrize(
    ("sensor", "how"),
    [
        ("one beam", signal.SIGKILL),
        ("two beams", signal.SIGKILL),
        ("two beams", signal.SIGTERM),
        ("a door", signal.SIGTERM),
    ],
)
def test_who_was_let_in_as_it_stopped_is_inside(
    gate: GateOnDisk, sensor: str, how: signal.Signals
) -> None:
    hall(gate, sensor)
    process = gate.run()
    gate.ready()
    code = gate.code()
    gate.show(code)
    until(lambda: gate.board.level(RELAY), "relay on")
    if sensor == "two beams":
        gate.board.drive(PASSAGE, level=False)  # on the way, and not yet through
    process.send_signal(how)
    process.wait(40)
    assert main(["gate", "safe", "--config", str(gate.config)]) == 0
    assert not gate.board.level(RELAY)
    gate.show()
    gate.board.drive(PASSAGE, level=True)
    gate.log_mark()
    again = gate.run()
    gate.ready()
    assert gate.judged(code) == "replayed"
    assert gate.judged(gate.code()) == "already_inside"
    assert gate.openings() == 1
    assert [(row["outcome"], row["assumed"]) for row in passages(gate)] == [("aborted", True)]
    again.send_signal(signal.SIGTERM)
    assert again.wait(40) == 0
