"""Each defect of the bare driver, shown on it first, then shown gone in ours.

Both sides talk to the same simulated module over a pty. Where a test says what the bare driver does,
it holds for adafruit-circuitpython-fingerprint 2.2.25; a test that fails there after an update says
that a defect was mended upstream, which is good news and no fault of ours.
"""

from __future__ import annotations

import contextlib
import os
import termios
import threading
import time
from pathlib import Path

import pytest
import serial

from hal.errors import DeviceUnavailable, SensorError
from hal.fingerprint import Confirmation, Glass, SensorRefused, TemplateLengthError
from hal.fingerprint_frame import Kind, encode
from hal.raspberrypi.fingerprint import find_baud
from hal.simulated.fingerprint_module import Reply
from hal.simulated.fingerprint_script import Fault, FaultKind, Script, Touch
from tests.support.fingers import ANSWER_S

OK, NO_FINGER = Confirmation.OK, Confirmation.NO_FINGER
R307 = Script(variant="r307")
BARE_LOSES = (RuntimeError, OSError, termios.error)


def enrolled(sensor, module, finger: str = "anna") -> bytes:
    """Put a finger's template into buffer 1 and return it."""
    module.glass.place(finger)
    assert sensor.capture() is Glass.FINGER
    sensor.extract()
    module.glass.lift()
    return sensor.upload()


