"""From a payload to a `Credential`: which format reads what.

A format is one module, `agent/credential/<name>.py`, with

- `sniff(payload: bytes) -> bool`: whether the payload has this format's prefix or shape; cheap,
  total (never raises), and no promise that the rest is sound;
- `read(payload: bytes, keys: KeySource, rules: ReadRules) -> Credential`: parse, verify, return; or
  raise `Rejected`. It never returns a credential whose signature was not checked.

and one line in `FORMATS`. Formats are asked in that order, the first that recognises the payload
reads it, and no other gets a second try. Modules are imported when first needed.

This is also the one place that turns the `ValueError`, `KeyError` and `IndexError` of hostile input
into the domain's error; formats raise `Rejected` themselves wherever they can say more.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, cast

from agent.credential.issuers import KeySource
from agent.credential.limits import DIGITS, PAYLOAD_BYTES
from agent.credential.model import Credential, FormatName, Rejected
from agent.reason import Reason

__all__ = [
    "FORMATS",
    "MAX_FUTURE_S",
    "Format",
    "ReadRules",
    "Tolerance",
    "load_all",
    "load_format",
    "may_be_credential",
    "read",
    "sniff",
]

MAX_FUTURE_S: Final = 5
"""How far ahead of the gate's clock a phone's may be, where the settings do not say."""

FORMATS: Final[dict[FormatName, str]] = {
    FormatName.NATIVE: "agent.credential.native",
    FormatName.DCC: "agent.credential.dcc",
    FormatName.TRANSIT: "agent.credential.transit",
    FormatName.AADHAAR: "agent.credential.aadhaar",
    FormatName.PRETIX: "agent.credential.pretix",
    FormatName.CLAIM169: "agent.credential.claim169",
}
"""Format name -> module, in the order in which they are asked: prefixes before shapes."""


_SIGNATURE_BYTES: Final = 64
"""The shortest signature; compression does nothing to it."""
_SIGNATURE_TEXT: Final = 86
"""Its characters in base64; base45 and decimal digits take more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far times may be from the gate's clock, seconds.

    Attributes:
        future_s: how far ahead a phone's or issuer's clock may be.
        past_s: for how long after its end a code still counts.
        age_s: how old a dynamic code may be.
    """

    future_s: int = MAX_FUTURE_S
    past_s: int = 0
    age_s: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRules:
    """What the gate holds a code against while reading it.

    Attributes:
        now: Unix seconds of the gate's clock.
        clock_trusted: False when the clock went backwards or was never set; whatever depends on
            time is then refused as `clock_untrusted`.
        site: the site's name, as `aud` names it.
        gate: the gate's name inside the site.
        formats: the formats accepted here.
        challenge: the nonce that the gate shows, or None; a dynamic code must then answer it.
        site_keys: 32-byte A256GCM keys for encrypted codes.
        max_age_s: how old a dynamic code may be.
        max_future_s: how far ahead a phone's or issuer's clock may be.
        max_past_s: for how long after its end a code still counts.
        tolerances: of single formats, instead of these three.
    """

    now: int
    clock_trusted: bool
    site: str
    gate: str
    formats: frozenset[FormatName] = frozenset(FormatName)
    challenge: bytes | None = None
    site_keys: tuple[bytes, ...] = field(default=(), repr=False)
    max_age_s: int = 30
    max_future_s: int = MAX_FUTURE_S
    max_past_s: int = 0
    tolerances: Mapping[FormatName, Tolerance] = field(default_factory=dict)

    def within(self, tolerance: Tolerance) -> ReadRules:
        """Return the same rules with these tolerances."""
        return replace(
            self,
            max_age_s=tolerance.age_s,
            max_future_s=tolerance.future_s,
            max_past_s=tolerance.past_s,
        )


class Format(Protocol):
    """What a format's module offers."""

    def sniff(self, payload: bytes) -> bool:
        """Return whether the payload has this format's prefix or shape."""

    def read(self, payload: bytes, keys: KeySource, rules: ReadRules) -> Credential:
        """Parse and verify the payload.

        Raises:
            Rejected: with the reason.
        """


@functools.cache
def load_format(name: FormatName) -> Format:
    """Import and return the module of a format."""
    return cast("Format", importlib.import_module(FORMATS[name]))


def load_all() -> None:
    """Import every format now, so that the first person at a gate does not wait for it."""
    for name in FORMATS:
        load_format(name)


def sniff(payload: bytes) -> FormatName | None:
    """Return the first format that recognises the payload, or None."""
    for name in FORMATS:
        if load_format(name).sniff(payload):
            return name
    return None


def may_be_credential(payload: bytes) -> bool:
    """Return whether a format recognises the payload, which has room for a signature.

    A format without a prefix recognises much that is none of its codes: a web address in capitals
    is base45, too.
    """
    name = sniff(payload)
    shortest = _SIGNATURE_BYTES if name is FormatName.TRANSIT else _SIGNATURE_TEXT
    return name is not None and len(payload) >= shortest


def read(payload: bytes, *, keys: KeySource, rules: ReadRules) -> Credential:
    """Read one code: recognise, parse, verify.

    Args:
        payload: the bytes of the code, as decoded.
        keys: the issuer keys that the gate trusts.
        rules: clock, place and what is accepted there.

    Returns:
        A credential with every signature in it checked.

    Raises:
        Rejected: with the one reason; nothing else leaves this function for any payload.
    """
    if len(payload) > PAYLOAD_BYTES and not (len(payload) <= DIGITS and payload.isdigit()):
        raise Rejected(
            Reason.TOO_LARGE,
            f"{len(payload)} bytes, {PAYLOAD_BYTES} allowed ({DIGITS} where all are digits)",
        )
    name = sniff(payload)
    if name is None:
        raise Rejected(Reason.UNKNOWN_FORMAT, "no format recognises it")
    if name not in rules.formats:
        raise Rejected(Reason.FORMAT_NOT_ACCEPTED, name)
    if name in rules.tolerances:
        rules = rules.within(rules.tolerances[name])
    try:
        return load_format(name).read(payload, keys, rules)
    except (ValueError, KeyError, IndexError) as error:
        # The detail names the class only: the message could quote personal data.
        raise Rejected(Reason.MALFORMED, f"{name}: {type(error).__name__}") from error
