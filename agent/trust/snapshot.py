"""One immutable view of everything a gate believes.

Rules:
- A snapshot never changes; the daemon swaps whole snapshots, so a verification that began with one
  ends with it.
- A lookup opens no file. Rosters are mapped into memory, status lists are their own bytes.
- A key id does not identify an issuer: two issuers may collide, and a renewed key has two entries,
  so `by_kid` returns all; who asks chooses among them, and bounds how many are tried.
- Nothing here says yes: an unknown list, index or name is None or UNKNOWN, and what was set aside
  stays closed (`agent.trust.closed`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.credential.issuers import Algorithm, IssuerKey, RosterView
from agent.credential.limits import IDENTIFIER_BYTES, SHORT_KID_BYTES
from agent.credential.model import FormatName, StatusReference, StatusVerdict
from agent.trust.closed import NOTHING, Closed, ClosedRoster
from agent.trust.model import OperatorKey, SetAside, TrustError
from agent.trust.revocation import Revocations
from agent.trust.roster import Roster
from agent.trust.status import StatusAnswer, StatusList

__all__ = ["DATED_AHEAD_S", "LIST_AHEAD_S", "TrustSnapshot"]

DATED_AHEAD_S = 86_400
"""How far a set's signed date may be ahead of the gate's clock."""

LIST_AHEAD_S = 300
"""How far a status list's `iat` may be: a list from the future is set aside until then."""

_ALGORITHMS_WITHOUT_KID = {
    FormatName.PRETIX: frozenset({Algorithm.EDDSA}),
    FormatName.TRANSIT: frozenset({Algorithm.SM2}),
    FormatName.AADHAAR: frozenset({Algorithm.RS256}),
}
"""Formats that name no key have one algorithm each; keys of another cannot have signed them."""


