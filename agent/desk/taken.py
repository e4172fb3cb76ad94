"""Templates between the camera and the offer: in memory, for minutes, for one clerk and one member.

Rules: nothing here is written anywhere; what is not handed over in `KEPT_S` is dropped; so is what
another template of the same modality replaces, and everything at sign-out; there are only so many.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from agent.credential.model import BiometricReference, Modality

__all__ = ["KEPT_S", "Taken"]

KEPT_S: Final = 600
_MOST: Final = 64

_Key = tuple[bytes, str]


class Taken:
    """Holds templates.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[_Key, dict[Modality, tuple[int, BiometricReference]]] = {}

    def put(self, session: bytes, reference: str, template: BiometricReference) -> None:
        """Keep a template.

        Args:
            session: of the clerk, by digest.
            reference: of the member.
            template: replaces one of the same modality.
        """
        with self._lock:
            self._sweep()
            key = session, reference
            held = self._held.pop(key, {})
            while len(self._held) >= _MOST:
                self._held.pop(next(iter(self._held)))
            held[template.modality] = self._clock() + KEPT_S, template
            self._held[key] = held

    def modalities(self, session: bytes, reference: str) -> frozenset[Modality]:
        """Return what is held for a member."""
        with self._lock:
            self._sweep()
            return frozenset(self._held.get((session, reference), {}))

    def pop(self, session: bytes, reference: str) -> list[BiometricReference]:
        """Return what is held for a member, and hold it no more."""
        with self._lock:
            self._sweep()
            held = self._held.pop((session, reference), {})
            return [template for _, template in held.values()]

    def forget(self, session: bytes) -> None:
        """Drop what a session held."""
        with self._lock:
            for key in [key for key in self._held if key[0] == session]:
                del self._held[key]

    def _sweep(self) -> None:
        now = self._clock()
        for key, held in list(self._held.items()):
            alive = {kind: row for kind, row in held.items() if row[0] > now}
            if alive:
                self._held[key] = alive
            else:
                del self._held[key]
