"""Numbered migrations: applied by `gavel init`, checked when a process starts.

Every statement can be repeated (`IF NOT EXISTS`), so a migration that was cut off half-way is simply applied again.
Two processes must not migrate at once, because later migrations change and drop what earlier ones make:
`storage.sql.turns` keeps them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from clickhouse_connect.driver.exceptions import DatabaseError

from storage.clickhouse.errors import SchemaMismatch

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")
_UNKNOWN_TABLE, _UNKNOWN_DATABASE = 60, 81
_UNKNOWN_COLUMN_OF_TABLE, _UNKNOWN_COLUMN = 16, 47
_NOT_THERE = frozenset({_UNKNOWN_TABLE, _UNKNOWN_DATABASE, _UNKNOWN_COLUMN_OF_TABLE, _UNKNOWN_COLUMN})
_BOOKKEEPING = """
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(applied_at)
ORDER BY version
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file.

    Attributes:
        checksum: SHA-256 of its text; a released file must not change.
    """

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return sha256(self.sql.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """The statements: each ends with a semicolon at the end of a line."""
        parts = re.split(r";[ \t]*(?:\n|\Z)", self.sql)
        return [part.strip() for part in parts if re.sub(r"--[^\n]*", "", part).strip()]


def load_migrations() -> tuple[Migration, ...]:
    """Return the migrations of this release, in order."""
    found = []
    for entry in files("storage.clickhouse.migrations").iterdir():
        match = _FILE.match(entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.version))


def migrate(client: Client, migrations: Sequence[Migration] | None = None) -> tuple[Migration, ...]:
    """Bring the database of `client` to this release; make it if it is missing. Blocks until done.

    No other process may migrate this database meanwhile: take a `storage.sql.turns.turn` where that is possible.

    Returns:
        The applied migrations; empty if none was missing.

    Raises:
        SchemaMismatch: the database was made by a newer release, or with migrations that differ.
        clickhouse_connect.driver.exceptions.DatabaseError: a statement failed; run it again after the remedy.
    """
    wanted = load_migrations() if migrations is None else tuple(migrations)
    _make_database(client)
    client.command(_BOOKKEEPING)
    pending = _compare(wanted, _applied(client))
    for migration in pending:
        for statement in migration.statements:
            client.command(statement)
        client.insert(
            "schema_migrations",
            [[migration.version, migration.name, migration.checksum]],
            column_names=["version", "name", "checksum"],
            settings={"async_insert": 0},
        )
    return pending


def check(client: Client, migrations: Sequence[Migration] | None = None) -> None:
    """Return if the database of `client` is the one of this release.

    Raises:
        SchemaMismatch: it is not; says what to do.
    """
    wanted = load_migrations() if migrations is None else tuple(migrations)
    try:
        applied = _applied(client)
    except DatabaseError as error:
        if error.code not in (_UNKNOWN_TABLE, _UNKNOWN_DATABASE):
            raise
        applied = {}
    pending = _compare(wanted, applied)
    if pending:
        first = f"{pending[0].version:04d}_{pending[0].name}"
        raise SchemaMismatch(
            f"ClickHouse's tables are at migration {max(applied, default=0)}, and this release needs "
            f"{wanted[-1].version} (the first that is missing: {first}); run `gavel init`",
            tuple(m.version for m in pending),
        )


@contextmanager
def release_expected(client: Client) -> Iterator[None]:
    """Turn a refusal for a missing table or column into `SchemaMismatch`, if another release made the tables."""
    try:
        yield
    except DatabaseError as error:
        if error.code in _NOT_THERE:
            check(client)
        raise


def _make_database(client: Client) -> None:
    name = {"name": client.database}
    known = client.command(
        "SELECT count() FROM system.databases WHERE name = {name:String}", parameters=name, use_database=False
    )
    if not int(str(known)):
        client.command("CREATE DATABASE IF NOT EXISTS {name:Identifier}", parameters=name, use_database=False)


def _applied(client: Client) -> dict[int, tuple[str, str]]:
    rows = client.query("SELECT version, name, checksum FROM schema_migrations FINAL ORDER BY version").result_rows
    return {version: (name, checksum) for version, name, checksum in rows}


def _compare(wanted: Sequence[Migration], applied: dict[int, tuple[str, str]]) -> tuple[Migration, ...]:
    """Return the migrations that are still to be applied.

    Raises:
        SchemaMismatch: an applied migration differs from the one of this release.
    """
    by_version = {migration.version: migration for migration in wanted}
    for version, (name, checksum) in applied.items():
        migration = by_version.get(version)
        if migration is None:
            raise SchemaMismatch(
                f"ClickHouse has migration {version:04d}_{name}, which this release does not know: a newer Gavel made "
                "these tables. Use that release"
            )
        if migration.checksum != checksum:
            raise SchemaMismatch(
                f"migration {version:04d}_{name} was applied with another text than this release has; the tables may "
                "differ. Restore the released file, or make the database again and fill it from Kafka"
            )
    return tuple(migration for migration in wanted if migration.version not in applied)
