"""Every format verified with trust as an operator lays it down: files in a plain directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.credential import registry
from agent.credential.issuers import Algorithm
from agent.credential.model import FormatName, Kind
from agent.issuing.keys import SigningKey
from agent.trust.directory import load_directory
from tests.support import makers as make


def public_pem(private: object) -> bytes:
    key = private.public_key()  # type: ignore[attr-defined]
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


SIGNER = make.DIRECT.but(private=make.ec_key(), issuer="Country", signer=make.ec_key(9))

CASES: dict[str, tuple[Callable[[], bytes], bytes, str, Callable[[bytes], bytes]]] = {
    "transit": (
        lambda: SigningKey(Algorithm.SM2, make.CA).public_pem(),
        b".pem",
        f'root = true\nformats = ["transit"]\nkid = "{make.CA_NAME.hex()}"\n',
        lambda _kid: make.Ride().code(),
    ),
    "transit, CA under its default kid": (
        lambda: SigningKey(Algorithm.SM2, make.CA).public_pem(),
        b".pem",
        'root = true\nformats = ["transit"]\n',
        lambda _kid: make.Ride().code(),
    ),
    "aadhaar": (
        lambda: public_pem(make.rsa_key()),
        b".pem",
        'formats = ["aadhaar"]\nalgorithm = "RS256"\nkinds = ["national-id"]\n',
        lambda _kid: make.aadhaar(),
    ),
    "pretix": (
        lambda: public_pem(make.ed_key()),
        b".pem",
        'formats = ["pretix"]\n',
        lambda _kid: make.pretix(),
    ),
    "claim169": (
        lambda: public_pem(make.ec_key()),
        b".pem",
        'formats = ["claim169"]\nkid_text = "key-1"\n',
        lambda _kid: make.claim169(),
    ),
    "claim169, by a chain": (
        make.ROOT.der,
        b".der",
        'root = true\nformats = ["claim169"]\n',
        lambda _kid: make.claim169(
            private=make.ec_key(102),
            kid=None,
            unprotected={33: [make.LEAF.der(), make.MIDDLE.der()]},
        ),
    ),
    "dcc": (SIGNER.der, b".der", 'formats = ["dcc"]\n', lambda kid: make.dcc(kid=kid)),
}


@pytest.mark.parametrize("case", CASES)
def test_reads_with_trust_from_files(case: str, tmp_path: Path) -> None:
    key, suffix, description, code = CASES[case]
    (tmp_path / f"authority{suffix.decode()}").write_bytes(key())
    (tmp_path / "authority.toml").write_text(description)
    trusted = load_directory(tmp_path, now=make.NOW)
    kid = trusted.keys[0].kid
    credential = registry.read(code(kid), keys=trusted, rules=make.RULES)
    assert credential.issuer == "authority"
    assert credential.format is FormatName(case.split(",", maxsplit=1)[0])
    assert credential.kind in Kind
