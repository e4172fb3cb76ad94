"""Composed samples: every label stands where the picture has its point."""

import numpy as np
import pytest

from models.training import compose, labels, negatives, scenes
from models.training.sizes import DETECTOR_STRIDE, POINTS_SIZE
from tests.models.conftest import COLOURS


@pytest.fixture
def composers(drawn_scenes, tmp_path):
    rng = np.random.default_rng(1)
    loaded = scenes.load_scenes(drawn_scenes, drawn_scenes.with_suffix(".csv"), tmp_path / "cache")
    background = np.full((2, negatives.ROWS, negatives.COLUMNS, 3), 60, np.uint8)
    return (
        compose.FrameComposer(loaded, background, rng),
        compose.CropComposer(loaded, background, rng),
    )


def share_of_right_colours(picture, points) -> float:
    """The share of the five points at which the picture shows (nearly) the point's own colour.

    A mirrored picture shows the other side's colours: the right eye of a mirrored person is what was
    the left one.
    """
    mirrored = [COLOURS[k] for k in scenes.MIRRORED_POINTS]
    return max(_share(picture, points, colours) for colours in (COLOURS, mirrored))


def _share(picture, points, colours) -> float:
    right = 0
    for (x, y), colour in zip(points, colours, strict=True):
        column, row = round(float(x)), round(float(y))
        if not (0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]):
            continue
        seen = picture[row, column].astype(int)
        right += int(np.abs(seen - colour).max() < 90)
    return right / 5


def test_the_points_of_a_frame_lie_on_the_face(composers):
    shares = []
    for _ in range(150):
        sample = composers[0].sample()
        for row, column in zip(*np.where(sample.heat == 1), strict=True):
            values = sample.values[:, row, column]
            if np.exp(values[2]) * DETECTOR_STRIDE < 25:
                continue  # a point is less than a pixel there
            centre = np.array([column + 0.5, row + 0.5])
            points = (values[4:].reshape(5, 2) + centre) * DETECTOR_STRIDE
            shares.append(share_of_right_colours(sample.picture, points))
    assert len(shares) > 60
    # Masks, obstacles and people before people hide some.
    assert np.mean(np.array(shares) == 1) > 0.6
    assert np.mean(shares) > 0.75


def test_the_points_of_a_crop_lie_on_the_face(composers):
    shares = [
        share_of_right_colours(picture, points)
        for picture, points, is_face in (composers[1].sample() for _ in range(300))
        if is_face
    ]
    assert len(shares) > 150
    assert np.mean(np.array(shares) == 1) > 0.6
    assert np.mean(shares) > 0.85


def test_no_crop_without_a_face_has_the_points_in_place(composers):
    template = compose.TEMPLATE
    shares = [
        share_of_right_colours(picture, template)
        for picture, _, is_face in (composers[1].sample() for _ in range(300))
        if not is_face
    ]
    assert len(shares) > 40
    assert max(shares) < 0.9


def test_mirrored_points_change_sides():
    points = np.arange(5)
    assert points[list(scenes.MIRRORED_POINTS)].tolist() == [1, 0, 2, 4, 3]


@pytest.mark.parametrize(
    ("turn", "scale", "shift"), [(0, 1, (0, 0)), (0.4, 0.5, (3, -7)), (-2.5, 3, (100, 40))]
)
def test_similarity_is_found_again(turn, scale, shift):
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    matrix = np.hstack([matrix, np.array(shift, float)[:, None]])
    moved = compose.transformed(matrix, compose.TEMPLATE)
    np.testing.assert_allclose(compose.similarity(compose.TEMPLATE, moved), matrix, atol=1e-3)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_levels_show_the_same_place(level):
    # The centre of the first pixel of a smaller level is the middle of the pixels it was made of.
    x, _ = compose.level_matrix(level)[:2] @ [0, 0, 1]
    assert x == (2**level - 1) / 2


def test_an_invisible_face_is_neither_asked_for_nor_punished():
    box = np.array([[80, 60, 60, 75]], np.float32)
    points = np.full((1, 5, 2), 100, np.float32)
    asked, _, weight = compose.frame_targets(box, points, np.array([0.9]))
    assert (asked == 1).sum() == 1
    assert weight.max() > 0
    ignored, _, weight = compose.frame_targets(box, points, np.array([0.4]))
    assert (ignored == -1).sum() > 10
    assert weight.max() == 0
    nothing, _, _ = compose.frame_targets(box, points, np.array([0.0]))
    assert not nothing.any()


def test_drawn_negatives_are_pictures():
    drawn = negatives.draw_negatives(12, np.random.default_rng(5))
    assert drawn.shape == (12, 240, 320, 3)
    assert drawn.dtype == np.uint8
    assert all(picture.std() > 1 for picture in drawn)


def test_the_annotation_is_read(drawn_scenes):
    table = labels.read_annotation(drawn_scenes.with_suffix(".csv"))
    boxes, points = table["000.png"]
    assert boxes.shape == (1, 4)
    assert points.shape == (1, 5, 2)
    inside = (points[0] > boxes[0, :2]) & (points[0] < boxes[0, :2] + boxes[0, 2:])
    assert inside.all()


def test_a_cache_of_other_scenes_is_refused(drawn_scenes, tmp_path):
    annotation = drawn_scenes.with_suffix(".csv")
    scenes.load_scenes(drawn_scenes, annotation, tmp_path / "cache")
    shorter = tmp_path / "shorter.csv"
    shorter.write_text("".join(annotation.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="holds 24 pictures"):
        scenes.load_scenes(drawn_scenes, shorter, tmp_path / "cache")


def test_crops_have_the_networks_size(composers):
    picture, points, _ = composers[1].sample()
    assert picture.shape == (POINTS_SIZE, POINTS_SIZE, 3)
    assert points.shape == (5, 2)
