"""Cards by the table: all of them or none, each wrong row by its line, codes that a gate believes."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from agent.credential import registry
from agent.credential.model import Credential, Kind
from agent.issuing import batch
from agent.issuing.batch import COLUMNS, BadRows, Card, make_cards, read_table
from agent.issuing.issue import present
from agent.issuing.keys import Holder, Issuer, SigningKey, new_issuer
from agent.trust.snapshot import TrustSnapshot

NOW = 1_800_000_000
DAY = 86_400
USUAL = Card(0, "", "", Kind.LIBRARY_CARD, 1, NOW + DAY)
PEOPLE = """subject,file,kind,level,valid_until,birth_date,regions,photo
4711,ada,,2,2027-12-31T23:59:59Z,1990-02-28,DE-BE DE-BB,
4712,,online-id,,,,,
4713,,,,,,,
"""


@pytest.fixture
def issuer() -> Issuer:
    return new_issuer("city", "ES256")


def table(folder: Path, text: str | bytes) -> Path:
    file = folder / "people.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def make(folder: Path, issuer: Issuer, text: str, *, phones: bool = False) -> Path:
    source = table(folder, text)
    cards = read_table(source, USUAL)
    make_cards(cards, issuer, folder / "out", source=source, issued_at=NOW, phones=phones)
    return folder / "out"


def read(code: str, issuer: Issuer) -> Credential:
    rules = registry.ReadRules(now=NOW + 5, clock_trusted=True, site="s", gate="g")
    trust = TrustSnapshot(keys=(issuer.issuer_key(),), updated_at=NOW)
    return registry.read(code.encode(), keys=trust, rules=rules)


def test_printed_codes_are_believed_and_say_what_the_rows_say(tmp_path, issuer) -> None:
    out = make(tmp_path, issuer, PEOPLE)
    assert sorted(file.name for file in out.iterdir()) == [
        "ada.cbor", "ada.png", "card-00003.cbor", "card-00003.png", "card-00004.cbor",
        "card-00004.png", "cards.csv",
    ]  # fmt: skip
    found = {}
    for file in out.glob("*.png"):
        with Image.open(file) as picture:
            (code,) = zxingcpp.read_barcodes(picture)
        found[file.stem] = read(code.text, issuer)
    ada, lin, eva = found["ada"], found["card-00003"], found["card-00004"]
    assert (ada.subject, ada.kind, ada.level, ada.birth_date) == (
        "4711", Kind.LIBRARY_CARD, 2, "1990-02-28",
    )  # fmt: skip
    assert (ada.valid_until, ada.regions) == (1_830_297_599, frozenset({"DE-BE", "DE-BB"}))
    assert (lin.subject, lin.kind, lin.level) == ("4712", Kind.ONLINE_ID, 1)
    assert (eva.kind, eva.valid_until, eva.issued_at) == (Kind.LIBRARY_CARD, NOW + DAY, NOW)
    rows = list(csv.DictReader(io.StringIO((out / "cards.csv").read_text())))
    assert [(row["line"], row["file"], row["subject"], row["valid_until"]) for row in rows] == [
        ("2", "ada", "4711", "2027-12-31T23:59:59Z"),
        ("3", "card-00003", "4712", "2027-01-16T08:00:00Z"),
        ("4", "card-00004", "4713", "2027-01-16T08:00:00Z"),
    ]


def test_everything_is_its_owners_only(tmp_path, issuer) -> None:
    out = make(tmp_path, issuer, PEOPLE, phones=True)
    assert out.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in out.iterdir()} == {0o600}


def test_each_phone_has_a_key_of_its_own_and_no_printed_code(tmp_path, issuer) -> None:
    out = make(tmp_path, issuer, PEOPLE, phones=True)
    assert list(out.glob("*.png")) == []
    keys = {file.read_bytes() for file in out.glob("*.key.pem")}
    assert len(keys) == 3
    holder = Holder(SigningKey.from_file(out / "ada.key.pem"))
    code = present((out / "ada.cbor").read_bytes(), holder, at=NOW, audience="s/g")
    assert read(code, issuer).dynamic


@pytest.mark.parametrize("comma", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_as_spreadsheets_write_them(tmp_path, comma, mark, end) -> None:
    text = f'subject{comma}file{end}{end}"47{comma}11"{comma}ada{end}{comma}{end}4712{comma}{end}'
    cards = read_table(table(tmp_path, mark + text.encode()), USUAL)
    assert [(card.line, card.subject, card.file) for card in cards] == [
        (3, f"47{comma}11", "ada"),
        (5, "4712", "card-00005"),
    ]


LIKE = "write it like 2027-12-31T23:59:59Z"
WRONG = [
    ("subject\n\n", "0 rows; 1 to 100000 are needed"),
    ("", "line 1: each column once, and subject among them"),
    ("file\nada\n", "line 1: each column once, and subject among them"),
    ("subject,subject\n1,2\n", "line 1: each column once, and subject among them"),
    (
        "subject,Photo\n1,\n",
        f"line 1: unknown column 'Photo'; allowed: {', '.join(COLUMNS)}",
    ),
    ("subject,level\n1,1\n2\n", "line 3: 1 fields, not 2; no card was made"),
    ("subject,level\n1,1\n,1\n", "line 3: subject is empty; no card was made"),
    ("subject,level\n1,3\n", "line 2: level is 1 or 2; no card was made"),
    (
        "subject,kind\n1,library\n",
        f"line 2: kind 'library'; allowed: {', '.join(Kind)}; no card was made",
    ),
    ("subject\n1\n2\n1\n", "line 4: subject is that of line 2; no card was made"),
    ("subject,file\n1,a\n2,A\n", "line 3: file is that of line 2; no card was made"),
    (
        "subject,file\n1,../a\n",
        "line 2: file '../a' is no name of letters, digits, '.', '_' and '-'; no card was made",
    ),
    (
        "subject,file\n1,cards\n",
        "line 2: file 'cards' is no name of letters, digits, '.', '_' and '-'; no card was made",
    ),
    (
        "subject,valid_until\n1,soon\n",
        f"line 2: valid_until: neither ISO 8601 nor Unix seconds; {LIKE}; no card was made",
    ),
    (
        "subject,birth_date\n1,1990-02-30\n",
        "line 2: birth_date is no date; write it like 1990-12-31; no card was made",
    ),
    (
        "subject,regions\n1,DE-BE Berlin\n",
        "line 2: regions: 'Berlin' is no ISO 3166-2 code, such as DE-BE; no card was made",
    ),
    (
        "subject,level\n1,3\n2,1\n,2\n",
        "line 2: level is 1 or 2; line 4: subject is empty; no card was made",
    ),
    ('subject\n"1\n', "unexpected end of data"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said[:50] for _, said in WRONG])
def test_what_is_wrong_with_a_table_is_said_by_its_line(tmp_path, text, said) -> None:
    source = table(tmp_path, text)
    with pytest.raises(ValueError, match=r": ") as told:
        read_table(source, USUAL)
    assert str(told.value) == f"{source}: {said}"


def test_a_longer_list_of_wrong_rows_is_cut(tmp_path) -> None:
    with pytest.raises(BadRows, match=r"line 21: level is 1 or 2; and 5 more; no card") as told:
        read_table(table(tmp_path, "subject,level\n" + "1,3\n" * 25), USUAL)
    assert len(told.value.wrong) == 25


def test_neither_identifiers_nor_dates_of_birth_are_repeated(tmp_path) -> None:
    text = "subject,birth_date\nLin Wei,1990-1-1\nLin Wei,\nLin Wei,\n" + "x" * 256 + ",\n"
    with pytest.raises(BadRows) as told:
        read_table(table(tmp_path, text), USUAL)
    assert "Lin" not in str(told.value)
    assert "1990-1-1" not in str(told.value)
    assert len(told.value.wrong) == 3


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_another_encoding_is_named(tmp_path, encoding) -> None:
    with pytest.raises(ValueError, match="not UTF-8 text: save it as that"):
        read_table(table(tmp_path, "subject\nÄda\n".encode(encoding)), USUAL)


def test_too_large_a_table_is_not_read(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(batch, "MOST_BYTES", 10)
    assert read_table(table(tmp_path, "subject\n1\n"), USUAL)
    with pytest.raises(ValueError, match="over 0 MiB"):
        read_table(table(tmp_path, "subject\n12\n"), USUAL)


def photo(folder: Path, name: str, **options: object) -> None:
    out = io.BytesIO()
    Image.new("RGB", (16, 16), (90, 60, 30)).save(out, **options)
    (folder / name).write_bytes(out.getvalue())


def test_photos_stand_beside_the_table(tmp_path, issuer) -> None:
    photo(tmp_path, "ada.webp", format="WEBP")
    out = make(tmp_path, issuer, "subject,photo\n1,ada.webp\n")
    with Image.open(out / "card-00002.png") as picture:
        (code,) = zxingcpp.read_barcodes(picture)
    (reference,) = read(code.text, issuer).references
    assert reference.data == (tmp_path / "ada.webp").read_bytes()


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ("2,,none.webp", r"line 3: .*none\.webp: No such file or directory"),
        ("2,,text.webp", "line 3: a face picture is PNG, JPEG, WEBP or AVIF"),
        ("2,,large.png", r"line 3: .*large\.png: 70000 bytes; gates take a picture of at most"),
        ("2,2020-01-01,", "line 3: valid until 2020-01-01T00:00:00Z, before it is issued"),
        ("2,2027-01-15T08:00:00Z,", "line 3: valid until 2027-01-15T08:00:00Z, before it"),
    ],
)
def test_a_card_that_cannot_be_made_leaves_none(tmp_path, issuer, second, said) -> None:
    (tmp_path / "text.webp").write_text("no picture")
    (tmp_path / "large.png").write_bytes(b"\x89PNG" + bytes(69_996))
    before = {file.name for file in tmp_path.iterdir()} | {"people.csv"}
    with pytest.raises(BadRows, match=f"{said}.*; no card was made$"):
        make(tmp_path, issuer, f"subject,valid_until,photo\n1,,\n{second}\n")
    assert {file.name for file in tmp_path.iterdir()} == before


def test_a_folder_that_is_there_is_not_touched(tmp_path, issuer) -> None:
    make(tmp_path, issuer, PEOPLE)
    before = sorted((file.name, file.read_bytes()) for file in (tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match="is there already; cards go into a new folder"):
        make(tmp_path, issuer, PEOPLE)
    assert sorted((file.name, file.read_bytes()) for file in (tmp_path / "out").iterdir()) == before


def test_a_disk_that_refuses_leaves_nothing(tmp_path, issuer, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "cards.csv")

    monkeypatch.setattr(batch, "_write", full)
    with pytest.raises(OSError, match="No space left"):
        make(tmp_path, issuer, PEOPLE)
    assert {file.name for file in tmp_path.iterdir()} == {"people.csv"}
