"""A barcode engine on a serial line, UART or USB: driver `serial`.

Rules:
- The port is ours alone. It is opened anew by its name, so name it as under /dev/serial/by-id.
- An engine that is known (`gm65`) is asked while it reads nothing, set up, and believed only after
  its registers were read back: printed set-up codes off at every start and after every reopening.
  Where they cannot be switched off, the engine is not used. What had to be changed is saved in it.
- Reset engines speak 9,600 baud: where the set speed is not answered, that is tried and changed.
- Every few seconds, between two payloads, the same is asked again: an engine that lost its power
  forgets what was not saved, says nothing of it, and is set up anew as after a fault.
- The answer must stand alone on the line, right after the question: a code whose contents look like
  one is a payload.
- An engine that is not known gets the commands of the settings; whether it still obeys printed
  codes is then not ours to say, and a warning says so.
- Every wait has a limit; what floods the line costs a bounded share of a processor.
"""

from __future__ import annotations

import contextlib
import logging
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import serial

from hal.engine import gm65
from hal.engine.descriptor import Descriptor
from hal.engine.framing import Framer
from hal.errors import DeviceFault, DeviceUnavailable
from hal.library import starting
from hal.scan_engine import EngineCounts, Scan

__all__ = ["LineSettings", "SerialEngine"]

_LOG = logging.getLogger(__name__)
CHUNK: Final = 4_096
PACE_S: Final = 0.005
"""Between two reads while bytes come: a flood can make us look at 4 KiB in that time, no more."""
ANSWER_S: Final = 0.3
COMMAND_ANSWER_S: Final = 0.5
REST_S: Final = 0.25
"""Silence after which a payload without its suffix was cut."""
TRIES: Final = 3
CHECK_EVERY_S: Final = 5.0
CHECK_AGAIN_S: Final = 1.0
CHECKS_MISSED: Final = 3
BREATH_S: Final = 0.03
"""Silence between two payloads."""
SET_UP_S: Final = 6.0
"""How long setting up may take, whatever is answered late or at the last try."""
SETTLE_S: Final = 0.1
"""What an engine takes to change its speed."""
SPEED_TRIES: Final = 3
"""A command that came too late, or garbled, is given again to an engine that answers as before."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What the driver is told; the same words as the configuration's.

    Attributes:
        port: device path.
        model: `gm65` or `generic`.
        baud: speed to serve at.
        mode: `continuous` or `sensor`, of a `gm65`.
        prefix, suffix: round each payload; without a suffix, silence ends it.
        gap_s: that silence.
        aim: whether AIM identifiers are sent.
        payload_s: longest time of one payload.
        start_commands: sent at each opening to a `generic` engine.
        start_answers: what must come back, one each; empty where nothing does.
    """

    port: str
    model: str = "gm65"
    baud: int = 115_200
    mode: str = "continuous"
    prefix: bytes = b""
    suffix: bytes = b"\r"
    gap_s: float = 0.03
    aim: bool = True
    payload_s: float = 12.0
    start_commands: tuple[bytes, ...] = ()
    start_answers: tuple[bytes, ...] = ()


