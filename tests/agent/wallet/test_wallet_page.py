"""The page itself in a real Chromium over TLS, with a real issuer: what people see, and when."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import segno
from numpy.typing import NDArray

from agent.credential import registry
from agent.credential.model import Kind, Level, Rejected
from agent.desk.desk import Desk
from agent.desk.invitations import Invitations
from agent.desk.members import Members
from agent.desk.offers import Offer, Offers, Purpose
from agent.desk.vci.app import issuer_app
from agent.issuing.issue import face_template, sign_ticket
from agent.scan.decoders import Decoders
from tests.support.browser import Authenticator, launched, listening
from tests.support.desk_browser import CAMERA
from tests.support.desks import DAY, DeskClock, a_desk, a_person
from tests.support.paths import ROOT
from tests.support.pilot import Keys
from tests.support.stills import decode_still
from tests.support.wallet_tls import BROWSER_ARGUMENTS, Certificate, WalletSite, issuing, serving

PIN = "481516"
WAIT_MS = 8_000
TRANSFERRED = 150 * 1024
AXE = next(
    (
        file
        for folder in (
            os.environ.get("NODE_PATH", ""),
            ROOT / "node_modules",
            "/usr/lib/node_modules",
        )
        if folder and (file := Path(folder) / "axe-core/axe.min.js").is_file()
    ),
    None,
)


_HIDE = """
Object.defineProperty(document, "visibilityState", {value: "hidden", configurable: true});
document.dispatchEvent(new Event("visibilitychange"));
delete document.visibilityState;
"""

SIGN = "idgate:library/north?cnonce=00112233445566778899aabbccddeeff&need=age-18"
"""What the camera sees."""


@dataclass
class World:
    """A wallet's site, a desk and a browser; `carried` is a phone with an upgraded card."""

    site: WalletSite
    desk: Desk
    browser: Any
    certificate: Certificate
    carried: Any = None

    def phone(self, **options: Any) -> Any:
        """Return an empty page of a phone of its own."""
        settings = {
            "viewport": {"width": 360, "height": 740}, "device_scale_factor": 2,
            "locale": "en-GB", "service_workers": "block", "reduced_motion": "reduce",
        }  # fmt: skip
        context = self.browser.new_context(**settings | options)
        context.set_default_timeout(WAIT_MS)
        return watched(context.new_page())

    def offer(
        self, level: Level = Level.UPGRADED, *, code: bool = False, face: bool = True,
        born: str = "1990-02-28",
    ) -> Offer:  # fmt: skip
        now = self.desk.clock()
        member = Members(self.desk).add(
            a_person(valid_until=now + 300 * DAY, regions=("ES-MD",), birth_date=born),
            "mo",
        )
        references = [face_template(bytes(range(128)), "model")] if face else []
        return Offers(self.desk).create(
            member, purpose=Purpose.ISSUE, kind=Kind.LIBRARY_CARD, level=level,
            references=references, who="mo", transaction_code=code,
        )  # fmt: skip

    def read(self, code: str, **changes: Any) -> Any:
        """Read a code as a gate of the library does."""
        fields: dict[str, Any] = {
            "now": int(time.time()), "clock_trusted": True, "site": "library", "gate": "north",
            "site_keys": (),
        }  # fmt: skip
        keys = Keys(self.desk.issuer.issuer_key(iss=frozenset({self.desk.issuer.iss})))
        return registry.read(code.encode(), keys=keys, rules=registry.ReadRules(**fields | changes))


@pytest.fixture(scope="module")
def world(tmp_path_factory: Any) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("page")
    certificate = Certificate.make(folder)
    bound = listening()
    issuer = f"https://issuer.test:{bound.getsockname()[1]}"
    with serving(WalletSite([issuer]), certificate) as site:
        apart = 'redact = ["birth-date", "ages", "face", "fingers"]'
        web = f'{apart}\n[web]\nissuer = "{issuer}"\nwallet = "{site.url[:-1]}"'
        desk = a_desk(folder / "desk", DeskClock(int(time.time())), more=web)
        camera = folder / "sign.y4m"
        camera.write_bytes(film(SIGN))
        arguments = [
            *BROWSER_ARGUMENTS, certificate.argument(), *CAMERA, f"--use-file-for-fake-video-capture={camera}",
        ]  # fmt: skip
        with launched(*arguments) as browser, issuing(issuer_app(desk), bound, certificate):
            made = World(site, desk, browser, certificate)
            yield made
            if made.carried is not None:
                made.carried.close()
        desk.close()


