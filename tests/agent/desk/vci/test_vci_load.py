"""Fifty phones at once over a real server, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
import uvicorn

from agent.desk.credentials import Credentials
from agent.desk.members import Members
from agent.desk.offers import Offers, Purpose
from agent.desk.vci.app import issuer_app
from tests.support.desks import a_desk, a_person
from tests.support.phones import Phone
from tests.support.postgresql import new_database

PHONES = 50


@contextmanager
def served(app):
    """Serve an application on loopback; give its address."""
    config = uvicorn.Config(app, port=0, log_level="error", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_fifty_phones_take_their_cards_at_once(request, tmp_path, kind):
    url = "" if kind == "sqlite" else new_database(request.getfixturevalue("postgres"))
    desk = a_desk(tmp_path / "desk", database=url)
    people = Members(desk).add_all(
        [a_person(f"Person {number}", number=f"{number}") for number in range(PHONES)], "mo"
    )
    made = [
        Offers(desk).create(member, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo")
        for member in people
    ]
    starting = threading.Barrier(PHONES)

    def take(offer) -> float:
        with httpx.Client(base_url=address, timeout=60, verify=False) as web:
            starting.wait()
            begun = time.monotonic()
            Phone(web).take(offer.uri, offer.transaction_code)
            return time.monotonic() - begun

    with served(issuer_app(desk)) as address, ThreadPoolExecutor(PHONES) as phones:
        took = sorted(phones.map(take, made))
    print(f"{kind}: {PHONES} phones, the slowest {took[-1]:.1f} s, the median {took[25]:.1f} s")
    rows = [Credentials(desk).of_member(member.reference) for member in people]
    assert [len(of_one) for of_one in rows] == [1] * PHONES
    assert len({(row.status_list, row.status_index) for (row,) in rows}) == PHONES
    assert all(Offers(desk).state(offer.id).acknowledged for offer in made)
    with desk.store.read() as connection:
        assert desk.journal.verify(connection) is None
    desk.close()


def test_one_offer_wanted_by_many_is_one_phones(tmp_path):
    desk = a_desk(tmp_path / "desk")
    member = Members(desk).add(a_person(), "mo")
    offer = Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo"
    )

    def redeem(_number) -> str:
        with httpx.Client(base_url=address, timeout=60, verify=False) as web:
            got = Phone(web).redeem(offer.code, offer.transaction_code)
            return got.json().get("idgate_reason", "mine")

    with served(issuer_app(desk)) as address, ThreadPoolExecutor(8) as phones:
        answers = list(phones.map(redeem, range(16)))
    assert sorted(answers) == ["mine"] + ["used"] * 15
    desk.close()
