"""Claim 169 in the native profile: which biometrics leave it, and what of the person."""

from __future__ import annotations

import pytest

from agent.credential import identity
from agent.credential.model import BiometricReference, Modality, ReferenceForm
from agent.reason import Reason
from tests.support.refusals import refused

FACE = {0: b"data", 1: 1, 2: 100, 3: "face-128"}


@pytest.mark.parametrize("position", range(48, 76))
def test_the_face_and_ten_fingers_are_taken(position):
    found = identity.references({position: [FACE]})
    modality = {62: Modality.FACE, **dict.fromkeys(range(50, 60), Modality.FINGER)}.get(position)
    if modality is None:
        assert found == ()
    else:
        expected = BiometricReference(
            modality, ReferenceForm.TEMPLATE, b"data", 100, "face-128", position
        )
        assert found == (expected,)


def test_the_order_is_the_credentials():
    found = identity.references({62: [FACE, FACE | {0: b"more"}], 8: "x", 50: [FACE]})
    assert [(each.position, each.data) for each in found] == [
        (62, b"data"), (62, b"more"), (50, b"data"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "form"), [(0, ReferenceForm.IMAGE), (1, ReferenceForm.TEMPLATE), (2, None), (-1, None)]
)
def test_a_form_that_no_matcher_takes_is_passed_over(kind, form):
    found = identity.references({62: [{0: b"x", 1: kind, 2: 7}, FACE]})
    assert [each.form for each in found[:-1]] == ([] if form is None else [form])
    assert found[-1].data == b"data"
    assert found[0].issuer == ("face-128" if form is None else "")


NO_LIST, NO_DATA, NO_FORMAT = (
    "is no list of biometrics",
    "holds no biometric data",
    "has no sound format",
)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (None, NO_LIST),
        (FACE, NO_LIST),
        ([], NO_LIST),
        ([7], NO_DATA),
        ([FACE, []], NO_DATA),
        ([{1: 1, 2: 100}], NO_DATA),
        ([FACE | {0: "x"}], NO_DATA),
        ([FACE | {1: True}], NO_FORMAT),
        ([FACE | {1: None}], NO_FORMAT),
        ([FACE | {2: True}], NO_FORMAT),
        ([FACE | {2: "100"}], NO_FORMAT),
        ([{0: b"x", 1: 1}], NO_FORMAT),
        ([{0: b"x", 2: 1}], NO_FORMAT),
        ([FACE | {3: 7}], NO_FORMAT),
        ([FACE | {3: None}], NO_FORMAT),
    ],
)  # fmt: skip
@pytest.mark.parametrize("position", [62, 50])
def test_biometrics_in_another_shape(position, entries, words):
    told = refused(identity.references, {position: entries})
    assert told == (Reason.MALFORMED, f"claim 169: {position} {words}")


@pytest.mark.parametrize(
    ("value", "expected"),
    [("19900228", "1990-02-28"), ("20000229", "2000-02-29"), ("00010101", "0001-01-01"), ("1990", "1990"), ("1990-02", "1990-02"),
     (None, None)],
)  # fmt: skip
def test_birth_date(value, expected):
    assert identity.birth_date({8: value}) == expected
    assert identity.birth_date({}) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("1990022", "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        ("199002281", "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        ("1990-2-2", "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        ("\u0661" * 8, "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        ("", "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        (19900228, "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        (b"19900228", "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        ("199002", "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        ("1990-02-28", "the birth date is not YYYYMMDD, YYYY-MM or YYYY"),
        ("0000", "no such birth date"),
        ("1990-13", "no such birth date"),
        ("1990-00", "no such birth date"),
        ("19900230", "no such birth date"),
        ("19010229", "no such birth date"),
        ("00000101", "no such birth date"),
    ],
)
def test_no_birth_date(value, words):
    assert refused(identity.birth_date, {8: value}) == (Reason.MALFORMED, f"claim 169: {words}")


def test_what_may_be_shown():
    """The names of MOSIP's table, and no biometrics."""
    named = {1: "id", 4: "full_name", 5: "first_name", 7: "last_name", 8: "birth_date", 9: "gender", 13: "nationality"}  # fmt: skip
    everything = {number: f"value {number}" for number in range(76)}
    assert identity.shown(everything) == {name: f"value {n}" for n, name in named.items()}
    assert identity.shown({9: 1, 4: b"bytes", 7: None, 5: ["x"], "id": "x"}) == {"gender": 1}
