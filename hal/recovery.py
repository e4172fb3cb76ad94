"""A camera that is reopened when it fails, and given up when that does not help.

The ladder (a camera whose frontend timed out delivers nothing until it is opened anew):
1. A capture that times out or faults closes the camera, opens it again and tries once more; what
   fails at once (a loose cable) is tried until patience is over.
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
from typing import Self

from hal.camera import Camera, Frame
from hal.errors import DeviceFault, HalError

__all__ = ["RecoveringCamera"]

PATIENCE_S = 6.0
"""From the first failure; one reopening is tried however long the first failure took."""
PAUSE_S = 0.25
"""Before each reopening: the kernel needs a moment to let go of the sensor."""


class RecoveringCamera:
    """A camera opened through a function that can be called again.

    Args:
        reopen: opens and starts the camera.
        name: for messages before the camera is open.
        patience_s: how long to go on reopening.
        on_fault: told of each failure, in the capturing thread; must not block.
        clock: monotonic seconds.
        sleep: waits so many seconds.

    Raises:
        DeviceUnavailable: it cannot be opened at the start: nothing to recover yet.
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
        self.recoveries = 0
        """Reopenings that brought frames again, since start."""
        self._reopen = reopen
        self._name = name
        self._patience_s = patience_s
        self._on_fault = on_fault
        self._clock = clock
        self._sleep = sleep
        self._closed = threading.Event()
        self._base = 0
        self._last = 0
        self._camera: Camera | None = reopen()

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
            frame = self._take(borrowed, timeout_s)
            self._last = self._base + frame.sequence
            lent = replace(frame, sequence=self._last)
            borrowed.callback(lent.revoke)
            yield lent

    def listen(self, on_fault: Callable[[HalError], None]) -> None:
        """Tell this of each failure from now on; see `on_fault`."""
        self._on_fault = on_fault

    def close(self) -> None:
        """Release the device; may be called twice, and from another thread."""
        self._closed.set()
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _take(self, borrowed: ExitStack, timeout_s: float) -> Frame:
        started = self._clock()
        failures = 0
        while True:
            try:
                frame = borrowed.enter_context(self._opened().capture(timeout_s))
            except HalError as error:
                self._drop()
                if self._closed.is_set():
                    raise DeviceFault(f"camera {self._name}: closed") from None
                if self._on_fault is not None:
                    # Without the traceback, which would hold on to the next frame's buffer.
                    self._on_fault(error.with_traceback(None))
                failures += 1
                if failures > 1 and self._clock() - started + timeout_s > self._patience_s:
                    raise DeviceFault(f"{error} (reopened {failures - 1} times)") from error
                self._sleep(PAUSE_S)
                continue
            self.recoveries += failures > 0
            return frame

    def _opened(self) -> Camera:
        if self._closed.is_set():
            raise DeviceFault(f"camera {self._name}: closed")
        if self._camera is None:
            camera = self._reopen()
            if self._closed.is_set():  # while it was opening
                camera.close()
                raise DeviceFault(f"camera {self._name}: closed")
            self._camera = camera
            self._base = self._last
        return self._camera

    def _drop(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
