"""Templates between the camera and the offer."""

from __future__ import annotations

from agent.credential.model import Modality
from agent.desk.taken import KEPT_S, Taken
from agent.issuing.issue import face_template, finger_template
from tests.support.desks import DeskClock

FACE, OTHER = face_template(bytes(128), "m"), face_template(b"\1" * 128, "m")
FINGER = finger_template(bytes(512), "f")


def test_one_of_a_modality_for_one_clerk_and_member():
    taken = Taken(DeskClock())
    for template in (FACE, FINGER, OTHER):
        taken.put(b"clerk", "A", template)
    assert taken.modalities(b"clerk", "A") == {Modality.FACE, Modality.FINGER}
    assert taken.modalities(b"clerk", "B") == taken.modalities(b"other", "A") == frozenset()
    assert taken.pop(b"clerk", "A") == [OTHER, FINGER]
    assert taken.pop(b"clerk", "A") == []


def test_minutes_only():
    clock = DeskClock()
    taken = Taken(clock)
    taken.put(b"clerk", "A", FACE)
    clock.now += KEPT_S - 1
    assert taken.modalities(b"clerk", "A") == {Modality.FACE}
    clock.now += 1
    assert taken.pop(b"clerk", "A") == []


def test_bounded():
    taken = Taken(DeskClock())
    for number in range(100):
        taken.put(b"clerk", str(number), FACE)
    held = [number for number in range(100) if taken.modalities(b"clerk", str(number))]
    assert held == list(range(36, 100))


def test_sign_out_drops_the_session_alone():
    taken = Taken(DeskClock())
    taken.put(b"clerk", "A", FACE)
    taken.put(b"other", "A", FACE)
    taken.forget(b"clerk")
    assert taken.modalities(b"clerk", "A") == frozenset()
    assert taken.modalities(b"other", "A") == {Modality.FACE}
