"""Checks of definitions while somebody writes them, and names and values that their conditions may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from api.services.resources import Services
from conditions.operators import Operator
from config.definition_errors import DefinitionError
from config.definitions import Evaluation, EvaluationDraft, parse_draft, to_raw
from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, compile_program
from evaluators.llm_judge.providers import PROVIDERS
from storage.clickhouse.suggestions import property_names, property_values

OPERATORS: tuple[str, ...] = get_args(Operator)
PROVIDER_NAMES: tuple[str, ...] = tuple(PROVIDERS)
MAX_CHECKED = 50_000
"""Characters of code that are compiled while somebody types."""


@dataclass(frozen=True, slots=True)
class DraftProblem:
    """Something that is wrong with a draft.

    Attributes:
        field: such as `evaluation_config__source`.
        line, column: in the code, counted from 1; None elsewhere.
    """

    message: str
    field: str
    line: int | None = None
    column: int | None = None


def check_code(source: str) -> list[DraftProblem]:
    """Return the compile error of Hog code with its place; an empty list if there is none."""
    if len(source) > MAX_CHECKED:
        return []
    try:
        compile_program(source, known_globals=EVALUATOR_GLOBALS)
    except HogCompileError as error:
        return [DraftProblem(error.message, "evaluation_config__source", error.line, error.column)]
    return []


def check_draft(raw: Mapping[str, Any]) -> tuple[EvaluationDraft | None, list[DraftProblem]]:
    """Return the draft that `raw` is, or the problems that keep it from being one."""
    try:
        return parse_draft(dict(raw)), []
    except DefinitionError as error:
        config = raw.get("evaluation_config")
        if (
            raw.get("evaluation_type") == "hog"
            and isinstance(config, Mapping)
            and error.path[:1] == ("evaluation_config",)
        ):
            found = check_code(str(config.get("source", "")))
            if found:
                return None, found
        return None, [DraftProblem(error.message, "__".join(map(str, error.path)))]


def as_raw(evaluation: Evaluation) -> dict[str, Any]:
    """Return the fields of a definition as JSON values."""
    return to_raw(evaluation)


def names_in_use(services: Services, session: str, team_id: int) -> list[str]:
    """Return the names of properties of the newest generations of the last 7 days, the most frequent first."""
    with services.pages.client(session) as client:
        return property_names(client, team_id)


def values_in_use(services: Services, session: str, team_id: int, name: str) -> list[str]:
    """Return the most frequent values of a property of the newest generations of the last 7 days."""
    with services.pages.client(session) as client:
        return property_values(client, team_id, name[:200])
