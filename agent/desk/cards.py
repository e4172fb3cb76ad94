"""Printed cards: static credentials for many members at once, as pages that a browser prints.

Rules:
- a card says the name, the place's number, what it is, its level by word and by pattern, how long
  it is good and, small, the reference under which the desk finds who lost it;
- its code is static, of error correction M as paper wants, its modules as large as the card lets
  them be; it holds no biometric reference: the desk has none;
- a member has one printed card of a kind: when all of a job are made, those before are withdrawn;
- cards are signed in small transactions between which others work; what a job signed that fails or
  is stopped is revoked, since nobody has it;
- pages are HTML with everything in them, escaped, without script; colours are attributes of SVG, so
  that they need no inline style. Sizes: ISO/IEC 7810 ID-1, ISO 216 A4.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final

from agent.credential.model import Kind, Level
from agent.desk.audit import Action
from agent.desk.credentials import CredentialError, Credentials, Issued
from agent.desk.desk import Desk
from agent.desk.jobs import Progress
from agent.desk.members import Member, MemberError, Members
from agent.desk.settings import PlaceSettings
from agent.desk.statuses import Form, Selection, Status
from agent.desk.vci.metadata import kind_name
from agent.issuing.issue import Medium, present, qr_symbol

__all__ = ["MOST_CARDS", "Card", "CardJob", "Layout", "card_styles", "code_svg", "render"]

MOST_CARDS: Final = 1_000
"""In one go."""

_AT_ONCE: Final = 20
_PER_SHEET: Final = 10
_FOLDER: Final = "card_pages"
_QUIET: Final = 4
"""Modules of white around the code, ISO/IEC 18004."""

_WORDS: Final = {
    "en": {"basic": "Basic", "upgraded": "Upgraded", "until": "Valid until", "number": "No.",
           "code": "Code to show at the gate"},
    "es": {"basic": "Básica", "upgraded": "Verificada", "until": "Válida hasta", "number": "N.º",
           "code": "Código para mostrar en el acceso"},
    "zh": {"basic": "基本", "upgraded": "升级", "until": "有效期至", "number": "编号",
           "code": "在门口出示的二维码"},
}  # fmt: skip


class Layout(StrEnum):
    """How cards stand on paper."""

    CARD = "id-1"
    """One card a page of 85.6 x 53.98 mm, for a card printer."""
    SHEET = "a4"
    """Ten cards on an A4 page, to be cut."""


@dataclass(frozen=True, slots=True)
class Card:
    """What stands on one card.

    Attributes:
        name, number: of the member; the number may be "".
        kind: of document.
        level: 1 basic, 2 upgraded.
        valid_until: last second, Unix seconds.
        symbol: the code as an SVG element, with its quiet zone.
    """

    name: str = field(repr=False)
    number: str = field(repr=False)
    reference: str
    kind: Kind
    level: int
    valid_until: int
    symbol: str = field(repr=False)

    @property
    def until(self) -> str:
        """The last day, as everybody reads it (ISO 8601)."""
        return datetime.fromtimestamp(self.valid_until, UTC).date().isoformat()


class CardJob:
    """Makes the cards of many members; work for `agent.desk.jobs`.

    Args:
        desk: that is open.
        references: of the members, in the order of the sheets.
        layout: how they stand on paper.
        who: staff's work name.
        kind: of document; each member's own where None.
        stylesheet: URL that the page links; its styles are in the page where it is "".

    Attributes:
        total: how many cards.
        skipped: (reference, why) of who can have no card.

    Raises:
        ValueError: no member, too many, or one twice.
    """

    def __init__(
        self,
        desk: Desk,
        references: Sequence[str],
        *,
        layout: Layout,
        who: str,
        kind: Kind | None = None,
        stylesheet: str = "",
    ) -> None:
        if not 1 <= len(references) <= MOST_CARDS or len(set(references)) < len(references):
            raise ValueError(f"1 to {MOST_CARDS} cards at once, each member once")
        self.total = len(references)
        self.skipped: list[tuple[str, str]] = []
        self._desk = desk
        self._references = tuple(references)
        self._layout = layout
        self._who = who
        self._kind = kind
        self._stylesheet = stylesheet
        self._credentials = Credentials(desk)
        self._members = Members(desk)

    def __call__(self, progress: Progress) -> bytes:
        """Make the cards and return the page, UTF-8.

        Raises:
            ValueError: nobody of them can have one.
            Stopped: somebody asked to stop; what was signed is revoked.
        """
        signed: list[_Signed] = []
        cards: list[Card] = []
        try:
            for start in range(0, self.total, _AT_ONCE):
                made = self._sign(self._references[start : start + _AT_ONCE])
                signed += made
                for each in made:
                    progress.step(len(cards) + len(self.skipped))
                    cards.append(_card(each))
            progress.step(self.total)
            page = self._page(cards)
        except BaseException:
            self._revoke(Selection(cti=tuple(each.issued.cti for each in signed)))
            raise
        for each in signed:
            self._revoke(
                Selection(
                    member=each.member.reference, kind=each.kind, form=Form.CARD,
                    besides=(each.issued.cti,),
                )
            )  # fmt: skip
        return page.encode()

    def _sign(self, references: Sequence[str]) -> list[_Signed]:
        """Sign the cards of some members in one transaction."""
        made = []
        now = self._desk.clock()
        with self._desk.store.write() as connection:
            for reference in references:
                try:
                    member = self._members.get_in(connection, reference)
                    kind = self._kind or member.person.kind
                    issued = self._credentials.sign(
                        connection, member, kind=kind, level=member.person.level, holder=None,
                        form=Form.CARD, issued_by=self._who, now=now,
                    )  # fmt: skip
                except (CredentialError, MemberError) as error:
                    self.skipped.append((reference, str(error)))
                    continue
                made.append(_Signed(member, kind, issued))
                self._desk.journal.write(
                    connection, at=now, who=self._who, action=Action.CARD_PRINTED,
                    reference=reference,
                )  # fmt: skip
        return made

    def _page(self, cards: Sequence[Card]) -> str:
        if not cards:
            raise ValueError(f"no card: {self.skipped[0][1]}")
        place = self._desk.settings.place
        return render(cards, self._layout, place, stylesheet=self._stylesheet)

    def _revoke(self, selection: Selection) -> None:
        if selection.cti or selection.member:
            self._credentials.set_status(
                selection, Status.REVOKED, who=self._who, action=Action.REVOKED
            )


@dataclass(frozen=True, slots=True)
class _Signed:
    member: Member
    kind: Kind
    issued: Issued


def _card(signed: _Signed) -> Card:
    member, issued = signed.member, signed.issued
    return Card(
        member.person.name, member.person.number, member.reference, signed.kind,
        member.person.level, issued.valid_until, code_svg(issued.token),
    )  # fmt: skip


def code_svg(token: bytes) -> str:
    """Return a static code as an SVG element that fills what it stands in."""
    out = io.BytesIO()
    qr_symbol(present(token), medium=Medium.PAPER).save(
        out, kind="svg", border=_QUIET, xmldecl=False, omitsize=True, svgclass=None,
        lineclass=None, light="#fff", nl=False,
    )  # fmt: skip
    return out.getvalue().decode()


def card_styles(layout: Layout) -> str:
    """Return the CSS of a layout, for a page that links it."""
    folder = resources.files("agent.desk") / _FOLDER
    parts = ("cards.css", f"{layout}.css")
    return "".join((folder / part).read_text("utf-8") for part in parts)


def render(
    cards: Sequence[Card], layout: Layout, place: PlaceSettings, *, stylesheet: str = ""
) -> str:
    """Return the HTML page of cards.

    Args:
        cards: in order.
        layout: how they stand on paper.
        place: whose cards they are; the first of its languages is theirs.
        stylesheet: URL of `card_styles`; they are in the page where it is "".
    """
    language = place.languages[0] if place.languages else "en"
    rows = [(card, kind_name(card.kind, language)) for card in cards]
    per_sheet = _PER_SHEET if layout is Layout.SHEET else 1
    page: str = _template().render(
        sheets=[rows[start : start + per_sheet] for start in range(0, len(rows), per_sheet)],
        layout=layout, place=place, language=language, words=_WORDS[language],
        stylesheet=stylesheet, styles="" if stylesheet else card_styles(layout),
        upgraded=int(Level.UPGRADED),
    )  # fmt: skip
    return page


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("agent.desk", _FOLDER), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("cards.html")
