"""Budgets in the SQL store: exact whatever the number of judge processes.

A reservation is one conditional UPDATE per limit in one transaction, so two processes cannot both take the last of
a budget. The reservations of a crashed process return to the budget when they expire.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    String,
    Table,
    and_,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from config.definitions import Budget, Evaluation
from config.provider_keys import EvaluationConfig
from evaluators.llm_judge.budget import (
    MICROS,
    Amount,
    BudgetBusy,
    BudgetReservation,
    BudgetScope,
    Usage,
    check,
    period_start,
)
from storage.sql.engine import Database
from storage.sql.tables import BigId, UtcDateTime, metadata

budget_usage = Table(
    "budget_usage",
    metadata,
    Column("owner", String(64), primary_key=True),
    Column("period_start", UtcDateTime, primary_key=True),
    Column("used_tokens", BigInteger, nullable=False),
    Column("used_micro_usd", BigInteger, nullable=False),
    Column("reserved_tokens", BigInteger, nullable=False),
    Column("reserved_micro_usd", BigInteger, nullable=False),
)
"""The use of an evaluation or a team in one period, and the amounts that runs in flight have reserved."""

budget_reservations = Table(
    "budget_reservations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("owner", String(64), primary_key=True),
    Column("period_start", UtcDateTime, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micro_usd", BigInteger, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_budget_reservations_owner", "owner", "expires_at"),
)
"""Reservations of runs in flight. One that expires belonged to a process that is gone."""

budget_skips = Table(
    "budget_skips",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("team_id", BigInteger, nullable=False),
    Column("evaluation_id", String(36), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("period_start", UtcDateTime, nullable=False),
    Column("first_event_at", UtcDateTime, nullable=False),
    Column("last_event_at", UtcDateTime, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("uq_budget_skips_range", "evaluation_id", "owner", "period_start", unique=True),
    Index("ix_budget_skips_team", "team_id", "evaluation_id", "first_event_at"),
)
"""Runs that were not made because a budget was used up, as a range of event times that a backfill can fill."""

RESERVATION_TTL = timedelta(minutes=15)
"""Longer than any run takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSkip:
    """Runs of one evaluation that were not made because a budget was used up.

    Attributes:
        owner: whose budget: `evaluation:<id>` or `team:<id>`.
        first_event_at, last_event_at: times of the events; what a backfill has to cover.
    """

    team_id: int
    evaluation_id: str
    owner: str
    period_start: datetime
    first_event_at: datetime
    last_event_at: datetime
    runs: int
    updated_at: datetime


def evaluation_scope(evaluation_id: str, budget: Budget) -> BudgetScope:
    """Return the scope of an evaluation's own budget."""
    return _scope(f"evaluation:{evaluation_id}", budget)


def team_scope(team_id: int, budget: Budget) -> BudgetScope:
    """Return the scope of the budget that all judges of a team share."""
    return _scope(f"team:{team_id}", budget)


def scopes_of(definition: Evaluation, config: EvaluationConfig | None) -> tuple[BudgetScope, ...]:
    """Return the budgets that a run of `definition` draws on: its own, and its team's.

    Args:
        config: the team's; None if the team has none yet.
    """
    found = []
    if definition.budget is not None:
        found.append(evaluation_scope(definition.id, definition.budget))
    if config is not None and config.budget is not None:
        found.append(team_scope(definition.team_id, Budget.model_validate(dict(config.budget))))
    return tuple(found)


def _scope(owner: str, budget: Budget) -> BudgetScope:
    micro_usd = None if budget.usd is None else int(budget.usd * MICROS)
    return BudgetScope(owner=owner, period=budget.period, tokens=budget.tokens, micro_usd=micro_usd)


