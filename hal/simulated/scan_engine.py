"""A barcode engine on a pseudo-terminal: the line, the registers, the paper it is shown.

`open_pty()` returns a path that any serial driver can open; behind it a thread speaks the command
set of `hal.engine.gm65` byte for byte, or, as a dumb engine, delivers what it reads and answers
nothing.

Rules:
- A client at another speed than the engine's is not understood: every byte is garbled both ways.
- Manual mode and mode on command read nothing, continuous mode tells a code in view again after
  each pause, sensor mode tells it once.
- Printed set-up codes change registers unless register 0003 says no, as real ones do.
- Power that goes takes what was not saved along; a reset leaves the factory's 9,600 baud.
- With `pace`, a payload takes as long as at the real speed; without, everything is at once.
- The pty has a client of its own (this side), so that the other end never reads EIO.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from hal.engine import gm65
from hal.engine.gm65 import Kind, Register
from hal.engine.line import LineSettings, SerialEngine
from hal.scan_engine import EngineCounts

__all__ = ["FACTORY", "Shown", "SimulatedEngine", "open_simulated"]

BITS_A_BYTE: Final = 10
CHUNK: Final = 64
LONGEST_COMMAND: Final = 8 + 255
LOOK_S: Final = 0.02
_ANY_SUM: Final = b"\xab\xcd"
_OVERHEAD: Final = 8
_SPEEDS: Final = {
    termios.B9600: 9_600, termios.B19200: 19_200, termios.B38400: 38_400, termios.B57600: 57_600,
    termios.B115200: 115_200,
}  # fmt: skip
FACTORY: Final = {
    int(Register.MODE): 0xD4,
    int(Register.PAUSE): 10,
    int(Register.BAUD): gm65.BAUDS[gm65.FACTORY_BAUD][0],
    int(Register.BAUD) + 1: gm65.BAUDS[gm65.FACTORY_BAUD][1],
    int(Register.QR): 0x01,
}
"""What a new engine holds; the other registers are 0: set-up codes obeyed, no identifiers."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A code before the engine.

    Attributes:
        data: its contents.
        symbology: its AIM identifier: `Q1` a QR code, `C0` a Code 128.
    """

    data: bytes
    symbology: str = "Q1"


class SimulatedEngine:
    """An engine on a pty.

    Args:
        dumb: answers nothing and reads always, with AIM identifiers where `aim` says so.
        baud: that it was set to; None for the factory's.
        prefix, suffix: round each payload.
        aim: of a dumb engine.
        pace: whether time passes as on a real line.
        view: a file whose first line is the code in view, nothing while it is empty.
    """

    def __init__(
        self,
        *,
        dumb: bool = False,
        baud: int | None = None,
        prefix: bytes = b"",
        suffix: bytes = b"\r",
        aim: bool = True,
        pace: bool = False,
        view: Path | None = None,
    ) -> None:
        self.registers = dict(FACTORY)
        if baud is not None:
            self._put(Register.BAUD, gm65.BAUDS[baud])
        self.saved = dict(self.registers)
        """What the flash holds."""
        self.commands: list[bytes] = []
        """Commands that arrived whole, in order."""
        self.silent = False
        """Answers and reads nothing, as a firmware that hangs."""
        self.cut: int | None = None
        """How many bytes of the next payload come; then nothing, no suffix either."""
        self._dumb, self._prefix, self._suffix, self._aim = dumb, prefix, suffix, aim
        self._pace, self._view = pace, view
        self._lock = threading.RLock()
        self._pending = b""
        self._shown: Shown | None = None
        self._again_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._master = self._slave = -1
        self._link: Path | None = None

    # -- what a test or a demo does --------------------------------------------------------------

    def open_pty(self, link: Path | None = None) -> str:
        """Plug the engine in; return the path of the serial port.

        Args:
            link: a name that stays the same from plug to plug, as under /dev/serial/by-id.
        """
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        path = os.ttyname(self._slave)
        self._link = link
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="scan-engine", daemon=True)
        self._thread.start()
        return str(link or path)

    def show(self, shown: Shown | None) -> None:
        """Hold a code before it, until another or None is shown."""
        with self._lock:
            self._shown, self._again_at = shown, 0.0

    def show_set_up_code(self, register: Register, value: int) -> bool:
        """Hold a printed set-up code before it; return whether it obeyed."""
        with self._lock:
            if not self._reads() or self._register(Register.SETUP_CODES) & gm65.SETUP_CODES_OFF:
                return False
            self._put(register, bytes([value]))
            self.saved = dict(self.registers)
            return True

    def power_cycle(self, *, reset: bool = False) -> None:
        """Take the power away for a moment; a reset brings the factory's settings back."""
        with self._lock:
            self.saved = dict(FACTORY) if reset else self.saved
            self.registers = dict(self.saved)
            self._pending = b""

    def say(self, data: bytes) -> None:
        """Put bytes on the line that no code stands for."""
        with self._lock:
            self._write(data)

    def remove(self) -> None:
        """Pull the plug: who has the port open is hung up on. `open_pty` brings it back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            for descriptor in (self._slave, self._master):
                if descriptor >= 0:
                    os.close(descriptor)
            self._master = self._slave = -1
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def close(self) -> None:
        """End the engine; may be called twice."""
        self.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- the engine ------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.is_set():
            readable, _, _ = select.select([self._master], [], [], LOOK_S)
            with self._lock:
                if readable:
                    with contextlib.suppress(BlockingIOError):
                        self._hear(os.read(self._master, 4_096))
                self._look()

    def _register(self, register: int) -> int:
        return self.registers.get(register, 0)

    def _put(self, register: int, values: bytes) -> None:
        for at, value in enumerate(values):
            self.registers[register + at] = value

    def _reads(self) -> bool:
        mode = self._register(Register.MODE) & gm65.MODE_BITS
        return not self.silent and (self._dumb or mode in gm65.MODES.values())

    def _look(self) -> None:
        """Read what is in view, where it is time."""
        if self._view is not None:
            self._look_into(self._view)
        if self._shown is None or not self._reads() or time.monotonic() < self._again_at:
            return
        once = self._register(Register.MODE) & gm65.MODE_BITS == gm65.MODES["sensor"]
        pause_s = float("inf") if once else self._register(Register.PAUSE) / 10
        self._deliver(self._shown)
        self._again_at = time.monotonic() + pause_s

    def _look_into(self, view: Path) -> None:
        line = view.read_bytes().split(b"\n", 1)[0] if view.exists() else b""
        shown = Shown(line) if line else None
        if shown != self._shown:
            self._shown, self._again_at = shown, 0.0

    def _deliver(self, shown: Shown) -> None:
        aim = self._aim if self._dumb else bool(self._register(Register.AIM) & gm65.AIM_ON)
        head = b"]" + shown.symbology.encode("ascii") if aim else b""
        whole = self._prefix + head + shown.data + self._suffix
        if self.cut is not None:
            whole, self.cut = whole[: self.cut], None
        self._write(whole)

    def _hear(self, data: bytes) -> None:
        if self.silent or self._dumb:
            return
        self._pending = (self._pending + self._garbled(data))[-2 * LONGEST_COMMAND :]
        while (at := self._pending.find(gm65.COMMAND_HEAD)) >= 0:
            self._pending = self._pending[at:]
            size = _OVERHEAD + self._pending[3] if len(self._pending) > 3 else LONGEST_COMMAND
            if len(self._pending) < size:
                return
            if not self._obey(self._pending[:size]):
                size = 1  # no command began here
            self._pending = self._pending[size:]

    def _obey(self, whole: bytes) -> bool:
        kind, register, data = whole[2], int.from_bytes(whole[4:6], "big"), whole[6:-2]
        if kind not in {*Kind} or not data:
            return False
        if whole[-2:] not in {gm65.command(Kind(kind), register, data)[-2:], _ANY_SUM}:
            return False
        self.commands.append(whole)
        if kind == Kind.READ:
            self._write(gm65.answer(bytes(self._register(register + at) for at in range(data[0]))))
            return True
        speed = kind == Kind.WRITE and register == Register.BAUD
        if kind == Kind.SAVE:
            self.saved = dict(self.registers)
        elif not speed:
            self._put(register, data)
        self._write(gm65.answer(b"\x00"))
        if speed:  # answered at the speed of the question
            self._put(register, data)
        return True

    # -- the line --------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        data = self._garbled(data)
        for at in range(0, len(data), CHUNK if self._pace else max(1, len(data))):
            part = data[at : at + CHUNK] if self._pace else data
            if self._pace:
                self._stop.wait(len(part) * BITS_A_BYTE / self._baud())
            while part and self._master >= 0:
                _, writable, _ = select.select([], [self._master], [], 1.0)
                if not writable:
                    return
                with contextlib.suppress(BlockingIOError):
                    part = part[os.write(self._master, part[:1024]) :]

    def _baud(self) -> int:
        held = bytes((self._register(Register.BAUD), self._register(Register.BAUD + 1)))
        return next((baud for baud, value in gm65.BAUDS.items() if value == held), 0)

    def _garbled(self, data: bytes) -> bytes:
        if self._slave < 0:
            return data
        speed = termios.tcgetattr(self._slave)[5]
        if _SPEEDS.get(speed, 0) == self._baud():
            return data
        return bytes(((byte << 1) | 1) & 0xFF for byte in data)


class _PluggedIn(SerialEngine):
    """The real driver on a simulated engine of its own."""

    def __init__(
        self, engine: SimulatedEngine, settings: LineSettings, counts: EngineCounts
    ) -> None:
        self._engine = engine
        super().__init__(replace(settings, port=engine.open_pty()), counts)

    def close(self) -> None:
        """Let go of the port, and end the engine."""
        super().close()
        self._engine.close()


def open_simulated(settings: LineSettings, view: Path, *, counts: EngineCounts) -> SerialEngine:
    """Return the real driver on a simulated engine that reads the first line of a file.

    Raises:
        DeviceUnavailable: it cannot be set up.
    """
    engine = SimulatedEngine(
        dumb=settings.model != "gm65",
        baud=settings.baud,
        prefix=settings.prefix,
        suffix=settings.suffix,
        aim=settings.aim,
        view=view,
    )
    return _PluggedIn(engine, settings, counts)
