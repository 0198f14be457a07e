"""Results as a file, with the filter of a page, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import cast

from api.services.newest_results import Wanted
from api.services.resources import Services
from api.services.team_outlines import TeamOutlines
from storage.clickhouse.query import PassRules
from storage.clickhouse.results import ResultSelection, Verdict, export_results

MAX_ROWS = 1_000_000
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


def export(services: Services, outlines: TeamOutlines, wanted: Wanted, form: str, *, readable: bool) -> Iterator[bytes]:
    """Return the pieces of a file of the newest results, at most a million. The first piece is read at once.

    Args:
        readable: whether the reader may read events; otherwise the file has no column of distinct ids.

    Raises:
        Throttled: two exports run already.
        Unavailable: ClickHouse does not answer.
    """
    pieces = _pieces(services, outlines, wanted, form, readable=readable)
    return chain([next(pieces, b"")], pieces)


def _pieces(
    services: Services, outlines: TeamOutlines, wanted: Wanted, form: str, *, readable: bool
) -> Iterator[bytes]:
    selection = ResultSelection(
        wanted.team_id,
        evaluation_id=wanted.evaluation_id or None,
        after=wanted.start,
        before=wanted.end,
        trigger=wanted.trigger or None,
        model=wanted.model or None,
        prompt_version=wanted.prompt_version or None,
        text=wanted.text or None,
        property_name=wanted.property_name or None,
        property_value=wanted.property_value or None,
        confidence=wanted.confidence,
    )
    verdict = cast("Verdict | None", wanted.verdict or None)
    with services.pages.exporting() as client:
        yield from export_results(
            client,
            selection,
            PassRules(outlines.rules),
            form=form,
            verdict=verdict,
            limit=MAX_ROWS,
            without=() if readable else ("distinct_id",),
        )
