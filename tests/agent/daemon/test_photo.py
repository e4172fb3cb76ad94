"""A real daemon with a face check, and photos that hang, kill and cheat its photo decoder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest

from agent.credential.model import BiometricReference, Modality, ReferenceForm
from agent.issuing.issue import face_image
from tests.agent.daemon.test_face import show
from tests.support.gate_on_disk import RELAY, GateOnDisk, until
from tests.support.pictures import jpeg2000


def children(pid: int) -> list[int]:
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for each in lists for word in each.read_text().split()]


def living(pid: int) -> list[int]:
    """Return the children that serve: one that is done with its photo is reaped a moment later."""
    states = {
        child: Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0]
        for child in children(pid)
        if Path(f"/proc/{child}/stat").exists()
    }
    return [child for child, state in states.items() if state != "Z"]


def photo_processes(daemon: int) -> tuple[int, int]:
    """Return the stem's and the worker's process id."""
    stem = next(
        pid for pid in children(daemon)
        if b"agent.biometrics.photo_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )  # fmt: skip
    until(lambda: len(living(stem)) == 1, "one worker")
    return stem, living(stem)[0]


def faults(gate: GateOnDisk) -> list[tuple[str, str]]:
    return [(fault["part"], fault["code"]) for fault in gate.faults()]


def test_hostile_photos_are_refused_and_the_next_person_passes(gate: GateOnDisk, encoded) -> None:
    data = pytest.importorskip("skimage.data")
    eileen = np.ascontiguousarray(data.astronaut()[0:300, 80:370])
    small = cv2.resize(eileen[20:230, 40:250], (72, 72), interpolation=cv2.INTER_AREA)
    good = face_image(encoded(small, "WEBP", quality=60))
    slow = jpeg2000(1024, 1024, precincts=b"\x11" * 6)
    bad = BiometricReference(Modality.FACE, ReferenceForm.IMAGE, slow, 2)
    (gate.path / "p.toml").write_text(
        'name = "p"\ntitle = "t"\nkinds = ["library-card"]\nbiometric = "face"\n'
    )
    gate.write(gate='profile = "p.toml"\ndenial_s = 0.2', face='liveness = "off"')
    process = gate.run()
    gate.ready()

    def refused(reference: BiometricReference, subject: str) -> str:
        before = len(gate.decisions())
        show(gate, gate.code(subject=subject, references=[reference]), eileen)
        until(lambda: len(gate.decisions()) > before, "a decision")
        return gate.decisions()[-1]["reason"]

    assert refused(bad, "1") == "reference_invalid"
    assert faults(gate) == [], "its header gave it away"

    stem, worker = photo_processes(process.pid)
    os.kill(worker, signal.SIGSTOP)
    assert refused(good, "2") == "reference_invalid"
    assert faults(gate) == [("photo", "hang")]

    os.kill(stem, signal.SIGKILL)
    until(lambda: stem not in children(process.pid) or not children(stem), "the worker's end")
    assert refused(good, "3") in ("reference_invalid", "granted")
    until(lambda: ("photo", "lost") in faults(gate), "the incident")

    photo_processes(process.pid)
    openings = gate.openings()
    show(gate, "", None)
    until(lambda: not gate.board.level(RELAY), "closed")
    show(gate, gate.code(subject="4", references=[good]), eileen)
    until(lambda: gate.openings() > openings, "a grant")
