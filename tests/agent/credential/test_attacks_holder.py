"""Attacks on the presentation: the holder's signature, key and token around a credential."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.credential import base45, cbor
from agent.credential.numbers import Claim, Header, Tag
from agent.issuing import issue
from agent.reason import Reason

NOW = 1_800_000_000
DROP = object()
MISMATCH, MALFORMED, BAD_TIME = Reason.ALGORITHM_MISMATCH, Reason.MALFORMED, Reason.BAD_TIME


def _kept(mapping: dict) -> dict:
    return {key: value for key, value in mapping.items() if value is not DROP}


def _presentation(pilot, *, key=None, header=None, claims=None, token=None, tag=True) -> str:
    token = token or pilot.credential()
    inner = cbor.decode(token, tags=(Tag.SIGN1,))
    protected = {Header.KCWT: inner if tag else inner.value, Header.TYP: 294} | (header or {})
    body = {Claim.AUD: "station", Claim.IAT: NOW} | (claims or {})
    return pilot.code(issue.sign1(key or pilot.holder.key, _kept(body), header=_kept(protected)))


HOLDER_ATTACKS: dict[str, tuple[Callable[..., str], Reason]] = {
    "honest": (_presentation, Reason.GRANTED),
    "signed with another phone's key": (
        lambda pilot: _presentation(pilot, key=issue.SigningKey.new("ES256")),
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "signed with the issuer's key": (
        lambda pilot: _presentation(pilot, key=pilot.city.key),
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "another holder's credential": (
        lambda pilot: _presentation(
            pilot,
            token=issue.sign_credential(
                pilot.city, issue.Holder.new(), subject="7", issued_at=NOW, valid_until=NOW + 9
            ),
        ),
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "key of another algorithm": (
        lambda pilot: _presentation(pilot, key=issue.SigningKey.new("EdDSA")),
        MISMATCH,
    ),
    "credential without cnf": (
        lambda pilot: _presentation(
            pilot,
            token=issue.sign_credential(
                pilot.city, None, subject="7", issued_at=NOW, valid_until=NOW + 9
            ),
        ),
        Reason.MISSING_CLAIM,
    ),
    "key in the unprotected header": (
        lambda pilot: _presentation(
            pilot, key=issue.SigningKey.new("ES256"), header={-1: pilot.holder.cose_key()}
        ),
        Reason.BAD_HOLDER_SIGNATURE,
    ),
    "cnf by kid": (
        lambda pilot: _presentation(pilot, token=pilot.credential(claims={8: {3: b"kid"}})),
        MALFORMED,
    ),
    "cnf with a key and a kid": (
        lambda pilot: _presentation(
            pilot, token=pilot.credential(claims={8: {1: pilot.holder.cose_key(), 3: b"k"}})
        ),
        MALFORMED,
    ),
    "cnf a point off the curve": (
        lambda pilot: _presentation(
            pilot,
            token=pilot.credential(claims={8: {1: pilot.holder.cose_key() | {-3: b"\x01" * 32}}}),
        ),
        MALFORMED,
    ),
    "cnf a compressed point": (
        lambda pilot: _presentation(
            pilot, token=pilot.credential(claims={8: {1: pilot.holder.cose_key() | {-3: True}}})
        ),
        MALFORMED,
    ),
    "cnf a short x": (
        lambda pilot: _presentation(
            pilot,
            token=pilot.credential(claims={8: {1: pilot.holder.cose_key() | {-2: b"\x01" * 31}}}),
        ),
        MALFORMED,
    ),
    "cnf a symmetric key": (
        lambda pilot: _presentation(
            pilot, token=pilot.credential(claims={8: {1: {1: 4, -1: b"k"}}})
        ),
        MALFORMED,
    ),
    "cnf an Ed448 key": (
        lambda pilot: _presentation(
            pilot, token=pilot.credential(claims={8: {1: {1: 1, -1: 7, -2: b"k" * 57}}})
        ),
        MALFORMED,
    ),
    "cnf with the private key": (
        lambda pilot: _presentation(
            pilot,
            token=pilot.credential(claims={8: {1: pilot.holder.cose_key() | {-4: b"d" * 32}}}),
        ),
        MALFORMED,
    ),
    "cnf of kty true": (
        lambda pilot: _presentation(
            pilot, token=pilot.credential(claims={8: {1: {1: True, -1: 6, -2: b"k" * 32}}})
        ),
        MALFORMED,
    ),
    "cnf whose alg is another": (
        lambda pilot: _presentation(
            pilot, token=pilot.credential(claims={8: {1: pilot.holder.cose_key() | {3: -8}}})
        ),
        MISMATCH,
    ),
    "no typ": (lambda pilot: _presentation(pilot, header={Header.TYP: DROP}), MALFORMED),
    "typ of a credential": (
        lambda pilot: _presentation(pilot, header={Header.TYP: 293}),
        MALFORMED,
    ),
    "typ as text": (
        lambda pilot: _presentation(pilot, header={Header.TYP: "application/kb+cwt"}),
        MALFORMED,
    ),
    "kcwt untagged": (lambda pilot: _presentation(pilot, tag=False), MALFORMED),
    "kcwt bytes": (
        lambda pilot: _presentation(pilot, header={Header.KCWT: pilot.credential()}),
        MALFORMED,
    ),
    "kcwt null": (lambda pilot: _presentation(pilot, header={Header.KCWT: None}), MALFORMED),
    "a token under another label": (
        lambda pilot: _presentation(
            pilot, header={99: cbor.decode(pilot.credential(), tags=(Tag.SIGN1,))}
        ),
        MALFORMED,
    ),
    "no aud": (lambda pilot: _presentation(pilot, claims={Claim.AUD: DROP}), Reason.MISSING_CLAIM),
    "no iat": (lambda pilot: _presentation(pilot, claims={Claim.IAT: DROP}), Reason.MISSING_CLAIM),
    "iat a float": (lambda pilot: _presentation(pilot, claims={Claim.IAT: float(NOW)}), BAD_TIME),
    "iat infinite": (
        lambda pilot: _presentation(pilot, claims={Claim.IAT: float("inf")}),
        BAD_TIME,
    ),
    "iat NaN": (lambda pilot: _presentation(pilot, claims={Claim.IAT: float("nan")}), BAD_TIME),
    "iat negative": (lambda pilot: _presentation(pilot, claims={Claim.IAT: -NOW}), BAD_TIME),
    "unknown critical header": (
        lambda pilot: _presentation(pilot, header={Header.CRIT: [99], 99: 0}),
        Reason.UNKNOWN_CRITICAL_HEADER,
    ),
    "kcwt as critical": (
        lambda pilot: _presentation(pilot, header={Header.CRIT: [13, 16]}),
        Reason.GRANTED,
    ),
}


@pytest.mark.parametrize("name", HOLDER_ATTACKS)
def test_attack_on_the_presentation(pilot, name):
    make, expected = HOLDER_ATTACKS[name]
    assert pilot.reason(make(pilot)) is expected


def test_a_key_binding_token_around_another_token(pilot):
    inner = base45.decode(_presentation(pilot)[4:].encode())
    assert pilot.reason(_presentation(pilot, token=inner)) is MALFORMED
    # and one without its credential is no credential
    alone = issue.sign1(
        pilot.holder.key, {Claim.AUD: "*", Claim.IAT: NOW}, header={Header.TYP: 294}
    )
    assert pilot.reason(pilot.code(alone)) is MALFORMED


def test_a_presentation_laid_around_another_credential(pilot):
    """The holder's signature covers the credential: it cannot be exchanged afterwards."""
    mine = cbor.decode(base45.decode(_presentation(pilot)[4:].encode()), tags=(18,)).value
    other = pilot.credential(subject="43")
    header = cbor.decode(mine[0], tags=(18,), tag_depth=1)
    header[Header.KCWT] = cbor.decode(other, tags=(18,))
    mine[0] = cbor.encode(header)
    assert (
        pilot.reason(pilot.code(cbor.encode(cbor.Tagged(18, mine)))) is Reason.BAD_HOLDER_SIGNATURE
    )
