"""The cascade: what it reads, what it spends on a miss, and that it never lies about bytes."""

from __future__ import annotations

import random
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agent.scan.cascade import FORCED_EVERY, MOVING, OWED_EVERY, RETRIES, Cascade
from agent.scan.decoders import CUT_PIXELS, Decoders
from agent.scan.wire import Variant
from hal.simulated.scene import Phone, Scene
from tests.support.stills import decode_still

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


def test_what_stands_still_has_every_retry_of_the_whole_picture_in_turn():
    frame = grey(Scene(noise=0))
    cascade = Cascade()
    seen = [cascade.decode(frame, turn=turn)[1] for turn in range(1, len(RETRIES) + 2)]
    assert seen[0] is Variant.PLAIN, "it may be moving"
    assert set(seen[1:]) == set(RETRIES)


@pytest.mark.parametrize("noise", [0.0, 2.0, 6.0])
def test_a_still_empty_scene_is_retried_by_every_variant_and_then_seldom(noise):
    scene = Scene(noise=noise)
    cascade = Cascade()
    first = len(RETRIES) + 1
    variants = [
        cascade.decode(grey(scene, turn / 10), turn=turn)[1] for turn in range(first + FORCED_EVERY)
    ]
    assert set(variants[1:first]) == set(RETRIES)
    assert variants[first:-1] == [Variant.PLAIN] * (FORCED_EVERY - 1)
    assert variants[-1] is not Variant.PLAIN


def test_what_was_settled_is_looked_at_in_every_way_but_pyzbars(counting):
    cascade, frame = Cascade(counting), grey(Scene(noise=0))
    for turn in range(6 + 4 * FORCED_EVERY):
        cascade.decode(frame, turn=turn)
    assert len(counting.whole) == len(RETRIES) + 1 + 4
    assert counting.whole.count(Variant.PYZBAR) == 1
    assert set(counting.whole[-4:]) == set(MOVING)


class Counting(Decoders):
    """Decoders that say what they were asked for."""

    def __init__(self):
        super().__init__()
        self.whole, self.inverted, self.pixels = [], [], 0

    def look(self, luma, *, invert):
        self.inverted.append(invert)
        return super().look(luma, invert=invert)

    def read(self, variant, luma):
        self.whole.append(variant)
        return super().read(variant, luma)

    def read_place(self, variant, luma, place):
        if variant is Variant.PLACE:
            self.pixels += max(place.area, min(4 * place.area, CUT_PIXELS))
        return super().read_place(variant, luma, place)


def test_a_crowd_costs_few_retries(counting):
    """Every frame differs from every other, none holds a code: a fifth of them is retried whole."""
    cascade = Cascade(counting)
    for turn in range(20):
        assert cascade.decode(grey(Scene(seed=turn, noise=3)), turn=turn)[0] == ()
    assert len(counting.whole) == 4
    assert Variant.PYZBAR not in counting.whole
    assert counting.pixels <= 5 * CUT_PIXELS
    assert counting.inverted == [True, False] * 10


def test_inversion_is_looked_for_seldom_where_nothing_moves(counting):
    cascade, frame = Cascade(counting), grey(Scene(noise=0))
    for turn in range(24):
        cascade.decode(frame, turn=turn)
    assert counting.inverted[12:20].count(True) == 2


@pytest.mark.parametrize("start", range(4))
def test_a_dark_mode_code_is_read_within_two_frames(start):
    scene, cascade = Scene(), Cascade()
    for turn in range(start, start + 12):  # a long look at an empty place
        cascade.decode(grey(scene, turn), turn=turn)
    scene.show(Phone(credential(300), inverted=True, distance_m=0.2))
    read = [
        payload.data
        for turn in range(start + 12, start + 14)
        for payload in cascade.decode(grey(scene, turn), turn=turn)[0]
    ]
    assert credential(300).encode() in read


@pytest.fixture
def counting():
    return Counting()


FAR = Phone(credential(560), blur_px=0.8).at_module_px(1.9)


