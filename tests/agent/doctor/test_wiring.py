"""Drivers and pins that work on a desk and not at a gate: one table each."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent.doctor.wiring import Surroundings, look, risky_pins, simulated
from agent.settings.load import parse
from agent.settings.model import Config

GATE = '[gate]\nsite = "s"\ngate = "g"\n'
SIMULATED = '[[camera]]\ndriver = "simulated"\n[gpio]\ndriver = "simulated"\n'
FINGER = '[finger]\ndriver = "simulated"\n'
NOTHING = Surroundings()
ALL = Surroundings(raspberry_pi=True, i2c=True, spi=True, console=True)


def settings(text: str = "", file: str = "/home/ada/config.toml") -> Config:
    return msgspec.structs.replace(parse(GATE + text, source="x"), file=file)


@pytest.mark.parametrize(
    ("text", "file", "around", "told"),
    [
        (SIMULATED, "/home/ada/config.toml", NOTHING, (False, "gpio, camera code")),
        (SIMULATED + FINGER, "/x", NOTHING, (False, "gpio, camera code, finger")),
        (SIMULATED, "/x", Surroundings(raspberry_pi=True), (True, "gpio, camera code")),
        (SIMULATED, "/etc/idgate/config.toml", NOTHING, (True, "gpio, camera code")),
        (SIMULATED, "/etc/idgate-trial/config.toml", NOTHING, (False, "gpio, camera code")),
        (SIMULATED + 'gatekeeper = "/run/x"\n', "/x", NOTHING, (True, "gpio, camera code")),
        ('[[camera]]\ndriver = "simulated"\n', "/x", NOTHING, (True, "camera code")),
        ('[gpio]\ndriver = "simulated"\n', "/x", NOTHING, (True, "gpio")),
        (FINGER, "/x", NOTHING, (True, "finger")),
        ("", "/etc/idgate/config.toml", ALL, (False, "")),
    ],
)
def test_simulated_drivers_where_people_would_pass(text, file, around, told) -> None:
    assert simulated(settings(text, file), around) == told


OPENS = "is pulled up from power-on: the gate opens while the Pi boots; take GPIO9 to GPIO27"
IS_ON = "is pulled up from power-on: it is on while the Pi boots; take GPIO9 to GPIO27"


@pytest.mark.parametrize(
    ("gpio", "around", "told"),
    [
        ("", ALL, []),
        ("relay = 0\n", NOTHING, ["is read at power-on as an add-on board's EEPROM", OPENS]),
        ("relay = 1\n", NOTHING, ["is read at power-on as an add-on board's EEPROM", OPENS]),
        ("relay = 2\n", NOTHING, [OPENS]),
        ("relay = 8\n", NOTHING, [OPENS]),
        ("relay = 9\n", NOTHING, []),
        ("relay_out = 7\n", NOTHING, [OPENS]),
        ('relay = 8\nrelay_active = "low"\n', NOTHING, []),
        ("green = 4\n", NOTHING, [IS_ON]),
        ("ready = 7\n", NOTHING, [IS_ON]),
        ('buzzer = 4\nlamps_active = "low"\n', NOTHING, []),
        ("passage = 4\n", NOTHING, []),
        ("passage = 2\n", NOTHING, []),
        ("passage = 3\n", Surroundings(i2c=True), ["belongs to I2C, which is switched on"]),
        ("passage = 11\n", NOTHING, []),
        ("passage = 11\n", Surroundings(spi=True), ["belongs to SPI, which is switched on"]),
        ("passage = 12\n", ALL, []),
        ("passage = 14\n", NOTHING, []),
        (
            "passage = 15\n",
            Surroundings(console=True),
            ["is the serial port, to which the kernel's console writes"],
        ),
        ("relay = 8\n", Surroundings(spi=True), [OPENS, "belongs to SPI, which is switched on"]),
    ],
)
def test_pins_that_something_else_claims(gpio, around, told) -> None:
    name, _, pin = gpio.partition("\n")[0].partition(" = ")
    lines = list(risky_pins(settings(f"[gpio]\n{gpio}"), around))
    assert lines == [f"gpio.{name}: GPIO{pin} {words}" for words in told]


@pytest.mark.parametrize("port", ["/dev/serial0", "/dev/ttyAMA0", "/dev/ttyS0"])
def test_the_serial_port_of_a_module_is_no_place_for_a_line(port) -> None:
    text = f'[gpio]\ndoor = 14\n[finger]\nport = "{port}"\n'
    line = "gpio.door: GPIO14 is the serial port of the fingerprint module"
    console = (
        "the kernel's console writes to the port of the fingerprint module: switch it off "
        "(raspi-config, serial port: no login shell)"
    )
    assert list(risky_pins(settings(text), NOTHING)) == [line]
    assert list(risky_pins(settings(text), Surroundings(console=True))) == [line, console]


def test_a_module_on_another_port_leaves_these_pins() -> None:
    text = '[gpio]\ndoor = 14\n[finger]\nport = "/dev/ttyUSB0"\n'
    assert list(risky_pins(settings(text), NOTHING)) == []


def test_a_reader_on_the_serial_port() -> None:
    text = '[gpio]\ndoor = 15\noutput = "osdp"\nosdp_port = "/dev/serial0"\nosdp_key_file = "key"\n'
    assert list(risky_pins(settings(text), NOTHING)) == [
        "gpio.door: GPIO15 is the serial port of the OSDP reader"
    ]


def test_simulated_pins_are_nobodys() -> None:
    assert list(risky_pins(settings('[gpio]\ndriver = "simulated"\nrelay = 0\n'), ALL)) == []


def test_what_the_machine_says(tmp_path: Path) -> None:
    assert look(tmp_path) == NOTHING
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "dev").mkdir()
    (tmp_path / "proc/cmdline").write_text("console=tty1 root=/dev/mmcblk0p2")
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert look(tmp_path) == Surroundings(raspberry_pi=True)
    (tmp_path / "proc/cmdline").write_text("console=serial0,115200 console=tty1")
    for name in ("i2c-1", "spidev0.1"):
        (tmp_path / "dev" / name).touch()
    assert look(tmp_path) == ALL
    (tmp_path / "proc/device-tree/model").write_bytes(b"QEMU \xff Standard PC\0")
    assert not look(tmp_path).raspberry_pi
