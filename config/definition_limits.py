"""How large a definition may be, so that one team's definitions cannot slow the processing of another team's events.

A limit is checked when a definition is saved. A definition that was saved before the limit was lowered still loads
and runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from conditions.model import ConditionSet, filters_of
from config.definition_errors import DefinitionError
from config.definitions import EvaluationDraft, to_raw
from config.settings.sections import Definitions


def check_draft(draft: EvaluationDraft, limits: Definitions) -> None:
    """Check the conditions and the size of a definition.

    Raises:
        DefinitionError: names the place, the limit and its setting.
    """
    check_conditions(draft.conditions, limits)
    size = len(json.dumps(to_raw(draft), ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > limits.max_bytes:
        raise _over("The definition", f"{size} bytes of JSON", "max_bytes", limits.max_bytes, path=())


def check_conditions(conditions: Sequence[ConditionSet], limits: Definitions) -> None:
    """Check the numbers of condition sets, filters and values.

    Raises:
        DefinitionError: on `conditions`; names the place, the limit and its setting.
    """
    if len(conditions) > limits.max_condition_sets:
        raise _over("conditions", f"{len(conditions)} condition sets", "max_condition_sets", limits.max_condition_sets)
    filters = [(index, found) for index, each in enumerate(conditions) for found in filters_of(each.properties)]
    if len(filters) > limits.max_filters:
        raise _over("conditions", f"{len(filters)} filters in all", "max_filters", limits.max_filters)
    expressions = sum(found.type == "hogql" for _, found in filters)
    if expressions > limits.max_hogql_filters:
        raise _over("conditions", f"{expressions} hogql filters", "max_hogql_filters", limits.max_hogql_filters)
    for index, found in filters:
        values = len(found.value) if isinstance(found.value, list | tuple) else 1
        if values > limits.max_values:
            place = f"conditions[{index}], the filter on {found.key[:80]!r},"
            raise _over(place, f"{values} values", "max_values", limits.max_values)


def check_count(existing: int, limits: Definitions) -> None:
    """Check that a team with `existing` evaluations may have one more.

    Raises:
        DefinitionError: names the limit and its setting.
    """
    if existing >= limits.max_evaluations_per_team:
        raise DefinitionError(
            f"The team has {existing} evaluations, and definitions.max_evaluations_per_team is "
            f"{limits.max_evaluations_per_team}; delete some, or raise the setting.",
            code="limit",
        )


def _over(
    place: str, found: str, setting: str, limit: int, *, path: tuple[str, ...] = ("conditions",)
) -> DefinitionError:
    text = f"{place} has {found}, and definitions.{setting} is {limit}; use fewer, or raise the setting."
    return DefinitionError(text, path=path, code="limit")
