"""From settings to the fingerprint module, by driver name; part of the composition root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.biometrics.finger.check import FingerCheck, FingerRules
from agent.biometrics.finger.guard import Guard
from agent.biometrics.finger.table import EnrolmentTable
from agent.settings.model import Config, ConfigError, FingerConfig
from agent.settings.secrets import secret_path
from hal.errors import DeviceUnavailable, HalError
from hal.fingerprint import NOTEPAD_BYTES, FingerprintSensor, PasswordRefused

__all__ = [
    "TABLE_NAME", "Secrets", "finger_settings", "look_at_sensor", "make_check", "make_guard",
    "open_sensor", "open_table", "read_secrets",
]  # fmt: skip

TABLE_NAME = "fingers.json"
PASSWORD_BYTES = 4


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the module must know, and what it must show.

    Attributes:
        password: 4 bytes; the factory's where no file is named.
        pairing: 32 bytes; None where no file is named.
    """

    password: bytes
    pairing: bytes | None

    def __repr__(self) -> str:
        return f"Secrets(paired={self.pairing is not None})"


def finger_settings(config: Config) -> FingerConfig:
    """Return the table [finger].

    Raises:
        ConfigError: there is none.
    """
    if config.finger is None:
        raise ConfigError("the settings have no table [finger]")
    return config.finger


def read_secrets(config: Config) -> Secrets:
    """Read password and pairing secret, hexadecimal digits in files of their own.

    Raises:
        ConfigError: a file that is named cannot be read or is of the wrong length.
    """
    settings = finger_settings(config)
    password = bytes(PASSWORD_BYTES)
    pairing = None
    if settings.password_file:
        password = _read_hex(config, "password_file", settings.password_file, PASSWORD_BYTES)
    if settings.pairing_file:
        pairing = _read_hex(config, "pairing_file", settings.pairing_file, NOTEPAD_BYTES)
    return Secrets(password, pairing)


def _read_hex(config: Config, key: str, name: str, length: int) -> bytes:
    path = secret_path(name, config.path(""))
    try:
        data = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise ConfigError(
            f"key finger.{key}: {path}: {error.strerror}; `idgate finger pair` makes it"
        ) from None
    except ValueError:
        data = b""
    if len(data) != length:
        raise ConfigError(f"key finger.{key}: {path}: {2 * length} hexadecimal digits are needed")
    return data


def open_sensor(config: Config, password: bytes) -> FingerprintSensor:
    """Open the module that the settings name; there is no fallback.

    Raises:
        DeviceUnavailable: it does not answer; the message says what to do.
        PasswordRefused: it has another password.
    """
    settings = finger_settings(config)
    if settings.driver == "simulated":
        from hal.simulated.fingerprint_sensor import SimulatedSensor

        script = config.simulation.sensor_script
        return SimulatedSensor(
            config.path(script) if script else None, baud=settings.baud, password=password
        )
    from hal.library import starting

    with starting(f"fingerprint module at {settings.port}", "run ./setup.sh"):
        from hal.raspberrypi.fingerprint import AdafruitSensor

    return AdafruitSensor(settings.port, settings.baud, password)


def open_table(config: Config) -> EnrolmentTable:
    """Return the gate's table of enrolments."""
    return EnrolmentTable(config.state_path(TABLE_NAME))


def make_guard(config: Config, sensor: FingerprintSensor, pairing: bytes | None) -> Guard:
    """Return what doubts the module."""
    settings = finger_settings(config)
    return Guard(
        sensor,
        secret=pairing,
        decoy_rate=settings.decoy_rate,
        threshold=settings.threshold,
    )


def make_check(config: Config) -> FingerCheck:
    """Open the module and return the check; the caller closes it.

    Raises:
        ConfigError: a secret cannot be read.
        HalError: the module does not answer, or is not ours.
    """
    settings, secrets = finger_settings(config), read_secrets(config)
    sensor = open_sensor(config, secrets.password)
    try:
        guard = make_guard(config, sensor, secrets.pairing)
        guard.prove()
    except BaseException:
        sensor.close()
        raise
    rules = FingerRules(settings.family, settings.threshold, settings.retries)
    return FingerCheck(sensor, guard, open_table(config), rules)


def look_at_sensor(config: Config) -> tuple[str, str]:
    """Look at the module as a doctor does, and let go of it.

    Returns:
        What is wrong (empty for nothing), and what was seen.
    """
    try:
        check = make_check(config)
    except DeviceUnavailable as error:
        return _speed_hint(config, error), ""
    except (ConfigError, PasswordRefused, HalError) as error:
        return str(error), ""
    try:
        info = check.sensor.info
        used = check.sensor.count()
        rows = len(open_table(config).rows())
    except (HalError, ValueError) as error:
        return str(error), ""
    finally:
        check.close()
    length = f"{info.template_length} bytes" if info.template_length else "length not yet known"
    settings = finger_settings(config)
    doubts = "" if settings.pairing_file else "; not paired: an exchanged module is not noticed"
    return "", (
        f"{used} of {info.library_size} slots in use, {rows} enrolled here; templates {length}; "
        f"packets {info.packet_size}; security level {info.security_level}; {info.baud} baud"
        f"{doubts}"
    )


def _speed_hint(config: Config, error: DeviceUnavailable) -> str:
    """Add the speed at which a module does answer, where one does."""
    settings = finger_settings(config)
    if settings.driver != "adafruit" or not Path(settings.port).exists():
        return str(error)
    from hal.raspberrypi.fingerprint import find_baud

    found = find_baud(settings.port)
    if found is None or found == settings.baud:
        return str(error)
    return f"the module answers at {found} baud, finger.baud is {settings.baud}"
