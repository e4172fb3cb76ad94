"""What a trust directory, a gate's cache or a repository holds, and how old it is, for people.

`describe_path` gives plain data for `--json`; `lines` says the same in words. Neither shows more
than names, counts and times: there is nothing personal in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.clock.moment import moment_text
from agent.trust.expiry import days_left
from agent.trust.snapshot import TrustSnapshot

__all__ = ["describe_path", "lines"]

_DAY_S = 86_400
_NEVER = 2**53


def describe_path(path: Path, now: int) -> dict[str, Any]:
    """Return what lies there, as JSON-ready data.

    Args:
        path: a repository, a gate's cache, or a plain trust directory.
        now: Unix seconds.

    Raises:
        TrustError: it cannot be believed, or is none of these.
    """
    if (path / "repository.toml").exists():
        return _repository(path, now)
    if (path / "current").exists() or (path / "root.json").exists():
        from agent.trust.cache import load_signed

        return {"what": "cache", **_snapshot(load_signed(path, now), now)}
    from agent.trust.directory import load_directory

    return {"what": "directory", **_snapshot(load_directory(path, now=now), now)}


def lines(what: dict[str, Any]) -> Iterator[str]:
    """Say in words what `describe_path` returned."""
    if what["what"] == "repository":
        yield from _repository_lines(what)
        return
    if what["what"] == "cache":
        yield f"signed set, version {what['version']}"
        yield f"  published {moment_text(what['updated_at'])}, {_span(what['age_s'])} ago"
        yield f"  updates of this age are taken until {moment_text(what['expires_at'])}"
    else:
        yield "plain directory"
    for key in what["keys"]:
        limits = ", ".join([*key["kinds"], *key["formats"]]) or "any kind"
        limits += ", basic only" if key["highest_level"] == "basic" else ""
        root = " root" if key["root"] else ""
        yield (
            f"  key {key['kid']} {key['algorithm']} {key['issuer']}{root}: {limits}{_validity(key)}"
        )
    for key in what["operators"]:
        yield f"  operator {key['kid']} {key['name']}: {', '.join(key['roles'])}{_validity(key)}"
    for entry in what["status_lists"]:
        until = f", until {moment_text(entry['expires_at'])}" if entry["expires_at"] else ""
        yield (
            f"  status list {entry['uri']}: {entry['entries']} entries of {entry['issuer']}, "
            f"{_span(entry['age_s'])} old{until}"
        )
    for entry in what["rosters"]:
        yield f"  roster {entry['name']} ({entry['mode']}): {entry['records']} records"
    if what["revoked_health_certificates"]:
        yield f"  revoked health certificates: {what['revoked_health_certificates']}"
    for kind in ("profiles", "models"):
        for name in what[kind]:
            yield f"  {kind[:-1]} {name}"
    for entry in what["set_aside"]:
        yield f"  SET ASIDE {entry['file']}: {entry['reason']}"


def _snapshot(snapshot: TrustSnapshot, now: int) -> dict[str, Any]:
    return {
        "version": snapshot.version,
        "updated_at": snapshot.updated_at,
        "age_s": snapshot.age_s(now),
        "expires_at": snapshot.expires_at,
        "keys": [
            {
                "issuer": key.issuer,
                "kid": key.kid.hex(),
                "algorithm": key.algorithm.value,
                "kinds": sorted(key.kinds),
                "formats": sorted(key.formats),
                "valid_from": key.valid_from,
                "valid_until": key.valid_until,
                "valid_now": key.valid_from <= now <= key.valid_until,
                "days_left": _days_left(key.valid_until, now),
                "highest_level": key.highest_level.name.lower(),
                "root": key.is_root,
            }
            for key in snapshot.keys
        ],
        "operators": [
            {
                "name": key.name,
                "kid": key.kid.hex(),
                "roles": sorted(key.roles),
                "valid_from": key.valid_from,
                "valid_until": key.valid_until,
                "valid_now": key.valid_from <= now <= key.valid_until,
                "days_left": _days_left(key.valid_until, now),
            }
            for key in snapshot.operators
        ],
        "status_lists": [
            {
                "uri": entry.uri,
                "issuer": entry.issuer,
                "entries": len(entry),
                "issued_at": entry.issued_at,
                "age_s": max(0, now - entry.issued_at),
                "expires_at": entry.expires_at,
            }
            for entry in snapshot.status_lists
        ],
        "rosters": [
            {
                "name": name,
                "mode": "block" if entry.blocks else "allow",
                "records": len(entry),
                "created": entry.created,
            }
            for name, entry in sorted(snapshot.rosters.items())
        ],
        "revoked_health_certificates": len(snapshot.revocations),
        "profiles": sorted(snapshot.profiles),
        "models": sorted(snapshot.models),
        "set_aside": [{"file": entry.file, "reason": entry.reason} for entry in snapshot.set_aside],
    }


def _repository(path: Path, now: int) -> dict[str, Any]:
    from agent.trust.delegation import STATUS
    from agent.trust.publish import ROLES, Repository

    repository = Repository(path, now=now)
    roles = {}
    for role in (*ROLES, STATUS) if repository.has_status_role() else ROLES:
        published = repository.published(role)
        expires = int(published.signed.expires.timestamp()) if published else None
        roles[role] = {
            "version": published.signed.version if published else 0,
            "expires_at": expires,
            "expired": expires is not None and now > expires,
            "threshold": repository.threshold_of(role),
            "keys": sorted(repository.keys_of(role)),
        }
    return {
        "what": "repository",
        "roles": roles,
        "drafts": [role for role in ("root", "targets") if repository.draft(role)],
        "missing": [
            {"role": gap.role, "needed": gap.needed, "keys": list(gap.keys)}
            for gap in repository.missing()
        ],
        "targets": {name: target.length for name, target in sorted(repository.targets().items())},
        "changes": repository.changes(),
    }


def _repository_lines(what: dict[str, Any]) -> Iterator[str]:
    yield "repository"
    for role, entry in what["roles"].items():
        if entry["version"]:
            word = "EXPIRED" if entry["expired"] else "expires"
            state = f"version {entry['version']}, {word} {moment_text(entry['expires_at'])}"
        else:
            state = "not published yet"
        keys = ", ".join(keyid[:16] for keyid in entry["keys"])
        yield f"  {role}: {state}; {entry['threshold']} of keys {keys}"
    for role in what["drafts"]:
        yield f"  draft of {role} waits"
    for change in what["changes"]:
        yield f"    it {change}"
    for gap in what["missing"]:
        keys = ", ".join(keyid[:16] for keyid in gap["keys"])
        yield f"  {gap['role']} needs {gap['needed']} more signature(s), of: {keys}"
    for name, length in what["targets"].items():
        yield f"  {name} ({length} bytes)"


def _days_left(not_after: int, now: int) -> int | None:
    """Return whole days to an end; None for what has none."""
    return None if not_after >= _NEVER else days_left(not_after, now)


def _validity(key: dict[str, Any]) -> str:
    days = key["days_left"]
    if not key["valid_now"]:
        over = days is not None and days < 0
        return f"; NOT VALID NOW{f', for {-days} days' if over else ''}"
    return "" if days is None else f"; {days} days left"


def _span(seconds: int) -> str:
    for unit, size in (("days", _DAY_S), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
