"""One gate's reporting, without a thread: what the reporter does, step by step.

Rules:
- The owner calls `step` often and serves the link's socket; nothing here waits, but making a
  connection (a few seconds at most).
- Connections are retried after 1 to 60 s, with jitter; a short-lived one does not reset that. Two
  gates with one name take the session from each other: told by reason 142 where the broker says so
  (Mosquitto 2.0.11 does not), else by connections that end soon though the broker kept the session.
  Both then wait half a minute or more between attempts, and the fault is there to see.
- At each connection: subscribe, then info, state, config, discovery and last `online`.
- A message too large to be read (`packets`) ends its connection and is a fault; the next one
  forgets what the broker kept for us and goes without the subscription that brought it, which is
  tried again ten minutes later. Where none did, half a minute or more passes between attempts.
- Events are sealed by the gate's key as they go. An acknowledgement counts where the collector's
  seal holds, and is a sign of life where it frees rows: words about boots that never were, old ones
  and repeated ones leave `silent_collector` to come, over reconnections too.
- Rows in flight are few; what the broker refuses (135) or nobody reads (16) stays in the journal,
  shows as a fault, and is tried again later.
- Everything from outside is judged here or refused; nothing received may raise.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from agent.journal.events import Fault
from agent.journal.model import JournalError, Outbox, Row
from agent.report import payloads
from agent.report.cloudevents import encode_event, source
from agent.report.faults import FaultBoard
from agent.report.link import (
    Connected,
    Delivered,
    Link,
    LinkError,
    LinkSettings,
    Lost,
    Message,
    Received,
    Subscribed,
    matches,
)
from agent.report.packets import PACKET_TOO_LARGE
from agent.report.seals import CollectorPin, SealKey, ack_text
from agent.report.topics import GateAddress
from agent.report.values import Sources, Values
from agent.report.window import Window

__all__ = ["Engine", "EngineSettings", "Inbox"]

INFLIGHT = 32
CONNACK_TIMEOUT_S = 10.0
EVENT_EXPIRY_S = 7 * 86_400
_LONGEST_BACKOFF_S = 60.0
_SETTLED_S = 10.0
_STABLE_S = 90.0
_SHORT_LIVES = 2
_CONTESTED_S = 30.0
_FAREWELL_S = 1.0
_UNREACHABLE_AFTER_S = 20.0
_REFUSED_PAUSE_S = 60.0
_NO_LISTENER_PAUSE_S = 15.0
_SILENT_COLLECTOR_S = 300.0
_TAKEN_OVER = 142
_WITHHELD_S = 600.0
_NO_SUBSCRIBERS = 16
_REFUSAL = 128


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How one gate reports.

    Attributes:
        event_rate: backlog rows a second.
        wait_for_ack: False frees rows by the broker's word.
        resend_s: silence of the collector after which rows are sent again.
    """

    link: LinkSettings
    gate: GateAddress
    event_rate: float = 200.0
    metrics_s: float = 60.0
    wait_for_ack: bool = True
    resend_s: float = 20.0


class Inbox(Protocol):
    """Who judges what arrives beside acknowledgements, and adds retained messages of its own."""

    def subscriptions(self) -> list[tuple[str, int]]:
        """Return further (filter, QoS) pairs."""

    def births(self) -> list[Message]:
        """Return further messages for the start of a connection."""

    def refused(self) -> int:
        """Return how many commands were refused."""

    def received(self, message: Received, *, connected_at: float) -> None:
        """Take a message that is no acknowledgement."""


@dataclass(slots=True)
class _Counters:
    connections: int = 0
    published: int = 0
    confirmed: int = 0
    acknowledged: int = 0
    no_listener: int = 0
    refused_messages: int = 0


