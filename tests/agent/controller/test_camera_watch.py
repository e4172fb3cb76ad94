"""The watch over what a camera sees: covered, out of focus, frozen; and what is none of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agent.controller.camera_watch import (
    BEGIN_S,
    END_S,
    LOOK_S,
    Blindness,
    CameraWatch,
    measure,
)
from hal.camera import Frame
from hal.simulated.scene import Phone, Scene
from hal.simulated.sources import EmptyPlace

Picture = NDArray[np.uint8]
SIZE = (720, 1280)
FPS = 15
COVERED, DEFOCUSED, FROZEN = Blindness.COVERED, Blindness.DEFOCUSED, Blindness.FROZEN


def grain(picture: Picture | NDArray[np.floating], sigma: float, seed: int = 5) -> Picture:
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    made = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    made.flags.writeable = False  # the same picture serves several tests
    return made


@cache
def flat(level: float, sigma: float = 0.0) -> Picture:
    return grain(np.full(SIZE, level), sigma)


@cache
def ramp(low: float, high: float, sigma: float) -> Picture:
    """A bare wall with the light from one side."""
    return grain(np.tile(np.linspace(low, high, SIZE[1]), (SIZE[0], 1)), sigma)


@cache
def scene(light: float = 0.8, noise: float = 3.0, seed: int = 1, *things: Phone) -> Picture:
    """A hall that a lens focused at an arm's length sees softly."""
    picture = cv2.cvtColor(Scene(seed=seed, light=light).compose(things), cv2.COLOR_RGB2GRAY)
    return grain(picture, noise)


@cache
def sharp_hall(seed: int = 3, light: float = 1.0, sigma: float = 2.0) -> Picture:
    """Panels and frames with hard edges."""
    rng = np.random.default_rng(seed)
    hall = np.full(SIZE, 120.0)
    for _ in range(25):
        top, left = int(rng.integers(0, 600)), int(rng.integers(0, 1200))
        hall[top : top + 200, left : left + 150] = rng.uniform(30, 220)
    return grain(hall * light, sigma)


@cache
def page() -> Picture:
    """A code on a phone before the hall."""
    return scene(0.8, 2.0, 1, Phone("A" * 250).at_module_px(4.0))


def blurred(picture: Picture, spread: float, sigma: float = 0.0) -> Picture:
    return grain(np.asarray(cv2.GaussianBlur(picture, (0, 0), spread), dtype=np.float64), sigma)


@dataclass
class Post:
    """A camera's frames at a real rate, by a clock of their own."""

    watch: CameraWatch = field(default_factory=CameraWatch)
    now_s: float = 100.0
    number: int = 0
    told: list[tuple[float, Blindness | None]] = field(default_factory=list)

    def frame(self, luma: Picture, *, noisy: bool = False) -> Frame:
        self.number += 1
        return Frame(
            luma=luma,
            captured_ns=self.number,
            captured_at=0.0,
            sequence=self.number,
            camera="code",
            noisy=noisy,
        )

    def show(
        self, *pictures: Picture, for_s: float, read: bool = False, noisy: bool = False,
        fps: float = FPS,
    ) -> Blindness | None:  # fmt: skip
        """Show pictures in turn, one a frame; return what is wrong then."""
        for number in range(round(for_s * fps)):
            self.give(self.frame(pictures[number % len(pictures)], noisy=noisy), read=read, fps=fps)
        return self.watch.fault

    def give(self, frame: Frame, *, read: bool = False, fps: float = FPS) -> None:
        self.now_s += 1 / fps
        if self.watch.see(frame, self.now_s, read=read):
            self.told.append((self.now_s, self.watch.fault))


