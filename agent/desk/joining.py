"""Gates join: the desk expects a gate, hands out a link for it, and answers the gate once.

    GET  /join/CODE   what the gate would join: site, gate, place
    POST /join/CODE   {"csr": PEM}  ->  settings, root of the trust set, certificates

Rules:
- a link is a secret of 128 random bits, for one gate, one use and some days; of it only a keyed
  hash is stored;
- a link names the SHA-256 of the desk's authority, so that the gate believes this desk from the
  first byte, and nobody who answers in its place;
- the gate makes its key for the broker itself and sends a request; the certificate bears the
  gate's name, whatever the request says;
- the desk says who the gate is, what it believes and whom it reports to; where files lie on the
  gate and what is wired to it, the gate's own settings say.
"""

from __future__ import annotations

import json
import secrets
import tomllib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from agent.desk.audit import Action
from agent.desk.authority import Authority, CertificateError, read_request
from agent.desk.broker import CLIENTS, SERVER_NAME, broker_authority
from agent.desk.certificate import CA, certificate_for
from agent.desk.desk import REPOSITORY, Desk
from agent.desk.gate_states import GateState, read_states
from agent.desk.tables import gates
from agent.settings.load import parse
from agent.settings.model import ConfigError
from agent.settings.write import Tables, merged, to_toml
from agent.trust.publish import Repository

__all__ = ["TABLES", "ExpectedGate", "GateInvitation", "Joining", "JoiningError"]

TABLES: Final = ("gate", "trust", "mqtt", "face", "floor", "tolerance")
"""The tables of a gate's settings that a desk may set."""

_OURS: Final = {
    "gate": ("site", "gate", "challenge_file"),
    "trust": ("directory", "signed", "url", "ca", "site_key_files"),
    "mqtt": ("url", "client_id", "username", "password_file", "ca_file", "cert_file", "key_file"),
    "face": ("delegate", "models_dir"),
}
"""Keys that no invitation sets: the desk knows them itself, or they name files of the gate."""

_BODY_MAX: Final = 8_192
_SETTINGS_MAX: Final = 8_192
_CLIENT_DAYS: Final = 825
_ROSTER_KEY: Final = "roster.key"


class JoiningError(ValueError):
    """A gate cannot be invited, or does not join; one line for people."""


@dataclass(frozen=True, slots=True)
class GateInvitation:
    """What is given to whoever stands at the gate.

    Attributes:
        name: of the gate.
        code: the secret.
        link: for a QR or to be typed; `idgate join` takes it.
        file: the same as a file's content, JSON.
        expires_at: Unix seconds.
    """

    name: str
    code: str = field(repr=False)
    link: str = field(repr=False)
    file: bytes = field(repr=False)
    expires_at: int


@dataclass(frozen=True, slots=True)
class ExpectedGate:
    """A gate that the desk expects.

    Attributes:
        name: inside the site.
        created_at: Unix seconds.
        joined_at: None while it has not come.
        expires_at: until when its link holds; 0 where it has none.
    """

    name: str
    created_at: int
    joined_at: int | None
    expires_at: int


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    csr: str = ""


