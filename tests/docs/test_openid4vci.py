"""The page for wallets: its endpoints, errors and numbers are the code's, and its example works."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from agent.credential.model import FormatName
from agent.credential.registry import ReadRules, read
from agent.desk.deliveries import Event
from agent.desk.members import Members
from agent.desk.offers import Offers, Purpose, Refusal
from agent.desk.vci import app as app_module
from agent.desk.vci.app import issuer_app
from agent.desk.vci.credential import FETCHES, FETCHES_A_DAY
from agent.desk.vci.errors import ErrorCode
from agent.desk.vci.invitation import PICTURE_BYTES
from agent.desk.vci.limits import BODY_BYTES
from agent.desk.vci.metadata import issuer_metadata
from agent.desk.vci.nonce import NONCE_S
from agent.desk.vci.proofs import PROOF_BYTES
from agent.desk.vci.token import ACCESS_S
from agent.issuing.issue import present
from agent.issuing.keys import Holder, SigningKey
from tests.support.desks import DeskClock, a_desk, a_person
from tests.support.key_sources import Unfiltered
from tests.support.paths import ROOT

PAGE = (ROOT / "docs/openid4vci.md").read_text("utf-8")
EXAMPLE = ROOT / "docs/examples/wallet.py"


@pytest.fixture
def desk(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = f'[web]\nissuer = "http://127.0.0.1:{port}"'
    clock = DeskClock(int(time.time()))
    opened = a_desk(tmp_path / "desk", clock, more=more)
    yield opened
    opened.close()


def test_every_endpoint_is_there_and_no_other(desk):
    rows = re.findall(r"^\| ([A-Z, ]+) \| `(/[^`]*)` \|", PAGE, re.MULTILINE)
    shown = {(method, path) for methods, path in rows for method in methods.split(", ")}
    served = {
        (method, route.path.replace("{code}", "CODE"))
        for route in issuer_app(desk).routes
        for method in route.methods - {"HEAD"}
    }
    assert shown == (served - {("GET", "/")}) | {("HEAD", "/")}


def test_every_error_is_explained_and_no_other():
    errors = PAGE.partition("## Errors")[2].partition("## Invitations")[0]
    shown = re.findall(r"^\| `([a-z_]+)` \| (?!when)", errors, re.MULTILINE)
    assert sorted(shown) == sorted(ErrorCode)
    for word in (*Refusal, *Event):
        assert f"`{word}`" in PAGE, word


def test_numbers_are_the_codes():
    assert ACCESS_S == NONCE_S == 300
    assert PAGE.count("300 s") >= 4
    assert FETCHES == 5
    assert FETCHES_A_DAY == 10
    assert "Ten such answers a day" in PAGE
    assert "five times at most" in PAGE
    for number in (BODY_BYTES, PROOF_BYTES, PICTURE_BYTES, app_module._BURST):
        assert f"{number:,}" in PAGE, number
    assert f"over {app_module._PER_S} a second" in PAGE


def test_the_configuration_shown_is_the_codes(desk):
    block = re.search(r'^{"library-card".*?^```', PAGE, re.MULTILINE | re.DOTALL)
    shown = json.loads(block[0].removesuffix("```"))["library-card"]
    own = issuer_metadata(desk)["credential_configurations_supported"]["library-card"]
    display = shown.pop("credential_metadata")["display"][0]
    assert display.items() <= own.pop("credential_metadata")["display"][0].items()
    assert shown == own


def test_the_example_takes_a_card_that_a_gate_reads(desk, tmp_path):
    member = Members(desk).add(a_person(valid_until=desk.clock() + 86_400), "mo")
    offer = Offers(desk).create(
        member, purpose=Purpose.ISSUE, kind="library-card", level=1, who="mo"
    )
    port = int(desk.settings.web.issuer.rpartition(":")[2])
    server = uvicorn.Server(
        uvicorn.Config(issuer_app(desk), port=port, log_level="error", access_log=False)
    )
    serving = threading.Thread(target=server.run)
    serving.start()
    try:
        words = [sys.executable, str(EXAMPLE), offer.uri, offer.transaction_code]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    finally:
        server.should_exit = True
        serving.join()
    assert done.returncode == 0, done.stderr
    holder = Holder(SigningKey.from_file(tmp_path / "holder.pem"))
    now = desk.clock()
    code = present(Path(tmp_path, "card.cwt").read_bytes(), holder, at=now, audience="library/main")
    rules = ReadRules(
        now=now, clock_trusted=True, site="library", gate="main",
        formats=frozenset({FormatName.NATIVE}),
    )  # fmt: skip
    seen = read(code.encode(), keys=Unfiltered([desk.issuer.issuer_key()]), rules=rules)
    assert seen.subject == member.reference
    assert Offers(desk).state(offer.id).acknowledged
