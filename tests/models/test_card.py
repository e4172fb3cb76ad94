"""The card's numbers come from the evaluation, and nothing else of the card changes."""

import pytest

from models.training import card

MEASURED = {
    "faces_a_width": 500,
    "runtime": "litert",
    "widths": {
        "80": {
            "recall": 0.98,
            "point_error_percent": 5.1,
            "point_error_percent_median": 4.2,
            "point_error_percent_95": 9.9,
            "further_faces_a_frame": 0.004,
        },
        "40": {"recall": 0.0},
    },
    "false_faces": {"qr_photographs": {"frames": 92, "faces_a_frame": 0.0}},
    "repeatability_percent": {"80_to_120_px": 2.5},
    "ms": {"median": 1.5, "best": 1.2},
}


def test_numbers_stand_between_the_markers():
    old = f"# Card\n\nWords.\n\n{card.BEGIN}\nold numbers\n{card.END}\n\nMore words.\n"
    new = card.filled(old, card.table(MEASURED))
    assert "old numbers" not in new
    assert "| 80 | 0.98 | 5.1 | 4.2 | 9.9 | 0.004 |" in new
    assert "| 40 | 0.0 |  |  |  |  |" in new
    assert "| qr photographs | 92 | 0.0 |" in new
    assert "points move by 2.5 % (80 to 120 px)" in new
    assert new.startswith("# Card\n\nWords.\n")
    assert new.endswith("\n\nMore words.\n")
    assert card.filled(new, card.table(MEASURED)) == new


@pytest.mark.parametrize("text", ["", card.BEGIN, card.END, f"{card.END}\n{card.BEGIN}"])
def test_a_card_without_markers_is_refused(text):
    with pytest.raises(ValueError, match="needs the lines"):
        card.filled(text, "numbers")
