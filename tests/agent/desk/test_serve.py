"""The three origins: what stands before them, what they hand out, and the process round them."""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import shutil
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agent.desk import serve as serving
from agent.desk.authority import SERVER, Authority
from agent.desk.certificate import CA, CA_KEY
from agent.desk.desk import Desk
from agent.desk.files import Page, trust_routes
from agent.desk.serve import Apps, ServeError, guarded, serve
from hal.service_manager import ServiceManager
from tests.agent.desk.desk_folder import NOW, Browser, Clock, free_ports, make, served

SECRET = "Ana-Maria-4711"


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def broken(request: Request) -> Response:
    raise RuntimeError(f"what a person sent: {request.query_params.get('q')}")


def app() -> Starlette:
    return Starlette(
        routes=[Route("/echo", echo, methods=["GET", "POST"]), Route("/broken", broken)]
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "views").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>" + "x" * 2_000)
    (folder / "views/card.js").write_text("export const a = 1;\n")
    (folder / "icon.png").write_bytes(b"\x89PNG")
    (folder / "LICENSE-qr").write_text("MIT")
    (folder / "__init__.py").write_text("secret = 1")
    (folder / "key.pem").write_text("secret")
    return folder


@pytest.fixture
def ports() -> list[int]:
    return free_ports()


def web(ports: list[int], scheme: str = "http", more: str = "") -> str:
    names = zip(("staff", "issuer", "wallet"), ports, strict=True)
    lines = [f'{name} = "{scheme}://desk.localhost:{port}"' for name, port in names]
    return "\n".join([*lines, 'bind = "127.0.0.1"', more])


@pytest.fixture
def desk(tmp_path: Path, ports: list[int]) -> Iterator[Desk]:
    made = make(tmp_path / "desk", web=web(ports))
    yield made
    made.close()


def client(guard, port: int) -> Browser:
    return Browser(guard, f"http://desk.localhost:{port}")


@pytest.fixture
def apps(desk: Desk, page: Path) -> Apps:
    return Apps(app(), app(), Page(page, [desk.settings.web.issuer]))


def test_another_host_is_not_answered(desk: Desk, apps: Apps, ports: list[int]) -> None:
    staff = guarded(desk.settings, apps).staff
    for host, status in (
        (f"desk.localhost:{ports[0]}", 200),
        (f"127.0.0.1:{ports[0]}", 200),
        (f"DESK.localhost:{ports[0]}", 200),
        ("desk.localhost", 421),
        (f"desk.localhost:{ports[1]}", 421),
        (f"rebound.example:{ports[0]}", 421),
        ("", 421),
    ):
        browser = client(staff, ports[0])
        assert browser.get("/echo", headers={"host": host}).status_code == status, host


def test_a_body_has_a_limit_whatever_its_header_says(
    desk: Desk, apps: Apps, ports: list[int], monkeypatch
) -> None:
    monkeypatch.setitem(serving._LIMITS, "staff", serving.Limits(body_bytes=1_000))
    staff = guarded(desk.settings, apps).staff
    browser = client(staff, ports[0])
    assert browser.post("/echo", content=b"x" * 1_000).text == "1000"
    assert browser.post("/echo", content=b"x" * 1_001).status_code == 413

    async def chunked() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    assert browser.post("/echo", content=chunked()).status_code == 413


def test_a_fault_and_its_log_quote_nothing(
    desk: Desk, apps: Apps, ports: list[int], capsys, caplog
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx")  # the browser's own
    browser = client(guarded(desk.settings, apps).staff, ports[0])
    answer = browser.get("/broken", params={"q": SECRET})
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    told = answer.text + caplog.text + "".join(capsys.readouterr())
    assert SECRET not in told
    assert "RuntimeError at" in told
    assert "test_serve.py" in told


@pytest.mark.parametrize("origin", ["staff", "issuer", "wallet"])
def test_every_answer_has_the_headers(desk: Desk, apps: Apps, ports: list[int], origin) -> None:
    port = dict(zip(("staff", "issuer", "wallet"), ports, strict=True))[origin]
    browser = client(getattr(guarded(desk.settings, apps), origin), port)
    for path in ("/", "/echo", "/nothing"):
        headers = browser.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"


# --- the page ---------------------------------------------------------------------------------


def test_the_page_is_its_own_files_and_nothing_else(
    desk: Desk, apps: Apps, ports: list[int], page: Path
) -> None:
    browser = client(guarded(desk.settings, apps).wallet, ports[2])
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/views/card.js", "text/javascript; charset=utf-8"),
        ("/icon.png", "image/png"),
        ("/LICENSE-qr", "text/plain; charset=utf-8"),
        ("/issuers.json", "application/json"),
    ):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind), path
    assert browser.get("/issuers.json").json() == {"issuers": [desk.settings.web.issuer]}
    for path in (
        "/__init__.py", "/key.pem", "/views", "/views/", "/views/../key.pem",
        "/%2e%2e/desk/site.key", "/..%2fdesk%2fsite.key", f"/{page}/index.html", "/index.html/",
    ):  # fmt: skip
        assert browser.get(path).status_code == 404, path
    assert browser.post("/").status_code == 405
    policy = browser.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith(f"; connect-src 'self' {desk.settings.web.issuer}")
    assert policy.count("connect-src") == 1
    assert "unsafe" not in policy


