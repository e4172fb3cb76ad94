"""The daemon's hold on trust: one current snapshot, replaced whole, in its own thread.

Rules:
- reading `snapshot` takes no lock and never waits; a passage that began with a snapshot ends with
  it;
- whatever goes wrong with new trust, the old stays in force, and the fault is reported: its age
  says how long that has been so, and the policy says how long it may;
- a nudge (a signal, or the fleet's word that there is something new) and the schedule meet in one
  place; nudges during an update are one more update, not many;
- a plain directory is read again on schedule; a signed cache is updated from its source where one
  is set, else read again, since somebody may have updated it by hand.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.settings.model import Config
from agent.trust.model import TrustError
from agent.trust.snapshot import TrustSnapshot

__all__ = ["TrustAge", "TrustStore"]

_JITTER = 0.1
"""Share of the interval by which updates of a fleet's gates are spread."""

_SET_ASIDE_TOLD = 20
"""Files named in the log at once."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrustAge:
    """How current the trust is, for the fleet's `state`, `idgate doctor` and `idgate trust show`.

    Attributes:
        version: of the set; 0 for a plain directory.
        updated_at: Unix seconds from which the age counts: a signed set's own date.
        age_s: seconds since.
        expires_in_s: seconds until updates of this age are refused as expired; negative when they
            are; None for a plain directory.
        error: what the last attempt met, empty when it went well.
    """

    version: int
    updated_at: int
    age_s: int
    expires_in_s: int | None
    error: str


class _Threads(Protocol):
    """Where the store's thread runs."""

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run `target` in a thread of that name."""


class TrustStore:
    """Holds the current trust.

    Args:
        config: the gate's settings.
        clock: Unix seconds.
        on_change: called with each new snapshot, in order, in the thread that brought it.

    Raises:
        TrustError: there is no trust to begin with. A signed cache without a set yet is updated
            from its source first.
    """

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.time,
        on_change: Callable[[TrustSnapshot], None] | None = None,
    ) -> None:
        settings = config.trust
        self._directory = config.path(settings.directory)
        self._signed = settings.signed
        self._source = _source(config, settings.url) if settings.signed else ""
        self._ca = config.path(settings.ca) if settings.ca else None
        self._refresh_s = settings.refresh_s
        self._clock = clock
        self._on_change = on_change
        self._nudged = threading.Event()
        self._stopping = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._error = ""
        self._snapshot = self._first()
        _tell_set_aside(self._snapshot)

    @property
    def snapshot(self) -> TrustSnapshot:
        """What to believe now."""
        return self._snapshot

    @property
    def error(self) -> str:
        """What the last reload or update met; empty when it went well."""
        return self._error

    def age(self) -> TrustAge:
        """Return how current the trust is."""
        now, snapshot = int(self._clock()), self._snapshot
        expires = snapshot.expires_at
        return TrustAge(
            version=snapshot.version,
            updated_at=snapshot.updated_at,
            age_s=snapshot.age_s(now),
            expires_in_s=None if expires is None else expires - now,
            error=self._error,
        )

    def reload(self) -> None:
        """Read the directory or cache again.

        Raises:
            TrustError: it cannot be believed; the old snapshot stays in force.
        """
        self._attempt(self._load)

    def update(self) -> None:
        """Fetch what is new, or read again where there is no source.

        Raises:
            TrustError: it cannot be had or believed; the old snapshot stays in force.
        """
        self._attempt(self._fetch if self._source else self._load)

    def nudge(self) -> None:
        """Ask the store's thread for an update now; returns at once."""
        self._nudged.set()

    def start(self, threads: _Threads) -> None:
        """Begin the schedule in one of the daemon's threads."""
        threads.start("trust", self.run)

    def stop(self) -> None:
        """End the schedule; an update that hangs in the network is left behind."""
        self._stopping.set()
        self._nudged.set()

    def run(self) -> None:
        """Update on schedule and when nudged, until stopped."""
        while not self._stopping.is_set():
            spread = 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - spreads load, no secret
            self._nudged.wait(self._refresh_s * spread)
            self._nudged.clear()
            if self._stopping.is_set():
                return
            try:
                self.update()
            except TrustError as error:
                _log.warning("trust stays at version %d: %s", self._snapshot.version, error)

    def _attempt(self, step: Callable[[], TrustSnapshot]) -> None:
        try:
            fresh = step()  # outside the lock: a reload must not wait for the network
        except TrustError as error:
            self._error = str(error)
            raise
        with self._one_at_a_time:
            self._error = ""
            if fresh.version < self._snapshot.version:
                return  # read before an update that finished first; sets never count backwards
            if fresh.set_aside != self._snapshot.set_aside:
                _tell_set_aside(fresh)
            self._snapshot = fresh
            if self._on_change is not None:
                self._on_change(fresh)

    def _first(self) -> TrustSnapshot:
        from agent.trust.cache import read_pointer

        if self._source and read_pointer(self._directory) is None:
            return self._fetch()
        return self._load()

    def _load(self) -> TrustSnapshot:
        now = int(self._clock())
        if self._signed:
            from agent.trust.cache import load_signed

            return load_signed(self._directory, now)
        from agent.trust.directory import load_directory

        return load_directory(self._directory, now=now)

    def _fetch(self) -> TrustSnapshot:
        from agent.trust.update import update

        now = int(self._clock())
        return update(self._directory, self._source, now=now, ca=self._ca).snapshot


def _tell_set_aside(snapshot: TrustSnapshot) -> None:
    for entry in snapshot.set_aside[:_SET_ASIDE_TOLD]:
        _log.warning("set aside in the trust: %s", entry)


def _source(config: Config, url: str) -> str:
    """Return where updates come from: a URL, or a path relative to the settings file."""
    return url if not url or "://" in url else str(config.path(url))
