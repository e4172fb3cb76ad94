"""A device that is reopened when it fails, and given up when that does not help.

The ladder (a camera whose frontend timed out delivers nothing until it is opened anew; a barcode
engine that was pulled out and put back is another device under the same name):
1. A capture or a read that fails closes the device, opens it again and tries once more; what fails
   at once (a loose cable) is tried until patience is over.
2. Then the fault is raised: the daemon ends, and the service manager starts it anew.
3. What the process cannot mend (a hung kernel driver) is the service manager's: reboot after
   repeated failures.
A capture that never returns is seen by the watchdog, not here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from hal.camera import Camera, Frame
from hal.errors import DeviceFault, HalError
from hal.scan_engine import EngineCounts, Scan, ScanEngine

__all__ = ["Recovering", "RecoveringCamera", "RecoveringEngine"]

PATIENCE_S = 6.0
"""From the first failure; one reopening is tried however long the first failure took."""
PAUSE_S = 0.25
"""Before each reopening: the kernel needs a moment to let go of the device."""


class _Closing(Protocol):
    """A device that can be let go of."""

    def close(self) -> None:
        """Release it; may be called twice."""


_Device = TypeVar("_Device", bound=_Closing)
_Got = TypeVar("_Got")


class Recovering(Generic[_Device]):
    """A device opened through a function that can be called again.

    Args:
        reopen: opens and starts the device.
        what: kind and name, for messages before it is open.
        patience_s: how long to go on reopening.
        on_fault: told of each failure, in the thread that uses it; must not block.
        clock: monotonic seconds.
        sleep: waits so many seconds.

    Raises:
        DeviceUnavailable: it cannot be opened at the start: nothing to recover yet.
    """

    def __init__(
        self,
        reopen: Callable[[], _Device],
        what: str,
        *,
        patience_s: float = PATIENCE_S,
        on_fault: Callable[[HalError], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.recoveries = 0
        """Reopenings after which it worked again, since start."""
        self._reopen = reopen
        self._what = what
        self._patience_s = patience_s
        self._on_fault = on_fault
        self._clock = clock
        self._sleep = sleep
        self._closed = threading.Event()
        self._device: _Device | None = reopen()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def listen(self, on_fault: Callable[[HalError], None]) -> None:
        """Tell this of each failure from now on; see `on_fault`."""
        self._on_fault = on_fault

    def close(self) -> None:
        """Release the device; may be called twice, and from another thread."""
        self._closed.set()
        device, self._device = self._device, None
        if device is not None:
            device.close()

    def _attempt(self, use: Callable[[_Device], _Got], timeout_s: float) -> _Got:
        """Use the device, through a reopening where it takes one.

        Args:
            use: what may fail.
            timeout_s: what it may take.

        Raises:
            DeviceFault: closed, or it still failed when patience was over.
        """
        started = self._clock()
        failures = 0
        while True:
            try:
                got = use(self._opened())
            except HalError as error:
                self._drop()
                if self._closed.is_set():
                    raise DeviceFault(f"{self._what}: closed") from None
                if self._on_fault is not None:
                    # Without the traceback, which would hold on to the next frame's buffer.
                    self._on_fault(error.with_traceback(None))
                failures += 1
                if failures > 1 and self._clock() - started + timeout_s > self._patience_s:
                    raise DeviceFault(f"{error} (reopened {failures - 1} times)") from error
                self._sleep(PAUSE_S)
                continue
            self.recoveries += failures > 0
            return got

    def _opened(self) -> _Device:
        if self._closed.is_set():
            raise DeviceFault(f"{self._what}: closed")
        if self._device is None:
            device = self._reopen()
            if self._closed.is_set():  # while it was opening
                device.close()
                raise DeviceFault(f"{self._what}: closed")
            self._device = device
            self._renewed()
        return self._device

    def _renewed(self) -> None:
        """Note that it was opened anew."""

    def _drop(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()


class RecoveringCamera(Recovering[Camera]):
    """A camera that mends itself; see `Recovering` for what it takes.

    Args:
        reopen: opens and starts the camera.
        name: of the camera.
    """

    def __init__(
        self,
        reopen: Callable[[], Camera],
        name: str = "camera",
        *,
        patience_s: float = PATIENCE_S,
        on_fault: Callable[[HalError], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._base = 0
        self._last = 0
        super().__init__(
            reopen,
            f"camera {name}",
            patience_s=patience_s,
            on_fault=on_fault,
            clock=clock,
            sleep=sleep,
        )

    @property
    def name(self) -> str:
        """The camera's name."""
        return self._name

    @contextmanager
    def capture(self, timeout_s: float) -> Iterator[Frame]:
        """Borrow the next frame, through a reopening where it takes one.

        Args:
            timeout_s: for each try; the call may take patience and two of these.

        Raises:
            DeviceFault: closed, or still no frame when patience was over.
        """
        with ExitStack() as borrowed:
            frame = self._attempt(
                lambda camera: borrowed.enter_context(camera.capture(timeout_s)), timeout_s
            )
            self._last = self._base + frame.sequence
            lent = replace(frame, sequence=self._last)
            borrowed.callback(lent.revoke)
            yield lent

    def _renewed(self) -> None:
        self._base = self._last


class RecoveringEngine(Recovering[ScanEngine]):
    """A barcode engine that mends itself; see `Recovering` for what it takes.

    Args:
        reopen: opens the engine and sets it up, with the same `counts` each time.
        counts: what `reopen` counts in.
    """

    def __init__(
        self,
        reopen: Callable[[], ScanEngine],
        counts: EngineCounts,
        *,
        patience_s: float = PATIENCE_S,
        on_fault: Callable[[HalError], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.counts = counts
        super().__init__(
            reopen,
            "engine",
            patience_s=patience_s,
            on_fault=on_fault,
            clock=clock,
            sleep=sleep,
        )

    def read(self, timeout_s: float) -> Scan | None:
        """Wait for the next payload, through a reopening where it takes one.

        Raises:
            DeviceFault: closed, or it still failed when patience was over.
        """
        return self._attempt(lambda engine: engine.read(timeout_s), timeout_s)
