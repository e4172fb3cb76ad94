"""`idgate gate`, and what SIGKILL leaves behind in every phase of a passage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent import cli
from agent.report.seals import SealKey
from hal.simulated.barrier import Barrier, Wiring
from hal.simulated.pinboard import Function, PinBoard
from tests.support import gatekeepers
from tests.support.gate_on_disk import until
from tests.support.paths import ROOT

RELAY, GREEN, RED, READY, PASSAGE, FIRE = 17, 27, 22, 24, 5, 6
CONFIG = """
state_dir = "state"
[gate]
site = "s"
gate = "g"
passage_timeout_s = 60.0
biometric_timeout_s = 60.0
denial_s = 30.0
[gpio]
driver = "simulated"
relay_active = "{active}"
poll_hz = 500
[simulation]
pins_file = "pins"
"""


@pytest.fixture
def config(tmp_path) -> Path:
    return write_config(tmp_path)


def write_config(folder: Path, active: str = "high") -> Path:
    path = folder / "idgate.toml"
    path.write_text(CONFIG.format(active=active))
    return path


def idgate(*words: object) -> int:
    return cli.main([str(word) for word in words])


# --- the commands


def test_safe_says_what_it_did(config, capsys):
    assert idgate("gate", "safe", "--config", config) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "relay (GPIO17): inactive, then let go"
    assert len(said) == 5


def test_inputs(config, capsys):
    with PinBoard(config.parent / "pins") as board:
        Barrier(board, Wiring(relay=17, passage=5, fire=6, tamper=13, release=19))
        board.drive(13, level=None)
        assert idgate("gate", "inputs", "--json", "--config", config) == 0
    rows = {row["input"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert {name: row["active"] for name, row in rows.items()} == {
        "fire": False, "tamper": True, "release": False, "passage": False,
    }  # fmt: skip
    assert idgate("gate", "inputs", "--config", config) == 0
    assert "tamper     GPIO13  high  ACTIVE" in capsys.readouterr().out


def test_what_cannot_be_done_is_one_line(config, capsys):
    with pytest.raises(SystemExit) as left:
        idgate("gate", "test", "--seconds", "-1", "--config", config)
    assert left.value.code == 2
    assert "more than 0" in capsys.readouterr().err
    assert idgate("gate", "timeline", "--out", "/none/x.png", "--config", config) == 2
    assert "/none/x.png: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_watching_tells_each_change_once(config, end):
    """For the installer: press, break, open; one line each. Also begun behind a shell."""
    with PinBoard(config.parent / "pins") as board:
        for pin in (6, 13):
            board.drive(pin, level=False)
        watching = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "gate", "inputs", "--watch", "--config", config],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509
        )
        try:
            first = [watching.stdout.readline().split()[0] for _ in range(4)]
            assert sorted(first) == ["fire", "passage", "release", "tamper"]
            board.drive(19, level=False)
            assert watching.stdout.readline() == "release    GPIO19  low   ACTIVE\n"
            board.drive(19, level=None)
            assert watching.stdout.readline() == "release    GPIO19  high  at rest\n"
            watching.send_signal(end)
            assert watching.communicate(timeout=10)[0] == ""
            assert watching.returncode == 0
        finally:
            watching.kill()
            watching.wait()
            watching.stdout.close()


def test_a_gate_without_inputs_says_so(config, capsys):
    off = "".join(f"{name} = false\n" for name in ("passage", "fire", "tamper", "release"))
    config.write_text(config.read_text().replace("poll_hz", f"{off}poll_hz"))
    assert idgate("gate", "inputs", "--config", config) == 0
    assert "no input is fitted" in capsys.readouterr().err


def test_test_shows_every_signal_and_moves_the_relay_only_when_asked(config, capsys):
    with PinBoard(config.parent / "pins") as board:
        for pin in (6, 13):
            board.drive(pin, level=False)
        assert idgate("gate", "test", "--seconds", "0.02", "--config", config) == 0
        assert not any(edge.pin == RELAY for edge in board.edges())
        assert any(edge.pin == RED for edge in board.edges())
        assert idgate("gate", "test", "--relay", "--seconds", "0.02", "--config", config) == 0
        relay = [edge.level for edge in board.edges() if edge.pin == RELAY]
        assert relay == [True, False, True, False]
    said = capsys.readouterr().out
    assert "prompt_face" in said
    assert "relay out" in said


def test_key_shows_the_public_key_and_makes_none(config, tmp_path, capsys):
    path = tmp_path / "state" / "gate-key.pem"
    assert idgate("gate", "key", "--config", config) == 2
    assert "no key yet; the daemon makes it" in capsys.readouterr().err
    assert not path.exists()
    path.parent.mkdir(exist_ok=True)
    public = SealKey.load_or_create(path).public.hex()
    assert idgate("gate", "key", "--config", config) == 0
    assert capsys.readouterr().out == f"{public}\n"
    path.write_text("junk")
    assert idgate("gate", "key", "--config", config) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert error.count("\n") == 1


def test_timeline(config, tmp_path, capsys):
    from PIL import Image

    with PinBoard(tmp_path / "pins") as board:
        board.set_function(RELAY, Function.OUTPUT)
        board.write(RELAY, level=True)
        board.write(RELAY, level=False)
    out = tmp_path / "t.png"
    assert idgate("gate", "timeline", "--config", config, "--out", out) == 0
    assert capsys.readouterr().out == f"{out}\n"
    with Image.open(out) as picture:
        assert picture.size[0] > 900


def test_timeline_needs_a_record(tmp_path, capsys):
    path = tmp_path / "c.toml"
    path.write_text('[gate]\nsite = "s"\ngate = "g"\n')
    assert idgate("gate", "timeline", "--config", path) == 2
    assert "pins_file" in capsys.readouterr().err


def test_settings_that_cannot_be_used(tmp_path, capsys):
    assert idgate("gate", "safe", "--config", tmp_path / "none.toml") == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_pi_that_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "RPi", None)
    path = tmp_path / "c.toml"
    path.write_text('[gate]\nsite = "s"\ngate = "g"\n')
    assert idgate("gate", "safe", "--config", path) == 3
    error = capsys.readouterr().err
    assert error.startswith('idgate gate: GPIO driver "rpi-gpio": ')
    assert error.count("\n") == 1


# --- SIGKILL


class Controller:
    """The kill tests' daemon, on the pins of a file."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("gate_daemon.py")), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self.phase = self.answer()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def say(self, *lines: str) -> str:
        for line in lines:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            self.phase = self.answer()
        return self.phase

    def end(self, number: int = signal.SIGKILL) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def world(config):
    with PinBoard(config.parent / "pins") as board:
        for pin in (6, 13):
            board.drive(pin, level=False)
        for pin in (5, 19):
            board.drive(pin, level=True)
        yield board
    gatekeepers.end(config.parent)


