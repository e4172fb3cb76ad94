"""Codes and frames for the scanner's tests."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.sandbox.supervisor import Incident
from agent.scan.decoders import Decoders
from agent.scan.scanner import Scanner
from agent.settings.model import ScanConfig
from tests.support.frames import draw, finders  # noqa: F401
from tests.support.paths import shared


@pytest.fixture(scope="session")
def photographs() -> Path:
    return shared("qr/manifest.csv").parent


@pytest.fixture(scope="session")
def decoders() -> Decoders:
    return Decoders()


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
