"""The staff's pages as somebody with a role asks for them, without a browser."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from agent.desk.desk import Desk
from agent.desk.staff import Role, Staff
from agent.desk.web.app import staff_app
from tests.support.asgi import talking_to

__all__ = ["Seat", "Seats", "seats_of", "text_of"]

_NUMBERS = itertools.count(1)


class Seat:
    """Somebody before a browser.

    Args:
        web: the client.
        origin: of the pages.
        name: work name; empty where nobody is signed in.
        cookie: of the session.
    """

    def __init__(self, web: httpx.Client, origin: str, name: str, cookie: str) -> None:
        self.web, self.name, self.cookie = web, name, cookie
        self.headers = {"origin": origin, "sec-fetch-site": "same-origin"}
        if cookie:
            self.headers["cookie"] = f"__Host-desk={cookie}"

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.web.get(path, headers=self.headers | more.pop("headers", {}), **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.web.post(path, headers=self.headers | more.pop("headers", {}), **more)


class Seats:
    """All who might ask.

    Args:
        desk: whose pages.
        app: of the staff.
        web: a client of it.
    """

    def __init__(self, desk: Desk, app: Any, web: httpx.Client) -> None:
        self.desk, self.app, self.web = desk, app, web
        self.origin = desk.settings.web.staff
        self.nobody = Seat(web, self.origin, "", "")

    def of(self, *roles: Role, name: str = "") -> Seat:
        """Return somebody new with these roles, who is signed in."""
        name = name or f"{'-'.join(roles)}-{next(_NUMBERS)}"
        staff = Staff(self.desk)
        staff.add(name, roles, who="desk")
        (worker,) = [each for each in staff.all() if each.name == name]
        with self.desk.store.write() as connection:
            cookie = staff.begin(connection, worker.id, name)
        return Seat(self.web, self.origin, name, cookie)

    def journal(self, count: int = 1) -> list[tuple[str, str, str, str]]:
        """Return the newest rows: who, what, reference, detail."""
        with self.desk.store.read() as connection:
            rows = self.desk.journal.read(connection, limit=count)
        return [(row.who, row.action, row.reference, row.detail) for row in rows]


@contextmanager
def seats_of(desk: Desk, publisher: Any = None, module: Any = None) -> Iterator[Seats]:
    """Give the pages of a desk to whoever asks."""
    app = staff_app(desk, publisher, module=module)
    try:
        with talking_to(app, desk.settings.web.staff) as web:
            yield Seats(desk, app, web)
    finally:
        app.state.close()


def text_of(page: httpx.Response) -> str:
    """Return a page's text without its marks, as far as a test needs it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.text))
