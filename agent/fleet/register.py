"""The register of gates: whose key speaks for which gate, who is retired, who was renamed.

Rules:
- With a gates file a gate is believed by the keys that it names there, and nobody who is not in it.
  Where a gate has no key there, or there is no file, its first is believed and kept.
- Another key is refused and kept as *offered* until an operator accepts it: the gate was replaced,
  or somebody speaks in its name.
- A key that is another gate's is refused: a copied card, or a gate that changed its name by itself.
- A retired gate is not believed; its history stays. One that was renamed takes its key along, and
  what it had complete under its former names counts under the new one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine

from agent.fleet.expected import Expected
from agent.fleet.tables import boots, gates
from agent.report.seals import short
from agent.report.topics import GateAddress

__all__ = ["KnownGate", "Refusal", "Refused", "Register", "contiguous_before", "judge"]

_GATES = 20_000
"""Most gates that are taken in without a gates file."""


class Refusal(StrEnum):
    """Why an event is not believed; the first word of what is noted."""

    NO_EVENT = "no_event"
    UNSEALED = "unsealed"
    FORGED = "forged"
    OTHER_KEY = "other_key"
    KEY_OF_ANOTHER = "key_of_another"
    NOT_EXPECTED = "not_expected"
    RETIRED = "retired"


class Refused(ValueError):
    """An event is not stored.

    Attributes:
        refusal: why, in a word.
        offered: the key that was refused for a gate that has another, or b"".
    """

    def __init__(self, refusal: Refusal, detail: str, offered: bytes = b"") -> None:
        super().__init__(f"{refusal}: {detail}")
        self.refusal = refusal
        self.offered = offered


@dataclass(frozen=True, slots=True)
class KnownGate:
    """A gate of the register.

    Attributes:
        key: the public key that is believed of it.
        since: Unix seconds since when.
        refused: how many messages in its name were refused.
        offered: the last other key that wanted to speak for it, or b"".
        retired_at: Unix seconds, None while it serves.
        former: its name before this one.
    """

    address: GateAddress
    key: bytes
    since: float
    refused: int = 0
    offered: bytes = b""
    retired_at: float | None = None
    former: GateAddress | None = None


def judge(
    address: GateAddress,
    key: bytes,
    known: Mapping[GateAddress, KnownGate],
    expected: Expected | None,
) -> bool:
    """Return whether a key is new to the register and to be kept; False where it is believed there.

    Raises:
        Refused: the key does not speak for the gate.
    """
    entry = known.get(address)
    if entry is not None and entry.retired_at is not None:
        raise Refused(Refusal.RETIRED, "`idgate fleet accept` takes it back")
    if expected is not None:
        if address not in expected:
            raise Refused(Refusal.NOT_EXPECTED, "the gates file has no such gate")
        if expected[address]:
            if key not in expected[address]:
                raise Refused(Refusal.OTHER_KEY, f"{short(key)} is not in the gates file", key)
            return entry is None or entry.key != key
    if entry is None:
        owner = next((each.address for each in known.values() if each.key == key), None)
        if owner is not None:
            detail = f"{short(key)} speaks for {owner.name}; `idgate fleet rename`, if that is it"
            raise Refused(Refusal.KEY_OF_ANOTHER, detail)
        if expected is None and len(known) >= _GATES:
            raise Refused(Refusal.NOT_EXPECTED, f"more than {_GATES} gates need a gates file")
        return True
    if entry.key != key:
        detail = f"{short(key)}, not {short(entry.key)}; `idgate fleet accept`, if that is right"
        raise Refused(Refusal.OTHER_KEY, detail, key)
    return False


class Register:
    """The register in the database.

    Args:
        engine: the database, its tables prepared.
        expected: the gates file, or None.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: from every method when the database fails.
    """

    def __init__(self, engine: Engine, expected: Expected | None = None) -> None:
        self._engine = engine
        self.expected = expected
        self._known: dict[GateAddress, KnownGate] = {}
        self._fresh: dict[GateAddress, KnownGate] = {}
        insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        self._insert = insert(gates).on_conflict_do_nothing()

    def reload(self) -> bool:
        """Read what the database has now; return whether anybody's key, name or state changed."""
        before = {address: (gate.key, gate.retired_at) for address, gate in self._known.items()}
        self._known = self.gates()
        return before != {
            address: (gate.key, gate.retired_at) for address, gate in self._known.items()
        }

    def gates(self) -> dict[GateAddress, KnownGate]:
        """Return every gate, by name."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(gates).order_by(gates.c.site, gates.c.gate)).all()
        return {gate.address: gate for gate in map(_gate, rows)}

    def admit(self, address: GateAddress, key: bytes, at: float) -> None:
        """Return where the key speaks for the gate; one that is new is written by `settle`.

        Raises:
            Refused: it does not.
        """
        if judge(address, key, self._known, self.expected):
            self._known[address] = self._fresh[address] = KnownGate(address, key, at)

    def settle(self) -> frozenset[GateAddress]:
        """Write the keys that were admitted, in one transaction: a fleet may come all at once.

        Returns:
            The gates for which another collector had admitted another key before.
        """
        fresh, self._fresh = self._fresh, {}
        if not fresh:
            return frozenset()
        try:
            with self._engine.begin() as connection:
                for gate in fresh.values():
                    self._put(connection, gate, first=not (self.expected or {}).get(gate.address))
        except BaseException:
            for address in fresh:
                del self._known[address]
            raise
        self.reload()
        return frozenset(each for each, gate in fresh.items() if self._known[each].key != gate.key)

    def accept(self, address: GateAddress, key: bytes) -> None:
        """Believe a key for a gate from now on; one that was retired serves again."""
        with self._engine.begin() as connection:
            self._put(connection, KnownGate(address, key, time.time()), first=False)

    def retire(self, address: GateAddress) -> None:
        """Believe a gate no longer, nor any that would come under its name."""
        with self._engine.begin() as connection:
            if not self._retire(connection, address):
                connection.execute(
                    sa.insert(gates).values(
                        site=address.site, gate=address.gate, key="", since=time.time(),
                        retired_at=time.time(),
                    )
                )  # fmt: skip

    def rename(self, old: GateAddress, new: GateAddress) -> None:
        """Let a gate go on under another name, with its key; its history stays under the old one.

        Raises:
            ValueError: the old name is not of a gate that serves, or the new one is taken.
        """
        known = self.gates()
        gate = known.get(old)
        if gate is None or gate.retired_at is not None:
            raise ValueError(f"{old.name}: no gate of that name serves; see `idgate fleet gates`")
        if new in known:
            raise ValueError(f"{new.name}: there is such a gate; a name is taken once")
        with self._engine.begin() as connection:
            self._retire(connection, old)
            connection.execute(
                sa.insert(gates).values(
                    site=new.site,
                    gate=new.gate,
                    key=gate.key.hex(),
                    since=time.time(),
                    former_site=old.site,
                    former_gate=old.gate,
                )
            )

    @staticmethod
    def _retire(connection: Connection, address: GateAddress) -> bool:
        done = connection.execute(
            sa.update(gates)
            .where(gates.c.site == address.site, gates.c.gate == address.gate)
            .values(retired_at=time.time(), offered="")
        )
        return bool(done.rowcount)

    def _put(self, connection: Connection, gate: KnownGate, *, first: bool) -> None:
        """Write a gate's key; `first` leaves one that is there already."""
        site, name = gate.address.site, gate.address.gate
        values = {"key": gate.key.hex(), "since": gate.since, "offered": "", "retired_at": None}
        if not first:
            connection.execute(
                sa.update(gates).where(gates.c.site == site, gates.c.gate == name).values(values)
            )
        connection.execute(self._insert.values(site=site, gate=name, refused=0, **values))


def contiguous_before(connection: Connection, address: GateAddress, boot_id: str) -> int:
    """Return up to which `seq` a boot is complete under the gate's former names."""
    done, seen = 0, {address}
    while True:
        row = connection.execute(
            sa.select(gates.c.former_site, gates.c.former_gate).where(
                gates.c.site == address.site, gates.c.gate == address.gate
            )
        ).one_or_none()
        if row is None or row.former_site is None:
            return done
        address = GateAddress(row.former_site, row.former_gate)
        if address in seen:
            return done
        seen.add(address)
        found = connection.execute(
            sa.select(boots.c.contiguous).where(
                boots.c.site == address.site,
                boots.c.gate == address.gate,
                boots.c.boot_id == boot_id,
            )
        ).scalar_one_or_none()
        done = max(done, found or 0)


def _gate(row: Any) -> KnownGate:
    former = None if row.former_site is None else GateAddress(row.former_site, row.former_gate)
    return KnownGate(
        GateAddress(row.site, row.gate),
        bytes.fromhex(row.key),
        row.since,
        row.refused,
        bytes.fromhex(row.offered),
        row.retired_at,
        former,
    )
