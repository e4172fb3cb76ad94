"""What an issuer redacts, and what a wallet then discloses."""

from __future__ import annotations

from typing import Any

import pytest

from agent.credential import cbor, cose, disclosure
from agent.credential.limits import SD_DISCLOSURES
from agent.credential.model import Kind, Rejected
from agent.credential.needs import Redact
from agent.credential.numbers import Claim, Header
from agent.issuing import issue
from agent.issuing.redact import redact

FACE = issue.face_template(bytes(128), "face-embed-v1")
FINGER = issue.finger_template(b"f" * 40, "r503")
PERSON: dict[str, Any] = {
    "version": 2, "references": [FACE, FINGER], "birth_date": "1990-04-01", "ages": [16, 18, 21, 65],
    "identity": {4: "Ada Demo", 9: 2},
}  # fmt: skip
ALL = len(["birth", "face", "finger", "name", "gender"]) + 4


def disclosures(credential: bytes) -> list[list[Any]]:
    header = cose.parse_sign1(credential).unprotected
    return [disclosure.decode(raw) for raw in header.get(Header.SD_CLAIMS, [])]


def claims_of(credential: bytes) -> Any:
    return disclosure.decode(cose.parse_sign1(credential).payload)


@pytest.mark.parametrize(
    ("word", "keys", "label"),
    [
        ("birth-date", {8}, Claim.IDENTITY), ("face", {62}, Claim.IDENTITY),
        ("fingers", {51}, Claim.IDENTITY), ("names", {4, 9}, Claim.IDENTITY),
        ("ages", {16, 18, 21, 65}, Claim.AGES),
    ],
)  # fmt: skip
def test_what_a_word_redacts(pilot, word, keys, label):
    open_, hidden = pilot.credential(**PERSON), pilot.credential(**PERSON, redacted=[word])
    assert {parts[2] for parts in disclosures(hidden)} == keys
    assert claims_of(hidden)[label].keys() == claims_of(open_)[label].keys() - keys | {
        cbor.REDACTED
    }
    other = ({Claim.IDENTITY, Claim.AGES} - {label}).pop()
    assert claims_of(hidden)[other] == claims_of(open_)[other]
    read, kept = (pilot.read(pilot.dynamic(each)) for each in (open_, issue.disclosed(hidden, [])))
    assert (read.undisclosed, kept.undisclosed) == (0, len(keys))


def test_redacted_claims_say_so_in_the_header(pilot):
    plain, hidden = (pilot.credential(**PERSON, redacted=words) for words in ([], ["names"]))
    assert {Header.TYP, Header.SD_ALG}.isdisjoint(cose.parse_sign1(plain).protected)
    header = cose.parse_sign1(hidden).protected
    assert (header[Header.TYP], header[Header.SD_ALG]) == (293, -16)
    assert cose.parse_sign1(plain).unprotected == {}


def test_salts_are_new_and_digests_are_sorted(pilot):
    made = [pilot.credential(**PERSON, redacted=[*Redact]) for _ in range(4)]
    salts = [parts[0] for credential in made for parts in disclosures(credential)]
    assert len(set(salts)) == len(salts) == 4 * ALL
    assert {len(salt) for salt in salts} == {16}
    for credential in made:
        for label in (Claim.IDENTITY, Claim.AGES):
            digests = claims_of(credential)[label][cbor.REDACTED]
            assert digests == sorted(digests)


def test_what_is_not_there_is_not_redacted(pilot):
    credential = pilot.credential(version=2, redacted=[*Redact])
    assert cose.parse_sign1(credential).unprotected == {}
    assert pilot.read(pilot.static(credential)).undisclosed == 0


@pytest.mark.parametrize(
    ("needs", "shown"),
    [
        (None, {62, 51, 16, 18, 21, 65}),
        ([], set()),
        (["face"], {62}),
        (["finger"], {51}),
        (["name"], {4}),
        (["birth-date"], {8}),
        (["age-18"], {18}),
        (["age-17"], {18}),
        (["age-66"], set()),
        (["age-3", "age-20"], {16, 21}),
        (["age-18", "face", "face"], {18, 62}),
        (["birth-date", "face", "finger", "name", "age-65"], {8, 62, 51, 4, 65}),
    ],
)
def test_a_holder_discloses_what_is_asked(pilot, needs, shown):
    whole = pilot.credential(**PERSON, redacted=[*Redact])
    given = issue.disclosed(whole, needs)
    assert {parts[2] for parts in disclosures(given)} == shown
    read = pilot.read(pilot.dynamic(given))
    assert read.undisclosed == ALL - len(shown)
    assert read.ages == shown & {16, 18, 21, 65}
    assert read.birth_date == ("1990-04-01" if 8 in shown else None)
    assert {each.position for each in read.references} == shown & {62, 51}
    assert (Header.SD_CLAIMS in cose.parse_sign1(given).unprotected) is bool(shown)