BLIND: dict[str, tuple[Callable[[], Picture], Blindness]] = {
    "a cap": (lambda: flat(0), COVERED),
    "a cap, noise": (lambda: flat(3, 2), COVERED),
    "a cap at high gain": (lambda: grain(np.full(SIZE, 6.0), 5), COVERED),
    "a cap, black being 16": (lambda: flat(16, 4), COVERED),
    "white": (lambda: flat(255), COVERED),
    "white being 235": (lambda: flat(235, 2), COVERED),
    "blinding light, noise": (lambda: grain(np.full(SIZE, 247.0), 6), COVERED),
    "grey without noise": (lambda: flat(128), COVERED),
    "grey, little noise": (lambda: flat(90, 2.5), COVERED),
    "far out of focus": (lambda: blurred(page(), 16), DEFOCUSED),
}
SEEING: dict[str, Callable[[], Picture]] = {
    "an empty place": lambda: np.asarray(EmptyPlace(1280, 720).render(0.0), dtype=np.uint8),
    "noise only, as a bare wall in dim light has": lambda: flat(90, 4.6),
    "a dim wall": lambda: ramp(24, 36, 4),
    "a dim wall, denoised": lambda: ramp(24, 36, 1),
    "a dark hall": lambda: scene(0.1, 4),
    "a darker hall": lambda: scene(0.05, 3),
    "a night with one lamp": lambda: np.maximum(flat(4, 2), np.pad(flat(200)[:60, :60], ((300, 360), (300, 920)))),
    "a soft hall": scene,
    "a soft hall without noise": lambda: scene(noise=0),
    "fog": lambda: grain(blurred(sharp_hall(), 6) * 0.25 + 130, 2),
    "a bright wall": lambda: ramp(150, 190, 1.5),
    "a phone": page,
    "a sharp hall": sharp_hall,
}  # fmt: skip


@pytest.mark.parametrize("name", BLIND)
def test_a_camera_that_sees_nothing_is_told_after_ten_seconds(name: str) -> None:
    make, fault = BLIND[name]
    picture, post = make(), Post()
    assert post.show(picture, for_s=BEGIN_S - 0.1) is None
    assert post.show(picture, for_s=1.2) is fault
    assert post.show(picture, for_s=60) is fault
    assert len(post.told) == 1


@pytest.mark.parametrize("name", SEEING)
def test_a_camera_that_sees_little_is_left_alone(name: str) -> None:
    picture, post = SEEING[name](), Post()
    assert post.show(picture, for_s=40) is None
    post.show(page(), for_s=2, read=True)
    assert post.show(picture, for_s=40) is None
    assert post.told == []


@pytest.mark.parametrize("day", ["a sharp hall", "a soft hall", "a phone"])
@pytest.mark.parametrize(
    "night", ["a dim wall", "a dark hall", "a darker hall", "a night with one lamp"]
)
def test_night_falls_at_once_and_nobody_calls(day: str, night: str) -> None:
    post = Post()
    post.show(SEEING[day](), for_s=30)
    post.show(page(), for_s=2, read=True)
    assert post.show(SEEING[night](), for_s=30) is None
    assert post.show(SEEING[day](), for_s=30) is None
    assert post.told == []


def test_a_fault_ends_after_two_seconds_of_sight() -> None:
    post = Post()
    post.show(flat(0), for_s=15)
    hall = scene()
    assert post.show(hall, for_s=END_S - 0.1) is COVERED
    assert post.show(hall, for_s=1.2) is None
    assert [fault for _, fault in post.told] == [COVERED, None]


def test_a_glance_begins_the_count_anew() -> None:
    post = Post()
    for _ in range(5):
        post.show(flat(0), for_s=BEGIN_S - 1)
        post.show(scene(), for_s=2 * LOOK_S)
    assert post.told == []


def test_a_moment_of_black_does_not_end_the_end() -> None:
    post = Post()
    post.show(flat(0), for_s=15)
    post.show(scene(), for_s=END_S - 0.5)
    post.show(flat(0), for_s=1.1)
    assert post.show(scene(), for_s=END_S - 0.5) is COVERED


def test_one_blindness_that_turns_into_another_is_told_once() -> None:
    post = Post()
    post.show(flat(0), for_s=15)
    assert post.show(blurred(page(), 16), for_s=30) is COVERED
    assert len(post.told) == 1


@pytest.mark.parametrize("fps", [1, 2, 4, 10, 15, 20, 30])
def test_exposures_that_alternate_are_judged_by_the_better(fps: float) -> None:
    post = Post()
    assert post.show(flat(2, 1), scene(0.4), for_s=60, fps=fps) is None
    assert post.show(flat(2, 1), flat(0), for_s=30, fps=fps) is COVERED


def test_frames_far_apart_say_nothing_of_the_time_between() -> None:
    post = Post()
    assert post.show(flat(0), for_s=60, fps=0.4) is None


def test_a_code_that_was_read_was_seen() -> None:
    post = Post()
    assert post.show(blurred(page(), 16), for_s=40, read=True) is None
    assert post.show(flat(255), for_s=40, read=True) is None
    post.show(flat(255), for_s=15)
    assert post.show(flat(255), for_s=4, read=True) is None


