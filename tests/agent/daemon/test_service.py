"""What the service manager is told: each step of a start and a stop, with how long it may take."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from agent.biometrics.photo import START_S as PHOTO_START_S
from agent.daemon.daemon import STOP_GRACE_S, STOP_LIMITS_S, Daemon
from agent.daemon.hardware import open_hardware
from agent.daemon.threads import ThreadGroup
from agent.exits import Exit
from agent.settings.load import load
from hal.service_manager import STEP_S, ServiceManager
from tests.support.gate_on_disk import GateOnDisk, until
from tests.support.paths import ROOT


class Manager:
    """A service manager's socket, and what came over it: a dictionary a message."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._heard: list[dict[str, str]] = []
        # Read all the time, as systemd does: the socket holds ten, and then the daemon waits.
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        self.service = ServiceManager(
            {"NOTIFY_SOCKET": f"@idgate-service-{os.getpid()}", "WATCHDOG_USEC": "10000000"}
        )

    def _read(self) -> None:
        while text := self._channel.recv(4096).decode():
            self._heard.append(dict(line.split("=", 1) for line in text.split("\n")))

    def said(self, step: str) -> bool:
        return any(message.get("STATUS") == step for message in self._heard)

    def heard(self) -> list[dict[str, str]]:
        """Return all messages, when the daemon has said its last."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._channel.getsockname())
        self._thread.join()
        return self._heard


@pytest.fixture
def manager() -> Iterator[Manager]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(f"\0idgate-service-{os.getpid()}")
        yield Manager(channel)


def steps(messages: list[dict[str, str]]) -> dict[str, float]:
    """Return each step's text and limit, s, in order."""
    return {
        message["STATUS"]: int(message["EXTEND_TIMEOUT_USEC"]) / 1e6
        for message in messages
        if "EXTEND_TIMEOUT_USEC" in message
    }


STARTING = {
    "reading trust": STEP_S,
    "opening models and sensors": STEP_S,
    "opening the journal": STEP_S,
    "starting the gate": STEP_S,
    "loading the decoder": 120.0 + STEP_S,
    "loading the photo decoder": PHOTO_START_S + STEP_S,
    "starting cameras, trust and reporter": STEP_S,
}
STOPPING = {f"stopping: {name}": limit + STOP_GRACE_S for name, limit in STOP_LIMITS_S.items()}


def test_each_word_is_as_the_manual_has_it(manager: Manager) -> None:
    service = manager.service
    assert service.watchdog_s == 10.0
    service.step("a step", 1.5)
    service.step("another")
    service.ready()
    service.alive()
    before = time.monotonic_ns() // 1000
    service.reloading()
    service.stopping()
    heard = manager.heard()
    assert heard[:4] == [
        {"STATUS": "a step", "EXTEND_TIMEOUT_USEC": "1500000"},
        {"STATUS": "another", "EXTEND_TIMEOUT_USEC": "30000000"},
        {"STATUS": "serving"},
        {"READY": "1"},
    ]
    assert heard[4] == {"WATCHDOG": "1"}
    assert heard[5]["RELOADING"] == "1"
    assert before <= int(heard[5]["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert heard[6:] == [{"STOPPING": "1"}]


def test_outside_of_systemd_nothing_is_said() -> None:
    service = ServiceManager({})
    assert service.watchdog_s is None
    service.step("a step")
    service.ready()


def test_a_start_asks_for_as_long_as_its_settings_allow(gate: GateOnDisk, manager: Manager) -> None:
    gate.write(scan="start_s = 120.0")
    settings = load(gate.config)
    daemon = Daemon(settings, open_hardware(settings), service=manager.service)
    try:
        daemon.start()
    finally:
        daemon.shutdown()
        daemon.shutdown()
    told = steps(manager.heard())
    assert told == STARTING | STOPPING
    assert list(told) == [*STARTING, *STOPPING]


def test_a_restart_of_the_parts_is_a_reload_and_not_an_end(
    gate: GateOnDisk, manager: Manager
) -> None:
    """A service that said STOPPING=1 is killed in time, whatever it says after."""
    settings = load(gate.config)
    daemon = Daemon(settings, open_hardware(settings), service=manager.service)
    assert daemon._apply(replace(settings, gate=replace(settings.gate, denial_s=2.0))) == ""
    assert daemon.run() is Exit.RESTART
    heard = manager.heard()
    assert [message for message in heard if "STOPPING" in message] == []
    (reload_at,) = [place for place, message in enumerate(heard) if "RELOADING" in message]
    assert {"READY": "1"} in heard[:reload_at]
    assert steps(heard[reload_at:]) == STOPPING


def test_a_stop_between_two_daemons_is_not_lost(gate: GateOnDisk, manager: Manager) -> None:
    settings, stop = load(gate.config), threading.Event()
    stop.set()
    daemon = Daemon(settings, open_hardware(settings), service=manager.service, stop=stop)
    assert daemon.run() is Exit.DONE
    assert {"STOPPING": "1"} in manager.heard()


SLOW_DECODER = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "zxingcpp":
            time.sleep(60)
sys.meta_path.insert(0, Slow())
"""


def test_a_stop_does_not_wait_for_a_start(gate: GateOnDisk, manager: Manager) -> None:
    """The decoder may be given minutes; a service that is stopped then is not to be killed."""
    gate.write(scan="start_s = 120.0")
    (gate.path / "site").mkdir()
    (gate.path / "site/sitecustomize.py").write_text(SLOW_DECODER)
    process = gate.run(
        NOTIFY_SOCKET=f"@idgate-service-{os.getpid()}",
        PYTHONPATH=f"{gate.path / 'site'}:{ROOT}",
    )
    until(lambda: manager.said("loading the decoder"), "loading the decoder")
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == Exit.DONE
    heard = manager.heard()
    assert {"READY": "1"} not in heard
    assert {"STOPPING": "1"} in heard
    assert list(steps(heard))[-len(STOPPING) :] == list(STOPPING)


def test_a_fault_says_that_it_stops(gate: GateOnDisk, manager: Manager) -> None:
    settings = load(gate.config)
    daemon = Daemon(settings, open_hardware(settings), service=manager.service)
    daemon._threads.lose("a thread: of this test")
    assert daemon.run() is Exit.FAULT
    assert {"STOPPING": "1"} in manager.heard()


def test_threads_are_waited_for_together() -> None:
    """Ten that hang take as long as one, or the sum would be more than the unit allows."""
    group, end = ThreadGroup(), threading.Event()
    for number in range(10):
        group.start(f"hangs-{number}", end.wait)
    began = time.monotonic()
    left = group.join(0.3)
    took = time.monotonic() - began
    end.set()
    assert left == [f"hangs-{number}" for number in range(10)]
    assert 0.3 <= took < 2.0
    assert group.join(5.0) == []
