"""libosdp's own control panel on the master side of a pty: the other end of the bus in tests."""

from __future__ import annotations

import os
import pty
import threading
import time
import tty

import osdp

KEY = bytes(range(16))
ADDRESS = 101


class Panel:
    """libosdp's control panel on the master side of a pty."""

    def __init__(self, key: bytes) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.master)
        tty.setraw(self.slave)
        os.set_blocking(self.master, False)
        self.traffic = bytearray()
        panel = self

        class Bus(osdp.Channel):
            def read(self, max_bytes: int) -> bytes:
                try:
                    data = os.read(panel.master, max_bytes)
                except BlockingIOError:
                    return b""
                panel.traffic += data
                return data

            def write(self, buf: bytes) -> int:
                return os.write(panel.master, buf)

            def flush(self) -> None:
                """Nothing is buffered here."""

        info = osdp.PDInfo(ADDRESS, Bus(), scbk=key, flags=[osdp.LibFlag.EnforceSecure])
        self.device = osdp.ControlPanel([info], log_level=osdp.LogLevel.Critical)

    @property
    def port(self) -> str:
        return os.ttyname(self.slave)

    def until(self, done, limit_s: float = 10.0) -> bool:
        """Serve the bus until `done()`; the protocol has a clock of its own, so this waits."""
        end = time.monotonic() + limit_s
        pause = threading.Event()
        while time.monotonic() < end:
            self.device.ctx.refresh()
            if done():
                return True
            pause.wait(0.005)
        return False

    def event(self) -> dict:
        assert self.until(lambda: not self.device.event_queue[0].empty())
        return self.device.event_queue[0].get()

    def led(self, colour: int) -> None:
        command = {
            "command": osdp.Command.LED, "reader": 0, "led_number": 0, "control_code": 2,
            "on_count": 10, "off_count": 0, "on_color": colour, "off_color": 0,
            "timer_count": 20, "temporary": True,
        }  # fmt: skip
        assert self.device.ctx.submit_command(0, command)

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)
