"""The failures that a report shows: the newest ones, and the kinds that occur most often among a sample.

Failures are of a kind if their reasoning begins with the same words, whatever the numbers in it. A sample of failures
with one distinct reasoning is therefore one kind, however many there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reports.evaluation_reports.cells import ReportPeriod
from storage.clickhouse.query import PassRule
from storage.clickhouse.results import ResultSelection, StoredResult, find_results

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

NEWEST = 5
KINDS = 5
MAX_REASONING_CHARS = 500
_KIND_CHARS = 80


def sample_failures(
    client: Client, team_id: int, evaluation_id: str, period: ReportPeriod, rule: PassRule, *, limit: int
) -> list[StoredResult]:
    """Return the newest failures of a period, at most `limit`."""
    selection = ResultSelection(team_id, evaluation_id=evaluation_id, after=period.start, before=period.end)
    return find_results(client, selection, rule, verdict="fail", limit=limit)


def make_examples(failures: Sequence[StoredResult]) -> dict[str, Any]:
    """Return what a report shows of a sample of failures, which is newest first."""
    kinds = Counter(map(_kind, failures))
    first: dict[str, StoredResult] = {}
    for each in failures:
        first.setdefault(_kind(each), each)
    return {
        "sampled_failures": len(failures),
        "newest": [_shown(each) for each in failures[:NEWEST]],
        "typical": [{"count": count, **_shown(first[kind])} for kind, count in kinds.most_common(KINDS)],
    }


def _shown(result: StoredResult) -> dict[str, Any]:
    text = result.reasoning
    return {
        "result_id": result.uuid,
        "generation_id": result.target_event_id,
        "trace_id": result.trace_id or None,
        "timestamp": result.timestamp.isoformat(),
        "version": result.evaluation_version,
        "reasoning": text if len(text) <= MAX_REASONING_CHARS else text[:MAX_REASONING_CHARS] + "…",
    }


def _kind(result: StoredResult) -> str:
    text = " ".join(result.reasoning[: 2 * _KIND_CHARS].lower().split())[:_KIND_CHARS]
    return "".join("0" if char.isdigit() else char for char in text)
