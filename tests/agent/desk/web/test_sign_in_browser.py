"""Signing in at the desk in a real Chromium, with a virtual authenticator, and attacks on it."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request

import pytest

from agent.desk.passkeys import PasskeyError, Passkeys
from agent.desk.staff import Role, Staff
from agent.desk.web.app import staff_app
from tests.support.desk_browser import Authenticator, axe_problems, listening, serving
from tests.support.desks import DeskClock, a_desk


class House:
    """A desk that is served."""

    def __init__(self, desk, clock, origin):
        self.desk, self.clock, self.origin = desk, clock, origin
        self.staff = Staff(desk)

    def journal(self):
        with self.desk.store.read() as connection:
            return [(row.who, row.action, row.detail) for row in self.desk.journal.read(connection)]

    def fetch(self, path, *, cookie="", data=None, **headers):
        """Ask as another program does; return status and text."""
        context = ssl._create_unverified_context()
        request = urllib.request.Request(self.origin.replace("desk.localhost", "127.0.0.1") + path, data)
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
def house(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house")
    bound = listening()
    origin = f"https://desk.localhost:{bound.getsockname()[1]}"
    clock = DeskClock()
    desk = a_desk(folder / "desk", clock, more=f'[web]\nstaff = "{origin}"')
    with serving(staff_app(desk), bound, folder, host="desk.localhost"):
        yield House(desk, clock, origin)
    desk.close()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.wrong = []
    page.on("console", lambda line: page.wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    yield page
    context.close()


def register(house, page, name, roles):
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
    register(house, page, "ada", [Role.ISSUER])
    (cookie,) = page.context.cookies()
    assert cookie["name"] == "__Host-desk"
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    page.goto(f"{house.origin}/staff")
    assert page.get_by_role("rowheader", name="ada").is_visible()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/signin")
    page.goto(f"{house.origin}/staff")
    assert page.url.endswith("/signin?next=/staff")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{house.origin}/staff")
    assert [row[:2] for row in house.journal()[:5]] == [
        ("ada", "signed-in"), ("ada", "signed-out"), ("ada", "signed-in"),
        ("ada", "passkey-added"), ("desk", "staff-added"),
    ]  # fmt: skip
    assert page.wrong == []


def test_invitation_works_once(house, page, chromium):
    link = house.staff.add("once", [Role.CLERK], who="desk").link
    Authenticator(page)
    page.goto(link)
    page.get_by_role("button", name="Make my passkey").click()
    page.wait_for_url(lambda url: "/welcome" not in url)
    other = chromium.new_context(ignore_https_errors=True)
    second = other.new_page()
    Authenticator(second)
    second.goto(link)
    second.get_by_role("button", name="Make my passkey").click()
    second.get_by_text("was used, or is over").wait_for()
    other.close()


def test_cookie_is_worth_nothing_after_sign_out(house, page):
    register(house, page, "bea", [Role.ISSUER])
    stolen = the_cookie(page)
    assert house.fetch("/staff", cookie=stolen)[0] == 200
    page.goto(f"{house.origin}/staff")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/signin")
    assert "Sign in with a passkey" in house.fetch("/staff", cookie=stolen)[1]


def test_session_ends_by_itself(house, page):
    register(house, page, "cleo", [Role.ISSUER])
    house.clock.now += house.desk.settings.rules.session_s
    page.goto(f"{house.origin}/staff")
    assert "/signin" in page.url


def test_role_is_asked_for_and_the_attempt_is_journaled(house, page):
    register(house, page, "dan", [Role.CLERK])
    answer = page.goto(f"{house.origin}/staff")
    assert answer.status == 403
    assert page.get_by_role("alert").inner_text().startswith("Your role does not allow this")
    assert house.journal()[0] == ("dan", "denied", "GET /staff")
    assert page.get_by_role("link", name="Staff").count() == 0


@pytest.mark.parametrize("how", ["form", "fetch"])
def test_forged_request_of_another_origin_is_refused(house, page, how):
    name = f"eve-{how}"
    register(house, page, name, [Role.ISSUER])
    page.route("https://evil.localhost/", lambda route: route.fulfill(
        content_type="text/html",
        body=f"<form method=post action='{house.origin}/staff'><input name=name value=mallory>"
        "<input name=role value=issuer><button>go</button></form>",
    ))
    page.goto("https://evil.localhost/")
    if how == "form":
        page.get_by_role("button").click()
        page.wait_for_url(f"{house.origin}/staff")
        assert "Refused" in page.content()
    else:
        script = "(url) => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'," \
            " body: new URLSearchParams({name: 'mallory', role: 'issuer'})}).catch(e => e.name)"
        assert page.evaluate(script, f"{house.origin}/staff") == "TypeError"  # nor is it read
    assert "mallory" not in {worker.name for worker in house.staff.all()}
    # The very cookie, with another page's headers, as a browser without SameSite would send it.
    cookie = the_cookie(page)
    body = b"name=mallory&role=issuer"
    for headers in (
        {"Origin": "https://evil.localhost"}, {"Origin": "null"}, {},
        {"Sec_Fetch_Site": "cross-site", "Origin": house.origin},
        {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "none"},
    ):  # fmt: skip
        assert house.fetch("/staff", cookie=cookie, data=body, **headers)[0] == 403
    assert "mallory" not in {worker.name for worker in house.staff.all()}


def test_passkey_of_another_origin_is_refused(house, page):
    """The device signs for `localhost` as a phishing page would have it: nothing comes of it."""
    register(house, page, "fay", [Role.CLERK])
    passkeys = Passkeys(house.desk)
    options = passkeys.authentication()
    page.context.clear_cookies()
    page.goto(f"{house.origin}/signin")
    answer = page.evaluate(
        """async (publicKey) => {
          const asked = PublicKeyCredential.parseRequestOptionsFromJSON(publicKey);
          return (await navigator.credentials.get({publicKey: asked})).toJSON();
        }""",
        options["publicKey"],
    )
    client = json.loads(_bytes(answer["response"]["clientDataJSON"]))
    assert client["origin"] == house.origin
    client["origin"] = house.origin.replace("desk.", "evil.")
    forged = json.loads(json.dumps(answer))
    forged["response"]["clientDataJSON"] = _text(json.dumps(client).encode())
    with pytest.raises(PasskeyError, match="another address"):
        passkeys.authenticate(forged)
    changed = json.loads(json.dumps(answer))
    changed["response"]["signature"] = _text(_bytes(answer["response"]["signature"])[:-1] + b"\0")
    with pytest.raises(PasskeyError, match="signature is wrong"):
        passkeys.authenticate(changed)
    house.clock.now += 400
    with pytest.raises(PasskeyError, match="too long"):
        passkeys.authenticate(answer)
    house.clock.now -= 400
    assert passkeys.authenticate(answer)
    with pytest.raises(PasskeyError, match="used before"):
        passkeys.authenticate(answer)


def test_copied_authenticator_is_told_by_its_counter(house, page, chromium):
    keys = register(house, page, "gil", [Role.CLERK])
    (copy,) = keys.credentials()
    for _ in range(2):
        page.goto(f"{house.origin}/signin")
        page.get_by_role("button", name="Sign in with a passkey").click()
        page.wait_for_url(lambda url: "/signin" not in url)
    other = chromium.new_context(ignore_https_errors=True)
    thief = other.new_page()
    Authenticator(thief).put({**copy, "signCount": copy["signCount"]})
    thief.goto(f"{house.origin}/signin")
    thief.get_by_role("button", name="Sign in with a passkey").click()
    thief.get_by_text("counter went back").wait_for()
    other.close()


def test_device_that_does_not_verify_is_refused(house, page):
    keys = register(house, page, "hal", [Role.CLERK])
    keys.verifies(verified=False)
    page.context.clear_cookies()
    page.goto(f"{house.origin}/signin")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.locator("#say.warn").wait_for()
    assert page.context.cookies() == []


def test_pages_before_signing_in_are_accessible(house, page):
    for path in ("/signin", "/welcome"):
        page.goto(house.origin + path)
        assert axe_problems(page) == []


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
