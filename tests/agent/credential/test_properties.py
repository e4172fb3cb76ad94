"""Native codes as properties: what is issued is read; what is damaged is refused, and only refused."""

from __future__ import annotations

import cwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.credential import base45, cbor, disclosure, native
from agent.credential.model import Kind, Level, Rejected, StatusReference
from agent.credential.numbers import Claim
from agent.issuing import issue
from agent.reason import Reason

NOW = 1_800_000_000
COMMON = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)

BIOMETRICS = st.one_of(
    st.builds(issue.face_template, st.binary(min_size=1, max_size=200), st.text(max_size=12)),
    st.builds(
        issue.finger_template, st.binary(min_size=1, max_size=200), st.text(max_size=12),
        st.integers(50, 59),
    ),
)  # fmt: skip
CREDENTIALS = st.fixed_dictionaries(
    {"subject": st.text(min_size=1, max_size=40), "issued_at": st.integers(0, NOW), "valid_until": st.integers(NOW, 2**37)},
    optional={
        "kind": st.sampled_from(Kind),
        "level": st.sampled_from(Level),
        "birth_date": st.dates().map(str),
        "regions": st.lists(st.from_regex(r"\A[A-Z]{2}(-[A-Z0-9]{1,3})?\Z"), max_size=5, unique=True),
        "status": st.builds(
            StatusReference, st.text(min_size=1, max_size=40), st.integers(0, 2**32 - 1)
        ),
        "cti": st.binary(min_size=1, max_size=64),
        "references": st.lists(BIOMETRICS, max_size=3),
        "version": st.just(1),
    },
) | st.fixed_dictionaries(
    {"subject": st.text(min_size=1, max_size=40) | st.binary(min_size=1, max_size=70).map(bytes.hex),
     "issued_at": st.integers(0, NOW), "valid_until": st.integers(NOW, 2**37), "version": st.just(2)},
    optional={
        "kind": st.sampled_from(Kind),
        "level": st.sampled_from(Level),
        "birth_date": st.dates().map(str),
        "references": st.lists(BIOMETRICS, max_size=3),
        "ages": st.lists(st.integers(1, 150), max_size=9),
        "redacted": st.lists(st.sampled_from(issue.Redact), max_size=5),
    },
)  # fmt: skip


@COMMON
@given(fields=CREDENTIALS, dynamic=st.booleans(), sealed=st.booleans())
def test_what_is_issued_is_read(pilot, fields, dynamic, sealed):
    credential = issue.sign_credential(pilot.city, pilot.holder, **fields)
    dynamic = dynamic or bool(fields.get("redacted"))
    text = issue.present(
        credential,
        pilot.holder if dynamic else None,
        at=NOW,
        site_key=b"k" * 32 if sealed else None,
    )
    if len(text) > 4296:
        assert pilot.reason(text) is Reason.TOO_LARGE
        return
    if "status" in fields and not fields["status"].uri:
        return
    read = pilot.read(text)
    assert (read.subject, read.dynamic) == (fields["subject"], dynamic)
    assert (read.issued_at, read.valid_until) == (fields["issued_at"], fields["valid_until"])
    assert read.kind == fields.get("kind", Kind.ONLINE_ID)
    assert read.level == fields.get("level", Level.BASIC)
    assert read.birth_date == fields.get("birth_date")
    assert read.regions == set(fields.get("regions", ()))
    assert read.status == fields.get("status")
    assert set(read.references) == set(fields.get("references", ()))
    assert read.ages == set(fields.get("ages", ()))
    assert read.undisclosed == 0


@COMMON
@given(
    st.binary(max_size=400),
    st.sampled_from(["", "NI1:", "NI1:6BF", "NI1:NCF", "NI1:C90", "NI2:6BF"]),
)
def test_any_bytes_are_refused(pilot, data, prefix):
    payload = prefix.encode() + data
    assert pilot.reason(payload) is not Reason.GRANTED
    for prefix in ("NI1:", "NI2:"):
        assert pilot.reason(prefix + base45.encode(data)) is not Reason.GRANTED


@COMMON
@given(data=st.data(), version=st.sampled_from([1, 2]))
def test_a_damaged_code_is_refused(pilot, data, version):
    """Any change of a signed byte is refused; the unsigned rest of a token is its empty header."""
    more = {"ages": [18], "redacted": ["ages"]} if version == 2 else {}
    code = pilot.dynamic(pilot.credential(version=version, **more))
    honest = base45.decode(code[4:].encode())
    raw = bytearray(honest)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(raw) - 1))
        raw[where] ^= data.draw(st.integers(1, 255))
    if bytes(raw) != honest:
        assert pilot.reason(code[:4] + base45.encode(bytes(raw))) is not Reason.GRANTED


