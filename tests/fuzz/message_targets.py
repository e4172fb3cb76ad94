"""What arrives over MQTT: commands, desired settings, acknowledgements; and events, at a collector.

Commands and settings have layers inside the operator's signature: whoever has a key must not be
able to stop a gate with a number that is too large.
"""

from __future__ import annotations

import functools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.credential import cbor
from agent.credential.issuers import Algorithm
from agent.credential.numbers import Header
from agent.daemon import reporting
from agent.fleet.send import OperatorSigner
from agent.issuing.keys import SigningKey
from agent.journal.events import Decision
from agent.journal.journal import Journal
from agent.reason import Reason
from agent.report import payloads
from agent.report.cloudevents import decode_event, encode_event, source
from agent.report.command_memory import CommandMemory
from agent.report.commands import COMMAND_TYPE, Command, CommandResult, Refusal, claims
from agent.report.desired import CONFIG_TYPE, DesiredConfig, desired_claims
from agent.report.faults import FaultBoard
from agent.report.inbox import CommandDispatcher
from agent.report.link import Message, Received
from agent.report.payloads import CommandStatus
from agent.report.seals import SealKey
from agent.report.topics import CommandName, GateAddress
from agent.settings.load import load
from agent.trust.model import OperatorKey
from tests.fuzz.model import Target, as_it_is
from tests.fuzz.trust_targets import folder
from tests.support import makers as make

__all__ = ["TARGETS"]

GATE = GateAddress("station", "gate-1")
KEY = make.ec_key(62)
SEALER = SealKey.new()
SIGNER = OperatorSigner(SigningKey(Algorithm.ES256, KEY), b"operator")
ROLES = frozenset({name.value for name in CommandName} | {"config"})
OPERATOR = OperatorKey("room", SIGNER.kid, Algorithm.ES256, KEY.public_key(), ROLES)
BOOT = "ab" * 16


def _operator(kid: bytes) -> OperatorKey | None:
    return OPERATOR if kid == SIGNER.kid else None


def _signed(content: str, data: bytes) -> bytes:
    head = {Header.ALG: -7, Header.KID: SIGNER.kid, Header.TYP: content}
    return make.sign1(data, KEY, protected=head)


@functools.cache
def _journal() -> Journal:
    journal = Journal.open(folder() / "journal.sqlite", boot_id=BOOT, synchronous="OFF")
    for _ in range(3):
        journal.append(Decision(passage="cd" * 16, decision="denied", reason=Reason.EXPIRED))
    return journal


# --- commands ----------------------------------------------------------------------------------------


class _Desk:
    """A real dispatcher whose handler is what the daemon does before the passage machine is told."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.dispatcher = CommandDispatcher(
            GATE, operator=_operator, handler=self._handle, send=self.sent.append,
            replay=self._replay, faults=FaultBoard("command", lambda _fault: None),
            clock=lambda: float(make.NOW), believed=lambda: float(make.NOW),
            monotonic=lambda: 0.0, memory=CommandMemory(),
        )  # fmt: skip

    def take(self, name: str, data: bytes) -> None:
        message = Received(GATE.topic(f"cmd/{name}"), data, 1, False, 1)
        self.dispatcher.take(name, message, connected_at=make.NOW - 60)
        while not self.dispatcher._waiting.empty():
            command = self.dispatcher._waiting.get_nowait()
            assert command is not None
            self._handle(command)

    def refusal(self) -> str | None:
        """Return what the last answer says."""
        return json.loads(self.sent[-1].payload).get("error") if self.sent else None

    def _handle(self, command: Command) -> CommandResult:
        if command.name in {CommandName.OPEN, CommandName.CLOSE, CommandName.MODE}:
            reporting._event(command)
        return CommandResult(CommandStatus.SUCCEEDED)

    def _replay(self, boot_id: str, first: int, last: int) -> None:
        for row in _journal().replay(boot_id, first, last):
            assert first <= row.seq <= last


def _command(data: bytes) -> None:
    for name in CommandName:
        dispatcher = _Desk()
        dispatcher.take(name.value, data)
        for message in dispatcher.sent:
            assert len(message.payload) < 2_000
        if dispatcher.refusal() != Refusal.WRONG_COMMAND:
            return


def _command_target() -> Target:
    def whole(name: CommandName, **arguments: Any) -> bytes:
        return cbor.encode(
            claims(name, GATE, request_id=b"12345678", issued_at=make.NOW, arguments=arguments)
        )

    def signed(data: bytes) -> bytes:
        return _signed(COMMAND_TYPE, data)

    def header(data: bytes) -> bytes:
        return make.sign1(whole(CommandName.OPEN), KEY, protected=data)

    def argued(data: bytes) -> bytes:
        """Put bytes that are CBOR in the place of a replay's arguments."""
        body = whole(CommandName.REPLAY, x=0)
        mark = cbor.encode({"x": 0})
        return signed(body.replace(mark, data)) if mark in body else signed(body)

    bodies = [
        whole(CommandName.OPEN, direction="in"), whole(CommandName.MODE, mode="locked"),
        whole(CommandName.REPLAY, boot_id=BOOT, **{"from": 1, "to": 3}), whole(CommandName.UPDATE),
    ]  # fmt: skip
    seeds = [(0, signed(body)) for body in bodies] + [(1, body) for body in bodies]
    seeds.append((2, cbor.encode({1: -7, 4: SIGNER.kid, 16: COMMAND_TYPE})))
    seeds.append((3, cbor.encode({"boot_id": BOOT, "from": 1, "to": 2**64 - 1})))
    return Target("command", (as_it_is, signed, header, argued), tuple(seeds), _command)


