"""COSE messages: round trips, hostile bytes, and python-cwt as an oracle."""

from __future__ import annotations

import cbor2
import cwt
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.credential import cbor, cose
from agent.credential.algorithms import ALGORITHMS, SignatureAlgorithm
from agent.credential.issuers import Algorithm
from agent.credential.model import Rejected
from agent.credential.numbers import Alg, Header
from agent.issuing import issue
from agent.reason import Reason
from tests.support.refusals import refused

KEYS = {name: issue.SigningKey.new(name) for name in ("ES256", "ES384", "EdDSA", "PS256")}
REFUSALS = {
    Reason.MALFORMED, Reason.UNSIGNED, Reason.ALGORITHM_MISMATCH, Reason.UNKNOWN_CRITICAL_HEADER,
    Reason.BAD_SIGNATURE,
}  # fmt: skip


def _oracle(key: issue.SigningKey) -> cwt.COSEKey:
    pem = key.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return cwt.COSEKey.from_pem(pem, alg=str(key.algorithm), kid=b"01234567")


ORACLES = {name: _oracle(key) for name, key in KEYS.items()}


def _ours(data: bytes, key: issue.SigningKey) -> bytes | Reason:
    """Return the payload, or why it is refused."""
    try:
        message = cose.parse_sign1(data)
        cose.verify(message, key.algorithm, key.public)
    except Rejected as error:
        return error.reason
    return message.payload


def _theirs(data: bytes, name: str) -> bytes | None:
    try:
        payload = cwt.COSE.new().decode(data, ORACLES[name])
    except Exception:  # noqa: BLE001 - the oracle's many errors all mean "refused"
        return None
    return payload if isinstance(payload, bytes) else cbor2.dumps(payload)


@pytest.mark.parametrize("name", KEYS)
def test_what_we_sign_python_cwt_verifies(name):
    data = issue.sign1(KEYS[name], {1: "iss"}, kid=b"01234567")
    assert _theirs(data, name) == cbor.encode({1: "iss"})
    assert _theirs(data[:-1] + bytes((data[-1] ^ 1,)), name) is None


@pytest.mark.parametrize("name", KEYS)
def test_what_python_cwt_signs_we_verify(name):
    pem = KEYS[name].private_pem()
    signer = cwt.COSEKey.from_pem(pem, alg=name)
    data = cwt.COSE.new(alg_auto_inclusion=True).encode_and_sign(b"payload", signer)
    assert _ours(data, KEYS[name]) == b"payload"


@pytest.mark.parametrize("name", ["ES256", "EdDSA"])
@settings(max_examples=150)
@given(data=st.data())
def test_we_are_never_more_lenient_than_python_cwt(name, data):
    message = bytearray(issue.sign1(KEYS[name], {1: "iss", 4: 99}, kid=b"01234567"))
    for _ in range(data.draw(st.integers(1, 2))):
        kind = data.draw(st.sampled_from(["set", "drop", "insert"]))
        where = data.draw(st.integers(0, len(message) - 1))
        byte = data.draw(st.integers(0, 255))
        if kind == "set":
            message[where] = byte
        elif kind == "drop":
            del message[where]
        else:
            message.insert(where, byte)
    ours = _ours(bytes(message), KEYS[name])
    if isinstance(ours, bytes):
        assert _theirs(bytes(message), name) == ours
    else:
        assert ours in REFUSALS


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data):
    for prefix in (b"", b"\xd2\x84", b"\xd2\x84\x43\xa1\x01\x26\xa0", b"\xd8\x3d\xd2\x84"):
        assert _ours(prefix + data, KEYS["ES256"]) in REFUSALS


