"""Still pictures: the order of steps, what each preparation gives back, bends, and floods."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from agent.scan.bent import Suspect, straightened, suspects
from agent.scan.decoders import Decoders
from agent.scan.preparations import PREPARATIONS, moved_back
from agent.scan.still import merged, read_step, steps
from agent.scan.wire import Payload, Variant
from agent.settings.model import ScanConfig

HERE = ((0, 0), (1, 0), (1, 1), (0, 1))


def test_a_picture_is_first_read_as_it_is_and_nothing_is_tried_twice() -> None:
    for shape in ((720, 1280), (3000, 4000)):
        plan = steps(shape)
        assert plan[0] is Variant.PLAIN
        assert len(set(plan)) == len(plan)
        assert (Variant.REDUCED in plan) is (max(shape) > 1_600)
    assert steps((720, 1280), retry=False) == (Variant.PLAIN,)
    assert not any("pyzbar" in variant for variant in steps((720, 1280), pyzbar=False))


@pytest.mark.parametrize("shape", [(720, 1280), (1, 1), (4, 1), (2400, 1800)])
def test_every_step_takes_every_shape(decoders: Decoders, shape: tuple[int, int]) -> None:
    blank = np.full(shape, 127, np.uint8)
    for variant in steps(shape):
        assert read_step(decoders, blank, variant) == ()


@pytest.mark.parametrize("variant", PREPARATIONS)
def test_corners_come_back_to_the_picture(decoders: Decoders, draw, variant: Variant) -> None:
    picture = draw("here", module_px=6, at=(96, 200))
    (found,) = decoders.read(variant, picture)
    left, top, side = 200 + 24, 96 + 24, 21 * 6
    expected = {(left, top), (left + side, top), (left + side, top + side), (left, top + side)}
    for x, y in found.corners:
        assert min(abs(x - a) + abs(y - b) for a, b in expected) <= 16
    assert found.data == b"here"


def test_a_large_picture_is_reduced_for_most_steps(decoders: Decoders, draw) -> None:
    picture = draw("far", module_px=30, size=(2400, 3200), at=(900, 1200))
    (found,) = read_step(decoders, picture, Variant.MEAN_51)
    assert found.data == b"far"
    assert abs(found.corners[0][0] - (1200 + 120)) <= 40


def test_more_of_a_sheet_is_what_says_something_new() -> None:
    one, two = Payload(b"1", HERE, "zxing-cpp"), Payload(b"2", HERE, "zxing-cpp")
    again = Payload(b"1", HERE, "pyzbar")
    assert merged((one,), (again, two)) == (one, two)
    assert merged((), (again,)) == (again,)
    assert moved_back(HERE, np.array([[2.0, 0, 1], [0, 2.0, 0]]))[1] == (3, 0)


# Bends


def bottle(picture: np.ndarray, half: float, sag: float, *, upright: bool) -> np.ndarray:
    """Bend a picture of a code around a cylinder."""
    if not upright:
        return np.rot90(bottle(picture, half, sag, upright=True)).copy()
    high, wide = picture.shape
    radius = wide / 2 / half * 0.62
    x, y = np.meshgrid(np.arange(wide, dtype=np.float32), np.arange(high, dtype=np.float32))
    angle = np.arcsin(np.clip((x - wide / 2) / radius, -0.99, 0.99))
    down = y + sag * radius * (1 - np.cos(angle))
    return np.asarray(
        cv2.remap(picture, (wide / 2 + angle * radius).astype(np.float32),
                  down.astype(np.float32), cv2.INTER_LINEAR, borderValue=128)
    )  # fmt: skip


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("sag", [0.25, -0.25])
def test_a_code_on_a_bottle_is_read(decoders: Decoders, draw, sag: float, upright: bool) -> None:
    text = "NI1:" + "A1B2C3 $%*" * 6
    flat = draw(text, module_px=8, size=(480, 480), at=(92, 92))
    bent = bottle(flat if upright else np.rot90(flat), 0.95, sag, upright=upright)
    assert decoders.read(Variant.PLAIN, bent) == ()
    found = decoders.read(Variant.BENT, bent)
    assert [payload.data.decode() for payload in found] == [text]


def test_suspects_that_most_agree_about_come_first_and_small_ones_not_at_all() -> None:
    square = np.array([[0, 0], [100, 0], [100, 100], [0, 100]], float)
    seen = [Suspect(25, square + 300), Suspect(21, square), Suspect(21, square + 4)]
    seen += [Suspect(21, square + 2), Suspect(21, square / 10), Suspect(33, square + 600)]
    first, second = suspects(seen)
    assert first.modules == 21
    assert first.corners.tolist() == (square + 2).tolist()
    assert second.modules == 25
    assert suspects([]) == []


def test_straightening_is_bounded() -> None:
    square = np.array([[20, 20], [120, 20], [120, 120], [20, 120]], float)
    made = list(straightened(cv2, np.zeros((200, 200), np.uint8), Suspect(21, square)))
    assert len(made) == 80
    assert {picture.shape for picture, _ in made} == {(145, 145)}


# Floods


@pytest.fixture(scope="module")
def crowd() -> np.ndarray:
    """264 small codes."""
    import segno

    rows = []
    for y in range(12):
        codes = [segno.make_qr(f"{y}-{x}", error="l").matrix for x in range(22)]
        row = [np.pad(np.array([list(r) for r in code], np.uint8), 4) for code in codes]
        rows.append(np.hstack(row))
    page = np.kron(1 - np.vstack(rows), np.full((2, 2), 255, np.uint8))
    return np.pad(page, ((0, 720 - min(720, len(page))), (0, 1280 - page.shape[1])))[:720]


def test_a_sheet_of_codes_is_read_to_the_cap(scanner, crowd) -> None:
    result = scanner.scan_still(crowd, deadline_ms=5_000)
    assert len(result.payloads) == 64
    assert result.incident is None


@pytest.mark.parametrize("module_px", [1, 2, 4])
def test_a_page_of_patterns_ends_at_its_deadline_and_a_code_amid_it_is_read(
    scanner, draw, finders, module_px: int
) -> None:
    page = finders(module_px)
    started = time.monotonic()
    result = scanner.scan_still(page, deadline_ms=700)
    assert time.monotonic() - started < 1.2
    assert result.payloads == ()
    assert result.unfinished
    amid = draw("NI1:GOOD", module_px=5, onto=page)
    result = scanner.scan_still(amid, deadline_ms=5_000)
    assert [payload.data for payload in result.payloads] == [b"NI1:GOOD"]


def test_noise_ends_at_its_deadline(scanner) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (720, 1280), dtype=np.uint8)
    started = time.monotonic()
    result = scanner.scan_still(noise, deadline_ms=300)
    assert time.monotonic() - started < 0.8
    assert result.payloads == ()


def test_a_still_picture_is_tried_to_the_end(scanner) -> None:
    blank = np.full((90, 160), 127, np.uint8)
    result = scanner.scan_still(blank, deadline_ms=5_000)
    assert (result.payloads, result.unfinished, result.incident) == ((), False, None)
    assert result.variant is steps(blank.shape, pyzbar=ScanConfig().pyzbar)[-1]
