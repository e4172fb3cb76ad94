"""The selfie's challenge: what was asked, and whether it came."""

from __future__ import annotations

import pytest

from agent.desk.selfies import TOKEN_S, Turn, Turns, missed
from tests.support.phones import b64url, unb64url

F, L, R = Turn.FRONT, Turn.LEFT, Turn.RIGHT


@pytest.mark.parametrize(
    ("turns", "yaws", "first"),
    [
        ((F, L, R), (0.0, 0.4, -0.4), None),
        ((F, L, L), (0.1, 0.4, 0.5), None),
        ((F, L, R), (-0.2, 0.1, -0.5), None),  # a turn counts from the first picture
        ((F, L, R), (0.3, 0.7, -0.2), 0),
        ((F, L, R), (0.0, -0.4, -0.4), 1),
        ((F, R, R), (0.0, -0.4, 0.4), 2),
        ((F, L, R), (0.0, 0.0, 0.0), 1),
        ((F, L, R), (0.0, 0.29, -0.4), 1),
    ],
)
def test_turns(turns, yaws, first):
    assert missed(turns, yaws) == first


def test_sides_are_drawn(desk):
    drawn = {tuple(Turns(desk).draw(b"i")[0]) for _ in range(100)}
    assert drawn == {(F, a, b) for a in (L, R) for b in (L, R)}


def test_what_was_asked_comes_back(desk, desk_clock):
    turns, token = Turns(desk).draw(b"i")
    assert Turns(desk).read(token, b"i") == turns
    assert Turns(desk).read(token, b"another invitation") is None
    desk_clock.now += TOKEN_S
    assert Turns(desk).read(token, b"i") == turns
    desk_clock.now += 1
    assert Turns(desk).read(token, b"i") is None


def test_it_counts_once(desk):
    token = Turns(desk).draw(b"i")[1]
    with desk.store.write() as connection:
        assert Turns(desk).use_up(connection, token)
        assert not Turns(desk).use_up(connection, token)


def test_changed_ones_are_found(desk):
    token = unb64url(Turns(desk).draw(b"i")[1])
    for place in range(len(token)):
        changed = bytearray(token)
        changed[place] ^= 1
        assert Turns(desk).read(b64url(bytes(changed)), b"i") is None
    for text in ("", "A", "ä", "=" * 40, "A" * 256):
        assert Turns(desk).read(text, b"i") is None
