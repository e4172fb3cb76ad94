"""Tell the service manager how we are: sd_notify(3), one datagram a message.

Outside of systemd `NOTIFY_SOCKET` is absent and nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket

__all__ = ["ServiceManager"]


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

    def ready(self) -> None:
        """The gate serves."""
        self._send("READY=1")

    def alive(self) -> None:
        """Every thread went round since the last call."""
        self._send("WATCHDOG=1")

    def reloading(self, monotonic_us: int) -> None:
        """Settings are read again; `ready` follows."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_us}")

    def stopping(self) -> None:
        """The gate shuts down."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={text}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # A manager that is gone or does not read must not end or hold up a gate.
        with channel, contextlib.suppress(OSError):
            channel.connect(self._address)
            channel.send(message.encode(), socket.MSG_DONTWAIT)
