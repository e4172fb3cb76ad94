"""Wiegand frames, and the pulses that carry them, read back from the recorded edges."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.simulated.gpio import SimulatedGpio
from hal.simulated.pinboard import PinBoard
from hal.wiegand import PULSE_S, WiegandLines, encode

D0, D1 = 20, 21


def bits(text: str) -> tuple[bool, ...]:
    return tuple(character == "1" for character in text.replace(" ", ""))


@pytest.mark.parametrize(
    ("number", "width", "frame"),
    [
        # worked by hand: facility 1, card 1; facility 123, card 45678
        (0x010001, 26, "1 00000001 0000 000000000001 0"),
        (123 << 16 | 45678, 26, "1 01111011 1011 001001101110 1"),
        (0, 26, "0 000000000000 000000000000 1"),
        (0xFFFFFF, 26, "0 111111111111 111111111111 1"),
        (0xFFF000, 26, "0 111111111111 000000000000 1"),
        (0x800001, 26, "1 100000000000 000000000001 0"),
        (0, 34, "0 0000000000000000 0000000000000000 1"),
        (0x80000001, 34, "1 1000000000000000 0000000000000001 0"),
    ],
)
def test_known_frames(number, width, frame):
    assert encode(number, width) == bits(frame)


@pytest.mark.parametrize(("number", "width"), [(-1, 26), (1 << 24, 26), (1 << 32, 34)])
def test_a_number_that_does_not_fit_is_refused(number, width):
    with pytest.raises(ValueError, match="card number is 0 to"):
        encode(number, width)


@given(st.sampled_from([26, 34]), st.data())
def test_parity_and_number_of_every_frame(width, data):
    number = data.draw(st.integers(0, (1 << (width - 2)) - 1))
    frame = encode(number, width)
    assert len(frame) == width
    half = width // 2
    assert sum(frame[:half]) % 2 == 0
    assert sum(frame[half:]) % 2 == 1
    assert int("".join("01"[bit] for bit in frame[1:-1]), 2) == number


class Bench:
    """The lines on a board with a clock that only the pulses and polls move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.board = PinBoard(clock_ns=lambda: round(self.now * 1e9))
        self.gpio = SimulatedGpio(board=self.board)
        for pin in (D0, D1):
            self.gpio.setup_output(pin, level=True)
        self.lines = WiegandLines(self.gpio, D0, D1, clock=lambda: self.now, wait=self.wait)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def poll(self, times: int) -> None:
        for _ in range(times):
            self.now += 0.005
            self.lines.poll()

    def received(self) -> list[tuple[bool, ...]]:
        """What an access controller reads: frames are apart by 50 ms of silence."""
        frames: list[list[bool]] = []
        last = float("-inf")
        falls = [e for e in self.board.edges() if not e.level]
        for fall in falls:
            if fall.at_ns / 1e9 - last > 0.05:
                frames.append([])
            frames[-1].append(fall.pin == D1)
            last = fall.at_ns / 1e9
        return [tuple(frame) for frame in frames]


@pytest.mark.parametrize("width", [26, 34])
def test_frames_arrive_as_they_were_sent(width):
    bench = Bench()
    sent = [encode(number, width) for number in (0, 1, 0xABCDEF)]
    for frame in sent:
        bench.lines.send(frame)
    bench.poll(300)
    assert bench.received() == sent


def test_pulses_keep_the_standards_times():
    bench = Bench()
    bench.lines.send(encode(0x123456, 26))
    bench.poll(40)
    edges = bench.board.edges()[2:]
    pulses = list(zip(edges[::2], edges[1::2], strict=True))
    assert len(pulses) == 26
    for down, up in pulses:
        assert (down.level, up.level, down.pin) == (False, True, up.pin)
        assert (up.at_ns - down.at_ns) / 1e9 == pytest.approx(PULSE_S)
    gaps = [b[0].at_ns - a[1].at_ns for a, b in itertools.pairwise(pulses)]
    assert all(0.2e-3 <= gap / 1e9 <= 20e-3 for gap in gaps)


def test_at_most_four_numbers_wait():
    bench = Bench()
    for number in range(10):
        bench.lines.send(encode(number, 26))
    bench.poll(1000)
    assert bench.received() == [encode(number, 26) for number in (6, 7, 8, 9)]
