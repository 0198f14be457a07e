"""Checks of definitions while somebody writes them, and names and values that their conditions may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from api.services.resources import Services
from conditions.operators import LISTS as LISTS  # noqa: PLC0414  # the console reads it here
from conditions.operators import VALUELESS as VALUELESS  # noqa: PLC0414  # and this too
from conditions.operators import Operator
from config.definition_errors import DefinitionError
from config.definitions import Evaluation as Evaluation  # noqa: PLC0414  # and this too
from config.definitions import EvaluationDraft, parse_draft, to_raw
from config.files import FileProblem, read_one, write_definition
from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, compile_program
from evaluators.llm_judge.providers import PROVIDERS
from storage.clickhouse.suggestions import property_names, property_values

OPERATORS: tuple[str, ...] = get_args(Operator)
PROVIDER_NAMES: tuple[str, ...] = tuple(PROVIDERS)
MAX_CHECKED = 50_000
"""Characters of code, or of YAML, that are checked while somebody types."""


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


def check_code(source: str) -> list[DraftProblem] | None:
    """Return the compile error of Hog code with its place; an empty list without one, and None for long code."""
    if len(source) > MAX_CHECKED:
        return None
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


def read_yaml(text: str, stored: Evaluation | None) -> dict[str, Any] | DraftProblem:
    """Return the definition that a YAML text holds as JSON values, or what is wrong with it and where.

    Args:
        stored: the evaluation that is edited; None for a new one. The text may name its id and no other. Whether it is
            enabled or deleted must be as it is stored, because that is asked and confirmed elsewhere.
    """
    found = read_one(text)
    if isinstance(found, FileProblem):
        return DraftProblem(found.message, "", found.line or None, found.column or None)
    if found.id not in (None, stored.id if stored else None):
        return DraftProblem("The id is another evaluation's. Leave it out.", "id")
    raw = to_raw(found.draft)
    before = to_raw(stored) if stored else {}
    for name in ("enabled", "deleted"):
        if raw[name] != before.get(name, False):
            is_now = "true" if before.get(name, False) else "false"
            return DraftProblem(f"It must stay {is_now} here. The buttons below enable and pause.", name)
    return raw


def check_yaml(text: str) -> list[DraftProblem] | None:
    """Return the problem of a YAML text with its place; an empty list without one, and None for a long text."""
    if len(text) > MAX_CHECKED:
        return None
    found = read_one(text)
    return [DraftProblem(found.message, "", found.line, found.column)] if isinstance(found, FileProblem) else []


def as_yaml(evaluation: Evaluation) -> str:
    """Return a definition as `gavel evaluations export` writes it."""
    return write_definition(evaluation)


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
