"""The issuer's origin: OpenID4VCI 1.0 for phones, and whatever else the desk puts on it.

    GET  /.well-known/openid-credential-issuer      what is issued here
    GET  /.well-known/oauth-authorization-server    where tokens come from
    GET  /offers/CODE                               the offer that a QR code names
    POST /token                                     code and transaction code -> access token
    POST /nonce                                     c_nonce for the key proof
    POST /credential                                key proofs -> credentials
    POST /notification                              what became of them
    GET, POST /invitations/CODE                     a basic card that a person makes

Rules:
- wallets are pages of other origins: every answer may be read by any (`*`), and no cookie counts;
- what is secret is never kept by a cache; errors are JSON, by `agent.desk.vci.errors`;
- work with the database is done in threads, a few at once, each request in one transaction;
- nothing of a request is logged but what went wrong inside: paths hold codes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from agent.desk.desk import Desk
from agent.desk.faces import Faces
from agent.desk.offers import Offers, Refusal
from agent.desk.vci.credential import CredentialEndpoint
from agent.desk.vci.errors import ErrorCode, VciError
from agent.desk.vci.invitation import FORM_BYTES, InvitationEndpoint
from agent.desk.vci.limits import Buckets, read_body, read_form, read_json
from agent.desk.vci.metadata import authorization_server_metadata, issuer_metadata
from agent.desk.vci.nonce import Nonces
from agent.desk.vci.notification import NotificationEndpoint
from agent.desk.vci.token import PRE_AUTHORIZED, Tokens, describe

__all__ = ["issuer_app"]

_Ts = TypeVarTuple("_Ts")
_T = TypeVar("_T")

AT_ONCE: Final = 4
"""Requests that work at the same time; the database has one writer, and the desk few cores."""
_BURST, _PER_S = 1_000, 50
"""Requests of one address: fifty phones at once make some 400."""
_NO_STORE: Final = {"Cache-Control": "no-store"}
_PUBLIC: Final = {"Cache-Control": "max-age=60"}

_LOG = logging.getLogger(__name__)


def issuer_app(
    desk: Desk, more_routes: Sequence[BaseRoute] = (), *, faces: Faces | None = None
) -> Starlette:
    """Return the application of the issuer's origin.

    Args:
        desk: the desk; stays the caller's to close.
        more_routes: what else is served there, asked after the ones above.
        faces: looks at pictures, and stays the caller's to close; None: the application has one of
            its own, which the end of its lifespan closes.
    """
    looking = faces or Faces()

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        if faces is None:
            looking.close()

    return Starlette(
        lifespan=lifespan,
        routes=[*_Issuer(desk, looking).routes(), *more_routes],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "HEAD", "POST"],
                allow_headers=["Authorization", "Content-Type"],
                expose_headers=["Date", "Retry-After", "WWW-Authenticate"],
                max_age=600,
            )
        ],
        exception_handlers={VciError: _refused, HTTPException: _not_here},
    )


class _Issuer:
    """The endpoints, with what they work on."""

    def __init__(self, desk: Desk, faces: Faces) -> None:
        self._desk = desk
        self._offers = Offers(desk)
        self._nonces = Nonces(desk)
        self._tokens = Tokens(desk)
        self._credentials = CredentialEndpoint(desk)
        self._notifications = NotificationEndpoint(desk)
        self._invitations = InvitationEndpoint(desk, faces)
        self._buckets = Buckets(_BURST, _PER_S)
        self._limiters: dict[int, anyio.CapacityLimiter] = {}

    def routes(self) -> list[BaseRoute]:
        def at(path: str, endpoint: Callable[[Request], Awaitable[Response]], method: str) -> Route:
            return Route(path, self._counted(endpoint), methods=[method])

        return [
            at("/", self.root, "GET"),
            at("/.well-known/openid-credential-issuer", self.issuer, "GET"),
            at("/.well-known/oauth-authorization-server", self.authorization_server, "GET"),
            at("/offers/{code}", self.offer, "GET"),
            at("/token", self.token, "POST"),
            at("/nonce", self.nonce, "POST"),
            at("/credential", self.credential, "POST"),
            at("/notification", self.notification, "POST"),
            at("/invitations/{code}", self.invitation, "GET"),
            at("/invitations/{code}", self.invitation_answer, "POST"),
        ]

    # --- endpoints -----------------------------------------------------------------------------

    async def root(self, _request: Request) -> Response:
        """For a phone that asks what time it is: the header `Date`."""
        return Response(status_code=204, headers=_NO_STORE)

    async def issuer(self, _request: Request) -> Response:
        return _json(issuer_metadata(self._desk), headers=_PUBLIC)

    async def authorization_server(self, _request: Request) -> Response:
        return _json(authorization_server_metadata(self._desk), headers=_PUBLIC)

    async def offer(self, request: Request) -> Response:
        code: str = request.path_params["code"]
        found = await self._work(self._offers.look, code)
        if isinstance(found, Refusal):
            raise VciError(
                ErrorCode.INVALID_OFFER, describe(found),
                status=404 if found is Refusal.UNKNOWN else 410, idgate_reason=str(found),
            )  # fmt: skip
        grant: dict[str, Any] = {"pre-authorized_code": code}
        if found.transaction_code:
            grant["tx_code"] = {
                "input_mode": "numeric", "length": 6,
                "description": "Six digits that the desk tells you",
            }  # fmt: skip
        offer: dict[str, Any] = {
            "credential_issuer": self._desk.settings.web.issuer,
            "credential_configuration_ids": [found.kind],
            "grants": {PRE_AUTHORIZED: grant},
        }
        if found.holder:
            offer["idgate"] = {"holder": found.holder}
        return _json(offer)

    async def token(self, request: Request) -> Response:
        form = read_form(await read_body(request))
        return _json(await self._work(self._tokens.answer, form))

    async def nonce(self, _request: Request) -> Response:
        return _json({"c_nonce": self._nonces.make()})

    async def credential(self, request: Request) -> Response:
        token = _bearer(request)
        asked = read_json(await read_body(request), ErrorCode.INVALID_CREDENTIAL_REQUEST)
        return _json(await self._work(self._credentials.answer, token, asked))

    async def notification(self, request: Request) -> Response:
        token = _bearer(request)
        said = read_json(await read_body(request), ErrorCode.INVALID_NOTIFICATION_REQUEST)
        await self._work(self._notifications.take, token, said)
        return Response(status_code=204, headers=_NO_STORE)

    async def invitation(self, request: Request) -> Response:
        return _json(await self._work(self._invitations.ask, request.path_params["code"]))

    async def invitation_answer(self, request: Request) -> Response:
        code: str = request.path_params["code"]
        await self._work(self._invitations.ask, code)  # before megabytes are read for nothing
        form = await read_body(request, FORM_BYTES)
        # Pictures take a while: one form at a time, so that nobody else's request waits for them.
        return _json(await self._work(self._invitations.take, code, form, at_once=1))

    # --- inside --------------------------------------------------------------------------------

    def _counted(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def counted(request: Request) -> Response:
            self._buckets.take(request.client.host if request.client else "")
            try:
                return await endpoint(request)
            except (VciError, HTTPException):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it was, the phone hears a word
                return _failed(error)

        return counted

    async def _work(
        self, task: Callable[[Unpack[_Ts]], _T], *arguments: *_Ts, at_once: int = AT_ONCE
    ) -> _T:
        """Run what waits for the database in a thread, a few at once."""
        limiter = self._limiters.get(at_once)
        if limiter is None:
            limiter = self._limiters[at_once] = anyio.CapacityLimiter(at_once)
        return await anyio.to_thread.run_sync(task, *arguments, limiter=limiter)


def _bearer(request: Request) -> str:
    """Return the access token of a request (RFC 6750 section 2.1).

    Raises:
        VciError: there is none.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise VciError(ErrorCode.INVALID_TOKEN, "Authorization: Bearer is missing", status=401)
    return token.strip()


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(content), status, headers if headers is not None else _NO_STORE,
        media_type="application/json",
    )  # fmt: skip


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, VciError)
    headers = dict(_NO_STORE)
    if error.status == 401:
        headers["WWW-Authenticate"] = f'Bearer error="{error.code}"'
    if "retry_after" in error.more:
        headers["Retry-After"] = str(error.more["retry_after"])
    return _json(error.body(), error.status, headers)


async def _not_here(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = "no such address" if error.status_code == 404 else error.detail
    body = {"error": str(ErrorCode.NOT_FOUND), "error_description": what}
    return _json(body, error.status_code, {**_NO_STORE, **(error.headers or {})})


def _failed(error: Exception) -> Response:
    # The class only: a message could quote what was sent.
    _LOG.error("the issuer failed: %s", type(error).__name__)
    body = {
        "error": str(ErrorCode.SERVER_ERROR),
        "error_description": "the desk could not do it; try again, or ask the desk",
    }
    return _json(body, 500)
