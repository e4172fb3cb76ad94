"""What every format checks alike: which key may vouch, whether now lies inside, which use it is.

Rules:
- a key vouches only inside its own validity, for the kinds and the formats that it was pinned to;
- whatever depends on time is refused while the clock is not trusted;
- a time is a plain integer from 1970 to the year 9999: no float, no bool, no negative number;
- validity is inclusive at both ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from agent.credential.issuers import IssuerKey
from agent.credential.limits import LATEST_TIME
from agent.credential.model import FormatName, Kind, Rejected, ReplayKey
from agent.credential.numbers import Claim
from agent.credential.registry import ReadRules
from agent.reason import Reason

__all__ = [
    "check_audience", "check_fresh", "check_key", "check_validity", "fits_audience", "for_format",
    "replay_key", "seconds",
]  # fmt: skip


def seconds(value: Any, name: str) -> int:
    """Return a claim's value as Unix seconds.

    Args:
        value: what stands in the claim.
        name: the claim's name, for the detail.

    Raises:
        Rejected: `bad_time`.
    """
    if type(value) is not int or not 0 <= value <= LATEST_TIME:
        raise Rejected(Reason.BAD_TIME, f"{name} is no time")
    return value


def check_audience(claims: Mapping[int | str, Any], rules: ReadRules) -> None:
    """Check that the issuer, where it names places in `aud`, names this one among them.

    Raises:
        Rejected: `wrong_audience`.
    """
    if Claim.AUD not in claims:
        return
    named = claims[Claim.AUD]
    audiences = named if isinstance(named, list) else [named]
    if not any(fits_audience(audience, rules.site, rules.gate) for audience in audiences):
        raise Rejected(Reason.WRONG_AUDIENCE, "the issuer made it out to another place")


def fits_audience(audience: Any, site: str, gate: str) -> bool:
    """Return whether one `aud` names this gate.

    It does when it is `site/gate`; `site` or `site/*`, any gate of the site; `group.*`, any gate of
    any site whose name begins with `group.`; or `*`, made for no place in particular. It is one
    text: a list of audiences fits nothing.
    """
    if not isinstance(audience, str):
        return False
    if audience in (f"{site}/{gate}", site, "*", f"{site}/*"):
        return True
    return audience.endswith(".*") and site.startswith(audience[:-1])


def for_format(keys: Iterable[IssuerKey], name: FormatName) -> list[IssuerKey]:
    """Return those keys that may sign the format."""
    return [key for key in keys if not key.formats or name in key.formats]


def check_key(key: IssuerKey, kind: Kind, rules: ReadRules) -> None:
    """Check that a key may vouch for this kind of document now.

    Raises:
        Rejected: `issuer_key_expired` or `issuer_not_entitled`.
    """
    if not key.valid_from <= rules.now <= key.valid_until:
        raise Rejected(Reason.ISSUER_KEY_EXPIRED, key.issuer)
    if key.kinds and kind not in key.kinds:
        raise Rejected(Reason.ISSUER_NOT_ENTITLED, f"{key.issuer}: {kind}")


def check_validity(valid_from: int, valid_until: int, rules: ReadRules) -> None:
    """Check that now lies in a validity, both ends included.

    The start is given the tolerance of `rules.max_future_s`, as clocks differ; the end is not.

    Raises:
        Rejected: `bad_time`, `clock_untrusted`, `not_yet_valid` or `expired`.
    """
    if valid_until < valid_from:
        raise Rejected(Reason.BAD_TIME, "the validity ends before it begins")
    if not rules.clock_trusted:
        raise Rejected(Reason.CLOCK_UNTRUSTED, "validity cannot be judged")
    if rules.now > valid_until:
        raise Rejected(Reason.EXPIRED)
    if rules.now + rules.max_future_s < valid_from:
        raise Rejected(Reason.NOT_YET_VALID)


def check_fresh(made_at: int, rules: ReadRules, *, max_age_s: int | None = None) -> None:
    """Check the age of a dynamic code.

    Args:
        made_at: Unix seconds at which the phone made it.
        rules: clock and tolerances.
        max_age_s: a limit of the code's own; the lower one counts.

    Raises:
        Rejected: `clock_untrusted`, `issued_in_future` or `stale`.
    """
    if not rules.clock_trusted:
        raise Rejected(Reason.CLOCK_UNTRUSTED, "age cannot be judged")
    age = rules.now - made_at
    if age < -rules.max_future_s:
        raise Rejected(Reason.ISSUED_IN_FUTURE, f"{-age} s ahead")
    if age > min(rules.max_age_s, rules.max_age_s if max_age_s is None else max_age_s):
        raise Rejected(Reason.STALE, f"{age} s old")


def replay_key(issuer: str, identifier: bytes, made_at: int) -> ReplayKey:
    """Return what identifies one use of a code.

    Made of signed values only, never of token bytes: an ECDSA signature can be altered by anybody
    into another valid one.

    Args:
        issuer: the issuer's name in the trust set.
        identifier: the credential's own identifier inside the issuer's realm (`cti`).
        made_at: Unix seconds of the use (of the issue, for a static code).
    """
    name = issuer.encode()
    parts = (len(name).to_bytes(4), name, identifier, made_at.to_bytes(8))
    return ReplayKey(hashlib.sha256(b"".join(parts)).digest())
