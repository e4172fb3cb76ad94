"""How a daemon comes to a gatekeeper, and what is done for a gate that nobody decides for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.daemon import gatekeeper
from agent.daemon.gatekeeper import (
    connector,
    gatekeeper_dir,
    make_gate_safe,
    reach,
    visiting,
)
from agent.daemon.pins import pin_map
from agent.gate.gate import Gate
from agent.gatekeeper.kept import load_map, write
from agent.gatekeeper.pinmap import pack
from agent.gatekeeper.server import listen
from agent.settings.load import load
from agent.settings.model import Config, ConfigError
from hal.errors import DeviceUnavailable
from hal.simulated.pinboard import Function, PinBoard
from tests.support.gate_on_disk import FIRE, RELAY, TAMPER, until

SETTINGS = """
state_dir = "state"
[gate]
site = "s"
gate = "g"
[gpio]
driver = "simulated"
{gpio}
[simulation]
pins_file = "pins"
"""
CLOSED = "the gatekeeper lives and has closed the gate; fire, release and free passage work on"


class Site:
    """Settings on a disk, and the gatekeepers that were started for them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "config.toml"
        self.write()
        self.gates: list[Gate] = []
        self.board = PinBoard(path / "pins")
        for pin in (FIRE, TAMPER):
            self.board.drive(pin, level=False)

    def write(self, gpio: str = "") -> None:
        self.file.write_text(SETTINGS.format(gpio=gpio))

    @property
    def config(self) -> Config:
        return load(self.file)

    @property
    def kept(self) -> Path:
        return gatekeeper_dir(self.config)

    def alive(self) -> list[int]:
        """Return the gatekeepers that live."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
                if str(self.kept).encode() in words and state != "Z":
                    found.append(int(entry.name))
        return found

    def begin(self) -> Gate:
        gate = Gate(connector(self.config), pin_map(self.config), lambda _event: None)
        gate.begin()
        self.gates.append(gate)
        return gate

    def killed_open(self) -> None:
        """Leave the gate as a decider and a gatekeeper that were killed leave it: open."""
        gate = self.begin()
        gate.hold(held=True)
        until(lambda: self.board.level(RELAY), "open")
        until(lambda: load_map(self.kept / "pins.map")[0] is not None, "kept")
        (number,) = self.alive()
        os.kill(number, signal.SIGKILL)
        until(lambda: not self.alive(), "killed")
        gate.stop()
        assert self.board.level(RELAY)

    def driven(self) -> bool:
        return any(self.board.function(pin) is Function.OUTPUT for pin in range(28))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(gatekeeper, "UNIT_DIR", tmp_path / "unit")
    monkeypatch.setattr(gatekeeper, "UNIT_RUN_DIR", tmp_path / "run")
    made = Site(tmp_path)
    yield made
    made.write()
    for number in made.alive():
        os.kill(number, signal.SIGKILL)
    for gate in made.gates:
        gate.stop()
    made.board.close()


# --- reaching one


def test_a_socket_may_be_at_a_path_longer_than_a_socket_can_say(tmp_path):
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    with listen(folder / "socket", 0o660), reach(folder / "socket") as link:
        assert link.getpeername()
        assert not link.get_inheritable()


@pytest.mark.parametrize("name", ["socket", "nowhere/socket"])
def test_where_nobody_is_nothing_is_left_open(tmp_path, name):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        reach(tmp_path / name)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_units_gatekeeper_is_not_started_by_the_daemon(site):
    site.write('gatekeeper = "run/socket"')
    (site.path / "run").mkdir()
    said = (
        f"no gatekeeper at {site.path}/run/socket: No such file or directory; is "
        "idgate-gatekeeper.service running, and is this user in its group?"
    )
    with pytest.raises(DeviceUnavailable) as caught:
        connector(site.config)()
    assert str(caught.value) == said
    with listen(site.path / "run" / "socket", 0o660):
        connector(site.config)().close()
    assert site.alive() == []


def test_one_of_its_own_is_started_once_and_found_again(site):
    site.begin().stop()
    until(lambda: not site.alive(), "gone with the daemon")
    first = site.begin()
    (number,) = site.alive()
    first._link.close()  # as the kernel closes it for a daemon that is killed
    until(lambda: _begins(site), "another one decides")
    assert site.alive() == [number]


def _begins(site: Site) -> bool:
    """A gatekeeper may hear of the end a moment after the next one comes."""
    try:
        site.begin().hold(held=True)
    except DeviceUnavailable:
        return False
    return True


def test_one_that_does_not_start_says_why(site):
    site.kept.parent.mkdir()
    site.kept.write_text("a file")
    with pytest.raises(DeviceUnavailable) as caught:
        connector(site.config)()
    assert not str(caught.value).startswith("gatekeeper:")
    assert "File exists" in str(caught.value)


def test_one_that_takes_too_long_to_start_is_none(site, monkeypatch):
    monkeypatch.setattr(gatekeeper, "_RUN", "import time; time.sleep(60)")
    monkeypatch.setattr(gatekeeper, "_START_S", 0.2)
    with pytest.raises(DeviceUnavailable, match=r"the gatekeeper does not start: .*timed out"):
        connector(site.config)()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit(7)", "^the gatekeeper does not start: exit 7$"),
        ("raise SystemExit(0)", "^the gatekeeper is gone again: "),
    ],
)
def test_one_that_ends_at_once_is_none(site, monkeypatch, program, said):
    monkeypatch.setattr(gatekeeper, "_RUN", program)
    site.kept.mkdir(parents=True)
    with pytest.raises(DeviceUnavailable, match=said):
        connector(site.config)()


# --- visiting


def test_a_visit_starts_one_that_keeps_nothing_and_ends_it(site):
    with visiting(site.config, lambda _event: None) as gate:
        gate.hold(held=True)
        until(lambda: site.board.level(RELAY), "open")
    assert not site.driven()
    assert not site.kept.exists()


def test_a_visit_to_one_that_lives_goes_there(site):
    site.begin()._link.close()
    (number,) = site.alive()
    until(lambda: _visits(site), "visited")
    until(lambda: site.alive() != [number], "it left with the visitor, who said goodbye")


def _visits(site: Site) -> bool:
    try:
        with visiting(site.config, lambda _event: None) as gate:
            return gate.health().alive
    except DeviceUnavailable:
        return False


def test_nobody_visits_where_a_daemon_decides(site):
    gate = site.begin()
    with (
        pytest.raises(DeviceUnavailable, match="another process decides for this gate"),
        visiting(site.config, lambda _event: None),
    ):
        raise AssertionError
    gate.stop()


# --- safe


def test_a_gate_that_was_killed_open_is_closed_by_its_map(site):
    site.killed_open()
    site.write("relay = 1")  # the settings say something else by now
    done = make_gate_safe(site.file)
    assert done[0] == "relay (GPIO17): inactive, then let go"
    assert (site.board.level(RELAY), site.driven()) == (False, False)


def test_also_with_settings_that_cannot_be_read(site):
    site.killed_open()
    site.file.write_text("nonsense")
    assert make_gate_safe(site.file)[0] == "relay (GPIO17): inactive, then let go"
    site.file.unlink()
    make_gate_safe(site.file)
    assert not site.driven()
    site.write()


def test_one_that_lives_closes_what_nobody_decides_for(site):
    site.begin()._link.close()
    until(lambda: _safe(site) == [CLOSED], "closed by itself")


def _safe(site: Site) -> list[str]:
    try:
        return make_gate_safe(site.file)
    except DeviceUnavailable:
        return []


def test_no_gate_is_closed_over_the_head_of_a_daemon(site):
    gate = site.begin()
    gate.hold(held=True)
    until(lambda: site.board.level(RELAY), "open")
    with pytest.raises(DeviceUnavailable, match="another process decides for this gate"):
        make_gate_safe(site.file)
    assert site.board.level(RELAY)
    gate.stop()


def test_where_no_map_was_kept_the_settings_are_taken(site):
    site.write("relay = 1")
    assert make_gate_safe(site.file)[0] == "relay (GPIO1): inactive, then let go"


def test_without_a_map_and_settings_there_is_nothing_to_go_by(site):
    site.file.write_text("nonsense")
    with pytest.raises(ConfigError):
        make_gate_safe(site.file)
    site.write()


@pytest.mark.parametrize("readable", [True, False])
def test_the_units_map_is_known_by_the_file_it_was_made_of(site, readable):
    site.write('gatekeeper = "run/socket"')
    unit = site.path / "unit"
    unit.mkdir()
    made = pin_map(site.config)
    write(unit / "pins.map", pack(made._replace(pins=made.pins | {"relay": 2})))
    if not readable:
        site.file.write_text("nonsense")
    assert make_gate_safe(site.file)[0] == "relay (GPIO2): inactive, then let go"
    write(unit / "pins.map", pack(made._replace(settings="/another.toml")))
    site.write()
    assert make_gate_safe(site.file)[0] == "relay (GPIO17): inactive, then let go"


@pytest.mark.parametrize("map_is_read", [True, False])
def test_the_units_gatekeeper_is_found_where_it_listens(site, map_is_read):
    """Its map is its own: whoever may decide need not be able to read it."""
    site.write('gatekeeper = "run/socket"')
    for name in ("unit", "run"):
        (site.path / name).mkdir()
    if map_is_read:
        write(site.path / "unit" / "pins.map", pack(pin_map(site.config)))
    with listen(site.path / "run" / "socket", 0o660) as listener:
        listener.setblocking(True)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("agent.gate.gate.ANSWER_S", 0.1)
            with pytest.raises(DeviceUnavailable, match="does not answer: timed out"):
                make_gate_safe(site.file)
        link, _ = listener.accept()
        assert isinstance(link, socket.socket)
        link.close()
