"""`idgate doctor` where the service is: by systemd, with the unit's user, devices and limits.

Rules:
- Each line of the unit's [Service], and of its drop-ins, is passed on in order, save those that say
  how a service is started, watched and ended. So a line that somebody adds is looked through too.
- The program is the unit's own, not the one that was called.
- Where that cannot be done, the doctor looks from outside and says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

__all__ = ["BOOTED", "UNIT", "ServiceView", "look_for_service"]

UNIT = "idgate.service"
BOOTED = Path("/run/systemd/system")
"""There where systemd is the running manager, sd_booted(3)."""

_NOT_PASSED = (
    # Another kind of service, with other ends; its output comes to us.
    "Type", "ExecCondition", "ExecStart", "ExecReload", "ExecStop", "Restart", "SuccessExitStatus",
    "Watchdog", "Timeout", "NotifyAccess", "PIDFile", "FileDescriptorStore", "Standard",
    # What ends with a unit would be taken from the daemon, if it runs.
    "RuntimeDirectory", "RemoveIPC", "KillMode",
)  # fmt: skip
"""Keys, and beginnings of keys, that are about how a service lives and not about what it may."""


class ServiceView:
    """A look through an installed unit.

    Args:
        text: as `systemctl cat` shows it: the unit, then its drop-ins.
    """

    def __init__(self, text: str) -> None:
        self.properties: list[str] = []
        self.program = ""
        for key, value in _service_lines(text):
            if key == "ExecStart":
                # A drop-in empties the list before it fills it anew.
                self.program = value.split(" ")[0].lstrip("-@:+!|")
            elif not key.startswith(_NOT_PASSED):
                self.properties.append(f"{key}={value}")

    def command(self, words: list[str]) -> list[str]:
        """Return what runs the program with these words inside, and hands its exit code on."""
        properties = [f"--property={each}" for each in self.properties]
        how = ["--pipe", "--wait", "--collect", "--quiet", "--service-type=exec"]
        return ["systemd-run", *how, *properties, "--", self.program, *words]

    def run(self, words: list[str]) -> int:
        """Run the program inside; return its exit code."""
        return subprocess.run(self.command(words), check=False).returncode  # noqa: S603 - root's unit


def _service_lines(text: str) -> list[tuple[str, str]]:
    found, inside = [], False
    for line in text.replace("\\\n", " ").splitlines():
        bare = line.strip()
        if bare.startswith("["):
            inside = bare == "[Service]"
        elif inside and bare and bare[0] not in "#;":
            key, _, value = bare.partition("=")
            found.append((key.rstrip(), value.lstrip()))
    return found


def look_for_service() -> ServiceView | str:
    """Return the installed service, or why nothing can be looked at as it."""
    if not BOOTED.is_dir():
        return "systemd is not running"
    if os.geteuid():
        return "only root can have systemd look"
    if shutil.which("systemd-run") is None or shutil.which("systemctl") is None:
        return "systemd-run is not installed"
    ask = ["systemctl", "cat", "--no-pager", UNIT]
    shown = subprocess.run(ask, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    if shown.returncode:
        return f"{UNIT} is not installed"
    view = ServiceView(shown.stdout)
    return view if view.program else f"{UNIT} starts nothing"
