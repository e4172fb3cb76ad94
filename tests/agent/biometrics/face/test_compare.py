"""Scores and what they mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agent.biometrics.errors import FaceRejected, ModelError
from agent.biometrics.face.compare import Thresholds, cosine, fuse
from agent.biometrics.face.embed import TEMPLATE_BYTES
from agent.biometrics.face.metrics import NO_SCORE, accuracy, fmr_threshold, rates

TABLE = {"1e-2": 0.90, "1e-3": 0.93, "1e-4": 0.95}
VECTORS = arrays(np.float32, 128, elements=st.floats(-255, 255, width=32))


@given(a=VECTORS, b=VECTORS)
def test_cosine_is_bounded_symmetric_and_one_with_itself(a, b):
    assert -1 <= cosine(a, b) <= 1
    assert cosine(a, b) == pytest.approx(cosine(b, a), abs=1e-6)
    if np.linalg.norm(a) > 1e-3:
        assert cosine(a, a) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("empty", [np.zeros(128, np.float32), np.full(128, np.nan, np.float32)])
def test_a_vector_without_length_is_like_nobody(empty):
    assert cosine(empty, np.ones(128, np.float32)) == 0.0
    assert cosine(empty, empty) == 0.0


@pytest.mark.parametrize(
    ("score", "rate"),
    [(0.5, 1), (0.8999, 1), (0.90, 1e-2), (0.915, 10**-2.5), (0.93, 1e-3), (0.95, 1e-4), (1, 1e-4)],
)
def test_false_match_rate_at_a_score(score, rate):
    assert Thresholds(TABLE).false_match_rate(score) == pytest.approx(rate)


def test_thresholds_know_what_was_measured():
    table = Thresholds(TABLE)
    assert table.rates == ["1e-2", "1e-3", "1e-4"]
    assert table.at("1e-3") == 0.93
    with pytest.raises(KeyError):
        table.at("1e-6")
    with pytest.raises(ValueError, match="no thresholds"):
        Thresholds({})


def test_fusing_takes_the_mean_direction():
    a, b = (
        np.eye(128, dtype=np.float32)[:2] * (3, 1) if False else np.eye(128, dtype=np.float32)[:2]
    )
    fused = fuse([a * 100, b])
    assert np.linalg.norm(fused) == pytest.approx(1)
    assert cosine(fused, a) == pytest.approx(cosine(fused, b))
    with pytest.raises(ValueError, match="nothing"):
        fuse([])


@given(data=st.binary(min_size=128, max_size=128))
def test_every_template_with_length_reads_back_as_written(embedder, data):
    try:
        vector = embedder.read_template(data)
    except FaceRejected:
        values = np.frombuffer(data, np.int8).astype(int) + 12
        assert np.linalg.norm(values) < 16
        return
    assert embedder.template(vector) == data


def test_a_template_is_128_bytes_and_loses_nothing(embedder, astronaut, astronaut_face):
    vector = embedder.embed(embedder.align(astronaut, astronaut_face.points))
    data = embedder.template(vector)
    assert len(data) == TEMPLATE_BYTES
    assert np.array_equal(embedder.read_template(data), vector)


def test_an_embedder_without_thresholds_says_what_to_do(embedder, monkeypatch):
    import msgspec

    monkeypatch.setattr(embedder, "spec", msgspec.structs.replace(embedder.spec, thresholds={}))
    with pytest.raises(ModelError, match="idgate face calibrate"):
        _ = embedder.thresholds


def test_rates_of_scores_that_can_be_counted_by_hand():
    genuine = np.array([0.9, 0.8, 0.7, 0.2], np.float32)
    impostor = np.linspace(0, 0.75, 100).astype(np.float32)
    found = rates(genuine, impostor, ("1e-1", "1e-2", "1e-3"))
    assert found.tar["1e-2"] == 0.5
    assert set(found.tar) == {"1e-1", "1e-2"}, "1e-3 of 100 pairs is no pair"
    assert (impostor >= found.thresholds["1e-2"]).sum() <= 1
    assert (impostor >= found.thresholds["1e-1"]).sum() <= 10
    assert 0.2 <= found.eer <= 0.3
    with pytest.raises(ValueError, match="both"):
        rates(genuine, impostor[:0])


@given(
    scores=arrays(np.float32, st.integers(1, 300), elements=st.floats(-1, 1, width=32)),
    rate=st.sampled_from([0.5, 0.1, 0.01]),
)
def test_a_threshold_never_lets_more_through_than_its_rate(scores, rate):
    assert (scores >= fmr_threshold(scores, rate)).mean() <= rate


def test_accuracy_takes_its_threshold_from_the_other_folds():
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.55, 0.6], np.float32)
    same = np.array([True, False, True, False, True, False])
    folds = np.array([0, 0, 1, 1, 2, 2])
    mean, deviation = accuracy(scores, same, folds)
    # Folds 0 and 1 are told apart by any threshold of the others; fold 2's pairs stand wrong.
    assert mean == pytest.approx((1 + 1 + 0.5) / 3)
    assert deviation == pytest.approx(np.std([1, 1, 0.5]))
    assert accuracy(scores[:4], same[:4], folds[:4] * 0)[0] == 1.0


def test_a_picture_without_a_face_never_matches():
    assert fmr_threshold(np.full(10, -0.9, np.float32), 1.0) > NO_SCORE
