"""Cameras of a running daemon: one that hangs, one that comes back, two, and one upside down."""

from __future__ import annotations

import signal

import pytest

from agent.exits import Exit
from tests.support.gate_on_disk import RELAY, GateOnDisk, until


def script(gate: GateOnDisk, text: str, camera: str = "timeout_s = 0.3") -> None:
    (gate.path / "faults").write_text(text)
    gate.write(camera=camera, simulation='camera_script = "faults"')


def faults(gate: GateOnDisk) -> list[tuple[str, str]]:
    return [(fault["part"], fault["code"]) for fault in gate.faults()]


def test_a_camera_that_comes_back_is_reopened_and_told_once(gate: GateOnDisk) -> None:
    """A camera whose picture is gone is gone, and opens again once there is one."""
    process = gate.run()
    gate.ready()
    code = gate.draw(gate.code())
    (gate.path / "view.png").unlink()
    until(lambda: faults(gate), "the fault")
    code.rename(gate.path / "view.png")  # well before its patience is over
    until(lambda: gate.openings() == 1, "a grant, by the camera reopened")
    assert process.poll() is None
    assert faults(gate) == [("camera", "reopened")]


@pytest.mark.parametrize(
    ("kind", "told", "words"),
    [
        ("timeout", [("camera", "reopened")], "no frame within"),
        ("hang", [], "a loop stands still"),
    ],
)
def test_a_camera_that_stays_away_ends_the_daemon_with_the_gate_closed(
    gate: GateOnDisk, kind: str, told: list[tuple[str, str]], words: str
) -> None:
    """The last step of the ladder: the service manager starts it anew."""
    script(gate, f"0.5 600 {kind}\n")
    process = gate.run()
    gate.ready()
    assert process.wait(40) == Exit.FAULT
    assert faults(gate) == told
    assert words in gate.log()
    assert not gate.board.level(RELAY)


def test_a_camera_is_waited_for_as_long_as_its_settings_say(gate: GateOnDisk) -> None:
    script(gate, "0.5 9.2 timeout\n", camera="timeout_s = 9")
    gate.run()
    gate.ready()
    until(lambda: faults(gate), "the fault")
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "a grant, by the camera reopened")
    assert faults(gate) == [("camera", "reopened")]


def test_a_script_that_cannot_be_used_is_one_line(gate: GateOnDisk) -> None:
    script(gate, "1 2 explode\n")
    process = gate.run()
    assert process.wait(40) == 3
    assert "camera script" in gate.log()
    assert "line 1" in gate.log()


def test_two_cameras_one_of_them_on_its_side(gate: GateOnDisk) -> None:
    gate.write(
        camera='name = "code"\nserves = "code"\nrotation = 90\n'
        '[[camera]]\nname = "face"\nserves = "face"\ndriver = "simulated"\nindex = 1'
    )
    process = gate.run()
    gate.ready()
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "a grant")
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    # A code before both cameras is one code.
    assert [row["decision"] for row in gate.decisions()][:1] == ["granted"]
