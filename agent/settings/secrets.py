"""Where the settings' secrets lie: in files, never in the settings themselves.

Nothing else is read from the environment than systemd's `CREDENTIALS_DIRECTORY`.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["optional_secret_path", "secret_path"]


def secret_path(name: str, base: Path) -> Path:
    """Resolve a secret's file name: absolute, else systemd's credentials directory, else `base`."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory and not Path(name).is_absolute():
        offered = Path(directory, name)
        if offered.exists():
            return offered
    return base / name


def optional_secret_path(name: str, base: Path) -> Path | None:
    """Resolve a secret's file name like `secret_path`; None for an empty one."""
    return secret_path(name, base) if name else None
