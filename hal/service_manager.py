"""Tell the service manager how we are: sd_notify(3), one datagram a message.

Outside of systemd `NOTIFY_SOCKET` is absent and nothing is sent.

Rules:
- Starting and reloading are steps, and each says how long it may take before it begins, so that a
  slow card is waited for and a hang is not: no step is longer than `STEP_S`, save one that has a
  limit of its own in the settings. The unit's `TimeoutStartSec=` is the first step's.
- The same message holds back the watchdog, which nobody feeds meanwhile.
- `STOPPING=1` is final: the service manager kills what is not gone in time, whatever is said after.
  Parts that start anew in the same process are a reload.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

__all__ = ["STEP_S", "ServiceManager"]

STEP_S = 30.0
"""The longest step of a start that has no limit of its own: models read from a slow card."""


class ServiceManager:
    """The supervising systemd, if there is one.

    Args:
        environment: where `NOTIFY_SOCKET` and `WATCHDOG_USEC` are looked up.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        env = dict(os.environ) if environment is None else environment
        address = env.get("NOTIFY_SOCKET", "")
        # A leading @ names a socket in Linux's abstract name space.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        period = int(env.get("WATCHDOG_USEC", "0") or "0")
        self.watchdog_s: float | None = period / 1e6 if period else None

    def step(self, text: str, limit_s: float = STEP_S) -> None:
        """A step of a start, a reload or a stop begins.

        Args:
            text: what is done, for `systemctl status`.
            limit_s: how long it may take, or the service is killed.
        """
        self._send(f"STATUS={text}\nEXTEND_TIMEOUT_USEC={round(limit_s * 1e6)}")

    def status(self, text: str) -> None:
        """Say one line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def ready(self) -> None:
        """The gate serves."""
        self.status("serving")
        self._send("READY=1")

    def alive(self) -> None:
        """Every thread went round since the last call."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Settings are read again, or every part starts anew; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The gate shuts down, and the process with it."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # A manager that is gone or does not read must not end or hold up a gate.
        with channel, contextlib.suppress(OSError):
            channel.connect(self._address)
            channel.send(message.encode(), socket.MSG_DONTWAIT)
