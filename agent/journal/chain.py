"""The chain of the journal: each row carries the hash of the row before it, over restarts too.

Rules:
- A row's hash covers its name (boot and `seq`), type, time, the bytes of its data and the hash of
  the row before. So rows that were taken out, put in or changed later show at the row that follows.
- Each part goes in with its length before it: no two different rows are one text.
- A chain begins with `START`: the first row of a journal, and each row from before journals were
  chained.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

__all__ = ["START", "Link"]

START: Final = bytes(32)
"""What stands for the row before, where there is none."""
_DOMAIN: Final = b"idgate-journal-chain-1"


class Link(NamedTuple):
    """A row as the chain sees it.

    Attributes:
        previous: the hash that the row carries itself.
        boot_id, seq, kind, time_us, data: as in `agent.journal.model.Row`.
    """

    previous: bytes
    boot_id: str
    seq: int
    kind: str
    time_us: int
    data: bytes

    @property
    def digest(self) -> bytes:
        """The row's hash, 32 bytes of SHA-256, which the next row carries."""
        previous, *names, data = self
        found = hashlib.sha256(_DOMAIN)
        for part in (previous, *(str(name).encode() for name in names), data):
            found.update(len(part).to_bytes(4) + part)
        return found.digest()