class SerialEngine:
    """An engine behind a serial port, set up.

    Args:
        settings: port, model, framing.
        counts: goes on counting over reopenings.
        clock_ns: monotonic nanoseconds.
        sleep: waits so many seconds.

    Raises:
        DeviceUnavailable: no port, no answer, or set-up codes that stay on.
    """

    def __init__(
        self,
        settings: LineSettings,
        counts: EngineCounts | None = None,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._clock_ns, self._sleep = clock_ns, sleep
        self._framer = Framer(
            prefix=settings.prefix,
            suffix=settings.suffix,
            aim=settings.aim,
            payload_s=settings.payload_s,
            counts=counts,
        )
        self._silence_ns = round((REST_S if settings.suffix else settings.gap_s) * 1e9)
        self._last_ns = 0
        self._armed = False
        self._wanted = gm65.settings(mode=settings.mode, aim=settings.aim)
        self._check_at_ns = self._until_ns = 0
        self._missed = 0
        with starting(f"engine port {settings.port}", "check scan_engine.port and the cable"):
            self._port = serial.Serial(
                settings.port, settings.baud, timeout=0, write_timeout=1.0, exclusive=True
            )
        self._line = Descriptor(self._port.fileno(), f"engine at {settings.port}", self._release)
        try:
            self._set_up()
        except DeviceFault as error:
            self.close()
            raise DeviceUnavailable(str(error)) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def counts(self) -> EngineCounts:
        """What came from it so far."""
        return self._framer.counts

    @property
    def obeys_printed_codes(self) -> bool | None:
        """False where set-up codes were read back as off; None where nobody knows."""
        return False if self._settings.model == "gm65" else None

    def read(self, timeout_s: float) -> Scan | None:
        """Wait for the next payload.

        Raises:
            DeviceFault: the port is gone, or the engine does not answer or forgot its settings.
        """
        if not self._armed:
            self._armed = True
            self._flush()
        until = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            scan = self._framer.take()
            if scan is not None:
                return scan
            self._check_if_due()
            now = self._clock_ns()
            wait_ns = until - now
            if self._framer.pending:
                wait_ns = min(wait_ns, self._last_ns + self._silence_ns - now)
            self._receive(max(0.0, wait_ns / 1e9))
            if self._clock_ns() >= until:
                return self._framer.take()

    def close(self) -> None:
        """Let go of the port; may be called twice, and never waits for the line."""
        self._line.close()

    # -- the line --------------------------------------------------------------------------------

    def _receive(self, timeout_s: float) -> None:
        data = self._line.read(CHUNK, timeout_s)
        now = self._clock_ns()
        if data:
            self._last_ns = now
            self._framer.feed(data, now)
            self._sleep(PACE_S)
        elif self._framer.pending and now - self._last_ns >= self._silence_ns:
            # Nothing waited at this moment, so that a late turn of ours is not taken for silence.
            self._framer.silence()

    def _write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (OSError, termios.error, TypeError) as error:
            raise DeviceFault(f"engine at {self._settings.port}: {error}") from error

    def _flush(self) -> None:
        """Throw away what waits: half a payload, or one that nobody stands behind any more."""
        try:
            self._port.reset_input_buffer()
        except (OSError, termios.error, TypeError) as error:
            raise DeviceFault(f"engine at {self._settings.port}: {error}") from error
        self._framer.clear()

    def _release(self) -> None:
        # A line that stands still must not hold us: closing would wait for what it did not take.
        with contextlib.suppress(OSError, termios.error):
            self._port.reset_output_buffer()
        self._port.close()

    # -- setting up ------------------------------------------------------------------------------

    def _set_up(self) -> None:
        if self._settings.model == "gm65":
            self._set_up_known()
            self._check_at_ns = self._clock_ns() + round(CHECK_EVERY_S * 1e9)
        else:
            self._set_up_unknown()

    def _set_up_unknown(self) -> None:
        settings = self._settings
        answers = settings.start_answers or (b"",) * len(settings.start_commands)
        for number, (command, expected) in enumerate(
            zip(settings.start_commands, answers, strict=True), 1
        ):
            self._flush()
            self._write(command)
            if expected and expected not in self._hear(len(expected), expected=expected):
                raise DeviceUnavailable(
                    f"engine at {settings.port}: start command {number} was not answered as "
                    "scan_engine.start_answers says; check model, baud and the bytes"
                )
        _LOG.warning(
            "scan engine: nobody knows whether it still obeys set-up codes printed on paper; "
            "switch them off with the maker's tool or start_commands"
        )

    def _hear(self, size: int, *, expected: bytes) -> bytes:
        """Collect bytes until `expected` is among them or its time is over."""
        until = self._clock_ns() + round(COMMAND_ANSWER_S * 1e9)
        found = b""
        while expected not in found and (left := until - self._clock_ns()) > 0:
            found = (found + self._line.read(CHUNK, left / 1e9))[-CHUNK - size :]
        return found

    def _set_up_known(self) -> None:
        self._until_ns = self._clock_ns() + round(SET_UP_S * 1e9)
        changed = self._find_speed()
        mode = self._value(gm65.Register.MODE)
        # While it reads nothing, no code can be taken for an answer, nor change what is verified.
        self._put(gm65.Register.MODE, gm65.RESTING.put(mode))
        for each in self._wanted:
            if each.register is gm65.Register.MODE:
                changed |= not each.holds(mode)
                self._put(each.register, each.put(mode))
            elif each.holds(found := self._value(each.register)):
                continue
            else:
                changed = True
                self._put(each.register, each.put(found))
            if each.holds(self._value(each.register)):
                continue
            if each.needed:
                raise DeviceUnavailable(
                    f"engine at {self._settings.port}: it does not keep {each.words!r}, so it is "
                    'not used; is it a GM65? else scan_engine.model = "generic"'
                )
            _LOG.warning("scan engine: it does not keep %r", each.words)
        if changed:
            self._ask(gm65.command(gm65.Kind.SAVE, 0, b"\x00"), 1)

    def _find_speed(self) -> bool:
        """Make the engine speak at our speed; return whether it had to be changed.

        Raises:
            DeviceUnavailable: it answers at neither speed.
        """
        wanted = self._settings.baud
        if self._answers():
            return False
        for _ in range(SPEED_TRIES if wanted != gm65.FACTORY_BAUD else 0):
            self._speed(gm65.FACTORY_BAUD)
            if not self._answers():
                break
            self._write(gm65.command(gm65.Kind.WRITE, gm65.Register.BAUD, gm65.BAUDS[wanted]))
            self._sleep(SETTLE_S)  # its answer comes at one speed or the other
            self._speed(wanted)
            if self._answers():
                return True
        raise DeviceUnavailable(
            f"engine at {self._settings.port}: no answer at {wanted} or {gm65.FACTORY_BAUD} baud, "
            "so nobody knows whether it obeys set-up codes printed on paper; check power, wiring "
            "and scan_engine.model"
        )

    def _speed(self, baud: int) -> None:
        try:
            self._port.baudrate = baud
        except (OSError, termios.error, ValueError, TypeError) as error:
            raise DeviceFault(f"engine at {self._settings.port}: {error}") from error

    def _answers(self) -> bool:
        question = gm65.command(gm65.Kind.READ, gm65.Register.MODE, b"\x01")
        return any(self._try(question, 1) is not None for _ in range(TRIES))

    def _value(self, register: gm65.Register) -> int:
        return self._ask(gm65.command(gm65.Kind.READ, register, b"\x01"), 1)[0]

    def _put(self, register: gm65.Register, value: int) -> None:
        self._ask(gm65.command(gm65.Kind.WRITE, register, bytes([value])), 1)

    def _ask(self, question: bytes, size: int) -> bytes:
        """Return an answer.

        Raises:
            DeviceUnavailable: none came, thrice, or setting up takes too long.
        """
        for _ in range(TRIES):
            if self._clock_ns() > self._until_ns:
                break
            said = self._try(question, size)
            if said is not None:
                return said
        raise DeviceUnavailable(f"engine at {self._settings.port}: it stopped answering")

    def _try(self, question: bytes, size: int) -> bytes | None:
        self._flush()
        self._write(question)
        said, found = self._answer(size)
        if said is None and found:
            # A code was told just then: the next question waits for its end.
            until = self._clock_ns() + round(ANSWER_S * 1e9)
            while self._line.read(CHUNK, BREATH_S) and self._clock_ns() < until:
                self._sleep(PACE_S)
        return said

    def _answer(self, size: int) -> tuple[bytes | None, bytes]:
        """Return an answer that stands alone, and what came in its time otherwise."""
        whole = size + 6
        until = self._clock_ns() + round(ANSWER_S * 1e9)
        found = b""
        while len(found) < whole and (left := until - self._clock_ns()) > 0:
            found += self._line.read(CHUNK, left / 1e9)
        if len(found) != whole:
            return None, found
        return gm65.read_answer(found, size), found

    def _check_if_due(self) -> None:
        """Ask whether the engine is still as it was set up.

        Raises:
            DeviceFault: it is not, or did not answer for the third time.
        """
        if self._settings.model != "gm65" or self._framer.pending:
            return
        if self._clock_ns() < self._check_at_ns:
            return
        self._write(gm65.command(gm65.Kind.READ, gm65.Register.MODE, b"\x04"))
        said, found = self._answer(4)
        now = self._clock_ns()
        if said is None:
            self._missed += 1
            if self._missed >= CHECKS_MISSED:
                raise DeviceFault(f"engine at {self._settings.port}: it does not answer any more")
            self._check_at_ns = now + round(CHECK_AGAIN_S * 1e9)
            if found:
                self._last_ns = now
                self._framer.feed(found, now)
            return
        self._missed = 0
        self._check_at_ns = now + round(CHECK_EVERY_S * 1e9)
        for each in self._wanted:
            if each.register < len(said) and not each.holds(said[each.register]):
                raise DeviceFault(f"engine at {self._settings.port}: it forgot {each.words!r}")
