"""One check from begin to outcome: who passes, who does not, and what every disturbance means."""

import numpy as np
import pytest

from agent.biometrics.errors import FaceRejected, ModelError
from agent.biometrics.face.reference import FACE_TEMPLATE, embed_photo
from agent.biometrics.face.session import GAP_S, PATIENCE, FaceVerifier
from agent.biometrics.liveness.types import Cue, State, Verdict
from agent.biometrics.types import Hint
from agent.credential.model import BiometricReference, Modality, ReferenceForm
from agent.reason import Reason
from agent.settings.model import FaceConfig

TIMEOUT_S = 8.0


def template(data, issuer, subformat=FACE_TEMPLATE, modality=Modality.FACE):
    return BiometricReference(modality, ReferenceForm.TEMPLATE, data, subformat, issuer)


def image(data, subformat=4):
    return BiometricReference(Modality.FACE, ReferenceForm.IMAGE, data, subformat)


@pytest.fixture(scope="module")
def astronaut_template(detector, embedder, astronaut):
    return embedder.template(embed_photo(astronaut, detector, embedder))


@pytest.fixture
def reference(astronaut_template, embedder):
    return template(astronaut_template, embedder.model_id)


@pytest.fixture
def play(as_frame):
    """Offer pictures at ten a second, the last one over and over, until there is an outcome."""

    def run(session, *pictures, step_s=0.1):
        for number in range(200):
            picture = pictures[min(number, len(pictures) - 1)]
            outcome = session.offer(as_frame(picture, number), number * step_s)
            if outcome is not None:
                return outcome
        raise AssertionError("no outcome")

    return run


def test_the_right_face_matches_within_three_frames(verifier, reference, play, scene, astronaut):
    outcome = play(verifier.begin(reference, 0.0), scene(astronaut))
    assert outcome.matched
    assert outcome.reason is Reason.GRANTED
    assert outcome.frames == outcome.counted == 3
    assert outcome.similarity >= outcome.threshold
    assert outcome.detect_ms > 0
    assert outcome.embed_ms > 0


def test_each_runtime_tells_the_two_people_apart(
    runtime, reference, play, scene, astronaut, hopper
):
    verifier = FaceVerifier.from_config(FaceConfig(runtime=runtime, liveness="off"))
    assert verifier.info()["runtime"] == runtime
    right = play(verifier.begin(reference, 0.0), scene(astronaut))
    wrong = play(verifier.begin(reference, 0.0), scene(hopper))
    assert right.reason is Reason.GRANTED
    assert wrong.reason is Reason.FACE_MISMATCH
    assert wrong.similarity < wrong.threshold - 0.02


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG", "JPEG2000"])
def test_a_photo_in_the_credential_works_too(
    verifier, play, scene, encoded, astronaut, hopper, kind
):
    import cv2

    how = {"no_jp2": True} if kind == "JPEG2000" else {"quality": 50}
    small = cv2.resize(astronaut[30:230, 30:230], (64, 64), interpolation=cv2.INTER_AREA)
    reference = image(encoded(small, kind, **how))
    assert play(verifier.begin(reference, 0.0), scene(astronaut)).reason is Reason.GRANTED
    assert play(verifier.begin(reference, 0.0), scene(hopper)).reason is Reason.FACE_MISMATCH


def test_nobody_is_face_not_found_when_the_time_is_over(verifier, reference, play, scene):
    outcome = play(verifier.begin(reference, 0.0, TIMEOUT_S), scene())
    assert outcome.reason is Reason.FACE_NOT_FOUND
    assert outcome.similarity is None
    assert outcome.frames == 80


def test_without_any_frame_the_session_expires(verifier, reference):
    session = verifier.begin(reference, 100.0, TIMEOUT_S)
    assert session.expire(107.9) is None
    outcome = session.expire(108.0)
    assert outcome.reason is Reason.FACE_NOT_FOUND
    assert outcome.frames == 0
    assert session.expire(109.0) is None, "there is one outcome"


def test_two_near_faces_are_several_faces(verifier, reference, play, scene, astronaut, hopper):
    session = verifier.begin(reference, 0.0, 1.0)
    outcome = play(session, scene(astronaut, hopper))
    assert outcome.reason is Reason.SEVERAL_FACES
    assert outcome.counted == 0


