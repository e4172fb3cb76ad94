"""The one delegation of a trust set: `status/*` to the role `status`, whose keys are online.

Rules:
- the role's name, its paths and that it ends the search (`terminating`) are fixed: a set that
  delegates anything else is refused, by who publishes and by who reads;
- the role names nothing but `status/...`: a set in which it names an issuer is refused whole;
- a name that targets holds itself is believed as targets holds it, as The Update Framework has it
  (the search goes through targets first): an online key replaces nobody else's list.

Standard: The Update Framework specification 1.0, sections 4.5 and 5.6.7.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from agent.trust.model import TrustError

if TYPE_CHECKING:
    from tuf.api.metadata import DelegatedRole, TargetFile, Targets

__all__ = ["ABSENT", "STATUS", "STATUS_PATHS", "merged", "status_role"]

STATUS: Final = "status"
STATUS_PATHS: Final = ("status/*",)
ABSENT: Final = "status/-"
"""A path of the role's that no file can have: asking for it fetches the role's metadata."""

_NAME: Final = re.compile(r"status/[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def status_role(targets: Targets) -> DelegatedRole | None:
    """Return the role, None where targets delegates nothing.

    Raises:
        TrustError: something else is delegated.
    """
    delegations = targets.delegations
    if delegations is None:
        return None
    roles = delegations.roles or {}
    role = roles.get(STATUS)
    alone = len(roles) == 1 and not delegations.succinct_roles
    if role is None or not alone or role.paths != list(STATUS_PATHS) or not role.terminating:
        raise TrustError(f"targets delegates something other than {STATUS_PATHS[0]} to `{STATUS}`")
    return role


def merged(targets: Targets, status: Targets | None) -> dict[str, TargetFile]:
    """Return the files of a set by name: those of targets, then those of the role.

    Args:
        targets: verified.
        status: the role's metadata, verified by the delegation; None where there is none.

    Raises:
        TrustError: the role names what is not its own, or delegates further.
    """
    files = dict(targets.targets)
    if status is None or status_role(targets) is None:
        return files
    if status.delegations is not None:
        raise TrustError(f"`{STATUS}` delegates further")
    for name, target in status.targets.items():
        if not _NAME.fullmatch(name):
            raise TrustError(f"`{STATUS}` names what is not its own: {name!r}")
        files.setdefault(name, target)
    return files
