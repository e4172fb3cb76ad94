"""Folders of people become chips; the evaluation's frames are what they say."""

import cv2
import numpy as np
import pytest

from agent.biometrics.types import Box, Face
from models.training import evaluate_detector, people
from models.training.sizes import EMBEDDER_SIZE


def test_chips_are_read_by_person(drawn_people):
    chips = people.load_chips(drawn_people)
    assert chips.names == ("ann", "bo", "cy")
    assert chips.people.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert chips.pictures.shape == (9, EMBEDDER_SIZE, EMBEDDER_SIZE, 3)


@pytest.mark.parametrize("written", ["Bo", "BO", " bo ", "b.o", "_bo_"])
def test_excluded_people_are_left_out(drawn_people, tmp_path, written):
    names = tmp_path / "names.txt"
    names.write_text(f"somebody else\n\n{written}\n")
    excluded = people.read_names(names)
    left = set(people.load_chips(drawn_people, excluded).names)
    assert ("bo" not in left) == (people.comparable(written) == "bo")
    assert {"ann", "cy"} <= left


def test_people_with_too_few_pictures_are_left_out(drawn_people):
    with pytest.raises(ValueError, match="no person with 4 pictures"):
        people.load_chips(drawn_people, fewest=4)


def test_a_picture_of_another_size_is_refused(tmp_path):
    (tmp_path / "dee").mkdir()
    cv2.imwrite(str(tmp_path / "dee" / "1.png"), np.zeros((100, 150, 3), np.uint8))
    with pytest.raises(ValueError, match="is not a 150x150 picture"):
        people.load_chips(tmp_path)


def test_people_are_aligned_by_the_products_detector(tmp_path):
    data = pytest.importorskip("skimage.data")
    folder = tmp_path / "people" / "astronaut"
    folder.mkdir(parents=True)
    picture = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(folder / "1.png"), picture)
    cv2.imwrite(str(folder / "2.png"), np.zeros((200, 200, 3), np.uint8))
    (folder / "3.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("skipped")
    chips = tmp_path / "chips"
    made, missed = people.align_people(folder.parent, chips, people.Path("models"), frozenset())
    assert (made, missed) == (1, 2)
    loaded = people.load_chips(chips)
    assert loaded.names == ("astronaut",)
    # The eyes are where the embedder expects them: darker than the cheeks below.
    grey = cv2.cvtColor(loaded.pictures[0], cv2.COLOR_RGB2GRAY).astype(float)
    for x in (45, 100):
        assert grey[40:56, x - 8 : x + 8].min() < grey[66:82, x - 8 : x + 8].mean() - 40


@pytest.mark.parametrize("shift", [(-10, -20), (30, 40), (90, 70), (50, -5)])
def test_pasting_cuts_at_the_edges(shift):
    frame = np.zeros((80, 100, 3), np.uint8)
    picture = np.full((30, 40, 3), 200, np.uint8)
    evaluate_detector.paste(frame, picture, np.array(shift))
    x, y = shift
    expected = np.zeros((80, 100), bool)
    expected[max(0, y) : max(0, y + 30), max(0, x) : max(0, x + 40)] = True
    np.testing.assert_array_equal(frame[:, :, 0] == 200, expected)


@pytest.mark.parametrize(
    ("box", "expected"),
    [((0, 0, 10, 10), 1.0), ((5, 0, 10, 10), 1 / 3), ((10, 0, 5, 5), 0), ((2, 2, 5, 4), 0.2)],
)
def test_overlap(box, expected):
    face = Face(Box(*map(float, box)), np.zeros((5, 2), np.float32), 1.0)
    found = evaluate_detector.overlap(face, np.array([0, 0, 10, 10], np.float32))
    assert found == pytest.approx(expected)


def test_repeatability_does_not_see_the_labels_errors():
    label_error = np.full((5, 2), 0.2)
    displaced = {
        80: {1: label_error + np.array([0.03, 0.04])},
        120: {1: label_error, 2: label_error},
        200: {2: label_error, 3: np.zeros((5, 2))},
    }
    found = evaluate_detector.repeatability(displaced)
    assert found == {"80_to_120_px": 5.0, "200_to_120_px": 0.0}
