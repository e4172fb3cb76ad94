"""docs/fleet.md with a real gate: documented broker, collector, operator and commands, as written."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from agent.cli import main
from agent.issuing.issue import Issuer, new_issuer, present, sign_credential
from agent.issuing.keys import SigningKey
from agent.journal.journal import Journal
from agent.journal.subjects import SubjectHasher, load_or_create_key
from agent.report.topics import GateAddress
from tests.conftest import Mosquitto
from tests.support.databases import edited
from tests.support.gate_on_disk import DAY, RELAY, GateOnDisk, until
from tests.support.paths import ROOT
from tests.support.trust_sets import GateCache, Publisher

DOCS = ROOT / "docs"
ROLES = ["open", "close", "mode", "update", "reload", "replay", "identify", "config"]
GATE = GateAddress("s", "g")
RELAY_OUT = 20
pytestmark = pytest.mark.broker


@dataclass
class Page:
    """Everything that the page sets up."""

    gate: GateOnDisk
    broker: Mosquitto
    publisher: Publisher
    cache: GateCache
    late: Issuer

    @property
    def certs(self) -> Path:
        return self.gate.path / "certs"

    def tls(self, name: str) -> list[str]:
        """Return the options with which the page calls `idgate fleet`."""
        return [
            "--broker", f"mqtts://127.0.0.1:{self.broker.port}", "--ca", f"{self.certs}/ca.crt",
            "--cert", f"{self.certs}/{name}.crt", "--cert-key", f"{self.certs}/{name}.key",
        ]  # fmt: skip

    def send(self, *words: str) -> int:
        time.sleep(1.1)  # a command of the second in which the gate connected is refused
        key = ["--key", str(self.gate.path / "operator.pem")]
        return main(["fleet", "send", *self.tls("control-room"), *key, "s/g", *words])

    def collect(self) -> subprocess.Popen[bytes]:
        with (self.gate.path / "collector.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable, "-m", "agent.cli", "fleet", "collect",
                    *self.tls("collector"), "--database", str(self.gate.path / "fleet.sqlite"),
                    "--key", str(self.gate.path / "operator.pem"),
                ],
                stdout=log, stderr=log, cwd=DOCS.parent,
            )  # fmt: skip
        self.gate.processes.append(process)
        return process

    def stored(self) -> list[dict]:
        path = self.gate.path / "fleet.sqlite"
        if not path.exists():
            return []
        with edited(path) as database:
            try:
                rows = database.execute("SELECT type, data FROM event ORDER BY seq").fetchall()
            except sqlite3.OperationalError:  # the collector has made no table yet
                return []
        return [json.loads(data) for kind, data in rows if kind == "decision"]

    def unacknowledged(self) -> int:
        with edited(self.gate.path / "state" / "journal.sqlite") as journal:
            (waiting,) = journal.execute(
                "SELECT count(*) FROM event JOIN boot ON boot.number = event.boot"
                " WHERE seq > acknowledged"
            ).fetchone()
        return int(waiting)

    def code_of(self, issuer: Issuer) -> str:
        now = int(time.time())
        credential = sign_credential(
            issuer, self.gate.holder, subject="9", issued_at=now - DAY, valid_until=now + DAY,
            kind="library-card",
        )  # fmt: skip
        return present(credential, self.gate.holder, at=now)


@pytest.fixture
def page(gate: GateOnDisk, mosquitto: Callable, free_port: int) -> Iterator[Page]:
    clients = ("g", "collector", "monitor", "control-room")
    script = DOCS / "fleet" / "certificates.sh"
    certs = gate.path / "certs"
    subprocess.run([script, certs, "127.0.0.1", *clients], check=True, capture_output=True)
    etc = gate.path / "etc"
    shutil.copytree(certs, etc / "certs")
    shutil.copy(DOCS / "fleet" / "acl", etc / "acl")
    text = (DOCS / "fleet" / "mosquitto.conf").read_text()
    text = text.replace("/etc/mosquitto", str(etc))
    # The fixture's own plain listener stands first; only the documented one is used.
    broker = mosquitto("allow_anonymous false\n" + text.replace("8883", f"{free_port} 127.0.0.1"))
    broker.port = free_port

    key = SigningKey.new("ES256")
    (gate.path / "operator.pem").write_bytes(key.private_pem())
    publisher = Publisher(gate.path / "repo")
    publisher.repository.add("issuers/lib.pem", gate.issuer.key.public_pem())
    publisher.repository.add("issuers/lib.toml", gate.issuer.trust_toml().encode())
    publisher.repository.add("operators/ops.pem", key.public_pem())
    publisher.repository.add("operators/ops.toml", f"operator = true\nroles = {ROLES}\n".encode())
    publisher.publish()
    cache = GateCache(gate.path / "cache", publisher.first_root)
    cache.update(gate.path / "repo")
    # As systemd's LoadCredential leaves it: the key in a directory of its own.
    secrets = gate.path / "credentials"
    secrets.mkdir()
    shutil.copy(certs / "g.key", secrets / "gate.key")
    gate.write(
        gate='direction = "both"',
        gpio=f"relay_out = {RELAY_OUT}\npassage_2 = 12",
        trust='directory = "cache"\nsigned = true\nurl = "repo"',
        journal="rotate_subjects = true",
        mqtt=f'url = "mqtts://127.0.0.1:{free_port}"\nca_file = "certs/ca.crt"\n'
        'cert_file = "certs/g.crt"\nkey_file = "gate.key"\nmetrics_s = 1.0',
    )
    os.environ["CREDENTIALS_DIRECTORY"] = str(secrets)
    yield Page(gate, broker, publisher, cache, new_issuer("late", "ES256"))
    del os.environ["CREDENTIALS_DIRECTORY"]


def test_the_page_as_written(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    gate, board = page.gate, page.gate.board
    page.collect()
    gate.run()
    gate.ready()
    gate.show(gate.code())
    until(page.stored, "collected")
    (stored,) = page.stored()
    gate.show()
    key = load_or_create_key(gate.path / "state" / "subject.key")
    today = SubjectHasher(key, rotate_daily=True)
    assert stored["subject"] == today.reported("lib", "4711", at=time.time())
    until(lambda: page.unacknowledged() == 0, "acknowledged, once stored")

    until(lambda: not board.level(RELAY), "at rest")
    assert page.send("open", "direction=out") == 0
    until(lambda: board.level(RELAY_OUT), "the way out open")
    assert not board.level(RELAY)
    assert page.send("open") == 1
    assert "gate_busy" in capsys.readouterr().out
    assert page.send("open", "direction=up") == 1
    assert page.send("mode", "mode=lock") == 1
    told = capsys.readouterr().out
    assert "direction=out" in told
    assert "one of normal, free, locked, maintenance" in told
    assert page.send("close") == 0
    until(lambda: not board.level(RELAY_OUT), "closed")
    assert page.send("identify") == 0
    (boot,) = {row[0] for row in gate.rows()}
    assert page.send("replay", f"boot_id={boot}", "from=1", "to=2") == 0
    assert page.send("reload") == 0

    gate.show(page.code_of(page.late))
    until(lambda: gate.decisions()[-1]["reason"] == "unknown_issuer", "unknown yet")
    gate.show()
    page.publisher.repository.add("issuers/late.pem", page.late.key.public_pem())
    page.publisher.publish()
    assert page.send("update") == 0
    until(lambda: "late" in page.cache.issuers(), "fetched")
    time.sleep(0.5)  # from the disk into the judge
    gate.show(page.code_of(page.late))
    until(lambda: gate.decisions()[-1]["decision"] == "granted", "known after the update")

    capsys.readouterr()
    assert main(["fleet", "watch", *page.tls("monitor"), "--once"]) == 0
    assert "s/g" in capsys.readouterr().out
    assert main(["fleet", "watch", *page.tls("monitor"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["gate"], shown["status"], shown["state"]["gate"]["mode"]) == (
        "g", "online", "normal",
    )  # fmt: skip
    assert page.send("--json", "close") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "SUCCEEDED"
    table = gate.path / "events.csv"
    database = ["--database", str(gate.path / "fleet.sqlite")]
    assert main(["fleet", "export", *database, "--csv", str(table)]) == 0
    assert len(table.read_text().splitlines()) > len(page.stored())
    assert b"4711" not in table.read_bytes()


def test_metrics_come_every_so_often_and_a_frozen_broker_holds_nothing_up(
    gate: GateOnDisk, mosquitto: Callable
) -> None:
    """SIGSTOP: connections stay open and nothing is answered; the gate goes on all the same."""
    broker = mosquitto()
    gate.write(mqtt=f'url = "{broker.url}"\nmetrics_s = 1.0\nkeepalive_s = 5')
    heard: list[dict] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _c, _u, message: heard.append(json.loads(message.payload))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe(GATE.topic("metrics"))
    gate.run()
    gate.ready()
    until(lambda: len(heard) >= 3, "three of them")
    times = [each["at"] for each in heard[:3]]
    assert all(0.9 < later - sooner < 20 for sooner, later in itertools.pairwise(times))
    assert any(0 < each["gate"]["gate_late_ms"] < 1_000 for each in heard)
    client.loop_stop()
    assert broker._process is not None
    broker._process.send_signal(signal.SIGSTOP)
    try:
        gate.show(gate.code())
        until(lambda: gate.openings() == 1, "a grant")
        gate.show()
        until(lambda: not gate.board.level(RELAY), "its end")
        gate.processes[-1].send_signal(signal.SIGTERM)
        assert gate.processes[-1].wait(40) == 0
    finally:
        broker._process.send_signal(signal.SIGCONT)
    with Journal.open(gate.path / "state" / "journal.sqlite") as journal:
        assert journal.unacknowledged() == len(gate.rows()) > 0


def test_name_and_password_come_from_the_service_manager_and_may_be_renewed(
    gate: GateOnDisk, mosquitto: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MQTT 3.1.1, where a refusal is a return code and nothing else."""
    passwords = gate.path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-c", "-b", passwords, "gate-g", "right"],
        check=True, capture_output=True,
    )  # fmt: skip
    broker = mosquitto(f"allow_anonymous false\npassword_file {passwords}")
    secrets = gate.path / "credentials"
    secrets.mkdir()
    (secrets / "mqtt-password").write_text("wrong\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secrets))
    gate.write(
        mqtt=f'url = "{broker.url}"\nversion = "3.1.1"\nusername = "gate-g"\n'
        'password_file = "mqtt-password"'
    )
    gate.run()
    gate.ready()

    def faults() -> list[tuple[str, bool]]:
        told = [json.loads(row[3]) for row in gate.rows() if row[2] == "fault"]
        return [(fault["code"], fault.get("active", True)) for fault in told]

    until(lambda: ("refused", True) in faults(), "the refusal told")
    (secrets / "mqtt-password").write_text("right\n")
    until(lambda: " as idgate-s-g " in broker.log() and "u'gate-g'" in broker.log(), "in", 40)
    assert "right" not in gate.log()
    assert "wrong" not in gate.log()
