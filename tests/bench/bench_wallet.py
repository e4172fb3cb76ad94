"""The wallet's page in Chromium: bytes and time until something is seen, and how long a code takes.

Run as a script for a table; with `pytest -m bench tests/bench/bench_wallet.py` bytes and ratios are
held, never times: those of a phone are not those of this machine. The browser is slowed down by the
factors of the table (`Emulation.setCPUThrottlingRate`); a cheap phone is some 6 to 10 times slower
than a desktop computer.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.credential.model import StatusReference
from agent.credential.needs import Redact
from agent.issuing.issue import face_template, finger_template, sign_credential
from agent.issuing.keys import Holder, new_issuer
from tests.support.browser import launched
from tests.support.wallet_tls import BROWSER_ARGUMENTS, Certificate, WalletSite, serving

pytestmark = pytest.mark.bench

VISITS = 5
TRANSFERRED = 150 * 1024
SLOWER = (1, 6, 20)
CODES = 20
QR_SHARE = 40
"""A code may cost so many signatures: drawing is most of it."""
_NOW = 1_800_000_000
_FACE = face_template(bytes(range(128)), "face-embed-v1")
CARDS = {
    "plain": {},
    "face, version 1": {"references": [_FACE], "version": 1},
    "face and age, apart": {
        "references": [_FACE], "ages": [18], "birth_date": "1990-12-31", "redacted": list(Redact),
    },
    "face and finger of 512": {
        "references": [_FACE, finger_template(random.Random(5).randbytes(512), "r307")],
    },
}  # fmt: skip
_CODES = """async ({codes, bytes}) => {
  const [{draw}, {present, makeKey}] = await Promise.all([import("./draw.js"), import("./cose.js")]);
  const {privateKey} = await makeKey();
  const credential = Uint8Array.from(bytes);
  const canvas = document.createElement("canvas");
  const [signed, drawn] = [[], []];
  for (let n = 0; n < codes; n++) {
    const start = performance.now();
    const text = await present(credential, privateKey, {aud: "library/north", iat: 1800000000 + n, needs: ["age-18", "face", "finger"]});
    const middle = performance.now();
    draw(canvas, text, 360, 3);
    canvas.getContext("2d").getImageData(0, 0, 1, 1);
    signed.push(middle - start);
    drawn.push(performance.now() - middle);
  }
  return {signed, drawn};
}"""


class Visit(NamedTuple):
    """One first visit: bytes, and milliseconds until first paint and until the page is ready."""

    sent: int
    paint: float
    ready: float


class Code(NamedTuple):
    """Milliseconds of one code, median."""

    sign: float
    draw: float


@contextmanager
def browsing() -> Iterator[tuple[WalletSite, Any]]:
    """Serve the page, and give a browser."""
    with tempfile.TemporaryDirectory() as folder:
        certificate = Certificate.make(Path(folder))
        arguments = [*BROWSER_ARGUMENTS, certificate.argument()]
        with launched(*arguments) as browser, serving(WalletSite(), certificate) as site:
            yield site, browser


def _page(browser: Any, slower: int) -> Any:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, device_scale_factor=3, service_workers="block"
    )
    page = context.new_page()
    link = context.new_cdp_session(page)
    link.send("Emulation.setCPUThrottlingRate", {"rate": slower})
    return page


def visit(site: WalletSite, browser: Any, slower: int) -> Visit:
    """Visit the page as for the first time."""
    page = _page(browser, slower)
    site.sent.clear()
    page.goto(site.url)
    page.wait_for_selector("h1")
    paint, ready = page.evaluate(
        """() => [performance.getEntriesByName("first-contentful-paint")[0].startTime,
          performance.getEntriesByName("idgate-ready")[0].startTime]"""
    )
    page.context.close()
    return Visit(sum(site.sent.values()), paint, ready)


def card(name: str) -> bytes:
    """Return one of `CARDS`, as the desk gives it."""
    fields: dict[str, Any] = {"version": 2, "cti": b"8 bytes.", "level": 2} | CARDS[name]
    return sign_credential(
        new_issuer("library"), Holder.new(), subject="REFERENCE23", issued_at=_NOW,
        valid_until=_NOW + 90 * 86_400, status=StatusReference("https://desk.test/status/1", 7),
        **fields,
    )  # fmt: skip


def codes(site: WalletSite, browser: Any, slower: int, credential: bytes) -> Code:
    """Make codes of a credential."""
    page = _page(browser, slower)
    page.goto(site.url)
    page.wait_for_selector("h1")
    found = page.evaluate(_CODES, {"codes": CODES, "bytes": list(credential)})
    page.context.close()
    return Code(statistics.median(found["signed"]), statistics.median(found["drawn"]))


def test_the_page_is_small() -> None:
    with browsing() as (site, browser):
        assert visit(site, browser, 1).sent < TRANSFERRED


def test_a_code_costs_little_beside_its_signature() -> None:
    with browsing() as (site, browser):
        found = codes(site, browser, 1, card("face and age, apart"))
    assert found.draw < QR_SHARE * max(found.sign, 0.1)


def main() -> None:
    """Print the table."""
    with browsing() as (site, browser):
        visit(site, browser, 1)  # the browser's own first start
        print("slower  KiB sent  first paint ms  ready ms")
        for slower in SLOWER:
            seen = [visit(site, browser, slower) for _ in range(VISITS)]
            paint, ready = (statistics.median(one[at] for one in seen) for at in (1, 2))
            print(f"{slower:6} {seen[0].sent / 1024:9.1f} {paint:15.0f} {ready:9.0f}")
        print("\nslower  credential B  sign ms  draw ms")
        for name in CARDS:
            credential = card(name)
            for slower in SLOWER:
                found = codes(site, browser, slower, credential)
                print(
                    f"{slower:6} {len(credential):13} {found.sign:8.1f} {found.draw:8.1f}  {name}"
                )


if __name__ == "__main__":
    main()
