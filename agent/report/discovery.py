"""Home Assistant: a card for the gate with no YAML, by MQTT device discovery.

Rules:
- One retained message on `homeassistant/device/{id}/config` with `device`, `origin` and
  `components`; published again when Home Assistant says on `homeassistant/status` that it is back.
- Every component has a platform and a unique id that never changes.
- Home Assistant cannot sign, so its buttons have topics of their own, `ha/identify` and `ha/open`.
  `identify` harms nobody. `open` exists only where the operator set `mqtt.home_assistant_open`, and
  then rests on the broker's ACL alone. Both are refused when retained or within the first second
  of a connection, and never queued: the subscription is QoS 0.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from agent.report.commands import Command
from agent.report.link import Message, Received
from agent.report.payloads import GateInfo
from agent.report.topics import CommandName, GateAddress

__all__ = ["HomeAssistant", "discovery_payload", "discovery_topic"]

STATUS_TOPIC = "homeassistant/status"
_PREFIX = "homeassistant/device"
_QUIET_S = 1.0
_MODES = ("normal", "locked", "free", "maintenance", "fire")


def _node(gate: GateAddress) -> str:
    """Return the device id; Home Assistant allows letters, digits, `_` and `-`."""
    return "idgate_" + re.sub(r"[^A-Za-z0-9_-]", "_", f"{gate.site}_{gate.gate}")


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
        found["open"] = _button(gate, "open", "Open")
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


class HomeAssistant:
    """Announces the gate and takes the two buttons.

    Args:
        gate: this gate.
        info: version and profile of the moment.
        open_button: whether there is one to open.
        press: carries out a pressed button; None where the gate takes no commands.
        clock: Unix seconds.
    """

    def __init__(
        self,
        gate: GateAddress,
        info: Callable[[], GateInfo],
        *,
        open_button: bool,
        press: Callable[[Command], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._info = info
        self._open_button = open_button
        self._press = press
        self._clock = clock
        self._send: Callable[[Message], None] | None = None

    def attach(self, send: Callable[[Message], None]) -> None:
        """Take the way to publish."""
        self._send = send

    def subscriptions(self) -> list[tuple[str, int]]:
        """Return Home Assistant's own status and the buttons."""
        buttons = [(self._gate.topic("ha/+"), 0)] if self._press is not None else []
        return [(STATUS_TOPIC, 0), *buttons]

    def births(self) -> list[Message]:
        """Return the announcement."""
        payload = discovery_payload(
            self._gate, self._info(), open_button=self._open_button and self._press is not None
        )
        if self._press is None:
            del payload["components"]["identify"]
        return [Message(discovery_topic(self._gate), msgspec.json.encode(payload), retain=True)]

    def received(self, message: Received, *, connected_at: float) -> bool:
        """Announce again, or take a button."""
        if message.topic == STATUS_TOPIC:
            if message.payload == b"online" and self._send is not None:
                for birth in self.births():
                    self._send(birth)
            return True
        word = message.topic.removeprefix(self._gate.topic("ha/"))
        if word == message.topic:
            return False
        allowed = (CommandName.IDENTIFY, *([CommandName.OPEN] if self._open_button else []))
        now = self._clock()
        if (
            self._press is not None
            and not message.retain
            and now >= connected_at + _QUIET_S
            and word in allowed
            and message.payload == word.encode()
        ):
            self._press(_pressed(CommandName(word), now))
        return True


def _pressed(name: CommandName, now: float) -> Command:
    return Command(
        name=name,
        arguments={},
        transaction=secrets.token_hex(16),
        operator="home-assistant",
        key_id="",
        issued_at=int(now),
        expires_at=int(now) + 5,
    )
