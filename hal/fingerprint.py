"""What a fingerprint module is to the agent: two feature buffers, a library of slots, a glass.

Rules:
- One caller at a time: a driver serialises its commands, but a check is a sequence of them, so one
  thread owns the sensor.
- Every answer is proven to belong to its command; whatever cannot be proven is a `SensorError`,
  after which the driver has found its way back or finds it before the next command.
- A module that lost its power has lost its buffers: after a `SensorError` a sequence begins anew.
- Templates are bytes that only modules of one family understand. Nothing here stores them.
- `close()` may be called twice.

Words as in ISO/IEC 2382-37: features and templates, a probe is compared with a reference.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, Protocol

from hal.errors import SensorError

__all__ = [
    "FACTORY_PASSWORD",
    "NOTEPAD_BYTES", "PROBE", "REFERENCE", "Confirmation", "Extraction", "FingerprintSensor",
    "Glass", "Hit", "Light", "PasswordRefused", "SensorInfo", "SensorRefused",
    "TemplateLengthError",
]  # fmt: skip

PROBE: Final = 1
"""Buffer that takes the finger on the glass."""
REFERENCE: Final = 2
"""Buffer that takes what the finger is compared with."""
NOTEPAD_BYTES: Final = 32
FACTORY_PASSWORD: Final = bytes(4)
"""What every module of the family is delivered with."""


class Confirmation(IntEnum):
    """First byte of a module's answer, as the makers' manuals number them."""

    OK = 0x00
    PACKET_ERROR = 0x01
    NO_FINGER = 0x02
    IMAGE_FAILED = 0x03
    MESSY = 0x06
    FEW_FEATURES = 0x07
    NO_MATCH = 0x08
    NOT_FOUND = 0x09
    CANNOT_COMBINE = 0x0A
    BAD_LOCATION = 0x0B
    LOAD_FAILED = 0x0C
    UPLOAD_FAILED = 0x0D
    DOWNLOAD_FAILED = 0x0E
    IMAGE_UPLOAD_FAILED = 0x0F
    DELETE_FAILED = 0x10
    CLEAR_FAILED = 0x11
    WRONG_PASSWORD = 0x13
    NO_IMAGE = 0x15
    FLASH_ERROR = 0x18
    BAD_REGISTER = 0x1A
    VERIFY_PASSWORD = 0x21


class Glass(StrEnum):
    """What lay on the glass."""

    FINGER = "finger"
    EMPTY = "empty"
    POOR = "poor"
    """Something lay there and no picture came of it."""


class Extraction(StrEnum):
    """What a picture gave."""

    GOOD = "good"
    MESSY = "messy"
    """Too wet or smeared."""
    FEW = "few"
    """Too few features: dry, or only the tip."""


class Light(StrEnum):
    """What the ring round the glass shows, where there is one."""

    OFF = "off"
    WAITING = "waiting"
    """Lay a finger on the glass."""
    WORKING = "working"
    LIFT = "lift"
    """Lift it and lay it on again."""
    ACCEPTED = "accepted"
    REFUSED = "refused"


class SensorRefused(SensorError):
    """The module understood and answered no.

    Args:
        what: the command, for the operator.
        code: the confirmation byte.
    """

    def __init__(self, what: str, code: int) -> None:
        try:
            word = Confirmation(code).name.lower().replace("_", " ")
        except ValueError:
            word = "unknown"
        super().__init__(f"{what}: the module answers 0x{code:02X} ({word})")
        self.code = code


class PasswordRefused(SensorError):
    """Another password is set in the module, or it is another module."""


class TemplateLengthError(SensorError, ValueError):
    """The template is not of this module's length."""


@dataclass(frozen=True, slots=True)
class SensorInfo:
    """What a module says of itself.

    Attributes:
        library_size: slots for templates.
        template_length: bytes of a template, measured; None until the module let one be read.
        security_level: 1 (most matches) to 5 (fewest false ones) of the module's own comparison.
        packet_size: bytes of a data packet: 32, 64, 128 or 256.
        baud: of the serial line.
        system_id: the maker's number for the firmware.
    """

    library_size: int
    template_length: int | None
    security_level: int
    packet_size: int
    baud: int
    system_id: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """What a search found.

    Attributes:
        slot: where.
        score: the module's comparison score; larger is more alike.
    """

    slot: int
    score: int


class FingerprintSensor(Protocol):
    """A module with two buffers; every method may raise `SensorError`."""

    @property
    def info(self) -> SensorInfo:
        """What the module says of itself."""

    def verify_password(self) -> None:
        """Prove that the module knows our password.

        Raises:
            PasswordRefused: it does not.
        """

    def set_password(self, password: bytes) -> None:
        """Give the module another password (4 bytes), and use it from now on."""

    def capture(self) -> Glass:
        """Take a picture now."""

    def wait_for_finger(self, timeout_s: float, cancelled: threading.Event | None = None) -> Glass:
        """Take pictures until something lies on the glass, the time is over or it is cancelled."""

    def wait_for_lift(self, timeout_s: float, cancelled: threading.Event | None = None) -> bool:
        """Wait until the glass is empty; False when it is not in time."""

    def extract(self, buffer: int = PROBE) -> Extraction:
        """Turn the last picture into features in a buffer."""

    def download(self, template: bytes, buffer: int = REFERENCE) -> None:
        """Send a template into a buffer.

        Raises:
            TemplateLengthError: it is not as long as this module's templates.
        """

    def upload(self, buffer: int = PROBE) -> bytes:
        """Read a buffer; also measures the template length."""

    def compare(self) -> int:
        """Return the score of both buffers; 0 where the module says that they do not match."""

    def search(self) -> Hit | None:
        """Look for the probe in the whole library."""

    def create_model(self) -> bool:
        """Join both buffers into a template in both; False where they are of different fingers."""

    def store(self, slot: int, buffer: int = PROBE) -> None:
        """Keep a buffer's template in a slot of the module's library."""

    def load(self, slot: int, buffer: int = REFERENCE) -> None:
        """Put a slot's template into a buffer.

        Raises:
            SensorRefused: the slot is empty.
        """

    def delete(self, slot: int) -> None:
        """Empty a slot."""

    def slots(self) -> tuple[int, ...]:
        """Return the slots in use, in order."""

    def count(self) -> int:
        """Return how many slots are in use."""

    def read_note(self, page: int) -> bytes:
        """Return a page of the notepad, 32 bytes."""

    def write_note(self, page: int, data: bytes) -> None:
        """Write a page of the notepad, 32 bytes."""

    def light(self, light: Light) -> None:
        """Show something on the ring; nothing where the module has none."""

    def close(self) -> None:
        """Let go of the port; may be called twice."""