@pytest.fixture
def phone(world: World) -> Iterator[Any]:
    """A page of a phone that has nothing yet."""
    page = world.phone()
    yield page
    page.context.close()
    assert page.wrong == []


@pytest.fixture
def carried(world: World) -> Iterator[Any]:
    """A new page of a phone that has an upgraded card: locked, and nothing loaded."""
    if world.carried is None:
        first = with_card(world, world.phone())
        world.carried = first.context
        first.close()
    page = watched(world.carried.new_page())
    yield page
    page.close()
    assert page.wrong == []


def watched(page: Any) -> Any:
    """Keep what goes wrong in a page."""
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    return page


def at_home(world: World, page: Any) -> None:
    """Open the page of a phone that has a card, and unlock it."""
    page.goto(world.site.url)
    unlock(page)
    page.wait_for_selector("ul.cards .card")


def at_card(world: World, page: Any) -> None:
    """Open the card."""
    at_home(world, page)
    page.click("ul.cards .card")
    page.wait_for_selector("ul.rows")


def film(text: str) -> bytes:
    """Return a still of a code as the camera's film, in YUV 4:2:0."""
    width, height = 640, 480
    luma = np.full((height, width), 200, np.uint8)
    small = np.array(
        [[0 if dark else 255 for dark in row] for row in segno.make(text).matrix_iter(border=4)],
        np.uint8,
    )
    code = np.kron(small, np.ones((360 // len(small),) * 2, np.uint8))
    top, left = (height - len(code)) // 2, (width - len(code)) // 2
    luma[top : top + len(code), left : left + len(code)] = code
    grey = np.full(width * height // 2, 128, np.uint8)
    return (
        f"YUV4MPEG2 W{width} H{height} F10:1 Ip C420jpeg\nFRAME\n".encode()
        + luma.tobytes()
        + (grey.tobytes())
    )


def main_button(page: Any) -> None:
    page.click(".dock .button.main")


def set_up(page: Any, url: str) -> None:
    """Choose a PIN; the page is unlocked afterwards."""
    page.goto(url)
    main_button(page)
    page.click(".row-button:has(.icon-lock)")
    page.fill("#pin", PIN)
    page.fill("#again", PIN)
    main_button(page)
    page.wait_for_selector(".dock .icon-gear")


def unlock(page: Any) -> None:
    page.fill("#pin", PIN)
    main_button(page)


def follow(page: Any, link: str) -> None:
    """Open a link in the page that is there, as another tab of it would."""
    page.evaluate("(link) => { location.hash = new URL(link).hash; }", link)


def take(page: Any, offer: Offer) -> None:
    """Receive a card by its link; the card's own view is there afterwards."""
    follow(page, offer.wallet_link)
    page.wait_for_selector(".host")
    if offer.transaction_code:
        page.fill("#transaction", offer.transaction_code)
    main_button(page)
    page.wait_for_selector("main.middle .card")
    main_button(page)
    page.wait_for_selector(".rows")


def with_card(world: World, page: Any, offer: Offer | None = None) -> Any:
    set_up(page, world.site.url)
    take(page, offer or world.offer())
    return page


def show(page: Any) -> NDArray[np.uint8]:
    """Show the code; returns what the screen shows of it."""
    main_button(page)
    page.wait_for_selector(".bar i")
    return picture(page, ".qr canvas")


def picture(page: Any, what: str = "") -> NDArray[np.uint8]:
    data = page.locator(what).screenshot() if what else page.screenshot()
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return found


def decoded(shot: NDArray[np.uint8]) -> str:
    """Read a screenshot as a gate reads a frame."""
    (payload,) = decode_still(Decoders(), cv2.cvtColor(shot, cv2.COLOR_BGR2GRAY))[0]
    return payload.data.decode()


# --- files -------------------------------------------------------------------------------------


def test_the_first_visit_is_small_and_the_second_needs_no_network(world):
    page = world.phone(service_workers="allow")
    world.site.sent.clear()
    page.goto(world.site.url)
    page.wait_for_function("() => !!navigator.serviceWorker.controller")
    # The page itself, and what is kept for later: the reader of codes, the other languages.
    later = {name for name in world.site.sent if name.startswith(("/strings", "/vendor/jsqr"))}
    assert sum(world.site.sent[name] for name in set(world.site.sent) - later) < TRANSFERRED / 1.5
    assert sum(world.site.sent.values()) < TRANSFERRED * 1.25
    assert {"/app.js", "/vendor/jsqr/jsQR.js", "/strings/es.js"} < set(world.site.sent)
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("h1")
    assert page.inner_text("h1") == "Your cards, on your phone"
    assert page.evaluate("import('./strings/zh.js').then((texts) => texts.default.app)") == "卡包"
    page.evaluate("import('./vendor/jsqr/jsQR.js')")
    assert page.evaluate("typeof jsQR") == "function"
    page.context.close()


# --- the code ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [2, 3])
def test_a_gate_reads_the_code_off_the_screen_and_it_changes(world, ratio):
    page = world.phone(device_scale_factor=ratio, color_scheme="dark")
    page.clock.install()
    with_card(world, page)
    shot = show(page)
    first = decoded(shot)
    credential = world.read(first)
    assert (credential.level, credential.dynamic) == (Level.UPGRADED, True)
    # The smallest version that holds the text at level L, as large as whole pixels allow.
    modules = segno.make_qr(first, error="l", boost_error=False).symbol_size(border=0)[0]
    scale = int(360 * ratio / (modules + 8))
    # The page is dark, the code's ground is white, and 4 modules around it.
    whole = picture(page)
    assert (whole[:16] == 255).all()
    box = page.locator(".qr").bounding_box()
    band = whole[round(box["y"] * ratio) : round((box["y"] + box["height"]) * ratio), :, 0]
    rows, columns = (np.flatnonzero((band < 255).any(axis=axis)) for axis in (1, 0))
    assert min(rows[0], columns[0], band.shape[1] - 1 - columns[-1]) >= 4 * scale - 1
    # No pixel is grey, and every edge lies on the grid of whole pixels a module.
    code = band[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert code.shape == (modules * scale, modules * scale)
    assert set(np.unique(code)) == {0, 255}
    for lines in (code, code.T):
        edges = np.flatnonzero((lines[:, 1:] != lines[:, :-1]).any(axis=0)) + 1
        assert set(edges % scale) == {0}
    page.evaluate("window.was = document.querySelector('.bar i')")
    page.clock.run_for(5_200)
    page.wait_for_function("() => document.querySelector('.bar i') !== was")
    later = decoded(picture(page, ".qr canvas"))
    assert later != first
    assert world.read(later, now=int(time.time()) + 6).dynamic
    page.context.close()


def test_a_sign_that_the_camera_sees_is_answered_with_its_challenge(world, carried):
    phone = carried
    at_card(world, phone)
    phone.click("details.sheet summary >> nth=0")
    phone.click("details.sheet .row-button:has(.icon-scan)")
    phone.wait_for_selector("details.sheet bdi:text('north')")
    told = phone.inner_text(".sheet ul.rows")
    assert "This place asks: that you are 18 or older" in told
    assert "Of your age: that you are 18 or older" in told
    assert "Stays hidden here: your face" in told
    assert "A description of your face" not in told
    code = decoded(show(phone))
    challenge = bytes.fromhex("00112233445566778899aabbccddeeff")
    read = world.read(code, challenge=challenge)
    assert (read.dynamic, read.ages, read.references, read.undisclosed) == (True, {18}, (), 1)
    assert phone.inner_text(".code .for") == "For library, gate north"
    for elsewhere in ({"gate": "south"}, {"challenge": bytes(16)}):
        with pytest.raises(Rejected):
            world.read(code, **{"challenge": challenge} | elsewhere)


def test_a_ticket_is_shown_beside_the_card_that_it_belongs_to(world, carried):
    at_card(world, carried)
    now = world.desk.clock()
    subject = carried.evaluate(
        """async () => {
          const [{list}, {describe}] = await Promise.all([import("./store.js"), import("./cose.js")]);
          return (await describe((await list())[0].credentials[0].bytes)).sub;
        }"""
    )
    ticket = sign_ticket(
        world.desk.issuer, None, subject=subject, issued_at=now - 1, valid_until=now + DAY,
        details={"train": "AVE 3142", "seat": "7A"},
    )  # fmt: skip
    carried.evaluate(
        """async (data) => {
          const {put} = await import("./store.js");
          await put({id: "ticket", issuer: "", configuration: "", kind: "rail-ticket", receivedAt: 0,
            display: {issuer: [], card: []}, refreshToken: null, notify: null,
            credentials: [{bytes: Uint8Array.from(data), holder: "", uses: 0, lastUse: 0}]});
        }""",
        list(ticket),
    )
    at_home(world, carried)
    assert "AVE 3142" in carried.inner_text("ul.cards")
    carried.click("ul.cards .card.upgraded")
    carried.check("fieldset .choice:has-text('Rail ticket') input")
    assert "With it the ticket: Rail ticket" in carried.inner_text("ul.rows")
    credential = world.read(decoded(show(carried)))
    assert credential.business is not None
    assert (credential.kind, credential.business.kind) == (Kind.LIBRARY_CARD, Kind.RAIL_TICKET)
    main_button(carried)
    carried.wait_for_selector("ul.rows")
    carried.evaluate("import('./store.js').then(({remove}) => remove('ticket'))")


def test_the_screen_is_asked_to_stay_awake_and_again_when_the_page_is_back(world, carried):
    phone = carried
    phone.add_init_script(
        """window.asked = [];
        navigator.wakeLock.request = async (kind) => {
          window.asked.push(kind);
          return {release: async () => window.asked.push("released")};
        };"""
    )
    at_card(world, phone)
    assert phone.evaluate("asked") == []
    show(phone)
    assert phone.evaluate("asked") == ["screen"]
    phone.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    phone.wait_for_function("() => asked.length === 2")
    main_button(phone)
    phone.wait_for_function("() => asked.at(-1) === 'released'")


def test_a_wrong_clock_is_told_and_mended(world, carried):
    phone = carried
    world.site.skew_s = 40
    try:
        at_card(world, phone)
        shot = show(phone)
        phone.wait_for_selector(".code .notice.warn")
        assert re.search(r"clock is (39|40|41) s off", phone.inner_text(".code .notice.warn"))
        assert world.read(decoded(shot), now=int(time.time()) + 40).dynamic
    finally:
        world.site.skew_s = 0
        phone.evaluate("localStorage.removeItem('idgate.clock')")


# --- the lock ------------------------------------------------------------------------------------


def test_nothing_of_a_card_is_in_the_page_before_the_check_and_after_the_lock(world, carried):
    phone = carried
    at_card(world, phone)
    held = "Town Library"
    assert held in phone.content()
    show(phone)
    for lock in ("dispatchEvent(new Event('pagehide'))", _HIDE):
        phone.evaluate(lock)
        phone.wait_for_selector("#pin")
        assert held not in phone.content()
        assert phone.query_selector("canvas, .card") is None
        assert phone.title() == "Locked · Cards"
        phone.go_back()
        assert phone.query_selector(".card") is None
        phone.reload()
        phone.wait_for_selector("#pin")
        assert phone.query_selector("canvas, .card") is None
        unlock(phone)
        phone.wait_for_selector("ul.cards .card.upgraded")


def test_it_locks_by_itself_after_a_minute_without_a_touch(world, phone):
    phone.clock.install()
    set_up(phone, world.site.url)
    phone.keyboard.press("Shift")
    phone.clock.run_for(45_000)
    assert phone.query_selector("#pin") is None
    phone.clock.run_for(16_000)
    phone.wait_for_selector("#pin")


def test_the_phones_own_check_opens_it(world, phone):
    Authenticator(phone, prf=True)
    phone.goto(world.site.url)
    main_button(phone)
    phone.click(".row-button:has(.icon-finger)")
    phone.wait_for_selector(".dock .icon-gear")
    phone.click(".dock .icon-lock")
    phone.wait_for_selector(".dock .icon-finger")
    main_button(phone)
    phone.wait_for_selector(".dock .icon-gear")
    phone.click(".dock .icon-gear")
    phone.wait_for_selector("dl.pairs")
    assert "encrypted" in phone.inner_text("dl.pairs")


def test_a_wrong_pin_is_told_with_what_is_left(world, phone):
    set_up(phone, world.site.url)
    phone.click(".dock .icon-lock")
    phone.fill("#pin", "000000")
    main_button(phone)
    phone.wait_for_selector(".notice.error")
    assert phone.inner_text(".notice.error") == "That PIN is not right."
    phone.wait_for_function("() => document.querySelector('#pin').value === ''")
    assert phone.get_attribute("#pin", "aria-invalid") == "true"
    # As after three more: few tries are left, and the next has to wait.
    phone.evaluate(
        """async () => {
          const db = await import("./db.js");
          const row = await db.read("lock", "lock");
          await db.change([["lock", "lock", {...row, tries: 7, at: Date.now()}]]);
        }"""
    )
    phone.reload()
    phone.wait_for_selector("#pin")
    assert "3 tries are left" in phone.inner_text("main")
    assert re.search(r"Wait \d+ s", phone.inner_text(".dock .button.main"))
    assert phone.is_disabled(".dock .button.main")


# --- receiving -----------------------------------------------------------------------------------


def test_a_card_is_received_by_its_link_and_the_transaction_code(world, phone):
    offer = world.offer(Level.BASIC, code=True, face=False)
    phone.goto(offer.wallet_link)
    phone.wait_for_selector("h1")
    assert phone.evaluate("location.href") == world.site.url  # the secret is out of the address
    main_button(phone)
    phone.click(".row-button:has(.icon-lock)")
    phone.fill("#pin", PIN)
    phone.fill("#again", PIN)
    main_button(phone)
    phone.wait_for_selector("#transaction")
    assert "issuer.test" in phone.inner_text(".host")
    wrong = f"{(int(offer.transaction_code or 0) + 1) % 1_000_000:06}"
    phone.fill("#transaction", wrong)
    main_button(phone)
    phone.wait_for_selector(".notice.error")
    assert "still good" in phone.inner_text(".notice.error")
    assert phone.get_attribute("#transaction", "aria-invalid") == "true"
    phone.evaluate(_HIDE)  # to look the digits up in another app
    phone.wait_for_selector("#pin")
    assert "issuer.test" not in phone.content()
    unlock(phone)
    phone.wait_for_selector("#transaction")
    phone.fill("#transaction", f" {offer.transaction_code} ")
    main_button(phone)
    phone.wait_for_selector(".card.basic")
    assert "Basic" in phone.inner_text(".card")
    phone.click(".dock .button.quiet")
    phone.wait_for_selector("ul.cards")
    follow(phone, offer.wallet_link)
    phone.wait_for_selector(".notice.error")
    assert "used already" in phone.inner_text(".notice.error")


def test_a_basic_card_is_made_by_an_invitation_and_a_face_is_never_the_only_way(world, phone):
    link = Invitations(world.desk).create(Kind.LIBRARY_CARD, who="mo")
    set_up(phone, world.site.url)
    follow(phone, link)
    phone.wait_for_selector("#f-name")
    assert "Town Library" in phone.inner_text("main")
    main_button(phone)
    phone.wait_for_selector(".notice.error")
    assert phone.get_attribute("#f-name", "aria-invalid") == "true"
    phone.fill("#f-name", "Ada Lovelace")
    main_button(phone)
    phone.wait_for_selector(".notice.error:has-text('Without your agreement')")
    phone.check("#agree")
    phone.check("#face")
    main_button(phone)
    phone.wait_for_selector(".view.self video")
    phone.wait_for_selector("p[role=status]:has-text('Look straight ahead')")
    phone.click(".dock .button.main:not([disabled])")
    phone.wait_for_selector("ol.steps li.done")
    assert "Turn your head to your" in phone.inner_text("p[role=status]")
    phone.click(".dock .button.quiet")
    phone.wait_for_selector("main.middle .card.basic")
    main_button(phone)
    phone.wait_for_selector("ul.rows")
    assert "face" not in phone.inner_text("ul.rows")


def test_an_unknown_issuer_is_refused_loudly(world, phone):
    set_up(phone, world.site.url)
    follow(phone, f"{world.site.url}#credential_offer_uri=https%3A%2F%2Fother.test%2Foffers%2Fx")
    phone.wait_for_selector(".notice.error")
    assert "Stop. other.test is not one of the places" in phone.inner_text(".notice.error")


def test_markup_in_an_issuers_name_is_text(world, phone):
    with_card(world, phone)
    phone.evaluate(
        """async () => {
          const store = await import("./store.js");
          const [record] = await store.list();
          const name = "<img src=x onerror=alert(1)><b>Evil</b>\\u202e";
          record.display = {issuer: [{name, background: "#ffee00"}], card: [{name}]};
          await store.put(record);
        }"""
    )
    phone.go_back()
    phone.wait_for_selector("ul.cards .card")
    assert "<b>Evil</b>" in phone.inner_text("ul.cards .card")
    assert phone.query_selector("main img, main b:text('Evil')") is None
    # Black on yellow: the ink is chosen for contrast.
    assert (
        phone.evaluate("getComputedStyle(document.querySelector('.card')).color")
        == "rgb(17, 17, 17)"
    )


def test_what_the_gate_learns_stands_there_before_the_code(world, carried):
    at_card(world, carried)
    assert carried.query_selector("canvas") is None
    carried.click("details.sheet summary >> nth=0")
    carried.check(".choice:has-text('Any gate') input")
    carried.wait_for_selector("ul.rows .icon-face")
    told = carried.inner_text("ul.rows")
    for words in ("A description of your face in numbers", "Town Library", "Spain (ES-MD)"):
        assert words in told
    # What can be kept back stands among the details, and no paper could keep it back.
    assert "Shown only where it is asked for" in carried.text_content("dl.pairs")
    assert carried.query_selector(".row-button:has(.icon-print)") is None


def test_cards_that_the_browser_deleted_are_told(world, phone):
    with_card(world, phone)
    phone.goto("about:blank")
    phone.goto(f"{world.site.url}icons/icon.svg")
    phone.evaluate(
        """() => new Promise((done, failed) => {
          const asked = indexedDB.deleteDatabase("idgate-wallet");
          asked.onsuccess = done;
          asked.onerror = failed;
        })"""
    )
    phone.goto(world.site.url)
    phone.wait_for_selector(".emblem.bad")
    assert phone.inner_text("h1") == "The cards are gone"
    main_button(phone)
    phone.wait_for_selector("h1:text('Your cards, on your phone')")


def test_a_card_without_a_face_tells_of_none_is_copied_and_deleted_after_a_question(world, phone):
    with_card(world, phone, world.offer(Level.BASIC, face=False, born=""))
    assert "face" not in phone.inner_text("ul.rows")
    phone.click(".row-button:has(.icon-print)")
    phone.wait_for_selector(".paper canvas")
    credential = world.read(decoded(picture(phone, ".paper")))
    assert (credential.dynamic, credential.level) == (False, Level.BASIC)
    phone.click("header.top .icon-back")
    phone.click(".row-button:has(.icon-close)")
    phone.click("dialog .button.plain")
    phone.click(".row-button:has(.icon-close)")
    phone.click("dialog .button.danger")
    phone.wait_for_selector("h1:text('No card yet')")


# --- people --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locale", "lang", "title"),
    [("es-MX", "es", "Tus carnés, en tu teléfono"), ("zh-CN", "zh-Hans", "您的证卡"),
     ("fr-FR", "en", "Your cards, on your phone")],
)  # fmt: skip
def test_the_language_is_the_phones_where_there_is_one(world, locale, lang, title):
    page = world.phone(locale=locale)
    page.goto(world.site.url)
    page.wait_for_selector("h1")
    assert page.get_attribute("html", "lang") == lang
    assert page.inner_text("h1").startswith(title)
    page.context.close()


def test_the_language_and_large_type_can_be_chosen_and_stay(world, phone):
    set_up(phone, world.site.url)
    phone.click(".dock .icon-gear")
    phone.check("label:has-text('中文') input")
    phone.wait_for_selector("h1:text('设置')")
    before = phone.evaluate("parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)")
    phone.check("input[type=checkbox]")
    after = phone.evaluate("parseFloat(getComputedStyle(document.querySelector('h1')).fontSize)")
    assert after == pytest.approx(before * 1.3, rel=0.01)
    phone.reload()
    phone.wait_for_selector("h1:text('已锁定')")
    assert phone.evaluate("document.documentElement.classList.contains('large')")
    wide = phone.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360


@pytest.mark.parametrize("choice", [("en", ""), ("es", "1")])
def test_everything_fits_and_what_can_be_pressed_is_large_and_named(world, carried, choice):
    carried.goto(world.site.url)
    chosen = """([language, large]) => {
      localStorage.setItem("idgate.language", language);
      localStorage.setItem("idgate.large", large);
    }"""
    carried.evaluate(chosen, list(choice))
    small = """() => [...document.querySelectorAll("button, summary, input, select, a")]
      .filter((one) => one.checkVisibility())
      .map((one) => [one.getBoundingClientRect(), (one.ariaLabel ?? one.textContent).trim(), one])
      .filter(([{width, height}, name, one]) => {
        const box = one.closest("label")?.getBoundingClientRect() ?? {width, height};
        return box.width < 44 || box.height < 44 || (!name && !one.labels?.length);
      }).map(([, name, one]) => name || one.outerHTML)"""
    try:
        at_home(world, carried)
        for press in ("ul.cards .card", ".dock .button.main", ".dock .button.main"):
            assert carried.evaluate(small) == []
            assert carried.evaluate("document.documentElement.scrollWidth") <= 360
            carried.click(press)
            carried.wait_for_selector("ul.rows, .bar i")
    finally:
        carried.evaluate(chosen, ["en", ""])


@pytest.mark.skipif(AXE is None, reason="axe-core is not installed (npm install axe-core)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(world, scheme):
    assert AXE is not None
    page = world.phone(color_scheme=scheme)
    found: list[str] = []

    def look() -> None:
        page.evaluate(AXE.read_text() + "; null")
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        answer = page.evaluate("(tags) => axe.run(document, {runOnly: tags})", tags)
        found.extend(
            f"{page.title()}: {each['id']}: {node['html'][:160]}"
            for each in answer["violations"]
            for node in each["nodes"]
        )

    page.goto(world.site.url)
    page.wait_for_selector("h1")
    look()
    set_up(page, world.site.url)
    look()
    take(page, world.offer(Level.BASIC))
    take(page, world.offer())
    look()
    show(page)
    look()
    for press, there in (
        (".dock .button.main", "ul.rows"), (".row-button:has(.icon-print)", ".paper"),
        (".top .round", "ul.rows"), (".top .round", "ul.cards"), (".dock .icon-gear", "dl.pairs"),
        (".top .round", "ul.cards"), (".dock .button.main", "video"), (".top .round", "ul.cards"),
        (".dock .icon-lock", "#pin"),
    ):  # fmt: skip
        page.click(press)
        page.wait_for_selector(there)
        look()
    page.context.close()
    assert found == []


# --- a newer version -----------------------------------------------------------------------------


def test_a_newer_version_is_told_and_used_when_asked(world, tmp_path):
    copy = tmp_path / "wallet"
    shutil.copytree(world.site.folder, copy)
    with serving(WalletSite(folder=copy), world.certificate) as site:
        page = world.phone(service_workers="allow")
        page.goto(site.url)
        page.wait_for_function("() => !!navigator.serviceWorker.controller")
        strings, worker = copy / "strings/en.js", copy / "sw.js"
        strings.write_text(strings.read_text().replace("Your cards, on your phone", "Newer"))
        version = re.search(r'const VERSION = "(\w+)"', worker.read_text())
        assert version is not None
        worker.write_text(worker.read_text().replace(version[1], "0" * 16))
        page.reload()
        page.wait_for_selector(".banner button")
        assert page.inner_text("h1") == "Your cards, on your phone"
        page.click(".banner button")
        page.wait_for_selector("h1:text('Newer')")
        kept = page.evaluate("caches.keys()")
        assert kept == ["idgate-page-0000000000000000"]
        page.context.close()


def test_the_site_serves_the_headers_that_are_documented(world, phone):
    answer = phone.goto(world.site.url)
    told = json.loads((ROOT / "agent/wallet/headers.json").read_text())
    for name, value in told.items():
        assert answer.headers[name.lower()] == value
