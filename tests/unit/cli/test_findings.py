"""Each problem of a process is told with the place and what to do, and a healthy system has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cli.findings import find_problems
from cli.kafka_view import KafkaView
from cli.overview import Overview, StoreView
from cli.status_view import as_json, screen
from storage.sql.heartbeats import MISSING_AFTER_S, Heartbeat, RoleState, Vitals
from storage.sql.standing import BudgetUse, Errored

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def beat(
    role: str,
    state: RoleState = "running",
    *,
    age_s: float = 1.0,
    version: str = "1.0",
    reason: str = "",
    up_s: float = 3600.0,
    **details: Any,
) -> Heartbeat:
    vitals = Vitals(state, reason, {"events": [0]}, {"dead_letters": 3, "judge_cost_usd": 0.5}, details)
    return Heartbeat(role, "host:1", version, NOW - timedelta(seconds=up_s), NOW, age_s, vitals)


HEALTHY = [beat("matcher"), beat("judge"), beat("sink")]


def overview(*beats: Heartbeat, **store: Any) -> Overview:
    view = StoreView("postgresql", [*HEALTHY, *beats], store.get("errored", []), store.get("budgets", []))
    kafka = KafkaView(3, [], {"events": 4}, {"judge": {"tasks": 1200}}, {"judge": ("stable", 2)}, 7)
    return Overview(NOW, view, kafka, "26.9")


def test_a_healthy_system_has_no_problem() -> None:
    assert find_problems(overview()) == []
    assert find_problems(overview(beat("sink", "stopped", age_s=500.0))) == [], "it said that it ends"
    assert find_problems(overview(beat("sink", age_s=7200.0))) == [], "nobody waits for it any more"


@pytest.mark.parametrize(
    ("found", "severity", "words"),
    [
        (beat("sink", age_s=MISSING_AFTER_S + 25), "error", "silent for 45 s"),
        (beat("judge", "failed", reason="the topic is gone"), "error", "it failed: the topic is gone"),
        (beat("sink", "blocked", reason="ClickHouse takes nothing"), "error", "ClickHouse takes nothing"),
        (beat("matcher", "waiting", reason="no partitions"), "error", "waiting: no partitions"),
        (beat("matcher", clock_ahead_s=-120.0), "warning", "120 s behind the store's"),
        (beat("matcher", clock_jumped_s=7200.0), "warning", "its clock jumped 7200 s forward"),
        (beat("matcher", snapshot={"age_s": 90.0, "broken": 0}), "warning", "confirmed 90 s ago"),
        (beat("matcher", snapshot={"age_s": 1.0, "broken": 2}), "warning", "2 evaluations cannot be run"),
        (
            beat("judge", parked={"records": 5, "oldest_s": 25_200.0}),
            "warning",
            "5 parked runs wait, the oldest for 7 h",
        ),
        (beat("matcher", version="0.9"), "warning", "several versions run: 0.9, 1.0"),
    ],
)
def test_each_problem_of_a_process_is_told(found: Heartbeat, severity: str, words: str) -> None:
    [problem] = find_problems(overview(found))
    assert problem.severity == severity
    assert words in problem.what
    assert problem.remedy


def test_a_killed_process_that_was_replaced_is_a_warning_and_one_that_was_not_an_error() -> None:
    """Otherwise the status stays an error for an hour after everything works again."""
    killed = beat("sink", age_s=120.0)
    [before, after] = [
        [(each.severity, "taken its place" in each.what) for each in find_problems(overview(*beats))]
        for beats in (
            [replace(killed, instance="host:2"), replace(killed, instance="host:3")],
            [
                replace(killed, instance="host:2", seen=NOW - timedelta(seconds=120)),
                replace(killed, instance="host:3", seen=NOW - timedelta(seconds=120)),
                beat("sink", up_s=90.0),
            ],
        )
    ]
    assert before == [("error", False), ("error", False)]
    assert after == [("error", False), ("warning", True)]


def test_processes_that_failed_in_a_row_are_a_warning_once_one_has_run_for_a_minute() -> None:
    failed = [
        replace(
            beat("matcher", "failed", reason="a right"), instance=f"host:{n}", seen=NOW - timedelta(seconds=200 - n)
        )
        for n in range(2)
    ]
    found = [
        [each.severity for each in find_problems(overview(*failed, beat("matcher", up_s=up_s)))]
        for up_s in (30.0, 90.0)
    ]
    assert found == [["error", "error"], ["warning", "warning"]]


def test_a_process_that_has_just_started_may_wait() -> None:
    assert find_problems(overview(beat("matcher", "waiting", up_s=10.0))) == []


def test_an_open_breaker_says_which_key_and_what_to_do() -> None:
    breaker = {"key": "main", "model": "m", "cause": "unauthorized", "detail": "401", "next_probe_in_s": 30}
    [problem] = find_problems(overview(beat("judge", breakers=[breaker])))
    assert "m with key main: unauthorized, 401" in problem.what
    assert "gavel provider-keys add" in problem.remedy


def test_parked_runs_are_shown_with_the_age_of_the_oldest() -> None:
    console = Console(width=200, record=True, file=StringIO())
    seen = overview(beat("judge", parked={"records": 4, "oldest_s": 300.0}), beat("judge", parked={"records": 1}))
    console.print(screen(seen))
    assert "5 parked runs wait, the oldest for 5 min" in console.export_text()
    assert find_problems(seen) == [], "a wait of minutes is what parking is for"


def test_a_role_that_nobody_runs_is_an_error_with_the_work_that_waits() -> None:
    seen = overview()
    assert seen.store is not None
    seen.store.heartbeats[:] = [each for each in seen.store.heartbeats if each.role != "judge"]
    [problem] = find_problems(seen)
    assert (problem.severity, problem.where) == ("error", "judge")
    assert "1,200 records wait" in problem.what


def test_topics_that_take_no_records_are_an_error() -> None:
    seen = overview()
    assert seen.kafka is not None
    seen.kafka.refused.append("topic results: partitions 0 have fewer replicas in sync than min.insync.replicas=2")
    [problem] = find_problems(seen)
    assert (problem.severity, problem.where, problem.what) == ("error", "kafka", seen.kafka.refused[0])


def test_definitions_that_were_switched_off_and_budgets_are_told() -> None:
    errored = [Errored(7, "id", "Tone", "provider_key_invalid", "401")]
    budgets = [BudgetUse("team:7", "month", 0.95), BudgetUse("team:8", "month", 0.5)]
    found = find_problems(overview(errored=errored, budgets=budgets))
    assert [each.where for each in found] == ["evaluation 'Tone' of team 7", "team:7"]


def test_hostile_names_reach_neither_the_terminal_nor_its_markup() -> None:
    line = {"at": "2026-03-01T12:00:00Z", "level": "error", "event": "x", "text": "\x1b[2J[red]\u202e" + "y" * 500}
    errored = [Errored(7, "id", "\x1b]0;title\x07[bold]", "[link]", "\x00")]
    seen = overview(beat("judge", problems=[line]), errored=errored)
    console = Console(width=120, force_terminal=False)
    with console.capture() as capture:
        console.print(screen(seen))
    shown = capture.get()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]" in shown
    assert as_json(seen)["kafka"]["lag"] == {"judge": {"tasks": 1200}}


def test_breakers_that_a_heartbeat_does_not_describe_are_counted() -> None:
    breaker = {"key": "k", "model": "m", "cause": "auth", "detail": "401", "next_probe_in_s": 3}
    problems = find_problems(overview(beat("judge", breakers=[breaker], breakers_open=70)))
    assert [problem.what for problem in problems][1:] == ["69 more breakers are open"]
