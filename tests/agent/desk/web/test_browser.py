"""The staff's pages in a real Chromium: passkeys, attacks, a face by the camera, a whole hand-over."""

from __future__ import annotations

import base64
import io
import re
import ssl
import urllib.error
import urllib.request

import pytest
import segno

from agent.desk.credentials import Credentials, Status
from agent.desk.members import Members
from agent.desk.staff import Role, Staff
from agent.desk.vci.app import issuer_app
from agent.desk.web.app import staff_app
from agent.issuing.issue import present
from agent.issuing.keys import Holder
from tests.support.asgi import talking_to
from tests.support.browser import Authenticator, launched, listening
from tests.support.desk_browser import CAMERA, axe_problems, serving, y4m
from tests.support.desks import NOW, DeskClock, a_desk, a_person
from tests.support.faces import _scene
from tests.support.phones import Phone

NAME = '<img src=x onerror=alert(1)> "Ada" & {{ 7*7 }}'
FILM = """
  const shown = document.createElement("canvas");
  shown.width = 1280; shown.height = 720;
  navigator.mediaDevices.getUserMedia = async () => shown.captureStream(10);
  const picture = new Image();
  picture.src = "data:image/png;base64,PICTURE";
  setInterval(() => {
    const context = shown.getContext("2d");
    context.fillStyle = "#777"; context.fillRect(0, 0, 1280, 720);
    context.drawImage(picture, 340, 60, 600, 600);
  }, 50);
"""
"""A phone's screen before the camera: Chromium's own fake camera plays one film only."""