# --- desired settings --------------------------------------------------------------------------------

SETTINGS = """
state_dir = "state"
[gate]
site = "station"
gate = "gate-1"
profile = "railway"
[[camera]]
driver = "simulated"
[gpio]
driver = "simulated"
[mqtt]
url = "mqtt://127.0.0.1"
"""


@functools.cache
def _config() -> Any:
    path = folder() / "config.toml"
    path.write_text(SETTINGS)
    return load(path)


def _taker(path: Path) -> DesiredConfig:
    return DesiredConfig(
        _config(), GATE, path, operator=_operator, apply=lambda _config: "",
        clock=lambda: float(make.NOW),
    )  # fmt: skip


def _desired(data: bytes) -> None:
    path = folder() / "desired.json"
    path.unlink(missing_ok=True)
    taker, sent = _taker(path), []
    taker.attach(sent.append)
    message = Received(GATE.topic("config/desired"), data, 1, True, 1)
    assert taker.received(message)
    for each in sent:
        assert len(each.payload) < 20_000
    taken = taker.effective
    # What was taken is taken again after a restart, and is in force all the same.
    assert _taker(path).effective == taken


def _kept(data: bytes) -> None:
    """Start with a file that somebody spoiled."""
    path = folder() / "kept.json"
    path.write_bytes(data)
    taker = _taker(path)
    assert taker.effective is not None
    assert taker.births()


def _desired_target() -> Target:
    def whole(**values: Any) -> bytes:
        wanted = {name.replace("__", "."): value for name, value in values.items()}
        return cbor.encode(desired_claims(GATE, version=1, values=wanted, issued_at=make.NOW))

    def signed(data: bytes) -> bytes:
        return _signed(CONFIG_TYPE, data)

    def valued(data: bytes) -> bytes:
        """Put bytes that are CBOR in the place of the values."""
        body, mark = whole(x=0), cbor.encode({"x": 0})
        return signed(body.replace(mark, data))

    bodies = [
        whole(gate__profile="library", gate__denial_s=0.5),
        whole(scan__deadline_ms=200, scan__pyzbar=False, log__level="debug"),
        whole(gate__lockout_failures=5, mqtt__metrics_s=10, trust__refresh_s=60),
    ]
    seeds = [(0, signed(body)) for body in bodies] + [(1, body) for body in bodies]
    seeds.append((2, cbor.encode({"gate.direction": "out", "gate.zone": "x"})))
    return Target("desired", (as_it_is, signed, valued), tuple(seeds), _desired)


def _kept_target() -> Target:
    seed = json.dumps({"version": 3, "values": {"gate.profile": "library", "gate.denial_s": 1}})
    return Target("kept", (as_it_is,), ((0, seed.encode()),), _kept)


# --- acknowledgements, and events at a collector -----------------------------------------------------


def _ack(data: bytes) -> None:
    journal = _journal()
    with suppress(ValueError):
        ack = payloads.decode_ack(data)
        journal.acknowledge(ack.boot_id, ack.seq)
    assert journal.has_room()


def _ack_target() -> Target:
    seeds = tuple((0, json.dumps({"boot_id": BOOT, "seq": seq}).encode()) for seq in (0, 2, 9))
    return Target("ack", (as_it_is,), seeds, _ack)


def _event(data: bytes) -> None:
    try:
        envelope, event = decode_event(data)
    except ValueError:
        return
    assert envelope.seq >= 1
    assert repr(event)


def _event_target() -> Target:
    journal = _journal()
    rows = journal.replay(BOOT, 1, 1)
    seeds = [(0, encode_event(row, source("station", "gate-1"), SEALER)) for row in rows]
    seeds += [
        (
            0,
            encode_event(row, source("station", "gate-1"), SEALER).replace(
                b"decision.v1", kind + b".v1"
            ),
        )
        for row in rows
        for kind in (b"passage", b"tamper", b"fault", b"mode")
    ]
    return Target("event", (as_it_is,), tuple(seeds), _event)


TARGETS = {
    "command": _command_target,
    "desired": _desired_target,
    "kept": _kept_target,
    "ack": _ack_target,
    "event": _event_target,
}
