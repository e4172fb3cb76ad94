"""Picture files that an operator names, decoded in the process that was told to.

Photos out of credentials never come here: they are strangers' and go to the sandbox (`photo`). An
operator's file may have 12,000 pixels a side, which no sandbox of a gate would hold, and is opened
by a command that is no gate: it can end, hang or be killed, and nobody stands before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.biometrics.errors import FaceRejected
from agent.biometrics.picture_header import FILE_LIMITS, PictureLimits, check_header
from agent.biometrics.picture_unpack import NotDecoded, unpack
from agent.reason import Reason

__all__ = ["open_picture"]


def open_picture(data: bytes, limits: PictureLimits = FILE_LIMITS) -> NDArray[np.uint8]:
    """Decode a picture.

    Args:
        data: the file.
        limits: what is refused before decoding.

    Returns:
        (H, W, 3) uint8 RGB, transparent parts on grey, turned as its EXIF orientation says.

    Raises:
        FaceRejected: `reference_invalid`.
    """
    kind = check_header(data, limits)
    try:
        return np.array(unpack(kind, data, limits), dtype=np.uint8)
    except NotDecoded as reason:
        detail = f"{kind} cannot be decoded ({reason})"
        raise FaceRejected(Reason.REFERENCE_INVALID, detail) from None
