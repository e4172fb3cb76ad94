"""The collector, the simulator and the commands, against a real Mosquitto."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import pytest

from agent import cli
from agent.commands import fleet
from agent.fleet.collector import Collector
from agent.fleet.live import FleetView, Viewer
from agent.fleet.memory import MemoryOutbox
from agent.fleet.send import OperatorSigner, send_command
from agent.fleet.simulate import simulate
from agent.fleet.store import BootKey, EventStore, Gap, StoredEvent
from agent.fleet.watch import dashboard
from agent.issuing.keys import SigningKey
from agent.journal.events import Decision, Fault
from agent.journal.model import Position
from agent.reason import Reason
from agent.report.cloudevents import encode_event, source
from agent.report.commands import CommandResult
from agent.report.desired import DesiredConfig
from agent.report.link import Link, LinkSettings, Message, Received
from agent.report.mqtt import Reporter
from agent.report.payloads import CommandStatus, GateInfo, GateState
from agent.report.seals import SealKey
from agent.report.topics import CommandName, GateAddress
from agent.report.values import Sources
from agent.settings.model import Config, GateConfig, MqttConfig
from agent.trust.model import COMMAND_ROLES, OperatorKey
from tests.support.databases import edited
from tests.support.paths import ROOT

pytestmark = pytest.mark.broker
GATE = GateAddress("station", "gate-1")
EVENT = Decision(passage="ab" * 16, decision="denied", reason=Reason.EXPIRED)
KEY = SealKey.new()


def link_settings(broker, client_id: str, **more) -> LinkSettings:
    more.setdefault("session_expiry_s", 0)
    return LinkSettings("127.0.0.1", broker.port, tls=False, client_id=client_id, **more)


def collector_for(broker, store, **more) -> Collector:
    settings = link_settings(broker, "collector", manual_ack=True, session_expiry_s=3_600)
    return Collector(settings, store, **more)


def run_until(what, *steppers, timeout_s: float = 15.0):
    end = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < end, "did not happen"
        for step in steppers:
            step.step(0.02)
        if not steppers:
            time.sleep(0.01)
    return found


class Wire:
    """A bare client that says what it is told and remembers what it hears."""

    def __init__(self, broker, *filters: str) -> None:
        self.link = Link(link_settings(broker, f"wire-{id(self)}"))
        self.heard: list[Received] = []
        self.link.wait(5)
        if filters:
            self.link.subscribe([(each, 1) for each in filters])
        self.step(0.1)

    def step(self, timeout_s: float) -> None:
        self.link.wait(timeout_s)
        while self.link.happenings:
            happening = self.link.happenings.popleft()
            if isinstance(happening, Received):
                self.heard.append(happening)

    def say(self, topic: str, payload: bytes) -> None:
        self.link.publish(Message(topic, payload))


@pytest.fixture
def store(tmp_path):
    store = EventStore(str(tmp_path / "fleet.sqlite"))
    yield store
    store.close()


def rows(count: int):
    outbox = MemoryOutbox(time.time)
    for _ in range(count):
        outbox.append(EVENT)
    return outbox, outbox.pending(after=Position(0, 0), upto=outbox.head(), limit=count)


def test_an_event_too_large_is_noted_and_the_others_are_stored(mosquitto, store, monkeypatch):
    """By MQTT 3.1.1, whose brokers know no limit; one of 5 leaves the message out by itself."""
    monkeypatch.setattr("agent.fleet.collector._RETRY_S", (0.05, 0.1))
    broker = mosquitto()
    settings = link_settings(
        broker, "collector", manual_ack=True, session_expiry_s=3_600, version5=False
    )
    collector = Collector(settings, store)
    wire = Wire(broker, GATE.topic("ack"))
    run_until(lambda: "$share/collectors" in broker.log(), collector)
    _, made = rows(2)
    topic = GATE.topic("event/decision")
    wire.say(topic, bytes(1 << 20))
    run_until(lambda: collector.counts.rejected, collector, wire)
    run_until(lambda: collector.counts.connections == 2, collector, wire)
    for row in made:
        wire.say(topic, encode_event(row, source("station", "gate-1"), KEY))
    run_until(lambda: store.count() == 2, collector, wire)
    assert (collector.counts.connections, collector.counts.rejected) == (2, 1)
    assert store.rejections() == 1


def test_what_is_stored_is_acknowledged_and_only_that(mosquitto, store):
    broker = mosquitto()
    collector = collector_for(broker, store)
    wire = Wire(broker, GATE.topic("ack"))
    run_until(lambda: collector.counts.connections, collector)
    run_until(lambda: "$share/collectors" in broker.log(), collector)
    outbox, made = rows(6)
    for number in (0, 1, 1, 3, 0, 4):
        wire.say(
            GATE.topic("event/decision"),
            encode_event(made[number], source("station", "gate-1"), KEY),
        )
    run_until(lambda: store.count() == 4, collector, wire)
    run_until(lambda: wire.heard, collector, wire)
    run_until(lambda: json.loads(wire.heard[-1].payload)["seq"] == 2, collector, wire)
    assert store.gaps() == [Gap(BootKey(GATE, outbox.boot_id), 3, 3)]
    wire.say(GATE.topic("event/decision"), encode_event(made[2], source("station", "gate-1"), KEY))
    run_until(lambda: json.loads(wire.heard[-1].payload)["seq"] == 5, collector, wire)
    assert all(json.loads(each.payload)["boot_id"] == outbox.boot_id for each in wire.heard)
    collector.run(lambda: True)


def test_what_is_no_event_is_noted_and_never_acknowledged(mosquitto, store):
    broker = mosquitto()
    collector = collector_for(broker, store)
    wire = Wire(broker, "gates/v1/+/+/ack")
    run_until(lambda: "$share/collectors" in broker.log(), collector)
    _, (row, *_) = rows(1)
    good = encode_event(row, source("station", "gate-1"), KEY)
    for topic, payload in [
        (GATE.topic("event/decision"), b"not json"),
        (GATE.topic("event/decision"), b""),
        (GATE.topic("event/decision"), good.replace(b'"expired"', b'"because"')),
        (GATE.topic("event/decision"), good.replace(b'"denied"', b'"denied","name":"Alice"')),
        (GATE.topic("event/fault"), good),
        (GateAddress("station", "gate-2").topic("event/decision"), good),
        (GATE.topic("event/decision"), good.replace(b'"seq":1', b'"seq":2')),
        (GATE.topic("event/decision"), b"[" * 60_000),
        (GateAddress("s" * 65, "g").topic("event/decision"), good),
    ]:
        wire.say(topic, payload)
    run_until(lambda: store.rejections() == 9, collector, wire)
    assert store.count() == 0
    wire.say(GATE.topic("event/decision"), good)
    run_until(lambda: len(wire.heard) == 1, collector, wire)
    assert store.count() == 1
    collector.run(lambda: True)


def reporter_for(broker, outbox, *, gate=GATE, operator=None, on_command=None, subscribers=()):
    info = GateInfo(
        version="1", site=gate.site, gate=gate.gate, profile="railway", direction="in",
        boot_id=outbox.boot_id, started_at=0.0,
    )  # fmt: skip
    reporter = Reporter(
        MqttConfig(url=broker.url),
        outbox,
        gate,
        Sources(
            lambda: info, lambda: GateState(mode="normal", trust_age_s=90, latency_ms=12.5),
            dict, time.time, time.time,
        ),
        operator=operator,
        on_command=on_command,
        subscribers=subscribers,
    )  # fmt: skip
    reporter.start()
    return reporter


def test_a_gap_is_asked_for_with_a_signature_and_filled(mosquitto, store):
    broker = mosquitto()
    signer = OperatorSigner(SigningKey.new("ES256"), b"replayer")
    key = OperatorKey(
        name="collector", kid=b"replayer", algorithm=signer.key.algorithm,
        public_key=signer.key.public, roles=frozenset({"replay"}),
    )  # fmt: skip
    outbox = MemoryOutbox(time.time)
    reporter = reporter_for(
        broker, outbox, operator={key.kid: key}.get,
        on_command=lambda _: CommandResult(CommandStatus.FAILED),
    )  # fmt: skip
    try:
        run_until(lambda: reporter.health().connected)
        for _ in range(5):
            outbox.append(EVENT)
        run_until(lambda: reporter._engine.counters.no_listener == 5)
        # The collector comes when five were sent to nobody; the sixth shows the gap.
        collector = collector_for(broker, store, signer=signer.replay)
        run_until(lambda: "$share/collectors" in broker.log(), collector)
        outbox.append(EVENT)
        run_until(lambda: store.count() == 6 and outbox.unacknowledged() == 0, collector)
        assert collector.counts.replays == 1
        assert store.gaps() == []
        collector.run(lambda: True)
    finally:
        reporter.close()


def test_two_collectors_share_the_events_and_finish_each_others_gaps(mosquitto, tmp_path):
    broker = mosquitto()
    stores = [EventStore(str(tmp_path / "fleet.sqlite")) for _ in range(2)]
    collectors = [
        Collector(link_settings(broker, f"collector-{number}", manual_ack=True), store, key=KEY)
        for number, store in enumerate(stores)
    ]
    run_until(lambda: broker.log().count("$share/collectors") >= 4, *collectors)
    outbox = MemoryOutbox(time.time)
    reporter = reporter_for(broker, outbox)
    try:
        run_until(lambda: reporter.health().connected, *collectors)
        for _ in range(60):
            outbox.append(EVENT)
        run_until(lambda: outbox.unacknowledged() == 0, *collectors)
        assert all(collector.counts.received > 10 for collector in collectors)
        assert stores[0].progress() == {BootKey(GATE, outbox.boot_id): (60, 60)}
    finally:
        reporter.close()
        for collector in collectors:
            collector.run(lambda: True)
        for store in stores:
            store.close()


def test_a_database_that_fails_promises_nothing_and_loses_nothing(mosquitto, tmp_path, store):
    broker = mosquitto()
    collector = collector_for(broker, store)
    run_until(lambda: "$share/collectors" in broker.log(), collector)
    outbox = MemoryOutbox(time.time)
    reporter = reporter_for(broker, outbox)
    try:
        run_until(lambda: reporter.health().connected, collector)
        with edited(tmp_path / "fleet.sqlite") as db:
            db.execute("ALTER TABLE event RENAME TO away")
        outbox.append(EVENT)
        run_until(lambda: collector._failures, collector)
        assert outbox.unacknowledged() == 1
        with edited(tmp_path / "fleet.sqlite") as db:
            db.execute("ALTER TABLE away RENAME TO event")
        run_until(lambda: outbox.unacknowledged() == 0, collector)
        assert store.count() == 1
    finally:
        reporter.close()
        collector.run(lambda: True)


def test_a_small_fleet_is_collected_whole(mosquitto, tmp_path, store):
    broker = mosquitto()
    command = [
        sys.executable, "-m", "agent.cli", "fleet", "collect", "--broker", broker.url,
        "--database", str(tmp_path / "fleet.sqlite"),
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            run_until(lambda: "$share/collectors" in broker.log())
            result = simulate(
                link_settings(broker, "simulated"), gates=20, rate=10, seconds=2, drain_s=20
            )
        finally:
            process.terminate()
            output = process.communicate(timeout=20)[0]
        assert process.returncode == 0
    assert result.decisions == result.acknowledged == 400
    assert result.connections == 20
    assert "stored 400, gaps 0" in output
    assert store.count() == 400
    assert all(done == highest == 20 for done, highest in store.progress().values())


@pytest.fixture
def commanded(mosquitto, tmp_path):
    broker = mosquitto()
    private = SigningKey.new("EdDSA")
    (tmp_path / "operator.key").write_bytes(private.private_pem())
    signer = OperatorSigner.from_pem(private.private_pem())
    key = OperatorKey(
        name="control", kid=signer.kid, algorithm=private.algorithm, public_key=private.public,
        roles=COMMAND_ROLES - {"close"},
    )  # fmt: skip
    done = []

    def carry_out(command):
        done.append(command)
        if command.name is CommandName.MODE:
            return CommandResult(CommandStatus.FAILED, "not_now", "in passage")
        return CommandResult(CommandStatus.SUCCEEDED)

    outbox = MemoryOutbox(time.time)
    reporter = reporter_for(broker, outbox, operator={key.kid: key}.get, on_command=carry_out)
    run_until(lambda: reporter.health().connected)
    run_until(lambda: int(time.time()) > reporter._engine._connected_at)
    yield broker, signer, done, tmp_path / "operator.key"
    reporter.close()


def test_send_returns_the_gates_own_answer(commanded):
    broker, signer, done, _ = commanded
    answer = send_command(
        link_settings(broker, "s1"), signer, CommandName.OPEN, GATE, {"direction": "in"}
    )
    assert answer.status is CommandStatus.SUCCEEDED
    assert done[0].arguments == {"direction": "in"}
    refused = send_command(link_settings(broker, "s2"), signer, CommandName.CLOSE, GATE, {})
    assert (refused.status, refused.error) == (CommandStatus.REJECTED, "role_missing")
    stranger = OperatorSigner(SigningKey.new("ES256"), b"stranger")
    silence = send_command(
        link_settings(broker, "s3"), stranger, CommandName.OPEN, GATE, {}, timeout_s=0.7
    )
    assert silence is None
    assert len(done) == 1


def test_the_command_line_sends_and_tells(commanded, capsys):
    broker, _, done, key = commanded
    import agent.cli

    base = ["fleet", "send", "--broker", broker.url, "--key", str(key)]
    assert agent.cli.main([*base, "station/gate-1", "open", "direction=in", "count=2"]) == 0
    assert capsys.readouterr().out == "SUCCEEDED\n"
    assert done[0].arguments == {"direction": "in", "count": 2}
    assert agent.cli.main([*base, "station/gate-1", "mode", "mode=locked"]) == 1
    assert capsys.readouterr().out == "FAILED not_now in passage\n"
    for wrong in ([*base, "gate-1", "open"], [*base, "station/gate-1", "open", "now"]):
        assert agent.cli.main(wrong) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert agent.cli.main(["fleet", "send", "--key", "/nowhere", "a/b", "open"]) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_configuration_goes_there_and_its_fate_comes_back(mosquitto, tmp_path, capsys):
    import agent.cli

    broker = mosquitto()
    private = SigningKey.new("ES256")
    (tmp_path / "operator.key").write_bytes(private.private_pem())
    signer = OperatorSigner.from_pem(private.private_pem())
    key = OperatorKey(
        name="control", kid=signer.kid, algorithm=private.algorithm, public_key=private.public,
        roles=frozenset({"config"}),
    )  # fmt: skip
    applied = []
    desired = DesiredConfig(
        Config(gate=GateConfig(site="station", gate="gate-1")), GATE, tmp_path / "desired.json",
        operator={key.kid: key}.get, apply=lambda config: applied.append(config) or "",
        clock=time.time,
    )  # fmt: skip
    base = ["fleet", "configure", "--broker", broker.url, "--key", str(tmp_path / "operator.key")]
    late = [*base, "--timeout-s", "0.3", "--version", "1", "station/gate-1", "gate.profile=hotel"]
    assert agent.cli.main(late) == 1
    assert "away" in capsys.readouterr().out
    reporter = reporter_for(broker, MemoryOutbox(time.time), subscribers=(desired,))
    try:
        # What was sent while the gate was away is retained, and taken now.
        run_until(lambda: applied)
        assert applied[0].gate.profile == "hotel"
        now = [*base, "--version", "2", "station/gate-1", "gate.denial_s=2.5", "scan.pyzbar=false"]
        assert agent.cli.main(now) == 0
        assert capsys.readouterr().out == "applied\n"
        assert (applied[1].gate.denial_s, applied[1].scan.pyzbar) == (2.5, False)
        assert agent.cli.main([*base, "--version", "3", "station/gate-1", "mqtt.url=x"]) == 1
        assert capsys.readouterr().out.startswith("rejected not_allowed mqtt.url")
    finally:
        reporter.close()


def test_watch_and_export_show_what_gates_say(mosquitto, store, tmp_path):
    broker = mosquitto()
    outbox = MemoryOutbox(time.time)
    view = FleetView()
    viewer = Viewer(link_settings(broker, "view"), view)
    run_until(lambda: viewer.connected, viewer)
    reporter = reporter_for(broker, outbox)
    reporter_for_second = reporter_for(
        broker, MemoryOutbox(time.time), gate=GateAddress("station", "gate-0")
    )
    run_until(lambda: len(view.gates) == 2 and reporter.health().connected, viewer)
    outbox.append(EVENT)
    outbox.append(Fault(part="camera", code="timeout"))
    run_until(lambda: view.gates.get(GATE) and view.gates[GATE].faults, viewer)
    gate = view.gates[GATE]
    assert gate.last_reason == "expired"
    assert gate.problems() == ("camera:timeout",)
    assert [each.address.gate for each in view.ordered()] == ["gate-1", "gate-0"]
    text = render(dashboard(view, now=time.time(), connected=True))
    assert "2 gates, 2 online, 1 with problems" in text
    assert "camera:timeout" in text
    assert text.index("gate-1") < text.index("gate-0")
    outbox.append(Fault(part="camera", code="timeout", active=False))
    run_until(lambda: not gate.faults, viewer)
    reporter.close()
    reporter_for_second.close()
    run_until(lambda: gate.status == "stopped", viewer)
    assert "stopped" in gate.problems()
    viewer.close()


def test_watch_once_prints_and_tells_a_missing_broker(mosquitto, capsys):
    import agent.cli

    broker = mosquitto()
    reporter = reporter_for(broker, MemoryOutbox(time.time))
    run_until(lambda: reporter.health().connected)
    assert agent.cli.main(["fleet", "watch", "--broker", broker.url, "--once"]) == 0
    assert "station/gate-1" in capsys.readouterr().out
    reporter.close()
    broker.kill()
    assert agent.cli.main(["fleet", "watch", "--broker", broker.url, "--once"]) == 1
    assert "NO BROKER" in capsys.readouterr().out


def render(what) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=80)
    console.print(what)
    return console.file.getvalue()


def test_noise_cannot_fill_or_break_the_view():
    view = FleetView()
    for topic, payload in [
        ("gates/v1/s/g/status", b"\xff"), ("gates/v1/s/g/state", b"{}"),
        ("gates/v1/s/g/event/decision", b"[]"), ("other/topic", b""), ("gates/v1/s", b""),
    ]:  # fmt: skip
        view.feed(topic, payload)
    assert view.refused == 5
    for number in range(20_010):
        view.feed(f"gates/v1/s/{number}/status", b"online")
    assert len(view.gates) == 20_000


def test_the_exporter_serves_prometheus(mosquitto, store, tmp_path):
    broker = mosquitto()
    outbox = MemoryOutbox(time.time)
    reporter = reporter_for(broker, outbox)
    command = [
        sys.executable, "-m", "agent.cli", "fleet", "export", "--broker", broker.url,
        "--database", str(tmp_path / "fleet.sqlite"), "--listen", "127.0.0.1:0",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/metrics", url)

            def page() -> str:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    return answer.read().decode()

            run_until(lambda: 'idgate_up{gate="gate-1",site="station"} 1.0' in page())
            outbox.append(EVENT)
            run_until(lambda: 'idgate_decisions_total{decision="denied"' in page())
            text = page()
        finally:
            process.terminate()
            process.communicate(timeout=20)
    reporter.close()
    assert 'idgate_outbox_rows{gate="gate-1",site="station"}' in text
    assert 'idgate_trust_age_seconds{gate="gate-1",site="station"} 90.0' in text
    assert "idgate_collector_events 0.0" in text
    assert "idgate_broker_connected 1.0" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("export --database none.sqlite --csv -", "none.sqlite: no such database"),
        ("export --database none.sqlite", "none.sqlite: no such database"),
        ("export --database junk --csv -", "junk: file is not a database"),
        ("export --database fleet.sqlite --listen :99999", "--listen :99999: HOST:PORT"),
        ("export --database fleet.sqlite --listen 9464", "--listen 9464: HOST:PORT"),
        ("export --database fleet.sqlite --csv no/x.csv", "no/x.csv: No such file"),
        ("collect --database no/x.sqlite", "no/x.sqlite: unable to open database file"),
        ("collect --database postgresql://u:hush@127.0.0.1:1/x", "u:***@127.0.0.1:1/x: conn"),
        ("collect --database postgresql://u:hush@127.0.0.1:one/x", "postgresql: "),
        ("collect --key none.pem", "none.pem: No such file"),
        ("send --key key.pem --kid zz s/g open", "--kid zz: hexadecimal"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(
    store, tmp_path, monkeypatch, capsys, words, told
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "junk").write_text("x" * 5_000)
    (tmp_path / "key.pem").write_bytes(SigningKey.new("ES256").private_pem())
    before = sorted(path.name for path in tmp_path.iterdir())
    assert cli.main(["fleet", *words.split()]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert "hush" not in error
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_the_exporter_listens_everywhere_when_no_host_is_named():
    assert fleet._listen(":9464") == ("0.0.0.0", 9464)
    assert fleet._listen("127.0.0.1:0") == ("127.0.0.1", 0)
    assert fleet._listen("[::1]:9464") == ("::1", 9464)


def test_csv_and_parquet(store, tmp_path, capsys):
    key = BootKey(GATE, "aa" * 16)
    store.add(
        [
            StoredEvent(key, seq, "decision", "2027-01-01T00:00:00Z", 1.0, '{"a":1}')
            for seq in (1, 2)
        ]
    )
    import agent.cli

    database = ["fleet", "export", "--database", str(tmp_path / "fleet.sqlite")]
    assert agent.cli.main([*database, "--csv", "-"]) == 0
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["seq"] for row in found] == ["1", "2"]
    assert json.loads(found[0]["data"]) == {"a": 1}
    target = tmp_path / "events.parquet"
    code = agent.cli.main([*database, "--parquet", str(target)])
    try:
        import pyarrow.parquet as pq
    except ImportError:
        assert code == 2
        assert "pyarrow" in capsys.readouterr().err
    else:
        assert code == 0
        assert pq.read_table(target).column("seq").to_pylist() == [1, 2]


def test_usage_errors_are_one_line(capsys):
    import agent.cli

    for words in (
        ["fleet", "simulate", "--broker", "http://x"],
        ["fleet", "collect", "--database", "nosuch://x"],
    ):
        assert agent.cli.main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert set(fleet._ACTIONS) == {
        "collect", "simulate", "send", "configure", "watch", "export", "gates", "accept", "retire",
        "rename", "verify",
    }  # fmt: skip
