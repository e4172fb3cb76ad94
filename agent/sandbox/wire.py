"""What daemon, stem and worker say to each other beside the tenants' own jobs and answers.

Rules: one message a datagram (SOCK_SEQPACKET); little-endian; no pickles; every length capped.
"""

from __future__ import annotations

import struct

__all__ = [
    "FAILED",
    "NO_STATUS",
    "PID_REPLY",
    "READY",
    "REPLACE",
    "WireError",
    "pack_budget",
    "unpack_budget",
]

READY = b"+"
"""Stem to daemon: the decoders are loaded."""
FAILED = b"E"
"""Stem to daemon, with text: they could not be."""
REPLACE = b"R"
"""Daemon to stem, with a socket: kill the worker, fork another that serves this socket."""
PID_REPLY = struct.Struct("<cIi")
"""Stem to daemon: `P`, the new worker's process id, the wait status of the one before."""
NO_STATUS = -1
"""There was no worker before."""
_BUDGET = struct.Struct("<I")


class WireError(ValueError):
    """A message breaks the layout."""


def pack_budget(job: bytes, budget_s: float) -> bytes:
    """Return a tenant's job with the time that it may take before it."""
    return _BUDGET.pack(max(1, round(budget_s * 1000))) + job


def unpack_budget(message: bytes) -> tuple[bytes, float]:
    """Return a tenant's job and its time, seconds.

    Raises:
        WireError: it is too short.
    """
    if len(message) < _BUDGET.size:
        raise WireError(f"a message of {len(message)} bytes holds no job")
    return message[_BUDGET.size :], _BUDGET.unpack_from(message)[0] / 1000
