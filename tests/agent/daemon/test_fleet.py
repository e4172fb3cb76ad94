"""The daemon and its fleet over a real Mosquitto: events, signed commands, desired settings."""

from __future__ import annotations

import json
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from agent.credential.model import StatusReference
from agent.daemon.daemon import RESTART_AFTER_S
from agent.fleet.send import OperatorSigner, send_command
from agent.issuing.issue import sign1
from agent.issuing.keys import SigningKey
from agent.journal.events import Mode
from agent.journal.journal import Journal
from agent.report.cloudevents import decode_event, read_seal
from agent.report.desired import CONFIG_TYPE, desired_claims
from agent.report.link import LinkSettings
from agent.report.seals import SealKey
from agent.report.topics import CommandName, GateAddress
from agent.trust.roster import RosterEntry, write_roster
from agent.trust.status import encode_statuses
from agent.trust.update import pin_root, update
from tests.support.acks import sealed_ack
from tests.support.databases import edited
from tests.support.gate_on_disk import RELAY, GateOnDisk, until
from tests.support.trust_sets import Publisher

GATE = GateAddress("s", "g")
pytestmark = pytest.mark.broker


@dataclass
class Fleet:
    port: int
    signer: OperatorSigner
    client: paho.Client
    heard: dict[str, list[bytes]]

    def send(self, name: str, **arguments: object) -> tuple[str, str | None]:
        time.sleep(1.1)  # a command of the second in which the gate connected is refused
        settings = LinkSettings(
            host="127.0.0.1", port=self.port, tls=False, client_id=f"op-{time.monotonic_ns()}"
        )
        answer = send_command(settings, self.signer, CommandName(name), GATE, arguments)
        assert answer is not None
        return answer.status.value, answer.error

    def on(self, path: str) -> list[dict]:
        return [json.loads(each) for each in self.heard.get(GATE.topic(path), []) if each]


@pytest.fixture
def fleet(gate: GateOnDisk, mosquitto: Callable) -> Iterator[Fleet]:
    broker = mosquitto()
    key = SigningKey.new("ES256")
    operators = gate.path / "trust" / "operators"
    operators.mkdir()
    (operators / "ops.pem").write_bytes(key.public_pem())
    (operators / "ops.toml").write_text(
        "operator = true\n"
        'roles = ["open", "close", "mode", "update", "reload", "replay", "identify", "config"]\n'
    )
    gate.write(mqtt=f'url = "{broker.url}"\nhome_assistant = true\nhome_assistant_open = true\n')
    heard: dict[str, list[bytes]] = {}
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _c, _u, message: heard.setdefault(message.topic, []).append(
        message.payload
    )
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("#", 1)
    yield Fleet(broker.port, OperatorSigner.from_pem(key.private_pem()), client, heard)
    client.disconnect()
    client.loop_stop()


def online(fleet: Fleet) -> bool:
    said = fleet.heard.get(GATE.topic("status"), [])
    return bool(said) and said[-1] == b"online"


def test_what_is_decided_arrives_and_commands_act(gate: GateOnDisk, fleet: Fleet) -> None:
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")
    gate.show(gate.code())
    until(lambda: fleet.on("event/decision"), "an event")
    (event,) = fleet.on("event/decision")
    assert event["specversion"] == "1.0"
    assert event["data"]["decision"] == "granted"
    gate.show()
    until(lambda: fleet.on("event/passage"), "the annulment")

    assert fleet.send("open") == ("SUCCEEDED", None)
    until(lambda: gate.board.level(RELAY), "opened by the command")
    assert fleet.send("close") == ("SUCCEEDED", None)
    until(lambda: not gate.board.level(RELAY), "closed by the command")
    assert fleet.send("mode", mode="locked") == ("SUCCEEDED", None)
    gate.show(gate.code(subject="2"))
    until(lambda: fleet.on("event/decision")[-1]["data"]["reason"] == "gate_locked", "locked")
    assert fleet.send("mode", mode="fire")[0] == "FAILED"
    assert fleet.send("identify") == ("SUCCEEDED", None)
    assert fleet.send("update") == ("SUCCEEDED", None)
    (gate.path / "trust").rename(gate.path / "elsewhere")
    status, error = fleet.send("reload")
    assert (status, error) == ("FAILED", "refused")
    until(lambda: fleet.on("state")[-1]["gate"]["mode"] == "locked", "the state")


