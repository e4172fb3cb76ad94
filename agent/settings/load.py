"""Reads the settings file: TOML text in, checked settings out.

An error names the file, the key, what is wrong and what is allowed, in one line.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from agent.settings.checks import OPTIONAL_LINES, contradiction
from agent.settings.errors import explain
from agent.settings.model import Config, ConfigError, File

__all__ = ["load", "parse"]


def parse(text: str, *, source: str, base_dir: Path | None = None) -> Config:
    """Return the settings in `text`.

    Args:
        text: TOML.
        source: how errors name the text.
        base_dir: what relative paths are relative to.

    Raises:
        ConfigError: one line that names source, key, fault and what is allowed.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source}: not TOML: {error}") from None
    _not_fitted(table)
    try:
        file = msgspec.convert(table, File)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {explain(error, File)}") from None
    config = Config(**msgspec.structs.asdict(file), base_dir=str(base_dir or "."))
    if wrong := contradiction(config):
        raise ConfigError(f"{source}: {wrong}")
    return config


def load(path: Path) -> Config:
    """Read a settings file.

    Raises:
        ConfigError: it cannot be read or used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # as an editor of Windows writes it, too
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text: save it as that"
        if isinstance(error, PermissionError):
            reason = f"{reason}; it is for the gate's own user: sudo -u idgate idgate ..."
        raise ConfigError(f"{path}: cannot be read: {reason}") from None
    resolved = path.resolve()
    config = parse(text, source=str(path), base_dir=resolved.parent)
    return msgspec.structs.replace(config, file=str(resolved))


def _not_fitted(table: dict[str, object]) -> None:
    """Turn `false` on a line of `[gpio]` into what the types know: TOML has no null."""
    gpio = table.get("gpio")
    if isinstance(gpio, dict):
        for name in OPTIONAL_LINES:
            if gpio.get(name) is False:
                gpio[name] = None