PHASES = [
    ([], "idle normal", False),
    (["code"], "read normal", False),
    (["code", "ok face"], "face normal", False),
    (["code", "ok face", "match"], "granted normal", False),
    (["code", "ok none", "disk"], "open normal", True),
    (["code", "ok none", "disk", "PASS"], "passed normal", False),
    (["locked", "code"], "denied locked", False),
    (["free"], "idle free", True),
    (["FIRE"], "idle fire", True),
]


def come_to(controller: Controller, world: PinBoard, words: list[str], phase: str) -> None:
    for word in words:
        if word == "PASS":
            world.drive(PASSAGE, level=False)
            wait_until(controller, "passed normal")
        elif word == "FIRE":
            world.drive(FIRE, level=True)
            wait_until(controller, "idle fire")
        else:
            controller.say(word)
    assert controller.phase == phase


@pytest.mark.parametrize("active", ["high", "low"])
@pytest.mark.parametrize(("words", "phase", "relay_on"), PHASES)
def test_killed_in_every_phase_the_gate_closes_and_fire_and_free_passage_stay(
    tmp_path, world, words, phase, relay_on, active
):
    config = write_config(tmp_path, active)
    on = active == "high"
    controller = Controller(config)
    try:
        come_to(controller, world, words, phase)
        assert (world.level(RELAY) == on) is relay_on
    finally:
        controller.end(signal.SIGKILL)
    stays = phase in {"idle free", "idle fire"}
    until(lambda: (world.level(RELAY) == on) is stays, "closed")
    until(lambda: not any(world.level(pin) for pin in (RED, READY)), "dark")
    assert world.function(RELAY) is Function.OUTPUT, "the gatekeeper let go of its lines"
    world.drive(FIRE, level=True)
    until(lambda: (world.level(RELAY) == on) is True, "opened for the fire")


