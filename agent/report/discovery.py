"""Home Assistant: a card for the gate with no YAML, by MQTT device discovery.

Rules:
- One retained message on `homeassistant/device/{id}/config` with `device`, `origin` and
  `components`; published again when Home Assistant says on `homeassistant/status` that it is back.
- Every component has a platform and a unique id that never changes.
- Home Assistant cannot sign, so its buttons have topics of their own, `ha/identify` and `ha/open`.
  `identify` harms nobody. `open` exists only where the operator set `mqtt.home_assistant_open`, and
  then rests on the broker's ACL alone. Both are refused when retained or within the first second
  of a connection, and never queued: the subscription is QoS 0.
- `open` is refused when it is late. The card's presses carry the time at which they were made; a
  press without (a script's) is as old as the link may have held it (`Received.age_s`), and so is
  every other at least.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from agent.report.commands import LIFETIME_S, Command, Refusal
from agent.report.link import Message, Received
from agent.report.payloads import GateInfo
from agent.report.topics import CommandName, GateAddress

__all__ = ["HomeAssistant", "discovery_payload", "discovery_topic"]

STATUS_TOPIC = "homeassistant/status"
_PREFIX = "homeassistant/device"
_QUIET_S = 1.0
_STAMPED: Final = re.compile(rb"open ([0-9]{1,10}(?:\.[0-9]{1,9})?)")
"""A press with the time at which it was made, Unix seconds."""

_MODES = ("normal", "locked", "free", "maintenance", "fire")


def _node(gate: GateAddress) -> str:
    """Return the device id; Home Assistant allows letters, digits, `_` and `-`."""
    return f"idgate_{gate.identifier}"


def discovery_topic(gate: GateAddress) -> str:
    """Return where the gate is announced."""
    return f"{_PREFIX}/{_node(gate)}/config"


def discovery_payload(gate: GateAddress, info: GateInfo, *, open_button: bool) -> dict[str, Any]:
    """Return the announcement."""
    return {
        "device": {
            "identifiers": [_node(gate)],
            "name": f"Gate {gate.gate} ({gate.site})",
            "manufacturer": "idgate",
            "model": info.profile,
            "sw_version": info.version,
        },
        "origin": {"name": "idgate", "sw_version": info.version},
        "qos": 1,
        "components": _components(gate, open_button=open_button),
    }


def _components(gate: GateAddress, *, open_button: bool) -> dict[str, dict[str, Any]]:
    found = {
        "connection": {
            "platform": "binary_sensor",
            "name": "Connection",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": gate.topic("status"),
            "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
        },
        "barrier": _binary(gate, "Barrier", "opening", "gate.barrier == 'open'"),
        "fire": _binary(gate, "Fire", "safety", "gate.fire"),
        "tamper": _binary(gate, "Tamper", "tamper", "gate.tamper"),
        "problem": _binary(gate, "Problem", "problem", "gate.health != 'ok'"),
        "granted": _sensor(gate, "Granted", "gate.granted", state_class="total_increasing"),
        "denied": _sensor(gate, "Denied", "gate.denied", state_class="total_increasing"),
        "passages": _sensor(gate, "Passages", "gate.passages", state_class="total_increasing"),
        "latency": _duration(gate, "Decision time", "gate.latency_ms", "ms"),
        "trust_age": _duration(gate, "Trust age", "gate.trust_age_s", "s"),
        "outbox": _sensor(
            gate, "Waiting events", "outbox.unacknowledged", state_class="measurement"
        ),
        "mode": _sensor(gate, "Mode", "gate.mode", device_class="enum", options=list(_MODES)),
        "identify": _button(gate, "identify", "Identify", device_class="identify"),
    }
    if open_button:
        found["open"] = _button(
            gate, "open", "Open", command_template="{{ value }} {{ as_timestamp(now()) }}"
        )
    for name, component in found.items():
        component["unique_id"] = f"{_node(gate)}_{name}"
        if name != "connection":
            component["availability"] = [
                {
                    "topic": gate.topic("status"),
                    "value_template": "{{ 'online' if value == 'online' else 'offline' }}",
                }
            ]
    return found


def _binary(gate: GateAddress, name: str, device_class: str, test: str) -> dict[str, Any]:
    return {
        "platform": "binary_sensor",
        "name": name,
        "device_class": device_class,
        "state_topic": gate.topic("state"),
        "value_template": f"{{{{ 'ON' if value_json.{test} else 'OFF' }}}}",
    }


def _sensor(gate: GateAddress, name: str, path: str, **more: Any) -> dict[str, Any]:
    return {
        "platform": "sensor",
        "name": name,
        "state_topic": gate.topic("state"),
        "value_template": f"{{{{ value_json.{path} }}}}",
        **more,
    }


def _duration(gate: GateAddress, name: str, path: str, unit: str) -> dict[str, Any]:
    return _sensor(
        gate,
        name,
        path,
        device_class="duration",
        unit_of_measurement=unit,
        state_class="measurement",
        entity_category="diagnostic",
    )


def _button(gate: GateAddress, word: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "platform": "button",
        "name": name,
        "command_topic": gate.topic(f"ha/{word}"),
        "payload_press": word,
        "retain": False,
        **more,
    }


class Desk(Protocol):
    """Who carries presses out."""

    def press(self, command: Command) -> None:
        """Carry out what a button asked for."""

    def refuse_press(self, refusal: Refusal) -> None:
        """Count and tell a press that is not carried out."""


class HomeAssistant:
    """Announces the gate and takes the two buttons.

    Args:
        gate: this gate.
        info: version and profile of the moment.
        open_button: whether there is one to open.
        desk: carries out a pressed button; None where the gate takes no commands.
        believed: Unix seconds, None while no time is believed.
        monotonic: seconds.
    """

    def __init__(
        self,
        gate: GateAddress,
        info: Callable[[], GateInfo],
        *,
        open_button: bool,
        desk: Desk | None,
        believed: Callable[[], float | None],
        monotonic: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._info = info
        self._open_button = open_button
        self._desk = desk
        self._believed = believed
        self._monotonic = monotonic
        self._send: Callable[[Message], None] | None = None

    def attach(self, send: Callable[[Message], None]) -> None:
        """Take the way to publish."""
        self._send = send

    def subscriptions(self) -> list[tuple[str, int]]:
        """Return Home Assistant's own status and the buttons."""
        buttons = [(self._gate.topic("ha/+"), 0)] if self._desk is not None else []
        return [(STATUS_TOPIC, 0), *buttons]

    def births(self) -> list[Message]:
        """Return the announcement."""
        payload = discovery_payload(
            self._gate, self._info(), open_button=self._open_button and self._desk is not None
        )
        if self._desk is None:
            del payload["components"]["identify"]
        return [Message(discovery_topic(self._gate), msgspec.json.encode(payload), retain=True)]

    def received(self, message: Received) -> bool:
        """Announce again, or take a button."""
        if message.topic == STATUS_TOPIC:
            if message.payload == b"online" and self._send is not None:
                for birth in self.births():
                    self._send(birth)
            return True
        word = message.topic.removeprefix(self._gate.topic("ha/"))
        if word == message.topic:
            return False
        if self._desk is None or message.retain or message.after_s < _QUIET_S:
            return True
        if message.topic == self._gate.topic("ha/open"):
            self._open(self._desk, message)
        elif word == CommandName.IDENTIFY and message.payload == b"identify":
            self._desk.press(_pressed(CommandName.IDENTIFY, self._monotonic()))
        return True

    def _open(self, desk: Desk, message: Received) -> None:
        stamped = _STAMPED.fullmatch(message.payload)
        if not self._open_button or (stamped is None and message.payload != b"open"):
            return
        refusal = Refusal.STALE if message.age_s > LIFETIME_S else None
        if stamped is not None:
            refusal = self._untimely(float(stamped[1])) or refusal
        if refusal is not None:
            desk.refuse_press(refusal)
            return
        desk.press(_pressed(CommandName.OPEN, self._monotonic()))

    def _untimely(self, made_at: float) -> Refusal | None:
        now = self._believed()
        if now is None:
            return Refusal.CLOCK_UNTRUSTED
        if now - made_at > LIFETIME_S:
            return Refusal.STALE
        return Refusal.FUTURE if made_at - now > LIFETIME_S else None


def _pressed(name: CommandName, monotonic: float) -> Command:
    return Command(
        name=name,
        arguments={},
        transaction=secrets.token_hex(16),
        operator="home-assistant",
        key_id="",
        issued_at=0,
        expires_at=0,
        deadline=monotonic + LIFETIME_S,
    )
