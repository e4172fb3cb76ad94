"""The collector's database: every event once, and how far each boot is complete.

Rules:
- Idempotent on gate, boot and `seq`: the same row again changes nothing.
- `contiguous` is the highest `seq` up to which every row is stored; only that is acknowledged, and
  only after the transaction that stored it was committed.
- Several collectors may share one database: what another one stored is seen as soon as a gap makes
  this one look.

SQLite by default (WAL, `synchronous=FULL`); PostgreSQL by URL; both through SQLAlchemy Core.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from agent.report.topics import GateAddress

__all__ = ["BootKey", "EventStore", "Gap", "StoredEvent", "open_store", "store_url"]

_CHUNK = 256
_REJECTED_KEPT = 10_000

metadata = sa.MetaData()
boots = sa.Table(
    "boot",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("site", sa.String(64), nullable=False),
    sa.Column("gate", sa.String(64), nullable=False),
    sa.Column("boot_id", sa.String(64), nullable=False),
    sa.Column("contiguous", sa.Integer, nullable=False, default=0),
    sa.Column("highest", sa.Integer, nullable=False, default=0),
    sa.UniqueConstraint("site", "gate", "boot_id"),
)
events = sa.Table(
    "event",
    metadata,
    sa.Column("boot", sa.Integer, sa.ForeignKey("boot.id"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("type", sa.String(16), nullable=False),
    sa.Column("time", sa.String(40), nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
rejected = sa.Table(
    "rejected",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("topic", sa.String(300), nullable=False),
    sa.Column("reason", sa.String(300), nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
)


@dataclass(frozen=True, slots=True)
class BootKey:
    """One run of one gate."""

    gate: GateAddress
    boot_id: str


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is kept; `data` is the event's own JSON."""

    key: BootKey
    seq: int
    type: str
    time: str
    received_at: float
    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """Rows that a boot wrote and the store has not: first <= seq <= last."""

    key: BootKey
    first: int
    last: int


@dataclass(slots=True)
class _Progress:
    """What this collector knows of one boot."""

    id: int
    contiguous: int
    highest: int


def store_url(text: str) -> str:
    """Return a SQLAlchemy URL: a plain path is a SQLite file, postgresql:// goes to psycopg 3."""
    if "://" not in text:
        return f"sqlite:///{text}"
    scheme, rest = text.split("://", 1)
    if scheme in ("postgres", "postgresql"):
        return f"postgresql+psycopg://{rest}"
    return text


def open_store(text: str, *, new: bool = True) -> EventStore:
    """Open the database that an operator names.

    Args:
        text: see `store_url`.
        new: a SQLite file may be made; False is for who only reads.

    Raises:
        ValueError: it cannot be had; one line, without the password of a URL.
    """
    if not new and "://" not in text and not Path(text).is_file():
        raise ValueError(f"{text}: no such database; `idgate fleet collect` makes it")
    name = text.partition("://")[0]
    try:
        name = shown(text)
        return EventStore(text)
    except (sa.exc.SQLAlchemyError, ValueError) as error:
        why = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise ValueError(f"{name}: {why}") from None


def shown(text: str) -> str:
    """Return how a database may be named in a message: without its password."""
    return sa.make_url(store_url(text)).render_as_string() if "://" in text else text