@pytest.mark.parametrize(
    ("before", "then"),
    [
        ("a sharp hall", lambda: blurred(sharp_hall(), 5, 2)),
        ("a sharp hall", lambda: blurred(sharp_hall(), 12, 2)),
        ("noise only, as a bare wall in dim light has", lambda: blurred(page(), 4)),
        ("noise only, as a bare wall in dim light has", lambda: blurred(page(), 9)),
    ],
)
def test_a_lens_that_lost_its_focus_is_told_by_what_it_showed_before(
    before: str, then: Callable[[], Picture]
) -> None:
    lost = then()
    assert Post().show(lost, for_s=30) is None, "nothing is known of this camera yet"
    post = Post()
    post.show(SEEING[before](), for_s=20)
    assert post.show(lost, for_s=15) is DEFOCUSED
    assert post.show(SEEING[before](), for_s=5) is None


def test_what_is_usual_is_what_was_when_a_code_was_last_read() -> None:
    """A hall that slowly goes soft is no less soft for it."""
    post = Post()
    post.show(sharp_hall(), for_s=20)
    post.show(page(), for_s=2, read=True)
    for spread in np.linspace(0.5, 8, 16):
        post.show(blurred(sharp_hall(), float(spread), 2), for_s=25)
    assert post.watch.fault is DEFOCUSED


def test_the_sharpness_of_a_code_counts_where_the_place_has_no_outlines() -> None:
    soft = blurred(page(), 6, 4.6)
    wall = flat(90, 4.6)
    post = Post()
    post.show(wall, for_s=20)
    assert post.show(soft, for_s=20) is None
    post = Post()
    post.show(wall, for_s=20)
    paper = flat(90, 4.6).copy()
    paper[200:520, 400:880] = page()[200:520, 400:880]
    post.show(paper, for_s=2, read=True)
    assert post.show(blurred(paper, 8, 4.6), for_s=20) is DEFOCUSED


def test_a_bright_place_that_lost_its_outlines_is_covered() -> None:
    finger = ramp(120, 240, 1.5)
    assert Post().show(finger, for_s=30) is None
    post = Post()
    post.show(sharp_hall(), for_s=20)
    assert post.show(finger, for_s=15) is COVERED


def noisy(base: Picture) -> Iterator[Picture]:
    seed = 0
    while True:
        seed += 1
        yield grain(base.astype(np.float64), 1.0, seed)


def test_a_sensor_that_sends_the_same_bytes_is_frozen() -> None:
    post = Post()
    assert post.show(scene(), for_s=BEGIN_S - 0.1, noisy=True) is None
    assert post.show(scene(), for_s=1.5, noisy=True) is FROZEN
    alive = noisy(scene())
    for _ in range(round(3 * FPS)):
        post.give(post.frame(next(alive), noisy=True))
    assert post.watch.fault is None


def test_a_frozen_picture_of_a_code_is_frozen() -> None:
    assert Post().show(page(), for_s=15, noisy=True, read=True) is FROZEN


def test_a_covered_sensor_that_is_quite_still_is_covered() -> None:
    assert Post().show(flat(0), for_s=15, noisy=True) is COVERED


def test_a_sensor_whose_time_stands_still_is_frozen() -> None:
    post = Post()
    still = post.frame(scene())
    for number in range(round(12 * FPS)):
        post.give(replace(still, sequence=number))
    assert post.watch.fault is FROZEN


@pytest.mark.parametrize("shape", [(64, 64), (120, 160), (480, 641), (3072, 4096)])
def test_any_size_is_measured(shape: tuple[int, int]) -> None:
    dark = measure(np.zeros(shape, np.uint8))
    assert (dark.mean, dark.high, dark.noise, dark.detail) == (0, 0, 0, 0)
    assert dark.focus is None
    striped = np.zeros(shape, np.uint8)
    striped[:, shape[1] // 2 :] = 200
    assert measure(striped).focus == pytest.approx(1.0, abs=0.05)
    assert measure(striped).outlined == 1


@pytest.mark.parametrize("sigma", [1.5, 3.0, 6.0])
def test_noise_is_told_from_what_is_seen(sigma: float) -> None:
    assert measure(flat(100, sigma)).noise == pytest.approx(sigma, abs=0.4)
    assert measure(sharp_hall(sigma=sigma)).noise == pytest.approx(sigma, abs=0.6)


def test_rows_may_be_strided() -> None:
    padded = np.zeros((720, 1344), np.uint8)
    padded[:, :1280] = sharp_hall()
    assert replace(measure(padded[:, :1280]), digest=0) == replace(measure(sharp_hall()), digest=0)
