"""Version 2 of the native profile: its size, what it says in fewer bytes, and what it refuses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agent.credential import base45, cbor, claim169, cwt, disclosure, native, registry, ticket
from agent.credential.checks import replay_key
from agent.credential.identity import references
from agent.credential.model import FormatName, Kind, Level, ReferenceForm
from agent.credential.numbers import KINDS, MAKERS, SD_CWT_TYP, SHA_256, Claim, Header
from agent.issuing import issue
from agent.issuing.symbol import Medium, qr_symbol
from agent.reason import Reason
from tests.support.paths import ROOT
from tests.support.pilot import DAY, NOW, SITE_KEY
from tests.support.refusals import refused

FACE = issue.face_template(bytes(range(128)), "face-embed-v1")
CARD: dict[str, Any] = {
    "subject": "10023456", "kind": Kind.LIBRARY_CARD, "level": 1, "cti": None, "version": 2,
}  # fmt: skip
"""A plain library card: number, holder's key, validity."""
UPGRADED: dict[str, Any] = {
    "subject": "8f14e45fceea167a", "level": 2, "cti": None, "version": 2, "references": [FACE],
}  # fmt: skip
"""An online ID, upgraded, with a face template."""
NEW = "NI2:"


def size(text: str) -> int:
    """Return the bytes of a code before base45."""
    return len(base45.decode(text[4:].encode()))


def signed(pilot: Any, claims: dict[Any, Any], **header: Any) -> bytes:
    """Return a credential of the city's of exactly these claims, and what a redacted one shows."""
    protected = {Header.ALG: -7, Header.KID: pilot.city.kid[:4]} | header.pop("protected", {})
    return issue.sign1(pilot.city.key, claims, header=protected, **header)


def body(pilot: Any, **change: Any) -> dict[Any, Any]:
    """Return the claims of a sound credential, with changes by name; None leaves one out."""
    claims: dict[Any, Any] = {
        Claim.SUB: b"\x8f\x14", Claim.EXP: NOW + DAY, Claim.IAT: NOW - DAY, Claim.VCT: 1,
        Claim.CNF: {1: pilot.holder.cose_key(compressed=True)},
    }  # fmt: skip
    claims |= {Claim[name]: value for name, value in change.items()}
    return {label: value for label, value in claims.items() if value is not None}


def shown(pilot: Any, claims: dict[Any, Any], **header: Any) -> str:
    """Return a dynamic code of version 2, whatever the credential is."""
    return _dynamic(pilot, signed(pilot, claims, **header))


def _dynamic(pilot: Any, credential: bytes) -> str:
    header = {Header.KCWT: cbor.decode(credential, tags=(18,)), Header.TYP: 294}
    use = {Claim.AUD: "station/g1", Claim.IAT: NOW}
    return NEW + base45.encode(issue.sign1(pilot.holder.key, use, header=header))


def told(pilot: Any, text: str, **rules: Any) -> tuple[Reason, str]:
    return refused(pilot.read, text, **rules)


# --- sizes -------------------------------------------------------------------------------------------


def test_sizes(pilot):
    card = pilot.dynamic(pilot.credential(**CARD), audience="library/main")
    face = pilot.dynamic(pilot.credential(**UPGRADED), audience="library/main")
    assert (size(card), size(face)) == (248, 404)
    assert (
        size(pilot.dynamic(pilot.credential(**UPGRADED | {"version": 1}), audience="library/main"))
        > 520
    )
    sizes = [qr_symbol(text, medium=Medium.SCREEN).version for text in (card, face)]
    assert sizes == [10, 13]


def savings(pilot: Any, fields: dict[str, Any]) -> list[int]:
    """Return the size of version 1, what each step saves on the way to version 2, and its size."""
    page = pilot.credential(**fields | {"version": 1, "cti": b"c" * 16})
    claims = cbor.decode(cbor.decode(page, tags=(18,)).value[2])
    header = {Header.KID: pilot.city.kid}
    number = next(number for number, kind in KINDS.items() if claims[Claim.VCT].endswith(kind))
    faces = claims.get(Claim.IDENTITY, {}).get(62, [])
    steps = [
        lambda: claims.pop(Claim.ISS),
        lambda: claims.update({Claim.VCT: number}),
        lambda: claims.update({Claim.CNF: {1: pilot.holder.cose_key(compressed=True)}}),
        lambda: header.update({Header.KID: pilot.city.kid[:4]}),
        lambda: [face.update({3: 1}) for face in faces],
        lambda: claims.update({Claim.SUB: bytes.fromhex(claims[Claim.SUB])}),
        lambda: claims.pop(Claim.CTI),
        lambda: claims[Claim.LEVEL] == 1 and claims.pop(Claim.LEVEL),
    ]
    sizes = []
    for step in [lambda: None, *steps]:
        step()
        credential = issue.sign1(pilot.city.key, claims, header=header)
        sizes.append(size(pilot.dynamic(credential, audience="library/main")))
    return [sizes[0], *(after - before for before, after in itertools.pairwise(sizes)), sizes[-1]]