def test_the_page_travels_packed_and_is_not_sent_twice(
    desk: Desk, apps: Apps, ports: list[int], page: Path
) -> None:
    content = (page / "index.html").read_bytes()
    browser = client(guarded(desk.settings, apps).wallet, ports[2])
    packed = browser.get("/", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) == len(gzip.compress(content, 9, mtime=0))
    assert packed.content == content
    plain = browser.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    again = browser.get("/", headers={"if-none-match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = browser.head("/")
    assert (head.status_code, head.content) == (200, b"")


# --- the trust set ----------------------------------------------------------------------------


def test_of_the_repository_only_what_gates_fetch_is_reachable(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    digest = "ab" * 32
    for name in (
        "metadata/1.root.json", "metadata/timestamp.json", "metadata/12.status.json",
        f"targets/issuers/{digest}.lib.pem", f"targets/status/{digest}.desk-1.cwt",
        "repository.toml", "draft/root.json", "metadata/secret.pem", "online.key.pem",
        "metadata/draft.json",
    ):  # fmt: skip
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_text(name)
    gate = Browser(Starlette(routes=trust_routes(repository)))
    for name, kept in (
        ("metadata/1.root.json", "immutable"),
        ("metadata/12.status.json", "immutable"),
        ("metadata/timestamp.json", "no-store"),
        (f"targets/issuers/{digest}.lib.pem", "immutable"),
        (f"targets/status/{digest}.desk-1.cwt", "immutable"),
    ):
        answer = gate.get(f"/trust/{name}")
        assert (answer.status_code, answer.text) == (200, name)
        assert kept in answer.headers["cache-control"]
    for name in (
        "repository.toml", "draft/root.json", "metadata/secret.pem", "online.key.pem",
        "metadata/2.root.json", "metadata/draft.json", "metadata/..%2frepository.toml",
        "targets/..%2f..%2fonline.key.pem", f"targets/issuers/..%2f{digest}.lib.pem",
        "targets/issuers", "metadata/", "targets/issuers/lib.pem",
    ):  # fmt: skip
        assert gate.get(f"/trust/{name}").status_code == 404, name


# --- the process ------------------------------------------------------------------------------


def get(port: int, path: str, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    made = (
        http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
        if context
        else http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    )
    try:
        made.request("GET", path, headers={"Host": f"desk.localhost:{port}"})
        answer = made.getresponse()
        return answer.status, answer.read()
    finally:
        made.close()


def test_it_serves_three_origins_and_ends_as_asked(desk: Desk, apps: Apps, ports) -> None:
    found: list[tuple[int, bytes]] = []

    def visit() -> None:
        found.extend(get(port, "/echo") for port in ports[:2])
        found.append(get(ports[2], "/issuers.json"))

    assert served(desk, apps, visit) == 0
    assert [status for status, _ in found] == [200, 200, 200]
    for port in ports:  # let go: the next start finds them free
        socket.create_server(("127.0.0.1", port)).close()


def test_who_connects_and_says_nothing_is_closed(
    desk: Desk, apps: Apps, ports, monkeypatch
) -> None:
    monkeypatch.setattr(serving, "HEADER_S", 0.2)
    ends: list[bytes] = []

    def visit() -> None:
        for said in (b"", b"GET /echo HTTP/1.1\r\nHost: desk.loc"):
            with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as silent:
                silent.sendall(said)
                try:
                    ends.append(silent.recv(100))
                except ConnectionResetError:
                    ends.append(b"")

    assert served(desk, apps, visit) == 0
    assert ends == [b"", b""]


def test_a_body_that_drips_is_given_up(desk: Desk, apps: Apps, ports, monkeypatch) -> None:
    monkeypatch.setitem(serving._LIMITS, "staff", serving.Limits(body_bytes=1_000, body_s=0.2))
    answers: list[bytes] = []

    def visit() -> None:
        with socket.create_connection(("127.0.0.1", ports[0]), timeout=10) as slow:
            slow.sendall(
                f"POST /echo HTTP/1.1\r\nHost: desk.localhost:{ports[0]}\r\n"
                "Content-Length: 10\r\n\r\nab".encode()
            )
            answers.append(slow.recv(100))

    assert served(desk, apps, visit) == 0
    assert answers[0].startswith(b"HTTP/1.1 408")


def test_upkeep_that_fails_ends_neither_the_desk_nor_what_comes_after(
    desk: Desk, apps: Apps, ports, capsys, caplog
) -> None:
    done = threading.Event()

    def fails() -> None:
        raise RuntimeError(SECRET)

    def visit() -> None:
        assert done.wait(10)
        assert get(ports[0], "/echo")[0] == 200

    assert served(desk, apps, visit, upkeep=(fails, done.set)) == 0
    told = "".join([*capsys.readouterr(), caplog.text])
    assert "upkeep_failed" in told
    assert SECRET not in told


def test_a_renewed_certificate_is_shown_without_a_restart(tmp_path: Path, page, ports, monkeypatch):
    real = int(time.time())
    clock = Clock(real - 380 * 86_400)
    made = make(tmp_path / "tls", web=web(ports, "https"), clock=clock)
    monkeypatch.setattr(serving, "UPKEEP_S", 0.05)
    serials: list[bytes] = []

    def shown() -> bytes:
        context = ssl.create_default_context(cafile=tmp_path / "tls" / CA)
        context.check_hostname = False  # by address here; the name is tested with the certificate
        with (
            socket.create_connection(("127.0.0.1", ports[1]), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="desk.localhost") as line,
        ):
            return line.getpeercert(binary_form=True) or b""

    def visit() -> None:
        serials.append(shown())
        clock.now = real
        end = time.monotonic() + 10
        while (now := shown()) == serials[0] and time.monotonic() < end:
            time.sleep(0.02)
        serials.append(now)

    try:
        apps = Apps(app(), app(), Page(page, []))
        assert served(made, apps, visit) == 0
    finally:
        made.close()
    assert serials[0] != serials[1]


@pytest.mark.parametrize(
    ("more", "scheme", "why"),
    [
        ('bind = "0.0.0.0"', "http", "plain HTTP is for this machine only"),
        ('bind = "everywhere"', "https", "an IP address is needed"),
        ('certificate = "none.pem"', "https", "none.pem: No such file"),
    ],
)
def test_what_cannot_be_served_is_one_line(tmp_path: Path, page, ports, more, scheme, why) -> None:
    text = web(ports, scheme).replace('bind = "127.0.0.1"', "") if "bind" in more else None
    made = make(tmp_path / "d", web=f"{text or web(ports, scheme)}\n{more}")
    try:
        with pytest.raises(ServeError, match=why):
            serve(made, Apps(app(), app(), Page(page, [])), manager=ServiceManager({}))
    finally:
        made.close()


def test_a_port_that_is_taken_is_one_line(desk: Desk, apps: Apps, ports) -> None:
    with (
        socket.create_server(("127.0.0.1", ports[2])),
        pytest.raises(ServeError, match=f"port {ports[2]}: Address already in use"),
    ):
        serve(desk, apps, manager=ServiceManager({}))


def test_an_authority_of_another_desk_is_told(tmp_path: Path, page, ports) -> None:
    made = make(tmp_path / "d", web=web(ports, "https"))
    other = Authority.make("other", now=NOW, purposes=[SERVER], names=["other.lan"])
    other.write(tmp_path / "d" / CA, tmp_path / "d" / CA_KEY)
    try:
        with pytest.raises(ServeError, match=r"not for desk\.localhost"):
            serve(made, Apps(app(), app(), Page(page, [])), manager=ServiceManager({}))
    finally:
        made.close()
    shutil.rmtree(tmp_path / "d")


def test_the_issuers_file_names_who_may_issue(page: Path) -> None:
    (page / "issuers.json").write_text(json.dumps({"issuers": ["https://evil.example"]}))
    answer = Page(page, ["https://desk.lan:8444"])
    phone = Browser(answer)
    assert phone.get("/issuers.json").json() == {"issuers": ["https://desk.lan:8444"]}
