"""Turns of processes that do the same work outside of the store, by a lock in the store that all of them share.

ClickHouse has no locks, so `gavel init` takes its turn here before it migrates ClickHouse's tables.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import text

from storage.sql.engine import Database, StoreError

_ADVISORY_LOCK = 7_216_403_519_845
"""Any number that nothing else in the database locks."""
_LOOKS_EVERY_S = 0.2


class TurnTakesTooLong(StoreError):
    """Another process did not end its turn in time."""


@contextmanager
def turn(database: Database, *, wait_s: float = 600.0) -> Iterator[None]:
    """Run the block while no other process that shares `database` is inside of such a block.

    On PostgreSQL it holds an advisory lock of a transaction, which also works behind a pooler of connections; on
    SQLite a lock on a file beside the store's. Both end with the process that holds them.

    Args:
        wait_s: how many seconds it waits for the turn of another process to end.

    Raises:
        TurnTakesTooLong: another process held the lock for that long.
        StoreError: the store does not answer, or its folder cannot be written.
    """
    if database.dialect == "postgresql":
        with database.read() as connection:
            statement, key = text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK}
            _await(lambda: bool(connection.execute(statement, key).scalar_one()), wait_s)
            yield
    else:
        with _opened(Path(f"{database.engine.url.database}-turn")) as file:
            _await(lambda: _locked(file.fileno()), wait_s)
            yield


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("a")
    except OSError as error:
        raise StoreError(f"the file of the lock cannot be opened: {error}") from error


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _await(take: Callable[[], bool], wait_s: float) -> None:
    give_up_s = time.monotonic() + wait_s
    while not take():
        if time.monotonic() > give_up_s:
            raise TurnTakesTooLong(
                f"another `gavel init` has been at work for {wait_s:g} s; let it end, or end it, and run this again"
            )
        time.sleep(_LOOKS_EVERY_S)
