"""Condition sets and filters as they are written in a definition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, field_validator, model_validator

from conditions.checks import check_value, shown
from conditions.errors import ConditionError
from conditions.operators import Operator

CompileExpression = Callable[[str], Callable[[Mapping[str, object]], object]]
"""Compiles a Hog expression. It is injected, because this room imports no other. Any exception refuses the source."""

EXPRESSION_GLOBALS = frozenset({"properties", "person", "event", "distinct_id"})
"""Globals of a Hog expression in a filter of type `hogql`."""

FilterType = Literal["event", "person", "group", "event_metadata", "hogql"]
METADATA_FIELDS = ("event", "distinct_id", "timestamp", "person_id", "person_mode")

_REFUSED_TYPES = {
    "cohort": "cohort membership is not in the event; filter on a person property instead",
    "session": "session properties are not in the event; filter on an event property instead",
    "element": "generations have no elements; filter on an event property instead",
}
_MAX_GROUP_DEPTH = 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Filter(_Frozen):
    """One filter. `type: hogql` holds a Hog expression in `key`; its operator and value say nothing."""

    key: str
    operator: Operator = "exact"
    value: Any = None
    type: FilterType = "event"
    group_type_index: Annotated[int, Field(strict=True, ge=0, le=4)] | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _known_type(cls, value: object) -> object:
        known = get_args(FilterType)
        if value in known:
            return value
        reason = _REFUSED_TYPES.get(value, "it is unknown") if isinstance(value, str) else "it is unknown"
        raise ValueError(f"filter type {shown(value)} cannot be used: {reason} (known: {', '.join(known)})")

    @model_validator(mode="after")
    def _coherent(self) -> Filter:
        if self.type == "hogql":
            if not self.key.strip():
                raise ValueError("a hogql filter needs a Hog expression as its key")
            return self
        if self.type == "group" and self.group_type_index is None:
            raise ValueError("a filter of type group needs group_type_index, 0 to 4")
        if self.type != "group" and self.group_type_index is not None:
            raise ValueError(f"group_type_index belongs to type group, not to type {self.type}; leave it out")
        if self.type == "event_metadata" and self.key not in METADATA_FIELDS:
            raise ValueError(f"the row has no metadata field {shown(self.key)}; it has {', '.join(METADATA_FIELDS)}")
        check_value(self.operator, self.value)
        return self


class FilterGroup(_Frozen):
    """Filters joined by AND or OR; a group may hold groups."""

    type: Literal["AND", "OR"]
    values: tuple[FilterNode, ...] = Field(min_length=1)


def _node_tag(value: object) -> str:
    grouped = isinstance(value, FilterGroup) or (
        isinstance(value, Mapping) and ("values" in value or value.get("type") in ("AND", "OR"))
    )
    return "group" if grouped else "filter"


FilterNode = Annotated[
    Annotated[Filter, Tag("filter")] | Annotated[FilterGroup, Tag("group")],
    Discriminator(_node_tag),
]

FilterGroup.model_rebuild()


class ConditionSet(_Frozen):
    """Filters that must all hold, and the percentage of such events that is taken."""

    id: str = Field(max_length=100)
    rollout_percentage: float = Field(default=100, ge=0, le=100, strict=True, allow_inf_nan=False)
    properties: tuple[FilterNode, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The unit that a matcher decides about: the conditions of one evaluation.

    Attributes:
        id: of the evaluation; part of the sampling key of cohort `independent`.
        cohort: `shared` samples the same events for all evaluations, `independent` other ones for each.
    """

    id: str
    conditions: tuple[ConditionSet, ...]
    enabled: bool = True
    cohort: Literal["shared", "independent"] = "shared"


ALL_EVENTS = (ConditionSet(id="default"),)
"""The conditions of an evaluation that gives none: every event of the team."""


def parse_conditions(raw: object, *, compile_expression: CompileExpression | None = None) -> tuple[ConditionSet, ...]:
    """Read an evaluation's `conditions`; None stands for `ALL_EVENTS`.

    Args:
        raw: decoded JSON or YAML.
        compile_expression: checks filters of type hogql; without it they are refused.

    Raises:
        ConditionError: names the set, the filter and the remedy.
    """
    if raw is None:
        return ALL_EVENTS
    if not isinstance(raw, list | tuple):
        raise ConditionError("conditions", f"must be a list of condition sets, got {shown(raw)}")
    sets = []
    for index, item in enumerate(raw):
        path = f"conditions[{index}]"
        _check_depth(path, item)
        try:
            parsed = ConditionSet.model_validate(item)
        except ValidationError as error:
            raise _as_condition_error(path, error) from error
        for position, node in enumerate(parsed.properties):
            _check_expressions(f"{path}.properties[{position}]", node, compile_expression)
        sets.append(parsed)
    return tuple(sets)


def _check_depth(path: str, item: object) -> None:
    level = list(item["properties"]) if isinstance(item, Mapping) and _is_list(item.get("properties")) else []
    for _ in range(_MAX_GROUP_DEPTH):
        level = [
            inner
            for node in level
            if isinstance(node, Mapping) and _is_list(node.get("values"))
            for inner in node["values"]
        ]
        if not level:
            return
    raise ConditionError(path, f"groups are nested deeper than {_MAX_GROUP_DEPTH} levels; flatten them")


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _check_expressions(path: str, node: Filter | FilterGroup, compile_expression: CompileExpression | None) -> None:
    if isinstance(node, FilterGroup):
        for index, inner in enumerate(node.values):
            _check_expressions(f"{path}.values[{index}]", inner, compile_expression)
    elif node.type == "hogql":
        compile_filter(path, node, compile_expression)


def compile_filter(
    path: str, node: Filter, compile_expression: CompileExpression | None
) -> Callable[[Mapping[str, object]], object]:
    """Compile the expression of a hogql filter.

    Raises:
        ConditionError: it does not compile, or there is no compiler.
    """
    if compile_expression is None:
        raise ConditionError(path, 'filter type "hogql" needs the Hog compiler, which is not available here')
    try:
        return compile_expression(node.key)
    except Exception as error:  # whatever the injected compiler raises, it refuses the source
        raise ConditionError(path, f"the Hog expression {shown(node.key)} does not compile: {error}") from error


def _as_condition_error(path: str, error: ValidationError) -> ConditionError:
    fault = error.errors(include_url=False)[0]
    for part in fault["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part not in ("filter", "group"):
            path += f".{part}"
    return ConditionError(path, _problem(fault["type"], fault["msg"], fault.get("input"), fault.get("ctx") or {}))


def _problem(kind: str, message: str, given: object, context: Mapping[str, Any]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is missing; add it"
    if kind == "extra_forbidden":
        return "is not a known field; check its spelling or leave it out"
    if kind == "literal_error":
        return f"{shown(given)} is not one of {context['expected']}"
    return f"{message[:1].lower()}{message[1:]}, got {shown(given)}"


def filters_of(nodes: Sequence[Filter | FilterGroup]) -> list[Filter]:
    """Return all filters of a condition set, those inside groups too, in their order."""
    found: list[Filter] = []
    for node in nodes:
        found.extend(filters_of(node.values) if isinstance(node, FilterGroup) else (node,))
    return found
