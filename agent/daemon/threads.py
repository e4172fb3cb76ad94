"""Threads whose death is noticed.

A thread that ends by an exception stops the daemon, and the service manager restarts it: a gate
that half works is worse than one that starts anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from agent import log
from hal.errors import HalError

__all__ = ["ThreadGroup"]

_log = log.get(__name__)


class ThreadGroup:
    """The daemon's threads.

    Attributes:
        lost: set when one of them ended by an exception.
        why: which one, the exception's type, and what a device said.
    """

    def __init__(self) -> None:
        self.lost = threading.Event()
        self.why = ""
        self._threads: list[threading.Thread] = []

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a thread of that name."""

        def run() -> None:
            try:
                target()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the daemon stops
                # Only a device's words are certain to be about no person.
                words = f" ({error})" if isinstance(error, HalError) else ""
                self.lose(f"{name}: {type(error).__name__}{words}")
                _log.exception("thread ended", thread=name)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def lose(self, why: str) -> None:
        """Say that a part of the daemon is gone."""
        self.why = self.why or why
        self.lost.set()

    def join(self, timeout_s: float) -> list[str]:
        """Wait for all to end, that long together; return the names of those that did not."""
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]
