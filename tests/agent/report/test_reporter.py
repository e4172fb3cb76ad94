"""The reporter against a real Mosquitto: what is published, and every failure of the facts page."""

from __future__ import annotations

import json
import socket
import threading
import time

import msgspec
import pytest

from agent.fleet.memory import MemoryOutbox
from agent.journal.events import Decision
from agent.reason import Reason
from agent.report.cloudevents import decode_event
from agent.report.commands import CommandResult
from agent.report.link import Link, LinkError, LinkSettings, Message
from agent.report.payloads import CommandStatus, GateState
from agent.report.seals import SealKey
from agent.report.topics import CommandName, GateAddress
from agent.settings.broker_url import parse_url
from agent.settings.secrets import optional_secret_path
from tests.support.acks import sealed_ack

GATE = GateAddress("station", "gate-1")
COLLECTOR = SealKey.new()

pytestmark = pytest.mark.broker
EVENT = Decision(passage="ab" * 16, decision="denied", reason=Reason.EXPIRED)


def eventually(what, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.005)


def acknowledge(listener, outbox, seq: int) -> None:
    ack = sealed_ack(COLLECTOR, GATE, outbox.boot_id, seq)
    listener.say(GATE.topic("ack"), ack, retain=True)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_start_says_info_state_and_last_online(mosquitto, listen, report, version):
    broker = mosquitto()
    listener = listen(broker)
    report(broker, config={"version": version})
    listener.wait_for("status")
    assert [message.topic.rsplit("/", 1)[1] for message in listener.heard] == [
        "info", "state", "status",
    ]  # fmt: skip
    state = json.loads(listener.on("state")[0].payload)
    assert state["gate"]["mode"] == "normal"
    assert state["outbox"]["unacknowledged"] == 0
    late = listen(broker)
    late.wait_for("status")
    assert all(message.retain for message in late.heard)
    assert len(late.heard) == 3


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_events_are_free_by_the_collectors_word_only(mosquitto, listen, report, version):
    broker = mosquitto()
    listener = listen(broker)
    reporter, outbox = report(broker, config={"version": version})
    listener.wait_for("status")
    for _ in range(40):
        outbox.append(EVENT)
    heard = listener.wait_for("event/decision", count=40)
    envelopes = [decode_event(message.payload)[0] for message in heard]
    assert [envelope.seq for envelope in envelopes] == list(range(1, 41))
    assert {envelope.source for envelope in envelopes} == {"urn:idgate:gate:station:gate-1"}
    eventually(lambda: reporter._engine.counters.confirmed == 40)
    assert outbox.unacknowledged() == 40
    acknowledge(listener, outbox, 30)
    eventually(lambda: outbox.unacknowledged() == 10)
    acknowledge(listener, outbox, 41)
    eventually(lambda: "bad_ack" in reporter.health().faults)
    assert outbox.unacknowledged() == 10
    acknowledge(listener, outbox, 40)
    eventually(lambda: outbox.unacknowledged() == 0)
    eventually(lambda: "bad_ack" not in reporter.health().faults)


def test_without_a_collector_the_brokers_word_frees(mosquitto, report):
    broker = mosquitto()
    outbox = MemoryOutbox(time.time)
    for _ in range(50):
        outbox.append(EVENT)
    report(broker, outbox=outbox, config={"wait_for_ack": False})
    eventually(lambda: outbox.unacknowledged() == 0)
    outbox.append(EVENT)
    eventually(lambda: outbox.unacknowledged() == 0)


@pytest.mark.parametrize(
    "noise", [b"", b"{}", b"\xff\xfe", b'{"boot_id":"ab","seq":-1}', b"[]" * 999]
)
def test_noise_on_the_ack_topic_frees_nothing(mosquitto, listen, report, noise):
    broker = mosquitto()
    listener = listen(broker)
    reporter, outbox = report(broker)
    listener.wait_for("status")
    outbox.append(EVENT)
    listener.wait_for("event/decision")
    listener.say(GATE.topic("ack"), noise)
    listener.wait_for("ack")
    outbox.append(EVENT)
    listener.wait_for("event/decision", count=2)
    assert outbox.unacknowledged() == 2
    assert reporter.health().alive


def test_a_broker_that_dies_loses_nothing(mosquitto, listen, report):
    broker = mosquitto()
    reporter, outbox = report(broker)
    eventually(lambda: reporter.health().connected)
    outbox.append(EVENT)
    broker.kill()
    eventually(lambda: not reporter.health().connected)
    outbox.append(EVENT)
    broker.start()
    listener = listen(broker)
    heard = listener.wait_for("event/decision", count=2, timeout_s=20)
    assert {decode_event(message.payload)[0].seq for message in heard} == {1, 2}
    assert reporter.health().alive
    # The retained values went with the broker; they are published again.
    listener.wait_for("status")
    listener.wait_for("info")


