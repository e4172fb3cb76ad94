"""Nonces: nobody makes one but the issuer, and each is good for one request and five minutes."""

from __future__ import annotations

import base64

from agent.desk.vci.nonce import NONCE_S, Nonces
from tests.support.desks import a_desk
from tests.support.phones import b64url, unb64url


def use(desk, *nonces):
    with desk.store.write() as connection:
        return Nonces(desk).use_up(connection, nonces)


def test_it_is_ours_until_it_is_over(desk, desk_clock):
    nonces = Nonces(desk)
    nonce = nonces.make()
    assert nonces.is_ours(nonce)
    desk_clock.now += NONCE_S
    assert nonces.is_ours(nonce)
    desk_clock.now += 1
    assert not nonces.is_ours(nonce)


def test_one_from_the_future_is_not_ours(desk, desk_clock):
    nonce = Nonces(desk).make()
    desk_clock.now -= 1
    assert not Nonces(desk).is_ours(nonce)


def test_no_two_are_alike(desk):
    nonces = Nonces(desk)
    assert len({nonces.make() for _ in range(100)}) == 100


def test_each_works_once(desk):
    nonce = Nonces(desk).make()
    assert use(desk, nonce, nonce)
    assert not use(desk, nonce)
    assert not use(desk, Nonces(desk).make(), nonce)


def test_a_changed_byte_is_found(desk):
    whole = unb64url(Nonces(desk).make())
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1
        assert not Nonces(desk).is_ours(b64url(bytes(data)))


def test_what_is_none(desk):
    for text in ("", "A" * 54, "A" * 53 + "ä", "=" * 54, "A" * 10_000, "*" * 54):
        assert not Nonces(desk).is_ours(text)


def test_another_desks_is_not_ours(desk, tmp_path):
    other = a_desk(tmp_path / "other")
    assert not Nonces(desk).is_ours(Nonces(other).make())
    other.close()


def test_making_them_keeps_nothing(desk):
    for _ in range(50):
        Nonces(desk).make()
    with desk.store.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM nonce").scalar() == 0


def test_it_is_text_for_json(desk):
    assert base64.urlsafe_b64decode(Nonces(desk).make() + "==")
