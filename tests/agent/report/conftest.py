"""Helpers of the report room's tests: operator keys, a reporter on a real broker, a listener."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.fleet.memory import MemoryOutbox
from agent.fleet.send import OperatorSigner
from agent.issuing.keys import SigningKey
from agent.report.commands import claims
from agent.report.link import Link, LinkSettings, Message, Received
from agent.report.mqtt import Reporter
from agent.report.payloads import GateInfo, GateState
from agent.report.topics import CommandName, GateAddress
from agent.report.values import Sources
from agent.settings.model import MqttConfig
from agent.trust.model import COMMAND_ROLES, OperatorKey

GATE = GateAddress("station", "gate-1")


@dataclass
class Operator:
    """An operator with a private key, and what the gate knows of it."""

    signer: OperatorSigner
    key: OperatorKey

    @classmethod
    def new(cls, algorithm: str = "ES256", roles=COMMAND_ROLES, **more) -> Operator:
        private = SigningKey.new(algorithm)
        signer = OperatorSigner(private, secrets.token_bytes(8))
        key = OperatorKey(
            name="control-room", kid=signer.kid, algorithm=private.algorithm,
            public_key=private.public, roles=frozenset(roles), **more,
        )  # fmt: skip
        return cls(signer, key)

    def lookup(self, kid: bytes) -> OperatorKey | None:
        return self.key if kid == self.key.kid else None

    def payload(
        self, name="open", *, gate=GATE, issued_at=0, request=b"12345678", lifetime_s=5, arguments=None,
    ) -> dict:  # fmt: skip
        return claims(
            CommandName(name), gate, request_id=request, issued_at=issued_at,
            arguments=arguments or {}, lifetime_s=lifetime_s,
        )  # fmt: skip


@dataclass
class Listener:
    """A plain subscriber that remembers what it heard."""

    link: Link
    heard: list[Received] = field(default_factory=list)

    def until(self, what: Callable[[], object], timeout_s: float = 10.0):
        """Wait for a condition; the wait ends as soon as it holds."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            found = what()
            if found:
                return found
            self.link.wait(0.02)
            while self.link.happenings:
                happening = self.link.happenings.popleft()
                if isinstance(happening, Received):
                    self.heard.append(happening)
        raise AssertionError(f"did not happen; heard {[m.topic for m in self.heard][-20:]}")

    def on(self, path: str, gate: GateAddress = GATE) -> list[Received]:
        return [message for message in self.heard if message.topic == gate.topic(path)]

    def wait_for(self, path: str, *, count: int = 1, timeout_s: float = 10.0) -> list[Received]:
        return self.until(lambda: len(found := self.on(path)) >= count and found, timeout_s)

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.link.publish(Message(topic, payload, retain=retain))


def settings(url_port: int, client_id: str, **more) -> LinkSettings:
    more.setdefault("session_expiry_s", 0)
    return LinkSettings(host="127.0.0.1", port=url_port, tls=False, client_id=client_id, **more)


@pytest.fixture
def operator() -> Operator:
    return Operator.new()


@pytest.fixture
def make_operator() -> Callable[..., Operator]:
    return Operator.new


@pytest.fixture
def listen(mosquitto) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def connect(broker, *filters: str, **more) -> Listener:
        listener = Listener(Link(settings(broker.port, f"listener-{len(made)}", **more)))
        made.append(listener)
        listener.until(lambda: listener.link.fileno() >= 0)
        listener.link.wait(5)
        mid = listener.link.subscribe([(each, 1) for each in filters or ("#",)])
        listener.until(lambda: mid)
        return listener

    yield connect
    for listener in made:
        listener.link.close()


@pytest.fixture
def report(tmp_path: Path) -> Iterator[Callable[..., tuple[Reporter, MemoryOutbox]]]:
    """Return a maker of started reporters over an outbox in memory."""
    made: list[Reporter] = []

    def start(broker, *, gate=GATE, outbox=None, config=None, state=None, **more):
        outbox = outbox or MemoryOutbox(time.time)
        info = GateInfo(
            version="1", site=gate.site, gate=gate.gate, profile="railway", direction="in",
            boot_id=outbox.boot_id, started_at=0.0,
        )  # fmt: skip
        sources = Sources(
            lambda: info, state or (lambda: GateState(mode="normal")), lambda: {"granted": 1.0},
            time.time, time.time,
        )  # fmt: skip
        more.setdefault("on_fault", lambda _fault: None)
        reporter = Reporter(
            MqttConfig(**({"url": broker.url} if broker else {}), **(config or {})),
            outbox,
            gate,
            sources,
            **more,
        )
        made.append(reporter)
        reporter.start()
        return reporter, outbox

    yield start
    for reporter in made:
        reporter.close()
