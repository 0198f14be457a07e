"""Conditions decided as the specification reads: slowly, filter by filter, with everything seen on the way.

This is the executable form of the specification. `explain` shows what it saw; the compiled matcher is held
equal to it.

A filter holds, fails, or has an error: its expression raised, or the person or group JSON that it needs is
broken. An error counts only where it can change the answer: in an AND without a failure, in an OR without
a filter that holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from conditions import dates
from conditions.errors import RowError
from conditions.model import CompileExpression, ConditionSet, Filter, FilterGroup, Target, compile_filter
from conditions.operators import holds
from conditions.rollout import independent_key, rollout_number, rollout_takes
from conditions.row import EventRow, decode_object

Outcome = Literal["matched", "filtered", "sampled_out", "disabled", "no_conditions", "error"]
Truth = Literal["holds", "fails", "error"]


@dataclass(frozen=True, slots=True)
class FilterTrace:
    """The outcome of one filter.

    Attributes:
        value: the field's value; None if it is absent, or the filter is an expression.
        error: what went wrong, for `outcome` error.
    """

    filter: Filter
    value: object
    outcome: Truth
    error: str | None = None


@dataclass(frozen=True, slots=True)
class GroupTrace:
    """The outcome of a group, and of each member."""

    type: Literal["AND", "OR"]
    members: tuple[FilterTrace | GroupTrace, ...]
    outcome: Truth


@dataclass(frozen=True, slots=True)
class SetTrace:
    """The outcome of a condition set.

    Attributes:
        filters: whether all filters hold.
        sampled_in: whether the rollout takes the event.
    """

    id: str
    rollout_percentage: float
    sampled_in: bool
    filters: Truth
    members: tuple[FilterTrace | GroupTrace, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one evaluation for one event.

    Attributes:
        condition_id: of the set that won, else None.
        rollout: where the event falls, 0.00 … 99.99.
        sets: all of them, also those after the winner.
    """

    outcome: Outcome
    condition_id: str | None
    rollout: float
    sets: tuple[SetTrace, ...]


def interpret(target: Target, fields: RowFields, *, compile_expression: CompileExpression | None = None) -> Decision:
    """Decide about one evaluation and the event whose fields these are.

    Raises:
        ConditionError: a hogql filter, and no `compile_expression`.
    """
    key = independent_key(target.id, fields.uuid) if target.cohort == "independent" else fields.uuid
    number = rollout_number(key)
    sets = tuple(_trace_set(item, fields, number, compile_expression) for item in target.conditions)
    if not target.enabled:
        return Decision("disabled", None, number, sets)
    if not sets:
        return Decision("no_conditions", None, number, sets)
    for trace in sets:
        # A set that the rollout leaves out cannot win, so errors in its filters do not count.
        if trace.sampled_in and trace.filters == "holds":
            return Decision("matched", trace.id, number, sets)
        if trace.sampled_in and trace.filters == "error":
            return Decision("error", None, number, sets)
    held = any(trace.filters == "holds" for trace in sets)
    return Decision("sampled_out" if held else "filtered", None, number, sets)


def _trace_set(
    item: ConditionSet, fields: RowFields, number: float, compile_expression: CompileExpression | None
) -> SetTrace:
    members = tuple(_trace(node, fields, compile_expression) for node in item.properties)
    sampled_in = rollout_takes(number, item.rollout_percentage)
    return SetTrace(item.id, item.rollout_percentage, sampled_in, _all_of([m.outcome for m in members]), members)


def _trace(
    node: Filter | FilterGroup, fields: RowFields, compile_expression: CompileExpression | None
) -> FilterTrace | GroupTrace:
    if isinstance(node, FilterGroup):
        members = tuple(_trace(inner, fields, compile_expression) for inner in node.values)
        outcomes = [member.outcome for member in members]
        return GroupTrace(node.type, members, _all_of(outcomes) if node.type == "AND" else _any_of(outcomes))
    if node.type == "hogql":
        return _trace_expression(node, fields, compile_filter("conditions", node, compile_expression))
    try:
        x = fields.value(node)
    except RowError as error:
        return FilterTrace(node, None, "error", str(error))
    return FilterTrace(node, x, "holds" if holds(node.operator, x, node.value, fields.now) else "fails")


def _trace_expression(
    node: Filter, fields: RowFields, expression: Callable[[Mapping[str, object]], object]
) -> FilterTrace:
    outcome, problem = run_expression(expression, fields)
    return FilterTrace(node, None, outcome, problem)


def run_expression(expression: Callable[[Mapping[str, object]], object], fields: RowFields) -> tuple[Truth, str | None]:
    """Evaluate a Hog expression over an event: it holds exactly when it gives `true`.

    An expression is a user's program, so whatever it raises is that user's error, not this process's.
    """
    try:
        result = expression(fields.expression_globals())
    except RowError as error:
        return "error", str(error)
    except Exception as error:  # noqa: BLE001  # see above; the outcome `error` reports it
        return "error", f"{type(error).__name__}: {error}"
    return ("holds" if result is True else "fails"), None


def _all_of(outcomes: list[Truth]) -> Truth:
    if "fails" in outcomes:
        return "fails"
    return "error" if "error" in outcomes else "holds"


def _any_of(outcomes: list[Truth]) -> Truth:
    if "holds" in outcomes:
        return "holds"
    return "error" if "error" in outcomes else "fails"


class RowFields:
    """The fields of a row that filters can name, decoded when first asked for.

    Raises RowError on construction if the properties are not a JSON object, because nothing can be
    decided without them. Broken person or group properties are raised by `value`, for the filters that need them.
    """

    def __init__(self, row: EventRow) -> None:
        self._row = row
        self._objects: dict[str, dict[str, Any]] = {"properties": decode_object(row.properties, "properties")}
        self.uuid = row.uuid
        self.now = dates.instant_of(row.timestamp)

    def value(self, node: Filter) -> object:
        """Return the value of the field that a filter names; None if it is absent."""
        if node.type == "event_metadata":
            return getattr(self._row, node.key)
        if node.type == "event" and node.key == "$elements_chain":
            return self._row.elements_chain
        return self.decoded(object_field(node)).get(node.key)

    def decoded(self, field: str) -> dict[str, Any]:
        """Return a row's object, as `person_properties`, decoded."""
        if field not in self._objects:
            self._objects[field] = decode_object(getattr(self._row, field), field)
        return self._objects[field]

    def expression_globals(self) -> dict[str, object]:
        """Return the globals of a Hog expression: `EXPRESSION_GLOBALS`."""
        return {
            "properties": self.decoded("properties"),
            "person": {"id": self._row.person_id, "properties": self.decoded("person_properties")},
            "event": self._row.event,
            "distinct_id": self._row.distinct_id,
        }


def object_field(node: Filter) -> str:
    """Return the row's field whose object a filter of type event, person or group looks into."""
    if node.type == "group":
        return f"group{node.group_type_index}_properties"
    return "person_properties" if node.type == "person" else "properties"


def first_error(decision: Decision) -> str:
    """Return what went wrong in a decision whose outcome is `error`."""
    deciding = next(trace for trace in decision.sets if trace.sampled_in and trace.filters == "error")
    return next(trace.error for trace in _leaves(deciding.members) if trace.error is not None)


def _leaves(members: tuple[FilterTrace | GroupTrace, ...]) -> Iterator[FilterTrace]:
    for member in members:
        if isinstance(member, GroupTrace):
            yield from _leaves(member.members)
        else:
            yield member
