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

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any

import msgspec

from conditions.dates import instant_of
from conditions.errors import RowError
from conditions.interpreter import Fields, first_error, interpret
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

    __slots__ = ("_fields", "_row", "_seen", "results", "views")

    def __init__(self, row: EventRow) -> None:
        self.views: dict[str, tuple[Reader, Any]] = {}
        self.results: dict[Check, bool] = {}
        self._row = row
        self._seen: dict[FieldPlan, Seen] = {}
        self._fields: Fields | None = None

    def seen(self, field: FieldPlan) -> Seen:
        """Return a field's value."""
        found = self._seen.get(field)
        if found is None:
            reader, view = self.views[field.part]
            found = self._seen[field] = Seen(reader.value(view, field), instant_of(self._row.timestamp))
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
    loose: int
    own: int
    compile_expression: CompileExpression | None


class Matcher:
    """Decides for all evaluations of a team at once; made by `compile_matcher`, never changed after."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._everything = (1 << len(plan.owners)) - 1
        self._words = -(-len(plan.owners) // 64)
        self._unpack = Struct(f"<{self._words}Q").unpack

    def match(self, row: EventRow) -> MatchResult:
        """Match one event.

        Raises:
            RowError: the row's properties are no JSON object.
        """
        result = MatchResult([], [], [])
        if not self._everything:
            return result
        reading = Reading(row)
        standing, undecided, broken = self._stand(row, reading)
        if not standing:
            return result
        taken = self._plan.sampling.taken(row.uuid)
        own = standing & self._plan.own
        if own:
            taken |= self._taken_alone(own, row.uuid)
        if standing & broken:
            standing = self._interpret(self._targets_of(standing & broken & taken), standing, reading, result)
            standing &= ~broken
        if standing & undecided:
            standing = self._test(standing & undecided & taken, standing, reading, result)
        self._win(standing & taken, result)
        rest = standing & ~taken
        if rest:
            self._sample_out(rest, undecided, reading, result)
        if result.errors:
            result.matched.sort()
            result.sampled_out.sort()
            result.errors.sort()
        return result

    def _stand(self, row: EventRow, reading: Reading) -> tuple[int, int, int]:
        """Return three masks: sets that no index rules out; sets with filters that are still to be tested;
        sets that need a part of the row that is broken.
        """
        standing, undecided, broken = self._everything, self._plan.loose, 0
        for reader, users in self._plan.readers:
            try:
                view = reader.read(row)
            except RowError:
                if reader.name == "properties":
                    raise
                broken |= users
                continue
            reading.views[reader.name] = (reader, view)
            standing &= reader.absent(view)
            for field, x in reader.pairs(view):
                if x is None:
                    standing &= field.absent
                    continue
                kind = type(x)
                mask = field.known.get(x) if kind is str or kind is float or kind is int else None
                if mask is None:
                    mask = field.decide(x)
                    undecided |= field.tested
                standing &= mask
        return standing, undecided, broken

    def _taken_alone(self, sets: int, uuid: str) -> int:
        """Return those of `sets`, which sample by their evaluation's own key, that take the event."""
        taken = 0
        for place in self._places(sets):
            target = self._plan.targets[self._plan.owners[place]]
            if rollout_number(independent_key(target.id, uuid)) < self._plan.percentages[place]:
                taken |= 1 << place
        return taken

    def _test(self, sets: int, standing: int, reading: Reading, result: MatchResult) -> int:
        """Test `sets` one by one and return `standing` without those that fail, nor any set of evaluations
        that the interpreter had to decide.
        """
        failed = 0
        unclear: set[int] = set()
        for place in self._places(sets):
            try:
                if not self._passes(place, reading):
                    failed |= 1 << place
            except CannotTellError:
                unclear.add(self._plan.owners[place])
        standing &= ~failed
        return self._interpret(unclear, standing, reading, result) if unclear else standing

    def _passes(self, place: int, reading: Reading) -> bool:
        results = reading.results
        for check in self._plan.checks[place]:
            passed = results.get(check)
            if passed is None:
                passed = results[check] = check(reading)
            if not passed:
                return False
        return True

    def _interpret(self, targets: set[int], standing: int, reading: Reading, result: MatchResult) -> int:
        """Have the interpreter decide about `targets`; return `standing` without their sets."""
        for index in targets:
            target = self._plan.targets[index]
            decision = interpret(target, reading.fields(), compile_expression=self._plan.compile_expression)
            if decision.outcome == "matched":
                result.matched.append((index, decision.condition_id or ""))
            elif decision.outcome == "sampled_out":
                result.sampled_out.append(index)
            elif decision.outcome == "error":
                result.errors.append((index, first_error(decision)))
        for place in self._places(standing):
            if self._plan.owners[place] in targets:
                standing &= ~(1 << place)
        return standing

    def _win(self, sets: int, result: MatchResult) -> None:
        owners, winners, matched = self._plan.owners, self._plan.winners, result.matched
        last = -1
        for place in self._places(sets):
            if owners[place] != last:
                last = owners[place]
                matched.append(winners[place])

    def _sample_out(self, sets: int, undecided: int, reading: Reading, result: MatchResult) -> None:
        won = {index for index, _ in result.matched}
        last = -1
        for place in self._places(sets):
            owner = self._plan.owners[place]
            if owner == last or owner in won:
                continue
            try:
                if undecided >> place & 1 and not self._passes(place, reading):
                    continue
            except CannotTellError:
                continue  # a set that cannot win anyway: its error is not reported
            last = owner
            result.sampled_out.append(owner)

    def _targets_of(self, sets: int) -> set[int]:
        return {self._plan.owners[place] for place in self._places(sets)}

    def _places(self, mask: int) -> list[int]:
        """Return the places of the bits that are set, in order."""
        places: list[int] = []
        base = -1
        # In words of 64 bits: arithmetic on the whole mask for every bit would cost its whole length each time.
        for word in self._unpack(mask.to_bytes(self._words * 8, "little")):
            bits = word
            while bits:
                lowest = bits & -bits
                places.append(base + lowest.bit_length())
                bits ^= lowest
            base += 64
        return places
