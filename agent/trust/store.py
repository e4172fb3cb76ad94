"""The daemon's hold on trust: one current snapshot, replaced whole, in its own thread.

Rules:
- reading `current` takes no lock and never waits; a passage that began with a snapshot ends with
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
from pathlib import Path

from agent.trust.model import TrustError
from agent.trust.snapshot import TrustSnapshot

__all__ = ["TrustAge", "TrustStore"]

_JITTER = 0.1
"""Share of the interval by which updates of a fleet's gates are spread."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrustAge:
    """How current the trust is, for the fleet's `state`, `idgate doctor` and `idgate trust show`.

    Attributes:
        version: of the set; 0 for a plain directory.
        updated_at: Unix seconds at which it was last confirmed current.
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


class TrustStore:
    """Holds the current trust.

    Args:
        directory: a plain directory, or the cache of a signed set.
        signed: whether only signed sets are believed.
        source: where updates come from; empty for none.
        refresh_s: interval of the schedule.
        roster_key: the key to the rosters; None takes the directory's `roster.key`.
        wall: Unix seconds.
        on_change: called in the store's thread with each new snapshot.

    Raises:
        TrustError: there is no trust to begin with. A signed cache without a set yet is updated
            from its source first.
    """

    def __init__(
        self,
        directory: Path,
        *,
        signed: bool = False,
        source: str = "",
        refresh_s: float = 3_600.0,
        roster_key: bytes | None = None,
        wall: Callable[[], float] = time.time,
        on_change: Callable[[TrustSnapshot], None] | None = None,
    ) -> None:
        self._directory = directory
        self._signed = signed
        self._source = source
        self._refresh_s = refresh_s
        self._roster_key = roster_key
        self._wall = wall
        self._on_change = on_change
        self._nudged = threading.Event()
        self._stopping = threading.Event()
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._error = ""
        self._current = self._first()

    @property
    def current(self) -> TrustSnapshot:
        """The snapshot to believe now."""
        return self._current

    @property
    def error(self) -> str:
        """What the last reload or update met; empty when it went well."""
        return self._error

    def age(self) -> TrustAge:
        """Return how current the trust is."""
        now, snapshot = int(self._wall()), self._current
        expires = snapshot.expires_at
        return TrustAge(
            version=snapshot.version,
            updated_at=snapshot.updated_at,
            age_s=snapshot.age_s(now),
            expires_in_s=None if expires is None else expires - now,
            error=self._error,
        )

    def reload(self) -> str:
        """Read the directory or cache again; return what went wrong, empty for nothing.

        The old snapshot stays in force when something did.
        """
        with self._turn:
            return self._attempt(self._load)

    def update(self) -> str:
        """Fetch what is new, or read again where there is no source; see `reload`."""
        with self._turn:
            return self._attempt(self._fetch if self._signed and self._source else self._load)

    def nudge(self) -> None:
        """Ask the store's thread for an update now."""
        self._nudged.set()

    def start(self) -> None:
        """Begin the schedule."""
        self._thread = threading.Thread(target=self._run, name="trust", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End the schedule; an update that hangs in the network is left behind."""
        self._stopping.set()
        self._nudged.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether the schedule's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            spread = 1 + random.uniform(-_JITTER, _JITTER)  # noqa: S311 - spreads load, no secret
            self._nudged.wait(self._refresh_s * spread)
            self._nudged.clear()
            if not self._stopping.is_set():
                self.update()

    def _attempt(self, step: Callable[[], TrustSnapshot]) -> str:
        before = self._current
        try:
            self._current = step()
        except TrustError as error:
            self._error = str(error)
            _log.warning("trust stays at version %d: %s", before.version, error)
            return self._error
        self._error = ""
        if self._on_change is not None:
            self._on_change(self._current)
        return ""

    def _first(self) -> TrustSnapshot:
        from agent.trust.cache import read_pointer

        if self._signed and self._source and read_pointer(self._directory) is None:
            return self._fetch()
        return self._load()

    def _load(self) -> TrustSnapshot:
        now = int(self._wall())
        if self._signed:
            from agent.trust.cache import load_signed

            return load_signed(self._directory, now, roster_key=self._roster_key)
        from agent.trust.directory import load_directory

        return load_directory(self._directory, now=now, roster_key=self._roster_key)

    def _fetch(self) -> TrustSnapshot:
        from agent.trust.update import update

        return update(
            self._directory, self._source, now=int(self._wall()), roster_key=self._roster_key
        ).snapshot
