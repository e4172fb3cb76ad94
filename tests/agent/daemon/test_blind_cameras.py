"""Faults that cameras share, and what a running gate shows of a camera that cannot see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from agent.controller.camera_watch import Blindness
from agent.daemon.blind_cameras import BlindCameras
from agent.daemon.daemon import Daemon
from agent.daemon.hardware import camera_settings, open_hardware
from agent.journal import events
from agent.journal.faults import Faults
from agent.journal.journal import Journal
from agent.settings.load import load
from hal.simulated.camera import open_camera
from tests.support.gate_on_disk import GateOnDisk, until

READY = 24
COVERED, FROZEN = Blindness.COVERED, Blindness.FROZEN


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[BlindCameras, list[tuple[str, bool, str]]]]:
    rows: list[tuple[str, bool, str]] = []

    def observe(_seq: int, event: events.Event) -> None:
        assert isinstance(event, events.Fault)
        rows.append((f"{event.part}:{event.code}", event.active, event.detail))

    with Journal.open(tmp_path / "journal.sqlite", capacity=1_000, clock=lambda: 1e9) as journal:
        yield BlindCameras(Faults(journal, observe)), rows


def test_each_kind_is_told_when_it_begins_and_when_it_ends(told) -> None:
    blind, rows = told
    blind.changed("code", None, COVERED)
    blind.changed("code", COVERED, FROZEN)
    blind.changed("code", FROZEN, None)
    assert rows == [
        ("camera:covered", True, "code"),
        ("camera:covered", False, ""),
        ("camera:frozen", True, "code"),
        ("camera:frozen", False, ""),
    ]


def test_a_fault_of_two_cameras_ends_with_the_last(told) -> None:
    blind, rows = told
    blind.changed("code", None, COVERED)
    blind.changed("face", None, COVERED)
    blind.changed("code", COVERED, None)
    assert rows == [("camera:covered", True, "code")]
    blind.changed("face", COVERED, None)
    assert [active for _, active, _ in rows] == [True, False]


def faults(gate: GateOnDisk) -> list[tuple[str, bool]]:
    return [(f"{each['part']}:{each['code']}", each.get("active", True)) for each in gate.faults()]


def test_a_covered_lens_darkens_the_ready_output_and_a_free_one_lights_it(
    gate: GateOnDisk,
) -> None:
    gate.run()
    gate.ready()
    until(lambda: gate.board.level(READY), "the ready output")
    Image.fromarray(np.zeros((720, 1280), np.uint8)).save(gate.path / "next.png")
    (gate.path / "next.png").rename(gate.path / "view.png")
    until(lambda: not gate.board.level(READY), "the ready output dark")
    # The output and the row are two threads' work.
    until(lambda: faults(gate) == [("camera:covered", True)], "the fault")
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "a grant")
    until(lambda: gate.board.level(READY), "the ready output")
    both = [("camera:covered", True), ("camera:covered", False)]
    until(lambda: faults(gate) == both, "the end of the fault")


def test_a_frozen_camera_is_told_and_darkens_the_ready_output(gate: GateOnDisk) -> None:
    (gate.path / "faults").write_text("0.5 600 freeze\n")
    gate.write(simulation='camera_script = "faults"')
    gate.run()
    gate.ready()
    until(lambda: faults(gate) == [("camera:frozen", True)], "the fault")
    until(lambda: not gate.board.level(READY), "the ready output dark")


class View:
    """What one of two cameras looks at."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = picture

    def render(self, _now: float) -> np.ndarray:
        return self.picture


def test_one_camera_that_sees_keeps_the_gate_ready(gate: GateOnDisk) -> None:
    hall = np.random.default_rng(1).integers(80, 100, (720, 1280), np.uint8)
    black = np.zeros((720, 1280), np.uint8)
    gate.write(
        camera='name = "left"\nserves = "code"\n'
        '[[camera]]\nname = "right"\nserves = "code"\ndriver = "simulated"\nfps = 5'
    )
    settings = load(gate.config)
    views = {"left": View(black), "right": View(black)}
    opened = open_hardware(settings)
    for camera in opened.cameras:
        camera.close()
    cameras = tuple(
        open_camera(camera_settings(camera), source=views[camera.name])
        for camera in settings.camera
    )
    daemon = Daemon(settings, replace(opened, cameras=cameras))
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        until(lambda: gate.board.level(READY), "the ready output")
        until(lambda: not gate.board.level(READY), "the ready output dark")
        until(lambda: "camera:covered" in daemon.health.faults(), "the fault")
        views["left"].picture = hall
        until(lambda: gate.board.level(READY), "the ready output")
        assert "camera:covered" in daemon.health.faults()
        views["right"].picture = hall
        until(lambda: "camera:covered" not in daemon.health.faults(), "the end of the fault")
    finally:
        daemon.stop()
        thread.join(20)
    assert not thread.is_alive()