DOOR = 'name = "door"\ntitle = "t"\nkinds = ["library-card"]\n'
URI = "https://status.example/1"


def test_a_nudge_brings_the_new_set_into_force_whole(gate: GateOnDisk, fleet: Fleet) -> None:
    """Keys, status list, roster and profile of a signed set; too old until it is published anew."""
    repo, cache, now = gate.path / "repo", gate.path / "cache", int(time.time())
    publisher = Publisher(repo)

    def publish(at: int = now, **files: bytes) -> None:
        for name, data in files.items():
            folder, _, rest = name.partition("__")
            publisher.repository.add(f"{folder}/{rest.replace('__', '.')}", data)
        publisher.publish(now=at)

    def judged(**change: object) -> str:
        return gate.judged(gate.code(**change))

    operators = gate.path / "trust" / "operators"
    listed = {"bits": 1, "lst": zlib.compress(encode_statuses([0, 1], 1))}
    publish(
        at=now - 1_000,
        issuers__lib__pem=gate.issuer.key.public_pem(),
        operators__ops__pem=(operators / "ops.pem").read_bytes(),
        operators__ops__toml=(operators / "ops.toml").read_bytes(),
        profiles__door__toml=DOOR.encode(),
        status__lib__cwt=sign1(
            gate.issuer.key,
            {2: URI, 6: now, 65533: listed},
            kid=gate.issuer.kid,
            header={16: "application/statuslist+cwt"},
        ),
    )
    pin_root(cache, publisher.first_root)
    update(cache, str(repo), now=now)
    (cache / "roster.key").write_bytes(bytes(32))
    gate.write(
        gate='profile = "door"\ndenial_s = 0.2\n',
        mqtt=f'url = "mqtt://127.0.0.1:{fleet.port}"\nmetrics_s = 1\n',
        trust='directory = "cache"\nsigned = true\nurl = "repo"\nmax_age_s = 500\n',
    )
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")
    assert judged() == "trust_too_old"
    publish()  # the same files, dated anew
    assert fleet.send("update") == ("SUCCEEDED", None)
    until(lambda: judged() == "granted", "renewed")
    until(lambda: fleet.on("state")[-1]["gate"]["trust_age_s"] < 500, "the age in the state")
    assert fleet.on("state")[-1]["gate"]["days_left"]["trust_set"] in {28, 29}
    assert judged(status=StatusReference(URI, 1)) == "revoked"
    assert judged(status=StatusReference(URI, 99)) == "status_unknown"
    roster = gate.path / "members.roster"
    write_roster(roster, [RosterEntry("4711")], key=bytes(32), blocks=False, created=now)
    publish(
        profiles__door__toml=(DOOR + 'roster = "members"\n').encode(),
        rosters__members__roster=roster.read_bytes(),
    )
    assert fleet.send("update") == ("SUCCEEDED", None)
    until(lambda: judged(subject="1") == "not_on_roster", "the new profile")
    assert judged(status=StatusReference(URI, 0)) == "granted"


def test_what_is_set_aside_is_told_from_afar(gate: GateOnDisk, fleet: Fleet) -> None:
    gate.write(mqtt=f'url = "mqtt://127.0.0.1:{fleet.port}"\nmetrics_s = 1\n')
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")
    assert fleet.on("state")[-1]["gate"]["trust_set_aside"] == []
    (gate.path / "trust" / "Thumbs.db").write_bytes(b"x")
    assert fleet.send("reload") == ("SUCCEEDED", None)
    until(lambda: fleet.on("state")[-1]["gate"]["trust_set_aside"], "the file in the state")
    state = fleet.on("state")[-1]["gate"]
    (told,) = state["trust_set_aside"]
    assert told.startswith("Thumbs.db: an unknown kind of file; allowed: ")
    assert "trust:set_aside" in state["faults"]
    assert state["health"] == "degraded"
    until(lambda: fleet.on("metrics")[-1]["gate"]["trust_set_aside"] == 1, "the metric")
    (gate.path / "trust" / "Thumbs.db").unlink()
    assert fleet.send("reload") == ("SUCCEEDED", None)
    until(lambda: "trust:set_aside" not in fleet.on("state")[-1]["gate"]["faults"], "gone")