class EventStore:
    """The database of one or more collectors.

    Args:
        url: see `store_url`.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: no such database; from every method when it fails.
    """

    def __init__(self, url: str) -> None:
        self._engine = sa.create_engine(store_url(url), pool_pre_ping=True)
        self.name = shown(url)
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        insert: Any = sqlite.insert if self._sqlite else postgresql.insert
        self._insert_event = insert(events).on_conflict_do_nothing()
        self._insert_boot = insert(boots).on_conflict_do_nothing()
        metadata.create_all(self._engine)
        self._known: dict[BootKey, _Progress] = {}

    def add(self, batch: Iterable[StoredEvent]) -> dict[BootKey, int]:
        """Store a batch in one transaction; return each touched boot's contiguous `seq`."""
        by_boot: dict[BootKey, list[StoredEvent]] = {}
        for event in batch:
            by_boot.setdefault(event.key, []).append(event)
        changed: dict[BootKey, _Progress] = {}
        with self._engine.begin() as connection:
            for key in by_boot:
                known = self._known.get(key) or self._find(connection, key)
                changed[key] = _Progress(known.id, known.contiguous, known.highest)
            # What is complete may have been pruned since; it is not taken in again.
            fresh = [
                (key, row)
                for key, rows in by_boot.items()
                for row in rows
                if row.seq > changed[key].contiguous
            ]
            self._insert(connection, fresh, changed)
            for key, rows in by_boot.items():
                self._advance(connection, changed[key], [row.seq for row in rows])
            self._save(connection, changed)
        self._known.update(changed)
        return {key: progress.contiguous for key, progress in changed.items()}

    def refresh(self, keys: Iterable[BootKey]) -> dict[BootKey, int]:
        """Look again how far these boots are complete: another collector may have filled a gap."""
        changed: dict[BootKey, _Progress] = {}
        with self._engine.begin() as connection:
            for key in keys:
                known = self._known.get(key) or self._find(connection, key)
                changed[key] = _Progress(known.id, known.contiguous, known.highest)
                self._look_up(connection, changed[key])
            if changed:
                self._save(connection, changed)
        self._known.update(changed)
        return {key: progress.contiguous for key, progress in changed.items()}

    def reject(self, topic: str, reason: str, at: float) -> None:
        """Note a message that is no event; the newest are kept."""
        with self._engine.begin() as connection:
            found = connection.execute(
                sa.insert(rejected).values(topic=topic[:300], reason=reason[:300], received_at=at)
            )
            newest = found.inserted_primary_key
            if newest is not None:
                connection.execute(
                    sa.delete(rejected).where(rejected.c.id <= newest[0] - _REJECTED_KEPT)
                )

    def prune(self, before: float) -> int:
        """Forget complete events received before `before` (Unix seconds); return how many.

        The boots' counters stay, so a row that comes once more is known to be old.
        """
        complete = sa.select(boots.c.contiguous).where(boots.c.id == events.c.boot)
        with self._engine.begin() as connection:
            done = connection.execute(
                sa.delete(events).where(
                    events.c.received_at < before, events.c.seq <= complete.scalar_subquery()
                )
            )
            return done.rowcount

    def gaps(self, limit: int = 1_000) -> list[Gap]:
        """Return what is missing between rows that are there."""
        following = sa.func.lead(events.c.seq).over(
            partition_by=events.c.boot, order_by=events.c.seq
        )
        inner = (
            sa.select(events.c.boot, events.c.seq, following.label("next"))
            .join(boots, boots.c.id == events.c.boot)
            .where(boots.c.contiguous < boots.c.highest, events.c.seq > boots.c.contiguous)
            .subquery()
        )
        holes = sa.select(inner.c.boot, inner.c.seq, inner.c.next).where(
            inner.c.next > inner.c.seq + 1
        )
        first = (
            sa.select(events.c.boot, sa.func.min(events.c.seq).label("next"))
            .join(boots, boots.c.id == events.c.boot)
            .where(boots.c.contiguous < boots.c.highest, events.c.seq > boots.c.contiguous)
            .group_by(events.c.boot)
        )
        with self._engine.connect() as connection:
            rows = {row.id: row for row in connection.execute(sa.select(boots))}
            found = [
                Gap(_key(rows[row.boot]), rows[row.boot].contiguous + 1, row.next - 1)
                for row in connection.execute(first)
                if row.next > rows[row.boot].contiguous + 1
            ]
            found += [
                Gap(_key(rows[row.boot]), row.seq + 1, row.next - 1)
                for row in connection.execute(holes.limit(limit))
            ]
        return sorted(found, key=lambda gap: (gap.key.gate.name, gap.key.boot_id, gap.first))

    def progress(self) -> dict[BootKey, tuple[int, int]]:
        """Return (contiguous, highest) of every boot, from the database."""
        with self._engine.connect() as connection:
            return {
                _key(row): (row.contiguous, row.highest)
                for row in connection.execute(sa.select(boots))
            }

    def behind(self) -> list[BootKey]:
        """Return the boots with a gap, as far as this collector knows."""
        return [key for key, known in self._known.items() if known.contiguous < known.highest]

    def read(self, *, types: Iterable[str] = ()) -> Iterator[Mapping[str, Any]]:
        """Yield every event as a flat mapping, oldest first by gate, boot and seq."""
        query = (
            sa.select(boots.c.site, boots.c.gate, boots.c.boot_id, events)
            .join(boots, boots.c.id == events.c.boot)
            .order_by(events.c.boot, events.c.seq)
        )
        wanted = tuple(types)
        if wanted:
            query = query.where(events.c.type.in_(wanted))
        with self._engine.connect().execution_options(yield_per=1_000) as connection:
            for row in connection.execute(query):
                found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
                del found["boot"]
                yield found

    def count(self) -> int:
        """Return how many events are stored."""
        with self._engine.connect() as connection:
            return int(
                connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()
            )

    def gap_boots(self) -> int:
        """Return how many boots have a gap."""
        query = sa.select(sa.func.count()).where(boots.c.contiguous < boots.c.highest)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def rejections(self) -> int:
        """Return how many rejected messages are kept."""
        with self._engine.connect() as connection:
            return int(
                connection.execute(sa.select(sa.func.count()).select_from(rejected)).scalar_one()
            )

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    # -- inside -------------------------------------------------------------------------------

    def _insert(
        self,
        connection: Connection,
        fresh: list[tuple[BootKey, StoredEvent]],
        known: Mapping[BootKey, _Progress],
    ) -> None:
        if not fresh:
            return
        connection.execute(
            self._insert_event,
            [
                {
                    "boot": known[key].id,
                    "seq": row.seq,
                    "type": row.type,
                    "time": row.time,
                    "received_at": row.received_at,
                    "data": row.data,
                }
                for key, row in fresh
            ],
        )

    def _find(self, connection: Connection, key: BootKey) -> _Progress:
        connection.execute(
            self._insert_boot,
            {
                "site": key.gate.site,
                "gate": key.gate.gate,
                "boot_id": key.boot_id,
                "contiguous": 0,
                "highest": 0,
            },
        )
        row = connection.execute(
            sa.select(boots.c.id, boots.c.contiguous, boots.c.highest).where(
                boots.c.site == key.gate.site,
                boots.c.gate == key.gate.gate,
                boots.c.boot_id == key.boot_id,
            )
        ).one()
        return _Progress(row.id, row.contiguous, row.highest)

    def _advance(self, connection: Connection, progress: _Progress, seqs: list[int]) -> None:
        """Move `contiguous` on: by what just came, and past a gap by what is stored."""
        progress.highest = max(progress.highest, *seqs)
        gap = False
        for seq in sorted(seqs):
            if seq == progress.contiguous + 1:
                progress.contiguous = seq
            gap = gap or seq > progress.contiguous
        if gap or progress.contiguous < progress.highest:
            self._look_up(connection, progress)

    @staticmethod
    def _look_up(connection: Connection, progress: _Progress) -> None:
        query = (
            sa.select(events.c.seq)
            .where(events.c.boot == progress.id, events.c.seq > sa.bindparam("low"))
            .order_by(events.c.seq)
            .limit(_CHUNK)
        )
        while True:
            found = connection.execute(query, {"low": progress.contiguous}).scalars().all()
            before = progress.contiguous
            for seq in found:
                if seq != progress.contiguous + 1:
                    return
                progress.contiguous = seq
            if progress.contiguous == before:
                return

    @staticmethod
    def _save(connection: Connection, changed: Mapping[BootKey, _Progress]) -> None:
        """Write progress; never back, where another collector is further."""
        connection.execute(
            sa.update(boots)
            .where(boots.c.id == sa.bindparam("which"))
            .values(
                contiguous=sa.case(
                    (boots.c.contiguous > sa.bindparam("done"), boots.c.contiguous),
                    else_=sa.bindparam("done"),
                ),
                highest=sa.case(
                    (boots.c.highest > sa.bindparam("top"), boots.c.highest),
                    else_=sa.bindparam("top"),
                ),
            ),
            [
                {"which": known.id, "done": known.contiguous, "top": known.highest}
                for known in changed.values()
            ],
        )


def _key(row: Any) -> BootKey:
    return BootKey(GateAddress(row.site, row.gate), row.boot_id)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