def test_every_saving_is_the_pages(pilot):
    page = (ROOT / "docs" / "native-profile.md").read_text(encoding="utf-8")
    table = page.partition("| | card | face |")[2].partition("| QR on")[0]
    rows = [line.split("|")[2:4] for line in table.splitlines() if line.startswith("| ")]
    for column, fields in enumerate((CARD, UPGRADED)):
        told_ = [int(row[column].strip(" *") or 0) for row in rows]
        assert told_ == savings(pilot, fields)
        assert told_[-1] == size(pilot.dynamic(pilot.credential(**fields), audience="library/main"))


# --- the same said in fewer bytes --------------------------------------------------------------------


@pytest.mark.parametrize("kind", Kind)
def test_a_card_says_what_one_of_version_1_says(pilot, kind):
    fields = {"kind": kind, "regions": ["CN-31"], "birth_date": "1990-04-01", "references": [FACE]}
    old, new = (
        pilot.read(pilot.dynamic(pilot.credential(**fields, version=version))) for version in (1, 2)
    )
    for name in old.__dataclass_fields__:
        if name != "claims":
            assert getattr(old, name) == getattr(new, name), name
    assert new.format is FormatName.NATIVE
    assert (new.claims["birth_date"], "iss" in new.claims) == ("19900401", False)


@pytest.mark.parametrize(
    ("subject", "written"),
    [("8f14e45f", b"\x8f\x14\xe4\x5f"), ("10023456", b"\x10\x02\x34\x56"), ("00", b"\0"),
     ("ab" * 64, b"\xab" * 64), ("ab" * 65, "ab" * 65), ("1001", b"\x10\x01"), ("100", "100"),
     ("8F14", "8F14"), ("8g14", "8g14"), ("ü", "ü"), ("ab ", "ab ")],
)  # fmt: skip
def test_a_subject_is_the_same_person_in_both_versions(pilot, subject, written):
    credential = pilot.credential(version=2, subject=subject)
    assert cbor.decode(cbor.decode(credential, tags=(18,)).value[2])[Claim.SUB] == written
    assert pilot.read(pilot.dynamic(credential)).subject == subject
    text = shown(pilot, body(pilot, SUB=subject))  # another issuer need not shorten
    assert pilot.read(text).subject == subject


@pytest.mark.parametrize(
    ("sub", "words"),
    [(b"", "CWT: sub is empty"), ("", "CWT: sub is empty"), (b"x" * 65, "CWT: sub is more than 64 bytes"),
     (7, "CWT: sub is of another type"), ([b"x"], "CWT: sub is of another type")],
)  # fmt: skip
def test_a_subject_that_is_none(pilot, sub, words):
    assert told(pilot, shown(pilot, body(pilot, SUB=sub))) == (Reason.MALFORMED, words)


def test_without_cti_the_document_and_its_issue_are_what_is_used_once(pilot):
    def key(**change: Any) -> bytes:
        return pilot.read(shown(pilot, body(pilot, **change))).replay_key

    same = key()
    assert same == key(EXP=NOW + 2 * DAY)
    assert len({same, key(SUB=b"\x8f\x15"), key(VCT=2), key(IAT=NOW - DAY + 1), key(CTI=b"c")}) == 5
    assert key(SUB="8f14") == same
    assert key(CTI=b"c") == replay_key("city", b"c", NOW)


def test_what_stands_for_a_cti_is_longer_than_any(pilot):
    message = cwt.cose.parse_sign1(signed(pilot, body(pilot)))
    token = cwt.read_token(message, pilot.keys, pilot.rules(), 2)
    assert (len(token.identifier), token.identifier[:1], token.version) == (65, b"\0", 2)


@pytest.mark.parametrize("cti", [b"", b"x" * 65, "x", 1])
def test_a_cti_that_is_none(pilot, cti):
    reason, words = told(pilot, shown(pilot, body(pilot, CTI=cti)))
    assert (reason, words[:8]) == (Reason.MALFORMED, "CWT: cti")


