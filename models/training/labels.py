"""Boxes and five points of faces, as ../shared/faces has them in CSV.

Columns: file, x, y, w, h, then x and y of the right eye, left eye, nose, right and left mouth
corner (right is the person's right, so left in the picture), and a score; pixels throughout.
"""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

POINT_COUNT = 5


def read_annotation(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read the CSV: file name -> boxes (faces, 4) and points (faces, 5, 2)."""
    rows = defaultdict(list)
    with path.open(newline="") as stream:
        reader = csv.reader(stream)
        next(reader)
        for row in reader:
            rows[row[0]].append([float(value) for value in row[1:15]])
    result = {}
    for name, values in rows.items():
        table = np.array(values, np.float32)
        result[name] = (table[:, :4], table[:, 4:].reshape(-1, POINT_COUNT, 2))
    return result