@given(
    st.dictionaries(
        st.one_of(st.integers(-70000, 70000), st.text(max_size=4)),
        st.recursive(
            st.one_of(st.integers(-9, 9), st.text(max_size=4), st.binary(max_size=4)),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
        max_size=4,
    ),
    st.dictionaries(st.integers(-20, 20), st.integers(-9, 9), max_size=3),
)
def test_any_headers_are_read_or_refused(protected, unprotected):
    key = KEYS["EdDSA"]
    raw = cbor.encode(protected)
    signature = key.sign(cbor.encode(["Signature1", raw, b"", b"payload"]))
    outcome = _ours(cbor.encode(cbor.Tagged(18, [raw, unprotected, b"payload", signature])), key)
    sound = (
        protected.get(Header.ALG) in (Alg.EDDSA, Alg.ED25519)
        and Header.CRIT not in protected
        and not {Header.ALG, Header.CRIT} & set(unprotected)
        and not set(protected) & set(unprotected)
    )
    if sound:
        assert outcome == b"payload"
    elif Header.CRIT not in protected:
        assert outcome in REFUSALS


def test_every_algorithm_has_its_own_number_and_a_pin():
    assert set(ALGORITHMS) == {-7, -8, -9, -19, -35, -37, -51, -65600}
    for number, algorithm in ALGORITHMS.items():
        assert issubclass(algorithm, SignatureAlgorithm)
        assert algorithm.number == number
        assert isinstance(algorithm.pinned, Algorithm)
        assert algorithm.pinned is not Algorithm.RS256


@pytest.mark.parametrize("name", KEYS)
def test_a_key_fits_its_own_algorithm_alone(name):
    fitting = {entry.pinned for entry in ALGORITHMS.values() if entry.fits(KEYS[name].public)}
    assert fitting == {Algorithm(name)}


def test_verify_any_tells_the_most_telling_reason():
    data = issue.sign1(KEYS["ES256"], {1: "iss"})
    message = cose.parse_sign1(data)
    honest = issue.Issuer("a", "a", KEYS["ES256"]).issuer_key()
    other = issue.new_issuer("b").issuer_key()
    another = issue.Issuer("c", "c", KEYS["EdDSA"]).issuer_key()
    assert cose.verify_any(message, [another, other, honest]) is honest
    mismatch = (Reason.ALGORITHM_MISMATCH, "the header's alg is not the key's")
    forged = (Reason.BAD_SIGNATURE, "the signature does not verify")
    for keys, (reason, words) in (
        ([], (Reason.UNKNOWN_ISSUER, "no key")),
        ([another], mismatch),
        ([other, another], forged),
        ([another, other], forged),
    ):
        assert refused(cose.verify_any, message, keys) == (reason, words)


def test_eight_keys_are_tried_of_those_that_fit_and_the_rest_is_told():
    message = cose.parse_sign1(issue.sign1(KEYS["ES256"], {1: "iss"}))
    honest = issue.Issuer("a", "a", KEYS["ES256"]).issuer_key()
    others = [issue.new_issuer("b").issuer_key() for _ in range(8)]
    strangers = [issue.Issuer("c", "c", KEYS["EdDSA"]).issuer_key()] * 20
    assert cose.verify_any(message, [*strangers, *others[:7], honest]) is honest
    assert refused(cose.verify_any, message, [*strangers, *others, honest]) == (
        Reason.BAD_SIGNATURE,
        "the signature does not verify; 9 keys would do, 8 were tried",
    )
    assert refused(cose.verify_any, message, [*strangers, *others]) == (
        Reason.BAD_SIGNATURE,
        "the signature does not verify",
    )


# --- what a message must be ----------------------------------------------------------------------

ALG = b"\xa1\x01\x26"
"""The protected header {alg: ES256}."""
PARTS = [ALG, {}, b"payload", b"signature"]


def _tagged(item, *tags: int) -> bytes:
    for tag in reversed(tags):
        item = cbor.Tagged(tag, item)
    return cbor.encode(item)


def _message(raw=ALG, unprotected=None, payload=b"payload", signature=b"signature") -> bytes:
    return _tagged([raw, {} if unprotected is None else unprotected, payload, signature], 18)


NOT_TAGGED = (Reason.MALFORMED, "COSE: not tagged as a COSE_Sign1")
OTHER_TYPE = (Reason.MALFORMED, "COSE: an element of another type than COSE_Sign1 has")
NOT_FOUR = (Reason.MALFORMED, "COSE: not an array of four")
NO_SIGNATURE = (Reason.UNSIGNED, "claims without a signature")
NOT_UNDERSTOOD = (Reason.UNKNOWN_CRITICAL_HEADER, "a critical label is not understood")
NO_LABELS = (Reason.MALFORMED, "COSE: crit is no list of labels")


def _tag_refused(number: int) -> tuple[Reason, str]:
    return Reason.MALFORMED, f"CBOR: tag {number} is not allowed here"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        # the tag
        (_tagged(PARTS), NOT_TAGGED),
        (_tagged(PARTS, 61), NOT_TAGGED),
        (_tagged(PARTS, 18, 61), NOT_TAGGED),
        (_tagged(PARTS, 18, 18), NOT_TAGGED),
        (_tagged(PARTS, 98), _tag_refused(98)),
        (_tagged(PARTS, 17), NO_SIGNATURE),
        (_tagged(PARTS, 61, 17), NO_SIGNATURE),
        (_tagged({1: "iss"}), NO_SIGNATURE),
        (_tagged({1: "iss"}, 61), NO_SIGNATURE),
        # the array
        (_tagged(7, 18), NOT_FOUR),
        (_tagged(b"four", 18), NOT_FOUR),
        (_tagged(PARTS[:3], 18), NOT_FOUR),
        (_tagged([*PARTS, b""], 18), NOT_FOUR),
        (_message(raw="text"), OTHER_TYPE),
        (_message(unprotected=[]), OTHER_TYPE),
        (_message(payload=None), OTHER_TYPE),
        (_message(signature=None), OTHER_TYPE),
        (_message(signature=b""), (Reason.UNSIGNED, "the signature is empty")),
        # the headers
        (_message(raw=b"\x80"), (Reason.MALFORMED, "COSE: the protected header is no map")),
        (_message(unprotected={1: -7}), (Reason.ALGORITHM_MISMATCH, "alg in the unprotected header")),
        (
            _message(unprotected={2: [1]}),
            (Reason.UNKNOWN_CRITICAL_HEADER, "crit in the unprotected header"),
        ),
        (
            _message(raw=cbor.encode({1: -7, 4: b"a"}), unprotected={4: b"a"}),
            (Reason.MALFORMED, "COSE: a label in both headers"),
        ),
        (_message(raw=cbor.encode({1: -7, 2: 1})), NO_LABELS),
        (_message(raw=cbor.encode({1: -7, 2: []})), NO_LABELS),
        (_message(raw=cbor.encode({1: -7, 2: [33], 33: 0})), NOT_UNDERSTOOD),
        (_message(raw=cbor.encode({1: -7, 2: [4]})), NOT_UNDERSTOOD),
        (_message(raw=cbor.encode({1: -7, 2: [1, 4]})), NOT_UNDERSTOOD),
        (_message(raw=cbor.encode({1: -7, 2: [True]})), NOT_UNDERSTOOD),
        (_message(raw=cbor.encode({1: -7, 2: [[1]]})), NOT_UNDERSTOOD),
        (_message(raw=cbor.encode({1: -7, 2: ["1"], "1": 0})), NOT_UNDERSTOOD),
    ],
)  # fmt: skip
def test_a_message_that_is_none(data, told):
    assert refused(cose.parse_sign1, data) == told


