"""`idgate desk` and `idgate join` as somebody types them: real processes, a real broker."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from agent import cli
from agent.desk.credentials import Credentials, Form
from agent.desk.desk import open_desk
from agent.desk.members import Members
from agent.desk.person import Person
from agent.fleet.join import TEMPLATE_SITE
from agent.issuing.issue import Holder, new_issuer, present
from agent.report.link import Connected, Link, LinkError, LinkSettings
from agent.settings.load import load
from agent.trust.status import claimed
from hal.simulated.pinboard import PinBoard
from tests.agent.desk.desk_folder import free_ports
from tests.support import gatekeepers
from tests.support.databases import edited
from tests.support.gate_on_disk import FIRE, PATIENCE, TAMPER, GateOnDisk, until
from tests.support.paths import ROOT

ORIGINS = ("staff", "issuer", "wallet")


def idgate(*words: str, cwd: Path) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(words)
    return code, out.getvalue(), err.getvalue()


def a_port() -> int:
    """Return the first of three ports in a row that nobody listens on."""
    while True:
        (first,) = free_ports(1)
        if first < 65_000:
            return first


@dataclass
class Place:
    """A desk's folder, its stick, and what runs."""

    folder: Path
    port: int
    broker_port: int
    said: str

    @property
    def desk(self) -> Path:
        return self.folder / "desk"

    def start(self) -> subprocess.Popen[str]:
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "agent.cli", "desk", "run", str(self.desk)],
                stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def get(self, port: int, path: str = "/") -> tuple[int, http.client.HTTPMessage, bytes]:
        context = ssl.create_default_context(cafile=self.desk / "desk-ca.pem")
        line = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            line.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    port = a_port()
    (broker,) = free_ports(1)
    code, said, wrong = idgate(
        "desk", "init", "desk", "--site", "lib", "--name", "City Library",
        "--host", "localhost", "--bind", "127.0.0.1",
        "--port", str(port), "--keys", "stick", "--no-password",
        "--broker", f"mqtts://localhost:{broker}",
        cwd=folder,
    )  # fmt: skip
    assert code == 0, wrong
    return Place(folder, port, broker, said)


@pytest.fixture
def running(place: Place) -> Iterator[subprocess.Popen[str]]:
    process = place.start()
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def test_a_desk_is_made_with_its_keys_apart(place: Place) -> None:
    assert sorted(path.name for path in (place.folder / "stick").iterdir()) == [
        "root-1.pem", "targets-1.pem",
    ]  # fmt: skip
    kept = {path.name for path in place.desk.rglob("*.pem")}
    assert {"online.key.pem", "issuer.key.pem", "nudge.key.pem", "desk-ca.key.pem"} <= kept
    assert not kept & {"root-1.pem", "targets-1.pem"}
    for path in place.desk.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert f"https://localhost:{place.port}/welcome#" in place.said
    again = idgate(
        "desk", "init", "desk", "--site", "x", "--host", "x.lan", "--keys", "other",
        "--no-password", cwd=place.folder,
    )  # fmt: skip
    assert again == (2, "", "idgate desk init: desk: not an empty directory\n")
    assert not (place.folder / "other").exists()


def test_it_is_ready_serves_three_origins_and_ends_at_sigterm(place: Place, running) -> None:
    assert running.stdout is not None
    began = time.monotonic()
    line = running.stdout.readline()
    took = time.monotonic() - began
    found = re.fullmatch(r"ready in ([\d.]+) s: staff (\S+), issuer (\S+), wallet (\S+)\n", line)
    assert found is not None, (line, (place.folder / "log").read_text())
    assert [found[n] for n in (2, 3, 4)] == [
        f"https://localhost:{place.port + n}" for n in range(3)
    ]
    assert place.get(place.port)[0] == 303  # to the page that signs in
    status, headers, _ = place.get(place.port, "/signin")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    status, _, body = place.get(place.port + 1, "/.well-known/openid-credential-issuer")
    assert status == 200
    assert json.loads(body)["credential_issuer"] == f"https://localhost:{place.port + 1}"
    assert place.get(place.port + 1, "/trust/metadata/timestamp.json")[0] == 200
    status, headers, body = place.get(place.port + 1, "/status/1")
    assert (status, headers["content-type"]) == (200, "application/statuslist+cwt")
    assert claimed(body)[0] == f"https://localhost:{place.port + 1}/status/1"
    assert [place.get(place.port + 1, f"/status/{bad}")[0] for bad in ("99", "x", "1/..")] == [
        404
    ] * 3
    assert place.get(place.port + 1, "/ca.pem")[2] == (place.desk / "desk-ca.pem").read_bytes()
    status, headers, body = place.get(place.port + 2)
    assert status == 200
    assert b"<html" in body
    policy = headers["content-security-policy"]
    assert policy.endswith(f"connect-src 'self' https://localhost:{place.port + 1}")
    issuers = json.loads(place.get(place.port + 2, "/issuers.json")[2])
    assert issuers == {"issuers": [f"https://localhost:{place.port + 1}"]}
    memory = psutil.Process(running.pid).memory_info().rss / 2**20
    print(f"desk: ready {took:.2f} s after its start, {memory:.0f} MiB")
    assert memory < 120
    running.send_signal(signal.SIGTERM)
    assert running.wait(10 * PATIENCE) == 0
    log = (place.folder / "log").read_text()
    assert "well-known" not in log  # no path: paths hold codes
    assert '"answered_by"' in log


