"""Connections to the SQL store: SQLite and PostgreSQL behind one pair of transactions.

    StoreError                      tree of what can go wrong
      StoreUnavailable              the store cannot be reached, or does not answer in time
      StoreSchemaError              it is not on this release's migrations

`Database.read` and `Database.write` are the only ways in; each is one transaction. Writers on SQLite
take the file's lock at once (BEGIN IMMEDIATE), since a reader that becomes a writer half-way may find
that another was faster and can only start over.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from config.settings import Settings

_WRITES = "gavel_writes"


class StoreError(RuntimeError):
    """Something is wrong with the SQL store. The message names no password."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or did not answer in time; what was asked may be asked again."""


class StoreSchemaError(StoreError):
    """The store's tables are not those of this release; the message says which command helps."""


class Database:
    """An open SQL store. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the store throughout, however long it takes.

        Raises:
            StoreUnavailable: at the start or on any statement within.
        """
        with _translate_errors(), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end and rolls back on any exception.

        Raises:
            StoreUnavailable: another writer held its lock for too long, or the store is not there.
        """
        with _translate_errors(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        raise StoreUnavailable(f"the definition store does not answer: {_reason(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StoreUnavailable(f"the connection to the definition store broke: {_reason(error)}") from error
        raise


def _reason(error: Exception) -> str:
    """Return the driver's words, without the statement and its parameters."""
    original = getattr(error, "orig", None) or error
    return str(original).strip().splitlines()[0] if str(original).strip() else type(original).__name__


def normalize_dsn(dsn: str) -> URL:
    """Return the URL for SQLAlchemy: PostgreSQL by psycopg, whatever spelling of its name the DSN uses."""
    url = make_url(dsn)
    if url.get_backend_name() in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    return url


def open_store(settings: Settings) -> Database:
    """Open the store of the settings; see `open_database`."""
    store = settings.store
    return open_database(
        store.dsn.get_secret_value(),
        pool_size=store.pool_size,
        connect_timeout_s=store.connect_timeout_s,
        statement_timeout_s=store.statement_timeout_s,
    )


def open_database(
    dsn: str, *, pool_size: int = 5, connect_timeout_s: float = 5.0, statement_timeout_s: float = 15.0
) -> Database:
    """Open the store that `dsn` names. Connects at the first use, so an absent server is no error here.

    Args:
        dsn: `sqlite:///path` (its folder is made) or `postgresql://...`.
        statement_timeout_s: for one statement or the wait for a lock.
    """
    url = normalize_dsn(dsn)
    if url.get_backend_name() == "sqlite":
        return Database(_open_sqlite(url, pool_size, statement_timeout_s))
    timeout_ms = int(statement_timeout_s * 1000)
    options = f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms} -c timezone=UTC"
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=statement_timeout_s,
        # A connection that a restarted server or a firewall dropped is replaced before it is used.
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={
            "connect_timeout": max(1, round(connect_timeout_s)),
            "options": options,
            "application_name": "gavel",
        },
    )
    return Database(engine)


def _open_sqlite(url: URL, pool_size: int, lock_timeout_s: float) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": lock_timeout_s, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(raw: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # The driver's own notion of when a transaction begins is switched off; `begin` below decides.
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes: Any = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