@pytest.mark.parametrize("length", [4, 8])
def test_a_key_is_named_by_the_first_bytes_of_its_id(pilot, length):
    text = shown(pilot, body(pilot), protected={Header.KID: pilot.city.kid[:length]})
    assert pilot.read(text).key_id == pilot.city.kid


@pytest.mark.parametrize("length", [1, 3, 5, 7])
def test_no_other_part_of_an_id_names_a_key(pilot, length):
    text = shown(pilot, body(pilot), protected={Header.KID: pilot.city.kid[:length]})
    assert told(pilot, text)[0] is Reason.UNKNOWN_ISSUER


def test_version_1_names_its_key_whole(pilot):
    credential = issue.sign1(
        pilot.city.key,
        {1: pilot.city.iss, 2: "42", 4: NOW + DAY, 6: NOW, 7: b"c", 11: "urn:idgate:vct:online-id"},
        kid=pilot.city.kid[:4],
    )
    assert told(pilot, pilot.static(credential)) == (
        Reason.UNKNOWN_ISSUER, f"kid {pilot.city.kid[:4].hex()}",
    )  # fmt: skip


def test_keys_that_begin_alike_are_all_tried(pilot):
    twin = issue.new_issuer("twin").issuer_key(kid=pilot.city.kid[:4] + b"twin")
    keys = pilot.trusting(twin, pilot.city.issuer_key(iss=frozenset({"urn:any"})))
    assert pilot.read(pilot.dynamic(pilot.credential(version=2)), keys=keys).issuer == "city"
    only = pilot.trusting(twin)
    assert (
        pilot.reason(pilot.dynamic(pilot.credential(version=2)), keys=only) is Reason.BAD_SIGNATURE
    )


def test_an_unknown_key_is_told_by_what_names_it(pilot):
    text = shown(pilot, body(pilot), protected={Header.KID: b"none"})
    assert told(pilot, text) == (Reason.UNKNOWN_ISSUER, f"kid {b'none'.hex()}")


def test_only_a_key_that_may_sign_the_kind_is_believed(pilot):
    library = pilot.trusting(pilot.city.issuer_key(kinds=frozenset({Kind.LIBRARY_CARD})))
    assert pilot.read(pilot.dynamic(pilot.credential(**CARD)), keys=library).kind == "library-card"
    other = pilot.dynamic(pilot.credential(version=2))
    assert pilot.reason(other, keys=library) is Reason.ISSUER_NOT_ENTITLED


def test_of_a_renewed_keys_entries_the_one_that_fits_is_tried_first(pilot):
    strangers = [
        issue.new_issuer("s").issuer_key(kid=pilot.city.kid, kinds=frozenset({Kind.PASSPORT}))
        for _ in range(8)
    ]
    keys = pilot.trusting(*strangers, pilot.city.issuer_key(kinds=frozenset({Kind.LIBRARY_CARD})))
    assert pilot.read(pilot.dynamic(pilot.credential(**CARD)), keys=keys).issuer == "city"


def among(pilot: Any, others: dict[str, Any], own: dict[str, Any], *, first: bool = False) -> Any:
    """Return keys of one id: eight of strangers, as many as are tried, and the city's."""
    strangers = [issue.new_issuer("s").issuer_key(kid=pilot.city.kid, **others) for _ in range(8)]
    city = pilot.city.issuer_key(**own)
    return pilot.trusting(city, *strangers) if first else pilot.trusting(*strangers, city)


@pytest.mark.parametrize("version", [1, 2])
def test_a_key_is_chosen_by_kind_and_level_of_either_version(pilot, version):
    def read(keys: Any, **fields: Any) -> str:
        code = pilot.dynamic(pilot.credential(version=version, **fields))
        return pilot.read(code, keys=keys).issuer

    passport, library = (
        {"kinds": frozenset({kind})} for kind in (Kind.PASSPORT, Kind.LIBRARY_CARD)
    )
    nothing = {"kinds": frozenset({Kind.UNKNOWN})}
    basic, upgraded = ({"highest_level": level} for level in Level)
    assert read(among(pilot, passport, library), kind=Kind.LIBRARY_CARD) == "city"
    assert read(among(pilot, passport, nothing), kind=Kind.UNKNOWN) == "city"
    assert read(among(pilot, basic, upgraded), level=2) == "city"
    assert read(among(pilot, upgraded, basic, first=True), level=1) == "city"


