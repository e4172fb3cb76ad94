"""A root shell on the emulated Raspberry Pi's second serial port, for what a hand would do at a Pi.

The console is a Unix socket of QEMU's. Everything that comes is kept and written to a log. A command
is told apart from its echo and from the kernel's messages by a mark that the shell puts together.
"""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path


class GuestError(Exception):
    """The guest did not do what it was asked; the text has what it said."""


class Console:
    """The shell.

    Args:
        path: QEMU's socket of the serial port.
        log: where everything is written.
    """

    def __init__(self, path: Path, log: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._log = log.open("wb")
        self._heard = bytearray()
        self._came = threading.Condition()
        self._gone = False
        self._marks = 0
        threading.Thread(target=self._listen, name="console", daemon=True).start()

    def wait_for(self, pattern: str, timeout_s: float, *, since: int = 0) -> re.Match[bytes]:
        """Wait for text on the console.

        Args:
            pattern: a regular expression.
            timeout_s: longest wait.
            since: position in what was heard, from which it counts.

        Raises:
            GuestError: it does not come, or the emulator ended.
        """
        wanted = re.compile(pattern.encode(), re.DOTALL)
        found: list[re.Match[bytes]] = []

        def there() -> bool:
            match = wanted.search(self._heard, since)
            found.extend([match] if match else [])
            return bool(found) or self._gone

        with self._came:
            self._came.wait_for(there, timeout_s)
            if not found:
                why = "the emulator ended" if self._gone else f"not within {timeout_s:g} s"
                raise GuestError(f"{pattern!r} on the console: {why}; last: {self.tail()}")
        return found[0]

    def heard(self) -> int:
        """Return how much was heard until now."""
        with self._came:
            return len(self._heard)

    def log_in(self, timeout_s: float, *, since: int = 0) -> None:
        """Wait for the shell and make it quiet.

        Args:
            timeout_s: longest wait.
            since: position in what was heard, after which the board started.

        Raises:
            GuestError: there is none.
        """
        self.wait_for(r"root@[^\n]*# ", timeout_s, since=since)
        self.send("stty -echo -onlcr cols 4000; PS1= PS2=; dmesg -n 1")
        self.run("true", timeout_s=timeout_s)

    def run(self, command: str, *, timeout_s: float = 120.0, check: bool = True) -> str:
        """Run a shell command and return what it printed.

        Raises:
            GuestError: it did not end in time, or ended with an error and `check` is set.
        """
        self._marks += 1
        mark = f"{self._marks:06d}"
        since = self.heard()
        self.send(
            f"printf '<%s<\\n' {mark}; {{ {command}\n}} </dev/null 2>&1; printf '>%s>%d>\\n' {mark} $?"
        )
        match = self.wait_for(f"<{mark}<\r?\n(.*?)>{mark}>(\\d+)>", timeout_s, since=since)
        said, code = match[1].decode("utf-8", "replace").strip(), int(match[2])
        if check and code:
            raise GuestError(f"{command}: exit {code}: {said}")
        return said

    def send(self, line: str) -> None:
        """Type a line."""
        self._socket.sendall(line.encode() + b"\n")

    def tail(self, length: int = 600) -> str:
        """Return the last that was heard."""
        return self._heard[-length:].decode("utf-8", "replace")

    def close(self) -> None:
        """Let go; may be called twice."""
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                data = self._socket.recv(4096)
            except OSError:
                data = b""
            with self._came:
                self._heard += data
                self._gone = not data
                self._came.notify_all()
            if not data:
                self._log.close()
                return
            self._log.write(data)
            self._log.flush()
