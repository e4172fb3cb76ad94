"""The face check in its thread: frames come, hints light the lamps, one answer goes back."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pytest

from agent.biometrics.errors import FaceRejected
from agent.biometrics.face.check import FaceCheck
from agent.biometrics.face.feed import FaceFeed
from agent.biometrics.types import Hint
from agent.credential.model import (
    BiometricReference,
    Credential,
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    ReplayKey,
)
from agent.passage.events import StartBiometric
from agent.passage.types import Direction, Requirement, Signal, Use
from agent.reason import Reason
from hal.camera import Frame

FACE = BiometricReference(Modality.FACE, ReferenceForm.TEMPLATE, b"t", 100, "m")


@dataclass
class Outcome:
    reason: Reason


@dataclass
class Session:
    """Plays hints and an outcome, one a frame; what the check does with them is under test."""

    script: list[tuple[Hint, Reason | None]]
    expires: Reason | None = None
    hint: Hint = Hint.NO_FACE
    frames: list[Frame] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def offer(self, frame: Frame, now: float) -> Outcome | None:
        self.frames.append(frame)
        self.hint, reason = self.script.pop(0)
        return None if reason is None else Outcome(reason)

    def expire(self, now: float) -> Outcome | None:
        return None if self.expires is None else Outcome(self.expires)


@dataclass
class Verifier:
    session: Session | Exception

    def begin(self, reference: BiometricReference, now: float, timeout_s: float) -> Session:
        if isinstance(self.session, Exception):
            raise self.session
        return self.session


def effect(*references: BiometricReference) -> StartBiometric:
    credential = Credential(
        format=FormatName.NATIVE, issuer="i", key_id=b"k", kind=Kind.ONLINE_ID,
        level=Level.UPGRADED, subject="s", issued_at=0, valid_from=0, valid_until=1, dynamic=True,
        replay_key=ReplayKey(b"r"), references=references,
    )  # fmt: skip
    use = Use("h", Requirement.FACE, Direction.IN, context=credential)
    return StartBiometric(1, Modality.FACE, use, 5.0)


def frame() -> Frame:
    return Frame(np.full((4, 4), 9, dtype=np.uint8), 0, 0.0, 0, "face")


@pytest.fixture
def feed() -> Iterator[FaceFeed]:
    """A feed into which a camera offers frames as long as they are wanted."""
    made = FaceFeed()
    stop = threading.Event()

    def offer() -> None:
        while not stop.wait(0.002):
            made.offer(frame())

    thread = threading.Thread(target=offer)
    thread.start()
    yield made
    stop.set()
    thread.join()


def run(session: Session | Exception, feed: FaceFeed, *references: BiometricReference):
    shown: list[Signal] = []
    check = FaceCheck(Verifier(session), feed, shown.append)  # type: ignore[arg-type]
    return check(effect(*references), threading.Event()), shown


def test_the_outcome_is_the_answer_and_frames_are_wiped(feed: FaceFeed) -> None:
    session = Session([(Hint.NONE, None), (Hint.NONE, Reason.FACE_MISMATCH)])
    reason, _ = run(session, feed, FACE)
    assert reason is Reason.FACE_MISMATCH
    assert all(not each.luma.any() for each in session.frames)
    assert not feed.wanted


def test_a_challenge_lights_the_lamp_and_the_prompt_comes_back(feed: FaceFeed) -> None:
    script = [
        (Hint.LOOK_HERE, None),
        (Hint.TURN_LEFT, None),
        (Hint.TURN_LEFT, None),
        (Hint.NONE, None),
        (Hint.NONE, Reason.GRANTED),
    ]
    reason, shown = run(Session(script), feed, FACE)
    assert reason is Reason.GRANTED
    turns = [signal for signal in shown if signal is not Signal.PROMPT_FACE]
    assert turns == [Signal.TURN_LEFT]
    assert shown[-1] is Signal.PROMPT_FACE


def test_without_a_reference_nobody_is_watched(feed: FaceFeed) -> None:
    session = Session([])
    assert run(session, feed) == (Reason.NO_REFERENCE, [])
    assert session.frames == []


def test_a_camera_that_gives_nothing_is_a_camera_fault() -> None:
    reason, _ = run(Session([], expires=Reason.FACE_NOT_FOUND), FaceFeed(), FACE)
    assert reason is Reason.CAMERA_FAULT


def test_a_bad_reference_leaves_the_feed_closed(feed: FaceFeed) -> None:
    with pytest.raises(FaceRejected):
        run(FaceRejected(Reason.TEMPLATE_INCOMPATIBLE), feed, FACE)
    assert not feed.wanted


@pytest.mark.parametrize(("away", "reason"), [(3, Reason.GRANTED), (4, Reason.PERSON_LEFT)])
def test_who_was_seen_and_is_gone_for_two_seconds_has_left(
    feed: FaceFeed, away: int, reason: Reason
) -> None:
    """Half a second a frame; who was never seen is waited for until the check's time is over."""
    script: list[tuple[Hint, Reason | None]] = [
        *[(Hint.NO_FACE, None)] * 9,
        (Hint.LOOK_HERE, None),
        *[(Hint.NO_FACE, None)] * away,
        (Hint.NONE, Reason.GRANTED),
    ]
    ticks = itertools.count()
    check = FaceCheck(
        Verifier(Session(script)),  # type: ignore[arg-type]
        feed,
        lambda _signal: None,
        lambda: next(ticks) * 0.5,
    )
    assert check(effect(FACE), threading.Event()) is reason
