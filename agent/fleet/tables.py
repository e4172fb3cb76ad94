"""The collector's tables, and how those of an earlier version are taken over.

Rules: columns are only added, each with room for what was stored before them; nothing is rewritten.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Engine

__all__ = ["boots", "events", "gates", "prepare", "rejected", "signers"]

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
    # Null together: stored before events were sealed.
    sa.Column("prevhash", sa.LargeBinary(32)),
    sa.Column("sig", sa.LargeBinary(64)),
    sa.Column("signer", sa.Integer),
    sqlite_with_rowid=False,
)
signers = sa.Table(
    "signer",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.String(64), nullable=False, unique=True),
)
"""Public keys that sealed events, in hexadecimal, so that each stands in one place."""
gates = sa.Table(
    "gate",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("site", sa.String(64), nullable=False),
    sa.Column("gate", sa.String(64), nullable=False),
    sa.Column("key", sa.String(64), nullable=False),
    sa.Column("since", sa.Float, nullable=False),
    sa.Column("refused", sa.Integer, nullable=False, default=0),
    sa.Column("offered", sa.String(64), nullable=False, default=""),
    sa.Column("retired_at", sa.Float),
    sa.Column("former_site", sa.String(64)),
    sa.Column("former_gate", sa.String(64)),
    sa.UniqueConstraint("site", "gate"),
)
"""Gates and the keys that are believed of them; see `agent.fleet.register`."""
rejected = sa.Table(
    "rejected",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("topic", sa.String(300), nullable=False),
    sa.Column("reason", sa.String(300), nullable=False),
    sa.Column("received_at", sa.Float, nullable=False),
)


def prepare(engine: Engine) -> None:
    """Make the tables that are not there, and add the columns that are not.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refuses.
    """
    metadata.create_all(engine)
    there = {column["name"] for column in sa.inspect(engine).get_columns("event")}
    missing = [column for column in events.columns if column.name not in there]
    if not missing:
        return
    with engine.begin() as connection:
        for column in missing:
            kind = column.type.compile(dialect=engine.dialect)
            connection.execute(sa.text(f"ALTER TABLE event ADD COLUMN {column.name} {kind}"))
