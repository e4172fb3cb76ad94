"""A barcode engine that types, read where the kernel hands out its keys: driver `hid`.

Rules:
- The keyboard is grabbed: nothing that it types reaches a console or another program, and where it
  cannot be had alone, it is not used. Keys are bytes here and nothing else; with Control, Alt or
  the super key held, or a key that types nothing, the payload is garbage up to its Enter.
- United States layout only (`hal.engine.keymap`). Enter ends a payload.
- Two reports a character: 661 characters take 1.3 s at a report a millisecond and 10.6 s at one in
  8 ms (computed). Prefer a serial engine; `payload_s` says how long a payload may take.
- Keys that the kernel had to drop spoil the payload. Shift is let go of whenever the keys rest.
- A keyboard cannot be asked whether it obeys set-up codes printed on paper.
- A device that was pulled out is a fault; it is opened anew by its name under /dev/input/by-id.

No library: `struct input_event` (two longs of time, type, code, value) and the EVIOCGRAB request of
linux/input.h are all there is.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from hal.engine.descriptor import Descriptor
from hal.engine.framing import Framer
from hal.engine.keymap import ENTERS, MODIFIERS, SHIFTS, TYPED
from hal.errors import DeviceUnavailable
from hal.library import explain, starting
from hal.scan_engine import EngineCounts, Scan

__all__ = ["RECORD", "KeyboardEngine", "grab_exclusively"]

_LOG = logging.getLogger(__name__)
RECORD: Final = struct.Struct("@llHHi")
"""One event: 24 bytes where a long has 64 bits."""
EVIOCGRAB: Final = 0x40044590
RECORDS: Final = 256
PACE_S: Final = 0.002
REST_S: Final = 0.5
"""Rest of the keys after which a payload without its Enter was cut."""
_EV_SYN, _EV_KEY = 0, 1
_SYN_DROPPED = 3
_RELEASED, _PRESSED = 0, 1
_ENTER: Final = b"\r"


def grab_exclusively(number: int) -> None:
    """Take a device away from everybody else.

    Raises:
        OSError: another program has it, or it is no input device.
    """
    fcntl.ioctl(number, EVIOCGRAB, 1)


def _open(port: str) -> int:
    return os.open(port, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


class KeyboardEngine:
    """An engine that is a keyboard.

    Args:
        port: the event device, as /dev/input/by-id/...-event-kbd.
        prefix: what it types before each payload.
        aim: whether it types AIM identifiers.
        payload_s: longest time of one payload.
        counts: goes on counting over reopenings.
        opened: returns a descriptor in non-blocking mode.
        grab: takes it away from others.
        clock_ns: monotonic nanoseconds.
        sleep: waits so many seconds.

    Raises:
        DeviceUnavailable: not there, not allowed, or not to be had alone.
    """

    def __init__(
        self,
        port: str,
        *,
        prefix: bytes = b"",
        aim: bool = True,
        payload_s: float = 12.0,
        counts: EngineCounts | None = None,
        opened: Callable[[str], int] = _open,
        grab: Callable[[int], None] = grab_exclusively,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock_ns, self._sleep = clock_ns, sleep
        self._framer = Framer(
            prefix=prefix, suffix=_ENTER, aim=aim, payload_s=payload_s, counts=counts
        )
        self._records = b""
        self._held: set[int] = set()
        self._last_ns = 0
        self._armed = False
        with starting(f"engine keyboard {port}", "check scan_engine.port and the group input"):
            self._number = opened(port)
        try:
            grab(self._number)
        except OSError as error:
            os.close(self._number)
            raise DeviceUnavailable(
                f"engine keyboard {port}: it cannot be had alone: "
                f"{explain(error, 'stop what else reads it, and name an event device')}"
            ) from error
        self._device = Descriptor(self._number, f"engine keyboard {port}", self._release)
        _LOG.warning(
            "scan engine: a keyboard cannot be asked whether it obeys set-up codes printed on "
            "paper; switch them off with the maker's tool"
        )

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
        """None: nobody knows."""
        return None

    def read(self, timeout_s: float) -> Scan | None:
        """Wait for the next payload.

        Raises:
            DeviceFault: the keyboard is gone.
        """
        if not self._armed:
            self._armed = True
            self._drain()
        until = self._clock_ns() + round(timeout_s * 1e9)
        while True:
            scan = self._framer.take()
            if scan is not None:
                return scan
            now = self._clock_ns()
            wait_ns = until - now
            if self._framer.pending:
                wait_ns = min(wait_ns, self._last_ns + round(REST_S * 1e9) - now)
            self._receive(max(0.0, wait_ns / 1e9))
            if self._clock_ns() >= until:
                return self._framer.take()

    def close(self) -> None:
        """Let go of the keyboard; may be called twice."""
        self._device.close()

    def _release(self) -> None:
        # Closing ungrabs.
        with contextlib.suppress(OSError):
            os.close(self._number)

    def _drain(self) -> None:
        """Throw away what was typed before anybody asked; a bounded look, since more may come."""
        for _ in range(64):
            if not self._device.read(RECORD.size * RECORDS, 0.0):
                return

    def _receive(self, timeout_s: float) -> None:
        data = self._device.read(RECORD.size * RECORDS, timeout_s)
        now = self._clock_ns()
        if data:
            self._last_ns = now
            self._records += data
            whole = len(self._records) // RECORD.size * RECORD.size
            for _, _, kind, code, value in RECORD.iter_unpack(self._records[:whole]):
                self._event(kind, code, value, now)
            self._records = self._records[whole:]
            self._sleep(PACE_S)
        elif now - self._last_ns >= REST_S * 1e9:
            self._held.clear()
            self._framer.silence()

    def _event(self, kind: int, code: int, value: int, now_ns: int) -> None:
        if kind == _EV_SYN and code == _SYN_DROPPED:
            self._held.clear()
            self._framer.spoil(now_ns)
        if kind != _EV_KEY:
            return
        if value == _RELEASED:
            self._held.discard(code)
        elif value == _PRESSED:
            self._key(code, now_ns)

    def _key(self, code: int, now_ns: int) -> None:
        if code in SHIFTS | MODIFIERS:
            self._held.add(code)
            return
        if code in ENTERS and not self._held & MODIFIERS:
            self._framer.feed(_ENTER, now_ns)
            return
        typed = TYPED.get((code, bool(self._held & SHIFTS)))
        if typed is None or self._held & MODIFIERS:
            self._framer.spoil(now_ns)
        else:
            self._framer.feed(bytes([typed]), now_ns)
