"""All evaluations of a team in outline, for lists: their names, their states, and how their verdicts read.

Conditions, prompts and code are left out, so that ten thousand are read in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from storage.sql.engine import Database
from storage.sql.evaluation_changes import evaluations
from storage.sql.revision import team_revisions


@dataclass(frozen=True, slots=True)
class Outline:
    """One evaluation in outline. `output_config` is as it was stored."""

    id: str
    name: str
    evaluation_type: str
    status: str
    status_reason: str | None
    status_reason_detail: str | None
    output_type: str
    output_config: Mapping[str, Any]
    budget: Mapping[str, Any] | None
    version: int
    fingerprint: str
    created_at: datetime
    updated_at: datetime


_COLUMNS = tuple(evaluations.c[name] for name in Outline.__dataclass_fields__)


class Outlines:
    """Reads outlines."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def revision(self, team_id: int) -> int:
        """Return the revision at which the team's definitions changed last; 0 for a team without any."""
        query = select(team_revisions.c.revision).where(team_revisions.c.team_id == team_id)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one_or_none() or 0)

    def all(self, team_id: int) -> list[Outline]:
        """Return the team's evaluations by name, without deleted ones."""
        query = select(*_COLUMNS).where(evaluations.c.team_id == team_id, evaluations.c.deleted.is_(False))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(evaluations.c.name, evaluations.c.id)).all()
        return [Outline(*row) for row in rows]

    def some(self, team_id: int, ids: Collection[str]) -> list[Outline]:
        """Return those of the team's evaluations that have one of these ids, deleted ones too, in no order."""
        query = select(*_COLUMNS).where(evaluations.c.team_id == team_id, evaluations.c.id.in_(ids))
        with self._database.read() as connection:
            return [Outline(*row) for row in connection.execute(query).all()]

    def with_budget(self, *, limit: int) -> list[tuple[int, Outline]]:
        """Return evaluations of all teams that have a budget of their own, each with its team."""
        wanted = (evaluations.c.deleted.is_(False), evaluations.c.budget.is_not(None))
        query = select(evaluations.c.team_id, *_COLUMNS).where(*wanted).order_by(evaluations.c.id).limit(limit)
        with self._database.read() as connection:
            return [(row[0], Outline(*row[1:])) for row in connection.execute(query).all()]
