"""Messages too large to be read: a real broker, and one that keeps to no limit, in both versions."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.journal.events import Fault
from agent.report import engine
from agent.report.engine import Engine, EngineSettings
from agent.report.inbox import GateInbox
from agent.report.link import Link, LinkSettings, Lost, Received
from agent.report.packets import MAX_PACKET_BYTES
from tests.agent.report.conftest import GATE

pytestmark = pytest.mark.broker
HUGE = 200 << 20
MEMORY_KIB = 64 << 10
CONFIG = GATE.topic("config/desired")


class Desired:
    """An interest in the desired configuration, as the daemon's."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def attach(self, send: object) -> None:
        del send

    def subscriptions(self) -> list[tuple[str, int]]:
        return [(CONFIG, 1)]

    def births(self) -> list:
        return []

    def received(self, message: Received) -> bool:
        if message.topic != CONFIG:
            return False
        self.heard.append(message.payload)
        return True


@pytest.fixture
def memory() -> Callable[[], int]:
    """How much more memory than now this process was resident with at most, KiB."""
    Path("/proc/self/clear_refs").write_text("5")

    def peak() -> int:
        return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])

    before = peak()
    return lambda: peak() - before


PUBLISH = """
import sys
import paho.mqtt.client as paho
client = paho.Client(paho.CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
client.publish(sys.argv[2], bytes(int(sys.argv[3])), 1, True).wait_for_publish(60)
client.disconnect()
"""


def retain(port: int, topic: str, size: int) -> None:
    """Publish a retained message, from another process: this one's memory is measured."""
    subprocess.run(
        [sys.executable, "-c", PUBLISH, str(port), topic, str(size)], check=True, timeout=120
    )


def eventually(what: Callable[[], object], timeout_s: float = 30.0) -> None:
    end = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.01)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_retained_message_of_200_mib_costs_no_memory_and_no_other_message(
    mosquitto, report, listen, memory, version
):
    broker = mosquitto()
    retain(broker.port, CONFIG, HUGE)
    told: list[Fault] = []
    desired = Desired()
    listener = listen(broker, GATE.topic("status"), GATE.topic("cmd/#"))
    reporter, outbox = report(
        broker, config={"version": version}, on_fault=told.append, subscribers=(desired,)
    )
    if version == "3.1.1":
        eventually(lambda: "message_too_large" in reporter.health().faults)
    eventually(lambda: reporter.health().connected)
    outbox.append(Fault(part="camera", code="reopened"))
    eventually(lambda: not reporter._engine._inflight and reporter.health().connected)
    listener.wait_for("status")
    time.sleep(1.0)
    assert reporter.health().connected, "it stays connected"
    assert desired.heard == []
    assert memory() < MEMORY_KIB
    faults = [(fault.part, fault.code, fault.active) for fault in told]
    assert faults == ([("mqtt", "message_too_large", True)] if version == "3.1.1" else [])
    if told:
        assert f"on {CONFIG!r}, allowed are {MAX_PACKET_BYTES}" in told[0].detail


class RudeBroker:
    """A broker that answers in either version, keeps to no limit, and counts.

    Args:
        send: given what was subscribed to and the connection's number, the packet to begin with, or
            b"". Zeros follow for as long as somebody takes them.
    """

    def __init__(self, send: Callable[[bytes, int], bytes]) -> None:
        self._send = send
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.connects: list[bytes] = []
        self.subscribed: list[bytes] = []
        self.published: list[bytes] = []
        self.flooded = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer:
                self._guarded(peer)

    def _guarded(self, peer: socket.socket) -> None:
        peer.settimeout(10)
        try:
            self._serve(peer)
        except (OSError, IndexError):
            return

    def _serve(self, peer: socket.socket) -> None:
        read = peer.makefile("rb").read
        while first := read(1):
            size, shift = 0, 0
            while True:
                byte = read(1)[0]
                size, shift = size | (byte & 127) << shift, shift + 7
                if byte < 128:
                    break
            body, kind = read(size), first[0] >> 4
            if kind == 1:
                self.connects.append(body)
                peer.sendall(b"\x20\x03\0\0\0" if body[6] == 5 else b"\x20\x02\0\0")
            elif kind == 8:
                self.subscribed.append(body)
                five = self.connects[-1][6] == 5
                count = 1 + (b"/config/" in body and b"/ack" in body)
                rest = body[:2] + (b"\0" if five else b"") + b"\1" * count
                peer.sendall(b"\x90" + bytes([len(rest)]) + rest)
                begin = self._send(body, len(self.connects))
                while begin:
                    peer.sendall(begin)
                    self.flooded += len(begin)
                    begin = bytes(1 << 16)
            elif kind == 3:
                self.published.append(body)
                if first[0] & 2:
                    at = 2 + int.from_bytes(body[:2], "big")
                    peer.sendall(b"\x40\x02" + body[at : at + 2])


def huge(topic: str, *, qos: int = 1, size: bytes = b"\x80\x80\x80\x64") -> bytes:
    """Return the beginning of a message of 200 MiB."""
    return bytes([0x30 | qos << 1]) + size + len(topic).to_bytes(2, "big") + topic.encode()


