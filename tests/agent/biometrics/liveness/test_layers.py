"""The liveness layer on rendered clips, cue by cue; rates are measured by `idgate face spoof-eval`."""

import numpy as np
import pytest

from agent.biometrics.liveness.challenge import ANSWER_S, ChallengeLiveness
from agent.biometrics.liveness.cues import Side, periodicity, plane, sides
from agent.biometrics.liveness.layers import open_liveness
from agent.biometrics.liveness.passive import PassiveLimits, PassiveLiveness
from agent.biometrics.liveness.spoof_evaluate import SpeciesCounts, judge_clip, summarise
from agent.biometrics.liveness.spoof_render import BONA_FIDE, render_clip
from agent.biometrics.liveness.types import Cue, State
from agent.biometrics.types import Box, Face, Hint

FPS = 15.0


def rng(seed=3):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def clips(astronaut, astronaut_face, hopper, detector):
    faces = [(astronaut, astronaut_face), (hopper, detector.detect(hopper)[0])]
    shown = (BONA_FIDE, "print-flat", "print-still", "screen-phone", "screen-tablet")
    return {
        species: [list(render_clip(*each, species, rng(7), 10)) for each in faces]
        for species in shown
    }


def test_people_are_clear_after_half_a_second(clips, detector):
    for clip in clips[BONA_FIDE]:
        result = judge_clip(clip, detector, FPS)
        assert result.state is State.CLEAR, result
        assert 0.4 <= result.seconds <= 0.8


@pytest.mark.parametrize("species", ["print-flat", "screen-phone", "screen-tablet"])
def test_flat_things_in_the_hand_are_suspected(clips, detector, species):
    results = [judge_clip(clip, detector, FPS) for clip in clips[species]]
    assert [result.state for result in results] == [State.SUSPECTED] * 2, results
    assert all(result.cues for result in results)


def test_a_picture_on_a_stand_is_never_clear_and_frozen_in_the_end(clips, detector):
    for clip in clips["print-still"]:
        assert judge_clip(clip, detector, FPS).state is not State.CLEAR
        result = judge_clip(clip * 4, detector, FPS)
        assert result.state is State.SUSPECTED
        assert result.cues


def test_the_very_same_frame_over_and_over_is_frozen(clips, detector):
    result = judge_clip([clips[BONA_FIDE][0][0]] * 40, detector, FPS)
    assert result.cues == (Cue.FROZEN,)
    assert result.seconds == pytest.approx(PassiveLimits().frozen_s, abs=2 / FPS)


def test_clips_are_reproducible_and_species_differ(astronaut, astronaut_face):
    def first(species, seed):
        return next(render_clip(astronaut, astronaut_face, species, rng(seed)))

    assert np.array_equal(first("print-flat", 1), first("print-flat", 1))
    assert not np.array_equal(first("print-flat", 1), first("print-flat", 2))
    assert first(BONA_FIDE, 1).shape == (480, 640, 3)


POINTS = np.array([[270, 200], [330, 200], [300, 235], [277, 268], [323, 268]], np.float32)
FACE = Face(Box(250, 160, 100, 140), POINTS, 0.9)


def skin(seed=1):
    import cv2

    return np.asarray(cv2.GaussianBlur(rng(seed).normal(128, 60, (480, 640)), (0, 0), 4) + 0, float)


def test_a_raster_stands_out_of_the_spectrum_and_texture_does_not():
    y, x = np.mgrid[0:480, 0:640]
    noise = rng(2).normal(0, 3, (480, 640))
    plain = np.clip(skin() + noise, 0, 255).astype(np.uint8)
    limit = PassiveLimits().peak
    assert periodicity(plain, FACE) < limit
    for step in (2.7, 4.3, 7.9):
        raster = 9 * np.cos(2 * np.pi * (x * 0.8 + y * 0.6) / step)
        seen = np.clip(skin() + noise + raster, 0, 255).astype(np.uint8)
        assert periodicity(seen, FACE) > limit, step
    tiny = Face(Box(300, 200, 30, 30), POINTS, 0.9)
    assert periodicity(plain, tiny) == 0.0
    outside = Face(Box(-500, -500, 100, 100), POINTS, 0.9)
    assert periodicity(plain, outside) == 0.0


def test_straight_borders_are_found_on_their_sides():
    import cv2

    frame = np.full((480, 640), 90, np.uint8)
    cv2.rectangle(frame, (205, 120), (390, 330), 220, -1)
    found = sides(frame, FACE.box)
    assert set(found) == set(Side)
    expected = {Side.LEFT: 205, Side.RIGHT: 390, Side.TOP: 120, Side.BOTTOM: 330}
    for side, place in expected.items():
        assert found[side] == pytest.approx(place, abs=2.5)
    assert sides(np.full((480, 640), 90, np.uint8), FACE.box) == {}
    assert sides(frame, Box(-900, -900, 50, 50)) == {}


