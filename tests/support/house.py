"""A gatekeeper's server on a simulated board with a clock of the test's own; turned by hand."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.gatekeeper.kept import Scribe, write
from agent.gatekeeper.pinmap import PinMap, pack
from agent.gatekeeper.server import Server, listen
from agent.gatekeeper.wire import (
    EVENTS,
    PROTOCOL,
    REPORT_SIZE,
    TAKEN,
    WELCOME,
    Event,
    Report,
    Request,
)
from agent.settings.model import GpioConfig
from hal.errors import DeviceFault, DeviceUnavailable
from hal.service_manager import ServiceManager
from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import PinBoard
from tests.support.rig import PERIOD, lines_of

RELAY, OTHER_RELAY, GREEN, RED, READY = 17, 16, 27, 22, 24
FIRE, TAMPER, RELEASE, DOOR, KEY = 6, 13, 19, 12, 20
SETTINGS = GpioConfig(driver="simulated", door=DOOR, key=KEY)
PINS = lines_of(SETTINGS)
OTHER_PINS = lines_of(GpioConfig(driver="simulated", door=DOOR, key=KEY, relay=OTHER_RELAY))


class Lines(SimulatedGpio):
    """Lines of which one may be taken by somebody, or fail."""

    taken: int | None = None
    broken: int | None = None

    def setup_output(self, pin: int, *, level: bool) -> None:
        if pin == Lines.taken:
            raise DeviceUnavailable(f"pin {pin} is not ours")
        super().setup_output(pin, level=level)

    def read(self, pin: int) -> bool:
        if pin == Lines.broken:
            raise DeviceFault(f"pin {pin} is gone")
        return super().read(pin)


@dataclass
class Decider:
    """The other end of a session, spoken by hand."""

    link: socket.socket
    session: int = 0

    def send(self, op: str, flag: int = 0, **values: int) -> None:
        request = Request(op, flag, **{"session": self.session, **values})
        self.link.send(request.pack())

    def map(self, pin_map: PinMap | bytes = PINS) -> None:
        record = pin_map if isinstance(pin_map, bytes) else pack(pin_map)
        self.link.send(Request("map", session=self.session).pack() + record)

    def heard(self) -> list[Report]:
        """Return what was said since; the last one is None where the session is over."""
        found = []
        while True:
            try:
                message = self.link.recv(REPORT_SIZE + 1)
            except BlockingIOError:
                return found
            except ConnectionResetError:
                message = b""
            if not message:
                return [*found, None]
            found.append(Report.unpack(message))

    def events(self) -> list[Event]:
        return [report.event() for report in self.heard() if report and report.kind == EVENTS]

    @property
    def over(self) -> bool:
        return self.heard()[-1:] == [None]


@dataclass
class House:
    """A server on a board, in a directory; `now` is seconds and moves with the turns."""

    directory: Path
    leave: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    now: float = 100.0

    def __post_init__(self) -> None:
        self.board = PinBoard(clock_ns=lambda: round(self.now * 1e9))
        for pin in (FIRE, TAMPER, DOOR):
            self.board.drive(pin, level=False)
        for pin in (RELEASE, KEY):
            self.board.drive(pin, level=True)
        self.said: list[str] = []
        self.made: list[Lines] = []
        self.links: list[socket.socket] = []
        self.scribe = Scribe(self.said.append)
        self.path = self.directory / "socket"
        self.server = self.build()

    def build(self) -> Server:
        return Server(
            self.directory,
            listen(self.path, 0o660),
            self._driver,
            self.scribe,
            clock=lambda: self.now,
            service=ServiceManager(self.environment),
            leave=self.leave,
        )

    def _driver(self, pin_map: PinMap) -> Lines:
        self.made.append(Lines(board=self.board))
        return self.made[-1]

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.now += PERIOD
            self.server.turn(self.now)

    def run(self, seconds: float, *beating: Decider) -> None:
        for number in range(round(seconds / PERIOD)):
            if number % 20 == 0:
                for decider in beating:
                    decider.send("beat")
            self.turn()

    def connect(self) -> Decider:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.links.append(link)
        link.connect(str(self.path))
        link.setblocking(False)
        return Decider(link)

    def greeted(self) -> Decider:
        decider = self.connect()
        decider.send("hello", PROTOCOL)
        self.turn()
        (welcome,) = decider.heard()
        assert welcome.kind == WELCOME
        decider.session = welcome.session
        return decider

    def decider(self, pin_map: PinMap = PINS) -> Decider:
        """Return one that begins well; its first words are heard."""
        decider = self.greeted()
        decider.map(pin_map)
        self.turn()
        taken = decider.heard()[0]
        assert (taken.kind, taken.a) == (TAKEN, 1)
        return decider

    def press(self) -> None:
        self.board.drive(RELEASE, level=False)
        self.run(0.1)
        self.board.drive(RELEASE, level=True)
        self.run(0.6)

    def disk(self) -> None:
        """Let the scribe write once."""
        self.scribe._ended = True
        self.scribe._wake.set()
        self.scribe._run()
        self.scribe._ended = False

    def on(self, pin: int = RELAY) -> bool:
        return self.board.level(pin)

    def rises(self, pin: int = RELAY) -> int:
        return len([edge for edge in self.board.edges() if edge.pin == pin and edge.level])

    def close(self) -> None:
        """End it as a test does: the deciders first, so that nobody is waited for."""
        for link in self.links:
            link.close()
        self.server.close()


@pytest.fixture
def make_house(tmp_path, monkeypatch):
    monkeypatch.setattr(Lines, "taken", None)
    monkeypatch.setattr(Lines, "broken", None)
    houses = []

    def make(**options: object) -> House:
        houses.append(House(tmp_path, **options))
        return houses[-1]

    yield make
    for house in houses:
        house.close()


@pytest.fixture
def house(make_house) -> House:
    return make_house()


@pytest.fixture
def booted(make_house, tmp_path) -> House:
    """A gatekeeper that took a kept map, with nobody there yet."""
    write(tmp_path / "pins.map", pack(PINS))
    house = make_house()
    house.server.boot()
    house.turn()
    return house
