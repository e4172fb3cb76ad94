"""Strips of frames to look at: ten approaches, eight frames of each, from far to near.

Above each frame stand pixels a module, the exposure value and the distance.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.bench.approaches import Approach, Frame

__all__ = ["STRIPS", "strip", "write_strips"]

STRIPS = 10
FRAMES = 8
WIDE = 320
HEAD = 22


def strip(approach: Approach) -> NDArray[np.uint8]:
    """Return frames of an approach side by side, (H, W) uint8, evenly taken, the last one too."""
    frames = list(approach.frames)
    chosen = np.unique(np.linspace(0, len(frames) - 1, FRAMES).round().astype(int))
    return np.hstack([_labelled(frames[number]) for number in chosen])


def write_strips(path: Path, shown: Sequence[Approach]) -> None:
    """Write ten strips, of as many kinds as there are: a page for .html, else one PNG.

    Raises:
        ValueError: a name that ends in neither.
        OSError: it cannot be written.
    """
    if path.suffix not in {".html", ".png"}:
        raise ValueError(f"{path}: strips are a .html or a .png")
    first = list({approach.kind: approach for approach in reversed(shown)}.values())[::-1]
    pool = first if len(first) >= STRIPS else list(shown)
    chosen = [pool[int(n)] for n in np.unique(np.linspace(0, len(pool) - 1, STRIPS).round())]
    drawn = {approach: strip(approach) for approach in chosen}
    if path.suffix == ".png":
        wide = max(picture.shape[1] for picture in drawn.values())
        rows = [np.vstack([_line(_about(a), wide), _padded(p, wide)]) for a, p in drawn.items()]
        path.write_bytes(_png(np.vstack(rows)))
        return
    figures = "".join(
        f"<h2>{html.escape(_about(a))}</h2><img alt='' src='data:image/png;base64,"
        f"{base64.b64encode(_png(p)).decode()}'>\n"
        for a, p in drawn.items()
    )
    style = "body{font:14px sans-serif;margin:1em}h2{font-size:1em;margin:1em 0 .2em}img{max-width:100%}"
    path.write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Approaches</title>"
        f"<style>{style}</style><h1>Approaches</h1>\n{figures}</html>\n",
        "utf-8",
    )


def _about(approach: Approach) -> str:
    look = approach.look
    return (
        f"{approach.name}: version {look.version}-{look.level.upper()}, {look.code_mm:.0f} mm, "
        f"{approach.fps:.0f} frames a second"
    )


def _labelled(frame: Frame) -> NDArray[np.uint8]:
    tall = round(WIDE * frame.luma.shape[0] / frame.luma.shape[1])
    small = cv2.resize(frame.luma, (WIDE, tall), interpolation=cv2.INTER_AREA)
    about = f"{frame.px_per_module:.1f} px  EV {frame.ev:g}  {frame.distance_mm:.0f} mm"
    return np.vstack([_line(about, WIDE), small])


def _line(text: str, wide: int) -> NDArray[np.uint8]:
    head = np.full((HEAD, wide), 255, np.uint8)
    cv2.putText(head, text, (4, HEAD - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, [0], 1, cv2.LINE_AA)
    return head


def _padded(picture: NDArray[np.uint8], wide: int) -> NDArray[np.uint8]:
    return np.pad(picture, ((0, 0), (0, wide - picture.shape[1])), constant_values=255)


def _png(picture: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1])
