"""Every way in which a command is not believed, and the one in which it is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.credential import cbor
from agent.issuing.issue import sign1
from agent.report.commands import (
    COMMAND_TYPE,
    LIFETIME_S,
    CommandGuard,
    CommandRefused,
    Refusal,
)
from agent.report.topics import CommandName, GateAddress

NOW = 1_800_000_000.0
CONNECTED = NOW - 3600
GATE = GateAddress("station", "gate-1")


def signed(operator, payload=None, content=COMMAND_TYPE, **more) -> bytes:
    more.setdefault("issued_at", int(NOW))
    return operator.signer.sign(payload or operator.payload(**more), content)


def judge(operator, data, *, topic="open", retained=False, now=NOW, connected_at=CONNECTED):
    guard = CommandGuard(GATE, operator.lookup)
    return guard.judge(topic, data, retained=retained, now=now, connected_at=connected_at)


def refusal(*arguments, **more) -> Refusal:
    with pytest.raises(CommandRefused) as caught:
        judge(*arguments, **more)
    return caught.value.refusal


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "PS256", "SM2"])
def test_a_good_command_is_believed(make_operator, algorithm):
    operator = make_operator(algorithm)
    command = judge(operator, signed(operator, arguments={"direction": "in"}))
    assert command.name is CommandName.OPEN
    assert command.arguments == {"direction": "in"}
    assert command.transaction == b"12345678".hex()
    assert command.operator == "control-room"
    assert command.key_id == operator.key.kid.hex()
    assert command.expires_at == command.issued_at + LIFETIME_S


@pytest.mark.parametrize("name", list(CommandName))
def test_every_name_has_its_role(make_operator, name):
    operator = make_operator(roles={name.value})
    assert judge(operator, signed(operator, name=name), topic=name.value).name is name
    other = make_operator(roles={each.value for each in CommandName if each is not name})
    assert refusal(other, signed(other, name=name), topic=name.value) is Refusal.ROLE_MISSING


TABLE = [
    ("retained", Refusal.RETAINED, {}, {"retained": True}),
    ("another name than the topic", Refusal.WRONG_COMMAND, {}, {"topic": "close"}),
    ("another gate", Refusal.WRONG_GATE, {"gate": GateAddress("station", "gate-2")}, {}),
    ("another site", Refusal.WRONG_GATE, {"gate": GateAddress("other", "gate-1")}, {}),
    ("from the future", Refusal.FUTURE, {"issued_at": int(NOW) + 2}, {}),
    ("over", Refusal.STALE, {"issued_at": int(NOW) - 6}, {}),
    ("too long a life", Refusal.MALFORMED, {"lifetime_s": 6}, {}),
    ("no life at all", Refusal.MALFORMED, {"lifetime_s": 0}, {}),
    ("issued before the connection", Refusal.RECONNECT, {}, {"connected_at": NOW + 0.5}),
    ("issued in the second of it", Refusal.RECONNECT, {}, {"connected_at": NOW}),
    ("request id too short", Refusal.MALFORMED, {"request": b"1234567"}, {}),
    ("request id too long", Refusal.MALFORMED, {"request": b"1" * 33}, {}),
    ("arguments with a number for a name", Refusal.MALFORMED, {"arguments": {1: 2}}, {}),
]


@pytest.mark.parametrize(
    ("expected", "claims", "how"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_refusals(operator, expected, claims, how):
    assert refusal(operator, signed(operator, **claims), **how) is expected


def test_the_limits_of_time_are_inside(operator):
    assert judge(operator, signed(operator, issued_at=int(NOW) + 1))
    assert judge(operator, signed(operator, issued_at=int(NOW) - 5))
    assert judge(operator, signed(operator), connected_at=NOW - 0.5)


def test_a_repeated_request_is_refused_and_another_operators_same_id_is_not(make_operator):
    one, two = make_operator(), make_operator()
    keys = {one.key.kid: one.key, two.key.kid: two.key}
    guard = CommandGuard(GATE, keys.get)
    how = {"retained": False, "now": NOW, "connected_at": CONNECTED}
    data = signed(one)
    guard.judge("open", data, **how)
    for again in (data, signed(one, name="open")):
        with pytest.raises(CommandRefused) as caught:
            guard.judge("open", again, **how)
        assert caught.value.refusal is Refusal.REPEATED
        assert caught.value.transaction == b"12345678".hex()
    assert guard.judge("open", signed(two), **how)


def test_an_id_is_remembered_as_long_as_it_could_be_believed(operator):
    guard = CommandGuard(GATE, operator.lookup)
    data = signed(operator, issued_at=int(NOW))
    guard.judge("open", data, retained=False, now=NOW, connected_at=CONNECTED)
    for number in range(50):
        later = NOW + number / 10
        with pytest.raises(CommandRefused) as caught:
            guard.judge("open", data, retained=False, now=later, connected_at=CONNECTED)
        assert caught.value.refusal is Refusal.REPEATED
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", data, retained=False, now=NOW + 5.1, connected_at=CONNECTED)
    assert caught.value.refusal is Refusal.STALE


def test_a_flood_of_signed_commands_is_refused_rather_than_forgotten(make_operator):
    operator = make_operator("EdDSA")
    guard = CommandGuard(GATE, operator.lookup)
    how = {"retained": False, "now": NOW, "connected_at": CONNECTED}
    for number in range(4_096):
        guard._seen[b"kid", number] = int(NOW) + 5
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", signed(operator), **how)
    assert caught.value.refusal is Refusal.BUSY
    how["now"] = NOW + 20
    assert guard.judge("open", signed(operator, issued_at=int(NOW) + 20), **how)


def test_unsigned_and_foreign_things_are_refused(operator, make_operator):
    stranger = make_operator()
    good = signed(operator)
    assert refusal(operator, signed(stranger)) is Refusal.UNKNOWN_OPERATOR
    assert refusal(operator, b"") is Refusal.MALFORMED
    assert refusal(operator, b'{"open": true}') is Refusal.MALFORMED
    assert refusal(operator, cbor.encode(operator.payload(issued_at=int(NOW)))) is Refusal.UNSIGNED
    assert refusal(operator, good + b"\0") is Refusal.MALFORMED
    assert refusal(operator, b"x" * 5_000) is Refusal.TOO_LARGE
    flipped = bytearray(good)
    flipped[-1] ^= 1
    assert refusal(operator, bytes(flipped)) is Refusal.BAD_SIGNATURE


def test_a_forged_key_id_does_not_borrow_roles(operator, make_operator):
    """A stranger who names the operator's kid still signs with the wrong key."""
    stranger = make_operator()
    data = sign1(
        stranger.signer.key, operator.payload(issued_at=int(NOW)), kid=operator.key.kid,
        header={16: COMMAND_TYPE},
    )  # fmt: skip
    assert refusal(operator, data) is Refusal.BAD_SIGNATURE


