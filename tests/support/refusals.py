"""What a refusal tells: the reason that is shown and counted, the words that an operator reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.credential.model import Rejected
from agent.reason import Reason


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Reason, str]:
    """Call, and return the reason and the detail of the refusal that must come of it."""
    with pytest.raises(Rejected) as told:
        call(*arguments, **options)
    return told.value.reason, told.value.detail