class Engine:
    """Drives one link for one gate.

    Args:
        settings: how.
        outbox: the journal.
        sources: values to publish.
        inbox: commands, configuration and discovery; None for a gate that only reports.
        tell: receives fault events for the journal.
        key: seals the events; None makes one for this run.
        collector: whose acknowledgements are believed; None believes the first of this run.
        now: monotonic seconds.

    Attributes:
        link: the connection, or None.
        up: True between CONNACK and the end of the connection.
        broker_until: when the certificate ends that the broker showed last, Unix seconds, or None.
        faults: what is wrong.
    """

    def __init__(
        self,
        settings: EngineSettings,
        outbox: Outbox,
        sources: Sources,
        *,
        inbox: Inbox | None = None,
        tell: Callable[[Fault], None] = lambda _fault: None,
        key: SealKey | None = None,
        collector: CollectorPin | None = None,
        now: float = 0.0,
    ) -> None:
        self._settings = settings
        self._key = key or SealKey.new()
        self._collector = collector or CollectorPin()
        self._outbox = outbox
        self._sources = sources
        self._inbox = inbox
        self._gate = settings.gate
        self._source = source(self._gate.site, self._gate.gate)
        self._values = Values(settings.gate, outbox, sources, metrics_s=settings.metrics_s, now=now)
        self._window = Window(outbox, rate=settings.event_rate, resend_s=settings.resend_s)
        self.faults = FaultBoard("mqtt", tell)
        self.link: Link | None = None
        self.up = False
        self.broker_until: float | None = None
        self.counters = _Counters()
        self._inflight: dict[int, tuple[str, int]] = {}
        self._confirmed: dict[str, set[int]] = {}
        self._outgoing: deque[Message] = deque(maxlen=64)
        self._attempts = 0
        self._short_lives = 0
        self._lived_s = _STABLE_S
        self._retry_at = now
        self._down_since = now
        self._opened_at = now
        self._connected_at = 0.0
        self._ticked_at = now
        self._unheard_s = 0.0
        """How long, while connected, rows have waited and none was acknowledged."""
        self._withheld: dict[str, float] = {}
        """Filters that brought a message too large, and when to try each again."""
        self._whole_since = now
        self._forget_session = False

    # -- for the owner ------------------------------------------------------------------------

    def step(self, now: float) -> float:
        """Do what is due; return the seconds until it should be called again at the latest."""
        try:
            if self.link is None:
                return self._open(now)
            self._handle(now)
            if self.link is not None and self.up:
                self._publish(now)
                self._handle(now)
            self._tick(now)
        except LinkError as error:
            self._lose(now, error.code, str(error))
        except JournalError as error:
            self.faults.raise_("journal", str(error), now)
            return 1.0
        return self._next_due(now)

    def send(self, message: Message) -> None:
        """Queue a message beside the events; the oldest is dropped when the broker is slow."""
        self._outgoing.append(message)

    def replay(self, boot_id: str, first: int, last: int) -> None:
        """Send journaled rows again."""
        self._window.replay(boot_id, first, last)

    def fail(self, detail: str, now: float) -> None:
        """Drop the connection after an error that nobody foresaw."""
        self.faults.note("internal", detail, now)
        self._lose(now, "internal", detail)

    def stop(self) -> None:
        """Say `stopped` and end the connection in order."""
        link, self.link = self.link, None
        if link is None:
            return
        try:
            if self.up:
                link.settle(link.publish(self._values.status("stopped")), _FAREWELL_S)
            link.close()
        except LinkError as error:
            self.faults.raise_(error.code, str(error), self._ticked_at)
        self.up = False

    def counted(self) -> payloads.ReporterCounters:
        """Return the counters since start."""
        counters = self.counters
        return payloads.ReporterCounters(
            connections=counters.connections,
            published=counters.published,
            confirmed=counters.confirmed,
            acknowledged=counters.acknowledged,
            resent=self._window.resent,
            refused_commands=0 if self._inbox is None else self._inbox.refused(),
            refused_messages=counters.refused_messages,
            no_listener=counters.no_listener,
        )

    # -- connecting ---------------------------------------------------------------------------

    def _open(self, now: float) -> float:
        if now - self._down_since > _UNREACHABLE_AFTER_S:
            self.faults.raise_("unreachable", "no connection to the broker", now)
        self.faults.tick(now)
        if now < self._retry_at:
            return self._retry_at - now
        self._attempts += 1
        self._backoff(now)
        try:
            how = replace(self._settings.link, forget_session=self._forget_session)
            self.link = Link(how, self._values.status("offline"))
        except LinkError as error:
            if error.code != "unreachable":
                self.faults.raise_(error.code, str(error), now)
            return self._retry_at - now
        self._opened_at = now
        return 0.0

    def _backoff(self, now: float, at_least_s: float = 0.0) -> None:
        longest = min(_LONGEST_BACKOFF_S, 2.0 ** min(self._attempts - 1, 6))
        # Jitter only spreads gates apart; nothing secret hangs on it.
        spread = 0.5 + random.random()  # noqa: S311
        self._retry_at = now + max(at_least_s * (0.5 + spread), longest * spread)

    def _connected(self, happening: Connected, now: float) -> None:
        if happening.code:
            self._lose(now, "refused", f"broker refused: {happening.text}")
            return
        self.up = True
        if happening.session_present and self._lived_s < _STABLE_S:
            self._short_lives += 1
        if self._short_lives >= _SHORT_LIVES:
            self.faults.raise_("unstable", "connections end soon: another client of this id?", now)
        self._lived_s = _STABLE_S
        self._opened_at = now
        self._connected_at = self._sources.clock()
        assert self.link is not None
        self.broker_until = self.link.peer_until()
        self.counters.connections += 1
        for code in ("unreachable", "refused", "tls", "credentials"):
            self.faults.clear(code, now)
        self._forget_session = False
        self._whole_since = now
        self._window.opened(now)
        self._subscribe()
        self._births(now)

    def _wanted(self) -> list[tuple[str, int]]:
        wanted = [(self._gate.topic("ack"), 1)] if self._settings.wait_for_ack else []
        if self._inbox is not None:
            wanted += self._inbox.subscriptions()
        return wanted

    def _subscribe(self) -> None:
        assert self.link is not None
        wanted = [each for each in self._wanted() if each[0] not in self._withheld]
        if wanted:
            self.link.subscribe(wanted)

    def _withhold(self, topic: str, now: float) -> bool:
        """Leave out the subscriptions that bring a topic; return whether there were any."""
        found = [name for name, _ in self._wanted() if topic and matches(name, topic)]
        self._withheld |= dict.fromkeys(found, now + _WITHHELD_S)
        self._forget_session = True
        return bool(found)

    def _try_again(self, now: float) -> None:
        """Subscribe again to what was left out for long enough; see when all is well."""
        if self.link is None or not self.up:
            return
        due = {name for name, at in self._withheld.items() if at <= now}
        if due:
            for name in due:
                del self._withheld[name]
            self._whole_since = now
            self.link.subscribe([each for each in self._wanted() if each[0] in due])
        elif not self._withheld and now - self._whole_since > _SETTLED_S:
            self.faults.clear("message_too_large", now)
            self.faults.clear("protocol_error", now)

    def _births(self, now: float) -> None:
        for message in self._values.births(self.faults.active(), now):
            self._put(message)
        if self._inbox is not None:
            for message in self._inbox.births():
                self._put(message)
        self._put(self._values.status("online"))

    def _lost(self, lost: Lost, now: float) -> None:
        """Judge why a connection ended."""
        if lost.refused:
            code = "message_too_large" if lost.code == PACKET_TOO_LARGE else "protocol_error"
            self._lose(
                now, code, lost.text, 0.0 if self._withhold(lost.topic, now) else _CONTESTED_S
            )
        elif lost.code == _TAKEN_OVER:
            self._lose(now, "taken_over", lost.text)
        else:
            self._lose(now, "connection_lost", lost.text)

    def _lose(self, now: float, code: str, detail: str, pause_s: float = 0.0) -> None:
        """Forget the connection; everything undelivered is in the journal."""
        link, self.link = self.link, None
        if link is not None:
            # The broker's last word may still wait behind what failed after it.
            if any(isinstance(h, Lost) and h.code == _TAKEN_OVER for h in link.happenings):
                code = "taken_over"
            link.close(will=True)
        if self.up:
            self._down_since = now
            self._lived_s = now - self._opened_at
            if self._lived_s > _SETTLED_S:
                self._attempts = 0
        self.up = False
        self._inflight.clear()
        contested = code == "taken_over" or self._short_lives >= _SHORT_LIVES
        self._backoff(now, _CONTESTED_S if contested else pause_s)
        if code == "taken_over":
            self._short_lives = _SHORT_LIVES
        if code in ("taken_over", "refused", "message_too_large", "protocol_error"):
            self.faults.raise_(code, detail, now)

    # -- receiving ----------------------------------------------------------------------------

    def _handle(self, now: float) -> None:
        while self.link is not None and self.link.happenings:
            happening = self.link.happenings.popleft()
            match happening:
                case Connected():
                    self._connected(happening, now)
                case Delivered():
                    self._delivered(happening, now)
                case Received():
                    self._received(happening, now)
                case Subscribed():
                    self._subscribed(happening, now)
                case Lost():
                    self._lost(happening, now)
        if self.link is not None and self.link.fileno() < 0:
            self._lose(now, "connection_lost", "the socket is closed")
        elif self.link is not None and not self.up and now - self._opened_at > CONNACK_TIMEOUT_S:
            self._lose(now, "refused", "the broker does not answer")

    def _subscribed(self, happening: Subscribed, now: float) -> None:
        if any(code >= _REFUSAL for code in happening.codes):
            self.faults.raise_("subscription_refused", f"codes {happening.codes}", now)
        else:
            self.faults.clear("subscription_refused", now)

    def _delivered(self, happening: Delivered, now: float) -> None:
        row = self._inflight.pop(happening.mid, None)
        if happening.code >= _REFUSAL:
            self.counters.refused_messages += 1
            name = "not_authorized" if happening.code == 135 else "publish_refused"
            what = f"the broker refuses {happening.topic}: reason {happening.code}"
            self.faults.raise_(name, what, now)
            if row is not None:
                self._window.pause(now, _REFUSED_PAUSE_S)
            return
        if row is None:
            return
        self.counters.confirmed += 1
        self.faults.clear("not_authorized", now)
        self.faults.clear("publish_refused", now)
        if happening.code == _NO_SUBSCRIBERS:
            self.counters.no_listener += 1
        if not self._settings.wait_for_ack:
            self._confirm(*row, now)
        elif happening.code == _NO_SUBSCRIBERS:
            self._window.pause(now, _NO_LISTENER_PAUSE_S)

    def _confirm(self, boot_id: str, seq: int, now: float) -> None:
        """Free rows by the broker's word, in order."""
        waiting = self._confirmed.setdefault(boot_id, set())
        waiting.add(seq)
        known = next((boot for boot in self._outbox.boots() if boot.boot_id == boot_id), None)
        if known is None:
            del self._confirmed[boot_id]
            return
        upto = known.acknowledged
        while upto + 1 in waiting:
            upto += 1
            waiting.discard(upto)
        if upto > known.acknowledged:
            self._free(boot_id, upto, now)

    def _received(self, message: Received, now: float) -> None:
        if message.topic != self._gate.topic("ack"):
            if self._inbox is not None:
                self._inbox.received(message, connected_at=self._connected_at)
            return
        if not message.payload:
            return
        try:
            self._acknowledged(payloads.decode_ack(message.payload), now)
        except ValueError as error:
            self.faults.raise_("bad_ack", str(error), now)

    def _acknowledged(self, ack: payloads.Ack, now: float) -> None:
        """Free what the collector says that it stored.

        Raises:
            ValueError: the collector did not say so, or it cannot be.
        """
        key, text = bytes.fromhex(ack.key), ack_text(self._gate, ack.boot_id, ack.seq)
        self._collector.check(key, bytes.fromhex(ack.sig), text)
        if self._free(ack.boot_id, ack.seq, now):
            self.faults.clear("bad_ack", now)
            try:
                self._collector.keep(key)
                self.faults.clear("collector_key", now)
            except OSError as error:
                self.faults.raise_("collector_key", f"not kept: {error.strerror}", now)

    def _free(self, boot_id: str, seq: int, now: float) -> int:
        freed = self._outbox.acknowledge(boot_id, seq)
        if freed:
            self._unheard_s = 0.0
            self.faults.clear("silent_collector", now)
            self.counters.acknowledged += freed
            self._window.acknowledged(now)
        return freed

    # -- sending ------------------------------------------------------------------------------

    def _publish(self, now: float) -> None:
        for row in self._window.take(now, INFLIGHT - len(self._inflight)):
            self._publish_row(row)
        while self._outgoing:
            self._put(self._outgoing.popleft())
        for message in self._values.due(self.faults.active(), now):
            self._put(message)
        metrics = self._values.metrics(self.counted(), now)
        if metrics is not None:
            self._put(metrics)

    def _publish_row(self, row: Row) -> None:
        mid = self._put(
            Message(
                self._gate.topic(f"event/{row.type}"),
                encode_event(row, self._source, self._key),
                expiry_s=EVENT_EXPIRY_S,
                content_type="application/cloudevents+json; charset=utf-8",
            )
        )
        self._inflight[mid] = (row.boot_id, row.seq)
        self.counters.published += 1

    def _put(self, message: Message) -> int:
        assert self.link is not None
        return self.link.publish(message)

    # -- time ---------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        passed_s = now - self._ticked_at
        if passed_s < 1.0:
            return
        self._ticked_at = now
        self.faults.clear("journal", now)
        self.faults.tick(now)
        if self.link is not None:
            self.link.tick()
        self._try_again(now)
        if self._short_lives and self.up and now - self._opened_at > _STABLE_S:
            self._short_lives = 0
            self.faults.clear("unstable", now)
            self.faults.clear("taken_over", now)
        if self._outbox.unacknowledged() == 0:
            self._unheard_s = 0.0
            self.faults.clear("silent_collector", now)
        elif self.up:
            self._unheard_s += passed_s
        if self._unheard_s > _SILENT_COLLECTOR_S:
            self.faults.raise_("silent_collector", "events wait and nobody acknowledges", now)

    def _next_due(self, now: float) -> float:
        if self.link is None:
            return max(0.0, self._retry_at - now)
        if not self.up or len(self._inflight) >= INFLIGHT:
            return 0.25
        return min(0.25, self._window.wait_s(now))