def test_a_kind_by_an_unknown_number_chooses_a_key_too(pilot):
    kinds = (frozenset({kind}) for kind in (Kind.PASSPORT, Kind.UNKNOWN))
    others, own = ({"kinds": each} for each in kinds)
    text = shown(pilot, body(pilot, VCT=100))
    assert pilot.read(text, keys=among(pilot, others, own)).issuer == "city"


def test_a_presentation_holds_no_digests(pilot):
    text = pilot.dynamic(pilot.credential(version=2), claims={cbor.REDACTED: [bytes(32)]})
    expected = Reason.MALFORMED, "CBOR: simple value or float 24 is not allowed here"
    assert told(pilot, text) == expected


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "EdDSA"])
def test_a_holders_point_is_compressed_or_not(pilot, algorithm):
    for _ in range(8):  # y is odd in half of all keys
        holder = issue.Holder.new(algorithm)
        for compressed in (True, False):
            claims = body(pilot, CNF={1: holder.cose_key(compressed=compressed)})
            credential = signed(pilot, claims)
            text = issue.present(credential, holder, at=NOW, audience="station/g1")
            assert pilot.read(text).dynamic


def test_the_other_point_of_the_same_x_is_another_key(pilot):
    key = pilot.holder.cose_key(compressed=True)
    text = shown(pilot, body(pilot, CNF={1: key | {-3: not key[-3]}}))
    assert told(pilot, text)[0] is Reason.BAD_HOLDER_SIGNATURE


def test_a_compressed_point_is_of_version_2_alone(pilot):
    key = pilot.holder.cose_key(compressed=True)
    text = pilot.dynamic(pilot.credential(claims={Claim.CNF: {1: key}}))
    assert told(pilot, text) == (Reason.MALFORMED, "COSE_Key: x and y are not 32 bytes each")


@pytest.mark.parametrize(("number", "name"), MAKERS.items())
def test_numbers_of_models_and_sensor_families(number, name):
    entry = {0: b"t", 1: 1, 2: 100, 3: number}
    (found,) = references({62: [entry]}, numbered=True)
    assert (found.issuer, found.form) == (name, ReferenceForm.TEMPLATE)
    assert references({62: [entry | {3: name}]}, numbered=True) == (found,)
    assert refused(references, {62: [entry]})[0] is Reason.MALFORMED


@pytest.mark.parametrize("number", [0, 4, 2**40])
def test_an_unknown_number_is_a_model_that_no_gate_has(number):
    (found,) = references({62: [{0: b"t", 1: 1, 2: 100, 3: number}]}, numbered=True)
    assert found.issuer == f"#{number}"


@pytest.mark.parametrize("number", [-1, True, None, 1.0])
def test_what_is_no_number_of_a_model(number):
    assert refused(references, {62: [{0: b"t", 1: 1, 2: 100, 3: number}]}, numbered=True)[0] is (
        Reason.MALFORMED
    )


# --- which version a credential is of ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "kind"), [*KINDS.items(), (14, Kind.UNKNOWN), (2**64 - 1, Kind.UNKNOWN)]
)
def test_kinds_by_number(pilot, number, kind):
    assert pilot.read(shown(pilot, body(pilot, VCT=number))).kind is kind


@pytest.mark.parametrize("vct", ["urn:idgate:vct:online-id", 0, -1, True, 1.5, b"1", [1]])
def test_a_vct_of_version_2_is_a_positive_number(pilot, vct):
    expected = Reason.MALFORMED, "CWT: vct is no positive number"
    assert told(pilot, shown(pilot, body(pilot, VCT=vct))) == expected


def test_a_vct_is_required(pilot):
    text = shown(pilot, body(pilot, VCT=None), protected={Header.TYP: SD_CWT_TYP})
    assert told(pilot, text) == (Reason.MISSING_CLAIM, "vct")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dynamic", [True, False])
