"""Options of the whole suite."""

from __future__ import annotations


def pytest_addoption(parser) -> None:
    parser.addoption(
        "--device",
        action="store_true",
        help="run tests/device too, on a real Raspberry Pi wired as docs/wiring.md says",
    )
