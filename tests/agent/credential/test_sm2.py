"""SM2: the published vectors through both backends, and the backends against each other."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.credential import sm2, sm2_openssl, sm2_pure
from tests.support.paths import SHARED

VECTORS = SHARED / "vectors" / "sm2" / "vectors.json"
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
    if not VECTORS.exists():
        pytest.skip("the shared SM2 vectors are not beside this checkout")
    return json.loads(VECTORS.read_text())


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


def test_user_id_is_signed(backend: str) -> None:
    signature = sm2.sign(ANNEX_PRIVATE, MESSAGE, b"ALICE123@YAHOO.COM")
    assert sm2.verify(POINT, MESSAGE, signature, b"ALICE123@YAHOO.COM")
    assert not sm2.verify(POINT, MESSAGE, signature)


def test_user_id_longer_than_its_length_field_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
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


@pytest.mark.parametrize(
    "compressed",
    [
        b"",
        b"\x02" + bytes(31),
        b"\x04" + bytes(32),
        b"\x02" + b"\xff" * 32,
        b"\x02" + sm2_pure.P.to_bytes(32, "big"),
        b"\x03" + (3).to_bytes(32, "big"),
    ],
    ids=["empty", "short", "uncompressed prefix", "x too large", "x is p", "no such x"],
)
def test_no_point(compressed: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a|no point"):
        sm2.decompress(compressed)


def test_no_point_at_infinity() -> None:
    with pytest.raises(ValueError, match="infinity"):
        sm2.public_key(sm2_pure.N)


def test_coordinate_that_is_not_reduced_is_no_point() -> None:
    x, y = next(
        (x, int.from_bytes(point[33:], "big"))
        for x in range(1, 100)
        if (point := decompressed(x)) is not None
    )
    assert sm2_pure.is_on_curve(x, y)
    assert not sm2_pure.is_on_curve(x + sm2_pure.P, y)
    assert not sm2_pure.is_on_curve(x, y - sm2_pure.P)


def decompressed(x: int) -> bytes | None:
    try:
        return sm2.decompress(b"\x02" + x.to_bytes(32, "big"))
    except ValueError:
        return None