def test_a_plane_explains_a_turning_sheet_but_not_a_turning_head():
    points = rng(4).uniform(-50, 50, (60, 2))
    depth = 18 * np.exp(-(points**2).sum(axis=1) / 400) + 0.004 * (2500 - points[:, 0] ** 2)
    yaw = 0.2

    def turned(z):
        x = points[:, 0] * np.cos(yaw) + z * np.sin(yaw)
        scale = 600 / (600 - points[:, 0] * np.sin(yaw) + z)
        return (np.stack([x * scale, points[:, 1] * scale], axis=1) + 300).astype(np.float32)

    before = (points + 300).astype(np.float32)
    flat, head = plane(before, turned(0 * depth), 60), plane(before, turned(depth), 60)
    assert flat.turn > 0.015
    assert flat.residual < 0.002
    assert head.residual > 5 * flat.residual
    assert plane(before[:10], before[:10], 60) is None


def test_a_huge_face_is_suspected():
    layer = PassiveLiveness()
    frame = np.dstack([skin().clip(0, 255).astype(np.uint8)] * 3)
    near = Face(Box(20, 0, 480, 480), POINTS, 0.9)
    states = [layer.observe(frame, near, n / FPS) for n in range(3)]
    assert states[-1].state is State.SUSPECTED
    assert Cue.SIZE in states[-1].cues


def test_wiping_forgets_the_session(clips, detector):
    layer = PassiveLiveness()
    clip = clips["screen-phone"][0]
    for number, frame in enumerate(clip):
        layer.observe(frame, detector.detect(frame)[0], number / FPS)
    kept = layer._track._last
    assert kept.any()
    layer.wipe()
    assert not kept.any()
    frame = clips[BONA_FIDE][0][0]
    assert layer.observe(frame, detector.detect(frame)[0], 99.0).state is State.WAITING


class Content:
    """A layer beneath that is always content."""

    def observe(self, picture, face, now):
        from agent.biometrics.liveness.types import Verdict

        return Verdict(State.CLEAR)

    def wipe(self):
        pass


def yawed(by):
    points = POINTS.copy()
    points[2, 0] += by * 30
    return Face(FACE.box, points, 0.9)


def challenge(side, *yaws, step_s=0.2):
    layer = ChallengeLiveness(side, Content())
    frame = np.zeros((480, 640, 3), np.uint8)
    verdicts = [layer.observe(frame, yawed(y), n * step_s) for n, y in enumerate(yaws)]
    return verdicts[-1], verdicts


@pytest.mark.parametrize(
    ("side", "yaws", "state"),
    [
        (Hint.TURN_LEFT, (0, 0, 0.2, 0.4, 0.1), State.CLEAR),
        (Hint.TURN_RIGHT, (0, 0, -0.2, -0.4, 0), State.CLEAR),
        (Hint.TURN_LEFT, (0, 0, -0.2, -0.4), State.SUSPECTED),
        (Hint.TURN_RIGHT, (0, 0, 0.5), State.SUSPECTED),
        (Hint.TURN_LEFT, (0, 0, 0.1, 0.2), State.WAITING),
        (Hint.TURN_LEFT, (0.2, 0.2, 0.3, 0.4), State.WAITING),
        (Hint.TURN_LEFT, (0,) * int(ANSWER_S / 0.2 + 4), State.SUSPECTED),
    ],
)
def test_the_challenge_wants_the_turn_that_it_asked_for(side, yaws, state):
    last, _ = challenge(side, *yaws)
    assert last.state is state
    assert last.cues == ((Cue.NO_RESPONSE,) if state is State.SUSPECTED else ())


def test_the_challenge_is_shown_and_drawn_at_random():
    _, verdicts = challenge(Hint.TURN_RIGHT, 0, 0, 0, -0.1)
    assert [v.hint for v in verdicts] == [Hint.LOOK_HERE] * 2 + [Hint.TURN_RIGHT] * 2
    assert {ChallengeLiveness().side for _ in range(64)} == {Hint.TURN_LEFT, Hint.TURN_RIGHT}


def test_layers_are_chosen_by_name():
    assert open_liveness("off") is None
    assert isinstance(open_liveness("passive"), PassiveLiveness)
    assert isinstance(open_liveness("challenge"), ChallengeLiveness)


def test_rates_are_those_of_30107_3():
    from agent.biometrics.liveness.spoof_evaluate import ClipResult

    people, prints = SpeciesCounts(), SpeciesCounts()
    for state in (State.CLEAR, State.CLEAR, State.CLEAR, State.SUSPECTED):
        people.add(ClipResult(state, 0.5))
    for state in (State.CLEAR, State.SUSPECTED, State.SUSPECTED, State.WAITING, State.WAITING):
        prints.add(ClipResult(state, 0.5, (Cue.PLANAR,) if state is State.SUSPECTED else ()))
    found = summarise({BONA_FIDE: people, "print-flat": prints})
    assert found["bpcer"] == 0.25
    assert found["apcer_highest"] == 0.2
    row = found["species"]["print-flat"]
    assert row["no_response"] == 0.4
    assert row["cues"] == {"planar": 2}
    assert row["clips"] == 5