VALUES = st.recursive(
    st.one_of(
        st.integers(-(2**64), 2**64 - 1), st.booleans(), st.none(), st.binary(max_size=8),
        st.text(max_size=8), st.floats(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.integers(0, 70), st.text(max_size=4)), inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip


@COMMON
@given(
    claim=st.sampled_from(Claim),
    value=VALUES,
    dynamic=st.booleans(),
    version=st.sampled_from([1, 2]),
)
def test_any_signed_value_in_any_claim_is_read_or_refused(pilot, claim, value, dynamic, version):
    """Even a trusted issuer's nonsense raises nothing but `Rejected`, straight from the format."""
    credential = pilot.credential(claims={claim: value}, version=version)
    claims = {claim: value} if dynamic else None
    text = pilot.dynamic(credential, claims=claims) if dynamic else pilot.static(credential)
    try:
        read = native.read(text.encode(), pilot.keys, pilot.rules())
    except Rejected as error:
        assert error.reason in Reason  # noqa: PT017 - any reason, no other error
    else:
        assert read.issuer == "city"


@COMMON
@given(value=VALUES)
def test_any_signed_identity_is_read_or_refused(pilot, value):
    for key in (8, 50, 62):
        text = pilot.static(pilot.credential(claims={Claim.IDENTITY: {key: value}}))
        try:
            native.read(text.encode(), pilot.keys, pilot.rules())
        except Rejected as error:
            assert error.reason is Reason.MALFORMED  # noqa: PT017 - as above


REDACTED = st.recursive(
    st.one_of(VALUES, st.binary(min_size=32, max_size=32)),
    lambda inner: st.one_of(
        st.lists(st.one_of(inner, st.builds(cbor.Tagged, st.just(60), inner)), max_size=3),
        st.dictionaries(st.one_of(st.integers(0, 70), st.just(cbor.REDACTED)), inner, max_size=3),
    ),
    max_leaves=5,
)


@COMMON
@given(value=REDACTED, disclosed=st.lists(REDACTED, max_size=3), fits=st.booleans())
def test_anything_redacted_is_read_or_refused(pilot, value, disclosed, fits):
    """What an issuer signs as digests, and what a holder says of them; some of it fits."""
    raws = [cbor.encode(each) for each in disclosed]
    digests = [disclosure.digest_of(raw) for raw in raws]
    identity = {cbor.REDACTED: digests, 4: value} if fits else value
    parts = cbor.decode(pilot.credential(version=2, claims={Claim.IDENTITY: identity}), tags=(18,))
    parts.value[1] = {17: raws}
    try:
        read = native.read(pilot.dynamic(cbor.encode(parts)).encode(), pilot.keys, pilot.rules())
    except Rejected as error:
        assert error.reason is Reason.MALFORMED  # noqa: PT017 - as above
    else:
        assert read.issuer == "city"


@COMMON
@given(value=VALUES)
def test_any_signed_ticket_is_read_or_refused(pilot, value):
    for claims in ({Claim.DETAILS: value}, {Claim.CNF: value}, {Claim.STATUS: value}):
        text = pilot.dynamic(ticket=pilot.ticket(claims=claims))
        try:
            native.read(text.encode(), pilot.keys, pilot.rules())
        except Rejected as error:
            assert error.reason is Reason.TICKET_INVALID  # noqa: PT017 - as above


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_python_cwt_reads_what_we_issue(algorithm):
    """The credential is a plain CWT: another implementation verifies it and sees the same claims."""
    city = issue.new_issuer("city", algorithm)
    token = issue.sign_credential(
        city, None, subject="42", issued_at=NOW - 5, valid_until=4_000_000_000, cti=b"c"
    )
    pem = city.key.private.public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )
    oracle = cwt.COSEKey.from_pem(pem, alg=algorithm, kid=city.kid)
    payload = cwt.COSE.new().decode(token, oracle)
    ours = cbor.decode(cbor.decode(token, tags=(18,)).value[2])
    assert (cbor.decode(payload) if isinstance(payload, bytes) else payload) == ours
    assert ours[Claim.SUB] == "42"
