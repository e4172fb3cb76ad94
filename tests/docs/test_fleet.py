"""docs/fleet.md works as written: its broker files are run, its queries name real metrics."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from agent.fleet.collector import Collector
from agent.fleet.export import METRICS
from agent.fleet.memory import MemoryOutbox
from agent.fleet.retained import clear_retained
from agent.fleet.send import OperatorSigner, send_command
from agent.fleet.store import EventStore
from agent.issuing.keys import SigningKey
from agent.journal.events import Decision
from agent.reason import Reason
from agent.report.commands import CommandResult
from agent.report.link import Connected, Delivered, Link, LinkError, LinkSettings, Message
from agent.report.mqtt import Reporter
from agent.report.payloads import CommandStatus, GateInfo, GateState
from agent.report.topics import CommandName, GateAddress
from agent.report.values import Sources
from agent.settings.model import MqttConfig
from agent.trust.model import COMMAND_ROLES, OperatorKey
from tests.docs.test_commands import block_lines
from tests.support.paths import ROOT

DOCS = ROOT / "docs"
GATE = GateAddress("station", "gate-1")
EVENT = Decision(passage="ab" * 16, decision="denied", reason=Reason.EXPIRED)
CLIENTS = ("gate-1", "gate-2", "collector", "monitor", "control-room", "caretaker")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    script = DOCS / "fleet" / "certificates.sh"
    for clients in (CLIENTS[:2], CLIENTS):  # the second run adds to the first
        command = [script, directory / "certs", "127.0.0.1", *clients]
        subprocess.run(command, check=True, capture_output=True)
    subprocess.run(
        [script, directory / "foreign", "127.0.0.1", "gate-1"], check=True, capture_output=True
    )
    return directory


def test_the_script_says_what_it_needs(tmp_path):
    script = DOCS / "fleet" / "certificates.sh"
    done = subprocess.run([script, "certs"], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr.split()[:1]) == (2, [b"usage:"])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def broker(mosquitto, certificates, tmp_path):
    """The documented broker, with its paths moved and its port chosen."""
    etc = tmp_path / "etc"
    shutil.copytree(certificates / "certs", etc / "certs")
    shutil.copy(DOCS / "fleet" / "acl", etc / "acl")
    text = (DOCS / "fleet" / "mosquitto.conf").read_text()
    text = text.replace("/etc/mosquitto", str(etc))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert "listener 8883\n" in text
    # The fixture's own plain listener stands first; only the documented one is used. Then what
    # Debian's mosquitto.conf says before it includes conf.d: what may be said once is said.
    debian = f"allow_anonymous false\npersistence true\npersistence_location {tmp_path}/\n"
    found = mosquitto(debian + text.replace("8883", f"{port} 127.0.0.1"))
    found.port = port
    until(lambda: listens(port))
    return found


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def settings(broker, certificates, name: str, *, authority="certs", **more) -> LinkSettings:
    directory = certificates / authority
    return LinkSettings(
        "127.0.0.1", broker.port, tls=True, client_id=f"test-{name}",
        ca_file=certificates / "certs" / "ca.crt", cert_file=directory / f"{name}.crt",
        key_file=directory / f"{name}.key", session_expiry_s=0, **more,
    )  # fmt: skip


def until(what, *steppers, timeout_s=15.0):
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end, "did not happen"
        for step in steppers:
            step()
        time.sleep(0.005)
    return found


def publish_code(link: Link, topic: str) -> int:
    """Publish and return the broker's reason code."""
    link.publish(Message(topic, b"x"))
    return until(
        lambda: [each.code for each in link.happenings if isinstance(each, Delivered)],
        lambda: link.wait(0.05),
    )[-1]


