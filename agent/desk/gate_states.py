"""How the gates are, as the collector's database knows it: read, never written.

Rules: the database is opened for reading only; one that cannot be read is told in a line and is no
reason for the desk to end; what is looked at is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agent.fleet.store import store_url
from agent.fleet.tables import boots, events, gates
from agent.journal.events import Fault

__all__ = ["GateState", "StatesError", "read_states"]

_FAULTS: Final = 200
"""Newest rows of faults that are looked at, a gate."""


class StatesError(ValueError):
    """The collector's database cannot be read; one line."""


@dataclass(frozen=True, slots=True)
class GateState:
    """What the collector knows of a gate.

    Attributes:
        name: inside the site.
        heard_at: Unix seconds of the last event that was stored; None where none came.
        events: how many are stored.
        complete: whether none is missing between them.
        faults: `part:code` of faults that are not over, since its last start.
        refused: messages in its name that were not believed.
        retired: whether it was ended (`idgate fleet retire`).
    """

    name: str
    heard_at: float | None
    events: int
    complete: bool
    faults: tuple[str, ...]
    refused: int
    retired: bool


def read_states(database: str, site: str) -> dict[str, GateState]:
    """Return the gates of a site, by name.

    Args:
        database: as `idgate fleet collect --database` has it.
        site: whose gates.

    Raises:
        StatesError: it cannot be read.
    """
    if "://" not in database and not Path(database).is_file():
        raise StatesError(f"{database}: no such database; `idgate fleet collect` makes it")
    try:
        with _reading(database) as connection:
            return _states(connection, site)
    except sa.exc.SQLAlchemyError as error:
        why = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StatesError(f"the collector's database cannot be read: {why}") from None


@contextmanager
def _reading(database: str) -> Iterator[Connection]:
    url = store_url(database)
    if "://" not in database:
        url = f"sqlite:///file:{Path(database).resolve()}?mode=ro&uri=true"
    engine = sa.create_engine(url)
    try:
        with engine.connect().execution_options(postgresql_readonly=True) as connection:
            yield connection
    finally:
        engine.dispose()


def _states(connection: Connection, site: str) -> dict[str, GateState]:
    summary = (
        sa.select(
            boots.c.gate,
            sa.func.count(events.c.seq).label("events"),
            sa.func.max(events.c.received_at).label("heard_at"),
        )
        .join(events, events.c.boot == boots.c.id)
        .where(boots.c.site == site)
        .group_by(boots.c.gate)
    )
    heard = {row.gate: row for row in connection.execute(summary)}
    gaps = set(
        connection.execute(
            sa.select(boots.c.gate)
            .where(boots.c.site == site, boots.c.contiguous < boots.c.highest)
            .distinct()
        ).scalars()
    )
    known = {
        row.gate: row for row in connection.execute(sa.select(gates).where(gates.c.site == site))
    }
    return {
        name: GateState(
            name,
            heard[name].heard_at if name in heard else None,
            heard[name].events if name in heard else 0,
            name not in gaps,
            _faults(connection, site, name),
            known[name].refused if name in known else 0,
            name in known and known[name].retired_at is not None,
        )
        for name in sorted({*heard, *known})
    }


def _faults(connection: Connection, site: str, gate: str) -> tuple[str, ...]:
    """Return the faults of the last start whose newest row says that they go on."""
    newest = (
        sa.select(boots.c.id)
        .where(boots.c.site == site, boots.c.gate == gate)
        .order_by(boots.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        sa.select(events.c.data)
        .where(events.c.boot == newest, events.c.type == "fault")
        .order_by(events.c.seq.desc())
        .limit(_FAULTS)
    )
    state: dict[str, bool] = {}
    for data in connection.execute(query).scalars():
        try:
            fault = msgspec.json.decode(data, type=Fault)
        except ValueError:
            continue  # of a newer gate than this desk
        state.setdefault(f"{fault.part}:{fault.code}", fault.active)
    return tuple(sorted(name for name, active in state.items() if active))
