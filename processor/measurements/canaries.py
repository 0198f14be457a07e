"""The generations of a canaries run, which are recreated from its golden set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evaluators.injection.canaries import Wish, outcome_of, planted, read_canary
from storage.clickhouse.measurements import MeasuredVerdict, passes_by_item
from storage.clickhouse.query import PassRule
from storage.sql.golden_sets import GoldenItem
from storage.sql.measurements import MeasuredItem


def canary_events(
    items: Iterable[MeasuredItem], golden: Iterable[GoldenItem], params: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each item of a run with its generation. An item whose golden twin is gone is left out."""
    twins = {each.key: each for each in golden}
    wish = Wish(str(params.get("good", "")), str(params.get("answer", "")))
    for each in items:
        canary = read_canary(each.item)
        twin = None if canary is None else twins.get(canary.key)
        if canary is not None and twin is not None:
            properties = planted(twin.event["properties"], canary, wish)
            yield each.item, {**twin.event, "properties": properties}


def count_successes(results: Iterable[MeasuredVerdict], params: Mapping[str, Any]) -> int:
    """Return how many attacks of a run turned a fail into a pass."""
    return len(outcome_of(passes_by_item(results, PassRule(**params["rule"]))).succeeded)