def test_a_signature_made_for_another_purpose_is_refused(operator):
    payload = operator.payload(issued_at=int(NOW))
    assert refusal(operator, signed(operator, payload, "application/other")) is Refusal.WRONG_TYPE
    bare = sign1(operator.signer.key, payload, kid=operator.key.kid)
    assert refusal(operator, bare) is Refusal.WRONG_TYPE


def test_an_expired_operator_is_refused(make_operator):
    operator = make_operator(valid_until=int(NOW) - 1)
    assert refusal(operator, signed(operator)) is Refusal.OPERATOR_EXPIRED
    operator = make_operator(valid_from=int(NOW) + 10)
    assert refusal(operator, signed(operator)) is Refusal.OPERATOR_EXPIRED


@pytest.mark.parametrize(
    "change",
    [
        {3: None}, {4: 1.5}, {4: -1}, {6: True}, {6: 2**60}, {7: "text"}, {-65601: "explode"},
        {-65601: ["open"]}, {-65602: []}, {1: "more"}, {3: ["station/gate-1"]},
    ],
    ids=str,
)  # fmt: skip
def test_claims_of_another_type_are_malformed(operator, change):
    payload = operator.payload(issued_at=int(NOW)) | change
    assert refusal(operator, signed(operator, payload)) is Refusal.MALFORMED


@pytest.mark.parametrize("claim", [3, 4, 6, 7, -65601, -65602])
def test_a_missing_claim_is_malformed(operator, claim):
    payload = operator.payload(issued_at=int(NOW))
    del payload[claim]
    assert refusal(operator, signed(operator, payload)) is Refusal.MALFORMED


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=400))
def test_noise_is_refused_with_a_word(data):
    guard = CommandGuard(GATE, lambda _kid: None)
    with pytest.raises(CommandRefused):
        guard.judge("open", data, retained=False, now=NOW, connected_at=CONNECTED)


@settings(deadline=None, max_examples=200)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(position, bit):
    operator = FLIPPED
    data = bytearray(signed(operator))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(CommandRefused):
        judge(operator, bytes(data))


def _fixed_operator():
    import secrets

    from agent.fleet.send import OperatorSigner
    from agent.issuing.keys import SigningKey
    from agent.report.commands import claims
    from agent.trust.model import OperatorKey

    private = SigningKey.new("EdDSA")
    signer = OperatorSigner(private, secrets.token_bytes(8))
    key = OperatorKey(
        name="fixed", kid=signer.kid, algorithm=private.algorithm, public_key=private.public,
        roles=frozenset({"open"}),
    )  # fmt: skip

    class Fixed:
        def lookup(self, kid):
            return key if kid == key.kid else None

        def payload(self, issued_at):
            return claims(
                CommandName.OPEN, GATE, request_id=b"12345678", issued_at=issued_at, arguments={}
            )

    Fixed.signer = signer
    return Fixed()


FLIPPED = _fixed_operator()
