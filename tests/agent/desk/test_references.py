"""Templates on their way to a phone: shut without the secret that the phone holds."""

from __future__ import annotations

import pytest

from agent.desk.references import open_references, seal_references
from agent.desk.seal import SealBroken
from agent.issuing.issue import face_template, finger_template

BOTH = (face_template(bytes(range(128)), "m"), finger_template(b"f" * 512, "r307", 52))


def test_they_come_back_as_they_were(desk):
    sealed = seal_references(desk.key, BOTH, secret="code", about=b"row")
    assert open_references(desk.key, sealed, secret="code", about=b"row") == BOTH


def test_none_are_nothing(desk):
    assert seal_references(desk.key, (), secret="code", about=b"row") is None
    assert open_references(desk.key, None, secret="code", about=b"row") == ()


def test_the_site_key_alone_opens_nothing(desk):
    sealed = seal_references(desk.key, BOTH, secret="code", about=b"row")
    for secret, about in (("other", b"row"), ("code", b"another row"), ("", b"row")):
        with pytest.raises(SealBroken):
            open_references(desk.key, sealed, secret=secret, about=about)
    with pytest.raises(SealBroken):
        open_references(desk.key, sealed[:-1], secret="code", about=b"row")
    assert BOTH[0].data not in sealed
