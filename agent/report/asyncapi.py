"""The AsyncAPI 3 description of everything a gate says and hears, built from the code.

`docs/asyncapi.yaml` is this document, written down for those who have no Python; a test holds the
two together. `python -m agent.report.asyncapi > docs/asyncapi.yaml` writes it anew.

Standard: AsyncAPI 3.0.0, MQTT binding 0.2.0, JSON Schema 2020-12 for the payloads.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

import msgspec

from agent import __version__
from agent.journal.events import EventType
from agent.report import payloads
from agent.report.cloudevents import schema
from agent.report.commands import COMMAND_TYPE
from agent.report.desired import CONFIG_TYPE
from agent.report.topics import ROOT, TOPICS, Topic

__all__ = ["document", "main", "tidy"]

_PAYLOADS: dict[str, type[msgspec.Struct]] = {
    "info": payloads.GateInfo,
    "state": payloads.StateReport,
    "metrics": payloads.Metrics,
    "ack": payloads.Ack,
    "config/reported": payloads.Reported,
}
_SUMMARIES = {
    "status": "online or stopped; the last will says offline",
    "info": "what the gate is: versions, drivers, models, trust",
    "state": "how the gate is: mode, barrier, health, outbox, faults",
    "metrics": "numbers for graphs",
    "ack": "highest contiguous seq of a boot that is stored, sealed by the collector; frees rows",
    "config/desired": "signed and versioned settings for the gate",
    "config/reported": "what became of them",
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for topic in TOPICS:
        name = _identifier(topic.path)
        channels[name] = {
            "address": f"{ROOT}/{{site}}/{{gate}}/{topic.path}",
            "summary": _summary(topic),
            "parameters": {
                "site": {"$ref": "#/components/parameters/site"},
                "gate": {"$ref": "#/components/parameters/gate"},
            },
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        operations[name] = {
            "action": "receive" if topic.inbound else "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            "bindings": {
                "mqtt": {
                    "qos": topic.qos, "retain": topic.retained, "bindingVersion": "0.2.0",
                }
            },
        }  # fmt: skip
        messages[name] = _message(topic, schemas)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "idgate",
            "version": __version__,
            "description": "What a gate tells its fleet, and what the fleet may tell it.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "broker:8883",
                "protocol": "mqtts",
                "protocolVersion": "5.0",
                "description": "MQTT 5; 3.1.1 by configuration, without expiries.",
                "security": [{"$ref": "#/components/securitySchemes/certificate"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "parameters": {
                "site": {"description": "the site's name"},
                "gate": {"description": "the gate's name; with certificates, their common name"},
            },
            "securitySchemes": {"certificate": {"type": "X509"}},
            "messages": messages,
            "schemas": schemas,
        },
    }


def _identifier(path: str) -> str:
    """Return `eventDecision` for `event/decision`."""
    first, *rest = path.split("/")
    return first + "".join(word.capitalize() for word in rest)


def _summary(topic: Topic) -> str:
    family, _, name = topic.path.partition("/")
    match family:
        case "event":
            return f"{name} events, CloudEvents 1.0"
        case "cmd":
            return f"signed command {name}, for five seconds at most, never retained"
        case "rsp":
            return f"answer to {name}, with its transaction"
        case _:
            return _SUMMARIES[topic.path]


def _message(topic: Topic, schemas: dict[str, Any]) -> dict[str, Any]:
    family, _, name = topic.path.partition("/")
    if family == "event":
        return _event(EventType(name), schemas)
    if family == "cmd" or topic.path == "config/desired":
        return {
            "contentType": "application/cose",
            "description": "COSE_Sign1; typ "
            + (COMMAND_TYPE if family == "cmd" else CONFIG_TYPE)
            + "; the claims are in docs/fleet.md",
            "payload": {"type": "string", "format": "binary"},
        }
    if topic.path == "status":
        words = ["online", "stopped", "offline"]
        return {"contentType": "text/plain", "payload": {"type": "string", "enum": words}}
    kind = payloads.Response if family == "rsp" else _PAYLOADS[topic.path]
    return {"contentType": "application/json", "payload": _schema(kind, schemas)}


def _event(kind: EventType, schemas: dict[str, Any]) -> dict[str, Any]:
    data = schema(kind)
    definitions = data.pop("$defs", {})
    for name in ("$schema", "$id"):
        data.pop(name)
    for name, found in {data["title"]: data, **definitions}.items():
        schemas[name] = _rebase(found)
    envelope = {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "description": "{bootid}.{seq}"},
        "source": {"type": "string", "description": "urn:idgate:gate:{site}:{gate}"},
        "type": {"const": f"idgate.{kind}.v1"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": f"urn:idgate:schema:{kind}:1"},
        "bootid": {"type": "string", "pattern": "^[0-9a-f]{8,64}$"},
        "seq": {"type": "integer", "minimum": 1},
        "prevhash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "key": {"type": "string", "contentEncoding": "base64", "minLength": 44, "maxLength": 44},
        "sig": {"type": "string", "contentEncoding": "base64", "minLength": 88, "maxLength": 88},
        "data": {"$ref": f"#/components/schemas/{data['title']}"},
    }
    return {
        "contentType": "application/cloudevents+json",
        "payload": {"type": "object", "properties": envelope, "required": list(envelope)},
    }


def _schema(kind: type[msgspec.Struct], schemas: dict[str, Any]) -> dict[str, Any]:
    (found,), definitions = msgspec.json.schema_components(
        [kind], ref_template="#/components/schemas/{name}"
    )
    schemas.update(tidy(definitions))
    reference: dict[str, Any] = tidy(found)
    return reference


def tidy(found: Any) -> Any:
    """Return a schema whose descriptions have no indent, which Python keeps until 3.13 only."""
    if isinstance(found, dict):
        return {
            key: inspect.cleandoc(value)
            if key == "description" and isinstance(value, str)
            else tidy(value)
            for key, value in found.items()
        }
    return [tidy(each) for each in found] if isinstance(found, list) else found


def _rebase(found: Any) -> Any:
    """Point references inside a shipped schema at the document's components."""
    if isinstance(found, dict):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/")
            if key == "$ref"
            else _rebase(value)
            for key, value in found.items()
        }
    return [_rebase(each) for each in found] if isinstance(found, list) else found


def main() -> None:
    """Write the document to stdout as YAML."""
    import yaml  # type: ignore[import-untyped]

    yaml.safe_dump(document(), sys.stdout, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    main()
