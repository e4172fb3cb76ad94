"""A gate joins: links, what is refused before anything is used up, and what is laid down."""

from __future__ import annotations

import json
import shutil
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.desk.authority import SERVER, Authority
from agent.desk.broker import make_broker
from agent.desk.certificate import CA
from agent.desk.desk import REPOSITORY, Desk
from agent.desk.files import authority_route, trust_routes
from agent.desk.joining import Joining
from agent.desk.serve import Apps
from agent.fleet.join import JoinError, join, read_link
from agent.settings.load import load
from agent.trust.update import update
from tests.agent.desk.desk_folder import Clock, free_ports, make, served
from tests.support.small_repository import small_repository

TEMPLATE = Path(__file__).resolve().parents[3] / "systemd/config.toml"
CODE = "A" * 22


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    ports = free_ports()
    names = zip(("staff", "issuer", "wallet"), ports, strict=True)
    web = "\n".join(f'{name} = "https://127.0.0.1:{port}"' for name, port in names)
    now = int(time.time())
    made = make(
        tmp_path / "desk",
        web=f'{web}\nbind = "127.0.0.1"',
        more='[broker]\nurl = "mqtts://127.0.0.1:8883"\nca = "broker/ca.pem"',
        clock=Clock(now),
    )
    make_broker(tmp_path / "desk/broker", "127.0.0.1", 8883, site="lib", now=now)
    small_repository(tmp_path / "desk" / REPOSITORY, now=now)
    yield made
    made.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    text = TEMPLATE.read_text().replace("/var/lib/idgate", str(tmp_path / "var"))
    (folder / "config.toml").write_text(text)
    return folder


def at(desk: Desk, what: Callable[[], None], issuer: Starlette | None = None) -> None:
    """Do something while a desk serves."""
    repository = desk.settings.path(REPOSITORY)
    ours = Starlette(
        routes=[
            *Joining(desk).routes(),
            *trust_routes(repository),
            authority_route(desk.settings.path(CA)),
        ]
    )
    assert served(desk, Apps(Starlette(), issuer or ours, Starlette()), what) == 0


@pytest.mark.parametrize(
    "text",
    [
        "", "north", "https://desk.lan/", "https://desk.lan/join/", "ftp://desk.lan/join/A",
        "https://desk.lan/join/A?x=1", "https://desk.lan/join/A#sha256=ab", "https:///join/A",
        "https://desk.lan:99999/join/A", "https://desk.lan/join/A/b", "http://desk.lan/join/A",
        "{", "{}", '{"idgate": "join"}', '{"link": "https://desk.lan/join/A"}', "[" * 50_000,
        "https://desk.lan/join/" + "A" * 100, "https://[::1/join/A",
    ],
)  # fmt: skip
def test_what_is_no_link_is_one_line(text: str) -> None:
    with pytest.raises(JoinError) as caught:
        read_link(text)
    assert "\n" not in str(caught.value)
    assert CODE not in str(caught.value)


