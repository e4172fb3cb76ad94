"""docs/examples/issuer.mjs: codes of an implementation that shares nothing with ours, judged."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from agent.credential import base45, registry
from agent.policy.judge import Judge, NoMemory, Place
from agent.policy.profile import parse_profile
from agent.reason import Reason
from agent.trust.directory import load_directory
from agent.trust.snapshot import TrustSnapshot
from tests.support.paths import ROOT

PROGRAM = ROOT / "docs" / "examples" / "issuer.mjs"
CHALLENGE = bytes.fromhex("0011223344556677")
PROFILE = """
name = "pool"
title = "Pool"
kinds = ["online-id"]
level = 2
biometric = "face"
regions = ["DE-BE"]
minimum_age = 18
"""
EXPECTED = {"printed": Reason.STATIC_NOT_ACCEPTED, "withdrawn": Reason.REVOKED}

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("abroad")
    subprocess.run(["node", str(PROGRAM), str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def codes(made: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((made / "codes.json").read_text())
    return found


@pytest.fixture(scope="module")
def trust(made: Path) -> TrustSnapshot:
    return load_directory(made / "trust", now=moment(made))


def moment(made: Path) -> int:
    """Return when the codes were made, however slow the machine is."""
    return int((made / "site.key").stat().st_mtime)


def judge(made: Path, trust: TrustSnapshot, text: str, more: str = "", **change: object) -> Reason:
    place = Place(
        site="pool", gate="door", profile=parse_profile(PROFILE + more, source="test"),
        site_keys=((made / "site.key").read_bytes(),),
    )  # fmt: skip
    judged = Judge(place, timer=time.perf_counter_ns, memory=NoMemory())
    arguments = {"trust": trust, "now": moment(made), "challenge": CHALLENGE} | change
    return judged.judge(text.encode(), **arguments).reason  # type: ignore[arg-type]


def test_every_code_is_judged_as_it_was_meant(
    made: Path, trust: TrustSnapshot, codes: dict[str, str]
) -> None:
    assert len(codes) == 4 * 3 * 7
    assert {text[:4] for text in codes.values()} == {"NI2:"}
    for name, text in codes.items():
        expected = EXPECTED.get(name.split()[-1], Reason.GRANTED)
        assert judge(made, trust, text) is expected, name


def test_tickets_are_taken_where_one_is_asked(
    made: Path, trust: TrustSnapshot, codes: dict[str, str]
) -> None:
    asks = 'ticket = "required"\nticket_kinds = ["rail-ticket"]\n'
    for name, text in codes.items():
        if name.endswith("ticket"):
            assert judge(made, trust, text, asks) is Reason.GRANTED, name
        elif name.endswith("packed"):
            assert judge(made, trust, text, asks) is Reason.TICKET_REQUIRED, name


def test_another_gate_challenge_or_byte_is_refused(
    made: Path, trust: TrustSnapshot, codes: dict[str, str]
) -> None:
    text = codes["ES384 EdDSA"]
    assert judge(made, trust, text, challenge=b"another!") is Reason.WRONG_CHALLENGE
    assert judge(made, trust, text, now=moment(made) + 120) is Reason.STALE
    data = base45.decode(text[4:].encode())
    for at in range(0, len(data), 11):
        bent = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert judge(made, trust, "NI2:" + base45.encode(bent)) is not Reason.GRANTED, at


def test_what_the_wallet_kept_back_is_counted(
    made: Path, trust: TrustSnapshot, codes: dict[str, str]
) -> None:
    rules = registry.ReadRules(
        now=moment(made), clock_trusted=True, site="pool", gate="door", challenge=CHALLENGE
    )
    for name, text in codes.items():
        if name.endswith("redacted"):
            read = registry.read(text.encode(), keys=trust, rules=rules)
            assert (read.birth_date, read.undisclosed) == ("1987-06-23", 1)
            assert "full_name" not in read.claims
