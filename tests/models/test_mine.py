"""Hard negatives come from faceless frames, as the refiner would see them."""

import numpy as np
import pytest

from agent.biometrics.face.detect import open_detector
from agent.biometrics.manifest import load_manifest
from models.training import mine, scenes
from models.training.sizes import POINTS_SIZE
from tests.support.paths import ROOT

MODELS = ROOT / "models"


@pytest.fixture(scope="module")
def coarse():
    return open_detector(MODELS, mine.coarse_only(load_manifest(MODELS)))


def test_the_coarse_detector_names_more_than_the_whole(coarse):
    data = pytest.importorskip("skimage.data")
    whole = open_detector(MODELS, load_manifest(MODELS))
    picture = data.astronaut()
    assert len(coarse.detect(picture)) >= len(whole.detect(picture)) >= 1


def test_candidates_are_crops_of_the_refiners_size(coarse):
    data = pytest.importorskip("skimage.data")
    crops = list(mine.candidates(coarse, data.astronaut()))
    assert crops
    assert all(crop.shape == (POINTS_SIZE, POINTS_SIZE, 3) for crop in crops)


def test_faceless_frames_are_half_drawn_and_show_no_labelled_face(drawn_scenes, tmp_path):
    loaded = scenes.load_scenes(drawn_scenes, drawn_scenes.with_suffix(".csv"), tmp_path / "cache")
    frames = list(mine.faceless_frames(loaded, 24, np.random.default_rng(6)))
    assert [drawn for _, drawn in frames] == [True] * 12 + [False] * 12
    for frame, drawn in frames:
        assert frame.shape == (*mine.FRAME, 3)
        if not drawn:  # the drawn people's skin and points are the only colours there are
            assert np.ptp(frame.astype(int), axis=2).max() < 30
