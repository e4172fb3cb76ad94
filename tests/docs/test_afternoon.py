"""docs/afternoon.md as written: from an empty folder to a granted passage and a denied one, by the pages alone.

Real: the desk as a process, Mosquitto, a gate's daemon, one Chromium for the clerk and one for the member's phone. What the phone shows is
photographed by the gate's camera; what the desk shows is read as a phone's camera reads it.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from PIL import Image

from agent.scan.decoders import Decoders
from hal.simulated.pinboard import PinBoard
from tests.agent.desk.desk_folder import free_ports
from tests.conftest import Mosquitto
from tests.support import gatekeepers
from tests.support.browser import Authenticator, launched
from tests.support.gate_on_disk import FIRE, PASSAGE, RELAY, TAMPER, GateOnDisk, until
from tests.support.paths import ROOT
from tests.support.stills import decode_still

PAGE = (ROOT / "docs/afternoon.md").read_text("utf-8")
HOST = "desk.library.example"
pytestmark = pytest.mark.broker


def block(name: str) -> str:
    """Return a block of the page by the name that stands above it."""
    found = re.search(rf"<!-- afternoon: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, name
    return found[1]


def test_every_command_of_the_page_has_a_name_or_is_of_the_system() -> None:
    plain = re.findall(r"(?<! -->)\n```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [
        line
        for text in plain
        for line in text.splitlines()
        if "idgate-desk desk" in line or "idgate join" in line
    ]
    assert lines == []


def test_what_is_pressed_is_called_so_on_the_pages() -> None:
    words = (ROOT / "agent/desk/web/words/en.toml").read_text("utf-8")
    words += (ROOT / "agent/wallet/strings/en.js").read_text("utf-8")
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", PAGE))
    assert len(named) > 10
    assert {name for name in named if f'"{name}"' not in words} == set()


@dataclass
class Afternoon:
    """The place, and everything that runs."""

    folder: Path
    ports: tuple[int, int, int]
    broker_port: int
    said: dict[str, str] = field(default_factory=dict)
    desk: subprocess.Popen[bytes] | None = None

    def words(self, text: str) -> str:
        """Return a text of the page for this machine."""
        for port, ours in zip((8443, 8444, 8445), self.ports, strict=True):
            text = text.replace(f"{HOST}:{port}", f"localhost:{ours}")
        text = text.replace(f"{HOST}:8883", f"localhost:{self.broker_port}").replace(
            HOST, "localhost"
        )
        text = text.replace("/var/lib/idgate-desk/desk", str(self.folder / "desk"))
        text = text.replace("/media/stick", str(self.folder / "stick"))
        text = text.replace("/etc/idgate", str(self.folder / "gate"))
        return re.sub(r"sudo (-u \S+ )?", "", text)

    def run(self, name: str, *more: str, code: int = 0) -> str:
        """Run the commands of a block; returns what they said."""
        said = ""
        for line in self.words(block(name)).replace("\\\n", "").splitlines():
            first, *words = shlex.split(line)
            if first == "systemctl":
                continue
            assert first in ("idgate", "idgate-desk")
            answer = subprocess.run(
                [sys.executable, "-m", "agent.cli", *words, *more],
                cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
                env={**os.environ, "SSL_CERT_FILE": ""},
            )  # fmt: skip
            assert answer.returncode == code, answer.stderr + answer.stdout
            said += answer.stdout
        return said

    def start(self) -> None:
        with (self.folder / "desk.log").open("wb") as log:
            self.desk = subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "desk", "run", str(self.folder / "desk")],
                cwd=ROOT, stdout=log, stderr=log,
            )  # fmt: skip
        until(lambda: b"ready in" in (self.folder / "desk.log").read_bytes(), "the desk is ready")

    def believed(self) -> str:
        """The browser's argument that has it believe the desk's key, as the machine's own trust would."""
        certificate = x509.load_pem_x509_certificate((self.folder / "desk/tls.pem").read_bytes())
        public = certificate.public_key().public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
        return f"--ignore-certificate-errors-spki-list={base64.b64encode(hashlib.sha256(public).digest()).decode()}"


