"""Looks at what a collector stored: is it what the gates sealed, whole and in their order?

Rules:
- Every row's seal is checked anew, over the bytes that are stored, and every row against the hash
  that the next one carries, over restarts and new names of a gate too.
- Wrong is: a seal that does not hold, a key that the gates file does not name, a row that is
  missing between others, a row or a boot whose predecessor is not what it says.
- Told, and not wrong: rows from before events were sealed or chained, rows before the oldest that
  is kept (`--keep-days`), and keys that the collector believed before the one it believes now.
- One gate is in memory at a time, and of it one row, and two hashes a boot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.fleet.expected import Expected
from agent.fleet.register import KnownGate
from agent.fleet.store import EventStore
from agent.journal.chain import START, Link
from agent.report.cloudevents import source, time_us
from agent.report.seals import event_text, holds, short
from agent.report.topics import GateAddress

__all__ = ["GateVerdict", "verify"]

_TOLD = 20
"""Most findings of one kind that are told of a gate; the rest is a number."""


@dataclass(slots=True)
class GateVerdict:
    """What was found of one gate.

    Attributes:
        address: its name today.
        events, boots: how many are stored.
        wrong: what is not as the gate sealed it, in words.
        notes: what cannot be proven, and need not be wrong.
        hidden: how many more findings there were than are told.
    """

    address: GateAddress
    events: int = 0
    boots: int = 0
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hidden: int = 0

    def find(self, text: str) -> None:
        """Note what is wrong."""
        if len(self.wrong) < _TOLD:
            self.wrong.append(text)
        else:
            self.hidden += 1


@dataclass(slots=True)
class _Boot:
    """The rows of one run, as they pass by."""

    boot_id: str
    next_seq: int = 1
    digest: bytes | None = None
    """Hash of the row before; None where it is not known."""
    head: bytes | None = None
    """What the first row, with `seq` 1, says of the run before."""


def verify(store: EventStore, expected: Expected | None) -> Iterator[GateVerdict]:
    """Yield a verdict on each gate, by name.

    Args:
        store: the database.
        expected: the gates file; with it only its keys count.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database fails.
    """
    known = store.register.gates()
    today = _names_today(known)
    families: dict[GateAddress, list[GateAddress]] = {}
    for address in store.names():
        families.setdefault(today.get(address, address), []).append(address)
    for address in sorted(families, key=lambda each: each.name):
        named = frozenset[bytes]() if expected is None else expected.get(address, frozenset())
        yield _Gate(address, known.get(address), named).look(store.history(families[address]))


def _names_today(known: Mapping[GateAddress, KnownGate]) -> dict[GateAddress, GateAddress]:
    """Return the present name of each gate that had another."""
    later = {gate.former: gate.address for gate in known.values() if gate.former is not None}
    found = {}
    for first in later:
        name, steps = first, 0
        while name in later and steps < len(later):
            name, steps = later[name], steps + 1
        found[first] = name
    return found


class _Gate:
    """Walks the rows of one gate."""

    def __init__(
        self, address: GateAddress, known: KnownGate | None, named: frozenset[bytes]
    ) -> None:
        self._verdict = GateVerdict(address)
        self._known = known
        self._named = named
        self._unsealed = self._unchained = 0
        self._keys: Counter[bytes] = Counter()
        self._tails: set[bytes] = set()
        self._heads: dict[str, bytes] = {}
        self._oldest: str | None = None
        self._oldest_number = 0
        self._cut = 0

    def look(self, rows: Iterator[Mapping[str, Any]]) -> GateVerdict:
        """Judge the rows, which come by boot and `seq`."""
        boot: _Boot | None = None
        for row in rows:
            if boot is None or boot.boot_id != row["boot_id"]:
                self._end(boot)
                boot = _Boot(row["boot_id"])
                self._verdict.boots += 1
                self._begin(boot, row)
            self._verdict.events += 1
            self._row(boot, row)
        self._end(boot)
        self._join()
        return self._verdict

    def _begin(self, boot: _Boot, row: Mapping[str, Any]) -> None:
        if self._oldest is None or row["number"] < self._oldest_number:
            self._oldest, self._oldest_number = boot.boot_id, row["number"]
        if row["seq"] > 1:
            self._cut += row["seq"] - 1
            boot.next_seq = row["seq"]

    def _row(self, boot: _Boot, row: Mapping[str, Any]) -> None:
        name = f"boot {boot.boot_id[:8]} seq {row['seq']}"
        if row["seq"] != boot.next_seq:
            last = row["seq"] - 1
            span = f"{boot.next_seq}" if last == boot.next_seq else f"{boot.next_seq}-{last}"
            self._verdict.find(f"boot {boot.boot_id[:8]} seq {span}: missing")
            boot.digest = None
        boot.next_seq = row["seq"] + 1
        if row["sig"] is None or row["key"] is None:
            self._unsealed += 1
            boot.digest = None
            return
        previous, key = bytes(row["prevhash"] or b""), bytes.fromhex(row["key"])
        digest = _digest(row, previous)
        text = event_text(source(row["site"], row["gate"]), digest)
        if not holds(key, bytes(row["sig"]), text):
            self._verdict.find(f"{name}: altered, its seal does not hold")
            boot.digest = None
            return
        self._keys[key] += 1
        if row["seq"] == 1:
            boot.head = previous
        elif previous == START:
            self._unchained += 1
        elif boot.digest is not None and previous != boot.digest:
            self._verdict.find(f"{name}: the row before it is not the one that it followed")
        boot.digest = digest

    def _end(self, boot: _Boot | None) -> None:
        if boot is None:
            return
        if boot.digest is not None:
            self._tails.add(boot.digest)
        if boot.head is not None:
            self._heads[boot.boot_id] = boot.head

    def _join(self) -> None:
        """Judge how the boots follow each other, and whose the keys were."""
        for boot_id, head in self._heads.items():
            if head != START and head not in self._tails and boot_id != self._oldest:
                if self._unsealed or self._cut:
                    self._cut += 1
                else:
                    what = "the rows before it are missing or were changed"
                    self._verdict.find(f"boot {boot_id[:8]} seq 1: {what}")
        for key, count in self._keys.items():
            if self._named and key not in self._named:
                self._verdict.find(f"{count} sealed by {short(key)}, which the gates file has not")
            elif not self._named and (self._known is None or key != self._known.key):
                self._verdict.notes.append(f"{count} sealed by an earlier key, {short(key)}")
        if self._unsealed:
            self._verdict.notes.append(f"{self._unsealed} stored before events were sealed")
        if self._unchained:
            self._verdict.notes.append(f"{self._unchained} written before rows were chained")
        if self._cut:
            self._verdict.notes.append("older rows are not here")


def _digest(row: Mapping[str, Any], previous: bytes) -> bytes:
    """Return the hash of a stored row; one whose time was spoilt has none that fits."""
    try:
        moment = time_us(row["time"])
    except ValueError:
        return b""
    return Link(
        previous, row["boot_id"], row["seq"], row["type"], moment, row["data"].encode()
    ).digest
