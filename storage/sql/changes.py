"""Changes in the store since the last look of a processor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, select
from sqlalchemy.exc import ProgrammingError

from config.definition_errors import DefinitionError
from config.definitions import Evaluation, load_stored
from storage.sql.engine import Database, StoreSchemaError
from storage.sql.evaluation_changes import evaluations
from storage.sql.revision import Revision, changed_teams, read_revision


@dataclass(frozen=True, slots=True)
class TeamDefinitions:
    """The definitions that were read of a team.

    Attributes:
        evaluations: by creation, without deleted ones.
        unreadable: by id, with the reason.
        deleted: ids of evaluations that are gone. It is empty after a full read, where
            a missing evaluation is a deleted one.
    """

    evaluations: tuple[Evaluation, ...]
    unreadable: Mapping[str, str]
    deleted: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Changes:
    """Definitions that changed, by team.

    Attributes:
        teams: all that changed, even if none of their evaluations did.
        complete: these are all definitions of the store; earlier ones are void.
    """

    revision: Revision
    teams: Mapping[int, TeamDefinitions]
    complete: bool


def read_changes(database: Database, since: Revision | None) -> Changes | None:
    """Return what changed after `since`, or None if nothing did. Reads only the evaluations that changed.

    Everything is read in one transaction, so the definitions are those of the revision. Without `since`,
    or if the store was replaced or restored to an earlier state, everything is returned.

    Raises:
        StoreError: the store is not there, or is not set up. Never taken for "no evaluations".
    """
    try:
        with database.read() as connection:
            revision = read_revision(connection)
            if revision == since:
                return None
            if since is None or revision.store_id != since.store_id or revision.number < since.number:
                rows = _read_rows(connection, evaluations.c.deleted.is_(False))
                return Changes(revision, _by_team([], rows), complete=True)
            rows = _read_rows(connection, evaluations.c.revision > since.number)
            return Changes(revision, _by_team(changed_teams(connection, since.number), rows), complete=False)
    except ProgrammingError as error:
        raise StoreSchemaError("the definition store lacks a table; run `gavel init`") from error


def _read_rows(connection: Connection, which: ColumnElement[bool]) -> Iterable[RowMapping]:
    statement = select(evaluations).where(which).order_by(evaluations.c.created_at, evaluations.c.id)
    return connection.execute(statement).mappings()


def _by_team(teams: Iterable[int], rows: Iterable[RowMapping]) -> dict[int, TeamDefinitions]:
    readable: dict[int, list[Evaluation]] = {team_id: [] for team_id in teams}
    unreadable: dict[int, dict[str, str]] = defaultdict(dict)
    deleted: dict[int, set[str]] = defaultdict(set)
    columns = Evaluation.model_fields
    for row in rows:
        found = readable.setdefault(row["team_id"], [])
        if row["deleted"]:
            deleted[row["team_id"]].add(row["id"])
            continue
        try:
            found.append(load_stored({name: row[name] for name in columns}))
        except DefinitionError as error:
            unreadable[row["team_id"]][row["id"]] = str(error)
    return {
        team_id: TeamDefinitions(tuple(found), unreadable.get(team_id, {}), frozenset(deleted.get(team_id, ())))
        for team_id, found in readable.items()
    }