@pytest.fixture
def rude() -> Iterator[Callable[..., RudeBroker]]:
    made: list[RudeBroker] = []

    def make(send: Callable[[bytes, int], bytes]) -> RudeBroker:
        made.append(RudeBroker(send))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_broker_that_keeps_to_no_limit_is_used_without_what_it_floods(
    rude, report, memory, version
):
    broker = rude(lambda body, _: huge(CONFIG) if CONFIG.encode() in body else b"")
    told: list[Fault] = []
    reporter, outbox = report(
        None,
        config={"url": f"mqtt://127.0.0.1:{broker.port}", "version": version},
        on_fault=told.append,
        subscribers=(Desired(),),
    )
    eventually(lambda: len(broker.connects) == 2 and reporter.health().connected)
    outbox.append(Fault(part="camera", code="reopened"))
    eventually(lambda: any(b"/event/fault" in body for body in broker.published))
    assert reporter.health().connected
    assert [CONFIG.encode() in body for body in broker.subscribed] == [True, False]
    assert memory() < MEMORY_KIB
    assert broker.flooded < 32 << 20, "what the sockets' buffers took"
    assert [(f.part, f.code, f.active) for f in told] == [("mqtt", "message_too_large", True)]
    flags = [body[7] for body in broker.connects]
    assert [flag & 2 for flag in flags] == [0, 2], "the second forgets what the broker kept"
    if version == "5":
        told_limit = b"\x27" + MAX_PACKET_BYTES.to_bytes(4, "big")
        assert all(told_limit in body for body in broker.connects)


@pytest.mark.parametrize(
    ("begin", "code"),
    [
        (huge("somebody/elses"), "message_too_large"),
        (b"\x20\x80\x80\x80\x64", "message_too_large"),
        (huge(CONFIG, qos=2, size=b"\x40"), "protocol_error"),
        (b"\x30\xff\xff\xff\xff\x7f", "protocol_error"),
    ],
    ids=["no subscription of ours", "no message", "QoS 2", "length of five bytes"],
)
def test_where_nothing_can_be_left_out_the_gate_waits_between_attempts(rude, report, begin, code):
    broker = rude(lambda _body, _number: begin)
    reporter, _ = report(None, config={"url": f"mqtt://127.0.0.1:{broker.port}"})
    eventually(lambda: code in reporter.health().faults)
    assert reporter._engine._retry_at - time.monotonic() >= 25
    assert reporter._engine._withheld == {}
    assert len(broker.connects) == 1


class Clocked:
    """An engine on a rude broker, with a clock of the test's."""

    def __init__(self, port: int, outbox: object, sources: object) -> None:
        self.now = 1_000.0
        self.told: list[tuple[str, bool]] = []
        self.desired = Desired()
        link = LinkSettings("127.0.0.1", port, tls=False, client_id="clocked")
        self.engine = Engine(
            EngineSettings(link, GATE), outbox, sources, inbox=GateInbox(GATE, None, self.desired),
            tell=lambda fault: self.told.append((fault.code, fault.active)), now=self.now,
        )  # fmt: skip

    def until(self, what: Callable[[], object], step_s: float = 0.05) -> None:
        end = time.monotonic() + 20
        while not what():
            assert time.monotonic() < end, "did not happen"
            self.engine.step(self.now)
            if self.engine.link is not None:
                self.engine.link.wait(0.01)
            self.now += step_s


def test_what_was_left_out_is_tried_again_and_the_fault_ends(rude, report):
    """Twice too large, then mended: the gate hears of it without being started anew."""

    def send(body: bytes, number: int) -> bytes:
        return huge(CONFIG) if CONFIG.encode() in body and number < 3 else b""

    broker = rude(send)
    idle, outbox = report(None)
    gate = Clocked(broker.port, outbox, idle._engine._sources)
    gate.until(lambda: len(broker.connects) == 2 and gate.engine.up)
    began = gate.now
    assert set(gate.engine._withheld) == {CONFIG}
    gate.now = began + engine._WITHHELD_S - 60
    gate.until(lambda: gate.now > began + engine._WITHHELD_S - 30, step_s=5)
    assert len(broker.subscribed) == 2, "not yet"
    assert "message_too_large" in gate.engine.faults.active()
    gate.until(lambda: len(broker.connects) == 3 and gate.engine.up, step_s=5)
    assert len(broker.subscribed) == 4, "tried again, and left out once more"
    again = gate.now
    gate.until(lambda: len(broker.subscribed) == 5, step_s=5)
    assert gate.now - again >= engine._WITHHELD_S - 60
    gate.until(lambda: "message_too_large" not in gate.engine.faults.active(), step_s=2)
    assert gate.engine._withheld == {}
    gate.until(lambda: ("message_too_large", False) in gate.told, step_s=2)
    gate.engine.stop()


def test_a_packet_at_the_limit_is_read_and_one_above_is_not(mosquitto, listen):
    broker = mosquitto()
    topic = "t"
    overhead = 2 + len(topic) + 2
    for version5 in (True, False):
        more = overhead + (1 if version5 else 0)
        listener = listen(broker, topic, version5=version5)
        retain(broker.port, topic, MAX_PACKET_BYTES - more - 5)
        fits = listener.until(lambda heard=listener.heard: heard)
        assert len(fits[0].payload) == MAX_PACKET_BYTES - more - 5
        retain(broker.port, topic, 0)
    plain = Link(LinkSettings("127.0.0.1", broker.port, False, "plain", False, session_expiry_s=0))
    plain.wait(5)
    plain.subscribe([(topic, 1)])
    retain(broker.port, topic, MAX_PACKET_BYTES - overhead + 1)
    lost: list[Lost] = []
    end = time.monotonic() + 10
    while not lost and time.monotonic() < end:
        plain.wait(0.1)
        lost = [each for each in plain.happenings if isinstance(each, Lost)]
    assert (lost[0].code, lost[0].refused, lost[0].topic) == (0x95, True, topic)
    assert plain.fileno() == -1
