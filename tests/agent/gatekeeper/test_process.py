"""The gatekeeper as a process of its own: small, on its own feet, and there when others are not."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.gate.gate import Gate
from agent.gatekeeper.kept import load_map, load_mode, write
from agent.gatekeeper.pinmap import PinMap, pack
from agent.gatekeeper.words import Mode
from agent.settings.model import GpioConfig
from hal.simulated.pinboard import Function, PinBoard
from tests.support.gate_on_disk import until
from tests.support.house import DOOR, FIRE, KEY, READY, RED, RELAY, RELEASE, TAMPER
from tests.support.paths import ROOT
from tests.support.rig import lines_of

LARGE = (
    "numpy", "msgspec", "cryptography", "PIL", "asyncio", "ssl", "logging", "json", "tomllib",
    "paho", "argparse", "subprocess", "typing_extensions", "hashlib", "tempfile", "email", "http",
    "urllib.request", "sqlite3", "multiprocessing", "inspect", "dataclasses", "agent.settings",
    "agent.passage", "agent.gate", "agent.daemon",
)  # fmt: skip
RESIDENT_KIB = 20 * 1024
DECIDER = """
import socket, sys, time
from agent.gatekeeper.wire import PROTOCOL, Report, Request
from pathlib import Path
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.connect(sys.argv[1])
link.send(Request("hello", PROTOCOL).pack())
session = Report.unpack(link.recv(1000)).session
link.send(Request("map", session=session).pack() + Path(sys.argv[2]).read_bytes())
assert Report.unpack(link.recv(1000)).a == 1
link.send(Request("hold", 1, session=session).pack())
link.send(Request("ready", 1, session=session).pack())
link.setblocking(False)
while True:
    link.send(Request("beat", session=session).pack())
    time.sleep(0.05)
    try:
        while link.recv(1000):
            continue
    except BlockingIOError:
        continue
