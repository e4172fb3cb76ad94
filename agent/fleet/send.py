"""Signs a command and sends it; waits for the answer with the same transaction.

Rules: a fresh request id for each; issued now, expiring with the signature's five seconds also at
the broker (MQTT 5 message expiry); never retained. The wait begins before the command is sent.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.credential.keys import public_key_kid
from agent.credential.numbers import Header
from agent.issue import sign1
from agent.issue_keys import SigningKey
from agent.report import payloads
from agent.report.commands import COMMAND_TYPE, LIFETIME_S, claims
from agent.report.link import Connected, Link, LinkError, LinkSettings, Lost, Message, Received
from agent.report.topics import CommandName, GateAddress

__all__ = ["OperatorSigner", "send_command"]

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
    end = time.monotonic() + timeout_s
    link = Link(settings)
    last: payloads.Response | None = None
    try:
        while time.monotonic() < end:
            link.wait(min(0.2, max(0.0, end - time.monotonic())))
            while link.happenings:
                match link.happenings.popleft():
                    case Connected(code=0):
                        link.subscribe([(gate.topic(f"rsp/{name}"), 1)])
                        message = signer.command(
                            name, gate, arguments, now=time.time(), request_id=request_id
                        )
                        link.publish(message)
                    case Connected(text=text) | Lost(text=text):
                        raise LinkError("refused", text)
                    case Received(payload=payload):
                        answer = _answer(payload, request_id)
                        if answer is not None:
                            last = answer
                        if answer is not None and answer.status not in _IN_PROGRESS:
                            return answer
                    case _:
                        continue
    finally:
        link.close()
    return last


def _answer(payload: bytes, request_id: bytes) -> payloads.Response | None:
    """Return the response if it is ours; others' answers and noise pass by."""
    try:
        response = msgspec.json.decode(payload, type=payloads.Response)
    except ValueError:
        return None
    return response if response.transaction == request_id.hex() else None
