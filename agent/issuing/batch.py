"""Many cards at once: a table of people in, a new folder of credentials and codes out.

Rules:
- A table is CSV with a first line of column names, as spreadsheets write it: `,`, `;` or tabs, with
  or without a byte order mark. `subject` must be there; what else may is in `COLUMNS`.
- All or none: each wrong row is named by its line, and then no card is made. The folder appears
  whole, under its own name, when the last card is written; it must not be there before.
- What is written is its owner's only: keys, and tables that say which card is whose.
"""

from __future__ import annotations

import csv
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from agent.biometrics.picture_header import CREDENTIAL_LIMITS
from agent.clock.moment import moment_text, parse_moment
from agent.credential.model import BiometricReference, Kind
from agent.issuing.issue import Medium, Version, face_image, present, qr_png, sign_credential
from agent.issuing.keys import Holder, Issuer
from agent.settings.checks import REGION

__all__ = ["COLUMNS", "BadRows", "Card", "make_cards", "read_photo", "read_table"]

COLUMNS: Final = {
    "subject": "opaque identifier at the issuer; needed, each once",
    "file": "name of the card's files: letters, digits, `.`, `_`, `-`; else `card-` and the line",
    "kind": "kind of document",
    "level": "1 basic, 2 upgraded",
    "valid_until": "last second of validity, ISO 8601",
    "birth_date": "YYYY-MM-DD",
    "regions": "ISO 3166-2 codes with spaces between",
    "photo": "picture file, beside the table; small, as `idgate face enroll --photo` makes it",
}
"""Columns of a table and what stands in them; an empty field is as if the column were not there."""
MOST_ROWS: Final = 100_000
MOST_BYTES: Final = 64 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TOLD = 20
"""Wrong rows that are named; of the others only how many."""
INDEX: Final = "cards.csv"


class BadRows(ValueError):
    """Rows that no card can be made of; one line each."""

    def __init__(self, source: Path, wrong: list[str]) -> None:
        more = [f"and {len(wrong) - _TOLD} more"] if len(wrong) > _TOLD else []
        lines = "; ".join([*wrong[:_TOLD], *more])
        super().__init__(f"{source}: {lines}; no card was made")
        self.wrong = tuple(wrong)


@dataclass(frozen=True, slots=True)
class Card:
    """What one card says.

    Attributes:
        line: in the table, from 1.
        file: name of its files, without their ends.
        valid_until: last second of validity, Unix seconds.
        photo: file of a picture.
    """

    line: int
    file: str
    subject: str = field(repr=False)
    kind: Kind
    level: int
    valid_until: int
    birth_date: str | None = field(repr=False, default=None)
    regions: tuple[str, ...] = ()
    photo: Path | None = None


