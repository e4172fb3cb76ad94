"""SM2: the published vectors through both backends, and the backends against each other."""

from __future__ import annotations

import ctypes
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.credential import sm2, sm2_openssl, sm2_pure
from tests.support.paths import VECTORS

# GB/T 32918.5-2017, Annex A.2: private key and nonce of the signature example.
ANNEX_PRIVATE = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
ANNEX_NONCE = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
ANNEX_SIGNATURE = bytes.fromhex(
    "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
    "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA"
)
MESSAGE = b"message digest"
POINT = sm2.public_key(ANNEX_PRIVATE)


def vectors() -> list[dict[str, str]]:
    return json.loads((VECTORS / "sm2" / "vectors.json").read_text())


@pytest.fixture(params=["libcrypto", "python"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test through each verifier."""
    if request.param == "python":
        monkeypatch.setattr(sm2_openssl, "load", lambda: None)
    elif sm2_openssl.load() is None:
        pytest.skip("this system's libcrypto has no SM2")
    assert sm2.backend() == request.param
    return str(request.param)


def test_published_vectors_verify(backend: str) -> None:
    seen = 0
    for vector in vectors():
        point = bytes.fromhex(vector["pub"])
        if "der" in vector:
            r, s = decode_dss_signature(bytes.fromhex(vector["der"]))
        else:
            r, s = int(vector["r"], 16), int(vector["s"], 16)
            message = bytes.fromhex(vector["msg_hex"])
            assert sm2.message_digest(point, message).hex().upper() == vector["e"]
            signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
            assert sm2.verify(point, message, signature, vector["id"].encode())
        signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        digest = bytes.fromhex(vector["e"])
        assert sm2.verify_digest(point, digest, signature) is vector["valid"]
        assert not sm2.verify_digest(point, digest[::-1], signature)
        seen += 1
    assert seen == 3


def test_annex_example_is_reproduced_by_signing() -> None:
    assert sm2.sign(ANNEX_PRIVATE, MESSAGE, nonce=ANNEX_NONCE) == ANNEX_SIGNATURE


def changed(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


ORDER = sm2_pure.N.to_bytes(32, "big")
ZERO = bytes(32)
REFUSED = {
    "message changed": (POINT, MESSAGE + b".", ANNEX_SIGNATURE),
    "r changed": (POINT, MESSAGE, changed(ANNEX_SIGNATURE, 0)),
    "s changed": (POINT, MESSAGE, changed(ANNEX_SIGNATURE, 63)),
    "r zero": (POINT, MESSAGE, ZERO + ANNEX_SIGNATURE[32:]),
    "s zero": (POINT, MESSAGE, ANNEX_SIGNATURE[:32] + ZERO),
    "both zero": (POINT, MESSAGE, ZERO + ZERO),
    "r is the order": (POINT, MESSAGE, ORDER + ANNEX_SIGNATURE[32:]),
    "s is the order": (POINT, MESSAGE, ANNEX_SIGNATURE[:32] + ORDER),
    "r + s is the order": (
        POINT,
        MESSAGE,
        ANNEX_SIGNATURE[:32]
        + (sm2_pure.N - int.from_bytes(ANNEX_SIGNATURE[:32], "big")).to_bytes(32, "big"),
    ),
    "s negated, as ECDSA would allow": (
        POINT,
        MESSAGE,
        ANNEX_SIGNATURE[:32]
        + (sm2_pure.N - int.from_bytes(ANNEX_SIGNATURE[32:], "big")).to_bytes(32, "big"),
    ),
    "all ones": (POINT, MESSAGE, b"\xff" * 64),
    "empty": (POINT, MESSAGE, b""),
    "short": (POINT, MESSAGE, ANNEX_SIGNATURE[:-1]),
    "long": (POINT, MESSAGE, ANNEX_SIGNATURE + b"\0"),
    "key of another": (sm2.public_key(7), MESSAGE, ANNEX_SIGNATURE),
    "key off the curve": (changed(POINT, 64), MESSAGE, ANNEX_SIGNATURE),
    "key compressed": (sm2.compress(POINT), MESSAGE, ANNEX_SIGNATURE),
    "key with hybrid prefix": (b"\x06" + POINT[1:], MESSAGE, ANNEX_SIGNATURE),
    "key at infinity": (b"\x00", MESSAGE, ANNEX_SIGNATURE),
    "key empty": (b"", MESSAGE, ANNEX_SIGNATURE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(backend: str, case: str) -> None:
    point, message, signature = REFUSED[case]
    assert sm2.verify(POINT, MESSAGE, ANNEX_SIGNATURE)
    assert not sm2.verify(point, message, signature)


PRIVATE = 11
SOME, OTHER = 5 << 200, 7 << 100


def fitting(r: int, s: int, private: int = PRIVATE) -> bytes:
    """Return the digest with which (r, s) fulfils the equation of a signature."""
    x, _ = sm2_pure.public_point(s + (r + s) * private)
    return ((r - x) % sm2_pure.N).to_bytes(32, "big")


@pytest.mark.parametrize(
    ("r", "s", "expected"),
    [
        (1, SOME, True), (SOME, 1, True), (sm2_pure.N - 1, SOME, True), (SOME, sm2_pure.N - 1, True),
        (0, SOME, False), (SOME, 0, False), (sm2_pure.N, SOME, False), (SOME, sm2_pure.N, False),
        (SOME, sm2_pure.N - SOME, False), (SOME, OTHER, True),
    ],
    ids=["least r", "least s", "largest r", "largest s", "r zero", "s zero", "r the order", "s the order",
         "r + s the order", "usual"],
)  # fmt: skip
def test_range_of_r_and_s(backend: str, r: int, s: int, expected: bool) -> None:
    """The equation holds for each: nothing but the range refuses one."""
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    point = sm2.public_key(PRIVATE)
    assert sm2.verify_digest(point, fitting(r, s), signature) is expected


def test_sum_of_a_point_and_itself(backend: str) -> None:
    """[3]G + [1](3G): the formula of addition has no answer for equal points."""
    r, s = sm2_pure.N - 2, 3
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert sm2.verify_digest(sm2.public_key(3), fitting(r, s, 3), signature)


def test_sum_at_infinity_is_no_signature(backend: str) -> None:
    """[s]G + [t]P is the point at infinity for t = -s / d."""
    t = -SOME * pow(PRIVATE, -1, sm2_pure.N) % sm2_pure.N
    signature = ((t - SOME) % sm2_pure.N).to_bytes(32, "big") + SOME.to_bytes(32, "big")
    assert not sm2.verify_digest(sm2.public_key(PRIVATE), signature[:32], signature)


def test_key_off_the_curve_though_the_equation_holds(backend: str) -> None:
    """The formulas of addition never ask whether a point is on the curve."""
    x, y = sm2_pure.GENERATOR[0], 7
    x_s, y_s = sm2_pure.public_point(SOME)
    slope = (y_s - y) * pow(x_s - x, -1, sm2_pure.P)
    r = (1 - SOME) % sm2_pure.N  # so that t is 1, and the sum [s]G + Q
    digest = (r - (slope * slope - x_s - x) % sm2_pure.P) % sm2_pure.N
    assert sm2_pure.verify_digest((x, y), digest, r, SOME)
    point = b"\x04" + x.to_bytes(32, "big") + y.to_bytes(32, "big")
    signature = r.to_bytes(32, "big") + SOME.to_bytes(32, "big")
    assert not sm2.verify_digest(point, digest.to_bytes(32, "big"), signature)


def test_key_that_lost_a_zero_is_no_key(backend: str) -> None:
    private = 107  # the first whose y begins with a zero
    point = sm2.public_key(private)
    assert point[33] == 0
    digest = sm2.message_digest(point, MESSAGE)
    signature = sm2.sign(private, MESSAGE)
    assert sm2.verify_digest(point, digest, signature)
    assert not sm2.verify_digest(point[:33] + point[34:], digest, signature)


NONCE = 6
X = sm2_pure.public_point(NONCE)[0]
NO_SIGNATURE = {
    "r zero": -X,
    "s zero": NONCE * pow(PRIVATE, -1, sm2_pure.N) - X,
    "r + k the order": -NONCE - X,
}
"""The digests for which this nonce must not be used (GB/T 32918.2, 6.1, A5 and A6)."""


@pytest.mark.parametrize("case", NO_SIGNATURE)
def test_nonce_that_gives_no_signature(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = NO_SIGNATURE[case] % sm2_pure.N
    with pytest.raises(ValueError, match="this nonce gives no signature"):
        sm2_pure.sign_digest(PRIVATE, digest, NONCE)
    drawn = iter((NONCE - 1, NONCE))
    monkeypatch.setattr(sm2_pure.secrets, "randbelow", lambda _: next(drawn))
    assert sm2_pure.sign_digest(PRIVATE, digest) == sm2_pure.sign_digest(PRIVATE, digest, NONCE + 1)


def test_nonce_is_drawn_among_all_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for drawn, nonce in ((lambda _: 0, 1), (lambda bound: bound - 1, sm2_pure.N - 1)):
        monkeypatch.setattr(sm2_pure.secrets, "randbelow", drawn)
        assert sm2.sign(ANNEX_PRIVATE, MESSAGE) == sm2.sign(ANNEX_PRIVATE, MESSAGE, nonce=nonce)


def test_user_id_is_signed(backend: str) -> None:
    signature = sm2.sign(ANNEX_PRIVATE, MESSAGE, b"ALICE123@YAHOO.COM")
    assert sm2.verify(POINT, MESSAGE, signature, b"ALICE123@YAHOO.COM")
    assert not sm2.verify(POINT, MESSAGE, signature)


def test_user_id_longer_than_its_length_field_is_refused() -> None:
    assert len(sm2.message_digest(POINT, MESSAGE, bytes(8_191))) == 32
    with pytest.raises(ValueError, match="user id is too long"):
        sm2.message_digest(POINT, MESSAGE, bytes(8_192))


scalars = st.one_of(
    st.integers(1, 40),
    st.integers(1, sm2_pure.N - 2),
    st.integers(1, 40).map(lambda small: sm2_pure.N - 1 - small),
)


@settings(max_examples=60, deadline=None)
@given(private=scalars, message=st.binary(max_size=80), flip=st.none() | st.integers(0, 511))
def test_backends_agree(private: int, message: bytes, flip: int | None) -> None:
    library = sm2_openssl.load()
    if library is None:
        pytest.skip("this system's libcrypto has no SM2")
    point = sm2.public_key(private)
    signature = bytearray(sm2.sign(private, message))
    if flip is not None:
        signature[flip >> 3] ^= 1 << (flip & 7)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < sm2_pure.N and 0 < s < sm2_pure.N):
        return
    digest = sm2.message_digest(point, message)
    key = (int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big"))
    by_python = sm2_pure.verify_digest(key, int.from_bytes(digest, "big"), r, s)
    assert by_python is library.verify_digest(point, digest, r, s)
    assert by_python is (flip is None)


@settings(max_examples=40, deadline=None)
@given(private=scalars)
def test_compression_round_trip(private: int) -> None:
    point = sm2.public_key(private)
    assert sm2.decompress(sm2.compress(point)) == point


GENERATOR = tuple(number.to_bytes(32, "big") for number in sm2_pure.GENERATOR)


def test_prefix_of_a_compressed_point_is_the_parity_of_y() -> None:
    x, y = GENERATOR
    opposite = (sm2_pure.P - sm2_pure.GENERATOR[1]).to_bytes(32, "big")
    assert sm2.public_key(1) == b"\x04" + x + y
    assert (y[-1] & 1, sm2.compress(b"\x04" + x + y)) == (0, b"\x02" + x)
    assert sm2.compress(b"\x04" + x + opposite) == b"\x03" + x
    assert sm2.decompress(b"\x02" + x) == b"\x04" + x + y
    assert sm2.decompress(b"\x03" + x) == b"\x04" + x + opposite


@pytest.mark.parametrize(
    ("compressed", "said"),
    [
        (b"", "not a compressed point"),
        (b"\x02" + GENERATOR[0][:-1], "not a compressed point"),
        (b"\x02" + GENERATOR[0] + b"\0", "not a compressed point"),
        (b"\x01" + GENERATOR[0], "not a compressed point"),
        (b"\x04" + GENERATOR[0], "not a compressed point"),
        (b"\x02" + b"\xff" * 32, "x is not a field element"),
        (b"\x02" + sm2_pure.P.to_bytes(32, "big"), "x is not a field element"),
        (b"\x03" + (3).to_bytes(32, "big"), "no point of the curve has this x"),
    ],
    ids=["empty", "short", "long", "prefix 1", "prefix 4", "x too large", "x is p", "no such x"],
)
def test_no_point(compressed: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sm2.decompress(compressed)


def test_no_point_at_infinity() -> None:
    with pytest.raises(ValueError, match="infinity"):
        sm2.public_key(sm2_pure.N)


@pytest.mark.parametrize("x", [0, sm2_pure.GENERATOR[0]], ids=["zero", "generator's"])
def test_coordinate_that_is_not_reduced_is_no_point(x: int) -> None:
    y = int.from_bytes(sm2.decompress(b"\x02" + x.to_bytes(32, "big"))[33:], "big")
    assert sm2_pure.is_on_curve(x, y)
    for over in (-sm2_pure.P, sm2_pure.P):
        assert not sm2_pure.is_on_curve(x + over, y)
        assert not sm2_pure.is_on_curve(x, y + over)
    assert not sm2_pure.is_on_curve(x, y + 1)


@pytest.mark.parametrize("width", [5, 8])
def test_table_holds_the_odd_multiples_that_a_window_needs(width: int) -> None:
    largest = 2 ** (width - 1) - 1
    assert sm2_pure._odd_multiples(sm2_pure.GENERATOR, width) == tuple(
        sm2_pure.public_point(number) for number in range(1, largest + 1, 2)
    )


# --- libcrypto -------------------------------------------------------------------------------------

KEY, CONTEXT = 0x7FFF_0000_0001, 0x7FFF_0000_0002
POINTER, SIZE, INT, BYTES = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_char_p


class Stub:
    """Stands where libcrypto does: hands out what the case says, and notes what comes back."""

    def __init__(self, *, key: int | None, context: int | None, init: int, verdict: int) -> None:
        self.returned: list[tuple[str, int | None]] = []
        self.given: list[Any] = []

        def read(_: None, der: Any, size: int) -> int | None:
            self.given.append(ctypes.string_at(der._obj, size))
            return key

        def verify(used: int, signature: bytes, size: int, digest: bytes, digest_size: int) -> int:
            self.given += [used, decode_dss_signature(signature[:size]), digest[:digest_size]]
            return verdict

        self.d2i_PUBKEY = read
        self.EVP_PKEY_CTX_new = lambda used, engine: context if (used, engine) == (key, None) else 1
        self.EVP_PKEY_verify_init = lambda used: init if used == context else 1
        self.EVP_PKEY_verify = verify
        self.EVP_PKEY_CTX_free = lambda used: self.returned.append(("context", used))
        self.EVP_PKEY_free = lambda used: self.returned.append(("key", used))
        self.ERR_clear_error = lambda: self.returned.append(("errors", None))


def stubbed(monkeypatch: pytest.MonkeyPatch, **says: Any) -> tuple[sm2_openssl.Libcrypto, Stub]:
    stub = Stub(**({"key": KEY, "context": CONTEXT, "init": 1, "verdict": 1} | says))
    monkeypatch.setattr(sm2_openssl.ctypes, "CDLL", {"libcrypto.so.3": stub}.__getitem__)
    return sm2_openssl.Libcrypto("libcrypto.so.3"), stub


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({}, True), ({"verdict": 0}, False), ({"verdict": -1}, False), ({"verdict": 2}, False),
        ({"init": 0}, False), ({"init": -2}, False), ({"init": 2}, False), ({"context": None}, False),
        ({"key": None}, False),
    ],
    ids=str,
)  # fmt: skip
def test_only_a_plain_yes_counts_and_all_is_freed(
    monkeypatch: pytest.MonkeyPatch, says: dict[str, Any], expected: bool
) -> None:
    library, stub = stubbed(monkeypatch, **says)
    assert library.verify_digest(POINT, bytes(range(32)), SOME, OTHER) is expected
    context = None if says.get("key", KEY) is None else says.get("context", CONTEXT)
    assert stub.returned == [("context", context), ("key", says.get("key", KEY)), ("errors", None)]


def test_library_is_given_the_key_the_numbers_and_the_digest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library, stub = stubbed(monkeypatch)
    library.verify_digest(POINT, bytes(range(32)), SOME, OTHER)
    der, *rest = stub.given
    assert der[-65:] == POINT
    assert rest == [CONTEXT, (SOME, OTHER), bytes(range(32))]


def test_types_are_those_of_the_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them ctypes would cut pointers to 32 bits."""
    _, stub = stubbed(monkeypatch)
    functions: dict[str, Any] = {
        name: found for name, found in vars(stub).items() if callable(found)
    }
    assert {name: (found.restype, found.argtypes) for name, found in functions.items()} == {
        "d2i_PUBKEY": (POINTER, (POINTER, ctypes.POINTER(BYTES), ctypes.c_long)),
        "EVP_PKEY_free": (None, (POINTER,)),
        "EVP_PKEY_CTX_new": (POINTER, (POINTER, POINTER)),
        "EVP_PKEY_CTX_free": (None, (POINTER,)),
        "EVP_PKEY_verify_init": (INT, (POINTER,)),
        "EVP_PKEY_verify": (INT, (POINTER, BYTES, SIZE, BYTES, SIZE)),
        "ERR_clear_error": (None, ()),
    }


class Verifier:
    """A library that is there, or not, and may lie."""

    def __init__(self, name: str) -> None:
        self.name = name

    def verify_digest(self, point: bytes, digest: bytes, r: int, s: int) -> bool:
        key = (int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big"))
        return sm2_pure.verify_digest(key, int.from_bytes(digest, "big"), r, s)


class AlwaysYes(Verifier):
    def verify_digest(self, *_: object) -> bool:
        return True


class AlwaysNo(Verifier):
    def verify_digest(self, *_: object) -> bool:
        return False


class Missing(Verifier):
    def __init__(self, name: str) -> None:
        raise OSError(name)


class Lacking(Verifier):
    def __init__(self, name: str) -> None:
        raise AttributeError(name)


THREE, FOUR = "libcrypto.so.3", "libcrypto.so.4"


@pytest.mark.parametrize(
    ("three", "four", "expected"),
    [
        (Verifier, Verifier, THREE), (Verifier, Missing, THREE), (Missing, Verifier, FOUR),
        (Lacking, Verifier, FOUR), (AlwaysYes, Verifier, FOUR), (AlwaysNo, Verifier, FOUR), (Missing, Missing, None),
        (Missing, Lacking, None), (AlwaysYes, AlwaysNo, None), (AlwaysNo, AlwaysYes, None),
    ],
)  # fmt: skip
def test_library_is_believed_once_it_told_a_good_signature_from_a_changed_one(
    monkeypatch: pytest.MonkeyPatch,
    three: type[Verifier],
    four: type[Verifier],
    expected: str | None,
) -> None:
    kinds = {THREE: three, FOUR: four}
    monkeypatch.setattr(sm2_openssl, "Libcrypto", lambda name: kinds[name](name))
    found = sm2_openssl.load.__wrapped__()
    assert (found.name if isinstance(found, Verifier) else found) == expected
