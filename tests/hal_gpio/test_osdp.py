"""The OSDP reader against libosdp's own control panel, on a pty, over the secure channel."""

from __future__ import annotations

import os
import pty
import threading
import time
import tty

import pytest

osdp = pytest.importorskip("osdp")

from hal.errors import DeviceFault, DeviceUnavailable  # noqa: E402
from hal.osdp import OsdpReader  # noqa: E402

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


@pytest.fixture
def panel():
    panel = Panel(KEY)
    yield panel
    panel.close()


def test_a_card_goes_over_the_secure_channel_and_the_answer_comes_back(panel):
    leds: list[bool] = []
    reader = OsdpReader(panel.port, address=ADDRESS, key=KEY, on_led=leds.append)
    try:
        assert panel.until(lambda: reader.secure)
        card = bytes.fromhex("0123456789abcdef")
        panel.traffic.clear()
        reader.present(card)
        event = panel.event()
        assert event["event"] == osdp.Event.CardRead
        assert (event["data"], event["length"]) == (card, 64)
        assert card not in panel.traffic, "the number went over the bus in clear"
        panel.led(osdp.CommandLEDColor.Green)
        assert panel.until(lambda: leds == [True])
        panel.led(osdp.CommandLEDColor.Red)
        assert panel.until(lambda: leds == [True, False])
    finally:
        reader.close()
    reader.close()
    assert not reader.alive


def test_a_panel_with_another_key_hears_nothing(panel):
    reader = OsdpReader(panel.port, address=ADDRESS, key=bytes(16 * [7]))
    try:
        assert not panel.until(lambda: reader.secure, limit_s=1.0)
        with pytest.raises(DeviceFault, match="no controller listens"):
            reader.present(b"12345678")
    finally:
        reader.close()


def test_a_port_that_goes_away_is_a_fault():
    panel = Panel(KEY)
    reader = OsdpReader(panel.port, address=ADDRESS, key=KEY)
    assert panel.until(lambda: reader.secure)
    panel.close()
    reader._thread.join(5)
    assert not reader.alive
    assert not reader.secure
    with pytest.raises(DeviceFault, match="OSDP ended"):
        reader.present(b"12345678")
    reader.close()


def test_what_is_missing_is_told_at_start(panel, tmp_path):
    with pytest.raises(DeviceUnavailable, match="16 bytes"):
        OsdpReader(panel.port, address=ADDRESS, key=b"short")
    with pytest.raises(DeviceUnavailable, match="nowhere"):
        OsdpReader(str(tmp_path / "nowhere"), address=ADDRESS, key=KEY)