@pytest.mark.broker
def test_gate_collector_and_operator_work_with_the_documented_files(broker, certificates, tmp_path):
    signer = OperatorSigner(SigningKey.new("ES256"), b"operator")
    key = OperatorKey(
        name="control", kid=signer.kid, algorithm=signer.key.algorithm,
        public_key=signer.key.public, roles=COMMAND_ROLES,
    )  # fmt: skip
    outbox = MemoryOutbox(time.time)
    info = GateInfo(
        version="1", site="station", gate="gate-1", profile="railway", direction="in",
        boot_id=outbox.boot_id, started_at=0.0,
    )  # fmt: skip
    reporter = Reporter(
        MqttConfig(
            url=f"mqtts://127.0.0.1:{broker.port}", ca_file="certs/ca.crt",
            cert_file="certs/gate-1.crt", key_file="certs/gate-1.key",
        ),
        outbox,
        GATE,
        Sources(lambda: info, lambda: GateState(mode="normal"), dict, time.time, time.time),
        base_dir=certificates,
        operator={key.kid: key}.get,
        on_command=lambda _: CommandResult(CommandStatus.SUCCEEDED),
    )  # fmt: skip
    store = EventStore(str(tmp_path / "fleet.sqlite"))
    collector = Collector(settings(broker, certificates, "collector", manual_ack=True), store)
    reporter.start()
    try:
        until(lambda: "$share/collectors" in broker.log(), lambda: collector.step(0.05))
        outbox.append(EVENT)
        until(lambda: store.count() == 1, lambda: collector.step(0.05))
        until(lambda: outbox.unacknowledged() == 0, lambda: collector.step(0.05))
        until(
            lambda: (
                reporter.health().connected and int(time.time()) > reporter._engine._connected_at
            )
        )
        until_s = reporter.broker_until
        assert until_s is not None
        assert 800 < (until_s - time.time()) / 86_400 < 826  # as certificates.sh makes it
        answer = send_command(
            settings(broker, certificates, "control-room"), signer, CommandName.OPEN, GATE, {}
        )
        assert answer.status is CommandStatus.SUCCEEDED
        monitor = settings(broker, certificates, "monitor")
        with pytest.raises(LinkError, match="refuses to publish"):
            send_command(monitor, signer, CommandName.OPEN, GATE, {})
        assert reporter.health().faults == ()
    finally:
        reporter.close()
        collector.run(lambda: True)
        store.close()


ALLOWED, DENIED = {0, 16}, {135}


@pytest.mark.broker
@pytest.mark.parametrize(
    ("name", "topic", "expected"),
    [
        ("gate-1", "gates/v1/station/gate-1/status", ALLOWED),
        ("gate-1", "gates/v1/elsewhere/gate-1/event/decision", ALLOWED),
        ("gate-1", "gates/v1/station/gate-2/status", DENIED),
        ("gate-1", "gates/v1/station/gate-1/ack", DENIED),
        ("gate-1", "gates/v1/station/gate-1/cmd/open", DENIED),
        ("gate-1", "gates/v1/station/gate-2/cmd/open", DENIED),
        ("gate-1", "gates/v1/station/gate-1/config/desired", DENIED),
        ("collector", "gates/v1/station/gate-1/ack", ALLOWED),
        ("collector", "gates/v1/station/gate-1/cmd/replay", ALLOWED),
        ("collector", "gates/v1/station/gate-1/cmd/open", DENIED),
        ("collector", "gates/v1/station/gate-1/event/decision", DENIED),
        ("monitor", "gates/v1/station/gate-1/ack", DENIED),
        ("monitor", "gates/v1/station/gate-1/cmd/open", DENIED),
        ("control-room", "gates/v1/station/gate-1/cmd/open", ALLOWED),
        ("control-room", "gates/v1/station/gate-1/config/desired", ALLOWED),
        ("control-room", "gates/v1/station/gate-1/event/decision", DENIED),
        ("control-room", "gates/v1/station/gate-1/status", DENIED),
        ("caretaker", "gates/v1/station/gate-1/event/decision", DENIED),
        ("caretaker", "gates/v1/station/gate-1/cmd/open", DENIED),
    ],
)
def test_who_may_write_what(broker, certificates, name, topic, expected):
    link = Link(settings(broker, certificates, name))
    until(
        lambda: any(isinstance(each, Connected) for each in link.happenings),
        lambda: link.wait(0.05),
    )
    assert publish_code(link, topic) in expected
    link.close()


@pytest.mark.broker
def test_a_caretaker_may_clear_all_that_a_gate_leaves(broker, certificates):
    clear_retained(settings(broker, certificates, "caretaker"), GATE)
    with pytest.raises(LinkError, match=r"lets us not clear .* see its ACL"):
        clear_retained(settings(broker, certificates, "monitor"), GATE)


