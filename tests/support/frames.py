"""Frames with codes in them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hal.simulated.scene import qr_matrix


@pytest.fixture(scope="session")
def finders() -> Callable[..., NDArray[np.uint8]]:
    """Draw a page of QR finder patterns that belong to no code: `finders(module_px=1)`."""

    def drawn(module_px: int = 1, size: tuple[int, int] = (720, 1280)) -> NDArray[np.uint8]:
        one = np.full((8, 8), 255, dtype=np.uint8)
        one[:7, :7], one[1:6, 1:6], one[2:5, 2:5] = 0, 255, 0
        one = np.kron(one, np.ones((module_px, module_px), dtype=np.uint8))
        times = (size[0] // len(one) + 1, size[1] // len(one) + 1)
        return np.tile(one, times)[: size[0], : size[1]].copy()

    return drawn


@pytest.fixture(scope="session")
def draw() -> Callable[..., NDArray[np.uint8]]:
    """Draw a code flat on grey: `draw(payload, module_px=4, size=(720, 1280), at=(100, 200))`."""

    def drawn(
        payload: str | bytes,
        *,
        module_px: int = 4,
        size: tuple[int, int] = (720, 1280),
        at: tuple[int, int] = (100, 200),
        onto: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint8]:
        modules = np.pad(qr_matrix(payload), 4)
        code = np.kron(1 - modules, np.full((module_px, module_px), 255, dtype=np.uint8))
        frame = np.full(size, 128, dtype=np.uint8) if onto is None else onto
        frame[at[0] : at[0] + code.shape[0], at[1] : at[1] + code.shape[1]] = code
        return frame

    return drawn