@pytest.fixture
def broker(place: Place, tmp_path: Path) -> Iterator[None]:
    """A real Mosquitto with what the desk has made for it, laid out by the command."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(program).exists():
        pytest.skip("Mosquitto is not installed")
    laid = tmp_path / "laid"
    assert idgate("desk", "broker", "desk", "--to", str(laid), cwd=place.folder)[0] == 0
    assert sorted(path.name for path in laid.iterdir()) == [
        "acl", "ca.pem", "mosquitto.conf", "server.key.pem", "server.pem",
    ]  # fmt: skip
    if os.geteuid() == 0:  # else it becomes the user mosquitto, who cannot read a test's directory
        with (laid / "mosquitto.conf").open("a") as conf:
            conf.write("user root\n")
    with (tmp_path / "broker.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-v", "-c", laid / "mosquitto.conf"], stdout=log, stderr=log
        )
    try:
        until(lambda: _listens(place.broker_port), "a broker")
        yield
    finally:
        process.kill()
        process.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_journal_is_proven_and_its_end_told(place: Place) -> None:
    code, said, _ = idgate("desk", "verify", "desk", cwd=place.folder)
    assert code == 0
    found = re.search(r"it ends with number (\d+), chain ([0-9a-f]{16})\n", said)
    assert found is not None
    before = int(found[1])
    assert idgate("desk", "staff-add", "desk", "berta", "--role", "clerk", cwd=place.folder)[0] == 0
    again = idgate("desk", "verify", "desk", cwd=place.folder)[1]
    assert f"number {before + 1}, chain " in again
    assert found[2] not in again
    with edited(place.desk / "desk.sqlite") as database:
        database.execute("UPDATE audit SET who = 'nobody' WHERE seq = ?", (before + 1,))
    code, _, wrong = idgate("desk", "verify", "desk", cwd=place.folder)
    assert (code, f"row {before + 1} is not as it was written" in wrong) == (1, True)
    with edited(place.desk / "desk.sqlite") as database:
        who = "UPDATE audit SET who = (SELECT who FROM audit WHERE seq = 1) WHERE seq = ?"
        database.execute(who, (before + 1,))
    assert idgate("desk", "verify", "desk", cwd=place.folder)[0] == 0


def test_a_gate_joins_and_the_broker_knows_it(place: Place, running, broker, tmp_path) -> None:
    assert running.stdout is not None
    assert running.stdout.readline().startswith("ready")
    gate = tmp_path / "etc"
    gate.mkdir()
    template = (ROOT / "systemd/config.toml").read_text()
    text = template.replace("/var/lib/idgate", str(tmp_path / "var"))
    (gate / "config.toml").write_text(text)
    assert TEMPLATE_SITE in text
    code, said, wrong = idgate(
        "desk", "gate-invite", "desk", "north", "--out", "north.join", cwd=place.folder
    )
    assert code == 0, wrong
    link = re.search(r"'(https://\S+)'", said)
    assert link is not None
    words = ("join", "north.join", "--config-dir", str(gate))
    code, said, wrong = idgate(*words, cwd=place.folder)
    assert (code, wrong) == (0, "")
    assert "this is gate lib/north" in said
    assert "trust set version 1" in said
    assert link[1] not in said
    config = load(gate / "config.toml")
    assert config.trust.url == f"https://localhost:{place.port + 1}/trust"
    code, _, wrong = idgate(*words, "--replace", cwd=place.folder)
    assert (code, "used, too old" in wrong) == (1, True)
    assert "north  joined" in idgate("desk", "gates", "desk", cwd=place.folder)[1]

    assert config.mqtt is not None
    for certificate, key, allowed in (
        (gate / "gate.pem", gate / "gate.key.pem", True),
        (place.desk / "broker/desk.pem", place.desk / "broker/desk.key.pem", True),
        (place.desk / "broker/server.pem", place.desk / "broker/server.key.pem", False),
        (place.desk / "tls.pem", place.desk / "tls.pem", False),
    ):
        found = _accepted(place.broker_port, gate / "broker-ca.pem", certificate, key)
        assert found is allowed, certificate
    assert re.search(r"New client connected .*u'north'", (tmp_path / "broker.log").read_text())


_SIMULATED = """
state_dir = "state"
[gate]
site = "my-site"
gate = "gate-1"
passage_timeout_s = 1.5
[[camera]]
driver = "simulated"
fps = 20
[gpio]
driver = "simulated"
[simulation]
frames = "view.png"
pins_file = "pins"
[log]
format = "json"
"""


def test_a_revoked_card_is_denied_by_a_gate_that_joined(
    place: Place, running, broker, tmp_path: Path
) -> None:
    """The whole way on loopback: init, run, join, a passage, revoke, the nudge, a denial."""
    assert running.stdout is not None
    assert running.stdout.readline().startswith("ready")
    board = PinBoard(tmp_path / "pins")
    for loop in (FIRE, TAMPER):
        board.drive(loop, level=False)
    gate = GateOnDisk(tmp_path, new_issuer("unused", "ES256"), Holder.new(), board)
    gate.config.write_text(_SIMULATED)
    gate.show()
    said = idgate("desk", "gate-invite", "desk", "south", cwd=place.folder)[1]
    link = re.search(r"'(https://\S+)'", said)
    assert link is not None
    assert idgate("join", link[1], "--config-dir", str(tmp_path), cwd=place.folder)[0] == 0
    desk = open_desk(place.desk / "desk.toml")
    try:
        now = int(time.time())
        member = Members(desk).add(Person("Ada", valid_until=now + 30 * 86_400), "desk")
        with desk.store.write() as connection:
            made = Credentials(desk).sign(
                connection, member, kind="library-card", level=1, holder=None, form=Form.CARD,
                issued_by="desk", now=now,
            )  # fmt: skip
        card = present(made.token)
        gate.run()
        gate.ready()
        _until_connected(tmp_path, "south")
        assert gate.judged(card) == "granted"
        Credentials(desk).revoke(member.reference, "desk")
        began = time.monotonic()
        code, said, _ = idgate("desk", "publish", "desk", cwd=place.folder)
        assert code == 0
        assert "south: told\n" in said
        assert "north: " in said  # joined, and not there: told, and nobody waits for it
        took = time.monotonic() - began
        assert gate.judged(card) == "revoked"
        print(f"from revoked to a gate that was told: {took:.1f} s")
        assert took < 10 * PATIENCE
    finally:
        desk.close()
        for process in gate.processes:
            process.kill()
            process.wait(10)
        gatekeepers.end(tmp_path)
        board.close()


def _until_connected(folder: Path, name: str) -> None:
    log = folder / "broker.log"
    until(lambda: re.search(rf"New client connected .*u'{name}'", log.read_text()), "connected")


def _accepted(port: int, ca: Path, certificate: Path, key: Path) -> bool:
    settings = LinkSettings(
        host="localhost", port=port, tls=True, client_id=f"test-{certificate.stem}",
        ca_file=ca, cert_file=certificate, key_file=key,
    )  # fmt: skip
    try:
        link = Link(settings)
    except LinkError:
        return False
    found: list[bool] = []

    def heard() -> bool:
        link.wait(0.05)
        while link.happenings:
            match link.happenings.popleft():
                case Connected(code=code):
                    found.append(code == 0)
                case _:
                    found.append(False)
        return bool(found)

    try:
        until(heard, "an answer of the broker")
    finally:
        link.close()
    return found[0]


def test_staff_are_added_listed_and_ended(place: Place) -> None:
    def staff(action: str, *words: str) -> tuple[int, str, str]:
        return idgate("desk", f"staff-{action}", "desk", *words, cwd=place.folder)

    assert f"https://localhost:{place.port}/welcome#" in staff("add", "mo", "--role", "clerk")[1]
    code, _, wrong = staff("add", "mo", "--role", "clerk")
    assert (code, wrong.count("\n")) == (2, 1)
    assert "mo  clerk  0 passkeys\n" in staff("list")[1]
    assert staff("end", "mo")[0] == 0
    assert "mo  clerk  0 passkeys  ended\n" in staff("list")[1]


def test_the_journal_is_proved(place: Place) -> None:
    assert idgate("desk", "verify", "desk", cwd=place.folder)[0] == 0
    database = place.desk / "desk.sqlite"
    changed = sqlite3.connect(database)
    (who,) = changed.execute("SELECT who FROM audit WHERE seq = 1").fetchone()
    try:
        with changed:
            changed.execute("UPDATE audit SET who = 'somebody' WHERE seq = 1")
        code, _, wrong = idgate("desk", "verify", "desk", cwd=place.folder)
        assert (code, "row 1 is not as it was written" in wrong) == (1, True)
    finally:
        with changed:
            changed.execute("UPDATE audit SET who = ? WHERE seq = 1", (who,))
        changed.close()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--host", "192.168.1.5"), "passkeys need a name"),
        (("--host", "Desk.lan"), "host name in lower case"),
        (("--host", "x.lan", "--address", "here"), "no IP address"),
        (("--host", "x.lan", "--keys", "new/keys"), "belong on a stick"),
        (("--host", "x.lan", "--broker", "mqtt://b"), "mqtts://"),
        (("--host", "x.lan", "--site", "A B"), "site"),
    ],
)
def test_what_can_be_no_desk_is_one_line(tmp_path: Path, words, why) -> None:
    code, _, wrong = idgate(
        "desk", "init", "new", "--site", "lib", "--keys", "stick", "--no-password", *words,
        cwd=tmp_path,
    )  # fmt: skip
    assert code == 2
    assert why in wrong
    assert wrong.count("\n") == 1
    assert not (tmp_path / "new/desk.toml").exists()
