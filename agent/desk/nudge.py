"""Tells gates that there is a new trust set, so that they do not wait for their schedule.

Rules:
- the word is the signed command `update`, by a key whose one role that is: who takes it can make
  gates look for news, and nothing else;
- all gates at once, and no longer than `timeout_s`: one that is off holds nobody up, and looks for
  itself when it is back;
- what goes wrong is told, not raised: what was published stays published.
"""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Protocol

import sqlalchemy as sa

from agent.desk.desk import NUDGE_KEY, Desk
from agent.desk.tables import gates
from agent.fleet.send import OperatorSigner, send_command
from agent.report.link import LinkError, LinkSettings
from agent.report.payloads import CommandStatus
from agent.report.topics import CommandName, GateAddress
from agent.settings.broker_url import parse_url

__all__ = ["MqttNudge", "Nudge", "Told"]

_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the word to one gate.

    Attributes:
        gate: its name at the site.
        error: why it does not know yet, one line; empty where it answered.
    """

    gate: str
    error: str = ""


class Nudge(Protocol):
    """Who tells the gates."""

    def tell(self) -> tuple[Told, ...]:
        """Tell all gates that joined; never raises for one that cannot be told."""


class MqttNudge:
    """Tells them over the broker of the settings.

    Args:
        desk: whose gates.
        timeout_s: for how long a gate is waited for.
    """

    def __init__(self, desk: Desk, *, timeout_s: float = 2.0) -> None:
        self._desk = desk
        self._timeout_s = timeout_s

    def tell(self) -> tuple[Told, ...]:
        """Send `update` to every gate that joined, and wait for each one's answer."""
        names = self._joined()
        if not names:
            return ()
        try:
            signer = OperatorSigner.from_file(self._desk.settings.path(NUDGE_KEY))
            link = self._link()
        except OSError as error:
            return tuple(Told(name, f"{error.filename}: {error.strerror}") for name in names)
        except ValueError as error:
            return tuple(Told(name, str(error)) for name in names)
        end = time.monotonic() + 2 * self._timeout_s

        def one(name: str) -> Told:
            if time.monotonic() > end:
                return Told(name, "not tried: the gates before it took too long")
            return Told(name, self._send(link, signer, name))

        with ThreadPoolExecutor(max_workers=min(_AT_ONCE, len(names))) as pool:
            return tuple(pool.map(one, names))

    def _joined(self) -> list[str]:
        joined = sa.select(gates.c.name).where(gates.c.joined_at.is_not(None))
        with self._desk.store.read() as connection:
            return list(connection.execute(joined.order_by(gates.c.name)).scalars())

    def _send(self, link: LinkSettings, signer: OperatorSigner, name: str) -> str:
        gate = GateAddress(self._desk.settings.place.site, name)
        # Each connection has a name of its own: a broker ends the older of two that share one.
        own = f"{link.client_id}-{secrets.token_hex(4)}"
        settings = LinkSettings(
            host=link.host, port=link.port, tls=link.tls, client_id=own, ca_file=link.ca_file,
            cert_file=link.cert_file, key_file=link.key_file, session_expiry_s=0,
        )  # fmt: skip
        try:
            answer = send_command(
                settings, signer, CommandName.UPDATE, gate, {}, timeout_s=self._timeout_s
            )
        except LinkError as error:
            return str(error)
        if answer is None:
            return "no answer; it will look for itself"
        return "" if answer.status is CommandStatus.SUCCEEDED else answer.error or answer.status

    def _link(self) -> LinkSettings:
        settings = self._desk.settings
        host, port, tls = parse_url(settings.broker.url)
        ca, certificate, key = (
            settings.path(name) if name else None
            for name in (settings.broker.ca, settings.broker.certificate, settings.broker.key)
        )
        return LinkSettings(
            host=host, port=port, tls=tls, client_id="idgate--desk", ca_file=ca,
            cert_file=certificate, key_file=key,
        )  # fmt: skip
