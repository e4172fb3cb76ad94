"""The fingerprint module on a serial port, through the Adafruit driver: driver `adafruit`.

Rules:
- The port is ours alone (exclusive), and one lock serialises the commands.
- A dead module is known within two answer times, whatever is asked of it.
- Whatever goes wrong, the line is found again before the next command: what waits is thrown away,
  a transfer that hangs is ended, a barrier proves that no older answer can come, and the password
  is verified. A port that is gone is opened anew by its name.
- Commands that ask and change nothing in the buffers are repeated once after that. Others raise:
  the module may have lost its buffers, and only the caller knows what belongs in them.
- Templates are checked for the module's own length before a byte is sent.
- On a module without a light, lights are skipped.
"""

from __future__ import annotations

import contextlib
import struct
import termios
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

import serial

from hal.errors import DeviceUnavailable, SensorError
from hal.fingerprint import (
    FACTORY_PASSWORD,
    NOTEPAD_BYTES,
    PROBE,
    REFERENCE,
    Confirmation,
    Extraction,
    Glass,
    Hit,
    Light,
    PasswordRefused,
    SensorInfo,
    SensorRefused,
    TemplateLengthError,
)
from hal.fingerprint_frame import FrameError
from hal.raspberrypi.fingerprint_line import FramedFingerprint

__all__ = ["BAUDS", "AdafruitSensor", "find_baud"]

BAUDS: Final = (57_600, 9_600, 115_200, 19_200, 38_400, 28_800)
POLL_S: Final = 0.05
_RED, _BLUE, _PURPLE = 1, 2, 3
_BREATHE, _FLASH, _ON, _OFF = 1, 2, 3, 4
_LIGHTS: Final = {
    Light.OFF: (_OFF, 0, _BLUE, 0),
    Light.WAITING: (_BREATHE, 100, _BLUE, 0),
    Light.WORKING: (_ON, 0, _PURPLE, 0),
    Light.LIFT: (_FLASH, 40, _PURPLE, 3),
    Light.ACCEPTED: (_FLASH, 40, _BLUE, 2),
    Light.REFUSED: (_FLASH, 40, _RED, 3),
}
"""Mode, speed, colour and cycles of the Aura command; the colours that every R503 has."""
_FAULTS: Final = (RuntimeError, FrameError, OSError, termios.error, struct.error, IndexError)
"""What the driver, the line and the port raise; SerialException and TimeoutError are OSErrors."""

_Answer = TypeVar("_Answer")