@pytest.fixture
def afternoon(tmp_path: Path) -> Iterator[Afternoon]:
    while (first := free_ports(1)[0]) > 65_000:
        pass
    (broker,) = free_ports(1)
    made = Afternoon(tmp_path, (first, first + 1, first + 2), broker)
    yield made
    if made.desk is not None:
        made.desk.terminate()
        assert made.desk.wait(10) == 0


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[GateOnDisk]:
    """A gate as `./setup.sh install` leaves it, with simulated parts."""
    folder = tmp_path / "gate"
    folder.mkdir()
    board = PinBoard(folder / "pins")
    for loop in (FIRE, TAMPER):
        board.drive(loop, level=False)
    made = GateOnDisk(folder, None, None, board)  # type: ignore[arg-type] # the desk issues
    text = (
        made.write()
        .read_text()
        .replace('site = "s"\ngate = "g"', 'site = "my-site"\ngate = "gate-1"')
    )
    made.config.write_text(text)
    made.show()
    yield made
    made.tell()
    for process in made.processes:
        process.kill()
        process.wait(10)
    gatekeepers.end(folder)
    board.close()


def photograph(gate: GateOnDisk, picture: bytes) -> None:
    """Put a phone's screen before the gate's camera."""
    screen = Image.open(io.BytesIO(picture)).convert("L")
    screen.thumbnail((1280, 680))
    view = Image.new("L", (1280, 720), 90)
    view.paste(screen, ((1280 - screen.width) // 2, 20))
    scratch = gate.path / "next.png"
    view.save(scratch, compress_level=0)
    scratch.rename(gate.path / "view.png")


def scanned(page: Any, what: str) -> str:
    """Read a QR code that a page shows, as a camera does."""
    picture = page.locator(what).first.screenshot(scale="device")
    (found,), _ = decode_still(Decoders(), np.asarray(Image.open(io.BytesIO(picture)).convert("L")))
    return found.data.decode()


def judged(gate: GateOnDisk, phone: Any) -> str:
    """Hold the phone's code up until the gate has decided, and take it away; return the reason."""

    def verdicts() -> list[str]:
        return [row["reason"] for row in gate.decisions() if row["decision"] != "annulled"]

    before = len(verdicts())
    phone.get_by_role("button", name="Show the code").click()
    phone.locator(".bar i").wait_for(state="attached")
    photograph(gate, phone.locator("canvas").screenshot(scale="device"))
    until(lambda: len(verdicts()) > before, "a decision")
    if gate.board.level(RELAY):  # walk through
        gate.board.drive(PASSAGE, level=False)
        time.sleep(0.3)
        gate.board.drive(PASSAGE, level=True)
    gate.show()
    until(lambda: not gate.board.level(RELAY), "closed")
    return verdicts()[before]


def test_the_afternoon(afternoon: Afternoon, gate: GateOnDisk, mosquitto: Any) -> None:
    # 1. The desk.
    port = str(afternoon.ports[0])
    said = afternoon.run("init", "--port", port, "--bind", "127.0.0.1", "--no-password")
    welcome = re.findall(r"https://localhost:\d+/welcome#\S+", said)[-1]
    assert not list((afternoon.folder / "desk").rglob("targets*.pem"))
    afternoon.run("broker", "--to", str(afternoon.folder / "mosquitto"))
    conf = (afternoon.folder / "mosquitto/mosquitto.conf").read_text()
    broker = Mosquitto(afternoon.folder, "")
    settings = re.sub(rf"(?m)^listener {afternoon.broker_port}.*$", "", conf)
    broker._path.write_text(f"listener {afternoon.broker_port} 127.0.0.1\nuser root\n{settings}")
    broker.port = afternoon.broker_port
    assert "SHA-256" in afternoon.run("certificate")
    broker.start()
    try:
        afternoon.start()
        with launched(afternoon.believed()) as browser:
            walk(afternoon, gate, browser, welcome)
    finally:
        broker.kill()
    # Nobody's name in what was written to be read.
    logs = (afternoon.folder / "desk.log").read_text() + gate.log() + broker.log()
    for secret in ("Lovelace", "ada@example.org", "O'Neil", "王小明", "10001"):
        assert secret not in logs
    everything = b"".join(
        path.read_bytes() for path in (afternoon.folder / "desk").glob("desk.sqlite*")
    )
    assert b"Lovelace" not in everything


def walk(afternoon: Afternoon, gate: GateOnDisk, browser: Any, welcome: str) -> None:
    # 2. The first passkey.
    clerk = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    clerk.set_default_timeout(15_000)
    Authenticator(clerk)
    clerk.goto(welcome)
    clerk.click("#go")
    clerk.wait_for_url("**/members")

    # 3. The gate.
    clerk.goto(welcome.split("/welcome", maxsplit=1)[0] + "/gates")
    clerk.fill("#name", "main-entrance")
    clerk.get_by_role("button", name="link").click()
    command = clerk.locator("#command").input_value()
    link = shlex.split(command)[-1]
    written = afternoon.words(block("join").splitlines()[0])
    assert (
        shlex.split(written)[:2]
        == shlex.split(command.removeprefix("sudo "))[:2]
        == ["idgate", "join"]
    )
    answer = subprocess.run(
        [sys.executable, "-m", "agent.cli", "join", link, "--config-dir", str(gate.path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "central-library/main-entrance" in answer.stdout
    gate.run()
    gate.ready()

    # 4. Members from a list; first what would happen.
    clerk.goto(clerk.url.split("/gates")[0] + "/import")
    clerk.set_input_files(
        "#file",
        {"name": "members.csv", "mimeType": "text/csv", "buffer": block("members").encode()},
    )
    clerk.get_by_role("button", name="Show what would happen").click()
    assert "Nothing has been changed yet" in clerk.content()
    clerk.get_by_role("button", name="Import", exact=True).click()
    clerk.wait_for_url("**/members*")
    clerk.get_by_role("link", name="Ada Lovelace").click()
    member = clerk.url

    # 5. The card on the phone: basic first.
    phone = browser.new_context(
        viewport={"width": 360, "height": 740},
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        locale="en-GB",
    ).new_page()
    phone.set_default_timeout(15_000)
    Authenticator(phone)
    take_card(clerk, phone, member)
    assert judged(gate, phone) == "granted"
    assert gate.openings() == 1

    # 6. Upgraded in person: the phone's code at the desk, a document, the same key.
    code = scanned(phone, "canvas")
    assert code.startswith("NI2:")
    clerk.goto(member.split("/members")[0] + "/upgrade")
    clerk.fill("#code", code)
    clerk.locator("#code-form button").click()
    clerk.wait_for_url("**/upgrade/card")
    clerk.check("[name=evidence][value=passport]")
    clerk.get_by_role("button", name="Show the QR code").click()
    receive(clerk, phone)
    assert judged(gate, phone) == "granted"
    assert gate.openings() == 2

    # 7. Withdrawn.
    clerk.goto(member)
    began = time.monotonic()
    clerk.get_by_role("button", name="Revoke everything").click()
    clerk.get_by_text("The gates have been told.").wait_for()
    # Told is not yet loaded: a slow gate may still open once.
    reasons: list[str] = []
    while reasons[-1:] != ["revoked"]:
        phone.get_by_role("button", name="Done").click()
        reasons.append(judged(gate, phone))
        assert reasons.count("granted") == len(reasons) - (reasons[-1] == "revoked") < 3
    print(
        f"from the press of Revoke to a gate that denies: {time.monotonic() - began:.1f} s, after {reasons}"
    )


def take_card(clerk: Any, phone: Any, member: str) -> None:
    clerk.goto(member + "/handover")
    clerk.select_option("#level", "1")
    clerk.get_by_role("button", name="Show the QR code").click()
    receive(clerk, phone)


def receive(clerk: Any, phone: Any) -> None:
    """Scan what the desk shows, by the phone's camera app; type what the clerk says."""
    clerk.locator(".qr-sheet svg").first.wait_for()
    phone.goto(scanned(clerk, ".qr-sheet"))
    new, known = (phone.get_by_role("button", name=name) for name in ("Continue", "Unlock"))
    new.or_(known).or_(phone.locator("#transaction")).first.wait_for()
    if new.is_visible():
        new.click()
        phone.get_by_role("button", name="Fingerprint, face or screen lock").click()
    elif known.is_visible():
        known.click()
    phone.locator("#transaction").wait_for()
    clerk.get_by_text("2. Say this code").click()
    phone.fill("#transaction", clerk.locator(".digits").inner_text())
    phone.get_by_role("button", name="Take the card").click()
    phone.get_by_role("button", name="See the card").click()
    clerk.get_by_text("Done: the card is on the phone.").wait_for()
