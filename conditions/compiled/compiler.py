"""Compiles a team's evaluations to its matcher.

Every condition set gets a bit. Filters that are written alike are one filter with the bits of all sets
that have it. A filter that an index of the field can answer goes into the index. Every other filter becomes a check
that is made set by set, at most once per event.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from conditions import dates, versions
from conditions.compiled.codegen import make_look_up
from conditions.compiled.indexes import (
    Bound,
    BoundKind,
    EqualityIndex,
    Index,
    OrderIndex,
    ParsedIndex,
    RelativeDateIndex,
    indexable,
    is_gap,
    orderable,
)
from conditions.compiled.matcher import CannotTellError, Check, Matcher, MatchPlan, Reading
from conditions.compiled.plan import FieldPlan, memory_limit
from conditions.compiled.predicates import Test, compile_test, depends_on_time
from conditions.compiled.projection import make_reader
from conditions.compiled.sampling import SharedSampling
from conditions.interpreter import object_field, run_expression
from conditions.model import CompileExpression, Filter, FilterGroup, Target, compile_filter
from conditions.operators import ALIASES, NEGATIVES, VALUELESS, VERSION_RANGES, alternatives


def compile_matcher(
    targets: Sequence[Target],
    *,
    compile_expression: CompileExpression | None = None,
    carried: Mapping[str, str] | None = None,
) -> Matcher:
    """Build the matcher of a team's evaluations. Pure: it may run beside a stream that uses an older one.

    `carried`: properties that `MatchResult.properties` is to hold, by attribute; see `ObjectReader`.

    Raises:
        ConditionError: a hogql filter that does not compile, or no `compile_expression` for it.
    """
    return Matcher(_Compiler(targets, compile_expression, carried).plan())


@dataclass(slots=True)
class _Atom:
    """A distinct filter on a field: the sets that have it, and its check if no index answers it."""

    operator: str
    value: Any
    users: int = 0
    test: Test | None = None


@dataclass(slots=True)
class _FieldDraft:
    plan: FieldPlan
    atoms: dict[tuple[str, str], _Atom] = field(default_factory=dict)
    users: int = 0


class _Compiler:
    def __init__(
        self,
        targets: Sequence[Target],
        compile_expression: CompileExpression | None,
        carried: Mapping[str, str] | None,
    ) -> None:
        self._targets = tuple(targets)
        self._carried = carried
        self._compile = None if compile_expression is None else cache(compile_expression)
        self._sets = [
            (index, item) for index, target in enumerate(self._targets) if target.enabled for item in target.conditions
        ]
        self._everything = (1 << len(self._sets)) - 1
        self._fields: dict[tuple[str, str], _FieldDraft] = {}
        self._checks: list[list[Check]] = [[] for _ in self._sets]
        self._atom_places: list[tuple[_FieldDraft, _Atom, int]] = []
        self._shared_checks: dict[Any, Check] = {}
        self._loose = 0
        self._relative_dates: list[tuple[FieldPlan, RelativeDateIndex]] = []

    def plan(self) -> MatchPlan:
        for place, (_, item) in enumerate(self._sets):
            for node in item.properties:
                self._add(node, place)
        for draft in self._fields.values():
            self._finish(draft)
        for draft, atom, place in self._atom_places:
            if atom.test is not None:
                self._checks[place].append(self._check_of(draft.plan, atom, atom.test))
        readers, relative_dates = tuple(self._readers()), tuple(self._relative_dates)
        shared = [(i, item) for i, (t, item) in enumerate(self._sets) if not self._samples_alone(t)]
        return MatchPlan(
            targets=self._targets,
            owners=tuple(owner for owner, _ in self._sets),
            winners=tuple((owner, item.id) for owner, item in self._sets),
            percentages=tuple(item.rollout_percentage for _, item in self._sets),
            checks=tuple(tuple(checks) for checks in self._checks),
            readers=readers,
            look_up=make_look_up(tuple(reader for reader, _ in readers), self._everything, self._loose, relative_dates),
            sampling=SharedSampling([(item.rollout_percentage, 1 << place) for place, item in shared]),
            relative_dates=relative_dates,
            loose=self._loose,
            own=sum(1 << i for i, (t, _) in enumerate(self._sets) if self._samples_alone(t)),
            compile_expression=self._compile,
        )

    def _samples_alone(self, target: int) -> bool:
        return self._targets[target].cohort == "independent"

    def _readers(self) -> Iterator[Any]:
        parts: dict[str, list[_FieldDraft]] = defaultdict(list)
        parts["properties"] = []  # read even if no filter asks, so that broken properties are always found
        for (part, _), draft in self._fields.items():
            parts[part].append(draft)
        for part, drafts in parts.items():
            users = 0
            for draft in drafts:
                users |= draft.users
            carried = self._carried if part == "properties" else None
            # The look-up of an event ends where no set stands any more: what rules out the most comes first.
            drafts.sort(key=_ruled_out, reverse=True)
            yield make_reader(part, [draft.plan for draft in drafts], carried), users

    def _add(self, node: Filter | FilterGroup, place: int) -> None:
        if isinstance(node, FilterGroup):
            if node.type == "AND":
                for inner in node.values:
                    self._add(inner, place)
            else:
                self._add_loose(self._group_check(node, place), place)
        elif node.type == "hogql":
            self._add_loose(self._expression_check(node), place)
        else:
            draft = self._field_of(node, place)
            operator = ALIASES.get(node.operator, node.operator)
            key = (operator, "" if operator in VALUELESS else repr(node.value))
            atom = draft.atoms.get(key)
            if atom is None:
                atom = draft.atoms[key] = _Atom(operator, node.value)
            atom.users |= 1 << place
            self._atom_places.append((draft, atom, place))

    def _field_of(self, node: Filter, place: int) -> _FieldDraft:
        """Return the field that a filter looks at, noting that the set at `place` needs it."""
        if node.type == "event_metadata":
            where = ("row", node.key)
        elif node.type == "event" and node.key == "$elements_chain":
            where = ("row", "elements_chain")
        else:
            where = (object_field(node), node.key)
        draft = self._fields.get(where)
        if draft is None:
            draft = self._fields[where] = _FieldDraft(FieldPlan(*where))
        draft.users |= 1 << place
        return draft

    def _finish(self, draft: _FieldDraft) -> None:
        """Sort the filters of a field into indexes and tests."""
        absent = present = self._everything
        indexes = _Indexes(self._everything)
        tests: list[tuple[Test, int]] = []
        for atom in draft.atoms.values():
            if atom.operator not in NEGATIVES:
                absent &= ~atom.users
            if atom.operator == "is_not_set":
                present &= ~atom.users
            elif atom.operator != "is_set" and not indexes.take(atom.operator, atom.value, atom.users):
                atom.test = compile_test(atom.operator, atom.value)
                if depends_on_time(atom.operator, atom.value):
                    self._loose |= atom.users
                else:
                    tests.append((atom.test, atom.users))
        relative = indexes.relative_dates()
        if relative is not None:
            self._relative_dates.append((draft.plan, relative))
        draft.plan.fill(
            absent=absent,
            present=present,
            indexes=indexes.finish(),
            tests=tests,
            limit=memory_limit(len(self._fields), len(self._sets)),
            usual=_usual(draft.atoms.values()),
        )

    def _add_loose(self, check: Check, place: int) -> None:
        self._loose |= 1 << place
        self._checks[place].append(check)

    def _check_of(self, plan: FieldPlan, atom: _Atom, test: Test) -> Check:
        key = (plan, id(atom))
        check = self._shared_checks.get(key)
        if check is None:
            check = self._shared_checks[key] = _field_check(plan, test)
        return check

    def _group_check(self, group: FilterGroup, place: int) -> Check:
        members = [self._member_check(node, place) for node in group.values]
        if group.type == "AND":
            return lambda reading: all(member(reading) for member in members)
        return lambda reading: any(member(reading) for member in members)

    def _member_check(self, node: Filter | FilterGroup, place: int) -> Check:
        if isinstance(node, FilterGroup):
            return self._group_check(node, place)
        if node.type == "hogql":
            return self._expression_check(node)
        draft = self._field_of(node, place)
        return _field_check(draft.plan, compile_test(ALIASES.get(node.operator, node.operator), node.value))

    def _expression_check(self, node: Filter) -> Check:
        check = self._shared_checks.get(node.key)
        if check is None:
            expression = compile_filter("conditions", node, self._compile)

            def check(reading: Reading) -> bool:
                outcome, _ = run_expression(expression, reading.fields())
                if outcome == "error":
                    raise CannotTellError
                return outcome == "holds"

            self._shared_checks[node.key] = check
        return check


def _ruled_out(draft: _FieldDraft) -> int:
    """Return how many sets the filters `exact` of a field rule out even for the value that most of them ask for."""
    asking = [atom.users.bit_count() for atom in draft.atoms.values() if atom.operator == "exact"]
    return sum(asking) - max(asking, default=0)


def _usual(atoms: Iterable[_Atom]) -> str:
    """Return what most of a field's filters are about; see `FieldPlan`."""
    names = {bool: "truth", int: "number", float: "number"}
    values = [value for atom in atoms for value in alternatives(atom.value)]
    counts = Counter(names.get(type(value), "text") for value in values)
    return counts.most_common(1)[0][0] if counts else "text"


