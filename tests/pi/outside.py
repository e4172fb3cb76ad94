"""What stands around the emulated gate: a time server, a broker with its collector, and a camera's view.

All of it listens on this machine's loopback, which the guest reaches as 10.0.2.2, at the ports where
such servers always are. That disturbs nobody, since the run has a network of its own
(`in_own_network`): nothing outside it is reached from here, and nothing reaches in.

- The broker is Mosquitto with the files of docs/fleet, client certificates and ACL included.
- The collector is `idgate fleet collect`, as an operator starts it.
- The time server answers as a server of stratum 1 does (RFC 5905), once it was started.
"""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
FLEET = CHECKOUT / "docs/fleet"
HOST = "10.0.2.2"
_NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 to 1970."""
_ENDS_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]


def in_own_network(words: Sequence[str]) -> list[str]:
    """Return a command that runs `words` with a network and processes of its own; all end with it."""
    return [
        *_ENDS_WITH_US, "unshare", "--net", "--pid", "--fork", "--kill-child", "--",
        # The address as the guest sees it, so that the broker has one name on both sides.
        "sh", "-ec", f'ip link set lo up; ip address add {HOST}/32 dev lo; exec "$@"', "sh", *words,
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """An event as the collector has it."""

    boot_id: str
    seq: int
    type: str
    data: dict[str, Any]


class TimeServer:
    """Answers SNTP requests from this machine's clock."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 123))
        threading.Thread(target=self._run, name="time-server", daemon=True).start()

    def _run(self) -> None:
        while True:
            request, sender = self._socket.recvfrom(512)
            if len(request) >= 48 and request[0] & 0b111 == 3:
                self._socket.sendto(answer(request, time.time()), sender)


def answer(request: bytes, now: float) -> bytes:
    """Return the answer of a time server.

    Args:
        request: a client's packet.
        now: Unix seconds, for reception and transmission.
    """
    stamp = struct.pack(">Q", int((now + _NTP_EPOCH) * (1 << 32)))
    version = request[0] >> 3 & 0b111
    head = struct.pack(">BBbbII4s", version << 3 | 4, 1, request[2], -20, 0, 0, b"LOCL")
    return head + stamp + request[40:48] + stamp + stamp


class View:
    """What the gate's camera will see, fetched by the guest over HTTP."""

    def __init__(self) -> None:
        self.picture = b""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                picture = outer.picture
                self.send_response(200)
                self.send_header("Content-Length", str(len(picture)))
                self.end_headers()
                self.wfile.write(picture)

            def log_message(self, *_words: object) -> None:
                """Keep the terminal clean."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 80), Handler)
        threading.Thread(target=server.serve_forever, name="view", daemon=True).start()


class Fleet:
    """A broker and a collector.

    Args:
        folder: for their files.
        certificates: as docs/fleet/certificates.sh made them, for a broker named `HOST`.
    """

    def __init__(self, folder: Path, certificates: Path) -> None:
        self._database = folder / "collector.sqlite"
        self._log = folder / "fleet.log"
        etc = folder / "mosquitto"
        shutil.copytree(certificates, etc / "certs")
        shutil.copy(FLEET / "acl", etc / "acl")
        settings = (FLEET / "mosquitto.conf").read_text("utf-8").replace("/etc/mosquitto", str(etc))
        # Root may read a private folder; the user whom Mosquitto would become may not. The place of
        # its database is named by Debian's own file elsewhere.
        (etc / "mosquitto.conf").write_text(f"user root\npersistence_location {etc}/\n{settings}")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._processes = [self._start([program, "-c", str(etc / "mosquitto.conf")])]
        names = [f"--{key}={certificates / file}" for key, file in (
            ("ca", "ca.crt"), ("cert", "collector.crt"), ("cert-key", "collector.key"),
        )]  # fmt: skip
        self._processes.append(
            self._start([
                sys.executable, "-m", "agent.cli", "fleet", "collect",
                f"--broker=mqtts://{HOST}:8883", *names, f"--database={self._database}",
            ])
        )  # fmt: skip

    def events(self) -> list[Event]:
        """Return what the collector has stored, in order."""
        self.check()
        if not self._database.exists():
            return []
        database = sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)
        try:
            rows = database.execute(
                "SELECT boot.boot_id, event.seq, event.type, event.data FROM event"
                " JOIN boot ON boot.id = event.boot ORDER BY event.boot, event.seq"
            ).fetchall()
        except sqlite3.OperationalError:  # it has not made its tables yet
            return []
        finally:
            database.close()
        return [Event(boot, seq, kind, json.loads(data)) for boot, seq, kind, data in rows]

    def check(self) -> None:
        """See that both still run.

        Raises:
            RuntimeError: one does not; its last words are shown.
        """
        if any(process.poll() is not None for process in self._processes):
            raise RuntimeError(f"broker or collector ended: {self._log.read_text()[-1000:]}")

    def close(self) -> None:
        """End both; may be called twice."""
        for process in self._processes:
            process.terminate()
            process.wait()

    def _start(self, words: list[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*_ENDS_WITH_US, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=CHECKOUT,
            )  # fmt: skip
