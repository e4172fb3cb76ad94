"""Gates join: who is expected, what a link is worth, and what it is answered with."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from starlette.applications import Starlette

from agent.desk.audit import Action
from agent.desk.authority import new_key, private_pem
from agent.desk.broker import make_broker
from agent.desk.desk import REPOSITORY, Desk
from agent.desk.joining import Joining, JoiningError
from agent.desk.tables import gates
from agent.fleet.join import _request, read_link
from agent.fleet.store import open_store
from agent.settings.load import parse
from tests.agent.desk.desk_folder import Browser, Clock, make
from tests.support.small_repository import small_repository

DAY = 86_400
BROKER = """
[broker]
url = "mqtts://broker.lan:8883"
ca = "broker/ca.pem"
"""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    made = make(tmp_path / "desk", more=BROKER, clock=clock)
    folder = tmp_path / "desk"
    make_broker(folder / "broker", "broker.lan", 8883, site="lib", now=clock.now)
    small_repository(folder / REPOSITORY, now=clock.now)
    yield made
    made.close()


def csr(name: str = "whatever") -> bytes:
    return _request(name)[1].encode()


def test_a_gate_is_answered_once_with_all_that_it_needs(desk: Desk, clock: Clock) -> None:
    joining = Joining(desk)
    made = joining.invite_gate("north", '[gate]\nprofile = "library"\n[face]\nframes = 5', who="mo")
    assert joining.describe(made.code) == {
        "site": "lib", "gate": "north", "place": "City Library", "certificate": True,
    }  # fmt: skip
    key, request = _request("somebody-else")
    found = joining.join(made.code, request.encode())
    config = parse(found["config"], source="made")
    assert (config.gate.site, config.gate.gate) == ("lib", "north")
    assert config.trust.signed
    assert config.trust.url == f"{desk.settings.web.issuer}/trust"
    assert config.mqtt is not None
    assert config.mqtt.url == "mqtts://broker.lan:8883"
    assert config.face is not None
    assert config.face.frames == 5
    # Who the gate is, the desk says, whatever the request says.
    certificate = x509.load_pem_x509_certificate(found["certificate"].encode())
    assert certificate.subject.rfc4514_string() == "CN=north"
    assert private_pem(new_key()) != key
    root = desk.settings.path(REPOSITORY) / "metadata/1.root.json"
    assert found["root"] == root.read_text()
    with pytest.raises(JoiningError, match="used"):
        joining.join(made.code, request.encode())
    (gate,) = joining.expected()
    assert (gate.name, gate.joined_at, gate.expires_at) == ("north", clock.now, 0)
    with desk.store.read() as connection:
        rows = [(row.who, row.action) for row in desk.journal.read(connection)]
    assert rows == [("north", Action.GATE_JOINED), ("mo", Action.GATE_INVITED)]


def test_a_code_is_nowhere_on_the_disk(desk: Desk) -> None:
    made = Joining(desk).invite_gate("north", who="mo")
    found = b"".join(p.read_bytes() for p in desk.settings.folder.glob("desk.sqlite*"))
    assert b"north" in found
    assert made.code.encode() not in found


def test_a_link_dies_of_age_of_a_new_one_and_with_its_gate(desk: Desk, clock: Clock) -> None:
    joining = Joining(desk)
    first = joining.invite_gate("north", who="mo")
    second = joining.invite_gate("north", who="mo")
    with pytest.raises(JoiningError):
        joining.describe(first.code)
    clock.now += 14 * DAY - 1
    joining.describe(second.code)
    clock.now += 1
    for answer in (joining.describe, lambda code: joining.join(code, csr())):
        with pytest.raises(JoiningError, match="too old"):
            answer(second.code)
    third = joining.invite_gate("north", who="mo")
    joining.remove("north", who="mo")
    with pytest.raises(JoiningError):
        joining.describe(third.code)
    with pytest.raises(JoiningError, match="no such gate"):
        joining.remove("north", who="mo")


def test_a_request_that_is_none_does_not_use_the_link_up(desk: Desk) -> None:
    joining = Joining(desk)
    made = joining.invite_gate("north", who="mo")
    for request in (b"", b"-----BEGIN CERTIFICATE REQUEST-----\nAA==", b"x" * 9_000):
        with pytest.raises(JoiningError, match="no certificate signing request"):
            joining.join(made.code, request)
    joining.join(made.code, csr())


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("North", "", "gate"),
        ("a/b", "", "gate"),
        ("collector", "", "name of the desk's own"),
        ("desk", "", "name of the desk's own"),
        ("north", "[gate", "not TOML"),
        ("north", '[gpio]\ndriver = "simulated"', r"\[gpio\]"),
        ("north", '[trust]\nurl = "https://evil.example"', "trust.url"),
        ("north", '[face]\ndelegate = "/tmp/evil.so"', "face.delegate"),
        ("north", '[mqtt]\nurl = "mqtt://evil"', "mqtt.url"),
        ("north", '[gate]\nsite = "other"', "gate.site"),
        ("north", '[gate]\nprofil = "library"', "profil"),
        ("north", 'gate = "x"', "gate"),
        ("north", f"[gate]\nprofile = '{'x' * 9_000}'", "too long"),
    ],
)
def test_what_cannot_be_a_gates_is_refused_at_the_desk(desk: Desk, name, settings, why) -> None:
    with pytest.raises(JoiningError, match=why):
        Joining(desk).invite_gate(name, settings, who="mo")
    with desk.store.read() as connection:
        assert connection.execute(sa.select(gates)).all() == []


def test_the_link_pins_the_desks_authority(desk: Desk) -> None:
    made = Joining(desk).invite_gate("north", who="mo")
    link = read_link(made.link)
    assert (link.host, link.port, link.tls) == ("desk.localhost", 8444, True)
    assert len(link.pin) == 64
    assert read_link(made.file.decode()) == link
    assert json.loads(made.file)["ca"].startswith("-----BEGIN CERTIFICATE-----")


def test_over_the_network_it_says_little_to_who_has_no_code(desk: Desk) -> None:
    joining = Joining(desk)
    made = joining.invite_gate("north", who="mo")
    ask = Browser(Starlette(routes=joining.routes()))
    assert ask.get(f"/join/{made.code}").json()["gate"] == "north"
    for answer in (ask.get("/join/AAAA"), ask.post("/join/AAAA", json={"csr": csr().decode()})):
        assert answer.status_code == 404
        assert "desk makes a new one" in answer.json()["error"]
    for content in (b"", b"[]", b"{", b'{"csr": 1}', b'{"more": 1}', b"[" * 8_000):
        assert ask.post(f"/join/{made.code}", content=content).status_code == 400
    assert ask.post(f"/join/{made.code}", content=b"x" * 9_000).status_code == 413
    found = ask.post(f"/join/{made.code}", json={"csr": csr().decode()})
    assert found.status_code == 200
    assert found.headers["cache-control"] == "no-store"
    assert tomllib.loads(found.json()["config"])["gate"]["gate"] == "north"


def test_without_a_broker_no_certificate_is_asked_for(tmp_path: Path, clock: Clock) -> None:
    made = make(tmp_path / "d", clock=clock)
    small_repository(tmp_path / "d" / REPOSITORY, now=clock.now)
    try:
        code = Joining(made).invite_gate("north", who="mo").code
        assert Joining(made).describe(code)["certificate"] is False
        assert "mqtt" not in tomllib.loads(Joining(made).join(code)["config"])
        assert Joining(made).gate_states() == {}
    finally:
        made.close()


def test_a_desk_that_published_nothing_lets_nobody_join(tmp_path: Path, clock: Clock) -> None:
    made = make(tmp_path / "d", clock=clock)
    try:
        code = Joining(made).invite_gate("north", who="mo").code
        with pytest.raises(JoiningError, match="published no trust set"):
            Joining(made).join(code)
    finally:
        made.close()


def test_states_are_read_from_the_collectors_database_and_nothing_is_written(
    tmp_path: Path, clock: Clock
) -> None:
    made = make(tmp_path / "d", clock=clock)
    name = tmp_path / "d" / "fleet.sqlite"
    made = _with_collector(made)
    try:
        from agent.desk.gate_states import StatesError

        with pytest.raises(StatesError, match="no such database"):
            Joining(made).gate_states()
        _collected(name)
        before = name.read_bytes()
        states = Joining(made).gate_states()
        assert set(states) == {"north", "south"}
        north, south = states["north"], states["south"]
        assert (north.events, north.complete, north.heard_at) == (3, True, 30.0)
        assert north.faults == ("camera:timeout",)
        assert (south.events, south.complete) == (1, False)
        assert name.read_bytes() == before
        name.write_bytes(b"no database at all" * 100)
        with pytest.raises(StatesError, match="cannot be read"):
            Joining(made).gate_states()
    finally:
        made.close()


def _with_collector(desk: Desk) -> Desk:
    import dataclasses

    import msgspec

    settings = msgspec.structs.replace(desk.settings, collector="fleet.sqlite")
    return dataclasses.replace(desk, settings=settings)


def _collected(name: Path) -> None:
    from agent.fleet.store import BootKey, StoredEvent
    from agent.report.topics import GateAddress

    def event(gate: str, seq: int, data: str, site: str = "lib") -> StoredEvent:
        key = BootKey(GateAddress(site, gate), "boot-1")
        return StoredEvent(key, seq, "fault", "2026-11-28T10:00:00Z", 10.0 * seq, data)

    store = open_store(str(name))
    store.add(
        [
            event("north", 1, '{"part":"camera","code":"timeout"}'),
            event("north", 2, '{"part":"scan","code":"slow"}'),
            event("north", 3, '{"part":"scan","code":"slow","active":false}'),
            event("south", 4, '{"part":"of a newer gate","what":1}'),
            event("far", 1, '{"part":"camera","code":"timeout"}', site="other"),
        ]
    )
    store.close()
