"""`idgate doctor`'s look at the broker: it connects as the gate would, and says why it cannot.

Rules:
- Under a client id of its own and without a session, so that a running daemon keeps its connection.
- Nothing is published and nothing subscribed to.
- What the network does is a warning, since a gate works without it; what the settings, the
  certificates or the broker's list of clients forbid will not mend itself and is a failure.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agent.daemon.expiry import Expiry, Kind
from agent.report.link import Connected, Link, LinkError, LinkSettings, Lost
from agent.report.mqtt import link_settings
from agent.report.topics import GateAddress
from agent.settings.model import Config, MqttConfig
from agent.settings.secrets import secret_path

__all__ = ["Verdict", "look_at_broker"]

ANSWER_S = 5.0

Verdict = tuple[Literal["ok", "warning", "failed"], str, str]
"""State, detail, remedy."""

_REMEDIES = {
    "tls": "mend ca_file, or the host's name in mqtt.url: the broker's certificate must bear it",
    "credentials": "mend the files of [mqtt], and who may read them",
}


def look_at_broker(config: Config, mqtt: MqttConfig) -> Verdict:
    """Connect once and say what happened."""
    names = (mqtt.ca_file, mqtt.cert_file, mqtt.key_file, mqtt.password_file)
    missing = [name for name in names if name and not _there(name, config.path(""))]
    if missing:
        return (
            "failed", f"not there: {', '.join(missing)}",
            "mend [mqtt]; where the unit has LoadCredential for them, set CREDENTIALS_DIRECTORY",
        )  # fmt: skip
    address = GateAddress(config.gate.site, config.gate.gate)
    settings = link_settings(mqtt, address, config.path(""))
    settings = replace(settings, client_id=f"{settings.client_id}-doctor", session_expiry_s=0)
    try:
        return _connect(settings)
    except LinkError as error:
        if error.code in _REMEDIES:
            return "failed", str(error), _REMEDIES[error.code]
        remedy = "the gate works without it and delivers later; check network and firewall"
        return "warning", str(error), remedy


def _there(name: str, base: Path) -> bool:
    return secret_path(name, base).is_file()


def _connect(settings: LinkSettings) -> Verdict:
    where = f"{settings.host}:{settings.port}"
    link = Link(settings)
    try:
        end = time.monotonic() + ANSWER_S
        while (left := end - time.monotonic()) > 0:
            link.wait(left)
            for happening in link.happenings:
                if isinstance(happening, Connected) and not happening.code:
                    return _let_in(settings, where, link.peer_until())
                if isinstance(happening, Connected):
                    return (
                        "failed", f"{where} refuses this gate: {happening.text}",
                        "mend username and password_file, the version, or the broker's clients",
                    )  # fmt: skip
                if isinstance(happening, Lost):
                    return _hung_up(settings, where)
            if link.fileno() < 0:
                return _hung_up(settings, where)
            link.happenings.clear()
    finally:
        link.close()
    return "failed", f"{where} does not answer as a broker", "mend the port in mqtt.url"


def _let_in(settings: LinkSettings, where: str, until: float | None) -> Verdict:
    detail = f"{where} lets this gate in{' (TLS)' if settings.tls else ''}"
    if until is None:
        return "ok", detail, ""
    shown, now = Expiry(Kind.BROKER, "its certificate", until), time.time()
    detail = f"{detail}; {shown.words(now)}"
    if shown.soon(now):
        return "warning", detail, "renew the broker's certificate"
    return "ok", detail, ""


def _hung_up(settings: LinkSettings, where: str) -> Verdict:
    detail = f"{where} ends the connection without a word"
    if not settings.tls:
        return "failed", detail, "it may speak TLS only: mqtts:// in mqtt.url"
    return (
        "failed", detail,
        "it may want a client certificate (cert_file, key_file), or not know this one or the id",
    )  # fmt: skip
