"""Many gates in one process: real engine, real links, decisions made up.

One thread and one epoll serve all of them; each gate has its own connection, session, last will,
window and outbox (in memory). What they say is the real thing: a collector cannot tell.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.fleet.memory import MemoryOutbox
from agent.journal.events import Decision
from agent.reason import Reason
from agent.report.engine import Engine, EngineSettings
from agent.report.link import Link, LinkSettings
from agent.report.payloads import GateInfo, GateState
from agent.report.seals import SealKey
from agent.report.topics import GateAddress
from agent.report.values import Sources

__all__ = ["SimulationResult", "simulate"]

_CONNECTS_A_TURN = 4
_REASONS = (
    (0.90, "granted", Reason.GRANTED),
    (0.95, "denied", Reason.STALE),
    (0.98, "denied", Reason.EXPIRED),
    (1.00, "denied", Reason.REPLAYED),
)


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What the simulated fleet did.

    Attributes:
        decisions: written.
        acknowledged: freed by the collector.
        resent: rows sent again.
        connections: CONNACKs, reconnections included.
        connect_s: seconds until every gate was connected.
        run_s: seconds of decisions.
        drain_s: seconds from the last decision to the last acknowledgement (or the limit).
        late_s: how far behind its schedule the simulator itself fell, at worst.
    """

    gates: int
    decisions: int
    acknowledged: int
    resent: int
    connections: int
    connect_s: float
    run_s: float
    drain_s: float
    late_s: float


class _Gate:
    """One simulated gate."""

    def __init__(self, number: int, site: str, link: LinkSettings, metrics_s: float) -> None:
        address = GateAddress(site, f"gate-{number:05d}")
        self.outbox = MemoryOutbox(time.time)
        self.denied = self.granted = 0
        info = GateInfo(
            version="simulated",
            site=site,
            gate=address.gate,
            profile="railway",
            direction="in",
            boot_id=self.outbox.boot_id,
            started_at=time.time(),
            commands=False,
        )
        settings = EngineSettings(
            link=replace(link, client_id=f"{link.client_id}-{number}"),
            gate=address,
            metrics_s=metrics_s,
        )
        sources = Sources(
            info=lambda: info,
            state=lambda: GateState(mode="normal"),
            metrics=lambda: {"granted": self.granted, "denied": self.denied},
            clock=time.time,
            believed=time.time,
        )
        # The same in each run, or a collector would refuse the second; anybody can make it.
        seed = hashlib.sha256(f"idgate simulated {address.name}".encode()).digest()
        self.engine = Engine(
            settings,
            self.outbox,
            sources,
            key=SealKey.of(Ed25519PrivateKey.from_private_bytes(seed)),
            now=time.monotonic(),
        )
        self.watched_link: Link | None = None
        self.watched_fd = -1

    def decide(self, chance: random.Random) -> None:
        """Write one decision, as a gate would."""
        draw = chance.random()
        word, reason = next((word, why) for limit, word, why in _REASONS if draw <= limit)
        if word == "granted":
            self.granted += 1
        else:
            self.denied += 1
        self.outbox.append(
            Decision(
                passage=f"{chance.getrandbits(128):032x}",
                decision="granted" if word == "granted" else "denied",
                reason=reason,
                format="native",
                kind="rail-ticket",
                level=2,
                issuer="simulated",
                subject=f"{chance.getrandbits(128):032x}",
                dynamic=True,
                zone="main",
                direction="in",
                stages_ms={"decode": 12.5, "verify": 0.4, "commit": 3.1},
                total_ms=16.0,
            )
        )


