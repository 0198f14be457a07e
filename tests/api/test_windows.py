"""`windows`: results by minute, hour or day, and the shifts of the same time, of this team alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from storage.sql.shifts import Shifts, StoredShift
from tests.api.conftest import Api

START = datetime(2026, 3, 4, 5, tzinfo=UTC)


def shift(team: int, evaluation: str, at: datetime) -> StoredShift:
    return StoredShift(str(uuid4()), team, evaluation, 1, "f", "down", at, 900, 1_000, 40, 80, 2e5)


@pytest.mark.parametrize("base", ["projects", "environments"])
def test_results_are_shown_by_window_and_version(api: Api, base: str) -> None:
    evaluation = api.hog()
    for number in range(6):
        at = START + timedelta(minutes=30 * number)
        api.result(
            evaluation, str(uuid4()), timestamp=at, result=number != 4, fingerprint="old" if number < 2 else "new"
        )
    found = api.ok("GET", f"evaluations/{evaluation['id']}/windows/", params={"size": "hour"}, base=base)
    assert found["count"] == 3
    assert [(each["start"], each["fingerprint"], each["passed"], each["failed"]) for each in found["results"]] == [
        ("2026-03-04T07:00:00Z", "new", 1, 1),
        ("2026-03-04T06:00:00Z", "new", 2, 0),
        ("2026-03-04T05:00:00Z", "old", 2, 0),
    ]
    newest = found["results"][0]
    assert newest["end"] == "2026-03-04T08:00:00Z"
    assert newest["pass_rate"] == 0.5
    assert newest["pass_rate_low"] < 0.5 < newest["pass_rate_high"]
    days = api.ok("GET", f"evaluations/{evaluation['id']}/windows/", params={"size": "day", "limit": 1}, base=base)
    assert (days["count"], len(days["results"]), days["results"][0]["runs"]) == (2, 1, 4)
    assert days["next"] is not None
    one = {"size": "minute", "after": "2026-03-04T05:00:00Z", "before": "2026-03-04T05:30:00Z"}
    assert api.ok("GET", f"evaluations/{evaluation['id']}/windows/", params=one, base=base)["count"] == 1
    old = {"fingerprint": "old", "size": "day"}
    assert api.ok("GET", f"evaluations/{evaluation['id']}/windows/", params=old, base=base)["count"] == 1


def test_shifts_stand_beside_the_windows_of_their_time(api: Api) -> None:
    evaluation = api.hog()
    mine = shift(api.team, evaluation["id"], START)
    Shifts(api.services.database).add([mine, shift(api.team + 1, evaluation["id"], START)])
    Shifts(api.services.database).add([mine])
    found = api.ok("GET", f"evaluations/{evaluation['id']}/windows/")
    assert found["results"] == []
    (shown,) = found["shifts"]
    assert shown["id"] == mine.id
    assert (shown["direction"], shown["pass_rate_before"], shown["pass_rate_after"]) == ("down", 0.9, 0.5)
    assert shown["window_start"] == "2026-03-04T05:00:00Z"
    later = {"after": "2026-03-04T05:00:01Z"}
    assert api.ok("GET", f"evaluations/{evaluation['id']}/windows/", params=later)["shifts"] == []


def test_another_teams_evaluation_and_a_wrong_size_are_refused(api: Api) -> None:
    assert api.call("GET", f"evaluations/{uuid4()}/windows/").status_code == 404
    answer = api.call("GET", f"evaluations/{api.hog()['id']}/windows/", params={"size": "week"})
    assert (answer.status_code, answer.json()["attr"], answer.json()["code"]) == (400, "size", "invalid_choice")
