"""The OSDP reader against libosdp's own control panel, on a pty, over the secure channel."""

from __future__ import annotations

import threading

import osdp
import pytest

from hal.errors import DeviceFault, DeviceUnavailable
from hal.osdp import OsdpReader
from tests.hal.osdp_panel import ADDRESS, KEY, Panel


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


def test_a_panel_with_another_key_hears_nothing(panel):
    reader = OsdpReader(panel.port, address=ADDRESS, key=bytes(16 * [7]))
    try:
        assert not panel.until(lambda: reader.secure, limit_s=1.0)
        with pytest.raises(DeviceFault, match="no controller listens"):
            reader.present(b"12345678")
    finally:
        reader.close()


def test_a_port_that_goes_away_is_told_and_comes_back(tmp_path):
    first, bus = Panel(KEY), tmp_path / "bus"
    bus.symlink_to(first.port)
    reader = OsdpReader(str(bus), address=ADDRESS, key=KEY, retry_s=0.01)
    try:
        assert first.until(lambda: reader.secure)
        first.close()
        wait_for(lambda: reader._error)
        assert not reader.secure
        with pytest.raises(DeviceFault, match="OSDP port failed"):
            reader.present(b"12345678")
        second = Panel(KEY)
        bus.unlink()
        bus.symlink_to(second.port)
        assert second.until(lambda: reader.secure)
        reader.present(b"12345678")
        assert second.event()["data"] == b"12345678"
        second.close()
    finally:
        reader.close()


def wait_for(done) -> None:
    for _ in range(2_000):
        if done():
            return
        threading.Event().wait(0.005)
    pytest.fail("it did not happen")


def test_what_is_missing_is_told_at_start(panel, tmp_path):
    with pytest.raises(DeviceUnavailable, match="16 bytes"):
        OsdpReader(panel.port, address=ADDRESS, key=b"short")
    with pytest.raises(DeviceUnavailable, match="nowhere"):
        OsdpReader(str(tmp_path / "nowhere"), address=ADDRESS, key=KEY)
