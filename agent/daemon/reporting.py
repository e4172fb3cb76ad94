"""Joins the daemon and the reporter: what is published, and what the fleet's commands do.

Commands arrive here believed: signed, fresh, for this gate, by a key with the role. `open`, `close`
and `mode` go through the passage machine, which may still refuse; its answer is the command's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.clock.system import SystemClock
from agent.daemon.health import Health
from agent.journal.journal import Journal
from agent.passage import events as passage_events
from agent.passage.types import Direction, Mode
from agent.reason import Reason
from agent.report.commands import Command, CommandResult
from agent.report.desired import DesiredConfig
from agent.report.mqtt import Reporter
from agent.report.payloads import CommandStatus
from agent.report.seals import CollectorPin, SealKey
from agent.report.topics import CommandName, GateAddress
from agent.report.values import Sources
from agent.settings.model import MqttConfig
from agent.trust.model import OperatorKey

__all__ = ["COLLECTOR_KEY", "GATE_KEY", "CommandHandlers", "Reporting"]

WAITING_KEPT = 64
GATE_KEY = "gate-key.pem"
"""The gate's own key, with which it seals its events; among the state."""
COLLECTOR_KEY = "collector-key"
"""The public key of the collector that was believed first; among the state."""


@dataclass(frozen=True, slots=True)
class CommandHandlers:
    """What commands can bring about.

    Attributes:
        post: gives the passage machine an event.
        update: asks for newer trust; returns at once.
        reload: reads profile and trust again; returns what was wrong, or "".
        identify: makes the gate show itself to somebody who looks for it.
        operator: looks up an operator's key in the trust of the moment.
    """

    post: Callable[[passage_events.Command], None]
    update: Callable[[], None]
    reload: Callable[[], str]
    identify: Callable[[], None]
    operator: Callable[[bytes], OperatorKey | None]


class Reporting:
    """One gate's reporter and its command handler.

    Args:
        config: the broker.
        journal: where events wait.
        address: this gate.
        health: values to publish.
        handlers: what commands do.
        desired: takes the settings that the fleet wants.
        clock: the time, and whether it is believed.
        command_memory: file of the accepted commands.
        modes: which ones commands may choose.
        base_dir: what file names are relative to.
        state_dir: where the gate's key is kept, and the collector's that was believed first.

    Raises:
        ValueError: a key's file holds none.
        OSError: the disk refuses.
    """

    def __init__(
        self,
        config: MqttConfig,
        journal: Journal,
        address: GateAddress,
        *,
        health: Health,
        handlers: CommandHandlers,
        desired: DesiredConfig,
        clock: SystemClock,
        command_memory: Path,
        modes: frozenset[str],
        base_dir: Path,
        state_dir: Path,
    ) -> None:
        self._handlers = handlers
        self._modes = modes
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, str] = OrderedDict()
        self.reporter = Reporter(
            config,
            journal,
            address,
            Sources(
                info=health.info,
                state=health.state,
                metrics=health.metrics,
                clock=clock.wall,
                believed=clock.believed_wall,
            ),
            base_dir=base_dir,
            operator=handlers.operator,
            on_command=self.carry_out,
            subscribers=(desired,),
            command_memory=command_memory,
            key=SealKey.load_or_create(state_dir / GATE_KEY),
            collector=CollectorPin(
                bytes.fromhex(config.collector_key) or None, state_dir / COLLECTOR_KEY
            ),
        )

    def start(self) -> None:
        """Begin to report."""
        self.reporter.start()

    def close(self, timeout_s: float) -> None:
        """Say `stopped` and end; each of its two threads is waited for that long."""
        self.reporter.close(timeout_s)

    def carry_out(self, command: Command) -> CommandResult:
        """Do what a believed command says; runs in the reporter's command thread."""
        match command.name:
            case CommandName.OPEN | CommandName.CLOSE | CommandName.MODE:
                return self._move(command)
            case CommandName.UPDATE:
                self._handlers.update()
                return CommandResult(CommandStatus.SUCCEEDED)
            case CommandName.RELOAD:
                wrong = self._handlers.reload()
                if wrong:
                    return CommandResult(CommandStatus.FAILED, "refused", wrong)
                return CommandResult(CommandStatus.SUCCEEDED)
            case CommandName.IDENTIFY:
                self._handlers.identify()
                return CommandResult(CommandStatus.SUCCEEDED)
            case _:
                return CommandResult(CommandStatus.FAILED, "unknown_command")

    def respond(self, transaction: str, *, done: bool, reason: Reason | None) -> None:
        """Answer a command that the passage machine has carried out or refused."""
        with self._lock:
            name = self._waiting.pop(transaction, None)
        if name is None:
            return
        status = CommandStatus.SUCCEEDED if done else CommandStatus.REJECTED
        error = None if reason is None else reason.value
        self.reporter.respond(name, transaction, CommandResult(status, error))

    def _move(self, command: Command) -> CommandResult:
        event = _event(command, until=command.deadline)
        if event is None:
            return CommandResult(CommandStatus.FAILED, "bad_arguments", _ARGUMENTS[command.name])
        if event.mode is not None and event.mode.value not in self._modes:
            return CommandResult(
                CommandStatus.REJECTED, "not_allowed", "floor.modes of this gate leaves it out"
            )
        with self._lock:
            self._waiting[command.transaction] = command.name.value
            while len(self._waiting) > WAITING_KEPT:
                self._waiting.popitem(last=False)
        self._handlers.post(event)
        return CommandResult(CommandStatus.IN_PROGRESS)


_CHOSEN = [mode.value for mode in Mode if mode is not Mode.FIRE]
_ARGUMENTS: Final = {
    CommandName.OPEN: "allowed: none, direction=in, direction=out",
    CommandName.CLOSE: "allowed: none",
    CommandName.MODE: f"needed: mode, one of {', '.join(_CHOSEN)}",
}
"""What commands that move the gate take, in words for who sent something else."""


def _event(command: Command, *, until: float | None = None) -> passage_events.Command | None:
    """Return the machine's event, or None where the arguments are not the command's."""
    arguments = dict(command.arguments)
    try:
        direction = Direction(arguments.pop("direction")) if "direction" in arguments else None
        mode = Mode(arguments.pop("mode")) if "mode" in arguments else None
    except ValueError:
        return None
    wants_mode = command.name is CommandName.MODE
    if arguments or wants_mode != (mode is not None) or mode is Mode.FIRE:
        return None
    if direction is not None and command.name is not CommandName.OPEN:
        return None
    return passage_events.Command(
        command.name.value,  # type: ignore[arg-type]
        command.transaction,
        direction,
        mode,
        until,
    )
