"""Rosters: nothing readable on disk, every entry found, and no damaged file believed."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.credential.model import FormatName
from agent.trust.model import TrustError
from agent.trust.roster import (
    Roster,
    RosterEntry,
    checked,
    load_key,
    load_roster,
    never_matches,
    read_csv,
    write_roster,
)
from tests.support.trust_keys import MEMORY, NOW

KEY = bytes(range(32))
ALICE, BOB = "110101199003074514", "PASS-E12345678"


def build(path: Path, *entries: RosterEntry, blocks: bool = False, settled: bool = False) -> Roster:
    write_roster(path, entries, key=KEY, blocks=blocks, created=NOW)
    return load_roster(path, KEY, settled=settled)


@pytest.mark.parametrize("settled", [False, True], ids=["read", "mapped"])
def test_subjects_are_found_and_others_are_not(tmp_path: Path, settled: bool) -> None:
    roster = build(tmp_path / "m.roster", RosterEntry(ALICE), RosterEntry(BOB), settled=settled)
    assert (roster.name, roster.blocks, len(roster), roster.created) == ("m", False, 2, NOW)
    assert roster.lists("Ministry", ALICE, NOW)
    assert roster.lists("Ministry", BOB, NOW, "hall")
    assert not roster.lists("Ministry", "somebody", NOW)
    assert not roster.lists("Ministry", "", NOW)


def test_an_entry_of_one_issuer_is_not_another_issuers(tmp_path: Path) -> None:
    roster = build(
        tmp_path / "m.roster", RosterEntry(ALICE, issuer="Ministry"), RosterEntry("b", issuer="a")
    )
    assert roster.lists("Ministry", ALICE, NOW)
    assert not roster.lists("Metro", ALICE, NOW)
    # Where one name ends and the other begins is part of what is hashed.
    assert not roster.lists("", "ab", NOW)
    assert not roster.lists("ab", "", NOW)


WINDOW = RosterEntry(ALICE, zone="car-7", valid_from=NOW, valid_until=NOW + 100)
TERMS = [
    (WINDOW, NOW, "car-7", True),
    (WINDOW, NOW + 100, "car-7", True),
    (WINDOW, NOW - 1, "car-7", False),
    (WINDOW, NOW + 101, "car-7", False),
    (WINDOW, NOW, "car-8", False),
    (WINDOW, NOW, "", False),
    (RosterEntry(ALICE, valid_until=NOW), NOW, "anywhere", True),
    (RosterEntry(ALICE, valid_until=NOW), NOW + 1, "anywhere", False),
    (RosterEntry(ALICE, zone="car-7"), NOW, "car-7", True),
    (RosterEntry(ALICE, zone="car-7"), NOW, "main", False),
]


@pytest.mark.parametrize(("entry", "now", "zone", "listed"), TERMS)
def test_zone_and_window_hold(
    tmp_path: Path, entry: RosterEntry, now: int, zone: str, listed: bool
) -> None:
    roster = build(tmp_path / "m.roster", entry, RosterEntry(BOB))
    assert roster.lists("Ministry", ALICE, now, zone) is listed
    assert roster.lists("Ministry", BOB, now, zone)


def test_one_subject_may_have_several_windows(tmp_path: Path) -> None:
    trips = [
        RosterEntry(ALICE, zone=f"t{n}", valid_from=n * 10, valid_until=n * 10 + 5)
        for n in range(9)
    ]
    roster = build(tmp_path / "m.roster", *trips)
    assert roster.lists("Ministry", ALICE, 42, "t4")
    assert not roster.lists("Ministry", ALICE, 47, "t4")
    assert not roster.lists("Ministry", ALICE, 42, "t5")


@given(
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=8)), max_size=60),
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=8)), max_size=20),
)
def test_a_roster_is_the_set_that_it_was_built_from(
    listed: list[tuple[str, str]], asked: list[tuple[str, str]]
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        entries = [RosterEntry(subject, issuer=issuer) for subject, issuer in listed]
        roster = build(Path(folder, "r.roster"), *entries)
        assert len(roster) == len(set(listed))
        for subject, issuer in listed + asked:
            expected = (subject, issuer) in listed or (subject, "") in listed
            assert roster.lists(issuer, subject, NOW) is expected


def test_no_identifier_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "m.roster"
    build(path, RosterEntry(ALICE, issuer="Ministry", zone="hall"), RosterEntry(BOB))
    data = path.read_bytes()
    for secret in (ALICE, BOB, "Ministry"):
        assert secret.encode() not in data
    assert KEY not in data
    assert ALICE not in repr(load_roster(path, KEY))
    assert ALICE not in repr(RosterEntry(ALICE))
    other = tmp_path / "o.roster"
    write_roster(other, [RosterEntry(ALICE)], key=b"k" * 32, blocks=False, created=NOW)
    assert data[-16:] not in other.read_bytes()


def test_an_empty_roster_lists_nobody(tmp_path: Path) -> None:
    roster = build(tmp_path / "m.roster", blocks=True)
    assert roster.blocks
    assert not roster.lists("Ministry", ALICE, NOW)


def test_a_roster_outlives_its_file(tmp_path: Path) -> None:
    roster = build(tmp_path / "m.roster", RosterEntry(ALICE), settled=True)
    (tmp_path / "m.roster").unlink()
    assert roster.lists("Ministry", ALICE, NOW)


def _swap_records(data: bytes) -> bytes:
    return data[:-32] + data[-16:] + data[-32:-16]


DAMAGE = [
    ("empty", lambda _: b"", "0 bytes cannot be a roster"),
    ("another file", lambda d: b"X" + d[1:], "not a roster"),
    ("cut in the header", lambda d: d[:40], "cut short in its header"),
    ("header length huge", lambda d: d[:8] + b"\xff\xff\xff\xff" + d[12:], "cut short in its header"),
    ("header no JSON", lambda d: d[:12] + b"[" + d[13:], "the header is damaged"),
    ("header says more", lambda d: d.replace(b'"count":2', b'"count":3'), "more than its header says"),
    ("negative count", lambda d: d.replace(b'"count":2', b'"count":-'), "the header is damaged"),
    ("key check of other letters", lambda d: d.replace(b'"key_check":"', '"key_check":"\u00e9'.encode()), "cut short|header is damaged"),
    ("mode unknown", lambda d: d.replace(b'"allow"', b'"admit"'), "the header is damaged"),
    ("cut in the records", lambda d: d[:-1], "cut short"),
    ("bytes after", lambda d: d + b"\0", "more than its header says"),
    ("record changed", lambda d: d[:-1] + bytes([d[-1] ^ 1]), "do not have the header's digest"),
    ("records unsorted", _swap_records, "do not have the header's digest"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE]
)
def test_a_damaged_file_is_refused(tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "m.roster"
    build(path, RosterEntry(ALICE), RosterEntry(BOB))
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(TrustError, match=message) as caught:
        load_roster(path, KEY)
    assert str(path) in str(caught.value)


def test_a_small_roster_takes_little_memory_to_read(tmp_path: Path) -> None:
    build(tmp_path / "m.roster", RosterEntry(ALICE))
    tracemalloc.start()
    try:
        load_roster(tmp_path / "m.roster", KEY)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_another_key_is_an_error_and_not_an_empty_list(tmp_path: Path) -> None:
    build(tmp_path / "m.roster", RosterEntry(ALICE))
    with pytest.raises(TrustError, match="made with another roster key"):
        load_roster(tmp_path / "m.roster", b"x" * 32)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.roster"
    crowd = [RosterEntry(ALICE, valid_from=number) for number in range(65)]
    cases: list[tuple[list[RosterEntry], bytes, str]] = [
        ([RosterEntry(ALICE, valid_from=2, valid_until=1)], KEY, "ends before it begins"),
        ([RosterEntry(ALICE, valid_from=-1)], KEY, "ends before it begins"),
        (crowd, KEY, "more than 64 entries"),
        ([], b"short", "a roster key is 32 bytes"),
    ]
    for entries, key, message in cases:
        with pytest.raises(TrustError, match=message) as caught:
            write_roster(path, entries, key=key, blocks=False, created=NOW)
        assert ALICE not in str(caught.value)
        assert not path.exists()
    write_roster(path, crowd[:64], key=KEY, blocks=False, created=NOW)


@pytest.mark.parametrize("form", [KEY, KEY.hex().encode(), KEY.hex().upper().encode() + b"\n"])
def test_a_key_is_bytes_or_hexadecimal(tmp_path: Path, form: bytes) -> None:
    (tmp_path / "k").write_bytes(form)
    assert load_key(tmp_path / "k") == KEY


@pytest.mark.parametrize("form", [b"", KEY[:-1], b"zz" * 32, b"\xff" * 64])
def test_anything_else_is_no_key(tmp_path: Path, form: bytes) -> None:
    (tmp_path / "k").write_bytes(form)
    with pytest.raises(TrustError, match="a roster key is 32 bytes"):
        load_key(tmp_path / "k")


def test_csv_becomes_entries(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "\ufeffsubject,zone,valid_from,valid_until,issuer\n"
        f"{ALICE},hall,2026-05-01T08:00:00+08:00,1780000000,Ministry\n"
        f'"{BOB}",,,,\n',
        encoding="utf-8",
    )
    assert list(read_csv(path)) == [
        RosterEntry(ALICE, "Ministry", "hall", 1_777_593_600, 1_780_000_000),
        RosterEntry(BOB),
    ]


CSV_FAULTS = [
    ("no heading", "", "the heading must be of"),
    ("no subject column", "zone\nhall\n", "the heading must be of"),
    ("unknown column", "subject,name\na,b\n", "the heading must be of"),
    ("empty subject", f"subject,zone\n{ALICE},\n,hall\n", "line 3: no subject"),
    ("too many cells", f"subject\n{ALICE},x\n", "line 2: not as many cells"),
    ("too few cells", f"subject,zone\n{ALICE}\n", "line 2: not as many cells"),
    ("no time", f"subject,valid_from\n{ALICE},soon\n", "line 2: not a time"),
    ("no offset", f"subject,valid_from\n{ALICE},2026-01-01\n", "line 2: a time needs its offset"),
    ("open quote", f'subject\n"{ALICE}', "not CSV"),
]


@pytest.mark.parametrize(
    ("text", "message"), [row[1:] for row in CSV_FAULTS], ids=[row[0] for row in CSV_FAULTS]
)
def test_a_fault_in_csv_names_the_line_and_nobody(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(TrustError, match=message) as caught:
        list(read_csv(path))
    assert ALICE not in str(caught.value)


def test_csv_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match="cannot be read"):
        list(read_csv(tmp_path / "none.csv"))
    (tmp_path / "bin.csv").write_bytes(b"subject\n\xff\xfe\n")
    with pytest.raises(TrustError, match="not CSV in UTF-8"):
        list(read_csv(tmp_path / "bin.csv"))


D, T, P, N, A = (
    FormatName.DCC, FormatName.TRANSIT, FormatName.PRETIX, FormatName.NATIVE, FormatName.AADHAAR,
)  # fmt: skip
DIGEST = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("subject", "formats", "fault"),
    [
        ("A1234567", (), ""),
        ("x" * 4_296, (), ""),
        ("x" * 4_297, (), "1 to 4296 characters"),
        ("", (), "1 to 4296 characters"),
        (" A1", (), "spaces around it"),
        ("A1\t", (), "spaces around it"),
        ("A\0001", (), "cannot be printed"),
        ("A 1", (), ""),
        ("URN:UVCI:01:XX:AB#1", (), "SHA-256 of its identifier"),
        ("urn:uvci:01:xx:ab#1", (N,), "SHA-256 of its identifier"),
        ("UVCI:01:XX:AB#1", (), "SHA-256 of its identifier"),
        ("NOT-UVCI:01", (), ""),
        ("HC1:6BF", (), "a whole code"),
        ("ni1:6BF", (), "a whole code"),
        ("NI2:6BF", (), "a whole code"),
        (DIGEST, (), ""),
        (DIGEST.upper(), (), "hexadecimal in capitals"),
        (DIGEST.upper(), (D, N), "hexadecimal in capitals"),
        (DIGEST.upper(), (N,), ""),
        (DIGEST, (D,), ""),
        (DIGEST[:-1], (D,), "its issuer's subjects are hashes"),
        (DIGEST + "0", (A,), "its issuer's subjects are hashes"),
        (DIGEST[:-1], (D, A), "its issuer's subjects are hashes"),
        (DIGEST[:-1], (D, N), ""),
        (DIGEST[:-1], (), ""),
        ("01023456:3104170000012345", (T,), ""),
        ("0102345G:3104170000012345", (T,), "ride codes only"),
        ("01023456:310417000001234", (T,), "ride codes only"),
        ("3104170000012345", (T, N), ""),
        ("==AbC+/0", (P,), ""),
        ("===AbC", (P,), "pretix tickets only"),
        ("Ab-C", (P,), "pretix tickets only"),
        ("Ab-C", (P, N), ""),
    ],
)
def test_a_subject_that_no_credential_has_is_told(
    subject: str, formats: tuple[FormatName, ...], fault: str
) -> None:
    said = never_matches(subject, frozenset(formats))
    assert bool(said) is bool(fault)
    assert fault in said
    assert "\n" not in said


def test_entries_are_held_against_the_issuers_of_the_set() -> None:
    issuers = {"board": frozenset({D}), "any": frozenset[FormatName]()}
    right = [RosterEntry("x"), RosterEntry("x", "any"), RosterEntry(DIGEST, "board")]
    assert list(checked(right, issuers, "l.csv")) == right
    for entry, message in (
        (RosterEntry("x", "nobody"), r"l\.csv, entry 2: no issuer 'nobody' in the set"),
        (RosterEntry("x", "board"), r"l\.csv, entry 2: can never match: its issuer's subjects"),
    ):
        with pytest.raises(TrustError, match=message):
            list(checked([right[0], entry], issuers, "l.csv"))
