"""An issuer's origin for each test, and a phone before it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from agent.desk.members import Member, Members
from agent.desk.offers import Offer, Offers, Purpose
from agent.desk.vci.app import issuer_app
from tests.support.asgi import talking_to
from tests.support.desks import a_person
from tests.support.phones import Phone


@pytest.fixture
def web(desk) -> Iterator[httpx.Client]:
    with talking_to(issuer_app(desk), "https://desk.localhost:8444") as client:
        yield client


@pytest.fixture
def phone(web) -> Phone:
    return Phone(web)


@pytest.fixture
def member(desk) -> Member:
    return Members(desk).add(a_person(), "mo")


@pytest.fixture
def offer(desk, member) -> Offer:
    return Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo"
    )
