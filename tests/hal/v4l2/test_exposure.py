"""Exposures in turn: by time, against a webcam whose automatic follows the light."""

from __future__ import annotations

import pytest

from hal.v4l2 import abi
from hal.v4l2.device import Device
from hal.v4l2.exposure import LAG_PICTURES, RENEW_S, TRIALS, ByTime, Steady, choose
from tests.support.webcams import EXPOSURE, TIME, FakePort, Webcam

FPS = 15.0


class Room:
    """A webcam in some light; time passes by pictures."""

    def __init__(self, values: tuple[float, ...] = (0.0, -2.0)) -> None:
        self.webcam = Webcam()
        self.given_up = 0
        self.values = values
        self.now_ns = 0
        self.way = None

    def start(self):
        device = Device(FakePort(self.webcam, captures=True))
        self.way = choose(device, self.values, FPS, self._give_up)
        return self

    def _give_up(self) -> None:
        self.given_up += 1

    def watch(self, seconds: float) -> list[int]:
        """Take pictures; return the exposure of each, 0 where the automatic had it."""
        shown = []
        for _ in range(round(seconds * FPS)):
            self.now_ns += round(1e9 / FPS)
            self.way.ask()
            manual = self.webcam.knobs[EXPOSURE].value == 1
            shown.append(self.webcam.knobs[TIME].value if manual else 0)
            if self.way.measures:
                self.way.saw(self.webcam.brightness(), self.now_ns)
        return shown


def test_the_automatic_settles_then_times_relative_to_it_alternate():
    room = Room().start()
    shown = room.watch(3)
    assert isinstance(room.way, ByTime)
    settled = shown.index(250)
    assert set(shown[:settled]) == {0}
    assert settled / FPS >= 1.0
    assert shown[-6:] in ([250, 63] * 3, [63, 250] * 3)
    assert room.given_up == 0
    first_time = next(at for at, (number, _) in enumerate(room.webcam.set) if number == TIME)
    assert room.webcam.set[first_time - 1] == (EXPOSURE, 1), "the automatic off first"


def test_it_settles_anew_by_and_by_and_needs_no_second_trial():
    room = Room().start()
    room.watch(4)
    room.webcam.light = 400.0
    shown = room.watch(RENEW_S)
    assert 0 in shown
    assert shown[-4:] in ([400, 100] * 2, [100, 400] * 2)
    assert room.given_up == 0


def test_light_that_went_off_is_noticed_sooner():
    room = Room().start()
    room.watch(3)
    room.webcam.light = 250.0 * 6
    shown = room.watch(5.5)
    longest = round(10_000 / FPS)
    assert longest in shown, "longer than the frame rate allows it never exposes"
    assert max(shown) == longest


def test_somebody_before_the_camera_for_a_moment_changes_nothing():
    room = Room().start()
    room.watch(3)
    room.webcam.light = 1_500.0
    shown = room.watch(1.0)
    room.webcam.light = 250.0
    assert 0 not in shown + room.watch(5)


def test_a_camera_that_does_not_say_what_it_chose_is_left_to_itself(monkeypatch):
    room = Room().start()
    room.webcam.light = 1_000.0
    telling = Webcam.brightness

    def silent(webcam: Webcam) -> float:
        if webcam.knobs[EXPOSURE].value != 1:
            webcam.knobs[TIME].value = 250  # what the maker set, whatever the automatic does
            return 110.0
        return telling(webcam)

    monkeypatch.setattr(Webcam, "brightness", silent)
    room.watch(TRIALS * 2.5)
    assert room.given_up == 1
    assert set(room.watch(30)) == {0}
    assert room.given_up == 1
    assert not room.way.measures


@pytest.mark.parametrize("answer", [0, -5])
def test_a_time_that_cannot_be_is_none(answer, monkeypatch):
    room = Room().start()
    monkeypatch.setattr(Device, "get", lambda _self, number: answer if number == TIME else 1)
    room.watch(2)
    assert room.given_up == 1


@pytest.mark.parametrize("values", [(), (0.0,), (0.0, 0.0)])
def test_nothing_to_alternate_is_the_automatic(values):
    room = Room(values)
    room.webcam.knobs[EXPOSURE].value = 1  # as another program left it
    room.start()
    assert isinstance(room.way, Steady)
    assert room.webcam.knobs[EXPOSURE].value == 3
    assert room.given_up == 0


def test_one_value_is_kept():
    room = Room((-1.0,)).start()
    assert set(room.watch(4)[-10:]) == {125}


def test_a_full_automatic_is_one_too():
    room = Room()
    room.webcam.knobs[EXPOSURE].menu = {0: 0, 1: 0}
    room.start().watch(2)
    assert (abi.EXPOSURE_AUTO, 0) in room.webcam.set
    assert room.given_up == 0


def test_an_exposure_never_leaves_what_the_camera_takes():
    room = Room((8.0, -8.0)).start()
    shown = set(room.watch(3)[-LAG_PICTURES:])
    assert shown == {round(10_000 / FPS), 3}
