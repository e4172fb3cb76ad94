"""Passkeys of the staff: the two ceremonies, and every lie that a browser or device could tell."""

from __future__ import annotations

import pytest

from agent.desk.passkeys import CHALLENGE_S, PasskeyError, Passkeys
from agent.desk.staff import Role, Staff
from tests.support.desks import DAY
from tests.support.soft_passkey import SoftPasskey, b64url, unb64url

ORIGIN = "https://desk.localhost:8443"


@pytest.fixture
def key():
    return SoftPasskey(ORIGIN)


@pytest.fixture
def invite(desk):
    def make(name="ada"):
        return Staff(desk).add(name, [Role.CLERK], who="desk").code

    return make


@pytest.fixture
def registered(desk, key, invite):
    """Passkeys in which `key` is Ada's."""
    passkeys = Passkeys(desk)
    code = invite()
    passkeys.register(code, key.create(passkeys.registration(code)))
    return passkeys


def journal(desk):
    with desk.store.read() as connection:
        return [(row.who, row.action) for row in desk.journal.read(connection)]


def test_register_and_sign_in(desk, key, invite):
    passkeys, staff = Passkeys(desk), Staff(desk)
    code = invite()
    options = passkeys.registration(code)
    wanted = options["publicKey"]["authenticatorSelection"]
    assert (wanted["userVerification"], wanted["residentKey"]) == ("required", "required")
    assert options["publicKey"]["rp"]["id"] == "desk.localhost"
    first = staff.session(passkeys.register(code, key.create(options)))
    second = staff.session(passkeys.authenticate(key.get(passkeys.authentication())))
    assert first.name == second.name == "ada"
    assert first.digest != second.digest
    assert journal(desk)[:3] == [
        ("ada", "signed-in"), ("ada", "signed-in"), ("ada", "passkey-added"),
    ]  # fmt: skip


def test_sign_in_options_name_nobody(desk, registered):
    options = registered.authentication()["publicKey"]
    assert not options.get("allowCredentials")
    assert options["userVerification"] == "required"


SIGN_IN_LIES = [
    ({"origin": "https://evil.example"}, "another address"),
    ({"origin": "https://desk.localhost:8444"}, "another address"),
    ({"origin": "http://desk.localhost:8443"}, "another address"),
    ({"host": "evil.example"}, "another address"),
    ({"type": "webauthn.create"}, "another question"),
    ({"flags": 1}, "did not check who holds it"),
    ({"flags": 4}, "nobody touched"),
    ({"unsigned": True}, "signature is wrong"),
    ({"cross": True}, "within another page"),
    ({"challenge": b64url(bytes(48))}, "not asked for here"),
    ({"challenge": b64url(b"short" * 4)}, "not asked for here"),
    ({"counter": 1}, "counter went back"),
    ({"counter": 0}, "counter went back"),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "why"), SIGN_IN_LIES)
def test_lies_at_sign_in(desk, registered, key, lie, why):
    before = len(journal(desk))
    with pytest.raises(PasskeyError, match=why):
        registered.authenticate(key.get(registered.authentication(), **lie))
    assert len(journal(desk)) == before
    key.counter = 1
    assert registered.authenticate(key.get(registered.authentication()))


@pytest.mark.parametrize(
    ("lie", "why"),
    [row for row in SIGN_IN_LIES if not row[0].keys() & {"counter", "unsigned", "type"}]
    + [({"type": "webauthn.get"}, "another question")],
)
def test_lies_at_registration(desk, key, invite, lie, why):
    passkeys = Passkeys(desk)
    code = invite()
    with pytest.raises(PasskeyError, match=why):
        passkeys.register(code, key.create(passkeys.registration(code), **lie))
    # The invitation was not used up by it.
    assert passkeys.register(code, key.create(passkeys.registration(code)))


def test_answer_counts_once(registered, key):
    answer = key.get(registered.authentication())
    registered.authenticate(answer)
    with pytest.raises(PasskeyError, match="used before"):
        registered.authenticate(answer)


def test_answer_comes_in_time(registered, key, desk_clock):
    options = registered.authentication()
    desk_clock.now += CHALLENGE_S
    with pytest.raises(PasskeyError, match="took too long"):
        registered.authenticate(key.get(options))


