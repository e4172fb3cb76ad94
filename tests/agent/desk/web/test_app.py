"""The table of the staff's pages: who may what, and what stands before every page."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from agent.desk.staff import Role
from agent.desk.web.app import TABLE
from agent.desk.web.call import ANYBODY
from agent.desk.web.guard import POLICY
from tests.support.desk_seats import seats_of
from tests.support.desks import a_desk

WEB = Path(str(files("agent.desk.web")))
ROLED = [row for row in TABLE if row.roles]


def a_path(row) -> str:
    return re.sub(r"\{[^}]*\}", "x", row.path)


@pytest.fixture(scope="module")
def seats(tmp_path_factory):
    desk = a_desk(tmp_path_factory.mktemp("table") / "desk")
    with seats_of(desk) as made:
        yield made
    desk.close()


@pytest.fixture(scope="module")
def by_role(seats):
    return {role: seats.of(role) for role in Role}


def test_nothing_is_reachable_that_has_no_line(seats):
    reachable = {
        (method, route.path)
        for route in seats.app.routes
        for method in getattr(route, "methods", ["GET"])
    }
    listed = {(row.method, row.path) for row in TABLE}
    assert reachable - listed == {("GET", "/static")} | {
        ("HEAD", row.path) for row in TABLE if row.method == "GET"
    }
    assert len(TABLE) == len(listed)


def test_lines_for_anybody_are_few():
    assert {row.path for row in TABLE if row.roles == ANYBODY} == {
        "/signin", "/signin/options", "/welcome", "/welcome/options", "/place.css", "/favicon.ico",
        "/cards/style/{layout}",
    }  # fmt: skip


@pytest.mark.parametrize("row", ROLED, ids=lambda row: f"{row.method} {row.path}")
def test_who_may_not_is_refused_and_journaled(seats, by_role, row):
    ask = {"GET": lambda seat: seat.get(a_path(row)), "POST": lambda seat: seat.post(a_path(row))}[
        row.method
    ]
    got = ask(seats.nobody)
    if row.script:
        assert got.status_code == 401
        assert "no longer signed in" in got.json()["error"]
    else:
        assert got.status_code == 303
        assert got.headers["location"].startswith("/signin")
    for role in Role:
        if role in row.roles:
            continue
        before = seats.journal()
        assert ask(by_role[role]).status_code == 403
        assert seats.journal() != before
        assert seats.journal() == [
            (by_role[role].name, "denied", by_role[role].name, f"{row.method} {row.path}")
        ]


@pytest.mark.parametrize(
    "row", [row for row in TABLE if row.method == "POST"], ids=lambda row: row.path
)
@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "https://evil.example"}, {"origin": "null"},
     {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "none"}],
    ids=str,
)  # fmt: skip
def test_change_that_another_page_asks_for_is_refused(seats, by_role, row, headers):
    seat = by_role[next(iter(sorted(row.roles)), Role.CLERK)]
    cookie = {"cookie": seat.headers["cookie"]}
    got = seats.web.post(a_path(row), headers=cookie | headers)
    assert (got.status_code, got.text[:8]) == (403, "Refused:")


@pytest.mark.parametrize(
    "path", ["/signin", "/staff", "/nothing", "/static/desk.css", "/place.css"]
)
def test_headers_of_every_answer(seats, by_role, path):
    got = by_role[Role.ISSUER].get(path)
    assert got.headers["content-security-policy"] == POLICY
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["referrer-policy"] == "same-origin"
    assert got.headers["cache-control"] in {"no-store", "max-age=3600"}
    assert "unsafe" not in POLICY


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:8443", "desk.localhost", ""])
def test_another_host_is_none_of_ours(seats, host):
    got = seats.web.get("/signin", headers={"host": host})
    assert got.status_code == 421


@pytest.mark.parametrize(
    ("path", "body"),
    [("/staff", b"a=b&" * 20_000), ("/signin/options", b"{" * 40_000)],
)
def test_body_that_is_too_long(seats, by_role, path, body):
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert by_role[Role.ISSUER].post(path, content=body, headers=form).status_code == 413


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded", b"name=%ff%fe&role=clerk"),
        ("application/x-www-form-urlencoded", b"name=a%00b&role=clerk"),
        ("application/x-www-form-urlencoded", b"&".join([b"a=1"] * 100)),
        ("application/x-www-form-urlencoded", "name=é".encode()),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"--y\r\nnothing"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n"),
        ("text/plain", b"name=mallory&role=issuer"),
        ("application/json", b"[]"),
    ],
)  # fmt: skip
def test_form_that_is_none_changes_nothing(seats, by_role, kind, body):
    got = by_role[Role.ISSUER].post("/staff", content=body, headers={"content-type": kind})
    assert got.status_code in {400, 422}
    assert "mallory" not in by_role[Role.ISSUER].get("/staff").text


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"[" * 20_000, b'{"code": 7}', b'{"code": null}', b"\xff"]
)
def test_json_that_is_none(seats, body):
    got = seats.nobody.post("/welcome", content=body, headers={"content-type": "application/json"})
    assert got.status_code == 400
    assert len(got.json()["error"]) < 120


@pytest.mark.parametrize("query", ["?next=%ff", "?a=%00", "?" + "&".join(["a=1"] * 100)])
def test_address_that_is_none(seats, query):
    assert seats.nobody.get("/signin" + query).status_code == 400


def test_static_files_stay_in_their_folder(seats):
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/"):
        assert seats.nobody.get(path).status_code == 404


def test_pages_have_no_script_or_style_within():
    for file in (WEB / "templates").glob("*.html"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(
            r"\son\w+=|\sstyle=|javascript:|<style|<script(?![^>]*\bsrc=)", text
        ), file.name
        assert "| safe" not in text, file.name


def test_words_are_all_there_and_all_used():
    """A word that is missing fails a page; one that nothing names is dead."""
    words = tomllib.loads((WEB / "words" / "en.toml").read_text(encoding="utf-8"))
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in [*(WEB / "templates").glob("*.html"), *WEB.glob("*.py")]
    )
    by_name = {"menu", "done", "statuses", "forms", "evidence", "layouts", "job_states", "offer_states",
               "face_problems", "rosters", "levels", "published"}  # fmt: skip
    for table, entries in words.items():
        if table in by_name:
            assert re.search(rf"\b(t|texts)\.{table}\b", source), table
            continue
        for name in entries:
            used = rf"\b(t|texts)\.{table}\.{name}\b"
            short = rf"texts = call\.site\.texts\.{table}\b"
            assert re.search(used, source) or re.search(short, source), f"{table}.{name}"
    for table, name in re.findall(r"\bt\.(\w+)\.(\w+)", source):
        assert name in words[table], f"{table}.{name}"
