"""The retained values of a gate (status, info, state) and its metrics, as messages.

Rules:
- `info` and the daemon's part of `state` are published when they change, a second apart at least;
  the outbox's numbers, which change with every event, only every ten seconds.
- `status` is plain text, so that Home Assistant and a person read it alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.journal.model import Outbox
from agent.report import payloads
from agent.report.link import Message
from agent.report.topics import GateAddress

__all__ = ["Sources", "Values"]

_STATE_EVERY_S = 1.0
_OUTBOX_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the published values come from; each is quick and may be called at any time.

    Attributes:
        info, state: the daemon's values.
        metrics: numbers by name, for the metrics topic.
        clock: Unix seconds, for what is written down.
        believed: Unix seconds, None while no time is believed: for what depends on the time; None
            always where nobody says.
    """

    info: Callable[[], payloads.GateInfo]
    state: Callable[[], payloads.GateState]
    metrics: Callable[[], Mapping[str, float]]
    clock: Callable[[], float]
    believed: Callable[[], float | None] = lambda: None


class Values:
    """Makes the messages of one gate."""

    def __init__(
        self, gate: GateAddress, outbox: Outbox, sources: Sources, *, metrics_s: float, now: float
    ) -> None:
        self._gate = gate
        self._outbox = outbox
        self._sources = sources
        self._metrics_s = metrics_s
        self._metrics_at = now
        self._looked_at = now
        self._outbox_at = now
        self._info: payloads.GateInfo | None = None
        self._state: payloads.StateReport | None = None

    def births(self, faults: tuple[str, ...], now: float) -> list[Message]:
        """Return info and state, changed or not."""
        self._info = self._state = None
        self._looked_at = now - _STATE_EVERY_S
        return self.due(faults, now)

    def due(self, faults: tuple[str, ...], now: float) -> list[Message]:
        """Return what changed and may go now."""
        if now - self._looked_at < _STATE_EVERY_S:
            return []
        self._looked_at = now
        messages = []
        info = self._sources.info()
        if info != self._info:
            self._info = info
            messages.append(Message(self._gate.topic("info"), payloads.encode(info), retain=True))
        state = payloads.StateReport(
            gate=self._sources.state(), outbox=self.report(), faults=faults
        )
        if self._worth(state, now):
            self._state = state
            self._outbox_at = now
            messages.append(Message(self._gate.topic("state"), payloads.encode(state), retain=True))
        return messages

    def metrics(self, counters: payloads.ReporterCounters, now: float) -> Message | None:
        """Return the metrics when they are due."""
        if now - self._metrics_at < self._metrics_s:
            return None
        self._metrics_at = now
        found = payloads.Metrics(
            at=self._sources.clock(),
            gate=dict(self._sources.metrics()),
            reporter=counters,
            outbox=self.report(),
        )
        return Message(self._gate.topic("metrics"), payloads.encode(found), qos=0, expiry_s=300)

    def status(self, word: str) -> Message:
        """Return the status message: `online`, `stopped`, or the will `offline`."""
        return Message(
            self._gate.topic("status"),
            word.encode(),
            retain=True,
            content_type="text/plain; charset=utf-8",
        )

    def report(self) -> payloads.OutboxReport:
        """Return what waits."""
        boots = self._outbox.boots()
        return payloads.OutboxReport(
            boot_id=boots[-1].boot_id,
            last_seq=boots[-1].last_seq,
            unacknowledged=self._outbox.unacknowledged(),
            boots={boot.boot_id: boot.last_seq for boot in boots[-16:]},
        )

    def _worth(self, state: payloads.StateReport, now: float) -> bool:
        last = self._state
        if last is None or last.gate != state.gate or last.faults != state.faults:
            return True
        return last.outbox != state.outbox and now - self._outbox_at >= _OUTBOX_EVERY_S
