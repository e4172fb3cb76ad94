"""Whole verify of a native code against the bare signature verifications in `cryptography`.

Bare is what nobody can leave out: `verify` with the issuer's key at hand, and for a dynamic code also
the holder's key made from its point, since every code brings another, and `verify` with it. The
ratio to the two `verify` calls alone is printed beside it.

Ratios in one run: the two are timed in turns, so that a busy machine slows both. Run as a script or
with `pytest -m bench tests/bench/bench_verify.py`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.credential import base45, cose, keys, registry
from agent.credential.issuers import IssuerKey
from agent.credential.model import FormatName
from agent.credential.numbers import Header
from agent.issuing import issue

pytestmark = pytest.mark.bench

NOW = 1_800_000_000
ROUNDS = 3_000


class Keys:
    """One issuer's key."""

    def __init__(self, key: IssuerKey) -> None:
        self.found = {key.kid: (key,)}
        self.short = {key.kid[:4]: (key,)}

    def by_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        return self.found.get(kid, ())

    def by_short_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        return self.short.get(kid, ())

    def for_format(self, name: FormatName) -> Sequence[IssuerKey]:
        return ()

    def roots(self) -> Sequence[IssuerKey]:
        return ()


def _paired(whole: Callable[[], object], bare: Callable[[], object]) -> tuple[float, float]:
    """Return seconds of both: the first quintile of single calls that take turns.

    A busy machine makes the slow calls slower, not the quick ones; so the quick ones are compared.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for run, found in zip((whole, bare), times, strict=True):
            start = time.perf_counter()
            run()
            found.append(time.perf_counter() - start)
    return tuple(statistics.quantiles(found, n=5)[0] for found in times)


def _der(message: cose.Sign1) -> tuple[bytes, bytes]:
    r, s = message.signature[:32], message.signature[32:]
    der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
    return der, cose.signed_bytes(message)


def measure() -> dict[str, tuple[float, float]]:
    """Return name -> (whole, bare) in seconds, ES256 throughout."""
    issuer, holder = issue.new_issuer("city"), issue.Holder.new()
    trusted = issuer.issuer_key(iss=frozenset({issuer.iss}))
    credential = issue.sign_credential(
        issuer, holder, subject="8f14e45fceea167a", issued_at=NOW - 86_400,
        valid_until=NOW + 86_400, level=2, birth_date="1990-01-31", regions=["CN-BJ"],
        references=[issue.face_template(bytes(range(128)), "face-128")],
    )  # fmt: skip
    compact_text, redacted_text = _compact(issuer, holder)
    source = Keys(trusted)
    rules = registry.ReadRules(now=NOW, clock_trusted=True, site="station", gate="g1")
    scheme, curve = ec.ECDSA(hashes.SHA256()), ec.SECP256R1()

    outer_text = issue.present(credential, holder, at=NOW, audience="station/g1").encode()
    outer = cose.parse_sign1(base45.decode(outer_text[4:]), kcwt=True)
    inner = cose.sign1_of(outer.protected[Header.KCWT].value)
    static_text = issue.present(credential).encode()
    _, holder_key = keys.from_cose_key(holder.cose_key())
    issuers, holders = _der(inner), _der(outer)
    point = holder_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def bare_static() -> None:
        trusted.public_key.verify(*issuers, scheme)

    def bare_dynamic() -> None:
        trusted.public_key.verify(*issuers, scheme)
        key = ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
        key.verify(*holders, scheme)

    def two_calls() -> None:
        trusted.public_key.verify(*issuers, scheme)
        holder_key.verify(*holders, scheme)

    def whole(text: bytes) -> None:
        registry.read(text, keys=source, rules=rules)

    return {
        "dynamic": _paired(lambda: whole(outer_text), bare_dynamic),
        "static": _paired(lambda: whole(static_text), bare_static),
        "version 2, dynamic": _paired(lambda: whole(compact_text), bare_dynamic),
        "version 2, redacted": _paired(lambda: whole(redacted_text), bare_dynamic),
        "dynamic, to verify() alone": _paired(lambda: whole(outer_text), two_calls),
    }


def _compact(issuer: issue.Issuer, holder: issue.Holder) -> tuple[bytes, bytes]:
    """Return dynamic codes of version 2: with the same contents, and with all of it redacted."""
    texts = []
    for redacted in ((), tuple(issue.Redact)):
        credential = issue.sign_credential(
            issuer, holder, subject="8f14e45fceea167a", issued_at=NOW - 86_400,
            valid_until=NOW + 86_400, level=2, birth_date="1990-01-31", regions=["CN-BJ"],
            references=[issue.face_template(bytes(range(128)), "face-embed-v1")], version=2,
            redacted=redacted,
        )  # fmt: skip
        text = issue.present(credential, holder, at=NOW, audience="station/g1")
        texts.append(text.encode())
    return texts[0], texts[1]


LIMITS = {"dynamic": 1.6, "static": 1.8, "version 2, dynamic": 1.75}


def report() -> dict[str, float]:
    """Measure, print, and return the ratios."""
    ratios = {}
    for name, (whole, bare) in measure().items():
        ratios[name] = whole / bare
        limit = f"limit {LIMITS[name]}" if name in LIMITS else "for comparison"
        print(
            f"{name:26} whole {whole * 1e6:6.1f} us  bare {bare * 1e6:6.1f} us  "
            f"ratio {whole / bare:.2f} ({limit})"
        )
    return ratios


def test_verify_costs_little_more_than_its_signatures():
    ratios = report()
    for name, limit in LIMITS.items():
        assert ratios[name] <= limit


if __name__ == "__main__":
    report()
