"""Migrations of the SQL store, run by Alembic without its command line or a file of its own.

`upgrade` may be started by several processes at once: they take turns.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError

from storage.sql.engine import Database, StoreError, StoreSchemaError

_ADVISORY_LOCK = 7_216_403_519_844
"""Any number that nothing else in the database locks."""


def upgrade(database: Database) -> list[str]:
    """Bring the tables to this release and return the revisions that were applied, oldest first.

    One transaction: a migration that fails, or a process that dies, leaves the store as it was. On
    PostgreSQL the wait for another process is bound by the lock timeout, on SQLite by the busy timeout.

    Raises:
        StoreUnavailable: the store is not there, or another process holds the lock for too long.
        StoreSchemaError: the store is from a newer release.
    """
    scripts = _scripts()
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        before = _applied(connection, scripts)
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return [script for script in _all_revisions(scripts) if script not in before]


def check_current(database: Database) -> None:
    """Return if the tables are those of this release.

    Raises:
        StoreUnavailable: the store is not there.
        StoreSchemaError: a migration is missing, or the store is from a newer release; says what helps.
        StoreError: the user may not read which migrations the store has.
    """
    scripts = _scripts()
    try:
        with database.read() as connection:
            applied = _applied(connection, scripts)
    except ProgrammingError as error:
        raise StoreError(
            f"the user of store.dsn has no rights on the table alembic_version ({error.orig}); grant SELECT"
        ) from error
    missing = [script for script in _all_revisions(scripts) if script not in applied]
    if missing:
        raise StoreSchemaError(
            f"the store lacks {len(missing)} migrations of this release ({missing[0]} first); run `gavel init`"
        )


def _applied(connection: Connection, scripts: ScriptDirectory) -> set[str]:
    """Return all revisions that the store has.

    Raises:
        StoreSchemaError: it has one that this release does not know.
    """
    known = set(_all_revisions(scripts))
    applied: set[str] = set()
    for head in MigrationContext.configure(connection).get_current_heads():
        if head not in known:
            raise StoreSchemaError(
                f"the definition store is at migration {head}, which this release does not know; run a newer release"
            )
        applied |= {script.revision for script in scripts.iterate_revisions(head, "base")}
    return applied


def _all_revisions(scripts: ScriptDirectory) -> list[str]:
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