def test_an_age_that_stands_open_is_not_told_by_another(pilot):
    credential = pilot.credential(**PERSON, redacted=["ages"])
    parts = cbor.decode(credential, tags=(18,)).value
    claims = disclosure.decode(parts[2])
    claims[Claim.AGES][19] = True
    signed = issue.sign1(pilot.city.key, claims, header=cbor.decode(parts[0]), unprotected=parts[1])
    assert disclosures(issue.disclosed(signed, ["age-18"])) == [
        each for each in disclosures(signed) if each[2] == 18
    ]
    assert disclosures(issue.disclosed(signed, ["age-19"])) == []


def test_nested_disclosures_go_together(pilot):
    """Another issuer's: a name of which the parts can be kept back, inside one that can."""

    def made(*parts: Any) -> bytes:
        return cbor.encode([b"s" * 16, *parts])

    def digest(raw: bytes) -> bytes:
        return disclosure.digest_of(raw)

    given, entry = made("Ada", 5), made({0: b"t", 1: 1, 2: 100})
    name = made({cbor.REDACTED: [digest(given)]}, 4)
    claims = claims_of(pilot.credential(version=2)) | {
        Claim.IDENTITY: {
            cbor.REDACTED: [digest(name)], 62: [cbor.Tagged(60, digest(entry))],
        }
    }  # fmt: skip
    credential = issue.sign1(
        pilot.city.key, claims, kid=pilot.city.kid[:4],
        unprotected={Header.SD_CLAIMS: [given, entry, name], 99: "kept"},
    )  # fmt: skip
    for needs, shown in ((["name"], [given, name]), (["face"], [entry]), ([], None)):
        header = cose.parse_sign1(issue.disclosed(credential, needs)).unprotected
        assert header.get(Header.SD_CLAIMS) == shown
        assert header[99] == "kept"
        assert pilot.read(pilot.dynamic(issue.disclosed(credential, needs))).kind


@pytest.mark.parametrize("version", [1, 2])
def test_what_is_not_redacted_stays_byte_for_byte(pilot, version):
    credential = pilot.credential(version=version)
    assert issue.disclosed(credential) == issue.disclosed(credential, ["face"]) == credential


def test_a_word_that_is_no_need_or_a_file_that_is_no_credential(pilot):
    with pytest.raises(ValueError, match="'photo' is no need"):
        issue.disclosed(pilot.credential(version=2), ["photo"])
    with pytest.raises(Rejected):
        issue.disclosed(b"none", [])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"version": 1, "ages": [18]}, "need version 2"),
        ({"version": 1, "redacted": ["face"]}, "need version 2"),
        ({"version": 2, "ages": [0]}, "an age is 1 to 150"),
        ({"version": 2, "ages": [18, 151]}, "an age is 1 to 150"),
        ({"version": 2, "redacted": ["photo"]}, "'photo' is not a valid Redact"),
        ({"version": 2, "ages": range(1, 34), "redacted": ["ages"]}, "33 redacted members; gates take 32"),
    ],
)  # fmt: skip
def test_what_a_version_cannot_say(pilot, fields, words):
    with pytest.raises(ValueError, match=words):
        pilot.credential(**fields)


def test_redacted_claims_need_a_holder(pilot):
    with pytest.raises(ValueError, match="need a holder"):
        issue.sign_credential(
            pilot.city, None, subject="1", issued_at=1, valid_until=2, version=2, redacted=["face"]
        )


def test_as_many_members_as_gates_take(pilot):
    credential = pilot.credential(
        version=2, ages=range(1, SD_DISCLOSURES + 1), redacted=[Redact.AGES]
    )
    assert len(pilot.read(pilot.dynamic(credential)).ages) == SD_DISCLOSURES


def test_claims_without_anything_to_redact_are_as_they_were():
    claims: dict[int, Any] = {Claim.IDENTITY: {4: "Ada"}, Claim.AGES: {18: True}, 8: {1: {}}}
    before = {**claims}
    assert redact(claims, {Redact.FACE, Redact.FINGERS, Redact.BIRTH_DATE}) == []
    assert claims == before


@pytest.mark.parametrize("kind", [Kind.UNKNOWN, Kind.PASSPORT])
@pytest.mark.parametrize("version", [1, 2])
def test_a_credential_says_its_version(pilot, version, kind):
    credential = pilot.credential(version=version, kind=kind)
    assert issue.version_of(credential) == version
    assert pilot.dynamic(credential).startswith(f"NI{version}:")


@pytest.mark.parametrize(
    "data", [b"", b"none", cbor.encode(cbor.Tagged(18, [b"", {}, b"\x80", b"s"]))]
)
def test_what_is_no_credential_counts_as_version_1(data):
    assert issue.version_of(data) == 1
