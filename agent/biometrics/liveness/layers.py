"""Presentation attack detection (ISO/IEC 30107-3): a face, or a picture of one?

The passive layer is `passive.py`, the challenge `challenge.py`. One colour camera stops casual
prints and some screens and no more than `docs/face.md` says was measured; infrared or depth is the
real answer and fits behind `Liveness`.
"""

from __future__ import annotations

from agent.biometrics.liveness.types import Liveness, LivenessKind

__all__ = ["open_liveness"]


def open_liveness(kind: LivenessKind) -> Liveness | None:
    """Return a fresh layer for a session, None for `off`."""
    if kind == "off":
        return None
    from agent.biometrics.liveness.passive import PassiveLiveness

    if kind == "passive":
        return PassiveLiveness()
    from agent.biometrics.liveness.challenge import ChallengeLiveness

    return ChallengeLiveness()
