"""QEMU's `raspi3b`: a process that lives no longer than this one.

- Serial port 0 of the board (PL011, /dev/ttyAMA0) is a terminal of this machine, where a simulated
  fingerprint module is; port 1 (the mini UART, /dev/ttyS1) is the console, a Unix socket.
- The card is not written: what the guest writes goes into an overlay that is thrown away.
- The machine starts halted, so that the watch of the pins and the levels of the inputs are there
  before its first instruction. The clock of the guest is this machine's (no -icount).
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = "qemu-system-aarch64"
COMMAND_LINE = (
    "root=/dev/mmcblk0 rootwait rw console=ttyS1,115200 "
    "systemd.show_status=false random.trust_bootloader=on"
)


class EmulatorError(Exception):
    """QEMU does not run; the text has its own words."""


@dataclass(frozen=True, slots=True)
class Card:
    """What the board starts from.

    Attributes:
        image: the SD card, a bare ext4 file system; its size is a power of two.
        kernel, initrd, device_tree: what the firmware would load.
    """

    image: Path
    kernel: Path
    initrd: Path
    device_tree: Path


class Emulator:
    """One board, halted until `go`.

    Args:
        card: what it starts from.
        serial: path of the terminal behind serial port 0.
        folder: for sockets and the overlay; short, as a socket's path must be.
    """

    def __init__(self, card: Card, serial: str, folder: Path) -> None:
        self.console = folder / "console"
        self.qtest = folder / "qtest"
        self._monitor_path = folder / "monitor"
        self._log = folder / "qemu.log"
        overlay = folder / "overlay.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", card.image.absolute(),
             overlay],
            check=True,
        )  # fmt: skip
        words: list[str | Path] = [
            "setpriv", "--pdeathsig", "KILL", "--",
            PROGRAM, "-M", "raspi3b", "-display", "none", "-S",
            "-kernel", card.kernel, "-initrd", card.initrd, "-dtb", card.device_tree,
            "-append", COMMAND_LINE,
            "-drive", f"if=sd,format=qcow2,cache=unsafe,file={overlay}",
            "-chardev", f"serial,id=port0,path={serial}", "-serial", "chardev:port0",
            "-chardev", f"socket,id=port1,path={self.console},server=on,wait=off",
            "-serial", "chardev:port1",
            "-netdev", "user,id=net0", "-device", "usb-net,netdev=net0",
            "-qtest", f"unix:{self.qtest},server=on,wait=off", "-qtest-log", "none",
            "-qmp", f"unix:{self._monitor_path},server=on,wait=off",
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._monitor = self._connect()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Give the monitor a command and return its answer.

        Raises:
            EmulatorError: it refuses, or QEMU has ended.
        """
        order: dict[str, Any] = {"execute": command}
        if arguments:
            order["arguments"] = arguments
        try:
            self._monitor.write(json.dumps(order) + "\n")
            self._monitor.flush()
            while line := self._monitor.readline():
                answer = json.loads(line)
                if "return" in answer:
                    return answer["return"]
                if "error" in answer:
                    raise EmulatorError(f"{command}: {answer['error']['desc']}")
        except OSError as error:
            raise EmulatorError(f"{command}: {error}: {self._said()}") from error
        raise EmulatorError(f"{command}: QEMU has ended: {self._said()}")

    def go(self) -> float:
        """Let the board run; return the monotonic second of its first instruction."""
        self.execute("cont")
        return time.monotonic()

    def cut_power(self) -> None:
        """Take the power away and give it back at once: registers are as after power-up."""
        self.execute("system_reset")

    def wait_off(self, timeout_s: float) -> bool:
        """Wait until the board switched itself off; return whether it did."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Pull the plug; may be called twice."""
        self._process.kill()
        self._process.wait()

    def _connect(self) -> Any:
        end = time.monotonic() + 30.0
        channel = socket.socket(socket.AF_UNIX)
        while self._process.poll() is None and time.monotonic() < end:
            try:
                channel.connect(str(self._monitor_path))
            except OSError:
                time.sleep(0.05)  # it makes its sockets first
            else:
                stream = channel.makefile("rw", encoding="utf-8")
                json.loads(stream.readline())  # its greeting
                return stream
        self.close()
        raise EmulatorError(f"QEMU did not start: {self._said()}")

    def _said(self) -> str:
        return self._log.read_text("utf-8", "replace").strip()[-1000:]
