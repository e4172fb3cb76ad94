"""The cascade: what it reads, what it spends on a miss, and that it never lies about bytes."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agent.scan.cascade import FORCED_EVERY, RETRIES, Cascade
from agent.scan.decoders import Decoders
from agent.scan.still import decode_still
from agent.scan.wire import Variant
from hal.simulated.scene import Phone, Scene

BASE45 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"


@pytest.fixture(scope="module")
def cascade():
    return Cascade()


def grey(scene: Scene, now: float = 0.0) -> np.ndarray:
    return cv2.cvtColor(scene.render(now), cv2.COLOR_RGB2GRAY)


def credential(length: int, seed: int = 0) -> str:
    choose = random.Random(seed)
    return "NI1:" + "".join(choose.choice(BASE45) for _ in range(length))


@pytest.mark.parametrize(
    "data",
    [
        b"plain text",
        "größe ✓".encode(),
        bytes(range(256)),
        b"\x00\xff\x80",
        credential(400).encode(),
        b"1234567890" * 20,
        b"A" * 2_000,
    ],
    ids=["ascii", "utf-8", "every byte", "high", "base45", "digits", "long"],
)
def test_bytes_come_through_unchanged(draw, data):
    found, variant = Cascade().decode(draw(data, module_px=3), turn=0)
    assert [payload.data for payload in found] == [data]
    assert variant is Variant.PLAIN
    assert found[0].decoder == "zxing-cpp"


def test_corners_are_where_the_code_is(cascade, draw):
    found, _ = cascade.decode(draw("here", module_px=6, at=(96, 200)), turn=0)
    modules = 21 * 6
    left, top = 200 + 4 * 6, 96 + 4 * 6
    expected = [
        (left, top),
        (left + modules, top),
        (left + modules, top + modules),
        (left, top + modules),
    ]
    assert np.abs(np.array(found[0].corners) - np.array(expected)).max() <= 6


def test_every_code_in_view_is_returned(cascade, draw):
    frame = draw("first", at=(50, 50))
    frame = draw("second", at=(50, 800), onto=frame)
    frame = draw("third", at=(400, 400), onto=frame)
    found, _ = cascade.decode(frame, turn=0)
    assert {payload.data for payload in found} == {b"first", b"second", b"third"}


def test_an_inverted_and_a_turned_code_are_read(cascade, draw):
    frame = draw("dark theme", at=(100, 100))
    for picture in (255 - frame, np.ascontiguousarray(np.rot90(frame)), frame[::-1, ::-1].copy()):
        found, _ = cascade.decode(picture, turn=0)
        assert [payload.data for payload in found] == [b"dark theme"]


def test_micro_qr_is_not_read(cascade):
    import segno

    matrix = np.pad(
        np.array([list(r) for r in segno.make_micro("12345").matrix], dtype=np.uint8), 4
    )
    picture = np.kron(1 - matrix, np.full((6, 6), 255, dtype=np.uint8))
    assert cascade.decode(picture, turn=0)[0] == ()


def test_pyzbar_bytes_count_only_where_they_are_exact(draw):
    cascade = Cascade()
    cascade.decoders._read = lambda *_, **__: []  # zxing-cpp finds nothing today
    ascii_found, variant = decode_still(cascade.decoders, draw("NI1:EXACT", module_px=6))
    assert [payload.data for payload in ascii_found] == [b"NI1:EXACT"]
    assert (variant, ascii_found[0].decoder) == (Variant.PYZBAR, "pyzbar")
    assert np.abs(np.array(ascii_found[0].corners[0]) - (200 + 24, 100 + 24)).max() <= 12
    mangled, _ = decode_still(cascade.decoders, draw(bytes(range(128, 200)), module_px=6))
    assert mangled == ()


def test_misses_rotate_through_the_retries():
    scene = Scene(noise=0)
    rng = np.random.default_rng(0)
    cascade = Cascade()
    seen = []
    for turn in range(2 * len(RETRIES)):
        frame = grey(scene)
        frame[: 8 * (turn + 1), :400] = rng.integers(0, 255, (8 * (turn + 1), 400))
        seen.append(cascade.decode(frame, turn=turn)[1])
    assert tuple(seen) == RETRIES * 2


@pytest.mark.parametrize("noise", [0.0, 2.0, 6.0])
def test_a_still_empty_scene_is_retried_by_every_variant_and_then_seldom(noise):
    scene = Scene(noise=noise)
    cascade = Cascade()
    variants = [
        cascade.decode(grey(scene, turn / 10), turn=turn)[1]
        for turn in range(len(RETRIES) + FORCED_EVERY)
    ]
    assert tuple(variants[: len(RETRIES)]) == RETRIES
    assert variants[len(RETRIES) : -1] == [Variant.PLAIN] * (FORCED_EVERY - 1)
    assert variants[-1] is not Variant.PLAIN


def test_alternating_exposures_are_still_too():
    bright, dark = Scene(light=0.8), Scene(light=0.4)
    cascade = Cascade()
    for turn in range(8):
        cascade.decode(grey((bright, dark)[turn % 2], turn), turn=turn)
    for turn in range(8, 16):
        assert cascade.decode(grey((bright, dark)[turn % 2], turn), turn=turn)[1] is Variant.PLAIN


def test_a_far_phone_ends_the_stillness():
    scene = Scene()
    cascade = Cascade()
    for turn in range(5):
        assert cascade.decode(grey(scene, turn), turn=turn)[0] == ()
    scene.show(Phone(credential(300), distance_m=1.2, x=0.8))  # too far to read
    assert cascade.decode(grey(scene, 9), turn=5)[1] is not Variant.PLAIN


def test_without_retries_or_pyzbar():
    blank = np.full((240, 320), 127, dtype=np.uint8)
    assert Cascade(retry=False).decode(blank, turn=0)[1] is Variant.PLAIN
    without = Cascade(Decoders(pyzbar=False))
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 255, (240, 320), dtype=np.uint8) for _ in range(4)]
    assert {without.decode(frame, turn=n)[1] for n, frame in enumerate(noise)} == set(RETRIES) - {
        Variant.PYZBAR
    }


@pytest.mark.parametrize(("module_px", "floor"), [(2.5, 0.85), (3.0, 0.95), (3.5, 1.0), (4.0, 1.0)])
def test_rendered_codes_are_read_by_module_size(module_px, floor):
    """Versions 11 to 18, tilt to 20 degrees, blur, glare, noise: the first frame or the next few."""
    read = 0
    lengths = (300, 400, 560, 700)
    scene = Scene(seed=5, noise=3)
    for number in range(8):
        choose = random.Random(number)
        code = credential(lengths[number % 4], number)
        scene.show(
            Phone(
                code,
                yaw=choose.uniform(-20, 20),
                pitch=choose.uniform(-20, 20),
                roll=choose.uniform(-25, 25),
                blur_px=choose.uniform(0.4, 0.9),
                glare=choose.uniform(0, 0.3),
                screen=choose.uniform(0.5, 1),
            ).at_module_px(module_px)
        )
        cascade = Cascade()
        read += any(
            code.encode() in {p.data for p in cascade.decode(grey(scene, turn), turn=turn)[0]}
            for turn in range(len(RETRIES))
        )
    assert read / 8 >= floor


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 120)), elements=st.integers(0, 255)
    ),
    st.integers(0, len(RETRIES) - 1),
)
def test_any_picture_is_survived(picture, turn):
    cascade = Cascade()
    found, _ = cascade.decode(picture, turn=turn)
    still, _ = decode_still(cascade.decoders, picture)
    for payload in (*found, *still):
        assert isinstance(payload.data, bytes)


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_code_is_read_right_or_not_at_all(draw, seed):
    code = credential(200, seed)
    frame = draw(code, module_px=4)
    rng = np.random.default_rng(seed)
    spot = rng.integers(100, 250, 2)
    frame[spot[0] : spot[0] + 10 * seed, spot[1] + 100 : spot[1] + 100 + 10 * seed] = 0
    found, _ = decode_still(Decoders(), frame)
    assert {payload.data for payload in found} <= {code.encode()}


@pytest.mark.parametrize("module_px", [3, 4, 6])
@pytest.mark.parametrize("inverted", [False, True])
def test_a_code_outlasts_the_softening_that_a_page_of_patterns_does_not(
    cascade, draw, finders, module_px, inverted
):
    page = 255 - finders() if inverted else finders()
    assert cascade.decode_wary(page) == ((), Variant.SOFT)
    found, variant = cascade.decode_wary(draw(credential(200), module_px=module_px, onto=page))
    assert [payload.data for payload in found] == [credential(200).encode()]
    assert variant is Variant.SOFT
