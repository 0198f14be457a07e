"""The matcher of a team: which evaluations an event runs.

1. Each field that a filter names is read once and looked up; the AND of the answers leaves the condition
   sets whose indexed filters hold (`conditions.indexes`).
2. One hash of the uuid gives the sets whose rollout takes the event.
3. What no index answers (regular expressions, groups with OR, expressions, …) is tested for the sets that
   are left: first for those that the rollout takes, then for those of evaluations without a winner, to
   tell `sampled_out` from `filtered`.
4. Where something could not be evaluated, the interpreter decides about that evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from conditions.dates import instant_of
from conditions.errors import RowError
from conditions.indexes import RelativeDateIndex
from conditions.interpreter import Fields, first_error, interpret
from conditions.masks import Families, Lookup, places
from conditions.model import CompileExpression, Target
from conditions.plan import FieldPlan
from conditions.predicates import Seen
from conditions.projection import Reader
from conditions.rollout import independent_key, rollout_number
from conditions.row import EventRow
from conditions.sampling import SharedSampling


class MatchResult(msgspec.Struct):
    """What became of an event. Enabled evaluations with conditions that are in none of the lists are filtered.

    Attributes:
        matched: index into the targets, and the id of the condition set that won.
        sampled_out: index of targets of which sets held, but none that the rollout takes.
        errors: index, and what went wrong.

    Each list is in the order of the targets.
    """

    matched: list[tuple[int, str]]
    sampled_out: list[int]
    errors: list[tuple[int, str]]


class CannotTellError(Exception):
    """A test met an error; what it means for the evaluation is the interpreter's to say."""


class Reading:
    """One event on its way through a matcher: what was read of it, and the tests that were made."""

    __slots__ = ("_fields", "_row", "_seen", "_views", "now", "results")

    def __init__(self, row: EventRow, views: Mapping[str, tuple[Reader, Any]]) -> None:
        self.results: dict[Check, bool] = {}
        self.now = instant_of(row.timestamp)
        self._row = row
        self._views = views
        self._seen: dict[FieldPlan, Seen] = {}
        self._fields: Fields | None = None

    def seen(self, field: FieldPlan) -> Seen:
        """Return a field's value."""
        found = self._seen.get(field)
        if found is None:
            reader, view = self._views[field.part]
            found = self._seen[field] = Seen(reader.value(view, field), self.now)
        return found

    def fields(self) -> Fields:
        """Return the row wholly decoded, as expressions and the interpreter want it."""
        if self._fields is None:
            self._fields = Fields(self._row)
        return self._fields


Check = Callable[[Reading], bool]
"""A filter or group that is tested set by set; CannotTellError if it met an error."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the compiler makes of a team's evaluations; a mask has one bit for each condition set, in order.

    Attributes:
        owners: of each set, the index of its target.
        winners: of each set, what it adds to `matched` if it wins.
        checks: of each set, what is to be tested one by one.
        readers: with the mask of the sets that need something of that part of the row.
        relative_dates: of each field that has some.
        dated: mask of the sets with such a date.
        loose: mask of the sets with checks that no field's memory can answer.
        own: mask of the sets that sample by their evaluation's own key.
    """

    targets: tuple[Target, ...]
    owners: tuple[int, ...]
    winners: tuple[tuple[int, str], ...]
    percentages: tuple[float, ...]
    checks: tuple[tuple[Check, ...], ...]
    readers: tuple[tuple[Reader, int], ...]
    sampling: SharedSampling
    relative_dates: tuple[tuple[FieldPlan, RelativeDateIndex], ...]
    dated: int
    loose: int
    own: int
    compile_expression: CompileExpression | None