def test_the_largest_near_face_presents(verifier, reference, play, scene, astronaut, hopper):
    sides = (300, 110)
    outcome = play(verifier.begin(reference, 0.0), scene(astronaut, hopper, sides=sides))
    assert outcome.reason is Reason.GRANTED
    outcome = play(verifier.begin(reference, 0.0), scene(hopper, astronaut, sides=sides))
    assert outcome.reason is Reason.FACE_MISMATCH


def test_the_second_person_may_leave(verifier, reference, play, scene, astronaut, hopper):
    both, alone = scene(astronaut, hopper), scene(astronaut)
    outcome = play(verifier.begin(reference, 0.0), both, both, alone)
    assert outcome.reason is Reason.GRANTED
    assert (outcome.frames, outcome.counted) == (5, 3)


def test_a_face_that_changes_ends_the_check(verifier, reference, play, scene, astronaut, hopper):
    outcome = play(verifier.begin(reference, 0.0), scene(astronaut), scene(hopper))
    assert outcome.reason is Reason.FACE_CHANGED
    assert not outcome.matched


def test_a_face_lost_for_long_starts_the_count_again(
    verifier, reference, as_frame, scene, astronaut, hopper
):
    session = verifier.begin(reference, 0.0)
    assert session.offer(as_frame(scene(hopper)), 0.0) is None
    assert session.offer(as_frame(scene()), 0.1) is None
    later = 0.1 + GAP_S
    outcomes = [session.offer(as_frame(scene(astronaut)), later + n / 10) for n in range(3)]
    assert outcomes[:2] == [None, None]
    assert outcomes[2].reason is Reason.GRANTED
    assert outcomes[2].counted == 3


@pytest.mark.parametrize(
    ("spoil", "hint"),
    [
        (lambda room, cv2: cv2.GaussianBlur(room, (0, 0), 7), Hint.HOLD_STILL),
        (lambda room, cv2: (room * 0.12).astype(np.uint8), Hint.LIGHT),
    ],
    ids=["blurred", "dark"],
)
def test_poor_frames_do_not_count_and_say_what_would_help(
    verifier, reference, play, scene, astronaut, spoil, hint
):
    import cv2

    session = verifier.begin(reference, 0.0, 1.0)
    outcome = play(session, spoil(scene(astronaut), cv2))
    assert outcome.reason in {Reason.FACE_QUALITY, Reason.FACE_NOT_FOUND}
    assert outcome.counted == 0
    if outcome.reason is Reason.FACE_QUALITY:
        assert session.hint is hint


def test_a_face_too_far_away_is_asked_to_come_closer(verifier, reference, play, scene, astronaut):
    session = verifier.begin(reference, 0.0, 0.5)
    outcome = play(session, scene(astronaut, sides=(110,)))
    assert outcome.reason in {Reason.FACE_QUALITY, Reason.FACE_NOT_FOUND}
    assert outcome.counted == 0


def test_an_undecided_face_gets_more_frames_but_not_for_ever(
    detector, embedder, reference, play, scene, astronaut
):
    verifier = FaceVerifier(detector, embedder, liveness="off")
    verifier.threshold = 0.9999
    outcome = play(verifier.begin(reference, 0.0), scene(astronaut))
    assert outcome.reason is Reason.FACE_MISMATCH
    assert outcome.counted == 3 * PATIENCE


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda data, model: template(data, "another-model"), Reason.TEMPLATE_INCOMPATIBLE),
        (lambda data, model: template(data, ""), Reason.TEMPLATE_INCOMPATIBLE),
        (lambda data, model: template(data, model, 1), Reason.TEMPLATE_INCOMPATIBLE),
        (lambda data, model: template(data[:-1], model), Reason.REFERENCE_INVALID),
        (lambda data, model: template(data + b"\0", model), Reason.REFERENCE_INVALID),
        (lambda data, model: template(b"", model), Reason.REFERENCE_INVALID),
        (lambda data, model: template(b"\xf4" * 128, model), Reason.REFERENCE_INVALID),
        (
            lambda data, model: template(data, model, modality=Modality.FINGER),
            Reason.REFERENCE_INVALID,
        ),
        (lambda data, model: image(b""), Reason.REFERENCE_INVALID),
        (lambda data, model: image(b"RIFF\x10\0\0\0WEBPVP8 "), Reason.REFERENCE_INVALID),
    ],
    ids=[
        "model",
        "no model",
        "standard",
        "short",
        "long",
        "empty",
        "zero norm",
        "finger",
        "no data",
        "cut",
    ],
)
def test_references_that_cannot_be_used(verifier, astronaut_template, embedder, make, reason):
    with pytest.raises(FaceRejected) as refused:
        verifier.begin(make(astronaut_template, embedder.model_id), 0.0)
    assert refused.value.reason is reason


