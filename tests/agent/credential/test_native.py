"""The native profile: what comes out of a good code, and when a good code is not good here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.credential import base45, cbor, checks
from agent.credential.model import (
    FormatName,
    Kind,
    Level,
    Modality,
    ReferenceForm,
    StatusReference,
)
from agent.credential.numbers import SD_CWT_TYP, Claim, Header
from agent.issuing import issue
from agent.reason import Reason
from tests.support.refusals import refused

NOW = 1_800_000_000
DAY = 86_400
ALGORITHMS = ("ES256", "ES384", "EdDSA", "PS256", "SM2")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("holder_algorithm", [None, "ES256", "ES384", "EdDSA"])
def test_every_algorithm_round_trips(pilot, algorithm, holder_algorithm):
    city = issue.new_issuer("city", algorithm)
    holder = holder_algorithm and issue.Holder.new(holder_algorithm)
    credential = issue.sign_credential(
        city, holder, subject="42", issued_at=NOW - 5, valid_until=NOW + 5
    )
    text = issue.present(credential, holder, at=NOW)
    read = pilot.read(text, keys=pilot.trusting(city.issuer_key()))
    assert (read.issuer, read.subject, read.dynamic) == ("city", "42", bool(holder))
    assert read.key_id == city.kid


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "bend",
    [
        lambda data: data[:-1] + bytes((data[-1] ^ 1,)),
        lambda data: data.replace(b"subject-42", b"subject-43"),
        lambda data: data[:-1] + b"\x00",
    ],
)
def test_every_algorithm_refuses_another_signature(pilot, algorithm, bend):
    city = issue.new_issuer("city", algorithm)
    credential = issue.sign_credential(
        city, None, subject="subject-42", issued_at=NOW - 5, valid_until=NOW + 5, cti=b"c"
    )
    keys = pilot.trusting(city.issuer_key())
    assert pilot.reason(issue.present(credential), keys=keys) is Reason.GRANTED
    forged = bend(credential)
    if forged != credential:  # its last byte was the zero already
        assert pilot.reason(issue.present(forged), keys=keys) is Reason.BAD_SIGNATURE


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_refuses_another_length(algorithm):
    from agent.credential.algorithms import ALGORITHMS as BY_NUMBER

    key = issue.SigningKey.new(algorithm)
    signature = key.sign(b"message")
    for entry in BY_NUMBER.values():
        if entry.fits(key.public) and entry.pinned == algorithm:
            assert entry.verify(key.public, signature, b"message")
            for other in (
                signature[:-1],
                signature + b"\x00",
                b"\x00" + signature,
                b"",
                signature * 2,
            ):
                assert not entry.verify(key.public, other, b"message")


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
def test_every_holder_algorithm_refuses_another_signature(pilot, algorithm):
    holder = issue.Holder.new(algorithm)
    credential = issue.sign_credential(
        pilot.city, holder, subject="42", issued_at=NOW - 5, valid_until=NOW + 5
    )
    data = base45.decode(issue.present(credential, holder, at=NOW)[4:].encode())
    forged = pilot.code(data[:-1] + bytes((data[-1] ^ 1,)))
    assert pilot.reason(forged) is Reason.BAD_HOLDER_SIGNATURE


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
def test_fully_specified_numbers_of_rfc_9864(pilot, algorithm):
    city = issue.new_issuer("city", algorithm)
    credential = issue.sign_credential(
        city, None, subject="42", issued_at=NOW, valid_until=NOW + 5, fully_specified=True
    )
    read = pilot.read(issue.present(credential), keys=pilot.trusting(city.issuer_key()))
    assert read.issuer == "city"


def test_all_that_a_credential_carries(pilot):
    credential = pilot.credential(
        kind="driving-licence",
        birth_date="1990-02-28",
        regions=["CN-BJ", "CN"],
        status=StatusReference("https://city.example/status/1", 77),
        references=[
            issue.face_template(b"t" * 128, "face-128"),
            issue.finger_template(b"f" * 64, "r503", position=55),
        ],
        identity={4: "Zhang San"},
    )
    read = pilot.read(pilot.dynamic(credential))
    assert read.format is FormatName.NATIVE
    assert (read.kind, read.level) == (Kind.DRIVING_LICENCE, Level.UPGRADED)
    assert read.birth_date == "1990-02-28"
    assert read.regions == {"CN-BJ", "CN"}
    assert read.status == StatusReference("https://city.example/status/1", 77)
    assert (read.issued_at, read.valid_from) == (NOW - DAY, NOW - DAY)
    assert (read.valid_until, read.presented_at) == (NOW + DAY, NOW)
    finger, face = read.references  # in the order of their numbers
    assert (face.modality, face.form, face.subformat) == (
        Modality.FACE,
        ReferenceForm.TEMPLATE,
        100,
    )
    assert (face.data, face.issuer, face.position) == (b"t" * 128, "face-128", 62)
    assert (finger.modality, finger.subformat, finger.position) == (Modality.FINGER, 110, 55)
    assert read.claims == {
        "iss": pilot.city.iss, "vct": "urn:idgate:vct:driving-licence",
        "full_name": "Zhang San", "birth_date": "19900228",
    }  # fmt: skip
    assert read.business is None


def test_personal_data_does_not_show_in_repr(pilot):
    credential = pilot.credential(
        subject="subject-4711", birth_date="1990-02-28", identity={4: "Zhang San"},
        references=[issue.face_template(b"TEMPLATE" * 16, "face-128")],
    )  # fmt: skip
    shown = repr(pilot.read(pilot.dynamic(credential)))
    for secret in ("4711", "1990", "Zhang", "TEMPLATE"):
        assert secret not in shown


def test_a_minimal_credential_is_basic_and_valid_everywhere(pilot):
    credential = issue.sign1(
        pilot.city.key,
        {
            Claim.ISS: pilot.city.iss,
            Claim.SUB: "1",
            Claim.EXP: NOW + 9,
            Claim.IAT: NOW,
            Claim.CTI: b"1",
        },
        kid=pilot.city.kid,
        header={Header.TYP: SD_CWT_TYP},
    )
    read = pilot.read(pilot.static(credential))
    assert (read.level, read.kind, read.regions) == (Level.BASIC, Kind.UNKNOWN, frozenset())
    assert (read.status, read.references, read.birth_date) == (None, (), None)
    assert (read.dynamic, read.presented_at, read.business) == (False, None, None)
    assert read.claims == {"iss": pilot.city.iss, "vct": None}


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("station/g1", Reason.GRANTED),
        ("station", Reason.GRANTED),
        ("station/*", Reason.GRANTED),
        ("*", Reason.GRANTED),
        ("station/g2", Reason.WRONG_AUDIENCE),
        ("stations", Reason.WRONG_AUDIENCE),
        ("library", Reason.WRONG_AUDIENCE),
        ("station/", Reason.WRONG_AUDIENCE),
        ("stat*", Reason.WRONG_AUDIENCE),
        ("*/g1", Reason.WRONG_AUDIENCE),
        (".*", Reason.WRONG_AUDIENCE),
        ("", Reason.WRONG_AUDIENCE),
        (7, Reason.WRONG_AUDIENCE),
        (["station"], Reason.WRONG_AUDIENCE),
        (b"station", Reason.WRONG_AUDIENCE),
    ],
)
def test_audience(pilot, audience: Any, expected):
    assert pilot.reason(pilot.dynamic(claims={Claim.AUD: audience})) is expected


@pytest.mark.parametrize(
    ("audience", "site", "fits"),
    [
        ("rail.*", "rail.beijing", True),
        ("rail.*", "rail.beijing.south", True),
        ("rail.*", "railway.beijing", False),
        ("rail.*", "rail", False),
        ("rail.beijing.*", "rail.shanghai", False),
        (["rail.*"], "rail.beijing", False),
        (None, "rail.beijing", False),
    ],
)
def test_audience_of_a_group_of_sites(audience, site, fits):
    assert checks.fits_audience(audience, site, "g1") is fits


@pytest.mark.parametrize(
    ("audience", "expected"),
    [
        ("station/g1", Reason.GRANTED),
        ("station", Reason.GRANTED),
        ("*", Reason.GRANTED),
        (["museum", "station"], Reason.GRANTED),
        (["station", 7], Reason.GRANTED),
        ("station/g2", Reason.WRONG_AUDIENCE),
        ("museum", Reason.WRONG_AUDIENCE),
        (["museum", "library"], Reason.WRONG_AUDIENCE),
        ([["station"]], Reason.WRONG_AUDIENCE),
        ([], Reason.WRONG_AUDIENCE),
        (None, Reason.WRONG_AUDIENCE),
        (7, Reason.WRONG_AUDIENCE),
        ({"station": 1}, Reason.WRONG_AUDIENCE),
    ],
    ids=str,
)
def test_a_place_that_the_issuer_names(pilot, audience: Any, expected):
    token = pilot.credential(claims={Claim.AUD: audience})
    assert pilot.reason(pilot.static(token)) is expected
    assert pilot.reason(pilot.dynamic(token)) is expected


def test_a_place_that_the_issuer_of_a_ticket_names(pilot):
    here, elsewhere = (pilot.ticket(claims={Claim.AUD: a}) for a in ("station", "museum"))
    assert pilot.reason(pilot.dynamic(ticket=here)) is Reason.GRANTED
    told = refused(pilot.read, pilot.dynamic(ticket=elsewhere))
    words = "wrong_audience the issuer made it out to another place"
    assert told == (Reason.TICKET_INVALID, words)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({Claim.EXP: NOW + 1}, Reason.GRANTED),
        ({Claim.EXP: NOW}, Reason.EXPIRED),
        ({Claim.EXP: NOW - 10}, Reason.EXPIRED),
        ({Claim.NBF: NOW - 1}, Reason.GRANTED),
        ({Claim.NBF: NOW + 5}, Reason.GRANTED),
        ({Claim.NBF: NOW + 6}, Reason.NOT_YET_VALID),
        ({Claim.NBF: NOW, Claim.EXP: NOW + 1}, Reason.GRANTED),
        ({Claim.NBF: NOW + 2, Claim.EXP: NOW + 2}, Reason.BAD_TIME),
        ({Claim.EXP: None}, Reason.BAD_TIME),
        ({Claim.NBF: None}, Reason.BAD_TIME),
        ({Claim.EXP: float(NOW + 9)}, Reason.BAD_TIME),
        ({Claim.NBF: -1}, Reason.BAD_TIME),
        ({Claim.CTI: b"x"}, Reason.GRANTED),
        ({Claim.ISS: "urn:me"}, Reason.UNKNOWN_CLAIM),
        ({Claim.SUB: "42"}, Reason.UNKNOWN_CLAIM),
        ({Claim.REGIONS: ["CN"]}, Reason.UNKNOWN_CLAIM),
        ({9: "scope"}, Reason.UNKNOWN_CLAIM),
        ({"note": 1}, Reason.UNKNOWN_CLAIM),
    ],
    ids=str,
)
def test_what_the_holder_says_of_a_presentation(pilot, claims, expected):
    assert pilot.reason(pilot.dynamic(claims=claims)) is expected


def test_what_is_told_of_a_claim_that_is_not_known(pilot):
    for claims, words in ({-65_599: 1}, "claim -65599"), ({"Erika": 1}, "a claim by name"):
        told = refused(pilot.read, pilot.static(pilot.credential(claims=claims)))
        assert told == (Reason.UNKNOWN_CLAIM, words)


@pytest.mark.parametrize("born", ["1964", "1964-08"])
def test_a_birth_date_without_a_day(pilot, born):
    token = pilot.credential(identity={8: born})
    assert pilot.read(pilot.static(token)).birth_date == born


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, Reason.GRANTED),
        (-30, Reason.GRANTED),
        (-31, Reason.STALE),
        (5, Reason.GRANTED),
        (6, Reason.ISSUED_IN_FUTURE),
        (8 * 3600, Reason.ISSUED_IN_FUTURE),
        (-8 * 3600, Reason.STALE),
    ],
)
def test_age_of_a_dynamic_code(pilot, seconds, expected):
    assert pilot.reason(pilot.dynamic(at=NOW + seconds)) is expected


@pytest.mark.parametrize(
    ("credential", "expected"),
    [
        ({"valid_until": NOW}, Reason.GRANTED),
        ({"valid_until": NOW - 1}, Reason.EXPIRED),
        ({"valid_from": NOW + 5}, Reason.GRANTED),
        ({"valid_from": NOW + 6}, Reason.NOT_YET_VALID),
        ({"valid_from": NOW + 3 * DAY}, Reason.BAD_TIME),
        ({"issued_at": NOW + 5}, Reason.GRANTED),
        ({"issued_at": NOW + 6}, Reason.ISSUED_IN_FUTURE),
        ({"issued_at": NOW - 5, "valid_until": NOW - 9}, Reason.BAD_TIME),
    ],
)
def test_validity_of_the_credential(pilot, credential, expected):
    token = pilot.credential(**credential)
    assert pilot.reason(pilot.static(token)) is expected
    assert pilot.reason(pilot.dynamic(token)) is expected


def test_a_presentation_older_than_its_credential_is_refused(pilot):
    token = pilot.credential(issued_at=NOW)
    assert pilot.reason(pilot.dynamic(token, at=NOW - 5)) is Reason.GRANTED
    assert pilot.reason(pilot.dynamic(token, at=NOW - 6)) is Reason.BAD_TIME


def test_an_untrusted_clock_fails_closed(pilot):
    assert pilot.reason(pilot.static(), clock_trusted=False) is Reason.CLOCK_UNTRUSTED
    assert pilot.reason(pilot.dynamic(), clock_trusted=False) is Reason.CLOCK_UNTRUSTED


@pytest.mark.parametrize(
    ("answer", "asked", "expected"),
    [
        (b"nonce", b"nonce", Reason.GRANTED),
        (b"nonce", None, Reason.GRANTED),
        (None, b"nonce", Reason.WRONG_CHALLENGE),
        (b"other", b"nonce", Reason.WRONG_CHALLENGE),
        (b"", b"nonce", Reason.WRONG_CHALLENGE),
        (None, b"", Reason.WRONG_CHALLENGE),
        ("nonce", b"nonce", Reason.MALFORMED),
        (b"n" * 65, None, Reason.MALFORMED),
        (b"n" * 64, None, Reason.GRANTED),
        (b"n" * 64, b"n" * 64, Reason.GRANTED),
    ],
)
def test_challenge(pilot, answer, asked, expected):
    claims = {} if answer is None else {Claim.CNONCE: answer}
    assert pilot.reason(pilot.dynamic(claims=claims), challenge=asked) is expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"valid_from": NOW, "valid_until": NOW}, Reason.GRANTED),
        ({"valid_until": NOW - 1}, Reason.ISSUER_KEY_EXPIRED),
        ({"valid_from": NOW + 1}, Reason.ISSUER_KEY_EXPIRED),
        ({"kinds": frozenset({Kind.ONLINE_ID})}, Reason.GRANTED),
        ({"kinds": frozenset({Kind.LIBRARY_CARD})}, Reason.ISSUER_NOT_ENTITLED),
        ({"formats": frozenset({FormatName.NATIVE})}, Reason.GRANTED),
        ({"formats": frozenset({FormatName.DCC})}, Reason.UNKNOWN_ISSUER),
        ({"iss": frozenset({"urn:other"})}, Reason.UNKNOWN_ISSUER),
        ({"is_root": True}, Reason.UNKNOWN_ISSUER),
    ],
)
def test_what_a_key_may_vouch_for(pilot, changes, expected):
    keys = pilot.trusting(pilot.city.issuer_key(**changes))
    assert pilot.reason(pilot.static(), keys=keys) is expected


def test_a_format_that_is_switched_off(pilot):
    others = frozenset(FormatName) - {FormatName.NATIVE}
    assert pilot.reason(pilot.static(), formats=others) is Reason.FORMAT_NOT_ACCEPTED


def test_payloads_of_no_format(pilot):
    assert pilot.reason("https://example.org/") is Reason.UNKNOWN_FORMAT
    assert pilot.reason(b"") is Reason.UNKNOWN_FORMAT
    assert pilot.reason(b"NI1:" + b"0" * 4293) is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "regions",
    [["CN"], ["CN-BJ"], ["CN-B"], ["FR-75C"], ["GB-ENG", "CN"], [f"CN-{n}" for n in range(64)]],
)
def test_regions(pilot, regions):
    read = pilot.read(pilot.static(pilot.credential(claims={Claim.REGIONS: regions})))
    assert read.regions == set(regions)


NO_CODE = (Reason.MALFORMED, "a region is no ISO 3166-2 code")
NO_REGIONS = (Reason.MALFORMED, "regions are no list of 1 to 64")


@pytest.mark.parametrize(
    ("regions", "told"),
    [
        ([], NO_REGIONS),
        ("CN", NO_REGIONS),
        ({"CN": 1}, NO_REGIONS),
        ([f"CN-{n}" for n in range(65)], NO_REGIONS),
        (["CN", 7], NO_CODE),
        ([""], NO_CODE),
        (["C"], NO_CODE),
        (["CHN"], NO_CODE),
        (["cn"], NO_CODE),
        (["CN-"], NO_CODE),
        (["CN-bj"], NO_CODE),
        (["CN-BEIJ"], NO_CODE),
        (["CNBJ"], NO_CODE),
        (["CN-BJ\n"], NO_CODE),
        ([" CN"], NO_CODE),
    ],
)
def test_regions_of_another_shape(pilot, regions, told):
    text = pilot.static(pilot.credential(claims={Claim.REGIONS: regions}))
    assert refused(pilot.read, text) == told


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({Claim.LEVEL: 0}, "the assurance level is neither 1 nor 2"),
        ({Claim.LEVEL: 3}, "the assurance level is neither 1 nor 2"),
        ({Claim.LEVEL: True}, "the assurance level is neither 1 nor 2"),
        ({Claim.IDENTITY: []}, "claim 169 is no map"),
        ({Claim.IDENTITY: None}, "claim 169 is no map"),
    ],
)
def test_the_log_says_what_was_wrong_in_a_credential(pilot, claims, words):
    told = refused(pilot.read, pilot.static(pilot.credential(claims=claims)))
    assert told == (Reason.MALFORMED, words)


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({Claim.AUD: "library"}, (Reason.WRONG_AUDIENCE, "")),
        ({Claim.IAT: -1}, (Reason.BAD_TIME, "iat of the presentation is no time")),
        ({Claim.IAT: NOW - 31}, (Reason.STALE, "31 s old")),
        ({Claim.CNONCE: "n"}, (Reason.MALFORMED, "cnonce is no short byte string")),
        ({Claim.CNONCE: b"n" * 65}, (Reason.MALFORMED, "cnonce is no short byte string")),
        ({Claim.CNONCE: b"other"}, (Reason.WRONG_CHALLENGE, "")),
        ({}, (Reason.WRONG_CHALLENGE, "")),
    ],
)
def test_the_log_says_what_was_wrong_in_a_presentation(pilot, claims, told):
    assert refused(pilot.read, pilot.dynamic(claims=claims), challenge=b"nonce") == told


def _bound(pilot, header: dict, claims: dict, key: issue.SigningKey | None = None) -> str:
    return pilot.code(issue.sign1(key or pilot.holder.key, claims, header=header))


def test_the_log_says_what_was_wrong_around_a_credential(pilot):
    inner = cbor.decode(pilot.credential(), tags=(18,))
    bare = cbor.decode(
        issue.sign_credential(pilot.city, None, subject="7", issued_at=NOW, valid_until=NOW + 9),
        tags=(18,),
    )
    sound = {Claim.AUD: "station", Claim.IAT: NOW}
    for header, claims, told in (
        ({13: inner, 16: 293}, sound, (Reason.MALFORMED, "a credential in a token that is no key binding token")),
        ({13: inner}, sound, (Reason.MALFORMED, "a credential in a token that is no key binding token")),
        ({13: b"kcwt", 16: 294}, sound, (Reason.MALFORMED, "kcwt is no tagged COSE_Sign1")),
        ({13: bare, 16: 294}, sound, (Reason.MISSING_CLAIM, "cnf")),
        ({13: inner, 16: 294}, {Claim.IAT: NOW}, (Reason.MISSING_CLAIM, "aud of the presentation")),
        ({13: inner, 16: 294}, {Claim.AUD: "*"}, (Reason.MISSING_CLAIM, "iat of the presentation")),
    ):  # fmt: skip
        assert refused(pilot.read, _bound(pilot, header, claims)) == told
    other = _bound(pilot, {13: inner, 16: 294}, sound, issue.SigningKey.new("ES256"))
    told = refused(pilot.read, other)
    assert told == (Reason.BAD_HOLDER_SIGNATURE, "the signature does not verify")
    assert pilot.reason(_bound(pilot, {13: inner, 16: 294}, sound)) is Reason.GRANTED


def test_the_log_says_that_a_presentation_is_older_than_its_credential(pilot):
    told = refused(pilot.read, pilot.dynamic(pilot.credential(issued_at=NOW), at=NOW - 6))
    assert told == (Reason.BAD_TIME, "presented before the credential was issued")


# --- the replay key ------------------------------------------------------------------------------


def test_replay_key_names_the_use(pilot):
    first = pilot.read(pilot.dynamic(at=NOW))
    again = pilot.read(pilot.dynamic(at=NOW))
    assert first.replay_key == again.replay_key  # signed anew, yet the same use
    assert pilot.read(pilot.dynamic(at=NOW - 1)).replay_key != first.replay_key
    assert pilot.read(pilot.dynamic(pilot.credential(cti=b"card-2"))).replay_key != first.replay_key
    static = pilot.read(pilot.static())
    assert first.replay_key == checks.replay_key("city", b"card-0001", NOW)
    assert static.replay_key == checks.replay_key("city", b"card-0001", NOW - DAY)
    assert static.replay_key == pilot.read(pilot.static(pilot.credential())).replay_key
    assert static.replay_key != first.replay_key


def test_same_cti_from_another_issuer_is_another_use(pilot):
    other = issue.sign_credential(
        pilot.rail, None, subject="42", issued_at=NOW - DAY, valid_until=NOW + DAY, cti=b"card-0001"
    )
    assert pilot.read(pilot.static(other)).replay_key != pilot.read(pilot.static()).replay_key


def test_a_malleated_signature_is_the_same_use(pilot):
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    text = pilot.dynamic()
    message = base45.decode(text[4:].encode())
    s = int.from_bytes(message[-32:])
    twin = "NI1:" + base45.encode(message[:-32] + (order - s).to_bytes(32))
    assert twin != text
    assert pilot.read(twin).replay_key == pilot.read(text).replay_key


# --- encryption ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site_key", "keys", "expected"),
    [
        (b"k" * 32, (b"k" * 32,), Reason.GRANTED),
        (b"k" * 32, (b"a" * 32, b"k" * 32), Reason.GRANTED),
        (b"k" * 32, (b"a" * 32,), Reason.DECRYPTION_FAILED),
        (b"k" * 32, (), Reason.DECRYPTION_FAILED),
        (b"k" * 32, (b"a" * 32,) * 7 + (b"k" * 32,), Reason.GRANTED),
        (b"k" * 32, (b"a" * 32,) * 8 + (b"k" * 32,), Reason.DECRYPTION_FAILED),
        (None, (b"k" * 32,), Reason.GRANTED),
    ],
)
def test_encrypted_codes(pilot, site_key, keys, expected):
    for text in (pilot.dynamic(site_key=site_key), pilot.static(site_key=site_key)):
        assert pilot.reason(text, site_keys=keys) is expected


def test_a_photographed_encrypted_code_gives_no_template_away(pilot):
    template = b"TEMPLATE" * 16
    token = pilot.credential(references=[issue.face_template(template, "face-128")])
    open_code = base45.decode(pilot.dynamic(token).removeprefix("NI1:").encode())
    sealed = base45.decode(pilot.dynamic(token, site_key=b"k" * 32).removeprefix("NI1:").encode())
    assert sealed[0] == 0xD0
    assert template not in sealed
    assert pilot.city.iss.encode() not in sealed
    assert len(sealed) < len(open_code) + 64


# --- the business part ---------------------------------------------------------------------------


def test_a_ticket_beside_the_identity(pilot):
    item = pilot.read(pilot.dynamic(ticket=pilot.ticket())).business
    assert item is not None
    assert (item.issuer, item.kind, item.reference) == ("rail", Kind.RAIL_TICKET, b"ticket-1")
    assert (item.valid_from, item.valid_until) == (NOW - 60, NOW + 3600)
    assert item.claims == {"train": "G1"}


def test_a_tickets_status_is_handed_on(pilot):
    reference = StatusReference("https://rail.example/status", 3)
    item = pilot.read(pilot.dynamic(ticket=pilot.ticket(status=reference))).business
    assert item is not None
    assert item.status == reference


def test_a_ticket_bound_by_subject(pilot):
    def reason(subject: str) -> Reason:
        ticket = issue.sign_ticket(
            pilot.rail, None, subject=subject, issued_at=NOW, valid_until=NOW + 9,
            realm=pilot.city.iss,
        )  # fmt: skip
        return pilot.reason(pilot.dynamic(ticket=ticket))

    assert reason("42") is Reason.GRANTED
    assert reason("43") is Reason.TICKET_INVALID


def _other_holders(pilot):
    return issue.sign_ticket(
        pilot.rail, issue.Holder.new(), subject="42", issued_at=NOW, valid_until=NOW + 9
    )


def _unknown_issuers(pilot):
    return issue.sign_ticket(
        issue.new_issuer("rail"), pilot.holder, subject="42", issued_at=NOW, valid_until=NOW + 9
    )


def _flipped(ticket: bytes) -> bytes:
    return ticket[:-1] + bytes([ticket[-1] ^ 1])


@pytest.mark.parametrize(
    "ticket",
    [
        _other_holders,
        _unknown_issuers,
        lambda pilot: pilot.ticket(valid_until=NOW - 1),
        lambda pilot: pilot.ticket(valid_from=NOW + 60),
        lambda pilot: pilot.ticket(details={"train": [1]}),
        lambda pilot: pilot.ticket(details={"quiet": True}),
        lambda pilot: pilot.ticket(claims={Claim.CNF: {1: 7}}),
        lambda pilot: pilot.ticket(claims={Claim.CNF: {3: b"kid"}}),
        lambda pilot: pilot.ticket(claims={Claim.STATUS: {}}),
        lambda pilot: _flipped(pilot.ticket()),
        lambda pilot: pilot.credential(),
        lambda pilot: pilot.ticket(kind="passport"),
        lambda pilot: b"",
        lambda pilot: "text",
        lambda pilot: base45.decode(pilot.dynamic()[4:].encode()),
    ],
)
def test_a_ticket_that_does_not_fit(pilot, ticket):
    claims = {Claim.BUSINESS: ticket(pilot)}
    assert pilot.reason(pilot.dynamic(claims=claims)) is Reason.TICKET_INVALID


def test_a_ticket_issuer_is_held_to_its_kinds(pilot):
    keys = pilot.trusting(
        pilot.city.issuer_key(), pilot.rail.issuer_key(kinds=frozenset({Kind.LIBRARY_CARD}))
    )
    text = pilot.dynamic(ticket=pilot.ticket())
    assert pilot.reason(text, keys=keys) is Reason.TICKET_INVALID


@pytest.mark.parametrize(
    ("highest", "claimed", "expected"),
    [
        (Level.UPGRADED, 2, Reason.GRANTED),
        (Level.BASIC, 1, Reason.GRANTED),
        (Level.BASIC, 2, Reason.ISSUER_NOT_ENTITLED),
    ],
)
def test_a_key_vouches_for_no_more_than_its_level(pilot, highest, claimed, expected):
    keys = pilot.trusting(replace(pilot.city.issuer_key(), highest_level=highest))
    for code in pilot.static, pilot.dynamic:
        assert pilot.reason(code(pilot.credential(level=claimed)), keys=keys) is expected
