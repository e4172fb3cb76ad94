"""Sizes that training, export and alignment share; imports nothing heavy."""

DETECTOR_SIZE = (160, 224)  # rows, columns
DETECTOR_STRIDE = 8
POINTS_SIZE = 96
POINTS_STRIDE = 4
# Where the five points of an upright face stand in the refiner's crop, in pixels: right eye, left
# eye, nose, right and left mouth corner. A mean face, with room for a turned head around it.
POINTS_TEMPLATE = (
    (35.0, 39.0),
    (61.0, 39.0),
    (48.0, 54.5),
    (37.5, 67.5),
    (58.5, 67.5),
)
EMBEDDER_SIZE = 150
