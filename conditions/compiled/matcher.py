"""The matcher of a team: which evaluations an event runs.

1. Each field that a filter names is read once and looked up; the AND of the answers leaves the condition
   sets whose indexed filters hold (`conditions.compiled.indexes`).
2. One hash of the uuid gives the sets whose rollout takes the event.
3. Filters that no index answers (regular expressions, groups with OR, expressions, …) are tested for the
   remaining sets: first for those that the rollout takes, then for those of evaluations without a winner, to
   tell `sampled_out` from `filtered`.
4. Where something could not be evaluated, the interpreter decides about that evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from conditions.compiled.codegen import LookUp
from conditions.compiled.indexes import RelativeDateIndex
from conditions.compiled.masks import Families, Lookup, places
from conditions.compiled.plan import FieldPlan
from conditions.compiled.predicates import Seen
from conditions.compiled.projection import ObjectReader, PropertyReader
from conditions.compiled.sampling import SharedSampling
from conditions.dates import day_and_time, instant_of
from conditions.errors import RowError
from conditions.interpreter import RowFields, first_error, interpret
from conditions.model import CompileExpression, Target
from conditions.rollout import independent_key, rollout_number
from conditions.row import EventRow, too_deep


class SampledOut(msgspec.Struct, frozen=True, gc=False):
    """Indexes of targets in order: counted at once, listed when asked for, since the stream only counts them."""

    count: int
    indexes: Callable[[], list[int]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(self.indexes())


NONE = SampledOut(0, list)


class MatchResult(msgspec.Struct, frozen=True):
    """The decisions about one event. Enabled evaluations with conditions that are in none of these are filtered.

    Attributes:
        matched: index into the targets, and the id of the condition set that won.
        sampled_out: index of targets of which sets held, but none that the rollout takes.
        errors: index, and the error in words.
        properties: if something stood, the view with what the matcher carries (`compile_matcher`); None if it
            carries nothing, or none could be made.

    The first three are in the order of the targets.
    """

    matched: list[tuple[int, str]]
    sampled_out: SampledOut
    errors: list[tuple[int, str]]
    properties: Any = None


NOTHING = MatchResult([], NONE, [])
"""The result of every event for which no index left a condition set."""


class MatchOutcome:
    """A result in the making."""

    __slots__ = ("errors", "matched", "sampled_out")

    def __init__(self) -> None:
        self.matched: list[tuple[int, str]] = []
        self.sampled_out: list[int] = []
        self.errors: list[tuple[int, str]] = []

    def result(self) -> MatchResult:
        """Return the result gathered so far, each list in the order of the targets."""
        out = sorted(self.sampled_out)
        return MatchResult(sorted(self.matched), SampledOut(len(out), lambda: out), sorted(self.errors))


class CannotTellError(Exception):
    """A test met an error; the interpreter decides what that means for the evaluation."""


class Reading:
    """One event on its way through a matcher: the values read from it, and the results of its tests."""

    __slots__ = ("_fields", "_row", "_seen", "_views", "now", "results", "uuid")

    def __init__(self, row: EventRow, readers: Sequence[PropertyReader], views: Sequence[Any]) -> None:
        self.results: dict[Check, bool] = {}
        self.uuid = row.uuid
        self.now = instant_of(row.timestamp)
        self._row = row
        self._views = {reader.name: (reader, view) for reader, view in zip(readers, views, strict=True)}
        self._seen: dict[FieldPlan, Seen] = {}
        self._fields: RowFields | None = None

    def value(self, field: FieldPlan) -> Any:
        """Return a field's value."""
        reader, view = self._views[field.part]
        return reader.value(view, field)

    def seen(self, field: FieldPlan) -> Seen:
        """Return a field's value with the forms of it that were made."""
        found = self._seen.get(field)
        if found is None:
            found = self._seen[field] = Seen(self.value(field), self.now)
        return found

    def fields(self) -> RowFields:
        """Return the row wholly decoded, as expressions and the interpreter want it."""
        if self._fields is None:
            self._fields = RowFields(self._row)
        return self._fields


Check = Callable[[Reading], bool]
"""A filter or group that is tested set by set; CannotTellError if it met an error."""


@dataclass(frozen=True, slots=True)
class MatchPlan:
    """The compiled form of a team's evaluations. A mask has one bit for each condition set, in order.

    Attributes:
        owners: for each set, the index of its target.
        winners: for each set, the entry that it adds to `matched` if it wins.
        checks: for each set, the filters to be tested one by one.
        readers: each reader with the mask of the sets that need its part of the row.
        look_up: the look-ups of all readers; see `conditions.compiled.codegen`.
        relative_dates: the fields that relative dates refer to, with their indexes.
        loose: mask of the sets with checks that no field's memory can answer.
        own: mask of the sets that sample by the key of their own evaluation.
    """

    targets: tuple[Target, ...]
    owners: tuple[int, ...]
    winners: tuple[tuple[int, str], ...]
    percentages: tuple[float, ...]
    checks: tuple[tuple[Check, ...], ...]
    readers: tuple[tuple[PropertyReader, int], ...]
    look_up: LookUp
    sampling: SharedSampling
    relative_dates: tuple[tuple[FieldPlan, RelativeDateIndex], ...]
    loose: int
    own: int
    compile_expression: CompileExpression | None