class Matcher:
    """Decides for all evaluations of a team at once; made by `compile_matcher`, never changed after."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._everything = (1 << len(plan.owners)) - 1
        self._families = Families(plan.owners)
        self._winners = Lookup(plan.winners)
        self._owners = Lookup(plan.owners)

    def match(self, row: EventRow) -> MatchResult:
        """Match one event.

        Raises:
            RowError: the row's properties are no JSON object.
        """
        result = MatchResult([], [], [])
        if not self._everything:
            return result
        standing, undecided, broken, views = self._stand(row)
        if not standing:
            return result
        reading = Reading(row, views) if undecided | broken else None
        taken = self._plan.sampling.taken(row.uuid, standing)
        own = standing & self._plan.own
        if own:
            taken |= self._taken_alone(own, row.uuid)
        if reading is not None:
            standing = self._settle(standing, taken, undecided, broken, reading, result)
        won = standing & taken
        if won:
            result.matched += self._winners.of(self._families.firsts(won))
        if standing != won:
            rest = standing & ~self._families.whole(won)
            if rest and reading is not None:
                unclear: set[int] = set()
                rest &= ~self._failing(rest & undecided, reading, unclear)
                rest = self._interpret(unclear, rest, reading, result)
            if rest:
                result.sampled_out += self._owners.of(self._families.firsts(rest))
        if reading is not None:
            result.matched.sort()
            result.sampled_out.sort()
            result.errors.sort()
        return result

    def _stand(self, row: EventRow) -> tuple[int, int, int, dict[str, tuple[Reader, Any]]]:
        """Return three masks — sets that no index rules out; sets with filters that are still to be tested;
        sets that need a part of the row that is broken — and what was read.
        """
        standing, undecided, broken = self._everything, self._plan.loose, 0
        views = {}
        for reader, users in self._plan.readers:
            try:
                view = reader.read(row)
            except RowError:
                if reader.name == "properties":
                    raise
                broken |= users
                continue
            views[reader.name] = (reader, view)
            standing, undecided = reader.narrow(view, standing, undecided)
            if not standing:
                break
        if standing & self._plan.dated:
            standing = self._stand_at(instant_of(row.timestamp), standing, broken, views)
        return standing, undecided, broken, views

    def _stand_at(self, now: int | None, standing: int, broken: int, views: Mapping[str, tuple[Reader, Any]]) -> int:
        """Return `standing` without the sets that dates relative to the event's own time rule out."""
        for field, index in self._plan.relative_dates:
            if standing & index.users & ~broken:
                reader, view = views[field.part]
                standing &= index.standing(reader.value(view, field), now) | broken
        return standing

    def _taken_alone(self, sets: int, uuid: str) -> int:
        """Return those of `sets`, which sample by their evaluation's own key, that take the event."""
        taken = 0
        for place in places(sets):
            target = self._plan.targets[self._plan.owners[place]]
            if rollout_number(independent_key(target.id, uuid)) < self._plan.percentages[place]:
                taken |= 1 << place
        return taken

    def _settle(
        self, standing: int, taken: int, undecided: int, broken: int, reading: Reading, result: MatchResult
    ) -> int:
        """Test what no index answered for the sets that the rollout takes.

        Returns:
            `standing` without the sets that fail, and without those of evaluations about which the
            interpreter had to decide; their outcome is in `result`.
        """
        unclear = {self._plan.owners[place] for place in places(standing & broken)}
        standing &= ~self._failing(standing & undecided & taken & ~broken, reading, unclear)
        return self._interpret(unclear, standing, reading, result)

    def _interpret(self, unclear: set[int], standing: int, reading: Reading, result: MatchResult) -> int:
        """Have the interpreter decide about evaluations, and return `standing` without their sets."""
        for index in unclear:
            decision = interpret(
                self._plan.targets[index], reading.fields(), compile_expression=self._plan.compile_expression
            )
            if decision.outcome == "matched":
                result.matched.append((index, decision.condition_id or ""))
            elif decision.outcome == "sampled_out":
                result.sampled_out.append(index)
            elif decision.outcome == "error":
                result.errors.append((index, first_error(decision)))
        if unclear:
            for place in places(standing):
                if self._plan.owners[place] in unclear:
                    standing &= ~(1 << place)
        return standing

    def _failing(self, sets: int, reading: Reading, unclear: set[int]) -> int:
        """Test `sets` one by one and return those that fail; evaluations with an error go to `unclear`."""
        failed = 0
        for place in places(sets):
            try:
                if not self._passes(place, reading):
                    failed |= 1 << place
            except CannotTellError:
                unclear.add(self._plan.owners[place])
                failed |= 1 << place
        return failed

    def _passes(self, place: int, reading: Reading) -> bool:
        results = reading.results
        for check in self._plan.checks[place]:
            passed = results.get(check)
            if passed is None:
                passed = results[check] = check(reading)
            if not passed:
                return False
        return True
