"""The desk's database: SQLite beside the settings, or PostgreSQL by URL; SQLAlchemy Core.

Rules: one transaction a request, begun as a writer where it will write, so that two requests never
decide on what the other changes; SQLite in WAL with `synchronous=FULL`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from agent.desk.tables import metadata

__all__ = ["DeskStore"]


class DeskStore:
    """The database.

    Args:
        url: SQLAlchemy's; a SQLite file is made where it is not there.

    Raises:
        ValueError: it cannot be had; one line, without a password.
    """

    def __init__(self, url: str) -> None:
        name = url
        try:
            parsed = sa.make_url(url)
            name = parsed.render_as_string()
            self._engine = sa.create_engine(parsed, pool_pre_ping=True, hide_parameters=True)
            self._sqlite = parsed.get_backend_name() == "sqlite"
            if self._sqlite:
                sa.event.listen(self._engine, "connect", _prepare)
                sa.event.listen(self._engine, "begin", _begin)
            metadata.create_all(self._engine)
        except sa.exc.SQLAlchemyError as error:
            why = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise ValueError(f"{name}: {why}") from None

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that may change; committed at its end, rolled back by an exception.

        One writer at a time: on PostgreSQL by an advisory lock of the transaction.
        """
        with self._engine.execution_options(idgate_writes=True).begin() as connection:
            if not self._sqlite:
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(4711)"))
            yield connection

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that only reads."""
        with self._engine.begin() as connection:
            yield connection

    def settle(self) -> None:
        """Have what was overwritten leave the disk too, as far as the database lets it.

        SQLite overwrites what is deleted (`secure_delete`), but its log keeps the pages of before
        until they are moved; on PostgreSQL that is the work of its own `VACUUM`.
        """
        if self._sqlite:
            with self._engine.connect() as connection:
                driver: Any = connection.connection.dbapi_connection
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go; may be called twice."""
        self._engine.dispose()


def _prepare(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # this module begins transactions, not the driver
    cursor = connection.cursor()
    for pragma in (
        "busy_timeout=10000",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "secure_delete=ON",  # Debian's SQLite does so by itself; others do not
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("idgate_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
