"""A whole gate without a camera: a serial engine on a pty, the daemon in this process."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.controller.ports import JournaledEvent
from agent.daemon.daemon import Daemon
from agent.daemon.engine import look_at_engine
from agent.daemon.hardware import open_hardware
from agent.issuing.issue import Holder, Issuer, new_issuer, present, sign_credential
from agent.journal import events
from agent.settings.load import load
from agent.settings.model import Config
from hal.engine.gm65 import SETUP_CODES_OFF, Register
from hal.errors import DeviceUnavailable
from hal.simulated.pinboard import PinBoard
from hal.simulated.scan_engine import Shown, SimulatedEngine
from tests.support import gatekeepers

FIRE, TAMPER, RELAY, READY = 6, 13, 17, 24
PATIENCE_S = 20.0
SETTINGS = """
camera = []
state_dir = "state"
[gate]
site = "s"
gate = "g"
profile = "p.toml"
[scan_engine]
{engine}
[gpio]
driver = "simulated"
[simulation]
pins_file = "pins"
codes_file = "codes"
"""
PROFILE = 'name = "p"\ntitle = "t"\nkinds = ["library-card"]\n'


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not {what} within {PATIENCE_S} s"
        time.sleep(0.01)


@dataclass
class Place:
    """A gate's folder, its issuer, and the engine beside it."""

    path: Path
    issuer: Issuer
    holder: Holder
    board: PinBoard
    engine: SimulatedEngine
    rows: list[JournaledEvent] = field(default_factory=list)
    daemons: list[Daemon] = field(default_factory=list)

    def config(self, engine: str = "") -> Config:
        port = f'port = "{self.path / "by-id"}"'
        path = self.path / "config.toml"
        path.write_text(SETTINGS.format(engine=engine or port))
        return load(path)

    def start(self, config: Config) -> Daemon:
        daemon = Daemon(config, open_hardware(config), observe=self.rows.append)
        self.daemons.append(daemon)
        daemon.start()
        return daemon

    def code(self) -> bytes:
        now = int(time.time())
        credential = sign_credential(
            self.issuer, self.holder, subject="4711", issued_at=now - 60, valid_until=now + 86_400,
            kind="library-card",
        )  # fmt: skip
        return present(credential, self.holder, at=now).encode()

    def told(self, kind: type[events.Event]) -> list[events.Event]:
        return [row.event for row in self.rows if isinstance(row.event, kind)]

    def lit(self, pin: int) -> bool:
        return [edge.level for edge in self.board.edges() if edge.pin == pin][-1:] == [True]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    issuer, holder = new_issuer("lib", "ES256"), Holder.new()
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "lib.pem").write_bytes(issuer.key.public_pem())
    (tmp_path / "trust" / "lib.toml").write_text(issuer.trust_toml())
    (tmp_path / "p.toml").write_text(PROFILE)
    (tmp_path / "state").mkdir()
    engine = SimulatedEngine(baud=115_200)
    with PinBoard(tmp_path / "pins") as board:
        for loop in (FIRE, TAMPER):
            board.drive(loop, level=False)
        made = Place(tmp_path, issuer, holder, board, engine)
        engine.open_pty(tmp_path / "by-id")
        yield made
        for daemon in made.daemons:
            daemon.shutdown()
        engine.close()
        gatekeepers.end(tmp_path)


def test_a_code_that_the_engine_read_opens_the_gate(place, caplog):
    caplog.set_level(logging.DEBUG)
    daemon = place.start(place.config())
    assert daemon.parts.scanner is None
    assert place.engine.registers[Register.SETUP_CODES] & SETUP_CODES_OFF
    until(lambda: place.lit(READY), "ready")
    code = place.code()
    place.engine.show(Shown(code))
    until(lambda: place.lit(RELAY), "open")
    until(lambda: place.told(events.Decision), "told")
    (decision,) = place.told(events.Decision)
    assert (decision.decision, decision.reason) == ("granted", "granted")
    until(lambda: daemon.health.metrics()["engine_scans"] >= 2, "told again")
    assert len(place.told(events.Decision)) == 1
    assert daemon.health.info().drivers["engine"] == "serial"
    assert code.decode() not in caplog.text
    assert code not in (place.path / "state" / "journal.sqlite").read_bytes()


def test_an_engine_that_comes_back_new_is_set_up_again_and_told(place):
    daemon = place.start(place.config())
    place.engine.remove()
    place.engine.power_cycle(reset=True)
    place.engine.open_pty(place.path / "by-id")
    place.engine.show(Shown(place.code()))
    until(lambda: place.told(events.Decision), "a decision")
    (fault,) = place.told(events.Fault)
    assert (fault.part, fault.code) == ("engine", "reopened")
    assert place.engine.registers[Register.SETUP_CODES] & SETUP_CODES_OFF
    assert daemon.parts.hardware.engine.recoveries == 1


def test_the_simulated_engine_reads_a_file(place):
    place.start(place.config('driver = "simulated"'))
    (place.path / "codes").write_bytes(place.code() + b"\n")
    until(lambda: place.lit(RELAY), "open")


def test_an_engine_that_is_not_there_stops_the_start(place):
    with pytest.raises(DeviceUnavailable, match=r"scan_engine\.port"):
        open_hardware(place.config('port = "/dev/serial/by-id/none"'))


def test_what_the_doctor_sees(place, monkeypatch):
    wrong, caution, detail = look_at_engine(place.config())
    assert (wrong, caution) == ("", "")
    assert "printed set-up codes are off" in detail
    port = f'port = "{place.path / "by-id"}"'
    wrong, caution, _ = look_at_engine(place.config(f'{port}\nmodel = "generic"'))
    assert not wrong
    assert "set-up codes printed on paper cannot be asked" in caution
    wrong, _, _ = look_at_engine(place.config('port = "/dev/ttyUSB99"'))
    assert "is not there" in wrong
    wrong, _, _ = look_at_engine(place.config(f'{port}\ndriver = "hid"'))
    assert "cannot be had alone" in wrong
    monkeypatch.setattr("os.access", lambda _path, _mode: False)
    wrong, _, _ = look_at_engine(place.config())
    assert "the group dialout" in wrong
    wrong, _, _ = look_at_engine(place.config(f'{port}\ndriver = "hid"'))
    assert "the group input" in wrong


def test_the_doctor_has_a_line_for_it(place, capsys):
    from agent.cli import main

    place.config()
    main(["doctor", "--json", "--config", str(place.path / "config.toml")])
    found = {line["part"]: line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (found["engine"]["state"], found["camera"]["state"]) == ("ok", "skipped")