def test_no_signature_counts_under_two_versions(pilot, version, dynamic):
    credential = pilot.credential(version=version)
    text = pilot.dynamic(credential) if dynamic else pilot.static(credential)
    assert text[:4] == f"NI{version}:"
    assert pilot.reason(text) is Reason.GRANTED
    expected = (
        Reason.MALFORMED,
        ("CWT: vct is no text" if version == 2 else "CWT: vct is no positive number"),
    )
    other = f"NI{3 - version}:{text[4:]}"
    if version == 2:  # its short kid names no key there; a whole one does not help
        assert told(pilot, other)[0] is Reason.UNKNOWN_ISSUER
        claims = cbor.decode(cbor.decode(credential, tags=(18,)).value[2])
        whole = issue.sign1(
            pilot.city.key,
            claims | {Claim.ISS: pilot.city.iss, Claim.SUB: "42"},
            kid=pilot.city.kid,
        )
        other = "NI1:" + base45.encode(whole)
    assert told(pilot, other) == expected


def test_no_credential_is_of_both_versions(pilot):
    """Whatever an issuer signs: not one set of claims is taken under both prefixes."""
    kid = {Header.KID: pilot.city.kid}
    for iss in (None, pilot.city.iss):
        for cti in (None, b"c"):
            for vct in (None, 1, "urn:idgate:vct:online-id"):
                for sub in (b"\x42", "42"):
                    claims = body(pilot, ISS=iss, CTI=cti, VCT=vct, SUB=sub, CNF=None, LEVEL=1)
                    data = base45.encode(signed(pilot, claims, protected=kid))
                    taken = [pilot.reason(f"NI{n}:{data}") is Reason.GRANTED for n in (1, 2)]
                    assert sum(taken) <= 1, claims


def test_an_issuer_is_the_keys_and_nobody_elses(pilot):
    text = shown(pilot, body(pilot, ISS=pilot.city.iss))
    assert told(pilot, text) == (Reason.UNKNOWN_CLAIM, "claim 1")


def test_a_credential_of_version_2_is_no_code_of_another_format(pilot):
    data = issue.zlib.compress(pilot.credential(version=2))
    keys = pilot.trusting(pilot.city.issuer_key(kid=pilot.city.kid[:4]))
    for text in (base45.encode(data).encode(), b"HC1:" + base45.encode(data).encode()):
        assert pilot.reason(text, keys=keys) is not Reason.GRANTED


def test_a_typ_is_taken_and_not_needed(pilot):
    for header in ({}, {Header.TYP: SD_CWT_TYP}):
        assert pilot.read(shown(pilot, body(pilot), protected=header)).kind is Kind.ONLINE_ID
    expected = Reason.MALFORMED, "CWT: typ names another kind of token"
    assert told(pilot, shown(pilot, body(pilot), protected={Header.TYP: 294})) == expected


@pytest.mark.parametrize("payload", [b"NI3:6BF", b"NI9:", b"NI3:" + b"A" * 90])
def test_a_version_to_come_is_told_as_one(pilot, payload):
    expected = Reason.UNKNOWN_FORMAT, "a version of the profile that is not read here"
    assert told(pilot, payload) == expected


@pytest.mark.parametrize("payload", [b"NI0:", b"NI:", b"NI", b"NIA:", b"ni2:", b"NI22:"])
def test_what_is_no_prefix_of_any_version(payload):
    assert not native.sniff(payload)


def test_a_gate_of_before_refuses_version_2_with_one_reason(pilot, monkeypatch):
    """Its registry asks the formats of then, and one without a prefix takes the text for base45."""
    monkeypatch.setattr(native, "sniff", lambda payload: payload.startswith(b"NI1:"))
    reasons = {
        pilot.reason(pilot.dynamic(pilot.credential(**fields), site_key=key))
        for fields in (CARD, UPGRADED)
        for key in (None, SITE_KEY)
        for _ in range(4)
    }
    assert reasons == {Reason.MALFORMED}
    text = pilot.dynamic(pilot.credential(**CARD)).encode()
    assert registry.sniff(text) is FormatName.CLAIM169
    assert told(pilot, text, formats=frozenset({FormatName.NATIVE})) == (
        Reason.FORMAT_NOT_ACCEPTED, "claim169",
    )  # fmt: skip
    assert refused(claim169.read, text, pilot.keys, pilot.rules())[1].startswith("base45: ")


def test_codes_are_encrypted_and_compressed_as_before(pilot):
    credential = pilot.credential(**UPGRADED | {"identity": {4: "A" * 400}})
    text = pilot.dynamic(credential, site_key=SITE_KEY, compress=True)
    assert text.startswith(NEW)
    assert pilot.read(text).claims["full_name"] == "A" * 400
    assert size(text) < size(pilot.dynamic(credential)) - 300


# --- ages --------------------------------------------------------------------------------------------


