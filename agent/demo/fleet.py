"""The fleet's end of the demo: the real collector, storing into SQLite what the gates report."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from agent.fleet.collector import Collector
from agent.fleet.store import EventStore
from agent.report.link import LinkSettings

__all__ = ["Fleet", "Row"]

Row = tuple[str, str, int]
"""Gate, boot id and seq: names an event for ever."""


class Fleet:
    """A collector in a thread.

    Args:
        host, port: of the broker.
        database: SQLite file.
        shared: whether the broker knows shared subscriptions.
    """

    def __init__(self, host: str, port: int, database: Path, *, shared: bool) -> None:
        settings = LinkSettings(
            host=host,
            port=port,
            tls=False,
            client_id="idgate-demo-collector",
            version5=False,
            manual_ack=True,
        )
        self._store = EventStore(str(database))
        group = "demo" if shared else ""
        self._collector = Collector(settings, self._store, group=group)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=lambda: self._collector.run(self._stop.is_set), name="collector", daemon=True
        )

    def start(self) -> None:
        """Begin to collect."""
        self._thread.start()

    def received(self) -> set[Row]:
        """Return what is stored."""
        return {(row["gate"], row["boot_id"], row["seq"]) for row in self._store.read()}

    def wait_for(self, rows: set[Row], timeout_s: float) -> bool:
        """Wait until all of these are stored; return whether they are."""
        until = time.monotonic() + timeout_s
        while not rows <= self.received():
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def count(self) -> int:
        """Return how many events are stored."""
        return self._store.count()

    def close(self) -> None:
        """Stop collecting."""
        self._stop.set()
        self._thread.join(5.0)
        self._store.close()