def test_challenge_is_for_one_thing(desk, registered, key, invite):
    """A challenge of an invitation signs nobody in, nor registers at another invitation."""
    mine, other = invite("bea"), invite("cleo")
    with pytest.raises(PasskeyError, match="not asked for here"):
        registered.authenticate(key.get(registered.registration(mine)))
    fresh = SoftPasskey(ORIGIN)
    with pytest.raises(PasskeyError, match="not asked for here"):
        registered.register(other, fresh.create(registered.registration(mine)))


def test_invitation_is_used_once(desk, registered, key, invite):
    code = invite("bea")
    options = registered.registration(code)
    registered.register(code, SoftPasskey(ORIGIN).create(options))
    for act in (
        lambda: registered.registration(code),
        lambda: registered.register(code, SoftPasskey(ORIGIN).create(options)),
    ):
        with pytest.raises(PasskeyError, match="was used, or is over"):
            act()


def test_invitation_is_over_in_time(desk, invite, key, desk_clock):
    passkeys = Passkeys(desk)
    code = invite()
    options = passkeys.registration(code)
    desk_clock.now += desk.settings.rules.invitation_days * DAY
    with pytest.raises(PasskeyError, match="is over"):
        passkeys.register(code, key.create(options))


def test_new_invitation_ends_the_one_before(desk, invite):
    code = invite()
    Staff(desk).invite("ada", who="desk")
    with pytest.raises(PasskeyError):
        Passkeys(desk).registration(code)


def test_key_of_somebody_else_is_not_taken_twice(desk, registered, key, invite):
    code = invite("bea")
    with pytest.raises(PasskeyError, match="known already"):
        registered.register(code, key.create(registered.registration(code)))


def test_who_left_signs_in_no_more(desk, registered, key):
    Staff(desk).add("boss", [Role.ISSUER], who="desk")
    Staff(desk).end("ada", who="boss")
    with pytest.raises(PasskeyError, match="does not know this passkey"):
        registered.authenticate(key.get(registered.authentication()))


def test_passkey_without_a_counter_is_taken(desk, invite):
    """Synced passkeys always say 0."""
    passkeys, key = Passkeys(desk), SoftPasskey(ORIGIN, counter=0)
    code = invite()
    passkeys.register(code, key.create(passkeys.registration(code)))
    for _ in range(2):
        assert passkeys.authenticate(key.get(passkeys.authentication(), counter=0))


@pytest.mark.parametrize(
    "answer",
    [
        None, 7, [], {}, {"id": "x"}, {"id": "eA", "rawId": "eA", "type": "public-key", "response": {}},
        {"id": "eA", "rawId": "eQ", "response": {}}, {"rawId": "é", "response": None},
        {"id": "eA", "rawId": "eA", "type": "public-key", "response": {
            "clientDataJSON": "e30", "authenticatorData": "AA", "signature": "AA"}},
        {"id": "eA", "rawId": "eA", "type": "public-key", "response": {
            "clientDataJSON": "/w", "attestationObject": "/w"}},
        {"id": "eA", "rawId": "eA", "type": "public-key", "response": {
            "clientDataJSON": b64url(b"[]"), "attestationObject": b64url(b"\xa0")}},
    ],
)  # fmt: skip
def test_answer_that_is_none_is_one_line(desk, invite, answer):
    passkeys = Passkeys(desk)
    code = invite()
    for act in (lambda: passkeys.authenticate(answer), lambda: passkeys.register(code, answer)):
        with pytest.raises(PasskeyError) as caught:
            act()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 120


def test_address_can_have_no_passkeys(make_desk):
    desk = make_desk(more='[web]\nstaff = "https://192.168.1.5:8443"')
    with pytest.raises(ValueError, match="a host name, not an address"):
        Passkeys(desk)


def test_what_is_signed_is_what_was_sent(registered, key):
    """Client data that was changed after it was signed is refused."""
    answer = key.get(registered.authentication())
    client = unb64url(answer["response"]["clientDataJSON"])
    answer["response"]["clientDataJSON"] = b64url(
        client.replace(b'"crossOrigin"', b'"crossorigin"')
    )
    with pytest.raises(PasskeyError, match="signature is wrong"):
        registered.authenticate(answer)