def test_the_mode_outlives_a_kill(gate: GateOnDisk, fleet: Fleet) -> None:
    process = gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")
    assert fleet.send("mode", mode="locked") == ("SUCCEEDED", None)
    process.kill()
    process.wait(40)
    until(lambda: fleet.heard[GATE.topic("status")][-1] == b"offline", "the last will")
    gate.log_mark()
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online again")
    gate.show(gate.code())
    until(lambda: fleet.on("event/decision"), "a decision")
    assert fleet.on("event/decision")[-1]["data"]["reason"] == "gate_locked"


def test_desired_settings_come_into_force_and_bad_ones_do_not(
    gate: GateOnDisk, fleet: Fleet
) -> None:
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")

    def desire(version: int, **values: object) -> None:
        wanted = {name.replace("__", "."): value for name, value in values.items()}
        claims = desired_claims(GATE, version=version, values=wanted, issued_at=int(time.time()))
        payload = fleet.signer.sign(claims, CONFIG_TYPE)
        fleet.client.publish(GATE.topic("config/desired"), payload, qos=1, retain=True)

    def reported() -> dict:
        said = fleet.on("config/reported")
        return said[-1] if said else {}

    desire(1, gate__profile="railway")  # asks for a face, and nothing fitted can answer
    until(lambda: reported().get("rejected_version") == 1, "rejected")
    assert reported()["reason"] == "not_applicable"
    desire(2, gate__profile="logistics", mqtt__url="mqtt://elsewhere")
    until(lambda: reported().get("rejected_version") == 2, "rejected")
    assert "mqtt.url" in reported()["detail"]
    desire(3, gate__profile="logistics")
    until(lambda: reported().get("version") == 3, "applied")
    until(lambda: fleet.on("info")[-1]["profile"] == "logistics", "in force")
    gate.show(gate.code(kind="driving-licence"))
    until(lambda: fleet.on("event/decision"), "a decision")
    assert fleet.on("event/decision")[-1]["data"]["decision"] == "granted"


def test_the_floor_of_the_file_stands_whatever_the_fleet_wants(
    gate: GateOnDisk, fleet: Fleet
) -> None:
    gate.write(
        gate='profile = "logistics"\n',
        mqtt=f'url = "mqtt://127.0.0.1:{fleet.port}"\n',
        floor='modes = ["normal", "locked"]\n',
    )
    kept = gate.path / "state" / "desired.json"
    kept.parent.mkdir()
    kept.write_text('{"version": 5, "values": {"gate.profile": "library"}}')
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")
    said = fleet.on("config/reported")[-1]
    assert (said["status"], said["reason"]) == ("rejected", "kept_state")
    assert "library demands less than this gate's file: dynamic = false" in said["detail"]
    assert fleet.on("info")[-1]["profile"] == "logistics"
    assert fleet.send("mode", mode="free") == ("REJECTED", "not_allowed")
    assert fleet.send("mode", mode="locked") == ("SUCCEEDED", None)
    wanted = {"gate.profile": "library"}
    claims = desired_claims(GATE, version=6, values=wanted, issued_at=int(time.time()))
    payload = fleet.signer.sign(claims, CONFIG_TYPE)
    fleet.client.publish(GATE.topic("config/desired"), payload, qos=1, retain=True)
    until(lambda: fleet.on("config/reported")[-1].get("rejected_version") == 6, "rejected")
    assert fleet.on("config/reported")[-1]["reason"] == "not_applicable"


def test_desired_settings_that_the_disk_does_not_take_restart_nothing(
    gate: GateOnDisk, fleet: Fleet
) -> None:
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")
    in_the_way = gate.path / "state" / "desired.json.new"
    in_the_way.mkdir()

    def desire(version: int) -> None:
        wanted = {"gate.profile": "logistics"}
        claims = desired_claims(GATE, version=version, values=wanted, issued_at=int(time.time()))
        payload = fleet.signer.sign(claims, CONFIG_TYPE)
        fleet.client.publish(GATE.topic("config/desired"), payload, qos=1, retain=True)

    def reasons() -> set[str | None]:
        return {report.get("reason") for report in fleet.on("config/reported")}

    def faults() -> list[str]:
        return fleet.on("state")[-1]["gate"]["faults"]

    desire(1)
    until(lambda: "not_kept" in reasons(), "rejected")
    until(lambda: "config:not_saved" in faults(), "the fault in the state")
    time.sleep(2 * RESTART_AFTER_S)
    assert len({info["boot_id"] for info in fleet.on("info")}) == 1
    in_the_way.rmdir()
    desire(2)
    until(lambda: fleet.on("info")[-1]["profile"] == "logistics", "in force")
    until(lambda: "config:not_saved" not in faults(), "the end of the fault")


