"""The collector: stores events, finds gaps, asks for replays, acknowledges what is stored.

Rules:
- A message is confirmed to the broker (PUBACK) after the transaction that stored it, and the gate's
  rows are acknowledged after that: killed at any point, it promised nothing that is not on disk.
- A database that fails ends the connection; the broker keeps the messages until it is back.
- What is no event, names another gate than its topic, bears no seal or one that does not hold, or
  is sealed by a key that does not speak for the gate (`agent.fleet.register`), is noted, told,
  confirmed and dropped: neither stored nor acknowledged, it takes no true event's place.
- Acknowledgements are sealed by the collector's own key.
- A message too large to be read ends the connection and is noted; the next one begins with a clean
  session, ten seconds later, or the broker would bring it again at once.
- Acknowledgements are gathered for a moment, the highest of each boot being enough, and few are
  under way at once: paho's queue stays short here too.
- A gap that stays for `GAP_PATIENCE_S` is asked for with a signed `replay`, where an operator key
  was given; a gate sends again by itself in any case.
- One thread; paho's calls, the database and the clock meet here only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy.exc import SQLAlchemyError

from agent.fleet.register import Refusal, Refused
from agent.fleet.store import BootKey, EventStore, RejectedMessage, StoredEvent
from agent.report import payloads
from agent.report.cloudevents import decode_event, read_seal, source
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
)
from agent.report.seals import SealKey, ack_text
from agent.report.topics import ROOT, GateAddress, parse_topic, share

__all__ = ["Collector", "CollectorCounts", "ReplaySigner"]

_LOG = logging.getLogger(__name__)
BATCH = 500
ACK_EVERY_S = 0.25
OUTSTANDING = 80
GAP_PATIENCE_S = 3.0
GAP_AGAIN_S = 15.0
REPLAY_ROWS = 2_000
PRUNE_EVERY_S = 3_600.0
REGISTER_EVERY_S = 5.0
TOLD_EVERY_S = 60.0
_TOLD_KEPT = 1_000
_LONGEST_NAME = 64
"""Of a site or a gate, in the database too."""
_RETRY_S = (1.0, 2.0, 5.0, 10.0)
_REFUSAL = 128

ReplaySigner = Callable[[GateAddress, str, int, int], Message]
"""(gate, boot_id, first, last) -> a signed replay command, made at the moment it is sent."""


@dataclass(slots=True)
class CollectorCounts:
    """What happened since start."""

    received: int = 0
    rejected: int = 0
    acks: int = 0
    replays: int = 0
    connections: int = 0


class Collector:
    """Runs one collector until `stop` returns True.

    Args:
        settings: the broker; `manual_ack` must be on.
        store: the database.
        group: name of the shared subscription; "" subscribes alone, for brokers without sharing.
        keep_s: how long complete events are kept; 0 is for ever.
        signer: signs replay commands; None never asks.
        key: seals the acknowledgements; None makes one for this run.
        clock: Unix seconds.
        monotonic: seconds.
    """

    def __init__(
        self,
        settings: LinkSettings,
        store: EventStore,
        *,
        group: str = "collectors",
        keep_s: float = 0.0,
        signer: ReplaySigner | None = None,
        key: SealKey | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not settings.manual_ack:
            raise ValueError("the collector confirms by itself: manual_ack must be on")
        self._settings = settings
        self._store = store
        self._group = group
        self._keep_s = keep_s
        self._pruned_at = -PRUNE_EVERY_S
        self._signer = signer
        self._key = key or SealKey.new()
        self._rejected: list[RejectedMessage] = []
        self._told: dict[tuple[GateAddress | None, str], float] = {}
        self._registered_at = 0.0
        self._clock = clock
        self._monotonic = monotonic
        self._link: Link | None = None
        self._forget_session = False
        self._up = False
        self._failures = 0
        self._retry_at = 0.0
        self._ticked_at = 0.0
        self._batch: list[Received] = []
        self._acks: dict[BootKey, int] = {}
        self._acked_at = 0.0
        self._acks_delayed = False
        self._outstanding = 0
        self._gap_since: dict[BootKey, float] = {}
        self.counts = CollectorCounts()

    def run(self, stop: Callable[[], bool]) -> None:
        """Collect until told to stop; then store what came, acknowledge it, and disconnect."""
        while not stop():
            self.step(0.1)
        if self._link is not None and self._up:
            self._store_batch()
            self._send_acks(self._monotonic())
            self._await_confirmations(self._link)
            self._link.close()

    def _await_confirmations(self, link: Link) -> None:
        """Give the broker a second to take the last acknowledgements."""
        end = self._monotonic() + 1.0
        while self._outstanding > 0 and link.fileno() >= 0 and self._monotonic() < end:
            link.wait(0.1)
            confirmed = sum(isinstance(each, Delivered) for each in link.happenings)
            self._outstanding -= confirmed
            link.happenings.clear()

    def step(self, timeout_s: float) -> None:
        """Do one turn: wait for the broker at most so long."""
        now = self._monotonic()
        if self._link is None:
            self._connect(now, timeout_s)
            return
        try:
            self._link.wait(0.0 if self._batch else timeout_s)
            received = self._drain(now)
            if self._batch and (len(self._batch) >= BATCH or not received):
                self._store_batch()
            self._housekeeping(self._monotonic())
        except LinkError as error:
            self._lose(now, str(error))
        except SQLAlchemyError as error:
            self._lose(now, f"database: {type(error).__name__}")

    # -- connection ---------------------------------------------------------------------------

    def _connect(self, now: float, timeout_s: float) -> None:
        if now < self._retry_at:
            time.sleep(min(timeout_s, self._retry_at - now))
            return
        try:
            how = replace(self._settings, forget_session=self._forget_session)
            self._link = Link(how)
        except LinkError as error:
            self._lose(now, str(error))

    def _lose(self, now: float, why: str) -> None:
        """Start anew: what was not confirmed, the broker or the gate sends again."""
        if self._link is not None:
            self._link.close()
        self._link = None
        self._up = False
        self._batch.clear()
        self._outstanding = 0
        self._retry_at = now + _RETRY_S[min(self._failures, len(_RETRY_S) - 1)]
        self._failures += 1
        _LOG.warning("not connected: %s", why)

    def _refuse(self, lost: Lost, now: float) -> None:
        """Note what was too large to be read, and leave it: gates send their events again."""
        self._forget_session = True
        self._failures = len(_RETRY_S)
        self.counts.rejected += 1
        self._store.reject([RejectedMessage(lost.topic, lost.text, self._clock())])
        self._lose(now, lost.text)

    def _drain(self, now: float) -> int:
        """Take what the link brought; return how many messages that were."""
        received = 0
        while self._link is not None and self._link.happenings:
            match self._link.happenings.popleft():
                case Connected(code=0):
                    self._up = True
                    self._failures = 0
                    self._forget_session = False
                    self.counts.connections += 1
                    wanted = share(self._group, "event/+") if self._group else f"{ROOT}/+/+/event/+"
                    self._link.subscribe([(wanted, 1)])
                case Lost(refused=True) as lost:
                    self._refuse(lost, now)
                case Connected(text=text) | Lost(text=text):
                    self._lose(now, text)
                case Subscribed(codes=codes) if any(code >= _REFUSAL for code in codes):
                    self._lose(now, "the broker refuses the subscription: look at its ACL")
                case Delivered():
                    self._outstanding -= 1
                case Received() as message:
                    self._batch.append(message)
                    received += 1
                case _:
                    continue
        if self._link is not None and self._link.fileno() < 0:
            self._lose(now, "the socket is closed")
        return received

    # -- storing ------------------------------------------------------------------------------

    def _store_batch(self) -> None:
        batch, self._batch = self._batch, []
        found = [event for message in batch if (event := self._read(message)) is not None]
        rejected, self._rejected = self._rejected, []
        # What another collector pinned meanwhile is judged when the gate sends it again.
        lost = self._store.register.settle()
        found = [event for event in found if event.key.gate not in lost]
        if found:
            self._acks.update(self._store.add(found))
        if rejected:
            self._store.reject(rejected)
        self.counts.received += len(batch)
        if self._link is not None:
            for message in batch:
                self._link.acknowledge(message)

    def _read(self, message: Received) -> StoredEvent | None:
        at = self._clock()
        address = parse_topic(message.topic)
        gate = None if address is None else address[0]
        try:
            event = _stored(message, at)
            self._store.register.admit(event.key.gate, event.seal.key if event.seal else b"", at)
        except Refused as error:
            self._reject(RejectedMessage(message.topic, str(error), at, gate, error.offered), error)
            return None
        return event

    def _reject(self, message: RejectedMessage, error: Refused) -> None:
        """Count what is not stored, and say so, once a minute for each gate and reason."""
        self.counts.rejected += 1
        self._rejected.append(message)
        now, what = self._monotonic(), (message.gate, error.refusal.value)
        if now - self._told.get(what, -TOLD_EVERY_S) < TOLD_EVERY_S:
            return
        if len(self._told) >= _TOLD_KEPT:
            self._told.clear()
        self._told[what] = now
        name = "no gate" if message.gate is None else message.gate.name
        _LOG.warning("not stored, in the name of %.140r: %.300s", name, message.reason)

    def _housekeeping(self, now: float) -> None:
        if self._link is None or not self._up:
            return
        if self._acks and (self._acks_delayed or now - self._acked_at >= ACK_EVERY_S):
            self._send_acks(now)
        if now - self._ticked_at >= 1.0:
            self._ticked_at = now
            self._link.tick()
            self._ask_for_gaps(now)
        if now - self._registered_at >= REGISTER_EVERY_S:
            self._registered_at = now
            if self._store.register.reload():
                self._store.forget_progress()
        if self._keep_s and now - self._pruned_at >= PRUNE_EVERY_S:
            self._pruned_at = now
            self._store.prune(self._clock() - self._keep_s)

    def _send_acks(self, now: float) -> None:
        self._acked_at = now
        for key in list(self._acks)[: OUTSTANDING - self._outstanding]:
            self._publish(self._ack(key, self._acks.pop(key)))
            self.counts.acks += 1
        self._acks_delayed = bool(self._acks)

    def _ack(self, key: BootKey, seq: int) -> Message:
        ack = payloads.Ack(
            boot_id=key.boot_id,
            seq=seq,
            key=self._key.public.hex(),
            sig=self._key.seal(ack_text(key.gate, key.boot_id, seq)).hex(),
        )
        return Message(key.gate.topic("ack"), payloads.encode(ack), retain=True)

    def _ask_for_gaps(self, now: float) -> None:
        """Look again at boots with a gap: another collector may have filled it, else ask."""
        behind = set(self._store.behind())
        self._gap_since = {key: self._gap_since.get(key, now + GAP_PATIENCE_S) for key in behind}
        due = {key for key, when in self._gap_since.items() if when <= now}
        if not due:
            return
        self._acks.update(self._store.refresh(due))
        due &= set(self._store.behind())
        for gap in self._store.gaps():
            if gap.key in due and self._signer is not None:
                due.discard(gap.key)
                self._gap_since[gap.key] = now + GAP_AGAIN_S
                last = min(gap.last, gap.first + REPLAY_ROWS - 1)
                self._publish(self._signer(gap.key.gate, gap.key.boot_id, gap.first, last))
                self.counts.replays += 1
        for key in due:
            self._gap_since[key] = now + GAP_AGAIN_S

    def _publish(self, message: Message) -> None:
        if self._link is not None:
            self._link.publish(message)
            self._outstanding += 1


def _stored(message: Received, at: float) -> StoredEvent:
    """Read a message strictly.

    Raises:
        Refused: it is no event that the gate of its topic sealed.
    """
    address = parse_topic(message.topic)
    if address is None or not address[1].startswith("event/"):
        raise Refused(Refusal.NO_EVENT, "not an event's topic")
    gate, path = address
    if max(len(gate.site), len(gate.gate)) > _LONGEST_NAME:
        raise Refused(Refusal.NO_EVENT, "no gate has so long a name")
    try:
        envelope, _ = decode_event(message.payload)
    except ValueError as error:
        raise Refused(Refusal.NO_EVENT, str(error)) from None
    if envelope.source != source(gate.site, gate.gate):
        raise Refused(Refusal.NO_EVENT, "the source is not the topic's gate")
    kind = path.removeprefix("event/")
    if envelope.type != f"idgate.{kind}.v1":
        raise Refused(Refusal.NO_EVENT, "the type is not the topic's")
    try:
        seal = read_seal(envelope)
    except ValueError as error:
        raise Refused(Refusal.FORGED, str(error)) from None
    if seal is None:
        raise Refused(Refusal.UNSEALED, "the gate must be of this version or later")
    return StoredEvent(
        BootKey(gate, envelope.bootid),
        envelope.seq,
        kind,
        envelope.time,
        at,
        bytes(envelope.data).decode("utf-8"),
        seal,
    )