@pytest.mark.parametrize("settings", ["as they were", "unknown key", "gone", "relay moved"])
@pytest.mark.parametrize(("words", "phase", "relay_on"), PHASES[4:9:2])
def test_with_both_killed_no_line_stays_driven_whatever_became_of_the_settings(
    tmp_path, world, words, phase, relay_on, settings
):
    config = write_config(tmp_path)
    controller = Controller(config)
    try:
        come_to(controller, world, words, phase)
        assert world.level(RELAY) is relay_on
    finally:
        gatekeepers.end(tmp_path, signal.SIGKILL)
        controller.end(signal.SIGKILL)
    # A decider that outlives its gatekeeper for a moment starts another one.
    gatekeepers.end(tmp_path, signal.SIGKILL)
    text = config.read_text()
    if settings == "gone":
        config.unlink()
    elif settings == "unknown key":
        config.write_text(text.replace("[gpio]", "[gpio]\ncolour = 1"))
    elif settings == "relay moved":
        config.write_text(text.replace("[gpio]", "[gpio]\nrelay = 26"))
    assert idgate("gate", "safe", "--config", config) == 0
    for pin in (RELAY, GREEN, RED, READY, 26):
        assert world.function(pin) is not Function.OUTPUT
        assert world.level(pin) is False


def wait_until(controller: Controller, phase: str) -> None:
    for _ in range(200):
        if controller.say("nothing") == phase:
            return
    pytest.fail(f"{phase} was not reached: {controller.phase}")


def test_a_restart_after_a_kill_moves_nothing_and_keeps_the_mode(config, world):
    controller = Controller(config)
    controller.say("locked")
    controller.end(signal.SIGKILL)
    idgate("gate", "safe", "--config", config)
    before = [edge for edge in world.edges() if edge.pin == RELAY]
    again = Controller(config)
    try:
        assert again.phase == "idle locked"
        until(lambda: world.level(RED) is True, "the mode visible")
        assert [edge for edge in world.edges() if edge.pin == RELAY] == before
    finally:
        again.end()


def test_safe_refuses_while_the_daemon_holds_the_pins(config, world, capsys):
    controller = Controller(config)
    try:
        assert idgate("gate", "safe", "--config", config) == 3
        assert "another process decides for this gate" in capsys.readouterr().err
        assert controller.say("code") == "read normal"
    finally:
        controller.end()


def test_a_stopped_decider_loses_its_opening_and_fire_still_opens(config, world):
    controller = Controller(config)
    try:
        assert controller.say("code", "ok none", "disk") == "open normal"
        controller.process.send_signal(signal.SIGSTOP)
        until(lambda: world.level(RELAY) is False, "closed")
        world.drive(FIRE, level=True)
        until(lambda: world.level(RELAY) is True, "opened for the fire")
    finally:
        controller.end(signal.SIGKILL)


def test_a_gatekeeper_that_is_killed_is_replaced_and_the_decider_goes_on(config, world):
    controller = Controller(config)
    try:
        assert controller.say("code", "ok none", "disk") == "open normal"
        gatekeepers.end(config.parent, signal.SIGKILL)
        until(lambda: bool(gatekeepers.pids(config.parent)), "a new gatekeeper")
        until(lambda: world.level(RELAY) is False, "closed")
        world.drive(FIRE, level=True)
        until(lambda: world.level(RELAY) is True, "opened for the fire")
        wait_until(controller, "idle fire")
    finally:
        controller.end(signal.SIGKILL)
