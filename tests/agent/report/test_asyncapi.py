"""The written description is the code's own, and whole."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest
import yaml

from agent.journal import events
from agent.journal.events import (
    BiometricOutcome,
    Decision,
    EventType,
    Fault,
    Mode,
    Passage,
    Tamper,
    encode_data,
    event_type,
)
from agent.journal.model import Position, Row
from agent.reason import Reason
from agent.report.asyncapi import document, tidy
from agent.report.cloudevents import decode_event, encode_event, schema, source
from agent.report.seals import SealKey
from agent.report.topics import TOPICS, GateAddress, parse_topic, share
from tests.support.paths import ROOT

WRITTEN = ROOT / "docs" / "asyncapi.yaml"
PASSAGE = "ab" * 16
SAMPLES = [
    Decision(passage=PASSAGE, decision="denied", reason=Reason.EXPIRED),
    Decision(
        passage=PASSAGE, decision="granted", reason=Reason.GRANTED, format="native",
        kind="rail-ticket", level=2, issuer="Ministry of X", key_id="0011", subject="cd" * 16,
        dynamic=True, profile="railway", zone="main", direction="in",
        biometrics=(BiometricOutcome(modality="face", reason=Reason.GRANTED),),
        stages_ms={"decode": 1.5}, total_ms=3.5,
    ),
    Decision(passage=PASSAGE, decision="annulled", reason=Reason.NO_PASSAGE, annuls=4),
    Passage(passage=PASSAGE, outcome="passed", direction="in", zone="main", subject="cd" * 16),
    Tamper(input="case", active=True),
    Fault(part="camera", code="timeout", active=False, detail="no frame", count=3),
    Mode(mode="locked", cause="command", previous="normal", operator="0011"),
]  # fmt: skip


def test_the_file_is_what_the_code_says():
    assert yaml.safe_load(WRITTEN.read_text()) == json.loads(msgspec.json.encode(document()))


def test_every_topic_is_there_with_its_qos_and_retain():
    found = yaml.safe_load(WRITTEN.read_text())
    assert found["asyncapi"] == "3.0.0"
    described = {}
    for operation in found["operations"].values():
        channel = resolve(found, operation["channel"])
        binding = operation["bindings"]["mqtt"]
        described[channel["address"]] = (
            binding["qos"], binding["retain"], operation["action"] == "receive",
        )  # fmt: skip
    assert described == {
        f"gates/v1/{{site}}/{{gate}}/{topic.path}": (topic.qos, topic.retained, topic.inbound)
        for topic in TOPICS
    }


def test_every_reference_leads_somewhere_and_every_schema_is_valid():
    found = yaml.safe_load(WRITTEN.read_text())

    def walk(node):
        if isinstance(node, dict):
            if "$ref" in node:
                resolve(found, node)
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(found)
    for each in found["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(each)
    for message in found["components"]["messages"].values():
        jsonschema.Draft202012Validator.check_schema(message["payload"])


def resolve(root, node):
    place = root
    for word in node["$ref"].removeprefix("#/").split("/"):
        place = place[word]
    return place


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_events_hold_their_shipped_schema_and_come_back(event):
    data = encode_data(event)
    kind = event_type(event)
    jsonschema.validate(json.loads(data), schema(kind))
    row = Row(Position(1, 7), "ab" * 16, 7, kind.value, 1_800_000_000_123_456, data, bytes(32))
    payload = encode_event(row, source("s", "g"), SealKey.new())
    envelope, back = decode_event(payload)
    assert back == event
    assert (envelope.seq, envelope.time) == (7, "2027-01-15T08:00:00.123456Z")
    described = document()
    message = described["components"]["messages"]["event" + kind.value.capitalize()]["payload"]
    jsonschema.validate(json.loads(payload), {**message, "components": described["components"]})


@pytest.mark.parametrize("kind", list(EventType))
def test_the_shipped_schemas_are_the_structures(kind):
    (found,), definitions = msgspec.json.schema_components(
        [events.EVENT_CLASSES[kind]], ref_template="#/$defs/{name}"
    )
    root = definitions.pop(found["$ref"].rsplit("/", 1)[1])
    shipped = schema(kind)
    assert shipped.pop("$schema") == "https://json-schema.org/draft/2020-12/schema"
    assert shipped.pop("$id") == f"urn:idgate:schema:{kind}:1"
    whole = {**root, **({"$defs": definitions} if definitions else {})}
    assert shipped == tidy(json.loads(msgspec.json.encode(whole)))


@pytest.mark.parametrize("kind", list(EventType))
def test_there_is_no_room_for_a_person(kind):
    """Closed structures: whatever a name is put into, it is refused."""
    shipped = schema(kind)
    sample = json.loads(encode_data(next(each for each in SAMPLES if event_type(each) is kind)))
    for field in ("name", "birth_date", "document_number", "picture", "template", "payload"):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**sample, field: "Alice"}, shipped)
    for where in ("passage", "subject", "kind", "input", "part"):
        if where in shipped["properties"]:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({**sample, where: "Alice Example, 1990"}, shipped)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("gates/v1/s/g/status", (GateAddress("s", "g"), "status")),
        ("gates/v1/s/g/event/fault", (GateAddress("s", "g"), "event/fault")),
        ("gates/v2/s/g/status", None), ("gates/v1/s/g", None), ("", None), ("x", None),
    ],
)  # fmt: skip
def test_topics_come_apart(topic, expected):
    assert parse_topic(topic) == expected


def test_shared_subscriptions():
    assert share("c", "event/+") == "$share/c/gates/v1/+/+/event/+"