def test_home_assistant_gets_a_card_and_its_button_opens(gate: GateOnDisk, fleet: Fleet) -> None:
    gate.run()
    gate.ready()
    until(lambda: online(fleet), "online")
    until(lambda: any("homeassistant/device/" in topic for topic in fleet.heard), "discovery")
    (topic,) = [topic for topic in fleet.heard if topic.startswith("homeassistant/device/")]
    card = json.loads(fleet.heard[topic][-1])
    button = card["components"]["open"]
    time.sleep(2.5)  # what arrives right after a connection is never believed
    fleet.client.publish(button["command_topic"], button["payload_press"])
    until(lambda: gate.board.level(RELAY), "opened by the button")


def test_without_a_broker_everything_is_kept_and_delivered_later(
    gate: GateOnDisk, fleet: Fleet, mosquitto: Callable, tmp_path: Path
) -> None:
    from tests.conftest import Mosquitto

    quiet = Mosquitto(tmp_path)
    gate.write(mqtt=f'url = "{quiet.url}"\n')
    gate.run()
    gate.ready()
    gate.show(gate.code())
    until(lambda: any(row[2] == "decision" for row in gate.rows()), "decided with no broker there")
    quiet.start()
    try:
        heard: list[bytes] = []
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_message = lambda _c, _u, message: heard.append(message.payload)
        client.connect("127.0.0.1", quiet.port)
        client.loop_start()
        client.subscribe(GATE.topic("event/decision"), 1)
        until(lambda: heard, "delivered later", 40)
        client.disconnect()
        client.loop_stop()
        assert json.loads(heard[0])["data"]["decision"] == "granted"
    finally:
        quiet.kill()


def waiting(gate: GateOnDisk) -> int:
    with edited(gate.path / "state" / "journal.sqlite") as journal:
        (rows,) = journal.execute(
            "SELECT count(*) FROM event JOIN boot ON boot.number = event.boot"
            " WHERE seq > acknowledged"
        ).fetchone()
    return int(rows)


def test_a_journal_without_any_room_is_handed_over_all_the_same(
    gate: GateOnDisk, fleet: Fleet
) -> None:
    """The reserve too is full, as after a hundred restarts without a collector."""
    gate.config.write_text(gate.config.read_text() + "[journal]\ncapacity = 1000\n")
    (gate.path / "state").mkdir()
    with Journal.open(gate.path / "state" / "journal.sqlite", capacity=1_000) as journal:
        for _ in range(1_000):
            journal.append(Mode(mode="normal", cause="config"))
        boot = journal.boot_id
    gate.run()
    gate.ready()
    until(lambda: len(fleet.on("event/mode")) >= 1_000, "handed over")
    ack = sealed_ack(SealKey.new(), GATE, boot, 1_000)
    fleet.client.publish(GATE.topic("ack"), ack, 1, True)
    until(lambda: waiting(gate) < 100, "freed")
    gate.show(gate.code())
    until(lambda: gate.openings() == 1, "a grant, once there is room")


def test_a_key_file_without_a_key_is_said_and_nothing_is_sealed_by_another(
    gate: GateOnDisk,
) -> None:
    gate.write(mqtt='url = "mqtt://127.0.0.1:1"')
    (gate.path / "state").mkdir(exist_ok=True)
    (gate.path / "state" / "gate-key.pem").write_text("junk")
    gate.run()
    assert gate.processes[-1].wait(40) == 2
    (line,) = [line for line in gate.log().splitlines() if line.startswith("idgate run:")]
    assert line.endswith("put the right one back, or move it away for a new one")


def test_the_gates_key_is_its_own_and_outlives_a_restart(gate: GateOnDisk, fleet: Fleet) -> None:
    heard = fleet.heard.setdefault(GATE.topic("event/mode"), [])

    def boots() -> set[str]:
        return {decode_event(each)[0].bootid for each in heard}

    for number in (1, 2):
        gate.run()
        until(lambda number=number: len(boots()) == number, "its start, told", 30)
        gate.processes[-1].send_signal(signal.SIGTERM)
        assert gate.processes[-1].wait(40) == 0
    path = gate.path / "state" / "gate-key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    seals = [read_seal(decode_event(each)[0]) for each in heard]
    assert {seal and seal.key for seal in seals} == {SealKey.load(path).public}
