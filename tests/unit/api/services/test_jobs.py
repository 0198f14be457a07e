"""The time left of a job follows from its rate so far."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from api.schemas.measurements import MeasurementStanding
from api.services.jobs import measured

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN = MeasurementStanding.model_construct(
    id=UUID(int=1), state="running", total=100, missing=10, done=30, reused=5, started_at=NOW - timedelta(minutes=1),
    finished_at=None,
)  # fmt: skip


def test_a_measurement_has_a_rate_and_a_time_left() -> None:
    found = measured(RUN, NOW)
    assert (found.rate, found.left) == (0.5, timedelta(minutes=2))


@pytest.mark.parametrize(
    ("changes", "rate"),
    [({"started_at": None}, None), ({"done": 0}, None), ({"state": "completed", "finished_at": NOW}, 0.5)],
)
def test_without_a_beginning_or_an_end_ahead_there_is_no_time_left(changes: dict[str, object], rate: float) -> None:
    found = measured(RUN.model_copy(update=changes), NOW)
    assert (found.rate, found.left) == (rate, None)
