"""Whose the gate's state is: root must not leave files in it that the daemon cannot write."""

from __future__ import annotations

import os
import pwd

from agent.settings.model import Config, ConfigError

__all__ = ["require_owner"]


def require_owner(config: Config, command: str) -> None:
    """Refuse to write as root into the state directory of a daemon that is not root.

    Args:
        config: names the directory; it is made where it is not there.
        command: what was called, as in `finger ...`.

    Raises:
        ConfigError: it belongs to somebody else.
    """
    state = config.state_path("")
    state.mkdir(parents=True, exist_ok=True)
    owner = state.stat().st_uid
    if os.geteuid() or not owner:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise ConfigError(f"{state} is {name}'s: run `sudo -u {name} idgate {command}`")