@pytest.mark.parametrize("tags", [(18,), (61, 18)])
@pytest.mark.parametrize("untagged", [False, True])
def test_what_is_read_of_a_message(tags, untagged):
    message = cose.parse_sign1(_tagged([ALG, {9: 9}, b"p", b"s"], *tags), untagged=untagged)
    assert message == cose.Sign1({1: -7}, {9: 9}, b"p", b"s", ALG)


def test_an_untagged_message_needs_leave():
    assert cose.parse_sign1(_tagged(PARTS), untagged=True).payload == b"payload"
    assert refused(cose.parse_sign1, _tagged(PARTS, 61), untagged=True) == NOT_TAGGED


def test_an_empty_protected_header_is_an_empty_map():
    assert cose.parse_sign1(_message(raw=b"")).protected == {}


@pytest.mark.parametrize("label", [1, 2, 4, 13, 16])
def test_critical_labels_that_are_understood(label):
    raw = cbor.encode({1: -7, 2: [label], 4: b"kid", 13: 0, 16: 293})
    assert cose.parse_sign1(_message(raw=raw)).protected[2] == [label]


@pytest.mark.parametrize(
    ("unprotected", "told"),
    [(cbor.Tagged(18, {}), OTHER_TYPE), ({99: cbor.Tagged(18, 0)}, _tag_refused(18))],
)
def test_no_tag_stands_inside_a_message(unprotected, told):
    data = cbor.encode([ALG, unprotected, b"payload", b"signature"])
    assert refused(cose.parse_sign1, data, untagged=True) == told


INNER = cbor.Tagged(18, PARTS)
"""A credential as it stands in a key binding token."""


