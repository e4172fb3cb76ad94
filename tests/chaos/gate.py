"""One gate of the chaos run: the real journal and the real reporter, and decisions by number.

Usage: gate.py JOURNAL SITE GATE BROKER_URL DECISIONS RATE OPERATOR_PEM MQTT_VERSION

Decision number n commits the use `n` with it, in one transaction; after a kill the gate goes on with
the first number whose use is not marked. So each number is decided exactly once, if the journal
keeps its word. Exits 0 when the collector has acknowledged everything.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_public_key

from agent.credential.issuers import Algorithm
from agent.credential.keys import public_key_kid
from agent.journal.events import Decision, Mode
from agent.journal.journal import Journal
from agent.reason import Reason
from agent.report.commands import Command, CommandResult
from agent.report.mqtt import Reporter
from agent.report.payloads import CommandStatus, GateInfo, GateState
from agent.report.seals import SealKey
from agent.report.topics import GateAddress
from agent.report.values import Sources
from agent.settings.model import MqttConfig
from agent.trust.model import OperatorKey


def passage_id(gate: str, number: int) -> str:
    """Return the identity of a decision, the same in every life of the gate."""
    return hashlib.sha256(f"{gate}:{number}".encode()).hexdigest()[:32]


def first_open(journal: Journal, decisions: int) -> int:
    """Return the first number that is not decided yet."""
    low, high = 1, decisions + 1
    while low < high:
        middle = (low + high) // 2
        if journal.was_used(b"%d" % middle):
            low = middle + 1
        else:
            high = middle
    return low


def main() -> int:
    path, site, gate, broker, decisions, rate, pem, version = sys.argv[1:]
    public_key = load_pem_public_key(Path(pem).read_bytes())
    operator = OperatorKey(
        name="collector",
        kid=public_key_kid(public_key),
        algorithm=Algorithm.ES256,
        public_key=public_key,
        roles=frozenset({"replay"}),
    )
    journal = Journal.open(Path(path), capacity=int(decisions) + 10_000)
    journal.append(Mode(mode="normal", cause="start"))
    info = GateInfo(
        version="chaos", site=site, gate=gate, profile="railway", direction="in",
        boot_id=journal.boot_id, started_at=time.time(),
    )  # fmt: skip
    reporter = Reporter(
        MqttConfig(url=broker, keepalive_s=10, version="5" if version == "5" else "3.1.1"),
        journal,
        GateAddress(site, gate),
        Sources(lambda: info, lambda: GateState(mode="normal"), dict, time.time, time.time),
        operator={operator.kid: operator}.get,
        on_command=refuse,
        key=SealKey.load_or_create(Path(f"{path}.key")),
    )
    reporter.start()
    number = first_open(journal, int(decisions))
    due = time.monotonic()
    while number <= int(decisions):
        journal.commit_use(
            b"%d" % number,
            2**40,
            Decision(
                passage=passage_id(gate, number), decision="granted", reason=Reason.GRANTED,
                format="native", kind="rail-ticket", zone="main", direction="in",
            ),
        )  # fmt: skip
        number += 1
        due = max(due + 1 / float(rate), time.monotonic() - 0.5)
        time.sleep(max(0.0, due - time.monotonic()))
    while journal.unacknowledged():
        time.sleep(0.05)
    reporter.close()
    journal.close()
    return 0


def refuse(_command: Command) -> CommandResult:
    return CommandResult(CommandStatus.FAILED, error="not in this test")


if __name__ == "__main__":
    sys.exit(main())