"""


@dataclass
class Place:
    """A gatekeeper's directory, its board, and the processes of a test."""

    path: Path
    board: PinBoard
    pin_map: PinMap
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def socket(self) -> Path:
        return self.path / "state" / "socket"

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "agent.gatekeeper", "--state", str(self.path / "state")]
        process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.processes.append(process)
        return process

    def serve(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one that listens."""
        process = self.run(*arguments)
        until(self.listens, "listening")
        return process

    def listens(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            try:
                link.connect(str(self.socket))
            except OSError:
                return False
        return True

    def keep_map(self) -> None:
        (self.path / "state").mkdir()
        write(self.path / "state" / "pins.map", pack(self.pin_map))

    def decide(self) -> subprocess.Popen[bytes]:
        """Start a decider that keeps the gate open and in order."""
        record = self.path / "record"
        record.write_bytes(pack(self.pin_map))
        process = subprocess.Popen(
            [sys.executable, "-c", DECIDER, str(self.socket), str(record)],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.processes.append(process)
        until(lambda: self.on() and self.on(READY), "open and in order")
        return process

    def connect(self) -> socket.socket:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.connect(str(self.socket))
        return link

    def on(self, pin: int = RELAY) -> bool:
        return self.board.level(pin)

    def driven(self) -> set[int]:
        return {pin for pin in range(28) if self.board.function(pin) is Function.OUTPUT}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    board = PinBoard(tmp_path / "pins")
    for pin in (FIRE, TAMPER, DOOR):
        board.drive(pin, level=False)
    for pin in (RELEASE, KEY):
        board.drive(pin, level=True)
    settings = GpioConfig(driver="simulated", door=DOOR, key=KEY, key_mode="free")
    pin_map = lines_of(settings)._replace(device=str(tmp_path / "pins"))
    made = Place(tmp_path, board, pin_map)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()
    board.close()


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


# --- small


def test_it_imports_nothing_large():
    """Neither a parser nor a library: what is not there cannot hang, and takes no memory."""
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import agent.gatekeeper.__main__, hal.simulated.gpio
print(*sys.modules)
"""
    command = [sys.executable, "-I", "-c", program, str(ROOT)]
    said = subprocess.run(command, capture_output=True, check=True).stdout.decode().split()
    loaded = {name for name in LARGE if name in said}
    assert loaded == set()
    assert "agent.gatekeeper.server" in said


def test_it_is_resident_in_twenty_mebibytes(place):
    place.keep_map()
    process = place.serve()
    until(place.driven, "lines taken")
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    assert int(line.split()[1]) < RESIDENT_KIB


# --- on its own feet


def test_it_takes_the_kept_map_without_any_settings(place):
    place.keep_map()
    place.serve()
    until(lambda: RELAY in place.driven(), "lines taken")
    place.board.drive(FIRE, level=True)
    until(place.on, "open")
    place.board.drive(FIRE, level=False)
    until(lambda: not place.on(), "closed")
    place.board.drive(KEY, level=False)
    until(place.on, "free")
    until(lambda: load_mode(place.path / "state" / "mode") == (Mode.FREE, ""), "kept")


def test_without_a_kept_map_it_waits_for_a_decider_and_keeps_its(place):
    place.serve()
    assert place.driven() == set()
    gate = Gate(place.connect, place.pin_map, lambda _event: None)
    assert gate.begin() is Mode.NORMAL
    assert RELAY in place.driven()
    kept = place.path / "state" / "pins.map"
    until(lambda: load_map(kept) == (place.pin_map, ""), "kept")
    gate.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_stop_it_leaves_inputs(place, number):
    place.keep_map()
    process = place.serve()
    place.decide()
    process.send_signal(number)
    code, _, said = ended(process)
    assert code == 0
    assert "a decider is there" in said
    assert place.driven() == set()
    last = [edge for edge in place.board.edges() if edge.pin == RELAY][-1]
    assert not last.level


def test_after_a_kill_safe_leaves_nothing_driven(place):
    place.keep_map()
    process = place.serve()
    place.decide()
    process.kill()
    process.wait(40)
    assert place.on(), "as the pins of a Raspberry Pi stay"
    code, out, said = ended(place.run("--safe"))
    assert (code, said) == (0, "")
    assert out.splitlines()[0] == "relay (GPIO17): inactive, then let go"
    assert len(out.splitlines()) == 5
    assert (place.driven(), place.on()) == (set(), False)


def test_safe_without_a_map_has_nothing_to_do(place):
    assert ended(place.run("--safe")) == (0, "", "")


def test_safe_with_a_damaged_map_says_so(place):
    (place.path / "state").mkdir()
    (place.path / "state" / "pins.map").write_bytes(b"?")
    code, out, said = ended(place.run("--safe"))
    assert (code, out) == (0, "")
    assert said.startswith(f"gatekeeper: {place.path}/state/pins.map: ")


def test_safe_does_not_take_the_lines_from_one_that_lives(place):
    place.keep_map()
    place.serve()
    until(place.driven, "lines taken")
    code, _, said = ended(place.run("--safe"))
    assert code == 3
    assert "another process drives these pins" in said
    assert RELAY in place.driven()


def test_lines_that_are_taken_are_told(place):
    place.keep_map()
    place.serve()
    until(place.driven, "lines taken")
    code, _, said = ended(place.run("--socket", str(place.path / "another")))
    assert code == 3
    assert said.startswith("gatekeeper: pins file ")


@pytest.mark.parametrize(
    "arguments", [["--socket", "x"], ["--state", "s", "more"], ["--state", "s", "--what"], []]
)
def test_usage(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "agent.gatekeeper", *arguments], cwd=ROOT, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(b"gatekeeper: ")
    assert b"--state DIR" in done.stderr


def test_a_place_that_cannot_be_used_is_told(place):
    (place.path / "state").write_text("a file")
    code, _, said = ended(place.run())
    assert (code, said.startswith("gatekeeper: ")) == (70, True)


# --- there when others are not


def test_fire_works_while_the_decider_is_stopped(place):
    place.keep_map()
    place.serve()
    decider = place.decide()
    decider.send_signal(signal.SIGSTOP)
    until(lambda: not place.on(), "closed: nobody holds it open any more")
    assert not place.on(READY)
    place.board.drive(FIRE, level=True)
    until(place.on, "open for the fire")
    place.board.drive(FIRE, level=False)
    until(lambda: not place.on(), "closed after the fire")
    place.board.drive(RELEASE, level=False)
    until(place.on, "open for the release")


def test_fire_works_when_the_decider_was_killed(place):
    place.keep_map()
    place.serve()
    decider = place.decide()
    decider.kill()
    decider.wait(40)
    until(lambda: not place.on(), "closed")
    assert not place.on(RED)
    place.board.drive(FIRE, level=True)
    until(place.on, "open for the fire")
    place.board.drive(FIRE, level=False)
    until(lambda: not place.on(), "closed after the fire")
    place.decide()


# --- one that a daemon started


def alive(place: Place) -> list[int]:
    """Return the processes that serve this place."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if str(place.path / "state").encode() in words and b"--leave" in words and state != "Z":
            found.append(int(entry.name))
    return found


@pytest.fixture
def own(place: Place) -> Iterator[Place]:
    place.keep_map()
    starter = place.serve("--leave")
    assert starter.wait(40) == 0, "it goes to the background when it listens"
    yield place
    for number in alive(place):
        os.kill(number, signal.SIGKILL)


def test_one_that_a_daemon_started_is_a_session_of_its_own(own):
    (number,) = alive(own)
    assert os.getsid(number) == number
    assert {str(Path(f"/proc/{number}/fd/{fd}").readlink()) for fd in (0, 1, 2)} == {os.devnull}


def test_it_goes_when_its_decider_says_goodbye(own):
    gate = Gate(own.connect, own.pin_map, lambda _event: None)
    gate.begin()
    gate.stop()
    until(lambda: not alive(own), "gone")
    assert own.driven() == set()


def test_it_stays_when_its_decider_is_killed(own):
    decider = own.decide()
    decider.kill()
    decider.wait(40)
    until(lambda: not own.on(), "closed")
    own.board.drive(FIRE, level=True)
    until(own.on, "open for the fire")
    assert len(alive(own)) == 1


def test_it_goes_when_its_socket_is_gone(own):
    own.socket.unlink()
    until(lambda: not alive(own), "gone")
    assert own.driven() == set()


def test_it_stays_for_a_fire_unless_all_of_its_state_is_gone(own):
    own.board.drive(FIRE, level=True)
    until(own.on, "open for the fire")
    own.socket.unlink()
    time.sleep(1.5)  # it looks each second
    assert alive(own)
    shutil.rmtree(own.path / "state")
    until(lambda: not alive(own), "gone")
    assert own.driven() == set()


def test_and_when_another_one_has_its_place(own):
    """Whoever comes later makes a socket of its own there."""
    own.socket.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as another:
        another.bind(str(own.socket))
        until(lambda: not alive(own), "gone")


def test_its_lines_cannot_be_had(place):
    place.keep_map()
    place.serve()
    until(place.driven, "lines taken")
    code, _, said = ended(place.run("--leave", "--socket", str(place.path / "another")))
    assert code == 3
    assert said.startswith("gatekeeper: pins file ")
