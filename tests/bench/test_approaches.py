"""The rendered approaches: the same from the same seed, true in size, and each kind what it says."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import zxingcpp

from tests.bench import bench_approach, strips
from tests.bench.approaches import KINDS, VERSIONS, Frame, _modules, approaches
from tests.bench.bench_approach import BASE, MAY_MISS, PRODUCT, SLOW, Run, play, quantile, summary
from tests.bench.optics import Camera, Hall, Page, Pose, Shutter, focal_px

SMALL = (640, 360)


@pytest.fixture(scope="module")
def one_of_each():
    return {approach.kind: approach for approach in approaches(seed=1, each=1)}


def first(count: int, **how) -> list[Frame]:
    [approach] = approaches(each=1, classes=["tremor"], **how)
    return list(itertools.islice(approach.frames, count))


def test_a_seed_draws_the_same_set_and_another_seed_another() -> None:
    before, again, other = (first(2, seed=seed, size=SMALL) for seed in (1, 1, 2))
    assert all(np.array_equal(a.luma, b.luma) for a, b in zip(before, again, strict=True))
    assert not np.array_equal(before[0].luma, other[0].luma)
    texts = [{a.text for a in approaches(seed=s, each=2, classes=["plain"])} for s in (1, 2)]
    assert len(texts[0] | texts[1]) == 4


def test_another_schedule_exposes_the_same_approach() -> None:
    usual, dark = (first(4, seed=1, size=SMALL, exposure=ev) for ev in ((0.0, -2.0), (-2.0,)))
    assert sorted({frame.ev for frame in usual}) == [-2.0, 0.0]
    assert usual[0].ev != usual[1].ev
    assert usual[0].ev == usual[2].ev
    assert {frame.ev for frame in dark} == {-2.0}
    assert [f.distance_mm for f in usual] == [f.distance_mm for f in dark]
    for a, b in zip(usual, dark, strict=True):
        assert np.array_equal(a.luma, b.luma) == (a.ev == -2.0)
        assert b.luma.mean() <= a.luma.mean()


def test_kept_frames_are_those_that_were_drawn(tmp_path) -> None:
    how = {"seed": 1, "each": 1, "classes": ["dim"], "size": SMALL, "fps": 4}
    [fresh], [kept], [again] = (approaches(**how, cache=c) for c in (None, tmp_path, tmp_path))
    drawn = list(fresh.frames)
    for one, two, three in zip(drawn, list(kept.frames), again.frames, strict=True):
        assert np.array_equal(one.luma, two.luma)
        assert np.array_equal(one.luma, three.luma)
        assert one.at_s == three.at_s
    assert len(list(tmp_path.iterdir())) == 1


def test_frames_begin_where_a_module_is_a_pixel_and_a_half(one_of_each) -> None:
    for kind in ("plain", "fast", "dim", "combined"):
        approach = one_of_each[kind]
        look, [frame] = approach.look, list(itertools.islice(approach.frames, 1))
        assert 1.5 <= frame.px_per_module < 2.2
        assert frame.at_s == 0
        assert 150 <= look.end_mm <= 220
        assert 10 <= look.fps <= 30
        assert frame.luma.shape == (720, 1280)
        assert frame.luma.dtype == np.uint8


@pytest.mark.parametrize(("z", "x", "y"), [(150, 0, 0), (220, 20, -15)])
def test_a_code_is_as_large_and_where_it_should_be(z, x, y) -> None:
    page = Page(_modules("A" * 300, "l"), 55.0)
    camera = Camera(page, (1280, 720), shutter=Shutter(0.002, 0.0), full_well=1e5)
    hall, chance = Hall(1, (1280, 720)), np.random.default_rng(1)
    luma = camera.expose(hall.at(0), lambda _: Pose(x, y, z), 0.0, -2.0, chance)
    [found] = zxingcpp.read_barcodes(luma, formats=zxingcpp.BarcodeFormat.QRCode)
    place = found.position
    corners = np.array(
        [
            (p.x, p.y)
            for p in (place.top_left, place.top_right, place.bottom_right, place.bottom_left)
        ]
    )
    side = np.linalg.norm(np.diff(corners, axis=0), axis=1).mean()
    modules = page.modules.shape[0]
    assert side / modules == pytest.approx(camera.px_per_module(z), rel=0.02)
    assert camera.px_per_module(z) == pytest.approx(
        640 / math.tan(math.radians(33)) * 55 / modules / z
    )
    expected = np.array([640, 360]) + focal_px(1280) * np.array([x, y]) / z
    assert corners.mean(0) == pytest.approx(expected, abs=2.5)


def test_tilt_foreshortens() -> None:
    def width(yaw: float) -> float:
        matrix = Pose(0, 0, 5_000, yaw=yaw).homography(focal_px(1280), 1280, 720)
        left, right = (matrix @ (side, 0, 1) for side in (-25, 25))
        return float(right[0] / right[2] - left[0] / left[2])

    assert width(60) / width(0) == pytest.approx(0.5, rel=0.01)


def test_a_longer_exposure_smears_what_moves() -> None:
    page = Page(_modules("A" * 300, "l"), 55.0, white=2.0)
    camera = Camera(page, SMALL, shutter=Shutter(0.02, 0.0))
    hall = Hall(1, SMALL, people=0).at(0)

    def edges(speed: float, ev: float) -> float:
        luma = camera.expose(
            hall, lambda t: Pose(speed * t, 0, 200), 0.0, ev, np.random.default_rng(1)
        )
        part = luma[120:240, 260:380].astype(np.float32)
        return float(np.abs(cv2.Sobel(part, -1, 1, 0)).mean() / part.mean())

    kept = {ev: edges(200, ev) / edges(0, ev) for ev in (0, -2)}
    assert kept[0] < 0.75
    assert kept[-2] > kept[0] + 0.1


def test_each_kind_is_what_it_says(one_of_each) -> None:
    assert tuple(one_of_each) == KINDS
    assert len(KINDS) == 16
    look = {kind: approach.look for kind, approach in one_of_each.items()}
    plain = look["plain"]
    assert look["fast"].come_s < plain.come_s
    assert look["tremor"].tremor[0] > plain.tremor[0]
    assert 18 <= math.hypot(*look["tilt"].tilt[:2]) <= 30.01
    assert look["over-exposed"].white > 20 > plain.white
    assert look["glare"].glare
    assert look["pwm"].shutter.pwm_hz
    assert look["moire"].moire[0]
    assert look["dim"].white < 1.1
    assert look["dark mode"].inverted
    assert look["cracked"].crack
    assert look["finger"].finger
    assert look["defocus"].defocus_mm
    assert look["rolling shutter"].shutter.wobble[0]
    assert look["small"].quiet <= 2
    assert not any((plain.glare, plain.crack, plain.finger, plain.inverted, plain.defocus_mm))
    assert set(KINDS) > MAY_MISS
    with pytest.raises(ValueError, match="sunny: not one of plain, fast"):
        list(approaches(classes=["sunny"]))


def test_codes_are_real_and_of_the_version_that_was_drawn(one_of_each) -> None:
    for approach in one_of_each.values():
        assert approach.text.startswith("NI")
        assert VERSIONS[0] <= approach.look.version <= VERSIONS[1]
    for kind in ("plain", "small"):
        look = one_of_each[kind].look
        assert _modules(look.text, look.level).shape[0] == 17 + 4 * look.version


@dataclass(frozen=True, eq=False)
class Shown:
    """An approach whose frames are numbers."""

    text: str
    frames: list[Frame]
    kind: str = "plain"
    look: Any = field(default_factory=lambda: SimpleNamespace(version=10, level="l", code_mm=55.0))
    fps: float = 10.0
    name: str = "plain 1.0"


def shown(count: int) -> Shown:
    frames = [
        Frame(np.full((18, 32), n, np.uint8), 1.5 + n, 600 - n, 0.0, n / 10) for n in range(count)
    ]
    return Shown("code", frames)


def test_play_counts_frames_drops_and_wrong_reads(monkeypatch) -> None:
    def reads_at(number: int):
        return lambda _: (
            lambda luma: [b"code"] if luma[0, 0] >= number else [b"else"] * int(luma[0, 0] == 1)
        )

    monkeypatch.setattr(bench_approach, "plain", reads_at(4))
    for name, number in ((BASE, 4), (PRODUCT, 2), (SLOW, 2)):
        monkeypatch.setitem(bench_approach.CONTESTANTS, name, reads_at(number))
    monkeypatch.setattr(
        bench_approach, "_timed", lambda reader, luma: (list(reader(luma)), 30.0)
    )  # a frame takes 30 ms, and 135 ms on a Pi
    base, product, slow = play(shown(6), [BASE, PRODUCT, SLOW])
    assert (base.frames, base.at_ms, base.distance_mm) == (5, 400.0, 596)
    assert (product.frames, product.at_ms, product.seen) == (3, 200.0, 3)
    assert (slow.frames, slow.seen, slow.dropped) == (3, 3, 1)
    assert (base.wrong, product.wrong, slow.wrong) == ([b"else"], [b"else"], [])
    assert product.cpu_ms == product.base_ms == 90
    [never] = play(shown(2), [PRODUCT])
    assert not never.done
    assert never.frames == math.inf


def test_what_is_never_read_counts_as_latest() -> None:
    done = Run(PRODUCT, "plain", 4, 300, 250, seen=4, cpu_ms=8, base_ms=4)
    runs = [done, replace(done, frames=6), replace(done, frames=math.inf)]
    found = summary(runs)
    assert (found.median_frames, found.p90_frames, found.never) == (6, math.inf, 1)
    assert (found.cpu_ms, found.ratio) == (2, 2)
    assert quantile(range(1, 11), 0.9) == 9
    assert quantile([1.0], 0.5) == 1
    text = bench_approach.tables(runs, [PRODUCT], ["plain"])
    assert "33.3%" in text
    assert "6 never   1/3" in text


@pytest.mark.parametrize("name", ["page.html", "page.png"])
def test_strips_are_written(name, tmp_path) -> None:
    strips.write_strips(tmp_path / name, [shown(9)])
    data = (tmp_path / name).read_bytes()
    assert (b"data:image/png;base64," in data) == name.endswith(".html")
    if name.endswith(".png"):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape[1] == strips.FRAMES * strips.WIDE
    with pytest.raises(ValueError, match=r"page\.jpg: strips are a \.html or a \.png"):
        strips.write_strips(tmp_path / "page.jpg", [shown(9)])
