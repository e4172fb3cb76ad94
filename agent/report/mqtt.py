"""The reporter: one thread that carries the journal to the broker and brings commands back.

Rules:
- One thread owns the connection, the window and every paho call; `wake` is all that others do.
- A heartbeat is written at each turn of the loop; `health` tells a dead or hung thread, which
  `is_connected` of any library would still call connected.
- An unforeseen error drops the connection, is told as a fault, and the loop goes on.
- `close` says `stopped`, waits a bounded time, and leaves the rest in the journal.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent.journal.events import Event, Fault
from agent.journal.model import JournalError, Outbox
from agent.report.command_memory import CommandMemory
from agent.report.commands import CommandResult, OperatorLookup
from agent.report.engine import Engine, EngineSettings
from agent.report.faults import FaultBoard
from agent.report.inbox import CommandDispatcher, CommandHandler, GateInbox, Subscriber
from agent.report.link import LinkSettings, Message
from agent.report.seals import CollectorPin, SealKey
from agent.report.topics import GateAddress
from agent.report.values import Sources
from agent.settings.broker_url import parse_url
from agent.settings.model import MqttConfig
from agent.settings.secrets import optional_secret_path

__all__ = ["Reporter", "ReporterHealth", "link_settings"]

_LOG = logging.getLogger(__name__)
_HUNG_S = 120.0
"""Longer than a resolver without a network may take; connecting is the one thing that waits."""
_CRASH_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class ReporterHealth:
    """How the reporter is.

    Attributes:
        alive: the thread runs and its loop turned within two minutes; else the watchdog must act.
        connected: the broker accepted us.
        faults: codes of what is wrong now.
        unacknowledged: rows that wait for the collector.
    """

    alive: bool
    connected: bool
    faults: tuple[str, ...]
    unacknowledged: int


def link_settings(config: MqttConfig, gate: GateAddress, base_dir: Path) -> LinkSettings:
    """Return how to connect; file names are resolved, secrets are not read yet.

    Raises:
        ValueError: the URL is none of the two forms.
    """
    host, port, tls = parse_url(config.url)
    return LinkSettings(
        host=host,
        port=port,
        tls=tls,
        client_id=config.client_id or gate.client_id,
        version5=config.version == "5",
        username=config.username,
        password_file=optional_secret_path(config.password_file, base_dir),
        ca_file=optional_secret_path(config.ca_file, base_dir),
        cert_file=optional_secret_path(config.cert_file, base_dir),
        key_file=optional_secret_path(config.key_file, base_dir),
        keepalive_s=config.keepalive_s,
        session_expiry_s=config.session_expiry_s,
    )


class Reporter:
    """Reports one gate to its fleet.

    Args:
        config: the broker's table.
        journal: where events wait.
        gate: this gate's address.
        sources: values to publish.
        base_dir: what file names in the config are relative to.
        operator: looks up operator keys in the trust snapshot of the moment; None: no commands.
        on_command: carries a believed command out, in a thread of its own; None: no commands.
        on_fault: receives faults of the reporter; None writes them into the journal.
        subscribers: further interests, such as `agent.report.desired.DesiredConfig`.
        command_memory: file of the accepted commands; None remembers until the process ends.
        key: seals the events; None makes one for this run.
        collector: whose acknowledgements are believed; None believes the first of this run.
        monotonic: seconds.
    """

    def __init__(
        self,
        config: MqttConfig,
        journal: Outbox,
        gate: GateAddress,
        sources: Sources,
        *,
        base_dir: Path = Path(),
        operator: OperatorLookup | None = None,
        on_command: CommandHandler | None = None,
        on_fault: Callable[[Event], object] | None = None,
        subscribers: tuple[Subscriber, ...] = (),
        command_memory: Path | None = None,
        key: SealKey | None = None,
        collector: CollectorPin | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._monotonic = monotonic
        self._on_fault = on_fault or getattr(journal, "append", None)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._last_round_at = monotonic()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._command_faults = FaultBoard("command", self._tell)
        self._dispatcher: CommandDispatcher | None = None
        self._outbound: list[Callable[[Engine], None]] = []
        if config.commands and operator is not None and on_command is not None:
            self._dispatcher = CommandDispatcher(
                gate,
                operator=operator,
                handler=on_command,
                send=lambda message: self._post(lambda engine: engine.send(message)),
                replay=lambda boot, first, last: self._post(
                    lambda engine: engine.replay(boot, first, last)
                ),
                faults=self._command_faults,
                clock=sources.clock,
                believed=sources.believed,
                monotonic=monotonic,
                memory=CommandMemory(command_memory),
            )
        subscribers = (*subscribers, *self._home_assistant(config, gate, sources, subscribers))
        for subscriber in subscribers:
            subscriber.attach(self.send)
        settings = EngineSettings(
            link=replace(
                link_settings(config, gate, base_dir),
                pulse=config.home_assistant_open and self._dispatcher is not None,
            ),
            gate=gate,
            event_rate=config.event_rate,
            metrics_s=config.metrics_s,
            wait_for_ack=config.wait_for_ack,
        )
        self._engine = Engine(
            settings,
            journal,
            sources,
            inbox=GateInbox(gate, self._dispatcher, *subscribers),
            tell=self._tell,
            key=key,
            collector=collector,
            now=monotonic(),
        )
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        journal.listen(self.wake)

    def start(self) -> None:
        """Begin to report; returns at once, whether there is a broker or not."""
        if self._dispatcher is not None:
            self._dispatcher.start()
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to do; never blocks."""
        # A full buffer means that a wake-up is on its way already.
        with contextlib.suppress(BlockingIOError, OSError):
            self._wake_write.send(b"\0")

    def respond(self, name: str, transaction: str, result: CommandResult) -> None:
        """Answer a command whose handler said `IN_PROGRESS`."""
        if self._dispatcher is not None:
            self._dispatcher.respond(name, transaction, result)

    def send(self, message: Message) -> None:
        """Publish a message beside the events; for `subscribers`."""
        self._post(lambda engine: engine.send(message))

    def health(self) -> ReporterHealth:
        """Return how the reporter is; quick, from any thread."""
        age = self._monotonic() - self._last_round_at
        return ReporterHealth(
            alive=self._thread.is_alive() and age < _HUNG_S,
            connected=self._engine.up,
            faults=self._engine.faults.active(),
            unacknowledged=self._journal.unacknowledged(),
        )

    @property
    def broker_until(self) -> float | None:
        """When the certificate ends that the broker showed last, Unix seconds."""
        return self._engine.broker_until

    def close(self, timeout_s: float = 5.0) -> None:
        """Say `stopped`, disconnect, end the threads; may be called twice."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if self._dispatcher is not None:
            self._dispatcher.stop(timeout_s)
        self._journal.listen(None)
        if not self._thread.is_alive():
            self._wake_read.close()
            self._wake_write.close()

    # -- inside -------------------------------------------------------------------------------

    def _home_assistant(
        self,
        config: MqttConfig,
        gate: GateAddress,
        sources: Sources,
        subscribers: tuple[Subscriber, ...],
    ) -> tuple[Subscriber, ...]:
        """Return the announcement, where it is wanted and the caller brought none."""
        if not config.home_assistant:
            return ()
        from agent.report.discovery import HomeAssistant

        if any(isinstance(subscriber, HomeAssistant) for subscriber in subscribers):
            return ()
        card = HomeAssistant(
            gate,
            sources.info,
            open_button=config.home_assistant_open,
            desk=self._dispatcher,
            believed=sources.believed,
            monotonic=self._monotonic,
        )
        return (card,)

    def _post(self, work: Callable[[Engine], None]) -> None:
        with self._lock:
            self._outbound.append(work)
        self.wake()

    def _tell(self, fault: Fault) -> None:
        """Hand a fault on; a journal that refuses it shows in its own fault."""
        _LOG.warning("%s %s: %s", fault.part, fault.code, fault.detail)
        if self._on_fault is None:
            return
        try:
            self._on_fault(fault)
        except JournalError as error:
            _LOG.warning("fault not journaled: %s", error)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._last_round_at = self._monotonic()
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - the thread must outlive any surprise
                _LOG.exception("reporter")
                self._engine.fail(type(error).__name__, self._monotonic())
                self._stopping.wait(_CRASH_PAUSE_S)
        try:
            self._engine.stop()
        except Exception:  # noqa: BLE001 - the end must be reached
            _LOG.exception("reporter at its end")

    def _round(self) -> None:
        with self._lock:
            work, self._outbound = self._outbound, []
        for each in work:
            each(self._engine)
        timeout_s = min(1.0, self._engine.step(self._monotonic()))
        self._journal.maintain()
        link = self._engine.link
        if link is not None:
            link.wait(timeout_s, self._wake_read)
        else:
            select.select([self._wake_read], [], [], timeout_s)
        # Nothing to read is the normal case after a timeout.
        with contextlib.suppress(BlockingIOError):
            self._wake_read.recv(4_096)