class Joining:
    """The gates of a desk.

    Args:
        desk: open.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    # --- the desk's side -------------------------------------------------------------------------

    def invite_gate(self, name: str, settings: str = "", *, who: str) -> GateInvitation:
        """Expect a gate, or let one that is expected or has joined come anew.

        Args:
            name: inside the site; with a broker, also its name there.
            settings: TOML, the tables of `TABLES` only, such as `[gate] profile = "library"`.
            who: staff's work name.

        Raises:
            JoiningError: the name or the settings cannot be used.
        """
        settings = settings.replace("\r\n", "\n")
        if name in (*CLIENTS, SERVER_NAME):
            raise JoiningError(f"{name}: that is a name of the desk's own at the broker")
        self._config(name, settings)  # as the gate will read it
        code = secrets.token_urlsafe(16)
        now = self._desk.clock()
        expires_at = now + 86_400 * self._desk.settings.rules.invitation_days
        digest = self._digest(code)
        with self._desk.store.write() as connection:
            known = connection.execute(sa.select(gates.c.name).where(gates.c.name == name)).first()
            values = {"code_digest": digest, "expires_at": expires_at, "settings": settings}
            connection.execute(
                sa.update(gates).where(gates.c.name == name).values(values)
                if known
                else sa.insert(gates).values(name=name, created_at=now, **values)
            )
            self._write(connection, who, Action.GATE_INVITED, name)
        link = f"{self._desk.settings.web.issuer}/join/{code}"
        pin, pem = self._authority()
        if pin:
            link += f"#sha256={pin}"
        text = json.dumps({"idgate": "join", "link": link, "ca": pem}, indent=1)
        return GateInvitation(name, code, link, text.encode() + b"\n", expires_at)

    def expected(self) -> list[ExpectedGate]:
        """Return the gates that are expected or have joined, by name."""
        with self._desk.store.read() as connection:
            rows = connection.execute(sa.select(gates).order_by(gates.c.name)).all()
        return [
            ExpectedGate(
                row.name, row.created_at, row.joined_at, row.expires_at if row.code_digest else 0
            )
            for row in rows
        ]

    def remove(self, name: str, *, who: str) -> None:
        """Expect a gate no longer; its link is dead. What it was given it keeps.

        Raises:
            JoiningError: there is no such gate.
        """
        with self._desk.store.write() as connection:
            if not connection.execute(sa.delete(gates).where(gates.c.name == name)).rowcount:
                raise JoiningError(f"{name}: no such gate")
            self._write(connection, who, Action.GATE_INVITED, name, "removed")

    def gate_states(self) -> dict[str, GateState]:
        """Return what the collector knows of the site's gates; nothing where none is named.

        Raises:
            StatesError: the collector's database cannot be read.
        """
        settings = self._desk.settings
        if not settings.collector:
            return {}
        name = settings.collector
        return read_states(name if "://" in name else str(settings.path(name)), settings.place.site)

    # --- the gate's side -------------------------------------------------------------------------

    def describe(self, code: str) -> dict[str, Any]:
        """Return what a code is for; it stays good.

        Raises:
            JoiningError: it is for nothing, or no longer.
        """
        with self._desk.store.read() as connection:
            row = self._open(connection, code)
        settings = self._desk.settings
        return {
            "site": settings.place.site,
            "gate": row.name,
            "place": settings.place.name,
            "certificate": self._authority_of_broker() is not None,
        }

    def join(self, code: str, request: bytes = b"") -> dict[str, Any]:
        """Take a gate in; the code is used up.

        Args:
            code: of the link.
            request: PKCS #10, PEM; b"" where there is no broker to be known to.

        Raises:
            JoiningError: the code is for nothing, or the request is none; then the code stays good.
        """
        authority = self._authority_of_broker()
        now = self._desk.clock()
        certificate = ""
        try:
            key = read_request(request) if authority is not None else None
        except CertificateError as error:
            raise JoiningError(str(error)) from None
        with self._desk.store.write() as connection:
            row = self._open(connection, code)
            if authority is not None:
                made = authority.client(key, row.name, now=now, days=_CLIENT_DAYS)
                certificate = made.decode()
            answer = self._bundle(row.name, row.settings)
            connection.execute(
                sa.update(gates)
                .where(gates.c.name == row.name)
                .values(code_digest=None, expires_at=0, joined_at=now)
            )
            self._write(connection, row.name, Action.GATE_JOINED, row.name)
        return {**answer, "certificate": certificate}

    def routes(self) -> list[Route]:
        """Return the routes of the issuer's origin at which gates join."""

        async def gate_describe(request: Request) -> Response:
            return await self._answered(self.describe, request.path_params["code"])

        async def gate_join(request: Request) -> Response:
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > _BODY_MAX:
                    return _refused("the request is too large", 413)
            try:
                found = msgspec.json.decode(bytes(body), type=_Answer)
            except ValueError:
                return _refused('a JSON object {"csr": PEM} is needed', 400)
            return await self._answered(self.join, request.path_params["code"], found.csr.encode())

        return [
            Route("/join/{code}", gate_describe, methods=["GET"]),
            Route("/join/{code}", gate_join, methods=["POST"]),
        ]

    async def _answered(self, method: Any, *arguments: Any) -> Response:
        try:
            found = await run_in_threadpool(method, *arguments)
        except JoiningError as error:
            return _refused(str(error), 404)
        return JSONResponse(found, headers={"cache-control": "no-store"})

    # --- inside ----------------------------------------------------------------------------------

    def _open(self, connection: sa.Connection, code: str) -> Any:
        row = connection.execute(
            sa.select(gates).where(gates.c.code_digest == self._digest(code[:64]))
        ).first()
        if row is None or row.expires_at <= self._desk.clock():
            raise JoiningError(
                "this link is used, too old or none of this desk's; the desk makes a new one"
            )
        return row

    def _digest(self, code: str) -> bytes:
        return self._desk.key.digest("gate-code", code.encode())

    def _write(
        self, connection: sa.Connection, who: str, action: Action, name: str, detail: str = ""
    ) -> None:
        self._desk.journal.write(
            connection, at=self._desk.clock(), who=who, action=action, reference=name,
            detail=detail,
        )  # fmt: skip

    def _authority_of_broker(self) -> Authority | None:
        """Return who certifies gates; None without a broker, or where another does it."""
        settings = self._desk.settings
        return broker_authority(settings.folder) if settings.broker.url else None

    def _authority(self) -> tuple[str, str]:
        """Return SHA-256 and PEM of the desk's own authority; empty where none is needed."""
        settings = self._desk.settings
        if settings.web.issuer.startswith("http:"):
            return "", ""
        found = certificate_for(settings, now=self._desk.clock())
        return found.sha256, found.ca.read_text() if found.ca else ""

    def _config(self, name: str, settings: str) -> str:
        """Return the tables that a gate is to set, as TOML.

        Raises:
            JoiningError: they cannot be used.
        """
        chosen = _chosen(settings)
        desk = self._desk.settings
        tables: dict[str, dict[str, Any]] = {key: dict(table) for key, table in chosen.items()}
        gate = {"site": desk.place.site, "gate": name, **tables.pop("gate", {})}
        if desk.place.region:
            gate.setdefault("region", desk.place.region)
        trust = {"signed": True, "url": f"{desk.web.issuer}/trust", **tables.pop("trust", {})}
        made: dict[str, Mapping[str, Any]] = {"gate": gate, "trust": trust}
        if desk.broker.url:
            made["mqtt"] = {"url": desk.broker.url, **tables.pop("mqtt", {})}
        made |= tables
        try:
            text = to_toml(made)
            parse(text, source="settings")
        except (ConfigError, ValueError) as error:
            raise JoiningError(f"{name}: {error}") from None
        return text

    def _bundle(self, name: str, settings: str) -> dict[str, Any]:
        desk = self._desk.settings
        repository = Repository(desk.path(REPOSITORY), now=self._desk.clock())
        root = repository.published("root")
        if root is None:
            raise JoiningError("the desk has published no trust set yet; sign and publish it first")
        pinned = repository.path / "metadata" / f"{root.signed.version}.root.json"
        roster_key = desk.path(_ROSTER_KEY)
        ca = desk.path(CA)
        broker_ca = desk.path(desk.broker.ca) if desk.broker.ca else None
        return {
            "version": 1,
            "config": self._config(name, settings),
            "root": pinned.read_text(),
            "ca": ca.read_text() if self._authority()[0] else "",
            "broker_ca": broker_ca.read_text() if broker_ca is not None else "",
            "roster_key": b64encode(roster_key.read_bytes()).decode()
            if roster_key.exists()
            else "",
        }


def _chosen(settings: str) -> Tables:
    """Return what an invitation sets.

    Raises:
        JoiningError: it is none of a desk's business.
    """
    if len(settings) > _SETTINGS_MAX:
        raise JoiningError("settings: too long")
    try:
        found = tomllib.loads(settings)
    except tomllib.TOMLDecodeError as error:
        raise JoiningError(f"settings: not TOML: {error}") from None
    for table, values in found.items():
        if table not in TABLES or not isinstance(values, dict):
            raise JoiningError(f"settings: [{table}]: a desk sets {', '.join(TABLES)} only")
        for key in values:
            if key in _OURS.get(table, ()):
                raise JoiningError(f"settings: {table}.{key}: not set by an invitation")
    merged("", found)  # of kinds that can be written
    return found


def _refused(text: str, status: int) -> Response:
    return JSONResponse({"error": text}, status, headers={"cache-control": "no-store"})
