"""What happens to a simulated fingerprint module: who touches it, and what goes wrong.

A script is a TOML file (`simulation.sensor_script`) or is built in code:

    variant = "r503"            # or "r307"
    repeat = true               # begin the touches anew after the last
    flash = "module.json"       # keeps the module's library from run to run; made of invented data

    [[touch]]
    finger = "anna right index" # the same name is the same finger
    condition = "clean"         # clean, wet, partial, tip, none
    after_polls = 10            # the glass is found empty so often before it
    captures = 1                # it is lifted after so many pictures

    [[fault]]
    command = "get_image"       # a name of `COMMANDS`, or "any"
    kind = "corrupt"            # corrupt, late, silent, stray, refuse, unplug
    skip = 0                    # answers to leave sound first
    times = 1
    code = 13                   # refuse: the confirmation
    at_byte = 200               # corrupt: which payload; unplug: after so many bytes
    late_s = 0.3
"""

from __future__ import annotations

import threading
import tomllib
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from hal.errors import DeviceUnavailable
from hal.simulated.fingerprint_fingers import Condition, Impression

__all__ = ["COMMANDS", "Fault", "FaultKind", "Glass", "Script", "Touch", "load_script"]

COMMANDS: Final = {
    "get_image": 0x01, "extract": 0x02, "match": 0x03, "search": 0x04, "create_model": 0x05,
    "store": 0x06, "load": 0x07, "upload": 0x08, "download": 0x09, "upload_image": 0x0A,
    "download_image": 0x0B, "delete": 0x0C, "empty": 0x0D, "set_parameter": 0x0E,
    "read_parameters": 0x0F, "set_password": 0x12, "verify_password": 0x13, "random": 0x14,
    "set_address": 0x15, "port_control": 0x17, "write_notepad": 0x18, "read_notepad": 0x19,
    "fast_search": 0x1B, "count": 0x1D, "index": 0x1F, "light": 0x35, "check_sensor": 0x36,
    "soft_reset": 0x3D, "handshake": 0x40, "echo": 0x53,
}  # fmt: skip


class FaultKind(StrEnum):
    """What goes wrong with an answer."""

    CORRUPT = "corrupt"
    """A byte is changed on the line; the checksum is not."""
    LATE = "late"
    SILENT = "silent"
    STRAY = "stray"
    """A 0x55 before the answer, as a module says that has just started."""
    REFUSE = "refuse"
    UNPLUG = "unplug"
    """The power goes in the middle."""


class Touch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A finger that will be laid on the glass; see the module's docstring."""

    finger: str
    condition: Condition = Condition.CLEAN
    after_polls: Annotated[int, Meta(ge=0, le=100_000)] = 1
    captures: Annotated[int, Meta(ge=1, le=1_000)] = 1


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that will go wrong; see the module's docstring."""

    command: str
    kind: FaultKind
    skip: Annotated[int, Meta(ge=0)] = 0
    times: Annotated[int, Meta(ge=1)] = 1
    code: Annotated[int, Meta(ge=0, le=255)] = 0x01
    at_byte: Annotated[int, Meta(ge=0)] = 0
    late_s: Annotated[float, Meta(ge=0, le=60)] = 0.0

    def __post_init__(self) -> None:
        """Refuse a command that no module has."""
        if self.command != "any" and self.command not in COMMANDS:
            raise ValueError(f"command is one of any, {', '.join(COMMANDS)}")


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole script."""

    variant: Literal["r503", "r307"] = "r503"
    repeat: bool = False
    flash: str = ""
    touch: tuple[Touch, ...] = ()
    fault: tuple[Fault, ...] = ()


def load_script(path: Path) -> Script:
    """Read a script.

    Raises:
        DeviceUnavailable: it cannot be read or used.
    """
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Script)
    except (OSError, ValueError) as error:
        raise DeviceUnavailable(f"simulation.sensor_script {path}: {error}") from None


class Glass:
    """The glass of a simulated module, and the fingers that will touch it.

    A scripted touch comes after so many pictures of an empty glass and stays for so many pictures:
    counted, not timed, so that a test is the same on every machine.

    Args:
        touches: in order.
        repeat: whether they begin anew after the last.
    """

    def __init__(self, touches: Iterable[Touch] = (), *, repeat: bool = False) -> None:
        self._lock = threading.Lock()
        self._queue = deque(touches)
        self._repeat = repeat
        self._held: Impression | None = None
        self._number = 0
        self._empty_polls = 0
        self._captured = 0
        self.polls = 0
        """Pictures taken, of anything."""

    def place(self, finger: str, condition: Condition = Condition.CLEAN) -> None:
        """Lay a finger on the glass until it is lifted."""
        with self._lock:
            self._number += 1
            self._held = Impression(finger, condition, self._number)

    def lift(self) -> None:
        """Take away what `place` laid there."""
        with self._lock:
            self._held = None

    def expect(self, *touches: Touch) -> None:
        """Add touches to the script."""
        with self._lock:
            self._queue.extend(touches)

    def clear(self) -> None:
        """Nobody will touch the glass any more."""
        with self._lock:
            self._queue.clear()
            self._held = None
            self._empty_polls = self._captured = 0

    def look(self) -> Impression | None:
        """Return what lies on the glass now; called once a picture."""
        with self._lock:
            self.polls += 1
            return self._held or self._scripted()

    def _scripted(self) -> Impression | None:
        if not self._queue:
            return None
        touch = self._queue[0]
        if self._captured == touch.captures:
            self._captured = self._empty_polls = 0
            self._queue.popleft()
            if self._repeat:
                self._queue.append(touch)
            self._empty_polls = 1
            return None
        if not self._captured:
            if self._empty_polls < touch.after_polls:
                self._empty_polls += 1
                return None
            self._number += 1
        self._captured += 1
        return Impression(touch.finger, touch.condition, self._number)