def test_two_pixels_a_module_are_read_where_a_code_may_be():
    """Half the way further than as it is: a place is enlarged, the whole picture is not."""
    scene = Scene(seed=2, noise=2)
    scene.show(replace(FAR, x=0.3, y=0.6))
    frame = grey(scene)
    cascade = Cascade()
    assert cascade.decoders.look(frame, invert=True).payloads == ()
    (found,), variant = cascade.decode(frame, turn=1)
    assert found.data == credential(560).encode()
    assert variant in {Variant.PLACE, Variant.PLACE_GLOBAL}
    across, down = zip(*found.corners, strict=True)
    assert abs(sum(across) / 4 - 0.3 * 1280) < 8
    assert abs(sum(down) / 4 - 0.6 * 720) < 8


class Clock:
    """Time that each look at the whole picture moves by so much, and each place by as much."""

    def __init__(self, decoders, each_s):
        self.now = 0.0
        for name in ("look", "read", "read_place"):
            setattr(decoders, name, self._timed(getattr(decoders, name), each_s))

    def _timed(self, reads, each_s):
        def timed(*words, **options):
            self.now += each_s
            return reads(*words, **options)

        return timed


def test_a_slow_machine_leaves_retries_out_but_not_for_ever(counting):
    """Of 38 ms a look and 40 ms a frame, a retry does not fit: once in `OWED_EVERY` it begins."""
    scene = Scene(seed=2, noise=2)
    scene.show(FAR)
    cascade = Cascade(counting)
    clock = Clock(counting, 0.038)
    frame = grey(scene)
    frame = cv2.GaussianBlur(frame, (0, 0), 1.3)  # no retry reads it
    over = 0
    for turn in range(2 * OWED_EVERY):
        moved = np.roll(frame, 40 * turn, axis=1)
        due = clock.now + 0.040
        cascade.decode(moved, turn=turn, left=lambda due=due: due - clock.now)
        over += clock.now > due + 1e-9
    assert over == 2


def test_a_failed_symbol_is_a_place_and_never_a_payload(draw):
    """Its checksum says that it is wrong; what it seems to say stays inside the decoder."""
    code = credential(300)
    frame = draw(code, module_px=4)
    frame[200:330, 300:430] = np.random.default_rng(0).choice([0, 255], (130, 130))
    decoders = Decoders()
    look = decoders.look(frame, invert=False)
    assert look.payloads == ()
    assert len(look.failed) == 1
    xs, ys = zip(*look.failed[0], strict=True)
    assert abs(min(xs) - 216) < 20
    assert abs(min(ys) - 116) < 20
    cascade = Cascade(decoders)
    for turn in range(8):
        assert cascade.decode(frame, turn=turn)[0] == ()


def test_alternating_exposures_are_still_too():
    bright, dark = Scene(light=0.8), Scene(light=0.4)
    cascade = Cascade()
    settled = 2 * (len(RETRIES) + 1)
    for turn in range(settled):
        cascade.decode(grey((bright, dark)[turn % 2], turn), turn=turn)
    for turn in range(settled, settled + 8):
        assert cascade.decode(grey((bright, dark)[turn % 2], turn), turn=turn)[1] is Variant.PLAIN


def test_a_far_phone_ends_the_stillness():
    scene = Scene()
    cascade = Cascade()
    for turn in range(6):
        assert cascade.decode(grey(scene, turn), turn=turn)[0] == ()
    scene.show(Phone(credential(300), distance_m=1.2, x=0.8))  # too far to read
    variants = [cascade.decode(grey(scene, turn), turn=turn)[1] for turn in (6, 7)]
    assert variants[1] in RETRIES


def test_without_retries_or_pyzbar():
    blank = np.full((240, 320), 127, dtype=np.uint8)
    assert Cascade(retry=False).decode(blank, turn=0)[1] is Variant.PLAIN
    without = Cascade(Decoders(pyzbar=False))
    seen = {without.decode(blank, turn=turn)[1] for turn in range(1, 8)}
    assert seen == {Variant.PLAIN, *RETRIES} - {Variant.PYZBAR}


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
