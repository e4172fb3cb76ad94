"""Which node is the camera that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal.errors import DeviceUnavailable
from hal.v4l2.find import Source
from hal.v4l2.port import Machine, SystemPort
from tests.support.webcams import Computer, Webcam

LINK = "/dev/v4l/by-id/usb-Example_HD-video-index0"


@pytest.fixture
def computer():
    made = Computer()
    yield made
    assert not made.left_open, "a device was left open"


def path_of(computer: Computer, *, device: str = "", index: int = 0) -> str:
    found = Source(computer, device, index, "camera code").open()
    found.device.close()
    return found.path


def test_the_index_counts_cameras_and_not_nodes(computer):
    for number in (0, 4):
        computer.plug(Webcam(bus=f"usb-{number}"), number)
    assert [path_of(computer, index=at) for at in (0, 1)] == ["/dev/video0", "/dev/video4"]


def test_a_boards_own_nodes_come_after_what_is_plugged_in(computer):
    codec = Webcam(bus="platform:bcm2835-codec")
    computer.plug(codec, 0)
    computer.plug(Webcam(), 10)
    assert path_of(computer) == "/dev/video10"
    assert path_of(computer, index=1) == "/dev/video0"


def test_nodes_whose_formats_nobody_reads_are_not_counted(computer):
    sensor = Webcam()
    sensor.formats = {"pgAA": ((640, 480),)}
    computer.plug(sensor, 0)
    computer.plug(Webcam(bus="usb-2"), 2)
    assert path_of(computer) == "/dev/video2"


@pytest.mark.parametrize(
    ("device", "index", "said"),
    [
        ("", 1, r"camera code: there is no webcam 1: 1 found .*ls -l /dev/v4l/by-id"),
        ("/dev/video1", 0, r"/dev/video1 \(Example HD.*\) delivers no pictures.*video-index0"),
        ("/dev/video7", 0, r"No such file or directory: '/dev/video7'; plug it in"),
        (LINK, 0, r"No such file or directory: '/dev/v4l/by-id/.*; plug it in"),
    ],
)
def test_what_is_not_there_says_what_to_do(computer, device, index, said):
    computer.plug(Webcam(), 0)
    with pytest.raises(DeviceUnavailable, match=said):
        path_of(computer, device=device, index=index)


def test_nothing_at_all(computer):
    with pytest.raises(DeviceUnavailable, match="there is no webcam 0: none found"):
        path_of(computer)


@pytest.mark.parametrize("device", ["", "/dev/video0"])
def test_the_same_camera_comes_back_at_another_number(computer, device):
    webcam, other = Webcam(bus="usb-1"), Webcam(bus="usb-2")
    computer.plug(webcam, 0)
    source = Source(computer, device, 0, "camera code")
    source.open().device.close()
    computer.unplug(webcam)
    computer.plug(other, 0)
    with pytest.raises(DeviceUnavailable, match="Example HD: Example HD is not at usb-1 any more"):
        source.open()
    computer.plug(webcam, 2)
    found = source.open()
    found.device.close()
    assert found.path == "/dev/video2"


def test_one_socket_with_two_cameras_in_it(computer):
    """As in laptops with an infrared camera beside the other."""
    computer.plug(Webcam(), 0)
    computer.plug(Webcam(), 2)
    source = Source(computer, "", 1, "camera code")
    for _ in range(2):
        found = source.open()
        found.device.close()
        assert found.path == "/dev/video2"


def test_a_link_is_opened_as_it_is(computer):
    computer.plug(Webcam(), 6, link=LINK)
    assert path_of(computer, device=LINK) == LINK


def test_what_a_camera_calls_itself_is_fit_for_a_terminal(computer):
    webcam = Webcam()
    webcam.card = b"\x1b[2J\xff evil \n"
    computer.plug(webcam)
    found = Source(computer, "", 0, "camera code").open()
    found.device.close()
    assert found.identity.card.isprintable()
    assert "evil" in found.identity.card


def test_this_machine_is_asked_by_system_calls(tmp_path):
    assert all(Path(node).is_char_device() for node in Machine().nodes())
    with pytest.raises(FileNotFoundError):
        Machine().open(str(tmp_path / "video0"))
    with pytest.raises(DeviceUnavailable, match=r"/dev/null is no video device: .*ioctl"):
        Source(Machine(), "/dev/null", 0, "camera code").open()
    port = SystemPort("/dev/null")
    port.close()
    port.close()