def test_a_gate_joins_and_believes_what_the_desk_publishes(desk: Desk, gate: Path) -> None:
    made = Joining(desk).invite_gate("north", who="mo")
    found = []

    def visit() -> None:
        joined = join(read_link(made.link), gate)
        found.append(joined)
        found.append(update(joined.cache, joined.source, now=int(time.time()), ca=joined.ca))

    at(desk, visit)
    joined, result = found
    assert (joined.site, joined.gate, joined.place) == ("lib", "north", "City Library")
    assert result.changed
    config = load(gate / "config.toml")
    assert config.trust.signed
    assert config.trust.ca == "desk-ca.pem"
    assert config.gpio.gatekeeper == "/run/idgate-gatekeeper/socket"  # of the gate's own settings
    assert config.mqtt is not None
    context = ssl.create_default_context(cafile=gate / config.mqtt.ca_file)
    context.load_cert_chain(gate / config.mqtt.cert_file, gate / config.mqtt.key_file)
    certificate = x509.load_pem_x509_certificate((gate / "gate.pem").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=north"
    assert all(file.stat().st_mode & 0o077 == 0 for file in joined.files)
    assert (gate / "config.toml.old").read_text().count("my-site") == 1


def test_another_machine_in_the_desks_place_never_sees_the_code(
    desk: Desk, gate: Path, tmp_path: Path
) -> None:
    made = Joining(desk).invite_gate("north", who="mo")
    before = sorted(path.name for path in gate.iterdir())
    # Another authority of the same names, as somebody on the network would make one.
    names = ["127.0.0.1"]
    for name in (CA, "desk-ca.key.pem", "tls.pem"):
        (tmp_path / "desk" / name).unlink()
    now = int(time.time())
    other = Authority.make("lib idgate desk", now=now, purposes=[SERVER], names=names)
    other.write(tmp_path / "desk" / CA, tmp_path / "desk/desk-ca.key.pem")
    asked: list[str] = []

    async def anything(request: Request) -> Response:
        asked.append(request.url.path)
        return Response((tmp_path / "desk" / CA).read_bytes())

    app = Starlette(routes=[Route("/{path:path}", anything, methods=["GET", "POST"])])
    refused: list[str] = []

    def visit() -> None:
        with pytest.raises(JoinError) as caught:
            join(read_link(made.link), gate)
        refused.append(str(caught.value))

    at(desk, visit, app)
    assert "not the link's" in refused[0]
    assert asked == ["/ca.pem"]
    assert sorted(path.name for path in gate.iterdir()) == before


def test_what_is_refused_here_uses_nothing_up(desk: Desk, gate: Path, tmp_path: Path) -> None:
    made = Joining(desk).invite_gate("north", who="mo")
    link = read_link(made.link)
    config = gate / "config.toml"
    theirs = config.read_text().replace("my-site", "museum")
    refused = []

    def visit() -> None:
        for text, why in ((theirs, "of 'museum' already"), ("[gate", "not TOML")):
            config.write_text(text)
            with pytest.raises(JoinError, match=why):
                join(link, gate)
            assert config.read_text() == text
        config.write_text(TEMPLATE.read_text().replace("/var/lib/idgate", str(tmp_path / "var")))
        cache = tmp_path / "var/trust-set"
        cache.mkdir(parents=True)
        (cache / "root.json").write_text("{}")
        refused.append(1)
        with pytest.raises(JoinError, match="trusts a root already"):
            join(link, gate)
        with pytest.raises(JoinError, match="no such directory"):
            join(link, tmp_path / "nowhere")
        config.write_text(theirs.replace("/var/lib/idgate", str(tmp_path / "var")))
        join(link, gate, replace=True)  # the code was still good

    at(desk, visit)
    assert load(config).gate.site == "lib"
    assert (tmp_path / "var/trust-set.old-1").is_dir()
    assert len(refused) == 1


def _evil(**change: object) -> Callable[[dict], dict]:
    return lambda bundle: {**bundle, **change}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_evil(config="[gpio]\nrelay = 5"), "which is this gate's own"),
        (_evil(config='[gate]\nsite="lib"\n[face]\ndelegate="/x.so"\n[trust]'), "face.delegate"),
        (_evil(config='[gate]\nsite="lib"\ngate="n"\n[trust]\ndirectory="/"'), "trust.directory"),
        (_evil(config="[gate"), "no TOML"),
        (_evil(config='[gate]\nsite="lib"'), "no gate or no trust"),
        (_evil(config='[gate]\nsite="l"\ngate="n"\n[trust]'), "names none"),
        (_evil(config='[gate]\nsite="l"\ngate="n"\n[trust]\nx=1\n[mqtt]'), "unknown field `x`"),
        (_evil(root="{}"), "trust root"),
        (_evil(certificate="none"), "certificate for this gate is none"),
        (_evil(version=2), "bring this gate up to date"),
        (_evil(config=5), "none of a desk"),
        (lambda _: {"error": "x" * 5_000 + "\x1b[2J"}, "none of a desk"),
    ],
)
def test_a_desk_that_answers_evil_changes_nothing(desk: Desk, gate: Path, spoil, why) -> None:
    joining = Joining(desk)
    made = joining.invite_gate("north", who="mo")
    before = {path.name: path.read_bytes() for path in gate.iterdir()}

    async def describe(_: Request) -> Response:
        return JSONResponse(joining.describe(made.code))

    async def answer(request: Request) -> Response:
        body = json.loads(await request.body())
        return JSONResponse(spoil(joining.join(made.code, body["csr"].encode())))

    app = Starlette(
        routes=[
            Route("/join/{code}", describe, methods=["GET"]),
            Route("/join/{code}", answer, methods=["POST"]),
            authority_route(desk.settings.path(CA)),
        ]
    )

    def visit() -> None:
        with pytest.raises(JoinError, match=why) as caught:
            join(read_link(made.link), gate)
        assert str(caught.value).isprintable()

    at(desk, visit, app)
    assert {path.name: path.read_bytes() for path in gate.iterdir()} == before


def test_nobody_there_is_one_line(desk: Desk, gate: Path) -> None:
    made = Joining(desk).invite_gate("north", who="mo")
    with pytest.raises(JoinError, match="Connection refused"):
        join(read_link(made.link), gate)
    shutil.rmtree(gate)
