"""Events of the past for a preview: the newest that meet some conditions, with the matcher that also runs live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.http.errors import Invalid
from api.services.archive import Archive
from conditions import ConditionError, ConditionSet, EventRow, RowError, Target, compile_matcher, parse_conditions
from config.definition_errors import DefinitionError
from config.definition_limits import check_conditions
from config.definitions import check_condition
from config.settings.sections import Definitions
from evaluators.hog import compile_expression
from storage.clickhouse.rows import GENERATION, RowSelection, newest_rows

LOOK_BACK = timedelta(days=7)
MAX_SCANNED = 5_000
"""Events read in search of samples; conditions that meet fewer are not worth a longer wait."""
PREVIEW_CHARS = 200


@dataclass(frozen=True, slots=True)
class Samples:
    """Sampled rows, newest first; `message` says why there are none or fewer than asked for."""

    rows: tuple[EventRow, ...]
    message: str | None


def read_conditions(raw: Sequence[object], limits: Definitions) -> tuple[ConditionSet, ...]:
    """Return condition sets as a client wrote them, refused as a definition with them would be.

    Raises:
        Invalid: on `conditions`.
    """
    try:
        conditions = parse_conditions(list(raw), compile_expression=check_condition)
        check_conditions(conditions, limits)
    except (ConditionError, DefinitionError) as error:
        raise Invalid(str(error), attr="conditions") from error
    return conditions


def newest_generations(
    archive: Archive, team_id: int, conditions: Sequence[ConditionSet], count: int, *, now: datetime
) -> Samples:
    """Return up to `count` generations of the last 7 days that meet `conditions`, rollouts ignored.

    No conditions: any generation.
    """
    everything = ConditionSet(id="any")
    sets = tuple(each.model_copy(update={"rollout_percentage": 100.0}) for each in conditions) or (everything,)
    matcher = compile_matcher([Target(id="preview", conditions=sets)], compile_expression=compile_expression)
    found: list[EventRow] = []
    scanned = 0
    with archive.client() as client:
        for row in newest_rows(client, RowSelection(team_id, event=GENERATION, after=now - LOOK_BACK)):
            scanned += 1
            try:
                matched = bool(matcher.match(row).matched)
            except RowError:
                continue
            if matched:
                found.append(row)
            if len(found) == count or scanned == MAX_SCANNED:
                break
    return Samples(tuple(found), _message(len(found), count, scanned))


def _message(found: int, count: int, scanned: int) -> str | None:
    if found == count:
        return None
    if scanned == 0:
        return "No $ai_generation events in the last 7 days. Send some, then try again."
    where = f"the newest {scanned} events" if scanned == MAX_SCANNED else f"the {scanned} events of the last 7 days"
    if found == 0:
        return f"None of {where} meet the conditions."
    if found == scanned:
        return f"There are only {found} events of the last 7 days."
    return f"Only {found} of {where} meet the conditions."


def preview(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= PREVIEW_CHARS else text[:PREVIEW_CHARS]