def test_ages(pilot):
    read = pilot.read(pilot.dynamic(pilot.credential(version=2, ages=[21, 18, 18])))
    assert (read.ages, read.undisclosed) == (frozenset({18, 21}), 0)
    assert read.claims["ages"] == [18, 21]
    assert not read.without_person().ages


@pytest.mark.parametrize(
    "ages",
    [
        {0: True},
        {151: True},
        {-1: True},
        {18: False},
        {18: 1},
        {18: None},
        {"18": True},
        [18],
        True,
        None,
    ],
)
def test_ages_that_are_none(pilot, ages):
    claims = body(pilot) | {Claim.AGES: ages}
    expected = Reason.MALFORMED, "the ages are no map of 1 to 150 to true"
    assert told(pilot, shown(pilot, claims)) == expected


def test_the_youngest_and_the_oldest(pilot):
    text = shown(pilot, body(pilot, AGES={1: True, 150: True}))
    assert pilot.read(text).ages == frozenset({1, 150})


def test_version_1_knows_no_ages(pilot):
    text = pilot.dynamic(pilot.credential(claims={Claim.AGES: {18: True}}))
    assert told(pilot, text) == (Reason.UNKNOWN_CLAIM, f"claim {Claim.AGES:d}")


# --- redacted claims ---------------------------------------------------------------------------------


def made(*parts: Any) -> tuple[bytes, bytes]:
    """Return a disclosure and its digest."""
    raw = cbor.encode([b"s" * 16, *parts])
    return raw, disclosure.digest_of(raw)


RAW, DIGEST = made("19900401", 8)
KEPT = {cbor.REDACTED: [DIGEST]}


def test_what_is_disclosed_is_read_and_what_is_not_is_counted(pilot):
    age, of_age = made(True, 18)
    claims = body(pilot, IDENTITY={4: "Ada", **KEPT}, AGES={cbor.REDACTED: [of_age]})
    for raws in ([], [RAW], [age], [age, RAW]):
        header = {"unprotected": {Header.SD_CLAIMS: raws}} if raws else {}
        read = pilot.read(shown(pilot, claims, **header))
        assert read.birth_date == ("1990-04-01" if RAW in raws else None)
        assert read.ages == ({18} if age in raws else set())
        assert read.undisclosed == 2 - len(raws)
        assert read.claims["full_name"] == "Ada"


def test_a_face_that_was_kept_back_is_no_reference(pilot):
    entry = {0: bytes(128), 1: 1, 2: 100, 3: 1}
    raw, digest = made(entry)
    claims = body(pilot, IDENTITY={62: [cbor.Tagged(60, digest)]})
    kept = pilot.read(shown(pilot, claims))
    assert (kept.references, kept.undisclosed) == ((), 1)
    told_ = pilot.read(shown(pilot, claims, unprotected={Header.SD_CLAIMS: [raw]}))
    assert (told_.references[0].data, told_.undisclosed) == (bytes(128), 0)


@pytest.mark.parametrize(
    "where", ["AUD", "CNF", "REGIONS", "STATUS", "DETAILS", "REALM", "LEVEL", "EXP", "SUB"]
)
def test_no_restriction_can_be_kept_back(pilot, where):
    expected = Reason.MALFORMED, "disclosure: digests in a claim that is never redacted"
    assert told(pilot, shown(pilot, body(pilot, **{where: KEPT}))) == expected
    assert told(pilot, shown(pilot, body(pilot, **{where: [cbor.Tagged(60, DIGEST)]}))) == expected


@pytest.mark.parametrize("claim", [Claim.REGIONS, Claim.IDENTITY, Claim.AUD, 8])
def test_no_claim_of_the_top_level_is_redacted(pilot, claim):
    raw, digest = made(["CN-31"], int(claim))
    claims = body(pilot) | {cbor.REDACTED: [digest]}
    expected = Reason.MALFORMED, "disclosure: a claim of the top level is redacted"
    assert told(pilot, shown(pilot, claims, unprotected={Header.SD_CLAIMS: [raw]})) == expected
    assert told(pilot, shown(pilot, claims)) == expected


@pytest.mark.parametrize("listed", [[RAW], [], {}, [RAW, RAW], None, b"x"])
def test_a_disclosure_without_a_digest_refuses(pilot, listed):
    text = shown(pilot, body(pilot), unprotected={Header.SD_CLAIMS: listed})
    if listed is None:
        assert pilot.read(text).undisclosed == 0  # null is nothing
    else:
        assert told(pilot, text)[0] is Reason.MALFORMED