class Budgets:
    """Repository of what budgets have used. Each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, scopes: Sequence[BudgetScope], amount: Amount, now: datetime) -> BudgetReservation:
        """Set `amount` aside in every scope, or in none.

        Raises:
            OverBudget: a limit does not hold it.
            BudgetBusy: it may, once others have settled.
        """
        identity = str(uuid.uuid4())
        held: list[tuple[str, str]] = []
        with self._database.write() as connection:
            # One order for all, so that no two reservations wait for each other.
            for scope in sorted(scopes, key=lambda scope: scope.owner):
                start = period_start(scope.period, now)
                _expire(connection, scope.owner, now)
                _take(connection, scope, start, amount, now)
                connection.execute(
                    insert(budget_reservations).values(
                        id=identity,
                        owner=scope.owner,
                        period_start=start,
                        tokens=amount.tokens,
                        micro_usd=amount.micro_usd,
                        expires_at=now + RESERVATION_TTL,
                    )
                )
                held.append((scope.owner, start.isoformat()))
        return BudgetReservation(identity, tuple(held), amount)

    def settle(self, reservation: BudgetReservation, used: Amount) -> None:
        """Replace the reservation by the actual use. A second call counts nothing; late use still counts."""
        with self._database.write() as connection:
            for owner, start in sorted(reservation.scopes):
                gone = connection.execute(
                    delete(budget_reservations).where(
                        budget_reservations.c.id == reservation.id, budget_reservations.c.owner == owner
                    )
                )
                if gone.rowcount:
                    _add(connection, owner, datetime.fromisoformat(start), used, freed=reservation.amount)
                elif used.tokens or used.micro_usd:
                    _add(connection, owner, datetime.fromisoformat(start), used, freed=Amount(0, 0))

    def usage(self, scope: BudgetScope, now: datetime) -> Usage:
        """Return what the scope has used and reserved in the period of `now`."""
        with self._database.read() as connection:
            return _usage(connection, scope.owner, period_start(scope.period, now))

    def used(self, periods: Sequence[datetime]) -> dict[tuple[str, datetime], Usage]:
        """Return what all scopes have used in the periods that begin at these moments, by owner and beginning."""
        query = select(budget_usage).where(budget_usage.c.period_start.in_(periods))
        with self._database.read() as connection:
            return {
                (row.owner, row.period_start): Usage(
                    row.used_tokens, row.used_micro_usd, row.reserved_tokens, row.reserved_micro_usd
                )
                for row in connection.execute(query)
            }

    def note_skip(
        self, team_id: int, evaluation_id: str, scope: BudgetScope, event_at: datetime, *, now: datetime, runs: int = 1
    ) -> None:
        """Remember that runs were not made because `scope` was used up."""
        table = budget_skips
        values = {
            "team_id": team_id,
            "evaluation_id": evaluation_id,
            "owner": scope.owner,
            "period_start": period_start(scope.period, now),
            "first_event_at": event_at,
            "last_event_at": event_at,
            "runs": runs,
            "updated_at": now,
        }
        with self._database.write() as connection:
            on_postgres = connection.dialect.name == "postgresql"
            least, most = (func.least, func.greatest) if on_postgres else (func.min, func.max)
            new = (postgresql if on_postgres else sqlite).insert(table).values(values)
            connection.execute(
                new.on_conflict_do_update(
                    index_elements=["evaluation_id", "owner", "period_start"],
                    set_={
                        "first_event_at": least(table.c.first_event_at, new.excluded.first_event_at),
                        "last_event_at": most(table.c.last_event_at, new.excluded.last_event_at),
                        "runs": table.c.runs + new.excluded.runs,
                        "updated_at": now,
                    },
                )
            )

    def skips(self, team_id: int, evaluation_id: str | None = None, *, limit: int = 100) -> list[BudgetSkip]:
        """Return the ranges that were skipped, newest first."""
        wanted: list[ColumnElement[bool]] = [budget_skips.c.team_id == team_id]
        if evaluation_id is not None:
            wanted.append(budget_skips.c.evaluation_id == evaluation_id)
        statement = select(budget_skips).where(*wanted).order_by(budget_skips.c.first_event_at.desc()).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(statement).mappings().all()
        return [BudgetSkip(**{name: row[name] for name in BudgetSkip.__dataclass_fields__}) for row in rows]

    def ranges_over_budget(self, evaluation_id: str) -> list[BudgetSkip]:
        """Return the ranges of one evaluation that were skipped and not filled since, oldest first, whosever it is."""
        statement = select(budget_skips).where(budget_skips.c.evaluation_id == evaluation_id)
        with self._database.read() as connection:
            rows = connection.execute(statement.order_by(budget_skips.c.first_event_at)).mappings().all()
        return [BudgetSkip(**{name: row[name] for name in BudgetSkip.__dataclass_fields__}) for row in rows]

    def forget_skips(self, skips: Sequence[BudgetSkip]) -> None:
        """Forget ranges that were filled. One that has grown meanwhile stays."""
        column = budget_skips.c
        with self._database.write() as connection:
            for skip in skips:
                connection.execute(
                    delete(budget_skips).where(
                        column.evaluation_id == skip.evaluation_id,
                        column.owner == skip.owner,
                        column.period_start == skip.period_start,
                        column.runs == skip.runs,
                        column.updated_at == skip.updated_at,
                    )
                )


def _at(owner: str, start: datetime) -> ColumnElement[bool]:
    return and_(budget_usage.c.owner == owner, budget_usage.c.period_start == start)


def _take(connection: Connection, scope: BudgetScope, start: datetime, amount: Amount, now: datetime) -> None:
    """Reserve in one scope by one conditional update, which makes its row if need be."""
    table = budget_usage.c
    wanted = [_at(scope.owner, start)]
    if scope.tokens is not None:
        wanted.append(table.used_tokens + table.reserved_tokens + amount.tokens <= scope.tokens)
    if scope.micro_usd is not None:
        wanted.append(table.used_micro_usd + table.reserved_micro_usd + amount.micro_usd <= scope.micro_usd)
    reserve = (
        update(budget_usage)
        .where(*wanted)
        .values(
            reserved_tokens=table.reserved_tokens + amount.tokens,
            reserved_micro_usd=table.reserved_micro_usd + amount.micro_usd,
        )
    )
    if connection.execute(reserve).rowcount:
        return
    _make_row(connection, scope.owner, start)
    if connection.execute(reserve).rowcount:
        return
    check(scope, _usage(connection, scope.owner, start), amount, now)
    raise BudgetBusy  # between the update and the look at it others settled: asked again, there is room


def _make_row(connection: Connection, owner: str, start: datetime) -> None:
    zeros = dict.fromkeys(("used_tokens", "used_micro_usd", "reserved_tokens", "reserved_micro_usd"), 0)
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"owner": owner, "period_start": start, **zeros}
    connection.execute(dialect.insert(budget_usage).values(row).on_conflict_do_nothing())


def _usage(connection: Connection, owner: str, start: datetime) -> Usage:
    row = connection.execute(select(budget_usage).where(_at(owner, start))).one_or_none()
    if row is None:
        return Usage()
    return Usage(row.used_tokens, row.used_micro_usd, row.reserved_tokens, row.reserved_micro_usd)


def _expire(connection: Connection, owner: str, now: datetime) -> None:
    table = budget_reservations.c
    expired = delete(budget_reservations).where(table.owner == owner, table.expires_at < now)
    for row in connection.execute(expired.returning(table.period_start, table.tokens, table.micro_usd)):
        _add(connection, owner, row.period_start, Amount(0, 0), freed=Amount(row.tokens, row.micro_usd))


def _add(connection: Connection, owner: str, start: datetime, used: Amount, *, freed: Amount) -> None:
    table = budget_usage.c
    connection.execute(
        update(budget_usage)
        .where(_at(owner, start))
        .values(
            used_tokens=table.used_tokens + used.tokens,
            used_micro_usd=table.used_micro_usd + used.micro_usd,
            reserved_tokens=table.reserved_tokens - freed.tokens,
            reserved_micro_usd=table.reserved_micro_usd - freed.micro_usd,
        )
    )