class TestCorruptedAnswer:
    FAULT = Fault("get_image", FaultKind.CORRUPT)

    def test_the_bare_driver_sees_a_finger_that_is_not_there(self, plug, bare):
        module, port = plug()
        driver = bare(port)
        module.fault(self.FAULT)
        assert driver.get_image() == OK  # the module said 02, no finger

    def test_ours_asks_again(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        module.fault(self.FAULT)
        assert sensor.capture() is Glass.EMPTY
        assert module.commands.count(0x01) == 2

    def test_ours_does_not_repeat_what_hangs_on_the_buffers(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        reference = enrolled(sensor, module)
        sensor.download(reference)
        module.fault(Fault("match", FaultKind.CORRUPT, at_byte=1))
        with pytest.raises(SensorError, match="disturbed"):
            sensor.compare()
        assert sensor.compare() > 100

    @pytest.mark.parametrize("at_byte", [1, 3, 4, 7, 8, 10, 11, 40, 142, 144, 1_500, 1_532, 1_533])
    def test_a_byte_of_a_template_on_the_way(self, plug, bare, ours, at_byte):
        """Sum of the confirmation; start, address, kind, length, data and sum of data frames."""
        module, port = plug()
        sensor = ours(port)
        sound = enrolled(sensor, module)
        module.fault(Fault("upload", FaultKind.CORRUPT, at_byte=at_byte))
        with pytest.raises(SensorError):
            sensor.upload()
        assert sensor.upload() == sound
        sensor.close()
        if at_byte in {40, 1_500}:
            driver = bare(port)
            module.fault(Fault("upload", FaultKind.CORRUPT, at_byte=at_byte))
            assert bytes(driver.get_fpdata("char", 1)) != sound  # and no word of it


class TestLateAnswer:
    FAULT = Fault("get_image", FaultKind.LATE, late_s=ANSWER_S + 0.1)

    def test_the_bare_driver_takes_it_for_the_next_ones(self, plug, bare):
        module, port = plug()
        driver = bare(port)
        module.glass.expect(Touch("anna", after_polls=0))
        module.fault(self.FAULT)
        with pytest.raises(RuntimeError, match="Failed to read"):
            driver.get_image()
        found = []
        for _ in range(3):
            with contextlib.suppress(RuntimeError):
                found.append(driver.get_image())
        assert found[0] == OK  # the finger that lay there before; the glass is empty by now

    def test_ours_passes_over_it(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        module.glass.expect(Touch("anna", after_polls=0))
        module.fault(self.FAULT)
        assert sensor.capture() is Glass.EMPTY
        assert sensor.capture() is Glass.EMPTY

    @pytest.mark.parametrize(("command", "barrier"), [("read_parameters", 0x1F), ("index", 0x0F)])
    def test_a_late_barrier_is_not_taken_for_another(self, plug, ours, command, barrier):
        """The barrier asks something else than what is still unanswered."""
        module, port = plug()
        sensor = ours(port)
        before = len(module.commands)
        module.fault(Fault(command, FaultKind.LATE, late_s=ANSWER_S + 0.05))
        assert sensor.slots() == ()
        assert sensor.capture() is Glass.EMPTY
        asked = module.commands[before:]
        late = asked.index(0x0F if command == "read_parameters" else 0x1F)
        assert asked[late + 1 : late + 3] == [barrier, 0x13]


class TestStrayBytes:
    def test_one_byte_desynchronises_the_bare_driver_for_good(self, plug, bare):
        module, port = plug()
        driver = bare(port)
        module.fault(Fault("get_image", FaultKind.STRAY))
        for _ in range(5):
            with pytest.raises(RuntimeError):
                driver.get_image()

    def test_ours_passes_over_it(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        module.fault(Fault("any", FaultKind.STRAY, times=5))
        assert sensor.capture() is Glass.EMPTY
        assert sensor.count() == 0

    def test_ours_opens_a_module_that_has_just_started(self, plug, ours):
        module, port = plug()
        module.fault(Fault("verify_password", FaultKind.STRAY))
        assert ours(port).capture() is Glass.EMPTY

    def test_noise_between_commands(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        module.say(os.urandom(64) + b"\xef\x01\xff\xff\xff\xff\x07\x00\x03\x00\x00\x0a")
        assert sensor.capture() is Glass.EMPTY


class TestRefusedTransfer:
    UP = Fault("upload", FaultKind.REFUSE, code=0x0D)
    DOWN = Fault("download", FaultKind.REFUSE, code=0x0E)

    def test_the_bare_driver_trips_over_a_refused_upload(self, plug, bare):
        module, port = plug()
        driver = bare(port)
        module.fault(self.UP)
        with pytest.raises(UnboundLocalError):
            driver.get_fpdata("char", 1)

    def test_the_bare_driver_says_true_of_a_refused_download(self, plug, bare):
        module, port = plug()
        driver = bare(port)
        module.fault(self.DOWN)
        assert driver.send_fpdata([0] * 1_536, "char", 2) is True

    def test_ours_says_no(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        reference = enrolled(sensor, module)
        module.fault(self.UP)
        with pytest.raises(SensorRefused, match="0x0D"):
            sensor.upload()
        module.fault(self.DOWN)
        with pytest.raises(SensorRefused, match="0x0E"):
            sensor.download(reference)
        sensor.download(reference)
        assert sensor.compare() > 100


class TestLengths:
    """Templates that are no multiple of the packet size: the tail was dropped, the module hung."""

    def test_the_bare_driver_wedges_the_module(self, plug, bare):
        module, port = plug()
        driver = bare(port)
        assert driver.send_fpdata([0] * 1_500, "char", 2) is True
        for _ in range(3):
            with pytest.raises(RuntimeError):
                driver.get_image()
        assert module.module.receiving

    def test_ours_refuses_before_a_byte_is_sent(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        for length in (0, 1, 512, 1_500, 1_535, 1_537, 3_072):
            with pytest.raises(TemplateLengthError, match="1536"):
                sensor.download(bytes(length))
        assert 0x09 not in module.commands

    def test_ours_sends_the_tail(self, plug, ours, monkeypatch):
        """A maker with such templates: 1,500 bytes, twelve whole packets and a short one."""
        module, port = plug()
        monkeypatch.setattr(
            module.module, "variant", _longer(module.module.variant, template_length=1_500)
        )
        sensor = ours(port)
        reference = enrolled(sensor, module)
        assert len(reference) == sensor.info.template_length == 1_500
        sensor.download(reference)
        assert not module.module.receiving
        assert sensor.compare() == 300

    def test_ours_frees_a_module_that_another_left_hanging(self, plug, bare, ours):
        _, port = plug()
        driver = bare(port)
        driver.send_fpdata([0] * 1_500, "char", 2)
        driver.close_uart()
        assert ours(port).capture() is Glass.EMPTY

    def test_the_bare_driver_runs_out_of_stack_on_a_picture(self, plug, bare, ours):
        module, port = plug(R307)
        module.glass.place("anna")
        module.module.packet_code = 0
        driver = bare(port)
        assert driver.get_image() == OK
        with pytest.raises(RecursionError):
            driver.get_fpdata("image")
        driver.close_uart()
        sensor = ours(port)
        assert sensor.capture() is Glass.FINGER
        picture = sensor._run(lambda own: own.get_fpdata("image"))
        assert bytes(picture) == module.glass.look().picture(256, 288)

    def test_the_score_is_a_number(self, plug, bare, ours):
        module, port = plug()
        module.glass.place("anna")
        driver = bare(port)
        driver.get_image()
        driver.image_2_tz(1)
        driver.image_2_tz(2)
        driver.compare_templates()
        assert driver.confidence == (300,)  # a tuple
        driver.close_uart()
        sensor = ours(port)
        sensor.capture()
        sensor.extract(1)
        sensor.extract(2)
        assert sensor.compare() == 300


class TestWrongBaud:
    def test_the_bare_driver_blames_the_wires(self, plug, bare):
        _, port = plug()
        with pytest.raises(RuntimeError, match="Failed to read"):
            bare(port, 9_600)

    def test_ours_says_what_to_look_at(self, plug, ours):
        _, port = plug(baud=115_200)
        with pytest.raises(DeviceUnavailable, match=r"57600 baud.*finger\.baud"):
            ours(port)
        assert find_baud(port, answer_s=0.08) == 115_200

    def test_no_module_at_any_speed(self, plug):
        module, port = plug()
        module.unplug()
        assert find_baud(port, answer_s=0.02) is None

    def test_a_port_that_cannot_do_a_speed_is_asked_for_the_next(self, plug, ours, monkeypatch):
        """Speeds that termios has no name for need ioctls that not every port has."""
        module, port = plug()
        real = serial.serialposix.fcntl.ioctl

        def without(fd, request, *more):
            if request in {serial.serialposix.TCGETS2, serial.serialposix.TCSETS2}:
                raise OSError(38, "Function not implemented")
            return real(fd, request, *more)

        monkeypatch.setattr(serial.serialposix.fcntl, "ioctl", without)
        with pytest.raises(DeviceUnavailable, match="Failed to set custom baud rate"):
            ours(port, baud=28_800)
        module.unplug()
        assert find_baud(port, answer_s=0.02) is None


class TestUnplugged:
    @pytest.mark.parametrize("at_byte", [1, 5, 200, 1_000])
    def test_while_a_template_comes(self, plug, bare, ours, at_byte):
        module, port = plug()
        sensor = ours(port)
        reference = enrolled(sensor, module)
        module.fault(Fault("upload", FaultKind.UNPLUG, at_byte=at_byte))
        with pytest.raises(SensorError):
            sensor.upload()
        with pytest.raises(SensorError):  # still away: it says so, each time
            sensor.capture()
        module.plug()
        assert sensor.capture() is Glass.EMPTY
        sensor.download(reference)
        assert sensor.upload(2) == reference

    @pytest.mark.parametrize("at_byte", [1, 700, 1_600])
    def test_while_a_template_goes(self, plug, ours, at_byte):
        module, port = plug()
        sensor = ours(port)
        reference = enrolled(sensor, module)
        module.fault(Fault("download", FaultKind.UNPLUG, at_byte=at_byte))
        with pytest.raises(SensorError):
            sensor.download(reference)
        module.plug()
        sensor.download(reference)
        assert sensor.upload(2) == reference

    def test_the_bare_driver_sends_into_the_void_and_says_true(self, plug, bare):
        module, port = plug()
        driver = bare(port)
        module.fault(Fault("download", FaultKind.UNPLUG, at_byte=700))
        assert driver.send_fpdata([0] * 1_536, "char", 2) is True
        module.plug()  # says 0x55
        for _ in range(3):
            with pytest.raises(RuntimeError):
                driver.get_image()

    def test_a_module_with_a_password_asks_for_it_again(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        sensor.set_password(b"\x01\x02\x03\x04")
        module.unplug()
        module.plug()
        assert sensor.capture() is Glass.EMPTY

    def test_what_was_in_the_buffers_is_not_believed(self, plug, ours):
        module, port = plug()
        sensor = ours(port)
        sensor.set_password(b"\x01\x02\x03\x04")
        enrolled(sensor, module)
        module.unplug()
        module.plug()
        with pytest.raises(SensorError):
            sensor.compare()

    def test_the_port_goes_and_comes_back(self, plug, bare, ours, tmp_path: Path):
        """A USB adapter: the device node vanishes, and is another one afterwards."""
        module, port = plug(link=tmp_path / "serial")
        sensor = ours(port)
        module.remove()
        with pytest.raises(SensorError):
            sensor.capture()
        module.open_pty(tmp_path / "serial")
        assert sensor.capture() is Glass.EMPTY
        sensor.close()
        driver = bare(port)
        module.remove()
        with pytest.raises(BARE_LOSES):
            driver.get_image()
        module.open_pty(tmp_path / "serial")
        with pytest.raises(BARE_LOSES):
            driver.get_image()


class TestHostileModule:
    """A module that an attacker plugged in may send what it likes; it must not hold the gate."""

    @pytest.mark.parametrize("payload", [b"", b"x", bytes(128)], ids=["empty", "one", "full"])
    def test_a_transfer_without_an_end(self, plug, ours, payload):
        module, port = plug()
        sensor = ours(port)
        inside = module.module
        ack, data = inside._ack(0), encode(Kind.DATA, payload)
        inside._transfer = lambda command, _data: Reply(command, (ack, *[data] * 20_000))
        began = time.monotonic()
        with pytest.raises(SensorError):
            sensor.upload()
        assert time.monotonic() - began < 8.0

    @pytest.mark.parametrize(
        "flood",
        [encode(Kind.ACK, b"\0"), encode(Kind.DATA, b"x"), b"\xef\x01" * 8, b"\xff" * 64, b"\0" * 64],
        ids=["yes", "data", "heads", "ff", "zeros"],
    )  # fmt: skip
    def test_a_flood(self, plug, ours, flood):
        module, port = plug()
        sensor = ours(port)
        stop = threading.Event()

        def pour() -> None:
            while not stop.is_set():
                module.say(flood * 20)

        module.unplug()
        thread = threading.Thread(target=pour)
        thread.start()
        began = time.monotonic()
        try:
            with pytest.raises(SensorError):
                sensor.slots()
            with pytest.raises(SensorError):
                sensor.read_note(0)
        finally:
            stop.set()
            thread.join()
        assert time.monotonic() - began < 8.0


def test_a_port_is_one_owners(plug, ours):
    _, port = plug()
    ours(port)
    with pytest.raises(DeviceUnavailable):
        ours(port)


def test_no_port(ours, tmp_path: Path):
    with pytest.raises(DeviceUnavailable, match="serial0"):
        ours(str(tmp_path / "serial0"))


def test_the_bare_driver_shares_a_port(plug, bare):
    """Why ours opens exclusively: two drivers steal each other's answers."""
    _, port = plug()
    bare(port)
    with contextlib.closing(serial.Serial(port, 57_600)) as second:
        assert second.is_open


def _longer(variant, **changes):
    import dataclasses

    return dataclasses.replace(variant, **changes)