def test_a_disclosure_of_another_credential_refuses(pilot):
    other, _ = made("19900402", 8)
    text = shown(pilot, body(pilot, IDENTITY=KEPT), unprotected={Header.SD_CLAIMS: [other]})
    assert told(pilot, text) == (Reason.MALFORMED, "disclosure: no digest for it was signed")


def test_the_signature_is_checked_before_any_disclosure_is_read(pilot, monkeypatch):
    monkeypatch.setattr(disclosure, "restore", lambda *_: pytest.fail("read before"))
    stranger = issue.new_issuer("city")
    credential = issue.sign1(
        stranger.key, body(pilot, IDENTITY=KEPT), header={Header.KID: pilot.city.kid[:4]},
        unprotected={Header.SD_CLAIMS: [RAW]},
    )  # fmt: skip
    assert told(pilot, _dynamic(pilot, credential))[0] is Reason.BAD_SIGNATURE


def test_a_holder_binds_his_choice(pilot):
    """Nobody else can take a disclosure away from a code, or add one."""
    claims = body(pilot, IDENTITY=KEPT)
    whole, bare = (
        signed(pilot, claims, unprotected=header) for header in ({Header.SD_CLAIMS: [RAW]}, {})
    )
    use = cbor.decode(base45.decode(_dynamic(pilot, whole)[4:].encode()), tags=(18,))
    kcwt = cbor.decode(bare, tags=(18,))
    kcwt.value[3] = cbor.decode(whole, tags=(18,)).value[3]  # ECDSA signs anew each time
    use.value[0] = cbor.encode({1: -7, 13: kcwt, 16: 294})
    assert told(pilot, NEW + base45.encode(cbor.encode(use)))[0] is Reason.BAD_HOLDER_SIGNATURE


def test_a_redacted_credential_is_no_static_code(pilot):
    credential = signed(pilot, body(pilot, IDENTITY=KEPT), unprotected={Header.SD_CLAIMS: [RAW]})
    expected = Reason.MALFORMED, "redacted claims outside a key binding token"
    assert told(pilot, pilot.static(credential)) == expected


def test_a_redacted_credential_has_a_holder(pilot):
    credential = signed(pilot, body(pilot, IDENTITY=KEPT, CNF=None))
    expected = Reason.MISSING_CLAIM, "cnf, where claims are redacted"
    assert told(pilot, pilot.static(credential)) == expected


@pytest.mark.parametrize("number", [SHA_256, None])
def test_digests_are_sha_256(pilot, number):
    header = {} if number is None else {Header.SD_ALG: number}
    assert pilot.read(shown(pilot, body(pilot, IDENTITY=KEPT), protected=header)).undisclosed == 1


@pytest.mark.parametrize("number", [-43, -44, -18, 16, "SHA-256"])
def test_another_digest_is_not_read(pilot, number):
    text = shown(pilot, body(pilot, IDENTITY=KEPT), protected={Header.SD_ALG: number})
    assert told(pilot, text) == (Reason.MALFORMED, "CWT: sd_alg is not SHA-256")


def test_a_face_that_happens_to_hold_the_marks_is_a_face(pilot):
    face = issue.face_template(b"\xf8\x3b\xd8\x3c" * 32, "face-embed-v1")
    read = pilot.read(pilot.dynamic(pilot.credential(version=2, references=[face])))
    assert read.references[0].data == face.data


def test_version_1_has_no_redacted_claims(pilot):
    text = pilot.dynamic(pilot.credential(claims={Claim.IDENTITY: KEPT}))
    assert told(pilot, text)[0] is Reason.MALFORMED
    credential = pilot.credential()
    parts = cbor.decode(credential, tags=(18,))
    parts.value[1] = {Header.SD_CLAIMS: [RAW]}
    assert pilot.read(pilot.dynamic(cbor.encode(parts))).undisclosed == 0  # believed in nothing


# --- tickets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("identity", [1, 2])
@pytest.mark.parametrize("version", [1, 2])
def test_a_ticket_of_either_version_stands_beside_an_identity_of_either(pilot, identity, version):
    ticket_ = pilot.ticket(version=version, cti=None)
    read = pilot.read(pilot.dynamic(pilot.credential(version=identity), ticket=ticket_))
    assert (read.business.kind, dict(read.business.claims)) == (Kind.RAIL_TICKET, {"train": "G1"})
    assert len(read.business.reference) == (16 if version == 1 else 8)


