"""Home Assistant's rules for device discovery, held against the retained payload."""

from __future__ import annotations

import json
import math
import re
import time

import pytest

from agent.fleet.memory import MemoryOutbox
from agent.report.commands import Command, CommandResult, Refusal
from agent.report.discovery import HomeAssistant, discovery_payload, discovery_topic
from agent.report.link import Received
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


# --- what a press may be -----------------------------------------------------------------------------

T0 = 1_800_000_000.0


class Counter:
    """Takes presses as the dispatcher does, and keeps what came of them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.pressed: list[Command] = []

    def press(self, command: Command) -> None:
        self.said.append(command.name.value)
        self.pressed.append(command)

    def refuse_press(self, refusal: Refusal) -> None:
        self.said.append(f"refused {refusal.value}")


PRESSES = [
    ("plain and prompt", b"open", {}, T0, ["open"]),
    ("as old as a press may be", b"open", {"age_s": 5.0}, T0, ["open"]),
    ("held up by the link", b"open", {"age_s": 5.1}, T0, ["refused stale"]),
    ("plain, no time is believed", b"open", {}, None, ["open"]),
    ("of a link that proves nothing", b"open", {"age_s": math.inf}, T0, ["refused stale"]),
    ("stamped and prompt", b"open 1800000000.25", {}, T0 + 1, ["open"]),
    ("stamped, whole seconds", b"open 1800000000", {}, T0 + 5, ["open"]),
    ("stamped, late", b"open 1800000000", {}, T0 + 5.5, ["refused stale"]),
    ("stamped, a little ahead", b"open 1800000005", {}, T0, ["open"]),
    ("stamped, from the future", b"open 1800000006", {}, T0, ["refused future"]),
    ("stamped, no time is believed", b"open 1800000000", {}, None, ["refused clock_untrusted"]),
    ("stamped now, held up all the same", b"open 1800000000", {"age_s": 28.0}, T0, ["refused stale"]),
    ("retained", b"open", {"retain": True}, T0, []),
    ("in the connection's first second", b"open", {"after_s": 0.9}, T0, []),
    ("after it", b"open", {"after_s": 1.0}, T0, ["open"]),
    *((f"another text: {text!r}", text, {}, T0, [])
      for text in (b"", b"open ", b"open 1e9", b"open -1", b"open nan", b"open 18000000000",
                   b"open 1800000000\n", b"open 1800000000.", b"OPEN", b"close", b"open  1800000000")),
]  # fmt: skip


def card(counter: Counter | None, now: float | None = T0, *, open_button: bool = True):
    return HomeAssistant(
        GATE, lambda: INFO, open_button=open_button, desk=counter, believed=lambda: now,
        monotonic=lambda: 70.0,
    )  # fmt: skip


def pressed(word: str, payload: bytes, **how) -> Received:
    fields = {"retain": False, "age_s": 0.5, "after_s": 60.0} | how
    return Received(GATE.topic(f"ha/{word}"), payload, 0, mid=0, **fields)


@pytest.mark.parametrize(
    ("payload", "how", "now", "said"),
    [row[1:] for row in PRESSES],
    ids=[row[0] for row in PRESSES],
)
def test_a_press_to_open_is_prompt_or_refused(payload, how, now, said):
    counter = Counter()
    assert card(counter, now).received(pressed("open", payload, **how))
    assert counter.said == said
    assert [command.deadline for command in counter.pressed] == [75.0] * said.count("open")


def test_a_gate_without_the_button_takes_no_press_to_open():
    counter = Counter()
    part = card(counter, open_button=False)
    assert part.received(pressed("open", b"open"))
    assert part.received(pressed("identify", b"identify", age_s=math.inf))
    assert part.received(pressed("identify", b"open"))
    assert counter.said == ["identify"]
    assert card(None).received(pressed("open", b"open"))
    assert not part.received(Received("gates/v1/station/gate-1/ack", b"", 1, retain=False, mid=1))


def test_the_cards_own_press_carries_its_time():
    """What Home Assistant makes of the template is what is taken."""
    found = discovery_payload(GATE, INFO, open_button=True)["components"]["open"]
    assert found["command_template"] == "{{ value }} {{ as_timestamp(now()) }}"
    rendered = f"{found['payload_press']} {T0 + 0.123456}"
    counter = Counter()
    card(counter).received(pressed("open", rendered.encode()))
    assert counter.said == ["open"]