@pytest.mark.broker
def test_strangers_do_not_get_in(broker, certificates):
    good = settings(broker, certificates, "gate-1")
    for wrong in (
        replace(good, cert_file=None, key_file=None),
        settings(broker, certificates, "gate-1", authority="foreign"),
    ):
        # With TLS 1.3 the refusal may come after the client believes the handshake done.
        try:
            link = Link(wrong)
        except LinkError as error:
            refused = error.code in ("tls", "unreachable")
        else:
            until(lambda link=link: link.fileno() < 0, lambda link=link: link.wait(0.05))
            refused = not any(isinstance(each, Connected) for each in link.happenings)
        assert refused


@pytest.mark.broker
def test_a_server_of_another_authority_is_refused(broker, certificates):
    wrong = replace(
        settings(broker, certificates, "gate-1"), ca_file=certificates / "foreign" / "ca.crt"
    )
    with pytest.raises(LinkError) as caught:
        Link(wrong)
    assert caught.value.code == "tls"
    named = replace(settings(broker, certificates, "gate-1"), host="localhost")
    with pytest.raises(LinkError, match=r"(?i)hostname|CERTIFICATE"):
        Link(named)


WORDS = {
    "sum", "count", "rate", "delta", "by", "vector", "or", "label_values",
}  # fmt: skip
LABELS = {"site", "gate", "mode", "problem", "decision", "reason", "version", "profile", "le"}


def check_query(query: str) -> None:
    """Every name in a query is a metric that the exporter has, a label or a function."""
    bare = re.sub(r'"[^"]*"', '""', query)
    names = set(re.findall(r"[a-zA-Z_][a-zA-Z0-9_]*", re.sub(r"\[\d+[smhd]\]", "", bare)))
    metrics = {name for name in names if name.startswith("idgate")}
    assert metrics, query
    assert metrics <= METRICS.keys(), metrics - METRICS.keys()
    assert names - metrics <= WORDS | LABELS, names - metrics
    assert bare.count("(") == bare.count(")")
    assert bare.count("{") == bare.count("}")


def test_alert_rules_ask_for_metrics_that_exist():
    (group,) = yaml.safe_load((DOCS / "fleet" / "alerts.yml").read_text())["groups"]
    assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"]) >= 8
    for rule in group["rules"]:
        check_query(rule["expr"])
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]


def test_the_dashboard_asks_for_metrics_that_exist():
    board = json.loads((DOCS / "fleet" / "dashboard.json").read_text())
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [each["query"] for each in board["templating"]["list"] if each["type"] == "query"]
    for query in queries:
        check_query(query)
    used = {name for query in queries for name in re.findall(r"idgate_\w+", query)}
    assert used >= {"idgate_up", "idgate_decisions_total", "idgate_outbox_rows"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_agrees(tmp_path):
    """Prometheus' own parser reads the alerts, and the dashboard's queries as recording rules."""
    board = json.loads((DOCS / "fleet" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = tmp_path / "dashboard.yml"
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$\w+", "1m", query)}
        for number, query in enumerate(queries)
    ]
    asked.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    for path in (DOCS / "fleet" / "alerts.yml", asked):
        done = subprocess.run(
            ["promtool", "check", "rules", path], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_command_line_of_the_pages_is_one_that_the_command_takes():
    seen = []
    for page in sorted(DOCS.glob("*.md")):
        for command, *words in block_lines(page):
            if command not in ("fleet", "gate") and page.name != "fleet.md":
                continue
            seen.append((page.name, command, words[0]))
            parser = argparse.ArgumentParser(prog=f"{page.name}: idgate {command}")
            importlib.import_module(f"agent.commands.{command}").add_arguments(parser)
            taken = parser.parse_args(words)
            # The default is a broker without a name on this machine: no page's.
            assert getattr(taken, "broker", "") != "mqtt://localhost:1883" or taken.action in (
                "simulate", "export",
            ), words  # fmt: skip
    actions = {action for page, command, action in seen if (page, command) == ("fleet.md", "fleet")}
    assert actions == {
        "collect", "watch", "export", "verify", "gates", "accept", "retire", "rename", "send",
        "configure",
    }  # fmt: skip
    assert ("fleet.md", "gate", "key") in seen


def test_the_page_names_files_that_are_there():
    text = (DOCS / "fleet.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (DOCS / link).exists(), link
    for path in re.findall(r"docs/fleet/[\w.]+", text):
        assert (DOCS.parent / path).exists(), path
