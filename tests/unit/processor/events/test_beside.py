"""Events beside results have one outer form, and one function writes their times."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from processor.events.beside import beside_event
from processor.events.generation import clickhouse_time
from storage.clickhouse.times import time_text
from tests.services.cache import CHECKOUT
from tests.unit.config.test_judge_request import product_modules

BUILDERS = {"processor/events/beside.py", "processor/events/result.py"}
"""The builder, and that of results, which copies its fields from the generation."""


def test_the_outer_form_is_that_of_a_result() -> None:
    made = beside_event("$ai_x", "u", 7, "2026-03-02 12:00:00.000000", {"a": "ü"}, distinct_id="d")
    row = json.loads(made.value)
    assert json.loads(row.pop("properties")) == {"a": "ü"}
    moment = "2026-03-02 12:00:00.000000"
    assert row == {
        "uuid": "u", "event": "$ai_x", "team_id": 7, "project_id": 7, "distinct_id": "d", "timestamp": moment,
        "elements_chain": "", "created_at": moment, "person_mode": "propertyless",
    }  # fmt: skip
    output = made.output("label", "results", b"7:e")
    assert output.headers == [("event", b"$ai_x"), ("team_id", b"7")]
    assert (output.kind, output.topic, output.key, output.value) == ("label", "results", b"7:e", made.value)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 3, 2, 12, tzinfo=UTC),
        datetime(2026, 3, 2, 23, 30, 1, 20, tzinfo=timezone(timedelta(hours=-5))),
        datetime(987, 1, 1, tzinfo=UTC),
    ],
)
def test_a_time_is_written_as_one_that_was_read(moment: datetime) -> None:
    assert time_text(moment) == clickhouse_time(moment.isoformat(timespec="microseconds"))


def test_nobody_writes_such_an_event_or_its_time_on_their_own() -> None:
    found = {path: (CHECKOUT / path).read_text() for path, _ in product_modules()}
    assert {path for path, text in found.items() if '"person_mode": "' in text} <= BUILDERS
    assert [path for path, text in found.items() if "%Y-%m-%d %H:%M:%S.%f" in text] == []