class House:
    """A desk that is served."""

    def __init__(self, desk, app, clock, origin):
        self.desk, self.app, self.clock, self.origin = desk, app, clock, origin
        self.staff = Staff(desk)

    def journal(self):
        with self.desk.store.read() as connection:
            return [(row.who, row.action, row.detail) for row in self.desk.journal.read(connection)]

    def fetch(self, path, *, cookie="", data=None, **headers):
        """Ask as another program does; return status and text."""
        context = ssl._create_unverified_context()
        request = urllib.request.Request(
            self.origin.replace("desk.localhost", "127.0.0.1") + path, data
        )
        request.add_header("Host", self.origin.split("://")[1])
        if cookie:
            request.add_header("Cookie", cookie)
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory, astronaut):
    room = _scene(astronaut, sides=(320,))
    film = y4m(room, tmp_path_factory.mktemp("camera") / "room.y4m")
    with launched(*CAMERA, film) as browser:
        yield browser


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    bound = listening()
    origin = f"https://desk.localhost:{bound.getsockname()[1]}"
    clock = DeskClock()
    desk = a_desk(folder / "desk", clock, more=f'[web]\nstaff = "{origin}"')
    app = staff_app(desk)
    with serving(app, bound, folder, host="desk.localhost"):
        yield House(desk, app, clock, origin)
    app.state.close()
    desk.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.wrong = []
    page.on("console", lambda line: page.wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("dialog", lambda dialog: (page.wrong.append(dialog.message), dialog.dismiss()))
    yield page
    context.close()


def register(house, page, name, *roles):
    """Make a passkey by an invitation; return the authenticator, signed in."""
    keys = Authenticator(page)
    page.goto(house.staff.add(name, roles, who="desk").link)
    page.get_by_role("button", name="Make my passkey").click()
    page.wait_for_url(lambda url: "/welcome" not in url)
    return keys


def the_cookie(page):
    (cookie,) = page.context.cookies()
    return f"{cookie['name']}={cookie['value']}"


def test_register_sign_out_sign_in(house, page):
    keys = register(house, page, "ada", Role.ISSUER)
    (cookie,) = page.context.cookies()
    assert cookie["name"] == "__Host-desk"
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    stolen = the_cookie(page)
    assert "Work name" in house.fetch("/staff", cookie=stolen)[1]
    page.goto(f"{house.origin}/staff")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/signin")
    # The cookie of before is worth nothing, wherever it went.
    assert "Sign in with a passkey" in house.fetch("/staff", cookie=stolen)[1]
    page.goto(f"{house.origin}/staff")
    assert page.url.endswith("/signin?next=/staff")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{house.origin}/staff")
    assert [row[:2] for row in house.journal()[:5]] == [
        ("ada", "signed-in"), ("ada", "signed-out"), ("ada", "signed-in"),
        ("ada", "passkey-added"), ("desk", "staff-added"),
    ]  # fmt: skip
    assert page.wrong == []
    # A device that does not check who holds it signs nobody in.
    page.context.clear_cookies()
    keys.verifies(verified=False)
    page.goto(f"{house.origin}/signin?next=https://evil.example/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.locator("#say.warn").wait_for()
    assert page.context.cookies() == []


def test_role_is_asked_for_and_the_attempt_is_journaled(house, page):
    register(house, page, "dan", Role.CLERK)
    assert page.goto(f"{house.origin}/staff").status == 403
    assert page.get_by_role("alert").inner_text().startswith("Your role does not allow this")
    assert house.journal()[0] == ("dan", "denied", "GET /staff")
    assert page.get_by_role("link", name="Staff").count() == 0


def test_another_origin_gets_nothing(house, page):
    register(house, page, "eve", Role.ISSUER)
    form = (
        f"<form method=post action='{house.origin}/staff'><input name=name value=mallory>"
        "<input name=role value=issuer><button>go</button></form>"
    )
    page.route(
        "https://evil.localhost/",
        lambda route: route.fulfill(content_type="text/html", body=form),
    )
    page.goto("https://evil.localhost/")
    refused = page.evaluate(
        """async (url) => {
          const body = new URLSearchParams({name: "mallory", role: "issuer"});
          const fetched = await fetch(url + "/staff",
            {method: "POST", mode: "no-cors", credentials: "include", body}).catch(e => e.name);
          const publicKey = {challenge: new Uint8Array(48), rpId: "desk.localhost"};
          const signed = await navigator.credentials.get({publicKey}).catch(e => e.name);
          return [fetched, signed];
        }""",
        house.origin,
    )
    assert refused == ["TypeError", "SecurityError"]
    page.get_by_role("button").click()
    page.wait_for_url(f"{house.origin}/staff")
    assert "Refused" in page.content()
    # The very cookie, with another page's headers, as a browser without SameSite would send it.
    cookie, body = the_cookie(page), b"name=mallory&role=issuer"
    assert (
        house.fetch("/staff", cookie=cookie, data=body, Origin="https://evil.localhost")[0] == 403
    )
    assert "mallory" not in {worker.name for worker in house.staff.all()}


def test_from_the_form_to_the_phone(house, page):
    """A member whose name is an attack, a face by the camera, the QR, the code, and a real phone."""
    register(house, page, "gil", Role.CLERK, Role.ISSUER)
    page.get_by_role("link", name="Add a member").click()
    page.get_by_label("Name", exact=True).fill(NAME)
    page.get_by_label("Member number").fill("17")
    page.get_by_role("button", name="Add").click()
    page.get_by_text("The member was added").wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == NAME
    (member,) = Members(house.desk).search("img src")

    page.get_by_role("link", name="Hand over a card").click()
    camera, take = (
        page.get_by_role("button", name=name) for name in ("Start the camera", "Take the face")
    )
    assert camera.is_disabled()
    page.get_by_label("The person has been told").check()
    camera.click()
    page.get_by_text("Good. Hold still.").wait_for()
    take.click()
    page.get_by_text("The face was taken. The picture is gone.").wait_for()
    assert ("gil", "face-taken", "consent given") in house.journal()

    page.get_by_label("Level").select_option("2")
    page.get_by_label("identity card").check()
    page.get_by_role("button", name="Show the QR code").click()
    code, digits = page.locator(".qr-sheet").first, page.locator(".digits")
    assert (code.is_visible(), digits.is_visible()) == (True, False)
    picture = code.locator("svg").screenshot()
    page.get_by_text("2. Say this code").click()
    digits.wait_for()
    assert (code.is_visible(), digits.is_visible()) == (False, True)

    # What the phone sees on the screen is read as it was drawn.
    (link,) = house.app.state.site.codes.read(picture)
    assert link.startswith("https://desk.localhost:8445/#credential_offer_uri=")
    app = issuer_app(house.desk)
    with talking_to(app, house.desk.settings.web.issuer) as web:
        phone = Phone(web)
        offer = phone.read(link).json()
        (grant,) = offer["grants"].values()
        spoken = digits.inner_text().replace(" ", "")
        assert re.fullmatch(r"\d{6}", spoken)
        assert phone.redeem(grant["pre-authorized_code"], spoken).status_code == 200
        assert phone.fetch().status_code == 200
    page.get_by_text("The card was issued; the phone has not yet said").wait_for()
    assert page.locator(".qr-sheet").count() == 0
    (row,) = Credentials(house.desk).of_member(member.reference)
    assert (row.level, row.evidence, row.issued_by) == (2, "national-id", "gil")

    page.get_by_role("link", name="Back to the member").click()
    page.get_by_role("button", name="Phone lost").click()
    page.get_by_text("What was on the phone is revoked").first.wait_for()
    (row,) = Credentials(house.desk).of_member(member.reference)
    assert row.status == Status.REVOKED
    assert page.wrong == []


def test_phone_before_the_webcam_is_read(house, page):
    """The page's script finds the code in the camera's picture, and the desk's scanner reads it."""
    member = Members(house.desk).add(a_person("Grace Hopper"), "x")
    holder = Holder.new()
    with house.desk.store.write() as connection:
        card = Credentials(house.desk).sign(
            connection, member, kind="library-card", level=1, holder=holder, form="phone",
            issued_by="self", now=NOW,
        )  # fmt: skip
    text = present(card.token, holder, at=NOW, audience="library/main")
    out = io.BytesIO()
    segno.make_qr(text, error="l", mode="alphanumeric", boost_error=False).save(
        out, kind="png", scale=5, border=4
    )
    film = FILM.replace("PICTURE", base64.b64encode(out.getvalue()).decode())
    page.add_init_script(film)
    register(house, page, "ida", Role.CLERK)
    page.goto(f"{house.origin}/upgrade")
    page.get_by_role("button", name="Start the camera").click()
    page.wait_for_url("**/upgrade/card")
    assert page.get_by_role("heading", level=1).inner_text() == "Grace Hopper"
    assert page.wrong == []


def test_pages_are_accessible(house, page):
    member = Members(house.desk).add(a_person("Zoë Quinn"), "x")
    page.goto(f"{house.origin}/signin")
    problems = axe_problems(page)
    register(house, page, "jo", *Role)
    for path in (
        "/members", "/members/new", f"/members/{member.reference}",
        f"/members/{member.reference}/handover", "/upgrade", "/staff",
    ):  # fmt: skip
        page.goto(house.origin + path)
        problems += axe_problems(page)
    assert problems == []


def test_pages_fit_a_phone(house, page):
    member = Members(house.desk).add(a_person("Zoë Quinn"), "x")
    page.set_viewport_size({"width": 390, "height": 844})
    register(house, page, "lou", *Role)
    wide = []
    for path in (
        "/members", "/members/new", f"/members/{member.reference}",
        f"/members/{member.reference}/handover", "/upgrade", "/invitations", "/import", "/cards",
        "/publish", "/gates", "/staff", "/journal?check=yes", "/help",
    ):  # fmt: skip
        page.goto(house.origin + path)
        if page.evaluate("document.documentElement.scrollWidth") > 390:
            wide.append(path)
    assert wide == []
    assert page.wrong == []


def test_all_of_it_by_keyboard(house, page):
    """Signing in, finding a member and pressing a button need no pointer."""
    Members(house.desk).add(a_person("Keyed Person"), "x")
    Authenticator(page)
    page.goto(house.staff.add("kim", [Role.CLERK], who="desk").link)
    page.locator("#go:enabled").wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{house.origin}/members")
    page.locator("#q").focus()
    page.keyboard.type("keyed")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=keyed")
    page.get_by_role("link", name="Keyed Person").focus()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Keyed Person").wait_for()
