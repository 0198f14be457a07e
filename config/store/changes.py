"""What changed in the store since a processor looked last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError

from config.definitions import DefinitionError, Evaluation, load_stored
from config.store.engine import Database, StoreSchemaError
from config.store.revision import Revision, changed_teams, read_revision
from config.store.tables import evaluations


@dataclass(frozen=True, slots=True)
class TeamDefinitions:
    """A team's evaluations by creation, without deleted ones; those that cannot be read by id, with the reason."""

    evaluations: tuple[Evaluation, ...]
    unreadable: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """Definitions of the teams that changed.

    Attributes:
        complete: the teams are all teams: what was known before is void.
    """

    revision: Revision
    teams: Mapping[int, TeamDefinitions]
    complete: bool


def read_changes(database: Database, since: Revision | None) -> Changes | None:
    """Return what changed after `since`, or None if nothing did.

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
            complete = since is None or revision.store_id != since.store_id or revision.number < since.number
            statement = select(evaluations).where(evaluations.c.deleted.is_(False))
            found: dict[int, tuple[list[Evaluation], dict[str, str]]] = {}
            if not complete and since is not None:
                teams = changed_teams(connection, since.number)
                # A team whose last evaluation was deleted is there too, with none.
                found = {team_id: ([], {}) for team_id in teams}
                statement = statement.where(evaluations.c.team_id.in_(teams))
            columns = Evaluation.model_fields
            for row in connection.execute(statement.order_by(evaluations.c.created_at, evaluations.c.id)).mappings():
                readable, unreadable = found.setdefault(row["team_id"], ([], {}))
                try:
                    readable.append(load_stored({name: row[name] for name in columns}))
                except DefinitionError as error:
                    unreadable[row["id"]] = str(error)
    except ProgrammingError as error:
        raise StoreSchemaError("the definition store lacks a table; run `gavel init`") from error
    return Changes(
        revision, {team_id: TeamDefinitions(tuple(good), bad) for team_id, (good, bad) in found.items()}, complete
    )
