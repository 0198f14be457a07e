"""Heartbeats: which processes of which roles exist, and how they are.

Every process writes one row per role every few seconds, so that `gavel status` and the console see all processes
without asking any of them. A row that is no longer written is a process that ended without saying so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from storage.sql.engine import Database, StoreError, StoreSchemaError, StoreUnavailable
from storage.sql.tables import UtcDateTime, json_column, metadata

INTERVAL_S = 5.0
"""Seconds between two heartbeats of a process."""
MISSING_AFTER_S = 20.0
"""Seconds after which a process that did not say that it ends is missing."""
KEPT = timedelta(days=1)
"""How long the row of a process stays after its last heartbeat."""
_NO_TABLE = "no such table"
_RUN_INIT = "the store lacks the table of heartbeats; run `gavel init`"

RoleState = Literal["starting", "waiting", "running", "blocked", "stopped", "failed"]
"""`waiting`: it lacks something that it needs. `blocked`: its target takes nothing. The reason says more."""

heartbeats = sa.Table(
    "heartbeats",
    metadata,
    sa.Column("role", sa.String(32), nullable=False),
    sa.Column("instance", sa.String(200), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("started", UtcDateTime, nullable=False),
    sa.Column("seen", UtcDateTime, nullable=False),
    json_column("assignment"),
    json_column("counters"),
    json_column("details"),
    sa.PrimaryKeyConstraint("role", "instance"),
)


@dataclass(frozen=True, slots=True)
class Vitals:
    """How one role of a process is.

    Attributes:
        reason: why the state is not `running`.
        assignment: topic → partitions that the process reads.
        counters: metric name without `gavel_` → its total since the process started.
        details: JSON whose parts depend on the role: `lag` (topic → records), `lag_s` (topic → seconds), `in_flight`,
            `paused` (topic → partitions), `rates` (counter → per second), `snapshot` (`revision`, `age_s`), `parked`
            (`records`, `oldest_s`), `breakers` (at most 50 open ones, each with `key`, `model`, `cause`, `detail` and
            `next_probe_in_s`), `breakers_open` (how many), `problems` (newest log lines of level warning and above)
            and `clock_ahead_s`. A reader takes each of them as optional.
    """

    state: RoleState
    reason: str = ""
    assignment: dict[str, list[int]] = field(default_factory=dict)
    counters: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The newest heartbeat of one role of a process.

    Attributes:
        instance: `host:pid`.
        seen: when it was written.
        age_s: seconds since then by the clock that wrote `seen`, which is the database server's where there is one.
    """

    role: str
    instance: str
    version: str
    started: datetime
    seen: datetime
    age_s: float
    vitals: Vitals

    @property
    def missing(self) -> bool:
        """Whether the process fell silent without saying that it ends."""
        return self.vitals.state not in ("stopped", "failed") and self.age_s > MISSING_AFTER_S


class Heartbeats:
    """The heartbeats of all processes. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(
        self, instance: str, version: str, started: datetime, vitals: dict[str, Vitals], *, now: datetime
    ) -> float:
        """Write the rows of one process, and remove rows that nobody has written for a day.

        Returns:
            The seconds by which `now` is ahead of the store's clock.

        Args:
            vitals: by role.
            now: the writer's time; a PostgreSQL server's clock is used instead, and the difference is noted.

        Raises:
            StoreError: the store does not answer, or lacks the table.
        """
        from sqlalchemy.dialects import postgresql, sqlite  # not for readers: `gavel status` has to start quickly

        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        with _table_expected(), self._database.write() as connection:
            seen = _clock(connection, now)
            ahead_s = (now - seen).total_seconds()
            for role, each in vitals.items():
                values = {
                    "version": version,
                    "state": each.state,
                    "reason": each.reason,
                    "started": started,
                    "seen": seen,
                    "assignment": each.assignment,
                    "counters": each.counters,
                    "details": {**each.details, "clock_ahead_s": round(ahead_s, 1)},
                }
                row = dialect.insert(heartbeats).values(role=role, instance=instance, **values)
                connection.execute(row.on_conflict_do_update(index_elements=["role", "instance"], set_=values))
            connection.execute(sa.delete(heartbeats).where(heartbeats.c.seen < seen - KEPT))
        return ahead_s

    def ahead_s(self, now: datetime) -> float:
        """Return the seconds by which `now` is ahead of the store's clock. Raise StoreError if it does not answer."""
        with self._database.read() as connection:
            return (now - _clock(connection, now)).total_seconds()

    def read(self, *, now: datetime) -> list[Heartbeat]:
        """Return the newest heartbeat of each role of each process of the last day, by role and start.

        Raises:
            StoreError: the store does not answer, or lacks the table.
        """
        query = sa.select(heartbeats).order_by(heartbeats.c.role, heartbeats.c.started, heartbeats.c.instance)
        with _table_expected(), self._database.read() as connection:
            clock = _clock(connection, now)
            return [_read(row, clock) for row in connection.execute(query).mappings()]


@contextmanager
def _table_expected() -> Iterator[None]:
    """Turn the failure of a store without the table, or without rights on it, into one that says what to do."""
    try:
        yield
    except StoreUnavailable as error:
        if _NO_TABLE not in str(error):
            raise
        raise StoreSchemaError(_RUN_INIT) from error
    except ProgrammingError as error:
        if "permission denied" in str(error.orig):
            raise StoreError(
                "the user of store.dsn has no rights on the table heartbeats; grant SELECT, INSERT, UPDATE and DELETE"
            ) from error
        raise StoreSchemaError(_RUN_INIT) from error


def _clock(connection: sa.Connection, now: datetime) -> datetime:
    """Return the clock that all processes share: the server's, or `now` where the store is a file of this host."""
    if connection.dialect.name != "postgresql":
        return now
    moment: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return moment


def _read(row: sa.RowMapping, clock: datetime) -> Heartbeat:
    vitals = Vitals(row["state"], row["reason"], row["assignment"], row["counters"], row["details"])
    age_s = max(0.0, (clock - row["seen"]).total_seconds())
    return Heartbeat(row["role"], row["instance"], row["version"], row["started"], row["seen"], age_s, vitals)