@pytest.mark.parametrize(
    "parse", [cose.parse_sign1, lambda data: cose.sign1_of(cbor.decode(data, tags=(18,)).value)]
)
def test_a_message_inside_a_message_needs_leave(parse):
    data = _message(raw=cbor.encode({1: -7, 13: INNER}))
    assert refused(parse, data) == _tag_refused(18)
    assert cose.parse_sign1(data, kcwt=True).protected[13] == INNER


@pytest.mark.parametrize(
    ("protected", "told"),
    [
        ({1: -7, 99: INNER}, (Reason.MALFORMED, "COSE: a tag in the protected header")),
        ({1: -7, 99: [INNER]}, _tag_refused(18)),
        ({1: -7, 13: cbor.Tagged(61, INNER)}, _tag_refused(61)),
        ({1: -7, 13: cbor.Tagged(17, PARTS)}, _tag_refused(17)),
    ],
)
def test_what_else_may_not_stand_in_a_key_binding_token(protected, told):
    assert refused(cose.parse_sign1, _message(raw=cbor.encode(protected)), kcwt=True) == told


LONGER = {
    "array": b"\xd2\x98\x04" + b"".join(map(cbor.encode, PARTS)),
    "protected header": _message(raw=b"\xa1\x18\x01\x26"),
}


@pytest.mark.parametrize("where", LONGER)
@pytest.mark.parametrize("kcwt", [False, True])
def test_numbers_longer_than_needed_need_leave(where, kcwt):
    words = "CBOR: a number not in its shortest form"
    assert refused(cose.parse_sign1, LONGER[where], kcwt=kcwt) == (Reason.MALFORMED, words)
    assert cose.parse_sign1(LONGER[where], kcwt=kcwt, shortest=False).protected == {1: -7}


def test_a_decoded_message_is_held_to_the_shortest_form_too():
    item = [b"\xa1\x18\x01\x26", {}, b"payload", b"signature"]
    assert refused(cose.sign1_of, item)[0] is Reason.MALFORMED
    assert cose.sign1_of(item, shortest=False).protected == {1: -7}


@pytest.mark.parametrize("number", [None, 0, 5, -257, -47, True, "ES256", b"\x26", [-7]])
def test_no_signature_algorithm(number):
    message = cose.parse_sign1(_message(raw=cbor.encode({} if number is None else {1: number})))
    words = "no signature algorithm in the protected header"
    assert refused(cose.algorithm_of, message) == (Reason.ALGORITHM_MISMATCH, words)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 4296])
def test_what_is_signed_is_the_structure_of_rfc_9052(size):
    raw = cbor.encode({1: -7, 4: b"k" * size})
    message = cose.Sign1({}, {}, b"p" * size, b"s", raw)
    structure = ["Signature1", raw, b"", b"p" * size]
    assert cose.signed_bytes(message) == cbor.encode(structure)
    structure[2] = b"e" * size
    assert cose.signed_bytes(message, b"e" * size) == cbor.encode(structure)


def test_a_signature_that_fails_is_told_as_the_caller_asks():
    key = KEYS["ES256"]
    message = cose.parse_sign1(_message())
    words = "the signature does not verify"
    told = refused(cose.verify, message, key.algorithm, key.public)
    assert told == (Reason.BAD_SIGNATURE, words)
    told = refused(cose.verify, message, key.algorithm, key.public, Reason.BAD_HOLDER_SIGNATURE)
    assert told == (Reason.BAD_HOLDER_SIGNATURE, words)


@pytest.mark.parametrize(
    ("name", "pinned"), [("ES256", "ES384"), ("ES256", "EdDSA"), ("EdDSA", "ES256"), ("ES384", "ES256")]
)  # fmt: skip
def test_header_pin_and_key_agree(name, pinned):
    """The message says ES256: the pin, the key, or both are another's."""
    told = refused(cose.verify, cose.parse_sign1(_message()), Algorithm(pinned), KEYS[name].public)
    assert told == (Reason.ALGORITHM_MISMATCH, "the header's alg is not the key's")


# --- COSE_Encrypt0 -------------------------------------------------------------------------------

SITE_KEY, VECTOR = b"k" * 32, b"v" * 12
GCM = b"\xa1\x01\x03"
"""The protected header {alg: A256GCM}."""


