"""What the page may do: nothing inline, nothing of others', the same policy twice."""

from __future__ import annotations

import html.parser
import json
import re

import pytest

from tests.support.paths import ROOT

WALLET = ROOT / "agent/wallet"
HEADERS = json.loads((WALLET / "headers.json").read_text())
OURS = [
    path
    for path in sorted(WALLET.rglob("*"))
    if path.suffix in {".js", ".css", ".html", ".svg", ".webmanifest"}
    and "vendor" not in path.parts
]


class Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed((WALLET / "index.html").read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def policy(text: str) -> dict[str, list[str]]:
    return {part.split()[0]: part.split()[1:] for part in text.split(";")}


def test_the_policy_in_the_page_is_that_of_the_headers():
    (meta,) = [
        attrs["content"]
        for tag, attrs in Page().found
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    assert meta is not None
    header = policy(HEADERS["Content-Security-Policy"])
    assert header.pop("frame-ancestors") == ["'none'"]  # a page cannot say this of itself
    assert policy(meta) == header


def test_the_policy_allows_only_what_is_ours():
    rules = policy(HEADERS["Content-Security-Policy"])
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == rules["style-src"] == rules["worker-src"] == ["'self'"]
    assert rules["connect-src"] == ["'self'", "https:"]  # any issuer; which, the page decides
    assert rules["require-trusted-types-for"] == ["'script'"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_page_has_nothing_inline():
    for tag, attrs in Page().found:
        assert tag != "style"
        assert "style" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        assert tag != "script" or attrs["src"] == "app.js"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(WALLET).as_posix())
def test_no_file_makes_markup_or_code_of_text_or_asks_others(path):
    text = path.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "new Function"):
        assert f".{word}" not in text
        assert f"{word}(" not in text
    assert not re.search(r"\beval\s*\(", text)
    hosts = set(re.findall(r"https?://([a-z0-9.]+)", text))
    assert hosts <= {"www.w3.org"}  # the name of SVG
