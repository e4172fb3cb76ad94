"""What a gate does with messages: judges commands, runs them apart, answers.

Rules:
- Handlers run in a thread of their own, one after the other, so that a slow one never holds back
  events; when eight wait, the next is refused as busy.
- A handler that raises is answered FAILED; the fault is logged and told.
- Refusals are answered where a signature held (the transaction is then known), always counted, and
  told to the journal at most once a minute a kind.
- `replay` is the reporter's own business and reaches no handler.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Protocol

from agent.report import payloads
from agent.report.command_memory import CommandMemory
from agent.report.commands import (
    Command,
    CommandGuard,
    CommandRefused,
    CommandResult,
    OperatorLookup,
    Refusal,
)
from agent.report.faults import FaultBoard
from agent.report.link import Message, Received
from agent.report.payloads import CommandStatus
from agent.report.topics import CommandName, GateAddress, parse_topic

__all__ = ["CommandDispatcher", "CommandHandler", "GateInbox", "Subscriber"]

_LOG = logging.getLogger(__name__)
_WAITING = 8
_RESPONSE_EXPIRY_S = 60

CommandHandler = Callable[[Command], CommandResult]
Replay = Callable[[str, int, int], None]
Send = Callable[[Message], None]


class Subscriber(Protocol):
    """A further interest in messages: configuration, discovery."""

    def subscriptions(self) -> list[tuple[str, int]]:
        """Return (filter, QoS) pairs."""

    def births(self) -> list[Message]:
        """Return messages for the start of a connection."""

    def received(self, message: Received) -> bool:
        """Take a message; return False if it is another's."""

    def attach(self, send: Callable[[Message], None]) -> None:
        """Take the way to publish."""