def _field_check(plan: FieldPlan, test: Test) -> Check:
    return lambda reading: test(reading.seen(plan))


_DATE_BOUNDS: dict[str, tuple[BoundKind, ...]] = {
    "is_date_exact": ("gte", "lte"),
    "is_date_before": ("lt",),
    "is_date_after": ("gt",),
}
_VERSION_BOUNDS: dict[str, tuple[BoundKind, ...]] = {
    "semver_eq": ("gte", "lte"),
    "semver_gt": ("gt",),
    "semver_gte": ("gte",),
    "semver_lt": ("lt",),
    "semver_lte": ("lte",),
}
_ORDER_BOUNDS: dict[str, BoundKind] = {"gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}


class _Indexes:
    """The indexes of one field while its filters are sorted into them."""

    def __init__(self, everything: int) -> None:
        self._everything = everything
        self._equal: list[EqualityIndex] = []
        self._unequal = EqualityIndex(everything, negative=True)
        self._order: list[Bound] = []
        self._gaps: list[tuple[Any, Any, int]] = []
        self._gap_users = 0
        self._dates: list[Bound] = []
        self._relative_dates: list[Bound] = []
        self._versions: list[Bound] = []

    def take(self, operator: str, value: Any, users: int) -> bool:
        """Index a filter, or return False: it needs a test."""
        values = alternatives(value)
        if operator in ("exact", "is_not"):
            return self._take_equality(operator, values, users)
        if operator == "between":
            self._order += [(value[0], "gte", users), (value[1], "lte", users)]
            return True
        if operator == "not_between":
            return self._take_gap(value[0], value[1], users)
        if operator == "semver_neq":
            self._versions += [(versions.parse_version(v), "ne", users) for v in values]
            return True
        if len(values) != 1:
            return False  # any of several bounds is not a bound
        only = values[0]
        if operator in _ORDER_BOUNDS and orderable(only):
            self._order.append((only, _ORDER_BOUNDS[operator], users))
        elif operator in _DATE_BOUNDS and dates.is_relative(only):
            self._relative_dates += [(only, kind, users) for kind in _DATE_BOUNDS[operator]]
        elif operator in _DATE_BOUNDS:
            self._dates += [(dates.instant_of(only), kind, users) for kind in _DATE_BOUNDS[operator]]
        elif operator in _VERSION_BOUNDS:
            self._versions += [(versions.parse_version(only), kind, users) for kind in _VERSION_BOUNDS[operator]]
        elif operator in VERSION_RANGES:
            low, high = VERSION_RANGES[operator](only) or (None, None)
            self._versions.append((low or versions.LOWEST, "gte", users))
            if high is not None:
                self._versions.append((high, "lt", users))
        else:
            return False
        return True

    def _take_equality(self, operator: str, values: Sequence[object], users: int) -> bool:
        if not all(map(indexable, values)):
            return False
        index = self._unequal if operator == "is_not" else self._equality_index(users)
        for v in values:
            index.add(v, users)
        return True

    def _take_gap(self, low: object, high: object, users: int) -> bool:
        if not is_gap(low, high) or self._gap_users & users:
            return False
        self._gaps.append((low, high, users))
        self._gap_users |= users
        return True

    def _equality_index(self, users: int) -> EqualityIndex:
        # A set with two `exact` filters on one field needs both, so they go to two indexes.
        for index in self._equal:
            if not index.users & users:
                return index
        self._equal.append(EqualityIndex(self._everything, negative=False))
        return self._equal[-1]

    def finish(self) -> list[Index]:
        """Return the indexes that hold something."""
        found: list[Index] = list(self._equal)
        if self._unequal.users:
            found.append(self._unequal)
        if self._order or self._gaps:
            found.append(OrderIndex(self._everything, self._order, self._gaps))
        if self._dates:
            found.append(ParsedIndex(self._everything, self._dates, dates.instant_of))
        if self._versions:
            found.append(ParsedIndex(self._everything, self._versions, versions.parse_version))
        return found

    def relative_dates(self) -> RelativeDateIndex | None:
        """Return the index of the relative dates, if there are any."""
        return RelativeDateIndex(self._everything, self._relative_dates) if self._relative_dates else None