def _sealed(plain=b"plain", *, raw=GCM, unprotected=None, vector=VECTOR, cut=None, tag=16) -> bytes:
    bound = cbor.encode(["Encrypt0", raw, b""])
    sealed = AESGCM(SITE_KEY).encrypt(vector, plain, bound)[:cut]
    header = {Header.IV: vector} if unprotected is None else unprotected
    return cbor.encode(cbor.Tagged(tag, [raw, header, sealed]))


@pytest.mark.parametrize("plain", [b"", b"p", b"p" * 2000])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"raw": cbor.encode({1: 3, 5: VECTOR}), "unprotected": {}},
        {"raw": cbor.encode({1: 3, 7: b"x" * 300})},
        {"unprotected": {5: VECTOR, 4: b"kid"}},
    ],
)
def test_what_is_sealed_is_opened(plain, headers):
    data = _sealed(plain, **headers)
    assert cose.is_encrypt0(data)
    assert cose.decrypt0(data, [SITE_KEY]) == plain


def test_eight_site_keys_are_tried():
    others = [bytes([number]) * 32 for number in range(8)]
    assert cose.decrypt0(_sealed(), [*others[:7], SITE_KEY]) == b"plain"
    told = refused(cose.decrypt0, _sealed(), [*others, SITE_KEY])
    assert told == (Reason.DECRYPTION_FAILED, "no site key opens it")


NO_ENCRYPT0 = (Reason.MALFORMED, "COSE: no COSE_Encrypt0")
NOT_ENCRYPT0S = (Reason.MALFORMED, "COSE: an element of another type than Encrypt0 has")
NO_VECTOR = (Reason.MALFORMED, "COSE: the IV is not 12 bytes")
NOT_GCM = (Reason.ALGORITHM_MISMATCH, "encrypted with another algorithm than A256GCM")
LONG = (Reason.MALFORMED, "CBOR: a number not in its shortest form")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (cbor.encode([GCM, {5: VECTOR}, b"c" * 20]), NO_ENCRYPT0),
        (cbor.encode(cbor.Tagged(16, 7)), NO_ENCRYPT0),
        (cbor.encode(cbor.Tagged(16, [GCM, {5: VECTOR}])), NO_ENCRYPT0),
        (cbor.encode(cbor.Tagged(16, [GCM, {5: VECTOR}, b"c" * 20, b""])), NO_ENCRYPT0),
        (_sealed(tag=18), _tag_refused(18)),
        (cbor.encode(cbor.Tagged(16, ["text", {5: VECTOR}, b"c" * 20])), NOT_ENCRYPT0S),
        (cbor.encode(cbor.Tagged(16, [GCM, [], b"c" * 20])), NOT_ENCRYPT0S),
        (cbor.encode(cbor.Tagged(16, [GCM, {5: VECTOR}, None])), NOT_ENCRYPT0S),
        (_sealed(raw=b""), NOT_GCM),
        (_sealed(raw=cbor.encode({1: 1})), NOT_GCM),
        (_sealed(raw=b"\xa1\x18\x01\x03"), LONG),
        (_sealed(raw=cbor.encode({1: 3, 13: cbor.Tagged(18, 0)})), _tag_refused(18)),
        (
            _sealed(unprotected={1: 3, 5: VECTOR}),
            (Reason.ALGORITHM_MISMATCH, "alg in the unprotected header"),
        ),
        (_sealed(unprotected={}), NO_VECTOR),
        (_sealed(unprotected={5: "v" * 12}), NO_VECTOR),
        (_sealed(vector=b"v" * 11), NO_VECTOR),
        (_sealed(vector=b"v" * 13), NO_VECTOR),
        (_sealed(b"", cut=15), (Reason.DECRYPTION_FAILED, "shorter than its own tag")),
        (_sealed(cut=-1), (Reason.DECRYPTION_FAILED, "no site key opens it")),
        (_sealed(unprotected={5: b"w" * 12}), (Reason.DECRYPTION_FAILED, "no site key opens it")),
    ],
)  # fmt: skip
def test_what_is_sealed_otherwise(data, told):
    assert refused(cose.decrypt0, data, [SITE_KEY]) == told


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"\xd0", True), (b"\xd0\x83", True), (b"\xd2\x84", False), (b"\x83", False), (b"", False)],
)
def test_how_a_sealed_message_opens(data, expected):
    assert cose.is_encrypt0(data) is expected
