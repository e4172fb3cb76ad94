"""The collector's database: every event once, and how far each boot is complete.

Rules:
- Idempotent on gate, boot and `seq`: the same row again changes nothing. Only what a gate sealed
  comes here (`agent.fleet.collector`), so the first row of a name is the gate's own.
- `contiguous` is the highest `seq` up to which every row is stored; only that is acknowledged, and
  only after the transaction that stored it was committed.
- Several collectors may share one database: what another one stored is seen as soon as a gap makes
  this one look.

SQLite by default (WAL, `synchronous=FULL`); PostgreSQL by URL; both through SQLAlchemy Core.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from agent.fleet.expected import Expected
from agent.fleet.register import Register, contiguous_before
from agent.fleet.tables import boots, events, gates, prepare, rejected, signers
from agent.report.cloudevents import Seal
from agent.report.topics import GateAddress

__all__ = [
    "BootKey",
    "EventStore",
    "Gap",
    "RejectedMessage",
    "StoredEvent",
    "open_store",
    "store_url",
]

_CHUNK = 256
_REJECTED_KEPT = 10_000
_WITH_A_GAP = sa.and_(
    boots.c.contiguous < boots.c.highest,
    ~sa.exists().where(
        gates.c.site == boots.c.site, gates.c.gate == boots.c.gate, gates.c.retired_at.is_not(None)
    ),
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
    seal: Seal | None = None


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """A message that was not stored.

    Attributes:
        topic: it came on.
        reason: why, in a line.
        at: Unix seconds.
        gate: in whose name, None where the topic is no gate's.
        offered: the key that wanted to speak for the gate, or b"".
    """

    topic: str
    reason: str
    at: float
    gate: GateAddress | None = None
    offered: bytes = b""


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


def open_store(text: str, *, new: bool = True, expected: Expected | None = None) -> EventStore:
    """Open the database that an operator names.

    Args:
        text: see `store_url`.
        new: a SQLite file may be made; False is for who only reads.
        expected: the gates file, or None.

    Raises:
        ValueError: it cannot be had; one line, without the password of a URL.
    """
    if not new and "://" not in text and not Path(text).is_file():
        raise ValueError(f"{text}: no such database; `idgate fleet collect` makes it")
    name = text.partition("://")[0]
    try:
        name = shown(text)
        return EventStore(text, expected)
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
        expected: the gates file, or None.

    Attributes:
        register: whose key speaks for which gate.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: no such database; from every method when it fails.
    """

    def __init__(self, url: str, expected: Expected | None = None) -> None:
        self._engine = sa.create_engine(store_url(url), pool_pre_ping=True)
        self.name = shown(url)
        self._sqlite = self._engine.dialect.name == "sqlite"
        if self._sqlite:
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
        insert: Any = sqlite.insert if self._sqlite else postgresql.insert
        self._insert_event = insert(events).on_conflict_do_nothing()
        self._insert_boot = insert(boots).on_conflict_do_nothing()
        self._insert_signer = insert(signers).on_conflict_do_nothing()
        prepare(self._engine)
        self.register = Register(self._engine, expected)
        self.register.reload()
        self._known: dict[BootKey, _Progress] = {}
        self._signers: dict[bytes, int] = {}

    def add(self, batch: Iterable[StoredEvent]) -> dict[BootKey, int]:
        """Store a batch in one transaction; return each touched boot's contiguous `seq`."""
        by_boot: dict[BootKey, list[StoredEvent]] = {}
        for event in batch:
            by_boot.setdefault(event.key, []).append(event)
        changed: dict[BootKey, _Progress] = {}
        with self._transaction() as connection:
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

    def reject(self, messages: Sequence[RejectedMessage]) -> None:
        """Note messages that were not stored, in one transaction; the newest are kept.

        The gates in whose names they came count them.
        """
        names = Counter(each.gate for each in messages if each.gate is not None)
        offered = {each.gate: each.offered.hex() for each in messages if each.offered}
        with self._engine.begin() as connection:
            connection.execute(
                sa.insert(rejected),
                [
                    {
                        "topic": each.topic[:300].replace("\0", " "),
                        "reason": each.reason[:300].replace("\0", " "),
                        "received_at": each.at,
                    }
                    for each in messages
                ],
            )
            newest = connection.execute(sa.select(sa.func.max(rejected.c.id))).scalar_one()
            connection.execute(sa.delete(rejected).where(rejected.c.id <= newest - _REJECTED_KEPT))
            for gate, count in names.items():
                values: dict[str, Any] = {"refused": gates.c.refused + count}
                if gate in offered:
                    values["offered"] = offered[gate]
                connection.execute(
                    sa.update(gates)
                    .where(gates.c.site == gate.site, gates.c.gate == gate.gate)
                    .values(values)
                )

    def forget_progress(self) -> None:
        """Look up again how far each boot is when it comes next: gates were renamed or retired."""
        self._known.clear()

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
        """Return what is missing between rows that are there; retired gates are past asking."""
        following = sa.func.lead(events.c.seq).over(
            partition_by=events.c.boot, order_by=events.c.seq
        )
        inner = (
            sa.select(events.c.boot, events.c.seq, following.label("next"))
            .join(boots, boots.c.id == events.c.boot)
            .where(_WITH_A_GAP, events.c.seq > boots.c.contiguous)
            .subquery()
        )
        holes = sa.select(inner.c.boot, inner.c.seq, inner.c.next).where(
            inner.c.next > inner.c.seq + 1
        )
        first = (
            sa.select(events.c.boot, sa.func.min(events.c.seq).label("next"))
            .join(boots, boots.c.id == events.c.boot)
            .where(_WITH_A_GAP, events.c.seq > boots.c.contiguous)
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
            sa.select(boots.c.site, boots.c.gate, boots.c.boot_id, events, signers.c.key)
            .join(boots, boots.c.id == events.c.boot)
            .outerjoin(signers, signers.c.id == events.c.signer)
            .order_by(events.c.boot, events.c.seq)
        )
        wanted = tuple(types)
        if wanted:
            query = query.where(events.c.type.in_(wanted))
        with self._engine.connect().execution_options(yield_per=1_000) as connection:
            for row in connection.execute(query):
                found = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
                del found["boot"], found["signer"]
                yield found

    def names(self) -> list[GateAddress]:
        """Return every name under which a gate has rows."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(boots.c.site, boots.c.gate).distinct())
            return [GateAddress(row.site, row.gate) for row in found]

    def history(self, names: Iterable[GateAddress]) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of one gate under all its names, by boot and `seq`.

        A row is as in `read`, with the boot's `number` in the order in which boots came.
        """
        chosen = [sa.and_(boots.c.site == each.site, boots.c.gate == each.gate) for each in names]
        query = (
            sa.select(
                boots.c.id.label("number"), boots.c.site, boots.c.gate, boots.c.boot_id, events,
                signers.c.key,
            )
            .join(boots, boots.c.id == events.c.boot)
            .outerjoin(signers, signers.c.id == events.c.signer)
            .where(sa.or_(*chosen))
            .order_by(boots.c.boot_id, events.c.seq)
        )  # fmt: skip
        with self._engine.connect().execution_options(yield_per=1_000) as connection:
            for row in connection.execute(query):
                yield dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it

    def count(self) -> int:
        """Return how many events are stored."""
        with self._engine.connect() as connection:
            return int(
                connection.execute(sa.select(sa.func.count()).select_from(events)).scalar_one()
            )

    def gap_boots(self) -> int:
        """Return how many boots of gates that serve have a gap."""
        query = sa.select(sa.func.count()).select_from(boots).where(_WITH_A_GAP)
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

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Begin; numbers of keys that a failed transaction gave out are forgotten."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except BaseException:
            self._signers.clear()
            raise

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
                    "prevhash": None if row.seal is None else row.seal.previous,
                    "sig": None if row.seal is None else row.seal.signature,
                    "signer": self._signer(connection, row.seal),
                }
                for key, row in fresh
            ],
        )

    def _signer(self, connection: Connection, seal: Seal | None) -> int | None:
        """Return the number of the key that sealed an event."""
        if seal is None:
            return None
        if seal.key not in self._signers:
            connection.execute(self._insert_signer, {"key": seal.key.hex()})
            query = sa.select(signers.c.id).where(signers.c.key == seal.key.hex())
            self._signers[seal.key] = int(connection.execute(query).scalar_one())
        return self._signers[seal.key]

    def _find(self, connection: Connection, key: BootKey) -> _Progress:
        done = contiguous_before(connection, key.gate, key.boot_id)
        connection.execute(
            self._insert_boot,
            {
                "site": key.gate.site,
                "gate": key.gate.gate,
                "boot_id": key.boot_id,
                "contiguous": done,
                "highest": done,
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
