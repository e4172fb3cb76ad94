"""The similarity transform: exact where it can be, least squares where not, and never aliased."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.biometrics.geometry import (
    apply_similarity,
    invert_similarity,
    similarity,
    similarity_scale,
    warp,
)

POINTS = np.array([[45.2, 47.7], [100.2, 47.1], [70.6, 77.6], [50.6, 101.3], [96.2, 100.8]])


@given(
    scale=st.floats(0.05, 20),
    turn=st.floats(-3.1, 3.1),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
)
def test_a_similarity_is_found_again(scale, turn, x, y):
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    true = np.array([[cos, -sin, x], [sin, cos, y]])
    found = similarity(POINTS, POINTS @ true[:, :2].T + true[:, 2])
    assert np.allclose(found, true, atol=1e-6 * max(1, scale, abs(x), abs(y)))
    assert similarity_scale(found) == pytest.approx(scale)
    back = apply_similarity(invert_similarity(found), apply_similarity(found, POINTS))
    assert np.allclose(back, POINTS, atol=0.05)


def test_the_fit_is_the_least_squares_one_without_reflection():
    """Against scikit-image's estimate on noisy and on mirrored points."""
    transform = pytest.importorskip("skimage.transform")
    rng = np.random.default_rng(1)
    noisy = POINTS * 1.7 + rng.normal(0, 4, POINTS.shape)
    theirs = transform.SimilarityTransform.from_estimate(POINTS, noisy)
    assert np.allclose(similarity(POINTS, noisy), theirs.params[:2], atol=1e-9)
    mirrored = similarity(POINTS, POINTS * (-1, 1))
    assert np.linalg.det(mirrored[:, :2]) >= 0


@pytest.mark.parametrize(
    "points",
    [np.full((5, 2), 3.0), np.full((5, 2), np.nan), np.array([[0, 0], [np.inf, 0]])],
    ids=["coincide", "nan", "infinite"],
)
def test_points_that_give_no_transform_are_refused(points):
    with pytest.raises(ValueError, match="coincide"):
        similarity(points, POINTS[: len(points)])


def test_shrinking_averages_instead_of_skipping():
    """A pattern of single black and white columns must come out grey, not striped."""
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    matrix = np.array([[0.1, 0, 0], [0, 0.1, 0]])
    small = warp(stripes, matrix, (40, 40))
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2


@pytest.mark.parametrize("scale", [0.9, 0.3, 0.11])
def test_shrinking_keeps_the_place(scale):
    """A bright spot lands where the transform says, to a fraction of a pixel."""
    import cv2

    picture = np.zeros((600, 600, 3), np.uint8)
    cv2.circle(picture, (411, 287), 24, (255, 255, 255), -1)
    matrix = np.array([[scale, 0, -30.0], [0, scale, -20.0]])
    size = (round(600 * scale), round(600 * scale))
    seen = warp(picture, matrix, size)[..., 0].astype(float)
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    middle = ((x * seen).sum() / seen.sum(), (y * seen).sum() / seen.sum())
    # Pixel centres are whole numbers, so halving moves them by half a pixel, which warp undoes.
    assert middle == pytest.approx((411 * scale - 30, 287 * scale - 20), abs=0.15)


def test_beyond_the_edge_is_the_edge_or_the_fill():
    white = np.full((50, 50, 3), 250, np.uint8)
    away = np.array([[1.0, 0, 100], [0, 1.0, 0]])
    assert (warp(white, away, (50, 50)) == 250).all()
    assert (warp(white, away, (50, 50), fill=7) == 7).all()
    far = np.array([[0.2, 0, 1e4], [0, 0.2, 0]])
    assert (warp(white, far, (50, 50), fill=7) == 7).all()
