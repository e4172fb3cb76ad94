"""From settings to the scan engine, by driver name; part of the composition root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.settings.model import Config, ConfigError, ScanEngineConfig
from hal.errors import HalError
from hal.recovery import RecoveringEngine
from hal.scan_engine import EngineCounts, ScanEngine

if TYPE_CHECKING:
    from hal.engine.line import LineSettings

__all__ = ["ENGINE_STUCK_S", "engine_settings", "look_at_engine", "open_engine"]

ENGINE_STUCK_S: Final = 15.0
"""What a read may take: one in vain, the patience of the recovery, and a last setting up."""
UNSAFE: Final = (
    "whether it obeys set-up codes printed on paper cannot be asked: switch them off with the "
    "maker's tool"
)
SLOW: Final = (
    "a keyboard takes two reports a character: 1.3 s for a code of 661 characters at 1 ms, 10.6 s "
    "at 8 ms (computed)"
)


def engine_settings(config: Config) -> ScanEngineConfig:
    """Return the table [scan_engine].

    Raises:
        ConfigError: there is none.
    """
    if config.scan_engine is None:
        raise ConfigError("the settings have no table [scan_engine]")
    return config.scan_engine


def open_engine(config: Config) -> RecoveringEngine:
    """Open and set up an engine that mends itself where it can.

    Raises:
        DeviceUnavailable: it is not there, or its set-up codes stay on.
    """
    counts = EngineCounts()
    return RecoveringEngine(lambda: _open(config, counts), counts)


def _open(config: Config, counts: EngineCounts) -> ScanEngine:
    settings = engine_settings(config)
    if settings.driver == "hid":
        from hal.engine.keyboard import KeyboardEngine

        return KeyboardEngine(
            settings.port,
            prefix=settings.prefix.encode("ascii"),
            aim=settings.aim,
            payload_s=settings.payload_s,
            counts=counts,
        )
    if settings.driver == "simulated":
        from hal.simulated.scan_engine import open_simulated

        return open_simulated(
            _line(settings), config.path(config.simulation.codes_file), counts=counts
        )
    from hal.engine.line import SerialEngine

    return SerialEngine(_line(settings), counts)


def _line(settings: ScanEngineConfig) -> LineSettings:
    from hal.engine.line import LineSettings

    return LineSettings(
        port=settings.port,
        model=settings.model,
        baud=settings.baud,
        mode=settings.mode,
        prefix=settings.prefix.encode("ascii"),
        suffix=settings.suffix.encode("ascii"),
        gap_s=settings.gap_ms / 1e3,
        aim=settings.aim,
        payload_s=settings.payload_s,
        start_commands=tuple(bytes.fromhex(text) for text in settings.start_commands),
        start_answers=tuple(bytes.fromhex(text) for text in settings.start_answers),
    )


def look_at_engine(config: Config) -> tuple[str, str, str]:
    """Open the engine as the daemon would; return what is wrong, what is to be known, what it is.

    All but the last are empty where there is nothing to say.
    """
    settings = engine_settings(config)
    if settings.driver != "simulated" and (wrong := _port_fault(settings)):
        return wrong, "", ""
    try:
        engine = _open(config, EngineCounts())
    except HalError as error:
        return str(error), "", ""
    engine.close()
    if settings.driver == "hid":
        return "", f"{UNSAFE}; {SLOW}", f"keyboard {settings.port}, had alone"
    if settings.model == "generic":
        return "", UNSAFE, f"{settings.port} at {settings.baud} baud"
    where = settings.port or "simulated"
    return "", "", f"{where} answers at {settings.baud} baud, printed set-up codes are off"


def _port_fault(settings: ScanEngineConfig) -> str:
    """Return why the port cannot be used by this user, "" where it can."""
    group = "input" if settings.driver == "hid" else "dialout"
    if not Path(settings.port).exists():
        return f"{settings.port} is not there: is the engine plugged in, in the right mode?"
    if not os.access(settings.port, os.R_OK if settings.driver == "hid" else os.R_OK | os.W_OK):
        return f"{settings.port} may not be used by this user: it must be in the group {group}"
    return ""
