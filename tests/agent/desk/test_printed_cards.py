"""Printed cards: what stands on them, what a gate reads of them, and what is left when it fails."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import zxingcpp
from PIL import Image

from agent.credential import registry
from agent.credential.model import Kind
from agent.desk.cards import MOST_CARDS, CardJob, Layout, card_styles
from agent.desk.credentials import Credentials, Form
from agent.desk.jobs import Jobs, JobState, Stopped
from agent.desk.members import Members
from agent.issuing.keys import Holder
from agent.trust.snapshot import TrustSnapshot
from tests.support.desks import NOW, a_desk, a_person

XSS = "</p><script>alert(1)</script><img src=x onerror=alert(1)>"
NAMES = ("Ada Lovelace", "María del Carmen Fernández-Villaverde y Rodríguez", "王小明", XSS)
PX_PER_MM = 96 / 25.4


class Steps:
    """Progress that remembers, and stops where it is told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.steps: list[int] = []
        self._stop_at = stop_at

    def step(self, done: int) -> None:
        self.steps.append(done)
        if self._stop_at is not None and done >= self._stop_at:
            raise Stopped


class Page(HTMLParser):
    """What a page says: elements with their attributes, and the text of each card."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.cards: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "article":
            self.cards.append("")

    def handle_data(self, data) -> None:
        if self.cards and data.strip():
            self.cards[-1] += f"{data.strip()}\n"


def some(desk, number: int, **fields):
    persons = [
        a_person(NAMES[each % len(NAMES)], number=f"N-{each}", level=1 + each % 2, **fields)
        for each in range(number)
    ]
    return Members(desk).add_all(persons, "carla")


def job(desk, members, layout: Layout = Layout.SHEET, **words) -> CardJob:
    return CardJob(desk, [each.reference for each in members], layout=layout, who="carla", **words)


def states(desk, member) -> list[tuple[str, int]]:
    rows = Credentials(desk).of_member(member.reference)
    return [(str(row.form), int(row.status)) for row in reversed(rows)]


def actions(desk) -> list[str]:
    with desk.store.read() as connection:
        assert desk.journal.verify(connection) is None
        return [row.action for row in desk.journal.read(connection, limit=1_000)]


def test_a_card_says_what_people_must_know_by_word_and_by_pattern(desk) -> None:
    members = some(desk, 4)
    page = Page(job(desk, members)(Steps()))
    assert page.cards[0] == (
        "Town Library\nLibrary card\nAda Lovelace\nNo.\nN-0\nBasic\nValid until\n2027-04-15\n"
        f"{members[0].reference}\n"
    )
    assert [("Upgraded" in card, "Basic" in card) for card in page.cards] == [
        (False, True), (True, False), (False, True), (True, False),
    ]  # fmt: skip
    fills = [attrs.get("fill") for tag, attrs in page.elements if tag == "rect"]
    assert fills == ["#fff", "#0b5d4e", "#fff", "#0b5d4e"]  # and stripes:
    assert len([1 for _, attrs in page.elements if attrs.get("stroke-width") == "1"]) == 2


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("es", ["Carné de biblioteca", "N.º", "Básica", "Válida hasta"]),
        ("zh", ["借书证", "编号", "基本", "有效期至"]),
    ],
)
def test_cards_speak_the_places_first_language(tmp_path, language, words) -> None:
    a_desk(tmp_path / "d").close()
    file = tmp_path / "d" / "desk.toml"
    file.write_text(file.read_text().replace("[place]", f'[place]\nlanguages = ["{language}"]'))
    desk = a_desk(tmp_path / "d")
    page = Page(job(desk, some(desk, 1))(Steps()))
    assert all(word in page.cards[0] for word in words)
    assert ("html", {"lang": language}) in page.elements
    desk.close()


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("stylesheet", ["", "/static/cards.css"])
def test_a_page_has_no_script_no_inline_style_and_asks_nobody(desk, layout, stylesheet) -> None:
    raw = job(desk, some(desk, 4), layout, stylesheet=stylesheet)(Steps())
    page = Page(raw)
    tags = {tag for tag, _ in page.elements}
    attributes = {name for _, attrs in page.elements for name in attrs}
    assert tags.isdisjoint({"script", "img", "iframe", "object", "a", "form"})
    assert not [name for name in attributes if name == "style" or name.startswith("on")]
    assert XSS in page.cards[3].split("\n")  # as text
    assert b"url(" not in raw
    assert b"@import" not in raw
    links = [attrs["href"] for tag, attrs in page.elements if tag == "link"]
    assert (links, "style" in tags) == (([stylesheet], False) if stylesheet else ([], True))
    assert ("@page { size: A4" in card_styles(layout)) is (layout is Layout.SHEET)


def test_progress_is_told_card_by_card_and_each_is_journaled(any_desk) -> None:
    members = some(any_desk, 21)
    steps = Steps()
    job(any_desk, members)(steps)
    assert steps.steps == [*range(21), 21]
    assert actions(any_desk)[:21] == ["card-printed"] * 21
    assert all(states(any_desk, member) == [("card", 0)] for member in members)


def test_a_new_card_withdraws_those_before_once_all_are_made(desk) -> None:
    members = some(desk, 2)
    with desk.store.write() as connection:
        Credentials(desk).sign(
            connection, members[0], kind="library-card", level=1, holder=Holder.new(),
            form=Form.PHONE, issued_by="carla", now=NOW,
        )  # fmt: skip
    job(desk, members)(Steps())
    job(desk, members, kind=Kind.ONLINE_ID)(Steps())
    job(desk, members[:1])(Steps())
    assert states(desk, members[0]) == [("phone", 0), ("card", 1), ("card", 0), ("card", 0)]
    assert states(desk, members[1]) == [("card", 0), ("card", 0)]


@pytest.mark.parametrize(("stop_at", "signed"), [(0, 20), (19, 20), (21, 23), (23, 23)])
def test_a_job_that_is_stopped_leaves_no_card_that_nobody_has(desk, stop_at, signed) -> None:
    members = some(desk, 23)
    job(desk, members[:2])(Steps())
    with pytest.raises(Stopped):
        job(desk, members)(Steps(stop_at))
    found = [states(desk, member) for member in members]
    assert [each.pop(0) for each in found[:2]] == [("card", 0)] * 2  # these are in a wallet
    assert found == [[("card", 1)]] * signed + [[]] * (23 - signed)


def test_who_can_have_no_card_is_told_and_the_others_get_theirs(desk) -> None:
    erased, suspended, good = some(desk, 3)
    job(desk, [suspended])(Steps())
    Members(desk).erase(erased.reference, "carla")
    Credentials(desk).suspend(suspended.reference, "carla")
    work = CardJob(
        desk, [erased.reference, "NOBODY", suspended.reference, good.reference],
        layout=Layout.CARD, who="carla",
    )  # fmt: skip
    assert len(Page(work(Steps())).cards) == 1
    assert work.skipped == [
        (erased.reference, "this member was erased"),
        ("NOBODY", "no member has this reference"),
        (suspended.reference, "what this member has is suspended: restore it first"),
    ]
    with pytest.raises(ValueError, match=r"^no card: this member was erased$"):
        job(desk, [erased])(Steps())


@pytest.mark.parametrize("references", [[], ["A", "A"], [str(n) for n in range(MOST_CARDS + 1)]])
def test_how_many_at_once(desk, references) -> None:
    with pytest.raises(ValueError, match=r"^1 to 1000 cards at once, each member once$"):
        CardJob(desk, references, layout=Layout.SHEET, who="carla")


def test_cards_are_made_as_a_job(desk, desk_clock) -> None:
    members = some(desk, 5)
    jobs = Jobs(desk_clock)
    running = jobs.start(job(desk, members), owner="carla", title="cards")
    assert running.wait(60)
    assert (running.state, running.done, running.error) == (JobState.DONE, 5, "")
    assert len(Page(running.result).cards) == 5
    jobs.close()


@pytest.mark.parametrize(("layout", "pages", "mm"), [
    (Layout.CARD, 12, (85.6, 53.98)), (Layout.SHEET, 2, (210.0, 297.0)),
])  # fmt: skip
def test_a_browser_prints_them_to_size_and_gates_read_the_codes(
    desk,
    chromium,
    tmp_path,
    layout,
    pages,
    mm,
) -> None:
    members = some(desk, 12)
    file = tmp_path / "cards.html"
    file.write_bytes(job(desk, members, layout)(Steps()))
    page = chromium.new_page(
        viewport={"width": 800, "height": 1_130}, device_scale_factor=2,
    )  # fmt: skip
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert asked == [file.as_uri()]
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    boxes = re.findall(rb"/MediaBox\s*\[0 0 ([0-9.]+) ([0-9.]+)\]", pdf)
    assert len(boxes) == pages
    for box in boxes:
        assert [float(side) / 72 * 25.4 for side in box] == pytest.approx(mm, abs=0.3)
    # Each card is ID-1, its code at least 0.5 mm a module, and nothing reaches over its edge.
    for card in page.query_selector_all(".card"):
        box = card.bounding_box()
        assert (box["width"], box["height"]) == pytest.approx(
            (85.6 * PX_PER_MM, 53.98 * PX_PER_MM), abs=0.5
        )
        assert card.evaluate("e => e.scrollHeight <= e.clientHeight + 1")
        said = card.query_selector(".said")
        assert said.evaluate("e => e.scrollWidth <= e.clientWidth")
        symbol = card.query_selector(".symbol svg")
        modules = float(symbol.get_attribute("viewBox").split()[2])
        assert symbol.bounding_box()["width"] / PX_PER_MM / modules > 0.5
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    page.close()
    rules = registry.ReadRules(now=NOW + 5, clock_trusted=True, site="library", gate="g")
    trust = TrustSnapshot(keys=(desk.issuer.issuer_key(),), updated_at=NOW)
    found = [
        registry.read(code.text.encode(), keys=trust, rules=rules)
        for code in zxingcpp.read_barcodes(picture.convert("L"))
    ]
    assert {each.subject for each in found} == {member.reference for member in members}
    assert {int(each.level) for each in found} == {1, 2}
    assert all(earlier.replay_key != later.replay_key for earlier, later in pairwise(found))
