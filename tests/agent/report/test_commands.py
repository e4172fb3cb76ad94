"""Every way in which a command is not believed, and the one in which it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.credential import cbor
from agent.credential.issuers import Algorithm
from agent.issuing.issue import sign1
from agent.report.command_memory import MOST_IDS, CommandMemory
from agent.report.commands import (
    COMMAND_TYPE,
    CommandGuard,
    CommandRefused,
    Refusal,
    claims,
    open_signed,
)
from agent.report.topics import CommandName, GateAddress

NOW = 1_800_000_000.0
CONNECTED = NOW - 3600
MONOTONIC = 5_000.0
HOW = {"retained": False, "monotonic": MONOTONIC, "connected_at": CONNECTED}
GATE = GateAddress("station", "gate-1")
REQUEST = b"12345678"


def signed(operator, payload=None, content=COMMAND_TYPE, **more) -> bytes:
    more.setdefault("issued_at", int(NOW))
    return operator.signer.sign(payload or operator.payload(**more), content)


def judge(operator, data, *, topic="open", retained=False, now=NOW, connected_at=CONNECTED):
    guard = CommandGuard(GATE, operator.lookup, CommandMemory())
    how = {"now": now, "monotonic": MONOTONIC, "connected_at": connected_at}
    return guard.judge(topic, data, retained=retained, **how)


def refused(*arguments, **more) -> CommandRefused:
    with pytest.raises(CommandRefused) as caught:
        judge(*arguments, **more)
    assert str(caught.value) == caught.value.refusal.value
    return caught.value


def refusal(*arguments, **more) -> Refusal:
    return refused(*arguments, **more).refusal


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA", "PS256", "SM2"])
def test_a_good_command_is_believed(make_operator, algorithm):
    operator = make_operator(algorithm)
    command = judge(operator, signed(operator, arguments={"direction": "in"}))
    assert command.name is CommandName.OPEN
    assert command.arguments == {"direction": "in"}
    assert command.transaction == b"12345678".hex()
    assert command.operator == "control-room"
    assert command.key_id == operator.key.kid.hex()
    assert (command.issued_at, command.expires_at) == (int(NOW), int(NOW) + 5)
    assert command.deadline == MONOTONIC + 5
    assert "direction" not in repr(command)


def test_a_command_lives_five_seconds_unless_it_says_less():
    made = claims(CommandName.OPEN, GATE, request_id=REQUEST, issued_at=7, arguments={})
    assert made == {
        3: "station/gate-1", 4: 12, 6: 7, 7: REQUEST, -65601: "open", -65602: {},
    }  # fmt: skip


@pytest.mark.parametrize("name", list(CommandName))
def test_every_name_has_its_role(make_operator, name):
    operator = make_operator(roles={name.value})
    assert judge(operator, signed(operator, name=name), topic=name.value).name is name
    other = make_operator(roles={each.value for each in CommandName if each is not name})
    assert refusal(other, signed(other, name=name), topic=name.value) is Refusal.ROLE_MISSING


# The answer names the request only where it is known whose request it is and which.
NAMED, UNNAMED = REQUEST.hex(), ""
TABLE = [
    ("retained", Refusal.RETAINED, UNNAMED, {}, {"retained": True}),
    ("another name than the topic", Refusal.WRONG_COMMAND, NAMED, {}, {"topic": "close"}),
    ("another gate", Refusal.WRONG_GATE, NAMED, {"gate": GateAddress("station", "gate-2")}, {}),
    ("another site", Refusal.WRONG_GATE, NAMED, {"gate": GateAddress("other", "gate-1")}, {}),
    ("another role", Refusal.ROLE_MISSING, NAMED, {"name": "mode"}, {"topic": "mode"}),
    ("from the future", Refusal.FUTURE, NAMED, {"issued_at": int(NOW) + 2}, {}),
    ("from a little ahead", Refusal.FUTURE, NAMED, {"issued_at": int(NOW) + 1}, {"now": NOW - 0.1}),
    ("over", Refusal.STALE, NAMED, {"issued_at": int(NOW) - 6}, {}),
    ("just over", Refusal.STALE, NAMED, {"issued_at": int(NOW) - 5}, {"now": NOW + 0.1}),
    ("too long a life", Refusal.MALFORMED, NAMED, {"lifetime_s": 6}, {}),
    ("no life at all", Refusal.MALFORMED, NAMED, {"lifetime_s": 0}, {}),
    ("over before it began", Refusal.MALFORMED, NAMED, {"lifetime_s": -1}, {}),
    ("issued before the connection", Refusal.RECONNECT, NAMED, {}, {"connected_at": NOW + 0.5}),
    ("issued in the second of it", Refusal.RECONNECT, NAMED, {}, {"connected_at": NOW}),
    ("request id too short", Refusal.MALFORMED, UNNAMED, {"request": b"1234567"}, {}),
    ("request id too long", Refusal.MALFORMED, UNNAMED, {"request": b"1" * 33}, {}),
    ("arguments with a number for a name", Refusal.MALFORMED, UNNAMED, {"arguments": {1: 2}}, {}),
]


@pytest.mark.parametrize(
    ("expected", "named", "claims", "how"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_refusals(make_operator, expected, named, claims, how):
    operator = make_operator(roles={"open", "close"})
    answer = refused(operator, signed(operator, **claims), **how)
    assert (answer.refusal, answer.transaction, answer.detail) == (expected, named, "")


def test_the_first_rule_that_does_not_hold_is_the_reason(make_operator):
    """All rules are broken at first, and mended one after the other."""
    operator = make_operator(roles=(), valid_until=int(NOW) - 1)
    how = {"retained": True, "topic": "close", "connected_at": NOW + 5, "now": NOW + 7}
    payload = operator.payload(
        gate=GateAddress("other", "gate-1"), issued_at=int(NOW), arguments={"why": "x" * 4_096}
    )
    content, tail = "another", b"\0"
    signer, kid = make_operator().signer, b"87654321"
    reasons = []

    def note() -> None:
        data = sign1(signer.key, payload, kid=kid, header={16: content}) + tail
        reasons.append(refusal(operator, data, **how).value)

    note()
    how["retained"] = False
    note()
    payload[-65602] = {}
    note()
    tail = b""
    note()
    content = COMMAND_TYPE
    note()
    kid = operator.key.kid
    note()
    signer = operator.signer
    note()
    operator.key = replace(operator.key, valid_until=int(NOW) + 7)
    note()
    how["topic"] = "open"
    note()
    payload[3] = "station/gate-1"
    note()
    operator.key = replace(operator.key, roles=frozenset({"open"}))
    note()
    how["now"] = NOW + 5
    note()
    assert reasons == [
        "retained", "too_large", "malformed", "wrong_type", "unknown_operator", "bad_signature",
        "operator_expired", "wrong_command", "wrong_gate", "role_missing", "stale", "reconnect",
    ]  # fmt: skip


def test_the_limits_of_time_are_inside(operator):
    assert judge(operator, signed(operator, issued_at=int(NOW) + 1))
    assert judge(operator, signed(operator, issued_at=int(NOW) - 5))
    assert judge(operator, signed(operator), connected_at=NOW - 0.5)
    assert judge(operator, signed(operator, lifetime_s=1))


@pytest.mark.parametrize("request_id", [b"8" * 8, b"3" * 32], ids=len)
def test_a_request_id_has_8_to_32_bytes(operator, request_id):
    command = judge(operator, signed(operator, request=request_id))
    assert command.transaction == request_id.hex()


@pytest.mark.parametrize(
    ("issued_at", "expires_at", "expected"),
    [
        (0, 5, Refusal.STALE),
        (-1, 4, Refusal.MALFORMED),
        (-5, 0, Refusal.MALFORMED),
        (2**53 - 6, 2**53 - 1, Refusal.FUTURE),
        (2**53 - 5, 2**53, Refusal.MALFORMED),
        (True, 5, Refusal.MALFORMED),
        (0, True, Refusal.MALFORMED),
        (0, "5", Refusal.MALFORMED),
        ("0", 5, Refusal.MALFORMED),
    ],
)
def test_times_are_whole_seconds_of_53_bits(operator, issued_at, expires_at, expected):
    payload = operator.payload() | {6: issued_at, 4: expires_at}
    assert refusal(operator, signed(operator, payload)) is expected


def test_a_repeated_request_is_refused_and_another_operators_same_id_is_not(make_operator):
    one, two = make_operator(), make_operator()
    keys = {one.key.kid: one.key, two.key.kid: two.key}
    guard = CommandGuard(GATE, keys.get, CommandMemory())
    how = {"retained": False, "now": NOW, "monotonic": MONOTONIC, "connected_at": CONNECTED}
    data = signed(one)
    guard.judge("open", data, **how)
    for again in (data, signed(one, name="open")):
        with pytest.raises(CommandRefused) as caught:
            guard.judge("open", again, **how)
        assert caught.value.refusal is Refusal.REPEATED
        assert caught.value.transaction == b"12345678".hex()
    assert guard.judge("open", signed(two), **how)


def test_an_id_is_remembered_as_long_as_it_could_be_believed(operator):
    guard = CommandGuard(GATE, operator.lookup, CommandMemory())
    data = signed(operator, issued_at=int(NOW))
    guard.judge("open", data, now=NOW, **HOW)
    for number in range(50):
        later = NOW + number / 10
        with pytest.raises(CommandRefused) as caught:
            guard.judge("open", data, now=later, **HOW)
        assert caught.value.refusal is Refusal.REPEATED
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", data, now=NOW + 5.1, **HOW)
    assert caught.value.refusal is Refusal.STALE


def test_a_small_step_back_of_the_clock_gives_no_command_a_second_life(operator):
    """Time servers step back by seconds; an id is kept that much longer than its command."""
    guard = CommandGuard(GATE, operator.lookup, CommandMemory())
    how = {"retained": False, "monotonic": MONOTONIC, "connected_at": CONNECTED}
    first = signed(operator, request=b"1" * 8, issued_at=int(NOW))
    second = signed(operator, request=b"2" * 8, issued_at=int(NOW) + 11)
    guard.judge("open", first, now=NOW + 5, **how)
    guard.judge("open", second, now=NOW + 11, **how)
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", first, now=NOW + 5, **how)
    assert caught.value.refusal is Refusal.REPEATED


def test_the_oldest_is_forgotten_first(operator):
    guard = CommandGuard(GATE, operator.lookup, CommandMemory())
    how = {"retained": False, "monotonic": MONOTONIC, "connected_at": CONNECTED}
    for number, at in ((1, 0), (2, 8), (3, 12)):
        data = signed(operator, request=b"%08d" % number, issued_at=int(NOW) + at)
        guard.judge("open", data, now=NOW + at, **how)
    again = signed(operator, request=b"00000002", issued_at=int(NOW) + 8)
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", again, now=NOW + 12, **how)
    assert caught.value.refusal is Refusal.REPEATED


def test_a_flood_of_signed_commands_is_refused_rather_than_forgotten(make_operator):
    operator = make_operator("EdDSA")
    memory = CommandMemory()
    guard = CommandGuard(GATE, operator.lookup, memory)
    how = {"retained": False, "now": NOW, "monotonic": MONOTONIC, "connected_at": CONNECTED}
    for number in range(MOST_IDS - 1):
        memory.remember(b"kid", b"%08d" % number, int(NOW))
    assert guard.judge("open", signed(operator, request=b"the last"), **how)
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", signed(operator), **how)
    assert caught.value.refusal is Refusal.BUSY
    assert caught.value.transaction == REQUEST.hex()
    how["now"] = NOW + 20
    assert guard.judge("open", signed(operator, issued_at=int(NOW) + 20), **how)


@pytest.mark.parametrize(("late_s", "left_s"), [(0.0, 5.0), (4.5, 0.5), (-1.0, 6.0)])
def test_a_life_is_counted_on_the_monotonic_clock(operator, late_s, left_s):
    command = judge(operator, signed(operator), now=NOW + late_s)
    assert command.deadline == MONOTONIC + left_s


def test_nothing_is_believed_while_no_time_is(make_operator):
    operator = make_operator(roles=())
    answer = refused(operator, signed(operator), now=None)
    assert (answer.refusal, answer.transaction) == (Refusal.CLOCK_UNTRUSTED, REQUEST.hex())
    for request in (b"1234567", b"1" * 33, "text", None):
        payload = operator.payload(issued_at=int(NOW)) | {7: request}
        answer = refused(operator, signed(operator, payload), now=None)
        assert (answer.refusal, answer.transaction) == (Refusal.CLOCK_UNTRUSTED, "")
    for request in (b"12345678", b"1" * 32):
        answer = refused(operator, signed(operator, request=request), now=None)
        assert answer.transaction == request.hex()
    assert refusal(make_operator(), signed(operator), now=None) is Refusal.UNKNOWN_OPERATOR


BACK = [
    ("within the window", -11, None),
    ("before it", -12, Refusal.OVERTAKEN),
]


@pytest.mark.parametrize(
    ("step", "expected"), [row[1:] for row in BACK], ids=[row[0] for row in BACK]
)
def test_a_clock_that_went_back_makes_no_command_new(operator, step, expected):
    guard = CommandGuard(GATE, operator.lookup, CommandMemory())
    guard.judge("open", signed(operator, request=b"1" * 8), now=NOW, **HOW)
    again = signed(operator, request=b"2" * 8, issued_at=int(NOW) + step)
    if expected is None:
        assert guard.judge("open", again, now=NOW + step, **HOW)
        return
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", again, now=NOW + step, **HOW)
    assert (caught.value.refusal, caught.value.transaction) == (expected, (b"2" * 8).hex())


def test_what_was_accepted_is_on_the_disk_and_holds_after_a_power_cut(operator, tmp_path):
    path = tmp_path / "commands.json"
    data = signed(operator)
    CommandGuard(GATE, operator.lookup, CommandMemory(path)).judge("open", data, now=NOW, **HOW)
    for back_s, expected in ((0.0, Refusal.REPEATED), (-20.0, Refusal.OVERTAKEN)):
        guard = CommandGuard(GATE, operator.lookup, CommandMemory(path))
        again = data if not back_s else signed(operator, issued_at=int(NOW + back_s))
        with pytest.raises(CommandRefused) as caught:
            guard.judge("open", again, now=NOW + back_s, **HOW)
        assert caught.value.refusal is expected


def test_what_cannot_be_written_down_is_not_accepted(operator, tmp_path):
    path = tmp_path / "nowhere" / "commands.json"
    guard = CommandGuard(GATE, operator.lookup, CommandMemory(path))
    with pytest.raises(CommandRefused) as caught:
        guard.judge("open", signed(operator), now=NOW, **HOW)
    assert (caught.value.refusal, caught.value.transaction) == (Refusal.NOT_KEPT, REQUEST.hex())
    assert caught.value.detail == f"{path}: No such file or directory"
    path.parent.mkdir()
    assert guard.judge("open", signed(operator), now=NOW, **HOW)  # it was not taken for accepted


def test_unsigned_and_foreign_things_are_refused(operator, make_operator):
    stranger = make_operator()
    good = signed(operator)
    assert refusal(operator, signed(stranger)) is Refusal.UNKNOWN_OPERATOR
    assert refusal(operator, b"") is Refusal.MALFORMED
    assert refusal(operator, b'{"open": true}') is Refusal.MALFORMED
    assert refusal(operator, cbor.encode(operator.payload(issued_at=int(NOW)))) is Refusal.UNSIGNED
    assert refusal(operator, good + b"\0") is Refusal.MALFORMED
    assert refusal(operator, b"x" * 4_096) is Refusal.MALFORMED
    assert refusal(operator, b"x" * 4_097) is Refusal.TOO_LARGE
    flipped = bytearray(good)
    flipped[-1] ^= 1
    assert refusal(operator, bytes(flipped)) is Refusal.BAD_SIGNATURE
    nameless = sign1(
        operator.signer.key, operator.payload(issued_at=int(NOW)), header={16: COMMAND_TYPE}
    )
    operator.lookup = lambda _kid: operator.key
    assert refusal(operator, nameless) is Refusal.UNKNOWN_OPERATOR


def test_a_key_signs_with_its_own_algorithm_only(operator):
    operator.key = replace(operator.key, algorithm=Algorithm.ES384)
    assert refusal(operator, signed(operator)) is Refusal.ALGORITHM_MISMATCH


@pytest.mark.parametrize(
    "inside", [b"", b"\xff", cbor.encode([1]), cbor.encode("open")], ids=bytes.hex
)
def test_what_is_signed_must_be_a_map(make_operator, inside):
    operator = make_operator("EdDSA")
    head = cbor.encode({1: -8, 4: operator.key.kid, 16: COMMAND_TYPE})
    signature = operator.signer.key.sign(cbor.encode(["Signature1", head, b"", inside]))
    data = cbor.encode(cbor.Tagged(18, [head, {}, inside, signature]))
    assert refusal(operator, data) is Refusal.MALFORMED


def test_a_limit_is_inclusive_and_fractions_are_for_those_who_take_them(operator):
    payload = operator.payload(issued_at=int(NOW)) | {-65602: {"share": 0.5}}
    data = signed(operator, payload)
    how = {"content": COMMAND_TYPE, "operator": operator.lookup, "now": NOW}
    found, key = open_signed(data, limit=len(data), floats=True, **how)
    assert (found, key) == (payload, operator.key)
    for more, expected in (
        ({"limit": len(data) - 1, "floats": True}, Refusal.TOO_LARGE),
        ({"limit": len(data)}, Refusal.MALFORMED),
    ):
        with pytest.raises(CommandRefused) as caught:
            open_signed(data, **how, **more)
        assert (caught.value.refusal, caught.value.transaction) == (expected, "")


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
    operator = make_operator(valid_from=int(NOW) + 1)
    assert refusal(operator, signed(operator)) is Refusal.OPERATOR_EXPIRED
    operator = make_operator(valid_from=int(NOW), valid_until=int(NOW))
    assert judge(operator, signed(operator))


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
    guard = CommandGuard(GATE, lambda _kid: None, CommandMemory())
    with pytest.raises(CommandRefused):
        guard.judge("open", data, now=NOW, **HOW)


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
