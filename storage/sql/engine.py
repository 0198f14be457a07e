"""Connections to the SQL store: SQLite and PostgreSQL behind one pair of transactions.

    StoreError                      the root of these errors
      StoreUnavailable              the store cannot be reached, or does not answer in time
      StoreSchemaError              it is not on this release's migrations

`Database.read` and `Database.write` are the ways in; each is one transaction. `Database.read_one` saves the transaction
where one statement is all. Writers on SQLite
take the file's lock at once (BEGIN IMMEDIATE), since a reader that becomes a writer half-way may find
that another was faster and can only start over.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from config.settings import Settings
from config.settings.sections import Definitions
from storage.sql.search import prepare_sqlite

_WRITES = "gavel_writes"
_ONE_STATEMENT = "gavel_one_statement"
_PING_AFTER_S = 5.0
StoreObserver = Callable[[Literal["read", "write"], float], None]
"""Takes the kind and the seconds of a transaction that ended, however it ended."""


class StoreError(RuntimeError):
    """Something is wrong with the SQL store. The message names no password."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or did not answer in time; the same request may be sent again."""


class StoreSchemaError(StoreError):
    """The store's tables are not those of this release; the message says which command helps."""


class Database:
    """An open SQL store. Safe to share between threads.

    Attributes:
        limits: how large a definition may be that is saved through this store.
        observe: called after each transaction with its kind and its seconds.
        before: called before each transaction; it may wait.
    """

    def __init__(self, engine: Engine, limits: Definitions | None = None) -> None:
        self.engine = engine
        self.limits = limits or Definitions()
        self.observe: StoreObserver = lambda _kind, _seconds: None
        self.before: Callable[[], None] = lambda: None

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
        with self._observed("read"), _translate_errors(), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def read_one(self) -> Iterator[Connection]:
        """Open a connection for one statement that reads, without a transaction around it.

        On PostgreSQL this is one message to the server and back, and not three.

        Raises:
            StoreUnavailable: at the start or on the statement.
        """
        with self._observed("read"), _translate_errors(), self.engine.connect() as connection:
            if self.dialect == "postgresql":
                connection.execution_options(isolation_level="AUTOCOMMIT")
            else:
                connection.execution_options(**{_ONE_STATEMENT: True})
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that commits at the end and rolls back on any exception.

        Raises:
            StoreUnavailable: another writer held its lock for too long, or the store is not there.
        """
        with self._observed("write"), _translate_errors(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def _observed(self, kind: Literal["read", "write"]) -> Iterator[None]:
        self.before()
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.observe(kind, time.monotonic() - started_s)

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
        limits=settings.definitions,
    )


def open_database(
    dsn: str,
    *,
    pool_size: int = 5,
    connect_timeout_s: float = 5.0,
    statement_timeout_s: float = 15.0,
    limits: Definitions | None = None,
) -> Database:
    """Open the store that `dsn` names. It connects at the first use, so an absent server is not an error here.

    Args:
        dsn: `sqlite:///path` (its folder is made) or `postgresql://...`.
        statement_timeout_s: for one statement or the wait for a lock.
        limits: how large a definition may be that is saved; the defaults of the settings if not given.
    """
    url = normalize_dsn(dsn)
    if url.get_backend_name() == "sqlite":
        return Database(_open_sqlite(url, pool_size, statement_timeout_s), limits)
    timeout_ms = int(statement_timeout_s * 1000)
    options = f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms} -c timezone=UTC"
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=statement_timeout_s,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={
            "connect_timeout": max(1, round(connect_timeout_s)),
            "options": options,
            "application_name": "gavel",
        },
    )
    _ping_after_rest(engine)
    return Database(engine, limits)


def _ping_after_rest(engine: Engine) -> None:
    """Replace a connection that a restarted server or a firewall dropped while it rested, before it is used.

    SQLAlchemy's own `pool_pre_ping` asks before every use, which costs each request a round trip.
    """

    @event.listens_for(engine, "checkin")
    def note(_raw: Any, entry: ConnectionPoolEntry) -> None:
        entry.info["rests_since"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ping(raw: Any, entry: ConnectionPoolEntry, _proxy: Any) -> None:
        if time.monotonic() - entry.info.get("rests_since", math.inf) < _PING_AFTER_S:
            return
        try:
            engine.dialect.do_ping(raw)
        except engine.dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error


def _make_private(path: Path) -> None:
    """Make the file, and let only its owner read it: it holds hashes of keys and encrypted keys.

    SQLite gives the files that it makes beside it (`-wal`, `-shm`) the same mode.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    if path.stat().st_mode & 0o077:
        # A file of another owner keeps its permissions, because the operator has chosen them.
        with suppress(PermissionError):
            path.chmod(0o600)


def _open_sqlite(url: URL, pool_size: int, lock_timeout_s: float) -> Engine:
    if url.database and url.database != ":memory:":
        _make_private(Path(url.database))
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"timeout": lock_timeout_s, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(raw: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        prepare_sqlite(raw)
        # The driver's own notion of when a transaction begins is switched off; `begin` below decides.
        raw.isolation_level = None
        cursor = raw.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get(_ONE_STATEMENT):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(_WRITES) else "BEGIN")

    return engine