def test_the_last_will_says_offline_and_an_orderly_end_stopped(mosquitto, listen, report):
    broker = mosquitto()
    listener = listen(broker, GATE.topic("status"))
    reporter, _ = report(broker)
    listener.wait_for("status")
    reporter._engine.link._client.socket().shutdown(2)
    listener.wait_for("status", count=2)
    listener.wait_for("status", count=3, timeout_s=20)
    reporter.close()
    listener.wait_for("status", count=4)
    assert [message.payload for message in listener.on("status")] == [
        b"online", b"offline", b"online", b"stopped",
    ]  # fmt: skip


def test_an_acl_denial_is_a_visible_fault_and_keeps_the_row(mosquitto, listen, report, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text(
        "user gate\ntopic write gates/v1/station/gate-1/status\n"
        "topic write gates/v1/station/gate-1/state\ntopic read gates/v1/station/gate-1/#\n"
        "user listener\ntopic readwrite #\n"
    )
    broker = mosquitto(f"allow_anonymous true\nacl_file {acl}")
    listener = listen(broker, username="listener")
    reporter, outbox = report(broker, config={"username": "gate"})
    outbox.append(EVENT)
    eventually(lambda: "not_authorized" in reporter.health().faults)
    assert outbox.unacknowledged() == 1
    listener.until(
        lambda: any(b"not_authorized" in message.payload for message in listener.on("state"))
    )
    assert listener.on("event/decision") == []


def test_what_the_broker_refuses_is_named_and_holds_no_event_up(
    mosquitto, listen, report, tmp_path, caplog
):
    """docs/fleet/acl as it is forbids the card of Home Assistant."""
    acl = tmp_path / "acl"
    acl.write_text("user gate\ntopic readwrite gates/#\nuser listener\ntopic readwrite #\n")
    broker = mosquitto(f"allow_anonymous true\nacl_file {acl}")
    listener = listen(broker, username="listener")
    reporter, outbox = report(broker, config={"username": "gate", "home_assistant": True})
    eventually(lambda: "refuses homeassistant/device/" in caplog.text)
    outbox.append(EVENT)
    listener.wait_for("event/decision")
    assert reporter._engine._window._paused_until == 0.0


def test_nobody_listening_is_counted_and_keeps_the_row(mosquitto, report):
    broker = mosquitto()
    reporter, outbox = report(broker)
    outbox.append(EVENT)
    eventually(lambda: reporter._engine.counters.no_listener == 1)
    assert outbox.unacknowledged() == 1


NAMED = {"taken_over", "unstable"}


def test_a_second_gate_of_the_same_name_is_told_and_not_fought(mosquitto, report):
    broker = mosquitto()
    first, _ = report(broker)
    eventually(lambda: first.health().connected)
    second, _ = report(broker)
    told = []

    def contested():
        """A broker may name the takeover; where it does not, short lives have to tell."""
        told[:] = [each for each in (first, second) if NAMED & set(each.health().faults)]
        return told

    eventually(contested, 30)
    engine = told[0]._engine
    engine._lose(time.monotonic(), "connection_lost", "taken away once more")
    assert engine._retry_at - time.monotonic() >= 29


def test_a_broker_that_names_the_takeover_is_understood(report):
    """Reason 142, byte for byte, from a socket that plays a broker which sends it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def play() -> None:
            peer, _ = server.accept()
            with peer:
                peer.recv(4_096)
                peer.sendall(bytes.fromhex("2003000000") + bytes.fromhex("e0028e00"))
                peer.recv(4_096)

        thread = threading.Thread(target=play)
        thread.start()
        url = f"mqtt://127.0.0.1:{server.getsockname()[1]}"
        reporter, _ = report(None, config={"url": url})
        eventually(lambda: "taken_over" in reporter.health().faults)
        thread.join()
    assert reporter._engine._retry_at - time.monotonic() >= 29


def test_wrong_credentials_are_a_fault(mosquitto, report, tmp_path, monkeypatch):
    broker = mosquitto("allow_anonymous false")
    reporter, _ = report(broker)
    eventually(lambda: "refused" in reporter.health().faults)
    assert not reporter.health().connected
    reporter, _ = report(broker, config={"username": "x", "password_file": "missing"})
    eventually(lambda: "credentials" in reporter.health().faults)


def test_secrets_come_from_systemds_directory_first(tmp_path, monkeypatch):
    given, base = tmp_path / "given", tmp_path / "base"
    given.mkdir()
    (given / "password").write_text("secret")
    assert optional_secret_path("password", base) == base / "password"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    assert optional_secret_path("password", base) == given / "password"
    assert optional_secret_path("other", base) == base / "other"
    assert optional_secret_path("/etc/password", base).as_posix() == "/etc/password"
    assert optional_secret_path("", base) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://h", ("h", 1883, False)), ("mqtts://h", ("h", 8883, True)),
        ("mqtt://h:5", ("h", 5, False)), ("mqtts://[::1]:9", ("::1", 9, True)),
    ],
)  # fmt: skip
def test_urls(url, expected):
    assert parse_url(url) == expected


def test_a_password_in_a_url_is_not_quoted():
    with pytest.raises(ValueError, match=r"broker\.example") as error:
        parse_url("mqtt://gate:hunter2@broker.example")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("url", ["", "http://h", "mqtt://", "mqtt://user:pw@h", "mqtt://h:99999"])
def test_bad_urls(url):
    with pytest.raises(ValueError):
        parse_url(url)


def test_an_unforeseen_error_is_survived_and_told(mosquitto, report, listen):
    broker = mosquitto()
    listener = listen(broker)
    broken = [False]

    def state() -> GateState:
        if broken[0]:
            broken[0] = False
            raise ZeroDivisionError
        return GateState(mode="normal")

    told = []
    reporter, outbox = report(broker, state=state, on_fault=told.append)
    listener.wait_for("status")
    broken[0] = True
    eventually(lambda: any(fault.code == "internal" for fault in told))
    listener.until(lambda: listener.on("status")[-1].payload == b"online" and not broken[0], 20)
    assert reporter.health().alive
    outbox.append(EVENT)
    listener.wait_for("event/decision", timeout_s=20)


def test_a_hung_thread_shows_in_the_heartbeat(mosquitto, report):
    broker = mosquitto()
    now = [time.monotonic()]
    reporter, _ = report(broker, monotonic=lambda: now[0])
    eventually(lambda: reporter.health().alive)
    reporter.close()
    assert not reporter.health().alive
    reporter, _ = report(broker, gate=GateAddress("station", "gate-2"), monotonic=lambda: now[0])
    hold = reporter._lock
    with hold:
        reporter.wake()
        now[0] += 121
        eventually(lambda: not reporter.health().alive)
    eventually(lambda: reporter.health().alive)


def test_a_dead_publish_is_an_error_and_never_queued(mosquitto):
    """paho's rc 4 queues a message that the caller believes lost; our link is thrown away whole."""
    broker = mosquitto()
    link = Link(
        LinkSettings("127.0.0.1", broker.port, tls=False, client_id="x", session_expiry_s=0)
    )
    while not link.happenings:
        link.wait(1)
    broker.kill()
    while link.fileno() >= 0:
        link.wait(1)
    with pytest.raises(LinkError):
        link.publish(Message("t", b"x"))


def test_no_broker_is_no_reason_to_wait(report, mosquitto):
    broker = mosquitto()
    broker.kill()
    began = time.monotonic()
    reporter, outbox = report(broker)
    outbox.append(EVENT)
    assert time.monotonic() - began < 1
    assert reporter.health().alive
    began = time.monotonic()
    reporter.close()
    assert time.monotonic() - began < 3
    assert outbox.unacknowledged() == 1


# -- commands -----------------------------------------------------------------------------------


@pytest.fixture
def commanded(mosquitto, listen, report, operator):
    """A connected gate that takes commands, its listener, and what was carried out."""
    broker = mosquitto()
    listener = listen(broker)
    done = []

    def carry_out(command):
        done.append(command)
        return CommandResult(CommandStatus.SUCCEEDED, detail="done")

    outbox = MemoryOutbox(time.time)
    reporter, outbox = report(
        broker,
        operator=operator.lookup,
        on_command=carry_out,
        outbox=outbox,
        on_fault=outbox.append,
    )
    listener.wait_for("status")
    # A command must be younger than the connection, and its times are whole seconds.
    connected_at = reporter._engine._connected_at
    listener.until(lambda: int(time.time()) > connected_at)
    return reporter, outbox, listener, done, broker


def send(listener, operator, name="open", *, retain=False, **more) -> str:
    message = operator.signer.command(CommandName(name), GATE, more, now=time.time())
    listener.say(message.topic, message.payload, retain=retain)
    return message.topic


def test_a_command_is_carried_out_once_and_answered(commanded, operator):
    _, _, listener, done, _ = commanded
    message = operator.signer.command(
        CommandName("open"), GATE, {"direction": "in"}, now=time.time()
    )
    listener.say(message.topic, message.payload)
    (answer,) = listener.wait_for("rsp/open")
    response = json.loads(answer.payload)
    assert response["status"] == "SUCCEEDED"
    assert response["transaction"] == done[0].transaction
    assert done[0].arguments == {"direction": "in"}
    listener.say(message.topic, message.payload)
    answer = listener.wait_for("rsp/open", count=2)[1]
    assert json.loads(answer.payload)["error"] == "repeated"
    assert len(done) == 1


def test_a_retained_command_is_refused_and_told(commanded, operator):
    reporter, outbox, listener, done, _ = commanded
    send(listener, operator, retain=True)
    eventually(lambda: reporter._dispatcher.refused == 1)
    (row,) = outbox.pending(after=outbox.head()._replace(seq=0), upto=outbox.head(), limit=9)
    assert b'"retained"' in row.data
    assert done == []


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_command_kept_by_the_broker_does_not_act_on_reconnect(
    mosquitto, listen, report, operator, version
):
    broker = mosquitto()
    listener = listen(broker)
    done = []
    options = {
        "operator": operator.lookup,
        "on_command": lambda command: (
            done.append(command) or CommandResult(CommandStatus.SUCCEEDED)
        ),
        "config": {"version": version},
    }
    first, _ = report(broker, **options)
    listener.wait_for("status")
    first.close()
    listener.wait_for("status", count=2)
    message = operator.signer.command(CommandName("open"), GATE, {}, now=time.time())
    # Without the broker's own expiry, as a 3.1.1 sender or an attacker would send it.
    listener.say(message.topic, message.payload)
    second, _ = report(broker, **options)
    eventually(lambda: second._dispatcher.refused == 1)
    (answer,) = listener.wait_for("rsp/open")
    assert json.loads(answer.payload)["error"] in ("reconnect", "stale")
    assert done == []


def test_a_slow_handler_holds_nothing_back_and_a_crash_is_answered(
    mosquitto, listen, report, operator
):
    broker = mosquitto()
    listener = listen(broker)
    release = threading.Event()

    def carry_out(command):
        if command.name == "identify":
            raise ZeroDivisionError
        release.wait(20)
        return CommandResult(CommandStatus.SUCCEEDED)

    reporter, outbox = report(broker, operator=operator.lookup, on_command=carry_out)
    listener.wait_for("status")
    listener.until(lambda: int(time.time()) > reporter._engine._connected_at)
    send(listener, operator, "identify")
    (answer,) = listener.wait_for("rsp/identify")
    assert json.loads(answer.payload)["status"] == "FAILED"
    for _ in range(10):
        send(listener, operator)
    outbox.append(EVENT)
    listener.wait_for("event/decision")
    busy = listener.wait_for("rsp/open")[0]
    assert json.loads(busy.payload)["error"] == "busy"
    release.set()
    listener.wait_for("rsp/open", count=10)


def test_the_collector_can_ask_for_a_replay(commanded, operator):
    _, outbox, listener, done, _ = commanded
    for _ in range(5):
        outbox.append(EVENT)
    listener.wait_for("event/decision", count=5)
    arguments = {"boot_id": outbox.boot_id, "from": 2, "to": 3}
    message = operator.signer.command(CommandName("replay"), GATE, arguments, now=time.time())
    listener.say(message.topic, message.payload)
    heard = listener.wait_for("event/decision", count=7)
    assert [decode_event(each.payload)[0].seq for each in heard[5:]] == [2, 3]
    bad = operator.signer.command(CommandName("replay"), GATE, {"boot_id": 5}, now=time.time())
    listener.say(bad.topic, bad.payload)
    answers = listener.wait_for("rsp/replay", count=2)
    assert [json.loads(each.payload)["status"] for each in answers] == ["SUCCEEDED", "FAILED"]
    assert done == []


def test_a_gate_without_a_handler_does_not_even_subscribe(mosquitto, report):
    broker = mosquitto()
    reporter, _ = report(broker)
    eventually(lambda: reporter.health().connected)
    eventually(lambda: "gates/v1/station/gate-1/ack" in broker.log())
    assert "cmd/" not in broker.log()


def test_metrics_come_by_themselves(mosquitto, listen, report):
    broker = mosquitto()
    listener = listen(broker)
    report(broker, config={"metrics_s": 0.2})
    found = msgspec.json.decode(listener.wait_for("metrics")[0].payload)
    assert found["gate"] == {"granted": 1.0}
    assert found["reporter"]["connections"] == 1


def test_the_farewell_is_never_overtaken_by_the_last_will(mosquitto, listen, report):
    """A socket closed with a PUBACK still coming in is reset; the broker then sent the will."""
    broker = mosquitto()
    listener = listen(broker, "gates/v1/station/+/status")
    for number in range(20):
        gate = GateAddress("station", f"gate-{number}")
        reporter, outbox = report(broker, gate=gate)
        listener.until(lambda gate=gate: listener.on("status", gate))
        for _ in range(5):
            outbox.append(EVENT)
        reporter.close()
        said = listener.until(
            lambda gate=gate: len(found := listener.on("status", gate)) > 1 and found
        )
        assert [message.payload for message in said] == [b"online", b"stopped"]
