"""Pictures that a person can look at: what the camera saw, and what the gate made of it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hal.camera import Rgb

__all__ = ["annotate"]

GREEN, RED = (40, 200, 90), (230, 60, 60)
BAR_PX = 56


def annotate(
    picture: Rgb,
    path: Path,
    *,
    granted: bool,
    title: str,
    corners: tuple[tuple[int, int], ...] = (),
) -> None:
    """Write a frame with the code's outline and the decision.

    Args:
        picture: (H, W, 3) uint8 RGB.
        path: the PNG to write.
        granted: colours the outline and the bar.
        title: one line for the bar.
        corners: of the code, (x, y) pixels.
    """
    colour = GREEN if granted else RED
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    if corners:
        draw.line([*corners, corners[0]], fill=colour, width=6, joint="curve")
    width, height = image.size
    draw.rectangle((0, height - BAR_PX, width, height), fill=(20, 24, 28))
    draw.rectangle((0, height - BAR_PX, 14, height), fill=colour)
    font = ImageFont.load_default(26)
    draw.text((30, height - BAR_PX // 2), title, fill=(240, 240, 240), font=font, anchor="lm")
    image.save(path, optimize=False, compress_level=1)
