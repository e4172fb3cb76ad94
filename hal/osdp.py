"""OSDP peripheral device: the gate as a reader on an access controller's RS-485 bus.

Rules:
- Secure channel only: without the key that was agreed with the controller nothing is said.
- A card read is sent as raw bits; the controller decides, and may answer with its LED: a temporary
  green is told as True, a temporary red as False.
- libosdp does the protocol, in a thread of its own here. A serial port that fails is opened again
  every two seconds; meanwhile `present` raises, and says why.

Standard: IEC 60839-11-5 (SIA OSDP v2.2), through libosdp.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hal.errors import DeviceFault, DeviceUnavailable
from hal.library import starting

if TYPE_CHECKING:
    import serial

__all__ = ["KEY_BYTES", "OsdpReader"]

KEY_BYTES = 16
_LOG = logging.getLogger(__name__)
_REFRESH_S = 0.01
_RETRY_S = 2.0


class OsdpReader:
    """One reader on the bus.

    Args:
        port: the serial device.
        address: 0 to 126.
        key: secure channel base key, 16 bytes.
        baud: of the bus.
        on_led: told what the controller shows after a card: True green, False red.
        retry_s: how long after a failure the port is opened again.

    Raises:
        DeviceUnavailable: no libosdp, no such port, or a key of the wrong length.
    """

    def __init__(
        self,
        port: str,
        *,
        address: int,
        key: bytes,
        baud: int = 9600,
        on_led: Callable[[bool], None] | None = None,
        retry_s: float = _RETRY_S,
    ) -> None:
        if len(key) != KEY_BYTES:
            raise DeviceUnavailable(f"OSDP: the secure channel key has {KEY_BYTES} bytes")
        self._on_led = on_led
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error = ""
        self._where, self._who = (port, baud), (address, key)
        self._retry_s = retry_s
        self._port = _open(*self._where)
        try:
            self._device: Any = self._make(*self._who)
        except BaseException:
            self._port.close()
            raise
        self._thread = threading.Thread(target=self._run, name="osdp", daemon=True)
        self._thread.start()

    def _make(self, address: int, key: bytes) -> Any:
        with starting("OSDP", "run ./setup.sh, which installs libosdp"):
            import osdp
        port = self._port

        class Bus(osdp.Channel):  # type: ignore[misc]
            """The serial port as libosdp reads it: never blocking."""

            def read(self, max_bytes: int) -> bytes:
                return bytes(port.read(max_bytes))

            def write(self, buf: bytes) -> int:
                return port.write(buf) or 0

            def flush(self) -> None:
                port.reset_input_buffer()

        capabilities = osdp.PDCapabilities(
            [
                (osdp.Capability.CardDataFormat, 1, 1),
                (osdp.Capability.LEDControl, 1, 1),
                (osdp.Capability.AudibleControl, 1, 1),
                (osdp.Capability.CommunicationSecurity, 1, 1),
                (osdp.Capability.CheckCharacter, 1, 1),
            ]
        )
        info = osdp.PDInfo(address, Bus(), scbk=key, flags=[osdp.LibFlag.EnforceSecure])
        return osdp.PeripheralDevice(
            info,
            capabilities,
            log_level=osdp.LogLevel.Critical,
            command_handler=self._command,
        )

    @property
    def secure(self) -> bool:
        """Whether a controller has opened the secure channel."""
        with self._lock:
            return not self._error and bool(self._device.is_sc_active())

    def present(self, card: bytes) -> None:
        """Send a card number, as many bits as the bytes have; returns at once.

        Raises:
            DeviceFault: the port failed, or no controller listens on a secure channel.
        """
        import osdp

        event = {
            "event": osdp.Event.CardRead,
            "reader_no": 0,
            "direction": 0,
            "format": osdp.CardFormat.Unspecified,
            "length": len(card) * 8,
            "data": card,
        }
        with self._lock:
            if self._error:
                raise DeviceFault(f"OSDP port failed: {self._error}")
            if not self._device.is_sc_active():
                raise DeviceFault("OSDP: no controller listens on the secure channel")
            self._device.ctx.submit_event(event)

    def close(self) -> None:
        """Leave the bus; may be called twice."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)
        self._port.close()

    def _run(self) -> None:
        while not self._stop.wait(self._retry_s if self._error else _REFRESH_S):
            try:
                with self._lock:
                    self._serve()
            except Exception as error:  # noqa: BLE001 - libosdp passes on what the port raises
                if not self._error:
                    _LOG.warning("OSDP port failed: %s: %s", type(error).__name__, error)
                self._error = f"{type(error).__name__}: {error}"

    def _serve(self) -> None:
        """Do the protocol's next step, on a fresh port after a failure."""
        if self._error:
            self._port.close()
            self._port = _open(*self._where)
            self._device = self._make(*self._who)
            self._error = ""
            _LOG.info("OSDP port is open again")
        self._device.ctx.refresh()

    def _command(self, command: dict[str, Any]) -> tuple[int, None]:
        """Acknowledge the controller's command; its LED is told."""
        import osdp

        if command.get("command") == osdp.Command.LED and command.get("temporary"):
            colour = command.get("on_color")
            told = {osdp.CommandLEDColor.Green: True, osdp.CommandLEDColor.Red: False}
            if self._on_led is not None and colour in told:
                self._on_led(told[colour])
        return 0, None


def _open(port: str, baud: int) -> serial.Serial:
    with starting(f"OSDP port {port}", "check gpio.osdp_port and the adapter"):
        import serial

        return serial.Serial(port, baud, timeout=0, write_timeout=0.5, exclusive=True)
