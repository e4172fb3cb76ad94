"""What every fingerprint sensor must do, simulated or real; nobody needs to touch the glass."""

from __future__ import annotations

import os
import threading
import time

import pytest

from hal.errors import SensorError
from hal.fingerprint import (
    NOTEPAD_BYTES,
    PROBE,
    REFERENCE,
    Glass,
    Light,
    SensorRefused,
    TemplateLengthError,
)

PAGE = 15
"""Of the notepad; the pairing secret has another."""


class SensorContract:
    """Run by a class that has a fixture `sensor`: open, with its glass empty."""

    def test_it_knows_itself(self, sensor):
        info = sensor.info
        assert info.library_size >= 1
        assert info.packet_size in {32, 64, 128, 256}
        assert info.baud % 9_600 == 0
        assert 1 <= info.security_level <= 5

    def test_it_knows_the_password(self, sensor):
        sensor.verify_password()

    def test_an_empty_glass(self, sensor):
        assert sensor.capture() is Glass.EMPTY
        began = time.monotonic()
        assert sensor.wait_for_finger(0.3) is Glass.EMPTY
        assert 0.25 < time.monotonic() - began < 2.0
        assert sensor.wait_for_lift(1.0)

    def test_a_wait_is_cancelled(self, sensor):
        flag = threading.Event()
        flag.set()
        began = time.monotonic()
        assert sensor.wait_for_finger(5.0, flag) is Glass.EMPTY
        assert time.monotonic() - began < 1.0

    def test_a_template_goes_out_and_back(self, sensor):
        length = sensor.info.template_length
        if length is None:
            pytest.skip("this module hands out no empty buffer: enrol a finger first")
        template = os.urandom(length)
        sensor.download(template, REFERENCE)
        assert sensor.upload(REFERENCE) == template

    def test_other_lengths_are_refused(self, sensor):
        with pytest.raises(TemplateLengthError):
            sensor.download(bytes((sensor.info.template_length or 512) - 1), REFERENCE)
        assert sensor.capture() is Glass.EMPTY

    def test_the_notepad(self, sensor):
        before = sensor.read_note(PAGE)
        for data in (os.urandom(NOTEPAD_BYTES), before):
            sensor.write_note(PAGE, data)
            assert sensor.read_note(PAGE) == data

    def test_slots_and_count_agree(self, sensor):
        slots = sensor.slots()
        assert len(slots) == sensor.count()
        assert all(0 <= slot < sensor.info.library_size for slot in slots)

    def test_an_empty_slot_is_not_loaded(self, sensor):
        empty = next(slot for slot in range(sensor.info.library_size) if slot not in sensor.slots())
        with pytest.raises(SensorRefused):
            sensor.load(empty, REFERENCE)

    def test_lights(self, sensor):
        for light in Light:
            sensor.light(light)
        sensor.light(Light.OFF)

    def test_nothing_of_an_empty_glass(self, sensor):
        sensor.capture()
        try:
            assert sensor.extract(PROBE).value != "good"
        except SensorRefused:
            assert sensor.capture() is Glass.EMPTY

    def test_closed_twice(self, sensor):
        sensor.close()
        sensor.close()
        with pytest.raises(SensorError):
            sensor.capture()