class AdafruitSensor:
    """A module behind a serial port.

    Args:
        port: device path.
        baud: as set in the module.
        password: 4 bytes.
        answer_s: how long a command may take, beside its bytes on the line.

    Raises:
        DeviceUnavailable: no port, no module, or not at this speed.
        PasswordRefused: the module wants another password.
    """

    def __init__(
        self,
        port: str,
        baud: int = 57_600,
        password: bytes = FACTORY_PASSWORD,
        *,
        answer_s: float = 1.0,
    ) -> None:
        self._port, self._baud, self._password = port, baud, password
        self._answer_s = answer_s
        self._lock = threading.RLock()
        self._driver: FramedFingerprint | None = None
        self._serial: serial.Serial | None = None
        self._info = SensorInfo(0, None, 0, 0, baud)
        self._lost = True
        self._closed = False
        self._has_light = True
        try:
            self._recover()
        except PasswordRefused:
            self.close()
            raise
        except SensorError as error:
            self.close()
            raise DeviceUnavailable(
                f"fingerprint module at {port}, {baud} baud: {error}; "
                "check wiring, power, port and finger.baud"
            ) from error
        self._put_length(self._measure())

    # -- what it is --------------------------------------------------------------------------------

    @property
    def info(self) -> SensorInfo:
        """What the module said of itself when its port was last opened."""
        return self._info

    def _put_length(self, length: int | None) -> None:
        self._info = replace(self._info, template_length=length)

    def _measure(self) -> int | None:
        """Return the length of a template, out of a buffer or of the first slot in use.

        Makers differ, and so do modules that refuse to hand out an empty buffer.
        """
        try:
            return len(self.upload(PROBE)) or None
        except SensorRefused:
            used = self.slots()
        if not used:
            return None
        self.load(used[0], REFERENCE)
        return len(self.upload(REFERENCE)) or None

    # -- password ----------------------------------------------------------------------------------

    def verify_password(self) -> None:
        """Prove that the module knows our password."""
        self._prove(self._run(lambda driver: int(driver.verify_password()), again=True))

    def set_password(self, password: bytes) -> None:
        """Give the module another password."""
        if len(password) != len(FACTORY_PASSWORD):
            raise ValueError(f"a password has 4 bytes, not {len(password)}")
        self._expect("set password", self._run(lambda driver: driver.simple(0x12, *password)))
        self._password = password
        with self._lock:
            if self._driver is not None:
                self._driver.password = tuple(password)
        self.verify_password()

    # -- the glass ---------------------------------------------------------------------------------

    def capture(self) -> Glass:
        """Take a picture now."""
        code = self._run(lambda driver: int(driver.get_image()), again=True)
        if code == Confirmation.OK:
            return Glass.FINGER
        if code == Confirmation.NO_FINGER:
            return Glass.EMPTY
        if code == Confirmation.IMAGE_FAILED:
            return Glass.POOR
        raise SensorRefused("picture", code)

    def wait_for_finger(self, timeout_s: float, cancelled: threading.Event | None = None) -> Glass:
        """Take pictures until something lies on the glass."""
        until = time.monotonic() + timeout_s
        pause = cancelled or threading.Event()
        while not pause.is_set():
            seen = self.capture()
            if seen is not Glass.EMPTY or time.monotonic() >= until:
                return seen
            pause.wait(POLL_S)
        return Glass.EMPTY

    def wait_for_lift(self, timeout_s: float, cancelled: threading.Event | None = None) -> bool:
        """Wait until the glass is empty."""
        until = time.monotonic() + timeout_s
        pause = cancelled or threading.Event()
        while not pause.is_set():
            if self.capture() is Glass.EMPTY:
                return True
            if time.monotonic() >= until:
                return False
            pause.wait(POLL_S)
        return False

    def extract(self, buffer: int = PROBE) -> Extraction:
        """Turn the last picture into features in a buffer."""
        code = self._run(lambda driver: int(driver.image_2_tz(buffer)))
        if code == Confirmation.OK:
            return Extraction.GOOD
        if code == Confirmation.MESSY:
            return Extraction.MESSY
        if code in {Confirmation.FEW_FEATURES, Confirmation.NO_IMAGE}:
            return Extraction.FEW
        raise SensorRefused("extract", code)

    # -- buffers and library -----------------------------------------------------------------------

    def download(self, template: bytes, buffer: int = REFERENCE) -> None:
        """Send a template into a buffer."""
        if len(template) != self._info.template_length:
            own = self._info.template_length
            raise TemplateLengthError(f"a template of {len(template)} bytes; this module's: {own}")
        self._run(lambda driver: driver.send_fpdata(list(template), "char", buffer), again=True)

    def upload(self, buffer: int = PROBE) -> bytes:
        """Read a buffer."""
        data = bytes(self._run(lambda driver: driver.get_fpdata("char", buffer)))
        self._put_length(len(data) or None)
        return data

    def compare(self) -> int:
        """Return the score of both buffers."""

        def ask(driver: FramedFingerprint) -> tuple[int, int]:
            return int(driver.compare_templates()), int(driver.confidence)

        code, score = self._run(ask)
        if code == Confirmation.OK:
            return score
        if code == Confirmation.NO_MATCH:
            return 0
        raise SensorRefused("compare", code)

    def search(self) -> Hit | None:
        """Look for the probe in the whole library."""

        def ask(driver: FramedFingerprint) -> tuple[int, int, int]:
            return int(driver.finger_search()), int(driver.finger_id), int(driver.confidence)

        code, slot, score = self._run(ask)
        if code == Confirmation.OK:
            return Hit(slot, score)
        if code == Confirmation.NOT_FOUND:
            return None
        raise SensorRefused("search", code)

    def create_model(self) -> bool:
        """Join both buffers into a template."""
        code = self._run(lambda driver: int(driver.create_model()))
        if code == Confirmation.CANNOT_COMBINE:
            return False
        self._expect("create model", code)
        return True

    def store(self, slot: int, buffer: int = PROBE) -> None:
        """Keep a buffer's template in a slot."""
        self._expect("store", self._run(lambda driver: int(driver.store_model(slot, buffer))))

    def load(self, slot: int, buffer: int = REFERENCE) -> None:
        """Put a slot's template into a buffer."""
        code = self._run(lambda driver: int(driver.load_model(slot, buffer)), again=True)
        self._expect("load", code)

    def delete(self, slot: int) -> None:
        """Empty a slot."""
        code = self._run(lambda driver: int(driver.delete_model(slot)), again=True)
        self._expect("delete", code)

    def slots(self) -> tuple[int, ...]:
        """Return the slots in use, in order."""

        def ask(driver: FramedFingerprint) -> tuple[int, tuple[int, ...]]:
            return int(driver.read_templates()), tuple(int(slot) for slot in driver.templates)

        code, found = self._run(ask, again=True)
        self._expect("index", code)
        return found

    def count(self) -> int:
        """Return how many slots are in use."""

        def ask(driver: FramedFingerprint) -> tuple[int, int]:
            return int(driver.count_templates()), int(driver.template_count)

        code, count = self._run(ask, again=True)
        self._expect("count", code)
        return count

    # -- notepad and light -------------------------------------------------------------------------

    def read_note(self, page: int) -> bytes:
        """Return a page of the notepad."""
        code, data = self._run(lambda driver: driver.read_note(page), again=True)
        self._expect("read notepad", code)
        return data

    def write_note(self, page: int, data: bytes) -> None:
        """Write a page of the notepad."""
        if len(data) != NOTEPAD_BYTES:
            raise ValueError(f"a page has {NOTEPAD_BYTES} bytes, not {len(data)}")
        code = self._run(lambda driver: driver.simple(0x18, page, *data), again=True)
        self._expect("write notepad", code)

    def light(self, light: Light) -> None:
        """Show something on the ring."""
        if not self._has_light:
            return
        mode, speed, colour, cycles = _LIGHTS[light]
        code = self._run(
            lambda driver: int(driver.set_led(colour, mode, speed, cycles)), again=True
        )
        self._has_light = code == Confirmation.OK

    def close(self) -> None:
        """Let go of the port."""
        with self._lock:
            self._closed = True
            self._drop()

    # -- finding the way back ----------------------------------------------------------------------

    @staticmethod
    def _expect(what: str, code: int) -> None:
        if code != Confirmation.OK:
            raise SensorRefused(what, code)

    def _run(self, ask: Callable[[FramedFingerprint], _Answer], *, again: bool = False) -> _Answer:
        """Carry out one command; mend the line after a fault, and repeat where that is sound."""
        with self._lock:
            if self._closed:
                raise SensorError("the module is closed")
            if self._lost or self._driver is None:
                self._recover()
            try:
                return self._asked(ask)
            except SensorRefused as refused:
                if refused.code != Confirmation.VERIFY_PASSWORD:
                    raise
                fault: Exception = refused
            except _FAULTS as error:
                fault = error
            self._lost = True
            self._recover(fault)
            if not again:
                raise SensorError(f"the line was disturbed: {fault}") from fault
            try:
                return self._asked(ask)
            except SensorRefused:
                raise
            except _FAULTS as error:
                self._lost = True
                raise SensorError(f"disturbed twice: {error}") from error

    def _asked(self, ask: Callable[[FramedFingerprint], _Answer]) -> _Answer:
        if self._driver is None:
            raise SensorError("the module is closed")
        answer = ask(self._driver)
        code = answer[0] if isinstance(answer, tuple) else answer
        if code == Confirmation.VERIFY_PASSWORD:
            # It has lost its power since: whatever was in its buffers is gone.
            raise SensorRefused("command", Confirmation.VERIFY_PASSWORD)
        return answer

    def _recover(self, cause: Exception | None = None) -> None:
        """Find the line again.

        Raises:
            SensorError: neither on this port nor on one opened anew; the next command tries again.
            PasswordRefused: it is there and wants another password.
        """
        driver = self._driver
        if driver is not None:
            try:
                self._resynchronise(driver)
            except PasswordRefused:
                raise
            except _FAULTS as error:
                if not _is_gone(error):
                    raise SensorError(f"no answer from the module: {error}") from (cause or error)
            else:
                self._lost = False
                return
        self._drop()
        try:
            self._open()
        except PasswordRefused:
            raise
        except _FAULTS as error:
            self._drop()
            raise SensorError(f"no answer from the module: {error}") from (cause or error)
        self._lost = False

    def _resynchronise(self, driver: FramedFingerprint) -> None:
        driver.end_transfer()
        driver.barrier(self._answer_s)
        self._prove(int(driver.verify_password()))

    def _open(self) -> None:
        try:
            self._serial = serial.Serial(self._port, self._baud, timeout=0, exclusive=True)
        except ValueError as error:  # pyserial's, where a port cannot be set to a speed
            raise OSError(str(error)) from error
        driver = FramedFingerprint(self._serial, self._password, answer_s=self._answer_s)
        self._prove(driver.hello())
        driver.read_sysparam()
        self._info = SensorInfo(
            library_size=int(driver.library_size),
            template_length=self._info.template_length,
            security_level=int(driver.security_level),
            packet_size=driver.packet_bytes,
            baud=int(driver.baudrate) * 9_600,
            system_id=int(driver.system_id),
        )
        self._driver = driver

    @staticmethod
    def _prove(code: int) -> None:
        if code != Confirmation.OK:
            raise PasswordRefused(
                f"the module refuses our password (0x{code:02X}): "
                "finger.password_file is wrong, or the module is another one"
            )

    def _drop(self) -> None:
        self._driver = None
        if self._serial is not None:
            # A port that is gone may fail to close; it is gone all the same.
            with contextlib.suppress(OSError):
                self._serial.close()
            self._serial = None


def _is_gone(error: Exception) -> bool:
    """Tell a port that is gone from a module that is silent."""
    if isinstance(error, serial.SerialException | termios.error):
        return True
    return isinstance(error, OSError) and error.errno is not None


def find_baud(
    port: str, password: bytes = FACTORY_PASSWORD, *, answer_s: float = 0.3
) -> int | None:
    """Return the speed at which a module answers, or None."""
    for baud in BAUDS:
        try:
            AdafruitSensor(port, baud, password, answer_s=answer_s).close()
        except PasswordRefused:
            return baud
        except DeviceUnavailable:
            continue
        return baud
    return None