@pytest.mark.parametrize("version", [1, 2])
def test_a_ticket_of_another_holder_is_refused(pilot, version):
    other = issue.sign_ticket(
        pilot.rail, issue.Holder.new(), subject="p", issued_at=NOW, valid_until=NOW + 9,
        version=version,
    )  # fmt: skip
    for identity in (1, 2):
        text = pilot.dynamic(pilot.credential(version=identity), ticket=other)
        assert told(pilot, text) == (
            Reason.TICKET_INVALID, "ticket_invalid it belongs to another holder",
        )  # fmt: skip


def test_a_tickets_key_is_compared_as_a_point(pilot):
    whole, short = pilot.holder.cose_key(), pilot.holder.cose_key(compressed=True)
    same = ticket._same_key
    assert same(whole, whole)
    assert same(short, short)
    assert same(whole, short)
    assert same(short, whole)
    assert not same(short | {-3: not short[-3]}, short)
    assert not same(short | {-3: not short[-3]}, whole)
    assert not same(whole | {-2: bytes(32)}, short)
    assert (
        refused(same, {label: whole[label] for label in (1, -1, -2)}, short)[0] is Reason.MALFORMED
    )
    bent = whole | {-3: whole[-3][:-1] + bytes((whole[-3][-1] ^ 2,))}
    assert refused(same, bent, short)[1] == "COSE_Key: not a point of the curve"


def test_a_ticket_needs_its_cti(pilot):
    claims = body(pilot, VCT=8, SUB="passenger")
    seller = {Header.ALG: -7, Header.KID: pilot.rail.kid[:4]}
    text = pilot.dynamic(
        pilot.credential(version=2), ticket=issue.sign1(pilot.rail.key, claims, header=seller)
    )
    assert told(pilot, text) == (Reason.TICKET_INVALID, "missing_claim cti")


def test_a_ticket_holds_nothing_redacted(pilot):
    claims = body(pilot, VCT=8, CTI=b"t", IDENTITY=KEPT)
    seller = {Header.ALG: -7, Header.KID: pilot.rail.kid[:4]}
    text = pilot.dynamic(
        pilot.credential(version=2), ticket=issue.sign1(pilot.rail.key, claims, header=seller)
    )
    assert told(pilot, text)[0] is Reason.TICKET_INVALID


@pytest.mark.parametrize(
    ("realm", "granted"), [("urn:idgate:issuer:city", True), ("urn:other", False), (None, False)]
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_tickets_realm_is_what_the_trust_set_pins_for_the_identitys_key(
    pilot, realm, granted, version
):
    bought = issue.sign_ticket(
        pilot.rail, None, subject="42", issued_at=NOW, valid_until=NOW + 9, realm=realm,
        version=version,
    )  # fmt: skip
    text = pilot.dynamic(pilot.credential(version=2), ticket=bought)
    assert (pilot.reason(text) is Reason.GRANTED) is granted


@pytest.mark.parametrize("versions", [(1, 2), (2, 1), (2, 2)])
def test_no_identity_is_the_ticket_beside_itself_in_another_version(pilot, versions):
    card, copy = (
        pilot.credential(kind=Kind.LIBRARY_CARD, version=version, cti=b"c%d" % version)
        for version in versions
    )
    if versions == (2, 2):
        copy = pilot.credential(kind=Kind.LIBRARY_CARD, version=2, cti=b"other")
    assert told(pilot, pilot.dynamic(card, ticket=copy)) == (
        Reason.TICKET_INVALID, "ticket_invalid it is the identity itself",
    )  # fmt: skip


def test_two_unknown_documents_of_a_person_are_not_the_same(pilot):
    card = signed(pilot, body(pilot, VCT=100, CTI=b"1"))
    same, other = (signed(pilot, body(pilot, VCT=vct, CTI=b"2")) for vct in (100, 101))
    assert pilot.reason(pilot.dynamic(card, ticket=other)) is Reason.GRANTED
    assert pilot.reason(pilot.dynamic(card, ticket=same)) is Reason.TICKET_INVALID


@pytest.mark.parametrize("level", Level)
def test_the_level_is_said_only_where_it_is_upgraded(pilot, level):
    credential = pilot.credential(version=2, level=level)
    claims = cbor.decode(cbor.decode(credential, tags=(18,)).value[2])
    assert (Claim.LEVEL in claims) is (level is Level.UPGRADED)
    assert pilot.read(pilot.dynamic(credential)).level is level
