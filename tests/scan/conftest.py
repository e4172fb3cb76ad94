"""Codes and frames for the scanner's tests."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.config import ScanConfig
from agent.scan import Incident, Scanner
from hal.simulated.scene import qr_matrix


@pytest.fixture(scope="session")
def photographs() -> Path:
    folder = Path(__file__).parents[2].parent / "shared" / "qr"
    if not (folder / "manifest.csv").is_file():
        pytest.skip("the shared photographs of QR codes are not beside this checkout")
    return folder


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


@pytest.fixture(scope="session")
def long_lived() -> Iterator[tuple[Scanner, list[Incident]]]:
    incidents: list[Incident] = []
    with Scanner(ScanConfig(deadline_ms=400), incidents.append) as scanner:
        yield scanner, incidents


@pytest.fixture
def scanner(long_lived: tuple[Scanner, list[Incident]]) -> Scanner:
    """One scanner for all tests: it must outlive everything that they do to it."""
    scanner, incidents = long_lived
    scanner.wait_ready(30)
    scanner.incidents.clear()
    incidents.clear()
    return scanner


@pytest.fixture
def incidents(long_lived: tuple[Scanner, list[Incident]], scanner: Scanner) -> list[Incident]:
    return long_lived[1]


def gone(pidfd: int, within_s: float = 5.0) -> bool:
    """Wait, without polling, for a process to end."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    ended = bool(poller.poll(within_s * 1000))
    os.close(pidfd)
    return ended


@pytest.fixture(scope="session")
def has_ended() -> Callable[..., bool]:
    return gone
