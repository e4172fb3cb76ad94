"""What every refusal of a code has, beside the right reason."""

from __future__ import annotations

from agent.credential.model import Rejected
from agent.reason import Reason

_PLAIN = {Reason.EXPIRED, Reason.NOT_YET_VALID}
"""Their names say it all."""


def explained(refusal: Rejected) -> Reason:
    """Return the reason, which comes with a detail for whoever reads the gate's log."""
    assert refusal.detail or refusal.reason in _PLAIN, f"{refusal.reason} without a detail"
    return refusal.reason
