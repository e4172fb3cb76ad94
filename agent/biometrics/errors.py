"""What goes wrong with faces: a model that cannot be used; a face or a reference that cannot."""

from __future__ import annotations

from agent.reason import Reason

__all__ = ["FaceRejected", "ModelError"]


class ModelError(ValueError):
    """A model, its manifest or its runtime cannot be used; one line for the operator.

    Raised while the daemon starts, so that a gate with a wrong model never asks for a face.
    """


class FaceRejected(Exception):
    """A face or a reference cannot be used.

    Args:
        reason: the closed code.
        detail: what was wrong, for the operator's log; holds no personal data.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
