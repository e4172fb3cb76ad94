"""Limits of the issuer's endpoints: how much is read of a request, and how many are taken.

Rules:
- a body is counted as it arrives and refused where it passes its limit, whatever its header says,
  or where it is not there in time;
- JSON is an object, in UTF-8, of bounded depth (msgspec's own); a form has each parameter once;
- each address has a bucket of requests that fills again; a library's phones share one address, so
  the bucket is large: it keeps one script from taking the desk, and guesses are limited elsewhere
  (`agent.desk.offers`). Addresses are kept in memory only, and only so many of them.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

import anyio
import msgspec
from starlette.requests import ClientDisconnect, Request

from agent.desk.vci.errors import ErrorCode, VciError

__all__ = ["BODY_BYTES", "Buckets", "read_body", "read_form", "read_json"]

BODY_BYTES: Final = 64 << 10
"""Of every endpoint but that for invitations."""
BODY_S: Final = 30.0
"""For a body to arrive: three pictures over a slow line."""
_FIELDS: Final = 32
_ADDRESSES: Final = 4_096


class Buckets:
    """A bucket of requests an address.

    Args:
        size: requests that one address may make at once.
        per_s: how many come back each second.
        clock: monotonic seconds.
    """

    def __init__(
        self, size: float, per_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size, self._per_s, self._clock = size, per_s, clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> None:
        """Count a request.

        Raises:
            VciError: the address has made too many; says when to come again.
        """
        now = self._clock()
        level, at = self._levels.pop(address, (self._size, now))
        level = min(self._size, level + (now - at) * self._per_s)
        self._levels[address] = (max(level - 1, 0), now)
        if len(self._levels) > _ADDRESSES:
            self._levels.popitem(last=False)
        if level < 1:
            wait_s = max(1, round((1 - level) / self._per_s))
            raise VciError(
                ErrorCode.SLOW_DOWN, f"too many requests; again in {wait_s} s", status=429,
                retry_after=wait_s,
            )  # fmt: skip


async def read_body(request: Request, most: int = BODY_BYTES) -> bytes:
    """Return a body.

    Raises:
        VciError: over `most` bytes, too slow, or the other end went away.
    """
    parts: list[bytes] = []
    length = 0
    try:
        with anyio.fail_after(BODY_S):
            async for part in request.stream():
                length += len(part)
                if length > most:
                    raise VciError(ErrorCode.INVALID_REQUEST, f"over {most} bytes", status=413)
                parts.append(part)
    except TimeoutError:
        raise VciError(
            ErrorCode.INVALID_REQUEST, f"the body took over {BODY_S:.0f} s", status=408
        ) from None
    except ClientDisconnect:
        raise VciError(ErrorCode.INVALID_REQUEST, "the request ended early") from None
    return b"".join(parts)


def read_json(body: bytes, code: ErrorCode) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        VciError: it is none; with the code of the endpoint.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise VciError(code, "the body is no JSON object") from None


def read_form(body: bytes) -> dict[str, str]:
    """Return the parameters of a form.

    Raises:
        VciError: `invalid_request`: no form, or a parameter twice.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict"
        )
    except ValueError:
        raise VciError(
            ErrorCode.INVALID_REQUEST, "the body is no application/x-www-form-urlencoded"
        ) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise VciError(ErrorCode.INVALID_REQUEST, "a parameter stands there twice")
    return form