def read_photo(file: Path) -> BiometricReference:
    """Return a picture for a credential.

    Raises:
        ValueError: it is too large for gates, or no picture.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        data = stream.read(CREDENTIAL_LIMITS.file_bytes + 1)
    if len(data) > CREDENTIAL_LIMITS.file_bytes:
        raise ValueError(
            f"{file}: {file.stat().st_size} bytes; gates take a picture of at most "
            f"{CREDENTIAL_LIMITS.file_bytes}: `idgate face enroll` makes a template or one"
        )
    return face_image(data)


def read_table(source: Path, usual: Card) -> list[Card]:
    """Read the rows of a table.

    Args:
        source: the file; photos are named relative to it.
        usual: gives what a row leaves out.

    Raises:
        ValueError: the file is no such table, has no row or too many.
        BadRows: which rows are wrong, and why.
        OSError: it cannot be read.
    """
    if source.stat().st_size > MOST_BYTES:
        raise ValueError(f"{source}: over {MOST_BYTES >> 20} MiB")
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{source}: not UTF-8 text: save it as that") from None
    first = text.split("\n", 1)[0]
    comma = max(",;\t", key=first.count)
    try:
        rows = list(_rows(text, comma))
    except csv.Error as error:
        raise ValueError(f"{source}: {error}") from None
    columns = [name.strip() for name in rows[0][1]] if rows else []
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise ValueError(
            f"{source}: line 1: unknown column {unknown[0][:40]!r}; allowed: {', '.join(COLUMNS)}"
        )
    if "subject" not in columns or len(set(columns)) != len(columns):
        raise ValueError(f"{source}: line 1: each column once, and subject among them")
    if not 1 <= len(rows) - 1 <= MOST_ROWS:
        raise ValueError(f"{source}: {len(rows) - 1} rows; 1 to {MOST_ROWS} are needed")
    return _cards(source, usual, columns, rows[1:])


def _rows(text: str, comma: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of the rows that are not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
    line = 1
    for fields in reader:
        if any(field.strip() for field in fields):
            yield line, fields
        line = reader.line_num + 1


def _cards(
    source: Path, usual: Card, columns: list[str], rows: list[tuple[int, list[str]]]
) -> list[Card]:
    cards: list[Card] = []
    wrong: list[str] = []
    met: dict[tuple[str, str], int] = {}
    for line, fields in rows:
        if len(fields) != len(columns):
            wrong.append(f"line {line}: {len(fields)} fields, not {len(columns)}")
            continue
        given = {
            name: text.strip() for name, text in zip(columns, fields, strict=True) if text.strip()
        }
        try:
            card = _card(line, given, usual, source.parent)
            _require_new(card, met)
        except ValueError as error:
            wrong.append(f"line {line}: {error}")
        else:
            cards.append(card)
    if wrong:
        raise BadRows(source, wrong)
    return cards


def _require_new(card: Card, met: dict[tuple[str, str], int]) -> None:
    """Refuse what another row has; file names differ by more than large and small letters."""
    for what, value in (("subject", card.subject), ("file", card.file.casefold())):
        before = met.setdefault((what, value), card.line)
        if before != card.line:
            raise ValueError(f"{what} is that of line {before}")


def _card(line: int, given: Mapping[str, str], usual: Card, folder: Path) -> Card:
    """Return what a row says.

    Raises:
        ValueError: what is wrong with it; quotes no identifier and no date of birth.
    """
    if "subject" not in given:
        raise ValueError("subject is empty")
    if len(given["subject"]) > 255:
        raise ValueError("subject is longer than 255 characters")
    file = given.get("file", f"card-{line:05d}")
    if not _NAME.fullmatch(file) or file.casefold() == Path(INDEX).stem:
        raise ValueError(f"file {file[:40]!r} is no name of letters, digits, '.', '_' and '-'")
    card = replace(usual, line=line, file=file, subject=given["subject"])
    if "kind" in given:
        if given["kind"] not in {kind.value for kind in Kind}:
            raise ValueError(f"kind {given['kind'][:40]!r}; allowed: {', '.join(Kind)}")
        card = replace(card, kind=Kind(given["kind"]))
    if "level" in given:
        if given["level"] not in ("1", "2"):
            raise ValueError("level is 1 or 2")
        card = replace(card, level=int(given["level"]))
    if "valid_until" in given:
        try:
            until = parse_moment(given["valid_until"])
        except ValueError as error:
            raise ValueError(f"valid_until: {error}; write it like 2027-12-31T23:59:59Z") from None
        card = replace(card, valid_until=until)
    if "birth_date" in given:
        card = replace(card, birth_date=_birth_date(given["birth_date"]))
    if "regions" in given:
        regions = tuple(given["regions"].split())
        if bad := [region for region in regions if not REGION.fullmatch(region)]:
            raise ValueError(f"regions: {bad[0][:20]!r} is no ISO 3166-2 code, such as DE-BE")
        card = replace(card, regions=regions)
    if "photo" in given:
        card = replace(card, photo=folder / given["photo"])
    return card


def _birth_date(text: str) -> str:
    try:
        found = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("birth_date is no date; write it like 1990-12-31")
    return text


def make_cards(
    cards: list[Card],
    issuer: Issuer,
    out: Path,
    *,
    source: Path,
    issued_at: int,
    phones: bool,
    version: Version = 2,
) -> None:
    """Make the cards' files in a new folder.

    Each card is `FILE.cbor` and, to be printed, `FILE.png`, its static code; with phones
    `FILE.key.pem` instead of a code, since the phone makes those. `cards.csv` says which is whose
    and how long it is valid.

    Args:
        cards: as `read_table` returned them.
        issuer: who signs.
        out: the folder; made here.
        source: names the table in errors.
        issued_at: Unix seconds.
        phones: whether each card is bound to a new key.
        version: of the native profile.

    Raises:
        ValueError: the folder is there already.
        BadRows: cards that cannot be made; nothing is left of the others.
        OSError: the disk refuses; nothing is left.
    """
    if out.exists() or out.is_symlink():
        raise ValueError(f"{out}: is there already; cards go into a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".{out.name}.{secrets.token_hex(8)}")
    scratch.mkdir(mode=0o700)
    try:
        _make_all(cards, issuer, scratch, source=source, issued_at=issued_at, phones=phones,
                  version=version)  # fmt: skip
        _write(scratch / INDEX, _index(cards).encode())
        scratch.rename(out)
    except BaseException:
        shutil.rmtree(scratch)
        raise


def _make_all(cards: list[Card], issuer: Issuer, folder: Path, *, source: Path, **how: Any) -> None:
    wrong = []
    for card in cards:
        try:
            _make(card, issuer, folder, **how)
        except ValueError as error:
            wrong.append(f"line {card.line}: {error}")
        except OSError as error:
            if card.photo is None or str(card.photo) != error.filename:
                raise
            wrong.append(f"line {card.line}: {error.filename}: {error.strerror}")
    if wrong:
        raise BadRows(source, wrong)


def _make(
    card: Card, issuer: Issuer, folder: Path, *, issued_at: int, phones: bool, version: Version
) -> None:
    if card.valid_until <= issued_at:
        raise ValueError(f"valid until {moment_text(card.valid_until)}, before it is issued")
    holder = Holder.new() if phones else None
    token = sign_credential(
        issuer,
        holder,
        subject=card.subject,
        issued_at=issued_at,
        valid_until=card.valid_until,
        kind=card.kind,
        level=card.level,
        birth_date=card.birth_date,
        regions=card.regions,
        references=[] if card.photo is None else [read_photo(card.photo)],
        version=version,
    )
    _write(folder / f"{card.file}.cbor", token)
    if holder is not None:
        _write(folder / f"{card.file}.key.pem", holder.key.private_pem())
    else:
        text = present(token, compress=True)
        _write(folder / f"{card.file}.png", qr_png(text, medium=Medium.PAPER))


def _index(cards: list[Card]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("line", "file", "subject", "kind", "valid_until"))
    for card in cards:
        until = moment_text(card.valid_until)
        writer.writerow((card.line, card.file, card.subject, card.kind.value, until))
    return text.getvalue()


def _write(file: Path, data: bytes) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
