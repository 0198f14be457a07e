"""The charts of one evaluation's page, each with its data as a table, and the changes of judges that explain them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from markupsafe import Markup

from api.services.figures import FiguresTally
from api.services.one_evaluation import EvaluationCells
from console import shown
from console.buckets import Buckets
from console.charts.bars import Series, Stack, stacked_bars, value_bars
from console.charts.rate import Piece, Point, rate_chart

_SERIES = (
    Series("passed", "c-pass"),
    Series("failed", "c-fail"),
    Series("without a rule", "c-score"),
    Series("not applicable", "c-na"),
    Series("skipped", "c-skip"),
)
_COST = (Series("USD", "c-accent"),)
_MOST_VALUES = 20

Moved = Mapping[str, Sequence[datetime]]
"""When the judge of a fingerprint moved, by fingerprint."""


@dataclass(frozen=True, slots=True)
class ChartWithData:
    """A chart with its data.

    Attributes:
        heads: of the columns of the table; rows: its cells as text, the first of which heads the row.
    """

    title: str
    drawing: Markup
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class JudgeChange:
    """A time from which another judge decides.

    Attributes:
        version: that judges from then on; before: the one that judged until then, None if the judge itself moved.
    """

    at: datetime
    version: int
    before: int | None = None


@dataclass(frozen=True, slots=True)
class JudgeStretch:
    """The results of one judge without a break.

    Attributes:
        times: how often the judge had moved before.
        first: start of the first hour that has a result.
    """

    version: int
    times: int
    first: datetime
    tallies: Sequence[FiguresTally]

    @property
    def label(self) -> str:
        """The name of the judge in a chart."""
        moved = f" moved {self.times}" if self.times > 1 else " moved" if self.times else ""
        return f"v{self.version}{moved}"


def tallies_of(found: EvaluationCells, buckets: Buckets) -> list[FiguresTally]:
    """Return the outcomes of each stretch of time."""
    tallies = [FiguresTally() for _ in range(len(buckets))]
    for cell in found.cells:
        place = buckets.place(cell.start)
        if place is not None:
            tallies[place].add(cell, found.rule)
    return tallies


def judges_of(found: EvaluationCells, buckets: Buckets, moved: Moved) -> list[JudgeStretch]:
    """Return the results of each judge, in the order of their first ones.

    A judge ends where the next version has another fingerprint, and is another one if that fingerprint is restored
    later. A judge that moved is another one too. Results of two judges may overlap in time.
    """
    runs = _runs(found)
    kinds: dict[tuple[int, int], list[FiguresTally]] = {}
    heads: dict[tuple[int, int], tuple[int, datetime]] = {}
    for cell in sorted(found.cells, key=lambda each: each.start):
        place = buckets.place(cell.start)
        if place is None:
            continue
        times = sum(moment <= cell.start for moment in moved.get(cell.fingerprint, ()))
        key = (runs[cell.version, cell.fingerprint], times)
        if key not in kinds:
            kinds[key] = [FiguresTally() for _ in range(len(buckets))]
        kinds[key][place].add(cell, found.rule)
        version, first = heads.get(key, (0, cell.start))
        heads[key] = (max(version, cell.version), first)
    judges = [JudgeStretch(heads[key][0], key[1], heads[key][1], tallies) for key, tallies in kinds.items()]
    return sorted(judges, key=lambda each: (each.first, each.version, each.times))


def _runs(found: EvaluationCells) -> Mapping[tuple[int, str], int]:
    """Return for each version and fingerprint the number of the run of versions with one fingerprint that holds it."""
    runs: dict[tuple[int, str], int] = {}
    last, run = "", 0
    for version, fingerprint in sorted({(cell.version, cell.fingerprint) for cell in found.cells}):
        run += fingerprint != last
        runs[version, fingerprint] = run
        last = fingerprint
    return runs


def pieces_of(judges: Sequence[JudgeStretch], buckets: Buckets) -> list[Piece]:
    """Return the line of each judge that decided anything."""
    pieces = []
    for judge in judges:
        points = tuple(
            Point(buckets.middle(place), each.pass_rate, *each.interval)
            for place, each in enumerate(judge.tallies)
            if each.pass_rate is not None and each.interval is not None
        )
        if points:
            pieces.append(Piece(judge.label, points))
    return sorted(pieces, key=lambda piece: piece.points[0].at)


def changes_of(judges: Sequence[JudgeStretch]) -> list[JudgeChange]:
    """Return the changes of versions and the moves of judges, by time."""
    found = []
    for before, judge in pairwise(judges):
        changed = judge.version != before.version
        found.append(JudgeChange(judge.first, judge.version, before.version if changed else None))
    return found


def charts_of(
    judges: Sequence[JudgeStretch], total: FiguresTally, tallies: Sequence[FiguresTally], buckets: Buckets
) -> dict[str, ChartWithData]:
    """Return the charts that have data, by name."""
    found = {
        "rate": _rate(judges, buckets),
        "volume": _volume(tallies, buckets),
        "skips": _values("Results without a verdict", _skips(total), "Not applicable, and skips by reason."),
        "scores": _values("Scores", _scores(total.scores), "How often each score was given."),
        "categories": _values("Categories", _categories(total.categories), "How often each category was chosen."),
        "cost": _cost(tallies, buckets) if total.cost_usd else None,
    }
    return {name: each for name, each in found.items() if each is not None}


def _rate(judges: Sequence[JudgeStretch], buckets: Buckets) -> ChartWithData | None:
    pieces = pieces_of(judges, buckets)
    if not pieces:
        return None
    versions = ", ".join(piece.label for piece in pieces)
    drawing = rate_chart(
        "Pass rate", pieces, buckets.edges[0], buckets.edges[-1], buckets.ticks(),
        description=f"The line has its 95 % interval, by version: {versions}.",
    )  # fmt: skip
    rows = [
        (buckets.label(place), judge.label, shown.percent(each.pass_rate), *map(shown.percent, each.interval))
        for judge in judges
        for place, each in enumerate(judge.tallies)
        if each.interval is not None
    ]
    return ChartWithData(
        "Pass rate with its 95 % interval", drawing, ("From", "Version", "Pass rate", "Low", "High"), rows
    )


def _volume(tallies: Sequence[FiguresTally], buckets: Buckets) -> ChartWithData:
    stacks = [
        _stack(buckets, place, (each.passed, each.failed, each.scored, each.not_applicable, each.skips))
        for place, each in enumerate(tallies)
    ]
    drawing = stacked_bars(
        "Results", _SERIES, stacks, buckets.edges[0], buckets.edges[-1], buckets.ticks(),
        description="Outcomes over time.",
    )  # fmt: skip
    rows = [(stack.label, *(f"{count:g}" for count in stack.counts)) for stack in stacks if any(stack.counts)]
    return ChartWithData("Results", drawing, ("From", "Passed", "Failed", "Without a rule", "N/A", "Skipped"), rows)


def _cost(tallies: Sequence[FiguresTally], buckets: Buckets) -> ChartWithData:
    stacks = [_stack(buckets, place, (round(each.cost_usd, 4),)) for place, each in enumerate(tallies)]
    drawing = stacked_bars(
        "Cost in USD", _COST, stacks, buckets.edges[0], buckets.edges[-1], buckets.ticks(),
        description="Over time.", height=130,
    )  # fmt: skip
    rows = [(buckets.label(place), shown.usd(each.cost_usd)) for place, each in enumerate(tallies) if each.cost_usd]
    return ChartWithData("Cost in USD", drawing, ("From", "Cost"), rows)


def _stack(buckets: Buckets, place: int, counts: tuple[float, ...]) -> Stack:
    return Stack(buckets.edges[place], buckets.edges[place + 1], buckets.label(place), counts)


def _values(title: str, values: Sequence[tuple[str, int, str]], description: str) -> ChartWithData | None:
    if not values:
        return None
    rows = [(label, shown.count(count)) for label, count, _ in values]
    return ChartWithData(title, value_bars(title, values, description=description), ("Value", "Results"), rows)


def _skips(total: FiguresTally) -> list[tuple[str, int, str]]:
    found = [("not applicable", total.not_applicable, "c-na")] if total.not_applicable else []
    return found + [(shown.words(reason), count, "c-skip") for reason, count in total.skipped.most_common()]


def _scores(scores: Counter[float]) -> list[tuple[str, int, str]]:
    """Return the scores with their counts; many different ones fall into stretches of the same width."""
    if len(scores) <= _MOST_VALUES:
        return [(f"{score:g}", count, "c-score") for score, count in sorted(scores.items())]
    low, high = min(scores), max(scores)
    width = (high - low) / _MOST_VALUES
    counts = [0] * _MOST_VALUES
    for score, count in scores.items():
        counts[min(_MOST_VALUES - 1, int((score - low) / width))] += count
    return [
        (f"{low + place * width:.4g} to {low + (place + 1) * width:.4g}", count, "c-score")
        for place, count in enumerate(counts)
    ]


def _categories(categories: Counter[str]) -> list[tuple[str, int, str]]:
    """Return the categories with their counts, most first; those after the twentieth are one row."""
    found = [(name, count, "c-score") for name, count in categories.most_common(_MOST_VALUES)]
    rest = categories.total() - sum(count for _, count, _ in found)
    return found + ([(f"{len(categories) - len(found)} others", rest, "c-score")] if rest else [])