@dataclass(frozen=True, slots=True)
class TrustSnapshot:
    """What a gate believes at one moment; implements `agent.trust.model.TrustView`.

    Attributes:
        keys: every issuer key, roots included.
        operators: every key that may sign commands.
        status_lists: verified Token Status Lists.
        rosters: rosters by name.
        profiles: site profiles (TOML bytes) by name.
        models: model files by name.
        version: version of the signed set; 0 for a plain directory.
        updated_at: Unix seconds from which its age counts: the signed date of a set, else the time
            at which it was laid down or read.
        dated_at: Unix seconds at which the set was published, by signature; 0 where nothing says.
        expires_at: Unix seconds after which the set's signatures no longer vouch for it; None for
            a plain directory.
        source: the directory it came from.
        revocations: what signers of health certificates revoked.
        set_aside: files that are not believed, and why.
        closed: what they keep closed.
    """

    keys: tuple[IssuerKey, ...] = ()
    operators: tuple[OperatorKey, ...] = ()
    status_lists: tuple[StatusList, ...] = ()
    rosters: Mapping[str, Roster] = field(default_factory=dict)
    profiles: Mapping[str, bytes] = field(default_factory=dict)
    models: Mapping[str, Path] = field(default_factory=dict)
    version: int = 0
    updated_at: int = 0
    dated_at: int = 0
    expires_at: int | None = None
    source: Path = Path()
    revocations: Revocations = field(default_factory=lambda: Revocations(()), compare=False)
    set_aside: tuple[SetAside, ...] = ()
    closed: Closed = NOTHING
    _by_kid: Mapping[bytes, tuple[IssuerKey, ...]] = field(init=False, repr=False, compare=False)
    _by_short_kid: Mapping[bytes, tuple[IssuerKey, ...]] = field(
        init=False, repr=False, compare=False
    )
    _by_format: Mapping[FormatName, tuple[IssuerKey, ...]] = field(
        init=False, repr=False, compare=False
    )
    _by_uri: Mapping[str, tuple[StatusList, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build the indexes once."""
        object.__setattr__(self, "_by_kid", _index_by_kid(self.keys))
        object.__setattr__(self, "_by_short_kid", _index_by_kid(self.keys, SHORT_KID_BYTES))
        object.__setattr__(
            self, "_by_format", {name: _candidates(self.keys, name) for name in FormatName}
        )
        by_uri: defaultdict[str, tuple[StatusList, ...]] = defaultdict(tuple)
        for status_list in self.status_lists:
            by_uri[status_list.uri] += (status_list,)
        object.__setattr__(self, "_by_uri", dict(by_uri))

    def by_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        """Return the keys with this id, roots excepted; expired ones too, so that a code of a
        retired key is refused for the right reason.
        """  # noqa: D205
        return self._by_kid.get(bytes(kid), ())

    def by_short_kid(self, kid: bytes) -> Sequence[IssuerKey]:
        """Return the keys whose id begins with these 4 bytes, as `by_kid` does."""
        return self._by_short_kid.get(bytes(kid), ())

    def for_format(self, name: FormatName) -> Sequence[IssuerKey]:
        """Return the keys for a format without kid: those that name the format first."""
        return self._by_format[name]

    def roots(self) -> Sequence[IssuerKey]:
        """Return pinned root certificates."""
        return tuple(key for key in self.keys if key.is_root)

    def status_answer(
        self, reference: StatusReference, now: int, issuer: str | None = None
    ) -> StatusAnswer:
        """Return what the status list says, and why; see `TrustView.status`."""
        lists = self._by_uri.get(reference.uri, ())
        if issuer is not None:
            lists = tuple(entry for entry in lists if entry.speaks_for(issuer))
        if not lists:
            if self.closed.status(reference.uri):
                return StatusAnswer(StatusVerdict.WITHHELD, "its status list was set aside")
            return StatusAnswer(StatusVerdict.UNKNOWN, "no status list with this URI")
        made = [entry for entry in lists if entry.issued_at <= now + LIST_AHEAD_S]
        if not made:
            return StatusAnswer(StatusVerdict.UNKNOWN, "the status list is dated in the future")
        newest = max(made, key=lambda entry: entry.issued_at)
        # Who reads a directory again does not know whether its lists are the newest: a `ttl` counts
        # from what somebody signed.
        return newest.answer(reference.index, now, confirmed_at=self.dated_at)

    def status(
        self, reference: StatusReference, now: int, issuer: str | None = None
    ) -> StatusVerdict:
        """Return what the status list says; see `TrustView.status`."""
        return self.status_answer(reference, now, issuer).verdict

    def revocation(self, kid: bytes, hashes: Iterable[bytes]) -> StatusVerdict | None:
        """Return what the revocation lists say; see `TrustView.revocation`."""
        if self.revocations.revoked(kid, hashes):
            return StatusVerdict.INVALID
        return StatusVerdict.WITHHELD if self.closed.revocation(kid) else None

    def roster(self, name: str) -> RosterView | None:
        """Return the roster of that name, or None; one that was set aside blocks everybody."""
        if name not in self.rosters and self.closed.roster(name):
            return ClosedRoster()
        return self.rosters.get(name)

    def operator(self, kid: bytes) -> OperatorKey | None:
        """Return the operator's key with this id, or None; its validity is for the caller."""
        kid = bytes(kid)
        return next((key for key in self.operators if key.kid == kid), None)

    def profile(self, name: str) -> bytes | None:
        """Return the site profile (TOML) of that name, or None.

        Raises:
            TrustError: the set has one, but it was set aside.
        """
        if name not in self.profiles and self.closed.profile(name):
            raise TrustError(f"profile {name}: set aside; see `idgate trust show`")
        return self.profiles.get(name)

    def model(self, name: str) -> Path | None:
        """Return where the model file of that name lies, or None."""
        return self.models.get(name)

    def age_s(self, now: int) -> int:
        """Return the seconds since the set was published or read, at least 0.

        A date more than a day ahead says nothing, and counts as the beginning of time.
        """
        if self.updated_at > now + DATED_AHEAD_S:
            return now
        return max(0, now - self.updated_at)


def _index_by_kid(
    keys: Sequence[IssuerKey], length: int = IDENTIFIER_BYTES
) -> dict[bytes, tuple[IssuerKey, ...]]:
    """Return key id, cut to a length, -> keys."""
    index: defaultdict[bytes, tuple[IssuerKey, ...]] = defaultdict(tuple)
    for key in keys:
        if not key.is_root:
            index[key.kid[:length]] += (key,)
    return dict(index)


def _candidates(keys: Sequence[IssuerKey], name: FormatName) -> tuple[IssuerKey, ...]:
    """Return the keys that fit, those that name the format first, the longest valid first."""
    algorithms = _ALGORITHMS_WITHOUT_KID.get(name)
    fitting = [
        key
        for key in keys
        if not key.is_root
        and (not key.formats or name in key.formats)
        and (algorithms is None or key.algorithm in algorithms)
    ]
    fitting.sort(key=lambda key: (name not in key.formats, -key.valid_until, key.issuer, key.kid))
    return tuple(fitting)
