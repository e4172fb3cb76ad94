"""Signs commands and desired configurations, sends them, waits for the gate's answer.

Rules: a fresh request id for each; issued now, expiring with the signature's five seconds also at
the broker (MQTT 5 message expiry); never retained. The wait begins before the command is sent.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agent.credential.keys import public_key_kid
from agent.credential.numbers import Header
from agent.issuing.issue import sign1
from agent.issuing.keys import SigningKey
from agent.report import payloads
from agent.report.commands import COMMAND_TYPE, LIFETIME_S, claims
from agent.report.desired import CONFIG_TYPE, desired_claims
from agent.report.link import (
    Connected,
    Delivered,
    Link,
    LinkError,
    LinkSettings,
    Lost,
    Message,
    Received,
)
from agent.report.topics import CommandName, GateAddress

__all__ = ["OperatorSigner", "send_command", "send_desired"]

_T = TypeVar("_T", payloads.Response, payloads.Reported)
_REFUSAL = 128
_IN_PROGRESS = (payloads.CommandStatus.QUEUED, payloads.CommandStatus.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class OperatorSigner:
    """An operator's private key.

    Attributes:
        key: the key.
        kid: its id in the trust set; by default that of its public key.
    """

    key: SigningKey
    kid: bytes

    @classmethod
    def from_pem(cls, pem: bytes, kid: bytes | None = None) -> OperatorSigner:
        """Load a private key (PKCS #8 PEM).

        Raises:
            ValueError: no such key.
        """
        key = SigningKey.from_pem(pem)
        return cls(key, kid or public_key_kid(key.public))

    @classmethod
    def from_file(cls, file: Path, kid: bytes | None = None) -> OperatorSigner:
        """Load a private key (PEM).

        Raises:
            OSError: the file cannot be read.
            ValueError: no such key.
        """
        key = SigningKey.from_file(file)
        return cls(key, kid or public_key_kid(key.public))

    def sign(self, payload: Mapping[Any, Any], content: str) -> bytes:
        """Return a COSE_Sign1 whose protected header says what it is."""
        return sign1(self.key, payload, kid=self.kid, header={Header.TYP: content})

    def command(
        self,
        name: CommandName,
        gate: GateAddress,
        arguments: Mapping[str, Any],
        *,
        now: float,
        request_id: bytes | None = None,
    ) -> Message:
        """Return a signed command as a message."""
        payload = claims(
            name,
            gate,
            request_id=request_id or secrets.token_bytes(16),
            issued_at=int(now),
            arguments=arguments,
        )
        return Message(
            gate.topic(f"cmd/{name}"),
            self.sign(payload, COMMAND_TYPE),
            expiry_s=LIFETIME_S,
            content_type="application/cose",
        )

    def replay(self, gate: GateAddress, boot_id: str, first: int, last: int) -> Message:
        """Return a replay command made now, for the collector."""
        arguments = {"boot_id": boot_id, "from": first, "to": last}
        return self.command(CommandName.REPLAY, gate, arguments, now=time.time())


def send_command(
    settings: LinkSettings,
    signer: OperatorSigner,
    name: CommandName,
    gate: GateAddress,
    arguments: Mapping[str, Any],
    *,
    timeout_s: float = 10.0,
) -> payloads.Response | None:
    """Send one command and return the last answer that came, or None.

    Raises:
        LinkError: the broker is not there, refuses us, or goes away.
    """
    request_id = secrets.token_bytes(16)
    last: payloads.Response | None = None

    def make() -> Message:
        return signer.command(name, gate, arguments, now=time.time(), request_id=request_id)

    for payload in _exchange(settings, gate.topic(f"rsp/{name}"), make, timeout_s):
        answer = _read(payload, payloads.Response)
        # Others' answers and noise pass by.
        if answer is not None and answer.transaction == request_id.hex():
            last = answer
            if answer.status not in _IN_PROGRESS:
                break
    return last


def send_desired(
    settings: LinkSettings,
    signer: OperatorSigner,
    gate: GateAddress,
    values: Mapping[str, Any],
    *,
    version: int,
    timeout_s: float = 10.0,
) -> payloads.Reported | None:
    """Publish a desired configuration, retained; return the gate's word on it, or None.

    A gate that is away takes it when it comes back.

    Raises:
        LinkError: the broker is not there, refuses us, or goes away.
    """

    def make() -> Message:
        wanted = desired_claims(gate, version=version, values=values, issued_at=int(time.time()))
        return Message(
            gate.topic("config/desired"),
            signer.sign(wanted, CONFIG_TYPE),
            retain=True,
            content_type="application/cose",
        )

    for payload in _exchange(settings, gate.topic("config/reported"), make, timeout_s):
        report = _read(payload, payloads.Reported)
        if report is not None and version in (report.version, report.rejected_version):
            return report
    return None


def _exchange(
    settings: LinkSettings, topic: str, make: Callable[[], Message], timeout_s: float
) -> Iterator[bytes]:
    """Connect, listen on a topic, publish one message, and yield what is heard, for so long."""
    end = time.monotonic() + timeout_s
    link = Link(settings)
    try:
        while time.monotonic() < end:
            link.wait(min(0.2, max(0.0, end - time.monotonic())))
            while link.happenings:
                match link.happenings.popleft():
                    case Connected(code=0):
                        link.subscribe([(topic, 1)])
                        link.publish(make())
                    case Connected(text=text) | Lost(text=text):
                        raise LinkError("refused", text)
                    case Delivered(code=code) if code >= _REFUSAL:
                        why = f"the broker refuses to publish (reason {code}): look at its ACL"
                        raise LinkError("refused", why)
                    case Received(payload=payload):
                        yield payload
                    case _:
                        continue
    finally:
        link.close()


def _read(payload: bytes, kind: type[_T]) -> _T | None:
    """Return the payload as its structure, or None for noise."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except ValueError:
        return None