def test_a_photo_without_a_face_or_with_two_is_invalid(verifier, encoded, scene, astronaut, hopper):
    with pytest.raises(FaceRejected, match="no face"):
        verifier.begin(image(encoded(scene()[::4, ::4], "PNG")), 0.0)
    with pytest.raises(FaceRejected, match="more than one face"):
        verifier.begin(image(encoded(scene(astronaut, hopper), "WEBP", quality=80)), 0.0)
    narrow = np.zeros((2, 900, 3), np.uint8)
    with pytest.raises(FaceRejected, match="long and narrow"):
        verifier.begin(image(encoded(narrow, "PNG")), 0.0)


class Scripted:
    """A liveness layer that says what it is told."""

    def __init__(self, *states):
        self.states, self.wiped = list(states), 0

    def observe(self, picture, face, now):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        cues = (Cue.PLANAR,) if state is State.SUSPECTED else ()
        return Verdict(state, cues, {}, Hint.TURN_LEFT if state is State.WAITING else Hint.NONE)

    def wipe(self):
        self.wiped += 1


def test_a_match_waits_for_the_liveness_layer(verifier, reference, play, scene, astronaut):
    session = verifier.begin(reference, 0.0)
    session._liveness = Scripted(*[State.WAITING] * 5, State.CLEAR)
    session._content = False
    outcome = play(session, scene(astronaut))
    assert outcome.reason is Reason.GRANTED
    assert outcome.frames == 6
    assert session._liveness.wiped == 1


def test_a_suspected_spoof_ends_the_check_at_once(verifier, reference, play, scene, astronaut):
    session = verifier.begin(reference, 0.0)
    session._liveness = Scripted(State.WAITING, State.SUSPECTED)
    outcome = play(session, scene(astronaut))
    assert outcome.reason is Reason.SPOOF_SUSPECTED
    assert outcome.cues == (Cue.PLANAR,)
    assert not outcome.matched
    assert outcome.frames == 2


def test_a_layer_that_never_makes_up_its_mind_lets_nobody_pass(
    verifier, reference, play, scene, astronaut
):
    session = verifier.begin(reference, 0.0, 2.0)
    session._liveness = Scripted(State.WAITING)
    session._content = False
    outcome = play(session, scene(astronaut))
    assert not outcome.matched
    assert outcome.reason is Reason.FACE_QUALITY
    assert session.hint is Hint.TURN_LEFT


def test_nothing_is_kept_after_the_outcome(verifier, reference, as_frame, scene, astronaut):
    session = verifier.begin(reference, 0.0)
    for number in range(2):
        assert session.offer(as_frame(scene(astronaut)), number / 10) is None
    kept, probes = session._reference, list(session._probes)
    assert kept.any()
    assert all(probe.any() for probe in probes)
    assert session.offer(as_frame(scene(astronaut)), 0.2).matched
    assert not kept.any()
    assert not any(probe.any() for probe in probes)
    with pytest.raises(RuntimeError, match="over"):
        session.offer(as_frame(scene(astronaut)), 0.3)
    session.close()


def test_the_frame_stays_the_callers(verifier, reference, as_frame, scene, astronaut):
    frame = as_frame(scene(astronaut))
    before = frame.colour.copy()
    with verifier.begin(reference, 0.0) as session:
        session.offer(frame, 0.0)
    assert np.array_equal(frame.colour, before)


def test_a_grey_camera_works(verifier, reference, as_frame, scene, astronaut):
    from dataclasses import replace

    session = verifier.begin(reference, 0.0)
    outcomes = [
        session.offer(replace(as_frame(scene(astronaut)), colour=None), n / 10) for n in range(3)
    ]
    assert outcomes[2].similarity > 0.9


def test_a_rate_that_was_never_measured_stops_the_start(detector, embedder):
    with pytest.raises(ModelError, match="calibrate"):
        FaceVerifier(detector, embedder, false_match_rate="1e-9")


def test_a_models_directory_without_a_manifest_stops_the_start(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        FaceVerifier.from_config(FaceConfig(models_dir="nowhere"), tmp_path)
