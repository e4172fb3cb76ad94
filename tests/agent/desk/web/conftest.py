"""The staff's pages, to a client in this process and to a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.desk.staff import Role
from tests.support.desk_seats import Seat, Seats, seats_of
from tests.support.desks import a_person
from tests.support.faces import astronaut

__all__ = ["astronaut"]


@pytest.fixture
def astronaut_jpeg(astronaut) -> bytes:
    """A face as a webcam's picture, within the sandbox's limits."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(astronaut).save(out, "JPEG", quality=90)
    return out.getvalue()


@pytest.fixture
def seats(desk) -> Iterator[Seats]:
    with seats_of(desk) as made:
        yield made


@pytest.fixture
def clerk(seats) -> Seat:
    return seats.of(Role.CLERK)


@pytest.fixture
def issuer(seats) -> Seat:
    return seats.of(Role.ISSUER)


@pytest.fixture
def ada(seats):
    """A member."""
    from agent.desk.members import Members

    return Members(seats.desk).add(a_person(number="17", email="ada@example.org"), who="desk")
