"""A fingerprint module on a pseudo-terminal: the line, the power and the faults.

`open_pty()` returns a path that any serial driver can open; behind it a thread speaks the module's
protocol byte for byte. The inside of the module is `hal.simulated.fingerprint_module`.

Rules:
- A client at another speed than the module's is not understood: every byte is garbled both ways.
- With `pace`, bytes take as long as at the real speed, both ways, and commands as long as a real
  module needs; without, everything is at once. What a module answers is the same.
- Power-up says 0x55, and so does `plug()`. What a module forgets without power is forgotten.
- The pty has a client of its own (this side), so that the master end never reads EIO.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from hal.fingerprint_frame import HEAD, Kind, encode
from hal.simulated.fingerprint_module import VARIANTS, Module, Reply
from hal.simulated.fingerprint_script import COMMANDS, Fault, FaultKind, Glass, Script

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["SimulatedFingerprint"]

BITS_A_BYTE: Final = 10
CHUNK: Final = 32
READY: Final = b"\x55"
_SPEEDS: Final = {
    termios.B9600: 9_600, termios.B19200: 19_200, termios.B38400: 38_400, termios.B57600: 57_600,
    termios.B115200: 115_200,
}  # fmt: skip


@dataclass(slots=True)
class _Due:
    """A fault, the answers it still leaves sound, and how often it still strikes."""

    fault: Fault
    skip: int
    times: int


class SimulatedFingerprint:
    """A module on a pty.

    Args:
        script: variant, touches and faults.
        pace: whether time passes as with a real module.
        base_dir: what a relative `flash` in the script is relative to.
        baud: speed that was set in the module earlier; None for the factory's.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        pace: bool = True,
        base_dir: Path = Path(),
        baud: int | None = None,
    ) -> None:
        script = script or Script()
        self.glass = Glass(script.touch, repeat=script.repeat)
        flash = base_dir / script.flash if script.flash else None
        self.module = Module(VARIANTS[script.variant], self.glass, flash)
        self.module.baud = baud or self.module.baud
        self._pace = pace
        self._lock = threading.RLock()
        self._faults = [_Due(fault, fault.skip, fault.times) for fault in script.fault]
        self._power = threading.Event()
        self._unplug_in: int | None = None
        self._stop = threading.Event()
        self._wake_read, self._wake_write = os.pipe()
        self._master = self._slave = -1
        self._link: Path | None = None
        self._thread: threading.Thread | None = None
        self._free_at = 0.0
        self.commands: list[int] = []
        """Commands that arrived whole, in order."""

    # -- what a test or a demo does --------------------------------------------------------------

    def open_pty(self, link: Path | None = None) -> str:
        """Plug the module in; return the path of the serial port.

        Args:
            link: a name that stays the same from plug to plug, as under /dev/serial/by-id.
        """
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)  # a client that does not read must not hold the module
        path = os.ttyname(slave)
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(path)
        with self._lock:
            self._master, self._slave, self._link = master, slave, link
            self._power.set()
            self.module.power_up()
        self._thread = threading.Thread(target=self._run, name="fingerprint-module", daemon=True)
        self._stop.clear()
        self._thread.start()
        return str(link or path)

    def fault(self, *faults: Fault) -> None:
        """Let something go wrong from now on."""
        with self._lock:
            self._faults += [_Due(fault, fault.skip, fault.times) for fault in faults]

    def unplug(self) -> None:
        """Take the power away; the port stays, as a Raspberry Pi's own does."""
        with self._lock:
            self._power.clear()

    def plug(self) -> None:
        """Give the power back: the module starts, and says so."""
        with self._lock:
            self.module.power_up()
            self._power.set()
            self._unplug_in = None
            self._write(READY)

    def say(self, data: bytes) -> None:
        """Put bytes on the line that nobody asked for."""
        with self._lock:
            self._write(data)

    def remove(self) -> None:
        """Take the port away too, as of a USB adapter that is pulled; `open_pty` brings it back."""
        self._halt()
        for descriptor in (self._master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
        self._master = self._slave = -1
        if self._link is not None:
            self._link.unlink(missing_ok=True)

    def close(self) -> None:
        """End the module; may be called twice."""
        self.remove()
        for descriptor in (self._wake_read, self._wake_write):
            if descriptor >= 0:
                os.close(descriptor)
        self._wake_read = self._wake_write = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -- the line --------------------------------------------------------------------------------

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is None:
            return
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._thread = None
        os.read(self._wake_read, 16)

    def _run(self) -> None:
        while not self._stop.is_set():
            readable, _, _ = select.select([self._master, self._wake_read], [], [])
            if self._wake_read in readable:
                return
            data = os.read(self._master, 4096)
            self._wait_line(len(data))
            with self._lock:
                self._hear(data)

    def _hear(self, data: bytes) -> None:
        if not self._power.is_set():
            return
        if self._unplug_in is not None:
            self._unplug_in -= len(data)
            if self._unplug_in <= 0:
                self._power.clear()
                self._unplug_in = None
                return
        for reply in self.module.receive(self._garbled(data)):
            self.commands.append(reply.command)
            self._answer(reply)
            if not self._power.is_set():
                return

    def _answer(self, reply: Reply) -> None:
        frames = list(reply.frames)
        fault = self._due(reply.command)
        self._wait(reply.work_s)
        if fault is None:
            self._send(b"".join(frames))
        else:
            self._spoil(fault, reply.command, frames)
        refused = fault is not None and fault.kind is FaultKind.REFUSE
        if reply.after is not None and not refused:
            reply.after()

    def _spoil(self, fault: Fault, command: int, frames: list[bytes]) -> None:
        whole = b"".join(frames)
        match fault.kind:
            case FaultKind.CORRUPT:
                # A confirmation becomes OK; in data, one bit turns round. The sum stays.
                at = HEAD + fault.at_byte
                changed = 0 if not fault.at_byte else whole[at] ^ 0x10
                self._send(whole[:at] + bytes([changed]) + whole[at + 1 :])
            case FaultKind.LATE:
                self._stop.wait(fault.late_s)
                self._send(whole)
            case FaultKind.STRAY:
                self._send(READY + whole)
            case FaultKind.REFUSE:
                self._send(encode(Kind.ACK, bytes([fault.code]), self.module.address))
            case FaultKind.UNPLUG:
                if command in {COMMANDS["download"], COMMANDS["download_image"]}:
                    # The power goes while the host still sends.
                    self._unplug_in = fault.at_byte
                    self._send(whole)
                    return
                self._send(whole[: fault.at_byte])
                self._power.clear()
            case FaultKind.SILENT:
                return

    def _due(self, command: int) -> Fault | None:
        """Return the fault that strikes the answer to a command now."""
        for due in self._faults:
            fault = due.fault
            if fault.command != "any" and COMMANDS[fault.command] != command:
                continue
            if due.skip:
                due.skip -= 1
                return None
            due.times -= 1
            if not due.times:
                self._faults.remove(due)
            return fault
        return None

    def _send(self, data: bytes) -> None:
        """Put bytes on the line, as fast as the line is."""
        if not self._pace:
            self._write(data)
            return
        for at in range(0, len(data), CHUNK):
            part = data[at : at + CHUNK]
            self._wait_line(len(part))
            self._write(part)

    def _write(self, data: bytes) -> None:
        if self._master < 0:
            return
        data = self._garbled(data)
        while data:
            _, writable, _ = select.select([], [self._master], [], 1.0)
            if not writable:
                return
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._master, data[:1024]) :]

    def _garbled(self, data: bytes) -> bytes:
        speed = termios.tcgetattr(self._slave)[5]
        if _SPEEDS.get(speed, 0) == self.module.baud:
            return data
        return bytes(((byte << 1) | 1) & 0xFF for byte in data)

    def _wait_line(self, count: int) -> None:
        """Let the time pass that so many bytes take on the line."""
        if not self._pace:
            return
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + count * BITS_A_BYTE / self.module.baud
        self._stop.wait(self._free_at - now)

    def _wait(self, seconds: float) -> None:
        if self._pace and seconds:
            self._stop.wait(seconds)
            self._free_at = time.monotonic()