def simulate(
    link: LinkSettings,
    *,
    gates: int,
    rate: float,
    seconds: float,
    site: str = "simulated",
    drain_s: float = 60.0,
    metrics_s: float = 60.0,
    stop: Callable[[], bool] = lambda: False,
    tell: Callable[[str], None] = lambda _line: None,
) -> SimulationResult:
    """Run a fleet: connect all, decide at `rate` a gate and second, wait for the collector.

    Args:
        link: where and as whom; the client id gets the gate's number.
        gates: how many.
        rate: decisions a second and gate.
        seconds: how long.
        site: the site's name in the topics.
        drain_s: how long to wait for acknowledgements at the end.
        metrics_s: how often metrics are published.
        stop: asked at each round.
        tell: receives progress lines.
    """
    fleet = [_Gate(number, site, link, metrics_s) for number in range(gates)]
    loop = _EventLoop(fleet)
    started = time.monotonic()
    while not stop() and not all(gate.engine.up for gate in fleet):
        loop.run(0.01)
        if time.monotonic() - started > 30 + gates * 0.1:
            break
    connect_s = time.monotonic() - started
    tell(f"{sum(gate.engine.up for gate in fleet)} of {gates} gates connected in {connect_s:.1f} s")
    begun = time.monotonic()
    decisions, late_s = _decide(fleet, loop, rate, seconds, stop)
    run_s = time.monotonic() - begun
    tell(f"{decisions} decisions in {run_s:.1f} s; waiting for the collector")
    ended = time.monotonic()
    while not stop() and time.monotonic() - ended < drain_s:
        if not any(gate.outbox.unacknowledged() for gate in fleet):
            break
        loop.run(0.02)
    drained_s = time.monotonic() - ended
    for gate in fleet:
        gate.engine.stop()
    return SimulationResult(
        gates=gates,
        decisions=decisions,
        acknowledged=decisions - sum(gate.outbox.unacknowledged() for gate in fleet),
        resent=sum(gate.engine.counted().resent for gate in fleet),
        connections=sum(gate.engine.counters.connections for gate in fleet),
        connect_s=connect_s,
        run_s=run_s,
        drain_s=drained_s,
        late_s=late_s,
    )


def _decide(
    fleet: list[_Gate], loop: _EventLoop, rate: float, seconds: float, stop: Callable[[], bool]
) -> tuple[int, float]:
    """Spread the decisions evenly over gates and time; return how many, and the worst delay."""
    chance = random.Random(1)  # noqa: S311 - made-up decisions, nothing secret
    interval = 1.0 / (rate * len(fleet))
    total = round(seconds * rate * len(fleet))
    begun = time.monotonic()
    done, late_s = 0, 0.0
    while done < total and not stop():
        behind = time.monotonic() - begun - done * interval
        if behind < 0:
            loop.run(-behind)
            continue
        late_s = max(late_s, behind)
        for _ in range(min(int(behind / interval) + 1, total - done, 64)):
            gate = fleet[done % len(fleet)]
            gate.decide(chance)
            loop.touch(gate)
            done += 1
        loop.run(0.0)
    return done, late_s


class _EventLoop:
    """Serves all links with one epoll and a heap of due times."""

    def __init__(self, fleet: list[_Gate]) -> None:
        self._poll = select.epoll()
        self._fleet = fleet
        self._by_fd: dict[int, int] = {}
        self._due = [(0.0, number) for number in range(len(fleet))]
        self._next = [0.0] * len(fleet)
        self._touched: set[int] = set()
        self._numbers = {id(gate): number for number, gate in enumerate(fleet)}

    def touch(self, gate: _Gate) -> None:
        """Step this gate in the next round: it has something to send."""
        self._touched.add(self._numbers[id(gate)])

    def run(self, longest_s: float) -> None:
        """Wait at most so long, serve what is ready, step what is due."""
        now = time.monotonic()
        wait = 0.0 if self._touched else max(0.0, min(longest_s, self._due[0][0] - now))
        ready, self._touched = self._touched, set()
        for fd, events in self._poll.poll(wait):
            number = self._by_fd[fd]
            link = self._fleet[number].engine.link
            if link is not None:
                wants = bool(events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR))
                link.service(
                    read=wants or link.has_buffered(), write=bool(events & select.EPOLLOUT)
                )
            ready.add(number)
        now = time.monotonic()
        connects = 0
        while self._due and self._due[0][0] <= now and connects < _CONNECTS_A_TURN:
            due, number = heapq.heappop(self._due)
            if due == self._next[number]:
                connects += self._fleet[number].engine.link is None
                ready.add(number)
        for number in ready:
            self._step(number, now)

    def _step(self, number: int, now: float) -> None:
        gate = self._fleet[number]
        due = now + max(0.001, gate.engine.step(now))
        self._next[number] = due
        heapq.heappush(self._due, (due, number))
        self._watch(number, gate)

    def _watch(self, number: int, gate: _Gate) -> None:
        """Keep epoll's view of the gate's socket right."""
        link = gate.engine.link
        fd = -1 if link is None else link.fileno()
        if link is not gate.watched_link or fd != gate.watched_fd:
            # A closed descriptor has left epoll by itself, and its number may be another gate's.
            if self._by_fd.get(gate.watched_fd) == number:
                del self._by_fd[gate.watched_fd]
            gate.watched_link, gate.watched_fd = link, fd
            if fd >= 0:
                self._by_fd[fd] = number
                self._poll.register(fd, select.EPOLLIN)
        if link is not None and fd >= 0:
            writing = select.EPOLLOUT if link.wants_write() else 0
            self._poll.modify(fd, select.EPOLLIN | writing)
            if link.has_buffered():
                self._touched.add(number)
