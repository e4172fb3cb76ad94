"""The wallet keeps back what a place does not ask for: real credentials, real gates, and Node between."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from agent.credential import base45, cbor, disclosure
from agent.credential.model import Kind, Level, Modality, Rejected
from agent.credential.needs import Redact
from agent.credential.numbers import KINDS, Claim, CoseKey, Header, Tag
from agent.issuing import issue
from agent.issuing.redact import disclosed
from agent.policy.judge import Judge, Judgement, NoMemory, Place
from agent.policy.load import shipped_profile
from agent.policy.needs import needs_of, place_code
from agent.policy.profile import Ask, Profile
from agent.reason import Reason
from agent.trust.snapshot import TrustSnapshot
from tests.support.node import needs_node, run_node
from tests.support.pilot import DAY

pytestmark = needs_node

OPEN = 1_800_014_400
"""Noon in Shanghai, when the internet cafe is open."""
FACE = issue.face_template(bytes(range(128)), "face-embed-v1")
FINGER = issue.finger_template(b"\x5a" * 64, "r307")
BORN = "1990-02-28"
MEMBER = "00ff" * 8
CAFE = shipped_profile("internet-cafe")
NO_FACE = msgspec.structs.replace(CAFE, name="cafe-without-faces", biometric=Ask.NONE)
DATED = msgspec.structs.replace(NO_FACE, name="dated", needs=("birth-date",))
ALL = tuple(Redact)


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _jwk(holder: issue.Holder) -> dict[str, str]:
    key = holder.cose_key()
    x, y = _b64url(key[CoseKey.X]), _b64url(key[CoseKey.Y])
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _thumbprint(jwk: Mapping[str, str]) -> str:
    text = json.dumps({name: jwk[name] for name in sorted(jwk)}, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Town:
    """An issuer, a phone and what the phone holds."""

    issuer: issue.Issuer = field(default_factory=lambda: issue.new_issuer("town"))
    other: issue.Issuer = field(default_factory=lambda: issue.new_issuer("rail"))
    holder: issue.Holder = field(default_factory=issue.Holder.new)

    def card(self, holder: issue.Holder | None = None, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "subject": MEMBER, "issued_at": OPEN - DAY, "valid_until": OPEN + DAY, "level": 2,
            "version": 2, "cti": b"8 bytes.",
        }  # fmt: skip
        return issue.sign_credential(self.issuer, holder or self.holder, **fields | changes)

    def whole(self, **changes: Any) -> bytes:
        """Return a card that can keep everything back."""
        fields: dict[str, Any] = {
            "birth_date": BORN, "references": (FACE, FINGER), "ages": (16, 18, 21),
            "identity": {4: "Ada Lovelace", 9: 2}, "redacted": ALL,
        }  # fmt: skip
        return self.card(**fields | changes)

    def ticket(self, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "subject": MEMBER, "issued_at": OPEN - 60, "valid_until": OPEN + DAY, "version": 2,
            "cti": b"ticket-2",
        }  # fmt: skip
        holder = changes.pop("holder", None)
        issuer = changes.pop("issuer", self.other)
        return issue.sign_ticket(issuer, holder, **fields | changes)

    def trust(self) -> TrustSnapshot:
        keys = (
            self.issuer.issuer_key(iss=frozenset({self.issuer.iss})),
            self.other.issuer_key(iss=frozenset({self.other.iss})),
        )
        return TrustSnapshot(keys=keys)

    def shows(self, payload: str, profile: Profile) -> Judgement:
        """Return what a real gate makes of a code."""
        judge = Judge(Place("mall", "g1", profile), timer=lambda: 0, memory=NoMemory())
        return judge.judge(payload.encode(), trust=self.trust(), now=OPEN)

    def said(self, **changes: Any) -> dict[str, Any]:
        jwk = _jwk(self.holder)
        plain = {
            "version": 2, "iss": None, "kid": self.issuer.kid[:4].hex(), "sub": MEMBER,
            "kind": "online-id", "level": 2, "iat": OPEN - DAY, "nbf": OPEN - DAY,
            "exp": OPEN + DAY + 1, "regions": [], "aud": [], "status": None,
            "cti": b"8 bytes.".hex(), "holder": _thumbprint(jwk), "holderKey": jwk,
            "birthDate": None, "references": [], "realm": None, "details": None, "ages": [],
            "names": [], "parts": [], "undisclosed": 0,
        }  # fmt: skip
        return plain | changes


def _asked(profile: Profile) -> list[str]:
    """Return what a wallet reads in the code of a place."""
    (words,) = parse_qs(urlsplit(place_code("mall", "g1", profile)).query)["need"]
    assert words == ",".join(needs_of(profile))
    return words.split(",")


REFERENCES = [
    {"modality": "finger", "form": "template", "position": 51, "bytes": 64},
    {"modality": "face", "form": "template", "position": 62, "bytes": 128},
]


def _cards(town: Town) -> dict[str, tuple[bytes, dict[str, Any]]]:
    whole = town.whole()
    everything = town.said(
        birthDate="19900228", references=REFERENCES, ages=[16, 18, 21], names=["Ada Lovelace"],
        parts=["name", "", "birth-date", "finger", "face", "age-16", "age-18", "age-21"],
    )  # fmt: skip
    # The order of the references is that of the digests, which are random.
    claims = cbor.decode(cbor.decode(whole, tags=(18,)).value[2], redacted=True)
    digests = claims[Claim.IDENTITY][cbor.REDACTED]
    held = cbor.decode(whole, tags=(18,)).value[1][Header.SD_CLAIMS]
    keys = {disclosure.digest_of(each): cbor.decode(each)[2] for each in held}
    order = [keys[digest] for digest in digests if keys[digest] in (51, 62)]
    everything["references"] = sorted(REFERENCES, key=lambda one: order.index(one["position"]))
    words = {4: "name", 9: "", 8: "birth-date", 51: "finger", 62: "face"}
    ages = [keys[digest] for digest in claims[Claim.AGES][cbor.REDACTED]]
    everything["parts"] = [
        *(words[keys[digest]] for digest in digests), *(f"age-{age}" for age in ages)
    ]  # fmt: skip
    kinds = {
        f"of kind {number}": (
            town.card(claims={Claim.VCT: number}), town.said(kind=str(KINDS.get(number, "unknown")))
        )
        for number in (*KINDS, 24)
    }  # fmt: skip
    return kinds | {
        "everything apart": (whole, everything),
        "nothing of it": (disclosed(whole, []), town.said(undisclosed=8)),
        "one age": (
            disclosed(whole, ["age-17"]), town.said(ages=[18], parts=["age-18"], undisclosed=7)
        ),
        "all open": (
            town.whole(redacted=()),
            town.said(
                birthDate="19900228", references=REFERENCES, ages=[16, 18, 21],
                names=["Ada Lovelace"],
            ),
        ),
        "a subject that is a text": (town.card(subject="reader 7"), town.said(sub="reader 7")),
        "without cti": (town.card(cti=None), town.said(cti=None)),
        "basic": (town.card(level=1), town.said(level=1)),
        "a point in full": (
            town.card(claims={Claim.CNF: {1: town.holder.cose_key()}}), town.said()
        ),
    }  # fmt: skip


def _changed(card: bytes, **parts: Any) -> bytes:
    """Return a card with other disclosures, or another header; whoever holds it can do that."""
    raw, unprotected, payload, signature = cbor.decode(card, tags=(18,)).value
    if "listed" in parts:
        unprotected = {Header.SD_CLAIMS: parts["listed"]}
    if "payload" in parts:
        payload = parts["payload"]
    if "header" in parts:
        raw = cbor.encode(cbor.decode(raw) | parts["header"])
    return cbor.encode(cbor.Tagged(Tag.SIGN1, [raw, unprotected, payload, signature]))


def _held(card: bytes) -> list[bytes]:
    listed: list[bytes] = cbor.decode(card, tags=(18,)).value[1][Header.SD_CLAIMS]
    return listed


def _made(town: Town, member: Any, salt: bytes = bytes(16), **more: Any) -> bytes:
    """Return a card with a disclosure of our own making in claim 169."""
    made = cbor.encode([salt, *member])
    identity = {cbor.REDACTED: [disclosure.digest_of(made)], **more.pop("beside", {})}
    card = town.card(claims={Claim.IDENTITY: identity, **more})
    return _changed(card, listed=[made])


def _bent(town: Town) -> dict[str, bytes]:
    """Return what no gate takes, whoever made it so."""
    whole = town.whole()
    held = _held(whole)
    digest = disclosure.digest_of(held[0])
    many = [disclosure.digest_of(bytes([number])) for number in range(65)]
    return {
        "a disclosure of another card": _changed(whole, listed=[*held, _held(town.whole())[0]]),
        "a disclosure twice": _changed(whole, listed=[held[0], held[0]]),
        "no disclosure in the list": _changed(whole, listed=[]),
        "no list": _changed(whole, listed=held[0]),
        "a disclosure that is no byte string": _changed(whole, listed=[["salt", 1, 2]]),
        "disclosures of a card without": _changed(town.card(), listed=[held[0]]),
        "33 disclosures": _changed(whole, listed=[bytes([number]) for number in range(33)]),
        "a short salt": _made(town, ["x", 4], salt=bytes(15)),
        "a long salt": _made(town, ["x", 4], salt=bytes(65)),
        "a salt that is a text": _made(town, ["x", 4], salt="x" * 16),  # type: ignore[arg-type]
        "a member that is there": _made(town, ["x", 4], beside={4: "y"}),
        "an element where a member was": _made(town, ["x"]),
        "four parts": _made(town, ["x", 4, 5]),
        "a member named by bytes": _made(town, ["x", b"4"]),
        "a decoy's own": _made(town, []),
        "a disclosed digest outside an array": _made(town, [cbor.Tagged(Tag.REDACTED, digest), 4]),
        "a digest twice": town.card(claims={Claim.IDENTITY: {cbor.REDACTED: [digest, digest]}}),
        "a digest of 31 bytes": town.card(claims={Claim.IDENTITY: {cbor.REDACTED: [digest[1:]]}}),
        "no digests": town.card(claims={Claim.IDENTITY: {cbor.REDACTED: []}}),
        "65 digests": town.card(claims={Claim.IDENTITY: {cbor.REDACTED: many}}),
        "redacted at the top": town.card(claims={cbor.REDACTED: [digest]}),  # type: ignore[dict-item]
        "redacted elsewhere": town.card(claims={Claim.CNF: {1: {cbor.REDACTED: [digest]}}}),
        "a redacted region": town.card(
            claims={Claim.REGIONS: ["ES", cbor.Tagged(Tag.REDACTED, digest)]}
        ),
        "sd_alg of another": _changed(whole, header={Header.SD_ALG: -44}),
        "an age that is false": town.card(claims={Claim.AGES: {18: False}}),
        "an age of 0": town.card(claims={Claim.AGES: {0: True}}),
        "an age of 151": town.card(claims={Claim.AGES: {151: True}}),
        "an age in words": town.card(claims={Claim.AGES: {"18": True}}),
        "ages in a list": town.card(claims={Claim.AGES: [18]}),
        "ages in version 1": town.card(version=1, claims={Claim.AGES: {18: True}}),
        "redacted in version 1": town.card(
            version=1, claims={Claim.IDENTITY: {cbor.REDACTED: [digest]}}
        ),
        "iss beside a number": town.card(claims={Claim.ISS: town.issuer.iss}),
        "a vct of 0": town.card(claims={Claim.VCT: 0}),
        "a vct below 0": town.card(claims={Claim.VCT: -1}),
        "a text for vct, and no iss": town.card(claims={Claim.VCT: "urn:idgate:vct:passport"}),
        "an empty subject": town.card(claims={Claim.SUB: b""}),
        "a subject of 65 bytes": town.card(claims={Claim.SUB: bytes(65)}),
        "an empty cti": town.card(claims={Claim.CTI: b""}),
        "a point off the curve": town.card(
            claims={Claim.CNF: {1: _key(town, x=b"\x00" * 31 + b"\x01")}}
        ),
        "a point beyond the field": town.card(claims={Claim.CNF: {1: _key(town, x=b"\xff" * 32)}}),
        "a short x": town.card(claims={Claim.CNF: {1: _key(town, x=bytes(31))}}),
        "a compressed point in version 1": town.card(
            version=1, claims={Claim.CNF: {1: _key(town)}}
        ),
    }


def _key(town: Town, x: bytes | None = None) -> dict[int, Any]:
    key = town.holder.cose_key(compressed=True)
    return key if x is None else {**key, CoseKey.X: x}


def _nested(town: Town) -> bytes:
    """Return a card whose face is redacted twice over: the member, and the entry in its list."""
    entry = cbor.encode([b"e" * 16, {0: bytes(128), 1: 1, 2: 100, 3: 1}])
    inside = [cbor.Tagged(Tag.REDACTED, disclosure.digest_of(entry))]
    face = cbor.encode([b"f" * 16, inside, 62])
    finger = cbor.encode([b"g" * 16, {0: bytes(8), 1: 1, 2: 110, 3: 3}])
    card = town.card(
        claims={
            Claim.IDENTITY: {
                51: [cbor.Tagged(Tag.REDACTED, disclosure.digest_of(finger))],
                cbor.REDACTED: [disclosure.digest_of(face)],
            }
        }
    )
    return _changed(card, listed=[face, finger, entry])


def _with_open_age(town: Town) -> bytes:
    """Return a card of which one age stands open beside those that are kept apart."""
    whole = cbor.decode(town.whole(), tags=(18,)).value
    claims = disclosure.decode(whole[2])
    claims[Claim.AGES][19] = True
    header = cbor.decode(whole[0])
    return issue.sign1(town.issuer.key, claims, header=header, unprotected=whole[1])


def _mutants(town: Town, many: int) -> Iterator[tuple[str, list[str], list[int] | None]]:
    """Yield claims and disclosures with bytes changed, and what the gate's code makes of them."""
    chance = random.Random(17)
    for _ in range(many):
        card = chance.choice((town.whole(), _nested(town)))
        payload, held = cbor.decode(card, tags=(18,)).value[2], _held(card)
        at = chance.randrange(2 * len(held))
        if at < len(held):
            # A disclosure that was signed so: its digest is put in the place of the right one's.
            changed = _altered(held[at], chance)
            payload = payload.replace(disclosure.digest_of(held[at]), disclosure.digest_of(changed))
            held = [*held[:at], changed, *held[at + 1 :]]
        else:
            payload = _altered(payload, chance)
        yield payload.hex(), [each.hex() for each in held], _reading(payload, held)