class CommandDispatcher:
    """Judges and runs commands.

    Args:
        gate: this gate.
        operator: looks operator keys up.
        handler: carries a command out; runs in the thread `commands`.
        send: queues a message; may be called from any thread.
        replay: sends journaled rows again; (boot_id, first, last).
        faults: where refusals are told.
        clock: Unix seconds, for what is written down.
        believed: Unix seconds, None while no time is believed.
        monotonic: seconds.
        memory: which commands were accepted before.

    Attributes:
        refused: how many commands were refused.
    """

    def __init__(
        self,
        gate: GateAddress,
        *,
        operator: OperatorLookup,
        handler: CommandHandler,
        send: Send,
        replay: Replay,
        faults: FaultBoard,
        clock: Callable[[], float],
        believed: Callable[[], float | None],
        monotonic: Callable[[], float],
        memory: CommandMemory,
    ) -> None:
        self._gate = gate
        self._guard = CommandGuard(gate, operator, memory)
        self._handler = handler
        self._send = send
        self._replay = replay
        self._faults = faults
        self._clock = clock
        self._believed = believed
        self._monotonic = monotonic
        self._waiting: queue.Queue[Command | None] = queue.Queue(maxsize=_WAITING)
        self._thread = threading.Thread(target=self._run, name="commands", daemon=True)
        self.refused = 0

    def start(self) -> None:
        """Begin to run commands."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Run what waits no longer; a handler in progress is waited for so long."""
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        self._waiting.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def take(self, name: str, message: Received, *, connected_at: float) -> None:
        """Judge a message on `cmd/{name}`."""
        try:
            command = self._guard.judge(
                name,
                message.payload,
                retained=message.retain,
                now=self._believed(),
                monotonic=self._monotonic(),
                connected_at=connected_at,
            )
            self._accept(command)
        except CommandRefused as error:
            self.refused += 1
            word = error.refusal.value
            detail = f" ({error.detail})" if error.detail else ""
            self._faults.note(word, f"cmd/{name[:32]} refused: {word}{detail}", self._monotonic())
            if error.transaction:
                result = CommandResult(CommandStatus.REJECTED, error=word)
                self.respond(name, error.transaction, result)

    def press(self, command: Command) -> None:
        """Run what a local button asked for; there is nobody to answer."""
        try:
            self._accept(command)
        except CommandRefused as error:
            self.refuse_press(error.refusal)

    def refuse_press(self, refusal: Refusal) -> None:
        """Count and tell a press that is not carried out."""
        self.refused += 1
        word = refusal.value
        self._faults.note(word, f"a button was refused: {word}", self._monotonic())

    def respond(self, name: str, transaction: str, result: CommandResult) -> None:
        """Answer a command; again later, where the first answer was `IN_PROGRESS`."""
        if name not in set(CommandName):
            return
        response = payloads.Response(
            transaction=transaction,
            status=result.status,
            error=result.error,
            detail=result.detail[:200],
            at=self._clock(),
        )
        self._send(
            Message(
                self._gate.topic(f"rsp/{name}"),
                payloads.encode(response),
                expiry_s=_RESPONSE_EXPIRY_S,
            )
        )

    def _accept(self, command: Command) -> None:
        if command.name is CommandName.REPLAY:
            self.respond(command.name, command.transaction, self._run_replay(command))
            return
        try:
            self._waiting.put_nowait(command)
        except queue.Full:
            raise CommandRefused(Refusal.BUSY, command.transaction) from None

    def _run_replay(self, command: Command) -> CommandResult:
        arguments = command.arguments
        boot_id, first = arguments.get("boot_id"), arguments.get("from")
        last = arguments.get("to")
        if not (isinstance(boot_id, str) and type(first) is int and type(last) is int):
            return CommandResult(CommandStatus.FAILED, error="bad_arguments")
        self._replay(boot_id, first, last)
        return CommandResult(CommandStatus.SUCCEEDED)

    def _run(self) -> None:
        while (command := self._waiting.get()) is not None:
            if self._monotonic() > command.deadline:
                result = CommandResult(CommandStatus.TIMED_OUT, error="expired in the queue")
            else:
                result = self._carry_out(command)
            self.respond(command.name, command.transaction, result)

    def _carry_out(self, command: Command) -> CommandResult:
        try:
            return self._handler(command)
        except Exception as error:  # noqa: BLE001 - a handler's fault must not end the thread
            _LOG.exception("command failed: %s", command.name.value)
            self._faults.note(
                "handler", f"cmd/{command.name} raised {type(error).__name__}", self._monotonic()
            )
            return CommandResult(CommandStatus.FAILED, error="internal_error")


class GateInbox:
    """Hands messages to the dispatcher of commands and to the other subscribers.

    Args:
        gate: this gate.
        dispatcher: None for a gate that takes no commands; they are not even subscribed to.
        subscribers: configuration, discovery.
    """

    def __init__(
        self, gate: GateAddress, dispatcher: CommandDispatcher | None, *subscribers: Subscriber
    ) -> None:
        self._gate = gate
        self._dispatcher = dispatcher
        self._subscribers = subscribers

    def subscriptions(self) -> list[tuple[str, int]]:
        """Return further (filter, QoS) pairs."""
        wanted = [(self._gate.topic("cmd/+"), 1)] if self._dispatcher is not None else []
        for subscriber in self._subscribers:
            wanted += subscriber.subscriptions()
        return wanted

    def births(self) -> list[Message]:
        """Return the subscribers' messages for the start of a connection."""
        return [message for subscriber in self._subscribers for message in subscriber.births()]

    def refused(self) -> int:
        """Return how many commands were refused."""
        return 0 if self._dispatcher is None else self._dispatcher.refused

    def received(self, message: Received, *, connected_at: float) -> None:
        """Give the message to whom it belongs."""
        address = parse_topic(message.topic)
        if address is not None and address[0] == self._gate and address[1].startswith("cmd/"):
            if self._dispatcher is not None and message.payload:
                self._dispatcher.take(address[1][4:], message, connected_at=connected_at)
            return
        for subscriber in self._subscribers:
            if subscriber.received(message):
                return
