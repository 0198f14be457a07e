"""`windows` of an evaluation: its results by minute, hour or day, and the shifts of its pass rate.

They come from ClickHouse, which has every result. A process of the reports role holds only the evaluations of its own
partitions, and only the newest windows.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from api.http.auth import Scoped
from api.http.one_hop import OneHopRoute
from api.http.pagination import WindowParam
from api.http.services import ServicesParam
from api.routes.parameters import AfterParam, BeforeParam, IdPath
from api.schemas.windows import ShiftShown, Windows, WindowShown
from api.services.definitions import find
from api.services.verdicts import pass_rule
from quality.intervals import wilson
from storage.clickhouse.results import ResultSelection
from storage.clickhouse.windows import SIZES_S, ResultWindow, WindowSize, find_windows
from storage.sql.api_keys import ApiKey
from storage.sql.shifts import Shifts, StoredShift

router = APIRouter(route_class=OneHopRoute, tags=["evaluations"])

Reader = Annotated[ApiKey, Scoped("evaluation:read")]


@router.get("/evaluations/{id}/windows/")
def list_windows(
    object_id: IdPath,
    caller: Reader,
    services: ServicesParam,
    page: WindowParam,
    size: Annotated[WindowSize, Query(description="Length of a window. Windows begin at whole units of UTC.")] = "hour",
    after: AfterParam = None,
    before: BeforeParam = None,
    fingerprint: Annotated[str | None, Query(max_length=400, description="Only results of this version.")] = None,
) -> Windows:
    """List the tumbling windows that have results, newest first. Each distinct result counts once."""
    evaluation = find(services, caller, object_id)
    selection = ResultSelection(
        caller.team_id, evaluation_id=evaluation.id, after=after, before=before, fingerprint=fingerprint
    )
    with services.archive.client() as client:
        found, count = find_windows(
            client, selection, pass_rule(evaluation), size=size, limit=page.limit, offset=page.offset
        )
    shifts = Shifts(services.database).find(caller.team_id, evaluation.id, after=after, before=before)
    shown = page.page([_shown(window, size) for window in found], count)
    return Windows(
        count=count,
        next=shown.next,
        previous=shown.previous,
        shifts=[_shift(shift) for shift in shifts],
        results=shown.results,
    )


def _shown(window: ResultWindow, size: WindowSize) -> WindowShown:
    decided = window.passed + window.failed
    low, high = wilson(window.passed, decided) or (None, None)
    return WindowShown(
        start=window.start,
        end=window.start + timedelta(seconds=SIZES_S[size]),
        evaluation_version=window.evaluation_version,
        fingerprint=window.fingerprint,
        runs=window.runs,
        passed=window.passed,
        failed=window.failed,
        scored=window.scored,
        not_applicable=window.not_applicable,
        skipped=window.skipped,
        pass_rate=window.passed / decided if decided else None,
        pass_rate_low=low,
        pass_rate_high=high,
        score_count=window.score_count,
        score_sum=window.score_sum,
        score_histogram=window.scores,
        categories=window.categories,
        input_tokens=window.input_tokens,
        output_tokens=window.output_tokens,
        cost_usd=window.cost_usd,
        latency_count=window.latency_count,
        latency_sum_s=window.latency_sum_s,
        latency_histogram=window.latencies,
    )


def _shift(shift: StoredShift) -> ShiftShown:
    return ShiftShown(
        id=shift.id,
        direction=shift.direction,
        window_start=shift.window_start,
        evaluation_version=shift.evaluation_version,
        fingerprint=shift.fingerprint,
        pass_rate_before=shift.passed_before / shift.decided_before if shift.decided_before else None,
        decided_before=shift.decided_before,
        pass_rate_after=shift.passed_after / shift.decided_after if shift.decided_after else None,
        decided_after=shift.decided_after,
        statistic=shift.statistic,
    )
