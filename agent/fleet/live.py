"""The fleet as its retained and live messages show it: one record a gate, for `watch` and `export`.

Rules: pure but for the link; nothing received may raise; gates are bounded in number, so that
nobody with publish rights can fill the memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import msgspec

from agent.journal.events import Decision, Fault
from agent.report import payloads
from agent.report.cloudevents import decode_event
from agent.report.link import Connected, Link, LinkError, LinkSettings, Lost, Received
from agent.report.topics import ROOT, GateAddress, parse_topic

__all__ = ["FleetView", "GateView", "Viewer"]

_GATES = 20_000
_WINDOW_S = 60.0
_RETRY_S = 2.0
_WORST = ("fire", "tamper", "absent", "offline", "unknown", "failed", "stopped")
"""Problems that come before others, the worst first."""


@dataclass(slots=True)
class GateView:
    """What is known of one gate.

    Attributes:
        status: `online`, `offline` (nobody heard it go), `stopped`, `unknown`; `absent` where it is
            expected and nothing of it ever came.
        listed: False where it is not among the gates that are expected.
        others: named as their types say.
    """

    address: GateAddress
    status: str = "unknown"
    listed: bool = True
    info: payloads.GateInfo | None = None
    state: payloads.StateReport | None = None
    metrics: payloads.Metrics | None = None
    last_decision: str = ""
    last_reason: str = ""
    last_at: float = 0.0
    decisions: dict[str, int] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=4_096))

    def rate(self, now: float) -> float:
        """Return decisions a second over the last minute."""
        while self.recent and self.recent[0] < now - _WINDOW_S:
            self.recent.popleft()
        return len(self.recent) / _WINDOW_S

    def problems(self) -> tuple[str, ...]:
        """Return what is wrong, worst first."""
        found = []
        if not self.listed:
            found.append("unlisted")
        if self.status != "online":
            found.append(self.status)
        if self.state is not None:
            gate = self.state.gate
            found += ["fire"] if gate.fire else []
            found += ["tamper"] if gate.tamper else []
            found += [gate.health] if gate.health != "ok" else []
            found += [] if gate.clock_trusted else ["clock"]
            found += [*gate.faults, *self.state.faults]
        found = [*dict.fromkeys((*found, *self.faults))]
        return tuple(sorted(found, key=_rank))  # sorted() keeps the order of equals

    def severity(self) -> int:
        """Return where the gate stands in a list, 0 for the worst."""
        problems = self.problems()
        return _rank(problems[0]) if problems else len(_WORST) + 1


def _rank(problem: str) -> int:
    return _WORST.index(problem) if problem in _WORST else len(_WORST)


class FleetView:
    """All gates, fed with messages.

    Args:
        clock: Unix seconds.
        expected: the gates that there should be; None where nobody says.

    Attributes:
        gates: by address.
        refused: messages that were not understood.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        expected: Collection[GateAddress] | None = None,
    ) -> None:
        self._clock = clock
        self._expected = expected
        self.gates: dict[GateAddress, GateView] = {
            address: GateView(address, "absent") for address in expected or ()
        }
        self.refused = 0

    def feed(self, topic: str, payload: bytes) -> None:
        """Take one message; what cannot be read is counted."""
        found = parse_topic(topic)
        if found is None or (found[0] not in self.gates and len(self.gates) >= _GATES):
            self.refused += 1
            return
        if not payload and found[0] not in self.gates:
            return  # a retained message was deleted
        listed = self._expected is None or found[0] in self._expected
        gate = self.gates.setdefault(found[0], GateView(found[0], listed=listed))
        if gate.status == "absent":
            gate.status = "unknown"
        try:
            self._take(gate, found[1], payload)
        except ValueError:
            self.refused += 1

    def ordered(self) -> list[GateView]:
        """Return the gates, the worst first."""
        return sorted(self.gates.values(), key=lambda gate: (gate.severity(), gate.address.name))

    def _take(self, gate: GateView, path: str, payload: bytes) -> None:
        match path.split("/"):
            case ["status"]:
                word = payload.decode("utf-8")
                gate.status = word if word in ("online", "offline", "stopped") else "unknown"
            case ["info"]:
                gate.info = msgspec.json.decode(payload, type=payloads.GateInfo)
            case ["state"]:
                gate.state = msgspec.json.decode(payload, type=payloads.StateReport)
            case ["metrics"]:
                gate.metrics = msgspec.json.decode(payload, type=payloads.Metrics)
            case ["event", _]:
                self._event(gate, payload)
            case _:
                return

    def _event(self, gate: GateView, payload: bytes) -> None:
        _, event = decode_event(payload)
        if isinstance(event, Decision):
            now = self._clock()
            gate.last_decision, gate.last_reason = event.decision, event.reason.value
            gate.last_at = now
            gate.recent.append(now)
            gate.decisions[event.decision] = gate.decisions.get(event.decision, 0) + 1
        elif isinstance(event, Fault):
            name = f"{event.part}:{event.code}"
            if event.active:
                gate.faults[name] = event.detail
            else:
                gate.faults.pop(name, None)


class Viewer:
    """Keeps a `FleetView` fed from a broker."""

    def __init__(self, settings: LinkSettings, view: FleetView) -> None:
        self._settings = settings
        self._view = view
        self._link: Link | None = None
        self._retry_at = 0.0
        self._ticked_at = 0.0
        self.connected = False

    def step(self, timeout_s: float) -> None:
        """Do one turn; waits at most so long."""
        now = time.monotonic()
        try:
            if self._link is None:
                if now < self._retry_at:
                    time.sleep(min(timeout_s, self._retry_at - now))
                    return
                self._retry_at = now + _RETRY_S
                self._link = Link(self._settings)
            self._link.wait(timeout_s)
            self._drain(self._link)
            if now - self._ticked_at >= 1.0:
                self._ticked_at = now
                self._link.tick()
        except LinkError:
            self._link = None
            self.connected = False

    def close(self) -> None:
        """Disconnect."""
        if self._link is not None:
            self._link.close()

    def _drain(self, link: Link) -> None:
        while link.happenings:
            match link.happenings.popleft():
                case Connected(code=0):
                    self.connected = True
                    names = ("status", "info", "state", "metrics", "event/+")
                    link.subscribe([(f"{ROOT}/+/+/{name}", 0) for name in names])
                case Connected(text=text) | Lost(text=text):
                    raise LinkError("connection_lost", text)
                case Received(topic=topic, payload=payload):
                    self._view.feed(topic, payload)
                case _:
                    continue
        if link.fileno() < 0:
            raise LinkError("connection_lost", "the socket is closed")
