"""Signing in and out, the first passkey, and the page one lands on."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from agent.desk.passkeys import PasskeyError
from agent.desk.staff import LONGEST_SESSION_S, Role
from agent.desk.web.call import COOKIE, BadRequest, Call

__all__ = [
    "help_page",
    "home",
    "icon",
    "options",
    "place_style",
    "sign_in",
    "sign_in_page",
    "sign_out",
    "welcome",
    "welcome_options",
    "welcome_page",
]


def home(call: Call) -> Response:
    """Send to what the person is there for."""
    roles = call.session.roles if call.session else frozenset[Role]()
    if roles & {Role.CLERK, Role.ISSUER}:
        return call.to("/members")
    return call.to("/journal")


def help_page(call: Call) -> Response:
    """Show what to do when somebody stands there."""
    return call.page("help.html")


def sign_in_page(call: Call) -> Response:
    """Show how to sign in."""
    return call.page("signin.html")


def options(call: Call) -> Response:
    """Answer what `navigator.credentials.get` is to be asked."""
    return JSONResponse(call.site.passkeys.authentication())


def sign_in(call: Call) -> Response:
    """Take the passkey's answer."""
    try:
        return _signed_in(call.site.passkeys.authenticate(call.json()))
    except PasskeyError as error:
        raise BadRequest(str(error)) from None


def welcome_page(call: Call) -> Response:
    """Show who is invited how to make a passkey; the invitation is behind the address's `#`."""
    return call.page("welcome.html")


def welcome_options(call: Call) -> Response:
    """Answer what `navigator.credentials.create` is to be asked."""
    try:
        return JSONResponse(call.site.passkeys.registration(_code(call)))
    except PasskeyError as error:
        raise BadRequest(str(error)) from None


def welcome(call: Call) -> Response:
    """Take the new passkey, and sign in."""
    try:
        cookie = call.site.passkeys.register(_code(call), call.json().get("answer"))
    except PasskeyError as error:
        raise BadRequest(str(error)) from None
    return _signed_in(cookie)


def sign_out(call: Call) -> Response:
    """End the session here and wherever its cookie went."""
    if call.session is not None:
        call.site.taken.forget(call.session.digest)
        call.site.plans.pop(call.session.digest)
        call.site.presented.pop(call.session.digest)
        call.site.staff.sign_out(call.session)
    answer = call.to("/signin")
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    # What a back button would show is personal.
    answer.headers["clear-site-data"] = '"cache"'
    return answer


def place_style(call: Call) -> Response:
    """Answer the place's colour, out of the settings: pages have no style of their own."""
    colour = call.site.desk.settings.place.colour
    return Response(
        f":root {{ --place: {colour}; }}\n",
        media_type="text/css",
        headers={"cache-control": "max-age=3600"},
    )


def icon(call: Call) -> Response:
    """Answer browsers that ask for an icon where a page names none, as a sheet of cards does."""
    return call.to("/static/icon.svg")


def _signed_in(cookie: str) -> Response:
    answer = JSONResponse({"next": "/"})
    answer.set_cookie(
        COOKIE,
        cookie,
        max_age=LONGEST_SESSION_S,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return answer


def _code(call: Call) -> str:
    code = call.json().get("code")
    if not isinstance(code, str) or len(code) > 64:
        raise BadRequest("the invitation is not valid, was used, or is over: ask for a new one")
    return code
