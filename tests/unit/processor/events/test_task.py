"""Tasks survive the way over Kafka's headers, and bad headers are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processor.events.task import Task, TaskError, read_task

TASK = Task(
    team_id=7,
    evaluation_id="e",
    event_uuid="u",
    run_key="k",
    condition_id="c",
    started_at="2026-01-01T00:00:00+00:00",
    trigger="backfill",
    backfill_id="b",
    revision=41,
    version=3,
)


def test_a_task_reads_back_as_it_was() -> None:
    assert read_task(TASK.headers()) == TASK


def test_a_manual_run_has_no_condition_set_and_reads_back() -> None:
    """It once ended the judge role: the empty field is left out of the headers, and was required."""
    manual = replace(TASK, condition_id="", trigger="manual", backfill_id=None)
    assert read_task(manual.headers()) == manual


def test_headers_of_others_are_passed_over() -> None:
    assert read_task([("traceparent", b"00"), ("gavel.task.colour", b"red"), *TASK.headers()]) == TASK


def test_parking_counts_attempts_and_keeps_the_first_time() -> None:
    once = TASK.parked(now_ms=100, not_before_ms=150, cause="timeout")
    twice = once.parked(now_ms=200, not_before_ms=260, cause="rate_limited")
    assert (twice.attempt, twice.parked_since_ms, twice.not_before_ms) == (2, 100, 260)
    assert twice.parked_cause == "rate_limited"
    assert read_task(twice.headers()) == twice


@pytest.mark.parametrize("field", ["team_id", "evaluation_id", "event_uuid", "run_key", "started_at"])
def test_a_missing_field_is_named(field: str) -> None:
    headers = [(name, value) for name, value in TASK.headers() if name != f"gavel.task.{field}"]
    with pytest.raises(TaskError, match=f"gavel.task.{field}"):
        read_task(headers)


def test_a_number_that_is_none_is_named() -> None:
    with pytest.raises(TaskError, match=r"gavel\.task\.team_id"):
        read_task([*TASK.headers(), ("gavel.task.team_id", b"seven")])


@pytest.mark.parametrize("number", [b"9" * 5_000, b"9" * 400, b"9223372036854775808", b"\xd9\xa3", b"1_0", b" 1"])
@pytest.mark.parametrize("field", ["attempt", "parked_since_ms", "not_before_ms", "team_id"])
def test_a_number_that_does_not_fit_is_named(field: str, number: bytes) -> None:
    """A time of hundreds of digits ended the judge when it was turned into seconds, again after each restart."""
    with pytest.raises(TaskError, match=field):
        read_task([*TASK.headers(), (f"gavel.task.{field}", number)])


def test_every_team_that_an_event_may_have_reads_back() -> None:
    for team_id in (2**63 - 1, -(2**63)):
        assert read_task(replace(TASK, team_id=team_id).headers()).team_id == team_id


def test_no_headers_at_all() -> None:
    with pytest.raises(TaskError):
        read_task(None)
