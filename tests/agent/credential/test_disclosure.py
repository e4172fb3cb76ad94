"""Selective disclosure by itself: digests, disclosures, and the draft's own vectors."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from agent.credential import cbor, cose, disclosure
from agent.credential.limits import CBOR_DEPTH, SD_DIGESTS, SD_DISCLOSURES
from agent.credential.numbers import Header
from agent.reason import Reason
from tests.support.refusals import refused

SALT = b"s" * 16


def made(*parts: Any, salt: bytes = SALT) -> bytes:
    return cbor.encode([salt, *parts])


def left(*raws: bytes) -> dict[bytes, bytes]:
    return disclosure.disclosures(list(raws) or None)


def redacted(*raws: bytes, **more: Any) -> dict[Any, Any]:
    return {cbor.REDACTED: [disclosure.digest_of(raw) for raw in raws]} | more


def told(claims: Any, *raws: bytes, within: Any = None) -> str:
    reason, words = refused(disclosure.restore, claims, left(*raws), within)
    assert reason is Reason.MALFORMED
    return words.removeprefix("disclosure: ")


# --- the draft's vectors -----------------------------------------------------------------------------


def _vector(vectors: Any, name: str) -> cose.Sign1:
    data = (vectors("sd_cwt") / f"{name}.cbor").read_bytes()
    message = cose.parse_sign1(data, kcwt=True)
    kcwt = message.protected.get(Header.KCWT)
    return message if kcwt is None else cose.sign1_of(kcwt.value)


@pytest.mark.parametrize(
    ("name", "shown", "kept"), [("issuer_cwt", 5, 0), ("kbt", 3, 2), ("nested_kbt", 7, None)]
)
def test_disclosures_of_the_drafts_vectors_fit_their_digests(vectors, name, shown, kept):
    message = _vector(vectors, name)
    listed = message.unprotected[Header.SD_CLAIMS]
    assert len(listed) == shown
    found = disclosure.restore(disclosure.decode(message.payload), disclosure.disclosures(listed))
    assert found.digests - found.undisclosed == shown
    assert kept in (None, found.undisclosed)
    assert found.claims[1] == "https://issuer.example"


def test_what_the_drafts_vectors_say(vectors):
    message = _vector(vectors, "kbt")
    claims = disclosure.restore(
        disclosure.decode(message.payload), left(*message.unprotected[Header.SD_CLAIMS])
    ).claims
    assert claims[501] == "ABCD-123456"
    assert claims[502] == [1549560720, 1674004740]
    assert claims[503] == {"country": "us", "region": "ca"}
    nested = _vector(vectors, "nested_kbt")
    claims = disclosure.restore(
        disclosure.decode(nested.payload), left(*nested.unprotected[Header.SD_CLAIMS])
    ).claims
    assert claims[504] == [
        {500: True, 501: "DCBA-101777", 502: 1549560720, 503: {1: "us"}},
        {500: True, 501: "ABCD-123456", 502: 1674004740, 503: {1: "us", 2: "ca"}},
    ]


@pytest.mark.parametrize("name", ["issuer_cwt", "kbt", "nested_kbt"])
def test_every_byte_of_a_vectors_disclosure_counts(vectors, name):
    message = _vector(vectors, name)
    listed = message.unprotected[Header.SD_CLAIMS]
    for number, raw in enumerate(listed):
        for at in range(len(raw)):
            bent = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
            changed = [*listed[:number], bent, *listed[number + 1 :]]
            words = told(disclosure.decode(message.payload), *changed)
            assert words == "no digest for it was signed"


def test_a_vectors_disclosure_of_another_is_refused(vectors):
    message, other = _vector(vectors, "kbt"), _vector(vectors, "nested_kbt")
    own = set(message.unprotected[Header.SD_CLAIMS])
    foreign = next(raw for raw in other.unprotected[Header.SD_CLAIMS] if raw not in own)
    claims = disclosure.decode(message.payload)
    assert told(claims, *own, foreign) == "no digest for it was signed"


def test_a_digest_is_of_the_byte_string_with_its_head():
    raw = made("value", 8)
    whole = cbor.encode(raw)
    assert len(whole) == len(raw) + 2
    assert disclosure.digest_of(raw) == hashlib.sha256(whole).digest()


# --- what is put back --------------------------------------------------------------------------------


def test_members_and_elements_come_back_in_their_places():
    name, first, last = made("Ada", 4), made("first"), made("last")
    marks = [cbor.Tagged(60, disclosure.digest_of(raw)) for raw in (first, last)]
    claims = {169: redacted(name, list=[marks[0], "middle", marks[1]])}
    whole = {169: {4: "Ada", "list": ["first", "middle", "last"]}}
    assert disclosure.restore(claims, left(name, first, last)) == (whole, 3, 0)
    assert disclosure.restore(claims, left(last)) == ({169: {"list": ["middle", "last"]}}, 3, 2)
    assert disclosure.restore(claims, left()) == ({169: {"list": ["middle"]}}, 3, 3)


def test_an_array_of_which_nothing_is_left_is_gone_and_an_empty_one_stays():
    element = made("only")
    claims = {1: [cbor.Tagged(60, disclosure.digest_of(element))], 2: []}
    assert disclosure.restore(claims, {}).claims == {2: []}
    assert disclosure.restore(claims, left(element)).claims == {1: ["only"], 2: []}


def test_what_is_disclosed_may_hold_digests():
    inner = made("Ada", 5)
    outer = made(redacted(inner, last="L"), 4)
    claims = {169: redacted(outer)}
    assert disclosure.restore(claims, left(inner, outer)) == (
        {169: {4: {5: "Ada", "last": "L"}}}, 2, 0,
    )  # fmt: skip
    assert disclosure.restore(claims, left(outer)) == ({169: {4: {"last": "L"}}}, 2, 1)
    assert told(claims, inner) == "no digest for it was signed"


def test_claims_without_digests_are_as_they_were():
    claims = {1: {2: [3, {4: 5}]}, "x": b"y"}
    assert disclosure.restore(claims, {}) == (claims, 0, 0)


def test_digests_stand_only_where_the_reader_says():
    raw = made("Ada", 4)
    assert disclosure.restore({169: redacted(raw), 2: "x"}, left(raw), {169}).digests == 1
    assert told({8: redacted(raw)}, raw, within={169}) == (
        "digests in a claim that is never redacted"
    )
    assert told({8: redacted(raw)}, within={169}) == "digests in a claim that is never redacted"
    assert told({**redacted(raw), 2: "x"}, within={169}) == ("a claim of the top level is redacted")


# --- what refuses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ([], f"no list of 1 to {SD_DISCLOSURES}"),
        ({}, f"no list of 1 to {SD_DISCLOSURES}"),
        (b"x", f"no list of 1 to {SD_DISCLOSURES}"),
        ([bytes([n]) for n in range(SD_DISCLOSURES + 1)], f"no list of 1 to {SD_DISCLOSURES}"),
        (["text"], "no byte string"),
        ([b"x", 1], "no byte string"),
        ([b"x", b"y", b"x"], "one of them twice"),
    ],
)
def test_a_list_that_is_none(listed, words):
    expected = Reason.MALFORMED, f"disclosure: {words}"
    assert refused(disclosure.disclosures, listed) == expected


def test_as_many_disclosures_as_are_allowed():
    assert disclosure.disclosures(None) == {}
    raws = [made(n, n) for n in range(SD_DISCLOSURES)]
    found = disclosure.restore({169: redacted(*raws)}, left(*raws))
    assert found == ({169: {n: n for n in range(SD_DISCLOSURES)}}, SD_DISCLOSURES, 0)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (made("Ada"), "it names no member"),
        (made("Ada", 4, 5), "it names no member"),
        (made("Ada", b"4"), "it names no member"),
        (made("Ada", True), "it names no member"),
        (made("Ada", [4]), "it names no member"),
        (made("Ada", "there"), "of a member that is there already"),
        (made(), "it discloses nothing"),
        (cbor.encode({}), "it discloses nothing"),
        (cbor.encode(4), "it discloses nothing"),
        (made("Ada", 4, salt=b"s" * 15), "its salt is not 16 to 64 bytes"),
        (made("Ada", 4, salt=b"s" * 65), "its salt is not 16 to 64 bytes"),
        (cbor.encode(["s" * 16, "Ada", 4]), "its salt is not 16 to 64 bytes"),
    ],
)
def test_a_member_that_is_none(raw, words):
    assert told({169: redacted(raw, there=1)}, raw) == words


@pytest.mark.parametrize("size", [16, 64])
def test_salts_from_the_shortest_to_the_longest(size):
    raw = made("Ada", 4, salt=b"s" * size)
    assert disclosure.restore({169: redacted(raw)}, left(raw)).claims == {169: {4: "Ada"}}


def test_two_disclosures_of_one_member():
    raws = made("Ada", 4), made("Eve", 4)
    assert told({169: redacted(*raws)}, *raws) == "of a member that is there already"


def test_a_member_where_an_element_was():
    raw = made("Ada", 4)
    mark = cbor.Tagged(60, disclosure.digest_of(raw))
    assert told({1: [mark]}, raw) == "of a member where an element was"
    assert told({1: mark}) == "a redacted element outside an array"
    assert told({1: [{2: mark}]}) == "a redacted element outside an array"


@pytest.mark.parametrize("digests", [[], {}, b"x" * 32, None, 1])
def test_digests_that_are_no_list(digests):
    assert told({1: {cbor.REDACTED: digests}}) == "simple(59) lists no digests"


@pytest.mark.parametrize("digest", [b"x" * 31, b"x" * 33, "x" * 32, 1, [b"x" * 32]])
def test_a_digest_that_is_none(digest):
    assert told({1: {cbor.REDACTED: [digest]}}) == "a digest is not 32 bytes"
    assert told({1: [cbor.Tagged(60, digest)]}) == "a digest is not 32 bytes"


def test_a_digest_stands_once():
    raw = made("Ada", 4)
    digest = disclosure.digest_of(raw)
    assert told({1: {cbor.REDACTED: [digest, digest]}}, raw) == "a digest twice"
    assert told({1: redacted(raw), 2: redacted(raw)}, raw) == "a digest twice"
    assert told({1: redacted(raw), 2: [cbor.Tagged(60, digest)]}) == "a digest twice"


def test_digests_are_counted_wherever_they_stand():
    def many(size: int) -> dict[Any, Any]:
        digests = [bytes([n]) * 32 for n in range(size)]
        return {1: {cbor.REDACTED: digests[1:]}, 2: [cbor.Tagged(60, digests[0])]}

    found = disclosure.restore(many(SD_DIGESTS), {})
    assert (found.digests, found.undisclosed) == (SD_DIGESTS, SD_DIGESTS)
    assert told(many(SD_DIGESTS + 1)) == f"more than {SD_DIGESTS} digests"


def marked(raw: bytes) -> list[Any]:
    return [cbor.Tagged(60, disclosure.digest_of(raw))]


WAYS: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "a member": (redacted, (1,), CBOR_DEPTH),
    "a member of a member": (lambda raw: {1: redacted(raw)}, (1,), CBOR_DEPTH // 2),
    "a member of an element": (lambda raw: [redacted(raw)], (1,), CBOR_DEPTH // 2),
    "an element": (marked, (), CBOR_DEPTH),
}
"""What a disclosed value is made of, the key of a disclosure, how many fit inside each other."""


@pytest.mark.parametrize("way", WAYS)
def test_a_chain_of_disclosures_is_as_deep_as_claims_may_be(way):
    wrap, key, most = WAYS[way]

    def chain(length: int) -> tuple[Any, list[bytes]]:
        raws = [made("end", *key)]
        while len(raws) < length:
            raws.append(made(wrap(raws[-1]), *key))
        return wrap(raws[-1]), raws

    claims, raws = chain(most)
    assert disclosure.restore(claims, left(*raws)).undisclosed == 0
    claims, raws = chain(most + 1)
    assert told(claims, *raws) == f"nested deeper than {CBOR_DEPTH}"


def test_a_claim_stands_one_level_inside_the_claims():
    def chain(length: int) -> tuple[Any, list[bytes]]:
        raws = [made("end", 1)]
        while len(raws) < length:
            raws.append(made(redacted(raws[-1]), 1))
        return {169: redacted(raws[-1])}, raws

    claims, raws = chain(CBOR_DEPTH - 1)
    assert disclosure.restore(claims, left(*raws), {169}).undisclosed == 0
    claims, raws = chain(CBOR_DEPTH)
    assert told(claims, *raws, within={169}) == f"nested deeper than {CBOR_DEPTH}"


def test_a_float_is_let_through_so_that_who_reads_can_tell_what_is_wrong_with_it():
    assert disclosure.decode(cbor.encode({4: 1.5})) == {4: 1.5}


def test_a_disclosure_is_read_as_strictly_as_claims():
    raw = b"\x83\x50" + SALT + b"\x18\x05\x04"  # five, longer than needed
    reason, words = refused(disclosure.restore, {1: redacted(raw)}, left(raw))
    assert (reason, words) == (Reason.MALFORMED, "CBOR: a number not in its shortest form")


@pytest.mark.parametrize(
    ("claims", "expected"),
    [({1: "x"}, False), ({1: {cbor.REDACTED: [b"x"]}}, True), ({1: [cbor.Tagged(60, b"")]}, True)],
)
def test_whether_claims_may_hold_digests(claims, expected):
    assert disclosure.has_digests(cbor.encode(claims)) is expected
