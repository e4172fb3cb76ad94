"""What ends by its date, in days, from real certificates."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.credential.issuers import Algorithm, IssuerKey
from agent.daemon.expiry import LOOK_EVERY_S, SOON_DAYS, Expiry, ExpiryWatch, Kind, ends
from agent.settings.load import parse
from agent.settings.model import Config
from agent.trust.snapshot import TrustSnapshot

NOW = 1_800_000_000
DAY = 86_400
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gate-1")])


def certificate(days: float) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    until = datetime.fromtimestamp(NOW, UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder().subject_name(NAME).issuer_name(NAME).public_key(key.public_key())
        .serial_number(1).not_valid_before(until - timedelta(days=800)).not_valid_after(until)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(Encoding.PEM)


def issuer(name: str, until: int) -> IssuerKey:
    return IssuerKey(name, b"12345678", Algorithm.ES256, object(), valid_until=until)


def settings(base: Path, **files: str) -> Config:
    lines = "".join(f'{name} = "{value}"\n' for name, value in files.items())
    return parse(
        f'[gate]\nsite = "s"\ngate = "g"\n[mqtt]\nurl = "mqtts://broker:8883"\n{lines}',
        source="test", base_dir=base,
    )  # fmt: skip


def days_of(found: dict[Kind, Expiry]) -> dict[str, float]:
    return {kind.value: each.days(NOW) for kind, each in found.items()}


def test_the_day_that_matters_of_each_kind(tmp_path: Path) -> None:
    (tmp_path / "gate.crt").write_bytes(certificate(20) + certificate(2))  # its issuer's after it
    (tmp_path / "ca.crt").write_bytes(certificate(5) + certificate(400) + certificate(9))
    config = settings(tmp_path, ca_file="ca.crt", cert_file="gate.crt", key_file="gate.key")
    trust = TrustSnapshot(
        keys=(
            issuer("city", NOW + 3 * DAY), issuer("city", NOW + 50 * DAY),
            issuer("bank", NOW + 40 * DAY), issuer("old", 2**53),
        ),
        version=4, expires_at=NOW + 29 * DAY,
    )  # fmt: skip
    found = ends(config, trust, broker_until=NOW + 60 * DAY)
    assert days_of(found) == {
        "client_certificate": 20, "ca_certificate": 400, "broker_certificate": 60, "issuer": 40,
        "trust_set": 29,
    }  # fmt: skip
    assert found[Kind.CLIENT].name == "gate.crt"
    assert found[Kind.ISSUER].name == "issuer bank"


def test_what_has_no_end_or_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "gate.crt").write_bytes(b"no certificate")
    config = settings(tmp_path, ca_file="missing.crt", cert_file="gate.crt", key_file="gate.key")
    trust = TrustSnapshot(keys=(issuer("old", 2**53),))
    assert ends(config, trust, broker_until=None) == {}
    alone = parse('[gate]\nsite = "s"\ngate = "g"\n', source="test", base_dir=tmp_path)
    assert ends(alone, trust, broker_until=NOW) == {}


@dataclass
class Noted:
    """Takes faults and keeps those that are open, and what was said."""

    open: dict[str, str] = field(default_factory=dict)

    def begin(self, part: str, code: str, detail: str) -> None:
        self.open[f"{part}:{code}"] = detail

    def end(self, part: str, code: str) -> None:
        self.open.pop(f"{part}:{code}", None)


@pytest.mark.parametrize("kind", list(Kind))
def test_soon_is_a_fault_until_it_is_renewed(kind: Kind) -> None:
    noted = Noted()
    watch = ExpiryWatch(noted)  # type: ignore[arg-type]
    limit = SOON_DAYS[kind]

    def look(days: float) -> None:
        watch.look([Expiry(kind, "it", NOW + days * DAY)], now=NOW, monotonic=0.0)

    look(limit)
    assert noted.open == {}
    look(limit - 0.5)
    assert noted.open == {f"expiry:{kind.value}": f"it: expires in {limit - 0.5:.0f} days"}
    look(-2)
    assert noted.open == {f"expiry:{kind.value}": "it: expired 2 days ago"}
    assert watch.days == {kind.value: -2}
    look(limit + 300)
    assert noted.open == {}
    look(-1)
    watch.look([], now=NOW, monotonic=0.0)  # it is gone, as an issuer's key is from a new set
    assert (noted.open, watch.days) == ({}, {})


def test_it_looks_once_an_hour() -> None:
    watch = ExpiryWatch(Noted())  # type: ignore[arg-type]
    assert watch.due(50.0)
    watch.look([], now=NOW, monotonic=50.0)
    assert not watch.due(50.0 + LOOK_EVERY_S - 1)
    assert watch.due(50.0 + LOOK_EVERY_S)
