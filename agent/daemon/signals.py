"""Signals, taken by a thread of their own.

A handler runs amid whatever the main thread is at: one that sets an event while that thread holds
the event's lock, in a wait or in the handler of the signal before, waits for ever. Here the signals
are blocked in every thread and one waits for them, so that what they ask for is done in its turn,
and one that comes early, or too often, stays with the kernel until then.
"""

from __future__ import annotations

import signal
import threading
from typing import Protocol

__all__ = ["NUMBERS", "SignalWatch", "Signalled"]

NUMBERS = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
"""SIGTERM and SIGINT stop, SIGHUP reads again."""


class Signalled(Protocol):
    """What a signal can ask something of."""

    def stop(self) -> None:
        """Stop, also in a start."""

    def reload(self) -> None:
        """Read again what may change while one runs."""


class SignalWatch:
    """The signals of this process, from now until it ends; begun before any other thread is.

    Args:
        stop: set by SIGTERM and SIGINT, also while nobody is followed.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._before = signal.pthread_sigmask(
            signal.SIG_BLOCK, NUMBERS
        )  # threads to come inherit it
        self._stop = stop
        self._followed: Signalled | None = None
        threading.Thread(target=self._watch, name="signals", daemon=True).start()

    def follow(self, signalled: Signalled) -> None:
        """Hand on what comes from now on; who was followed before is not any more."""
        self._followed = signalled
        if self._stop.is_set():  # it may have come a moment ago
            signalled.stop()

    def give_back(self) -> None:
        """Let signals act as before, where nothing was begun that they could find amid its work."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def _watch(self) -> None:
        while True:
            number = signal.sigwait(NUMBERS)
            if number != signal.SIGHUP:
                self._stop.set()
            if (followed := self._followed) is None:
                continue
            if number == signal.SIGHUP:
                followed.reload()
            else:
                followed.stop()
