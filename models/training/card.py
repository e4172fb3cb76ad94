"""Write a model card's table of measured numbers from what the evaluation printed.

    python -m models.training.evaluate_detector --models models > measured.json
    python -m models.training.card --measured measured.json --card models/face_detect_int8.md

Replaces what stands between the two marker lines of the card; the words around it are a person's.
"""

import argparse
import json
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- measured -->", "<!-- /measured -->"


def main() -> None:
    """Parse the command line and rewrite the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measured", type=Path, required=True)
    parser.add_argument("--card", type=Path, required=True)
    arguments = parser.parse_args()
    measured = json.loads(arguments.measured.read_text())
    arguments.card.write_text(filled(arguments.card.read_text(), table(measured)))


def filled(card: str, measured: str) -> str:
    """The card with new numbers between its markers.

    Raises:
        ValueError: The card lacks a marker.
    """
    before, begin, rest = card.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the card needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{measured}\n{END}{after}"


def table(measured: dict[str, Any]) -> str:
    """The numbers of `evaluate_detector` as Markdown."""
    lines = [
        f"{measured['faces_a_width']} faces a width, {measured['runtime']}, one thread.",
        "",
        "| face, px | recall | point error, % of eyes: mean | median | 95 % | further faces |",
        "|---|---|---|---|---|---|",
    ]
    for width, row in measured["widths"].items():
        cells = (
            width,
            row["recall"],
            *(row.get(f"point_error_percent{part}", "") for part in ("", "_median", "_95")),
            row.get("further_faces_a_frame", ""),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    scatter = measured["repeatability_percent"]
    lines += [
        "",
        "The same face at another size, place and background (label errors cancel): points move by "
        + ", ".join(f"{value} % ({name.replace('_', ' ')})" for name, value in scatter.items())
        + " of the eye distance.",
    ]
    lines += ["", "| without a face | frames | faces a frame |", "|---|---|---|"]
    for name, row in measured["false_faces"].items():
        lines.append(f"| {name.replace('_', ' ')} | {row['frames']} | {row['faces_a_frame']} |")
    ms = measured["ms"]
    lines += ["", f"A 640x480 frame with one face: {ms['median']} ms median, {ms['best']} ms best."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
