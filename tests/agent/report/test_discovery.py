"""Home Assistant's rules for device discovery, held against the retained payload."""

from __future__ import annotations

import json
import re
import time

import pytest

from agent.fleet.memory import MemoryOutbox
from agent.report.commands import CommandResult
from agent.report.discovery import discovery_payload, discovery_topic
from agent.report.payloads import (
    CommandStatus,
    GateInfo,
    GateState,
    OutboxReport,
    StateReport,
    encode,
)
from agent.report.topics import GateAddress

GATE = GateAddress("station", "gate-1")
INFO = GateInfo(
    version="1.2", site="station", gate="gate-1", profile="railway", direction="in",
    boot_id="ab" * 16, started_at=0.0,
)  # fmt: skip
PLATFORMS = {"binary_sensor", "sensor", "button"}
BINARY_CLASSES = {"connectivity", "opening", "safety", "tamper", "problem"}
SENSOR_CLASSES = {None, "duration", "enum"}


def check_announcement(found: dict) -> None:
    """The rules as Home Assistant's documentation states them."""
    assert {"device", "origin", "components"} <= found.keys()
    assert found["device"]["identifiers"]
    assert found["origin"]["name"]
    assert len({each["unique_id"] for each in found["components"].values()}) == len(
        found["components"]
    )
    for key, each in found["components"].items():
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", key)
        assert each["platform"] in PLATFORMS
        assert each["name"]
        if each["platform"] == "button":
            assert each["command_topic"]
            assert each["retain"] is False
            assert each.get("device_class") in (None, "identify", "restart", "update")
            assert "state_topic" not in each
            continue
        assert each["state_topic"]
        if each["platform"] == "binary_sensor":
            assert each["device_class"] in BINARY_CLASSES
            assert "'ON'" in each["value_template"]
            assert "'OFF'" in each["value_template"]
        else:
            check_sensor(each)


def check_sensor(each: dict) -> None:
    assert each.get("device_class") in SENSOR_CLASSES
    if each.get("device_class") == "enum":
        assert each["options"]
        assert "state_class" not in each
        assert "unit_of_measurement" not in each
    if each.get("device_class") == "duration":
        assert each["unit_of_measurement"] in {"d", "h", "min", "s", "ms"}
    assert each.get("state_class") in (None, "measurement", "total_increasing")


@pytest.mark.parametrize("open_button", [False, True])
def test_the_rules_hold(open_button):
    found = discovery_payload(GATE, INFO, open_button=open_button)
    check_announcement(found)
    assert ("open" in found["components"]) is open_button


def test_names_with_dots_make_a_valid_topic():
    topic = discovery_topic(GateAddress("st.ation", "gate-1"))
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", topic)


def test_every_template_reads_a_field_that_the_state_has():
    state = StateReport(
        gate=GateState(mode="normal"),
        outbox=OutboxReport(boot_id="ab", last_seq=1, unacknowledged=0),
    )
    value = json.loads(encode(state))
    for each in discovery_payload(GATE, INFO, open_button=True)["components"].values():
        for path in re.findall(r"value_json\.([a-z_.]+)", each.get("value_template", "")):
            place = value
            for word in path.split("."):
                assert word in place, path
                place = place[word]


@pytest.mark.broker
@pytest.mark.parametrize("open_button", [False, True])
def test_the_retained_card_and_its_buttons(mosquitto, listen, report, open_button):
    broker = mosquitto()
    listener = listen(broker)
    done = []
    outbox = MemoryOutbox(time.time)
    reporter, _ = report(
        broker, outbox=outbox, operator=lambda _: None,
        on_command=lambda command: done.append(command.name) or CommandResult(CommandStatus.SUCCEEDED),
        config={"home_assistant": True, "home_assistant_open": open_button},
    )  # fmt: skip
    listener.wait_for("status")
    late = listen(broker, "homeassistant/#")
    (card,) = late.until(lambda: late.heard)
    assert card.retain
    assert card.topic == discovery_topic(GATE)
    found = json.loads(card.payload)
    check_announcement(found)
    listener.say("homeassistant/status", b"online")
    late.until(lambda: len([each for each in late.heard if each.topic == card.topic]) == 2)
    for word in ("identify", "open"):
        listener.say(GATE.topic(f"ha/{word}"), word.encode())
    listener.until(lambda: time.time() > reporter._engine._connected_at + 1.1)
    assert done == []
    listener.say(GATE.topic("ha/open"), b"open", retain=True)
    listener.say(GATE.topic("ha/close"), b"close")
    listener.say(GATE.topic("ha/open"), b"something else")
    listener.say(GATE.topic("ha/open"), b"open")
    listener.say(GATE.topic("ha/identify"), b"identify")
    listener.wait_for("rsp/identify")
    assert done == (["open", "identify"] if open_button else ["identify"])