class Matcher:
    """Decides for all evaluations of a team at once; made by `compile_matcher`, never changed after."""

    def __init__(self, plan: MatchPlan) -> None:
        self._plan = plan
        self._look_up = plan.look_up
        self._own = plan.own
        self._sampling = plan.sampling
        self._readers = [reader for reader, _ in plan.readers]
        self._everything = (1 << len(plan.owners)) - 1
        self._families = Families(plan.owners)
        self._winners = Lookup(plan.winners)
        self._owners = Lookup(plan.owners)
        carriers = (n for n, reader in enumerate(self._readers) if isinstance(reader, ObjectReader) and reader.carries)
        self._carrier = next(carriers, None)

    def match(self, row: EventRow) -> MatchResult:
        """Match one event.

        Raises:
            RowError: the row's properties are not a JSON object, or are nested too deeply.
        """
        try:
            try:
                standing, undecided, views = self._look_up(row)
            except (RowError, OverflowError):
                return self._match_broken(row)
            if not standing:
                return NOTHING
            if standing & (undecided | self._own):
                return self._match_slowly(standing, undecided, 0, Reading(row, self._readers, views))
        except RecursionError as error:  # a depth at which it can just be read, but not written as text
            raise too_deep() from error
        won = standing & self._sampling.taken(row.uuid, standing)
        if won.bit_count() == 1:  # one set won, as for most events that match at all
            matched = [self._plan.winners[won.bit_length() - 1]]
        else:
            matched = self._winners.of(self._families.firsts(won)) if won else []
        carried = None if self._carrier is None else views[self._carrier]
        if won == standing:
            return MatchResult(matched, NONE, [], carried)
        # A set that won also stands, so the difference counts the evaluations that stand without a winner.
        count = self._families.firsts(standing).bit_count() - len(matched)
        if not count:
            return MatchResult(matched, NONE, [], carried)
        return MatchResult(matched, SampledOut(count, partial(self._sampled_out, standing, won)), [], carried)

    def _match_broken(self, row: EventRow) -> MatchResult:
        """Match an event of which a part is broken that is not its properties, or a number beyond floats."""
        standing, undecided, broken = self._everything, self._plan.loose, 0
        views: list[Any] = []
        for reader, users in self._plan.readers:
            try:
                view = reader.view(row)
            except RowError:
                if reader.name == "properties":
                    raise
                broken |= users
                views.append(None)
                continue
            views.append(view)
            for field in reader.fields:
                x = reader.value(view, field)
                standing &= field.absent if x is None else field.decide(x)
                undecided |= field.tested
        reading = Reading(row, self._readers, views)
        for field, index in self._plan.relative_dates:
            if index.users & ~broken:  # its part of the row may be missing if it is broken
                standing &= index.standing(reading.value(field), day_and_time(row.timestamp))
        return self._match_slowly(standing, undecided, broken, reading)

    def _match_slowly(self, standing: int, undecided: int, broken: int, reading: Reading) -> MatchResult:
        """Finish an event with something to test.

        Args:
            standing: mask of the sets that no index rules out.
            undecided: mask of the sets with filters that are still to be tested.
            broken: mask of the sets that need a part of the row that is broken.
        """
        outcome = MatchOutcome()
        taken = self._sampling.taken(reading.uuid, standing)
        own = standing & self._plan.own
        if own:
            taken |= self._taken_alone(own, reading.uuid)
        unclear = {self._plan.owners[place] for place in places(standing & broken)}
        standing &= ~self._failing(standing & undecided & taken & ~broken, reading, unclear)
        standing = self._interpret(unclear, standing, reading, outcome)
        won = standing & taken
        outcome.matched += self._winners.of(self._families.firsts(won))
        rest = standing & ~self._families.whole(won)
        unclear = set()
        rest &= ~self._failing(rest & undecided, reading, unclear)
        rest = self._interpret(unclear, rest, reading, outcome)
        outcome.sampled_out += self._owners.of(self._families.firsts(rest))
        return outcome.result()

    def _sampled_out(self, standing: int, won: int) -> list[int]:
        """Return the targets that have sets of `standing`, but none of `won`."""
        return self._owners.of(self._families.firsts(standing & ~self._families.whole(won)))

    def _taken_alone(self, sets: int, uuid: str) -> int:
        """Return those of `sets`, which sample by their evaluation's own key, that take the event."""
        taken = 0
        for place in places(sets):
            target = self._plan.targets[self._plan.owners[place]]
            if rollout_number(independent_key(target.id, uuid)) < self._plan.percentages[place]:
                taken |= 1 << place
        return taken

    def _interpret(self, unclear: set[int], standing: int, reading: Reading, outcome: MatchOutcome) -> int:
        """Have the interpreter decide about evaluations, and return `standing` without their sets."""
        for index in unclear:
            decision = interpret(
                self._plan.targets[index], reading.fields(), compile_expression=self._plan.compile_expression
            )
            if decision.outcome == "matched":
                outcome.matched.append((index, decision.condition_id or ""))
            elif decision.outcome == "sampled_out":
                outcome.sampled_out.append(index)
            elif decision.outcome == "error":
                outcome.errors.append((index, first_error(decision)))
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
