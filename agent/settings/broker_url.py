"""The broker's address as the settings and the fleet's commands write it."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["parse_url"]


def parse_url(url: str) -> tuple[str, int, bool]:
    """Return host, port and whether TLS is spoken.

    Raises:
        ValueError: not mqtt://HOST[:PORT] or mqtts://HOST[:PORT].
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.username:
        # Who wrote a password into it shall not find it in a log.
        shown = url.rpartition("@")[2]
        raise ValueError(f"{shown!r}: allowed are mqtt://HOST[:PORT] and mqtts://HOST[:PORT]")
    tls = parts.scheme == "mqtts"
    return parts.hostname, parts.port or (8883 if tls else 1883), tls