def _altered(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    at = chance.randrange(len(out))
    match chance.randrange(3):
        case 0:
            out[at] = chance.choice((chance.randrange(256), 0xF8, 0x3B, 0xD8, 0x3C, 0x80, 0xA0))
        case 1:
            del out[at]
        case _:
            out.insert(at, chance.randrange(256))
    return bytes(out)


def _reading(payload: bytes, held: list[bytes]) -> list[int] | None:
    """Return digests and undisclosed ones as the gate counts them; None where it refuses."""
    try:
        claims = cbor.decode(payload, tags=(Tag.REDACTED,), tag_depth=8, redacted=True)
        if not isinstance(claims, dict):
            return None
        for each in held:  # a wallet takes no float, and a gate none where one matters
            cbor.decode(each, tags=(Tag.REDACTED,), tag_depth=8, redacted=True)
        found = disclosure.restore(
            claims, disclosure.disclosures(held), {Claim.IDENTITY, Claim.AGES}
        )
    except Rejected:
        return None
    return [found.digests, found.undisclosed]


NEEDS = (
    None, [], ["age-18"], ["age-17"], ["age-19", "age-3"], ["age-22"], ["face"], ["finger"],
    ["birth-date"], ["name"], ["face", "finger", "name", "birth-date", "age-150"],
)  # fmt: skip


def _disclosed(town: Town) -> Iterator[tuple[str, list[str] | None, str]]:
    cards = (
        town.whole(), town.whole(redacted=("face", "birth-date")), town.card(), _nested(town),
        _with_open_age(town), town.whole(redacted=()), issue.sign_credential(
            town.issuer, town.holder, subject="1", issued_at=OPEN, valid_until=OPEN + 9
        ),
    )  # fmt: skip
    for card in cards:
        for needs in NEEDS:
            yield card.hex(), needs, disclosed(card, needs).hex()


WORDS = ["birth-date", "face", "finger", "name", "", "age-16", "age-18", "age-21", "age-100"]
CHOICES = [
    (WORDS, None, ["age-100", "age-16", "age-18", "age-21", "face", "finger"]),
    (WORDS, [], []),
    (WORDS, ["age-20", "face"], ["age-21", "face"]),
    (WORDS, ["age-22"], ["age-100"]),
    (WORDS, ["age-101", "", "age", "age-", "age-0", "age-018", "age-1x", "ages", "gender"], []),
    (["face"], ["age-18", "finger"], []),
]


def _tickets(town: Town) -> dict[str, tuple[bytes, bytes, bool]]:
    whole, old = town.whole(), town.card(version=1)
    own = {"issuer": town.issuer}
    return {
        "by key": (town.ticket(holder=town.holder), whole, True),
        "by another's key": (town.ticket(holder=issue.Holder.new()), whole, False),
        "by key, of version 1": (town.ticket(holder=town.holder, version=1), whole, True),
        "by key, beside version 1": (town.ticket(holder=town.holder), old, True),
        "by subject, of its own seller": (town.ticket(), whole, False),
        "by subject, of the card's issuer": (town.ticket(**own), whole, True),
        "by subject, of the card's issuer, version 1": (
            town.ticket(**own, version=1), whole, True
        ),
        "by subject, beside version 1": (town.ticket(**own), old, True),
        "another subject": (town.ticket(**own, subject="43"), whole, False),
        "by subject, in a realm that the gate knows": (
            town.ticket(realm=town.issuer.iss), whole, True
        ),
        "without cti": (town.card(kind=Kind.RAIL_TICKET, cti=None), whole, False),
        "the card itself": (whole, whole, False),
        "another copy of it": (town.card(cti=b"copy"), whole, False),
        "another copy, of version 1": (town.card(cti=b"copy", version=1), whole, False),
    }  # fmt: skip


@pytest.fixture(scope="module")
def town() -> Town:
    return Town()


@pytest.fixture(scope="module")
def bent(town) -> dict[str, bytes]:
    return _bent(town)


@pytest.fixture(scope="module")
def shown(town) -> dict[str, tuple[bytes, list[str] | None, bytes | None]]:
    """Return by name what the phone is asked to show, of which card, and the ticket beside it."""
    whole = town.whole()
    codes: dict[str, tuple[bytes, list[str] | None, bytes | None]] = {
        "cafe": (whole, _asked(CAFE), None),
        "cafe without faces": (whole, _asked(NO_FACE), None),
        "dated": (whole, _asked(DATED), None),
        "nothing": (whole, [], None),
        "unasked": (whole, None, None),
        "plain": (town.card(), ["face"], None),
        "too young": (town.whole(birth_date="2014-01-01", ages=(12,)), _asked(NO_FACE), None),
    }
    for name, (ticket, identity, _) in _tickets(town).items():
        codes[f"ticket {name}"] = (identity, [], ticket)
    return codes


@pytest.fixture(scope="module")
def results(town, bent, shown, tmp_path_factory) -> dict[str, Any]:
    private = town.holder.key.private.private_numbers().private_value.to_bytes(32, "big")
    holders = [town.holder, *(issue.Holder.new() for _ in range(8))]
    renewed = issue.new_issuer("town")
    mutants = list(_mutants(town, 400))
    assert 40 < sum(reading is not None for *_, reading in mutants) < 360
    given = {
        "mutants": mutants,
        "privateKey": _jwk(town.holder) | {"d": _b64url(private)},
        "now": OPEN,
        "cards": {name: [card.hex(), said] for name, (card, said) in _cards(town).items()},
        "points": [(town.card(holder).hex(), _jwk(holder)) for holder in holders],
        "bent": {name: data.hex() for name, data in bent.items()},
        "choices": CHOICES,
        "disclosed": list(_disclosed(town)),
        "tickets": {
            name: [ticket.hex(), identity.hex(), fits]
            for name, (ticket, identity, fits) in _tickets(town).items()
        },
        "rekeyed": [town.ticket(issuer=renewed).hex(), town.card().hex()],
        "shown": {
            name: [card.hex(), needs, ticket and ticket.hex()]
            for name, (card, needs, ticket) in shown.items()
        },
        "static": town.card().hex(),
    }
    return run_node("wallet_disclosure.test.mjs", given, tmp_path_factory.mktemp("disclosure"))


def _bytes(code: str) -> bytes:
    assert code.startswith("NI2:")
    return base45.decode(code.removeprefix("NI2:").encode())


BIRTH, TEMPLATES = b"19900228", (FACE.data, FINGER.data)


def test_an_internet_cafe_sees_an_age_and_no_birth_date(town, results):
    code = results["codes"]["cafe"]
    judged = town.shows(code, CAFE)
    assert (judged.reason, judged.demand.ask) == (Reason.GRANTED, Ask.FACE)
    assert judged.credential.ages == {18}
    assert (judged.credential.birth_date, judged.credential.undisclosed) == (None, 6)
    assert [one.modality for one in judged.credential.references] == [Modality.FACE]
    data = _bytes(code)
    assert FACE.data in data
    assert all(kept not in data for kept in (BIRTH, FINGER.data, b"Ada Lovelace"))


def test_a_cafe_that_compares_no_face_is_shown_none(town, results):
    code = results["codes"]["cafe without faces"]
    judged = town.shows(code, NO_FACE)
    assert judged.reason is Reason.GRANTED
    assert (judged.credential.ages, judged.credential.references) == ({18}, ())
    assert all(kept not in _bytes(code) for kept in (BIRTH, *TEMPLATES, b"Ada Lovelace"))


NOT_TOLD = [
    # what was shown, at which place, what comes of it
    ("nothing", CAFE, Reason.CLAIM_NOT_DISCLOSED),
    ("nothing", NO_FACE, Reason.CLAIM_NOT_DISCLOSED),
    ("cafe without faces", CAFE, Reason.CLAIM_NOT_DISCLOSED),  # the face
    ("cafe without faces", DATED, Reason.CLAIM_NOT_DISCLOSED),  # the birth date
    ("dated", DATED, Reason.GRANTED),
    ("dated", NO_FACE, Reason.GRANTED),
    ("unasked", CAFE, Reason.GRANTED),
    ("unasked", DATED, Reason.CLAIM_NOT_DISCLOSED),
    ("plain", NO_FACE, Reason.AGE_UNKNOWN),
    ("plain", shipped_profile("hotel"), Reason.NO_REFERENCE),
    ("nothing", shipped_profile("hotel"), Reason.CLAIM_NOT_DISCLOSED),
    ("cafe", shipped_profile("hotel"), Reason.GRANTED),
    ("too young", NO_FACE, Reason.CLAIM_NOT_DISCLOSED),
]


@pytest.mark.parametrize(("name", "profile", "reason"), NOT_TOLD)
def test_what_a_place_needs_and_is_not_told(town, results, name, profile, reason):
    assert town.shows(results["codes"][name], profile).reason is reason


def test_unasked_the_phone_keeps_birth_date_and_name(town, results):
    read = town.shows(results["codes"]["unasked"], CAFE).credential
    assert read.ages == {16, 18, 21}
    assert {one.modality for one in read.references} == {Modality.FACE, Modality.FINGER}
    assert (read.birth_date, "full_name" in read.claims) == (None, False)
    assert (read.subject, read.kind, read.level) == (MEMBER, Kind.ONLINE_ID, Level.UPGRADED)


def test_a_birth_date_is_shown_where_it_is_asked_for(town, results):
    read = town.shows(results["codes"]["dated"], DATED).credential
    assert (read.birth_date, read.ages, read.references) == (BORN, {18}, ())


def test_what_is_bent_is_refused_at_the_gate_too(town, bent):
    for name, card in bent.items():
        version = 1 if name.endswith("in version 1") or "text for vct" in name else 2
        code = issue.present(card, town.holder, at=OPEN, audience="mall/g1")
        assert code.startswith(f"NI{version}:"), name
        assert town.shows(code, NO_FACE).credential is None, name


def test_a_ticket_is_offered_where_a_gate_takes_it(town, results):
    place = msgspec.structs.replace(NO_FACE, minimum_age=0, ticket="required")
    for name, (*_, fits) in _tickets(town).items():
        judged = town.shows(results["codes"][f"ticket {name}"], place)
        assert judged.reason is (Reason.GRANTED if fits else Reason.TICKET_INVALID), name


def test_a_code_says_its_version_and_a_static_one_too(town, results):
    assert results["codes"]["ticket by subject, beside version 1"].startswith("NI1:")
    assert _bytes(results["static"])[:1] == b"\xd2"
    place = msgspec.structs.replace(NO_FACE, minimum_age=0, dynamic=False)
    assert town.shows(results["static"], place).reason is Reason.GRANTED
    # Redacted, and shown as it is: whoever photographs it could take the face out.
    whole = issue.present(town.whole())
    assert town.shows(whole, place).reason is Reason.MALFORMED
