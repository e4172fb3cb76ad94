"""Whatever lies in a trust directory, the answer is a snapshot or one line: properties, not cases."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.trust.directory import load_directory
from agent.trust.model import TrustError
from agent.trust.roster import RosterEntry, load_roster, write_roster
from tests.agent.trust.test_directory import P384, SM2_PEM, ec_jwk
from tests.agent.trust.test_status import KEY
from tests.support.trust_keys import MEMORY, NOW, certificate, public_pem
from tests.support.trust_sets import new_public_pem

GENUINE = [
    new_public_pem(),
    public_pem(P384),
    SM2_PEM,
    ec_jwk(KEY),
    certificate(KEY).public_bytes(Encoding.DER),
]
SUFFIXES = st.sampled_from([".pem", ".der", ".jwk", ".cose"])


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Draw a genuine file with a stretch of it replaced."""
    data = draw(st.sampled_from(GENUINE))
    start = draw(st.integers(0, len(data)))
    end = draw(st.integers(start, min(len(data), start + 40)))
    return data[:start] + draw(st.binary(max_size=40)) + data[end:]


def attempt(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        for file, data in files.items():
            Path(name, file).write_bytes(data)
        snapshot = load_directory(Path(name), now=NOW)
        assert snapshot.keys or snapshot.set_aside
        for entry in snapshot.set_aside:
            assert entry.file in files
            assert str(entry).isprintable()
            assert name not in str(entry)


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=200) | spoiled(), SUFFIXES)
@example(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", ".pem")
@example(b"\xff" * 9, ".jwk")
def test_any_key_file(data: bytes, suffix: str) -> None:
    attempt({f"k{suffix}": data})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2),
)
MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "point", "d", "keys"])
WORDS = st.sampled_from(["EC", "OKP", "RSA", "oct", "P-256", "SM2", "Ed25519", "AQAB", "AA", "04"])


@settings(max_examples=250, deadline=None)
@given(st.dictionaries(MEMBERS, WORDS | JSON, max_size=7))
def test_any_jwk(jwk: dict[str, object]) -> None:
    attempt({"k.jwk": json.dumps(jwk).encode()})


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=100) | st.sampled_from(["kid = 5", "issuer = ''", "kinds = 'x'", "valid_from = 1979-05-27T07:32:00.999999Z", "valid_until = 9999-12-31", "valid_from = 0001-01-01", "valid_from = 07:32:00", "iss = [1]", "roles = [[]]", "kid = ''"]))  # fmt: skip
def test_any_description(text: str) -> None:
    attempt({"k.pem": GENUINE[0], "k.toml": text.encode("utf-8", "replace")})


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_roster(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        path = Path(name, "r.roster")
        write_roster(
            path,
            [RosterEntry("a"), RosterEntry("b", zone="z")],
            key=b"k" * 32,
            blocks=True,
            created=NOW,
        )
        whole = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        try:
            roster = load_roster(path, b"k" * 32)
        except TrustError as error:
            refusal = str(error)
        else:  # the header's time of making, or a zone's name: who is listed is under the digest
            assert (len(roster), roster.lists("i", "a", NOW)) == (2, True)
            return
        assert str(path) in refusal


@pytest.mark.parametrize("suffix", [".pem", ".cose", ".jwk"])
def test_a_file_of_zeros_is_read_no_further_than_its_limit(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"k{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(TrustError, match="larger than"):
        load_directory(tmp_path, now=NOW, strict=True)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (
            "k.pem",
            b"-----BEGIN " + b"X" * 9_000 + b"-----\nAA==\n-----END " + b"X" * 9_000 + b"-----",
        ),
        ("k.toml", b"y" * 9_000 + b" = 1"),
        ("k.toml", b'kinds = ["' + b"y" * 9_000 + b'"]'),
    ],
    ids=["label", "key", "value"],
)
def test_a_refusal_is_a_line_and_not_the_file(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / "k.pem").write_bytes(GENUINE[0])
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TrustError) as caught:
        load_directory(tmp_path, now=NOW, strict=True)
    assert len(str(caught.value)) < 1_500
    (entry,) = load_directory(tmp_path, now=NOW).set_aside
    assert len(str(entry)) < 450


DEEP = {"k.jwk": b'{"a":' * 40_000, "l.jwk": b"{" * 100_000, "m.toml": b"kid = " + b"[" * 60_000}


@pytest.mark.parametrize("name", DEEP)
def test_deep_nesting_is_a_fault_like_any_other(name: str) -> None:
    attempt({"m.pem": GENUINE[0], name: DEEP[name]})
