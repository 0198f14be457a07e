"""Every series whose labels are known beforehand is exported as 0 from the start of a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from pydantic import SecretStr

from config.settings import load_settings
from config.settings.safety import ROLES
from config.settings.sections import Judge
from evaluators.llm_judge.failures import FailureKind
from evaluators.llm_judge.ladder import RUNGS
from evaluators.llm_judge.providers import PROVIDERS
from evaluators.verdict import VERDICT_NAMES, SkipReason
from processor.dead_letters.letter import Reason
from processor.events.row import Passed
from processor.judge.outputs import NotMade
from processor.metric_catalogue import CATALOGUE, CounterName, GaugeName
from processor.metrics import Metrics
from processor.runtime.births import give_birth, models_born
from reports.evaluation_reports.delivery.outcome import Ending
from storage.sql.evaluation_report_runs import ReportRunStatus
from tests.unit.processor.matcher.matching import snapshot_of

BY_NAME_ONLY = {"gavel_judge_calls", "gavel_judge_tokens", "gavel_judge_cost_usd", "gavel_judge_output_modes"}
"""Their labels name providers and models, which evaluations tell."""
PROMPT = {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it polite?"}, "output_type": "boolean"}
ELSEWHERE = {"gavel_http_requests", "gavel_evaluation_results", "gavel_worker_ends", "gavel_traces_exported"}
ELSEWHERE |= {"gavel_traces_dropped", "gavel_console_queries_refused"}


def names_of(families: Any) -> set[Any]:
    return {name for family in get_args(families) for name in get_args(family)}


def started(tmp_path: Path, *roles: str) -> tuple[CollectorRegistry, Metrics]:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    give_birth(metrics, load_settings(None, overrides={"data_dir": str(tmp_path)}), roles)
    return registry, metrics


def test_every_counter_of_a_role_is_there_and_zero(tmp_path: Path) -> None:
    _, metrics = started(tmp_path, *ROLES)
    missing = [
        name
        for name in names_of(CounterName)
        if not metrics.series(name) and not name.startswith("gavel_ingest_") and name not in BY_NAME_ONLY | ELSEWHERE
    ]
    assert missing == []
    assert {metrics.total(name) for name in names_of(CounterName)} == {0}


@pytest.mark.parametrize(
    ("name", "labels", "label", "values"),
    [
        ("gavel_dead_letters", {"role": "matcher"}, "reason", get_args(Reason)),
        ("gavel_dead_letters", {"role": "sink"}, "reason", get_args(Reason)),
        ("gavel_records_skipped", {"role": "matcher"}, "reason", get_args(Passed)),
        ("gavel_runs_not_made", {"role": "judge"}, "reason", get_args(NotMade)),
        ("gavel_results", {"role": "judge", "runtime": "llm_judge"}, "outcome", get_args(SkipReason)),
        ("gavel_judge_parked", {}, "cause", get_args(FailureKind)),
        ("gavel_records_skipped", {"role": "reports"}, "reason", ("other_event", "bad_row")),
        ("gavel_reports_deliveries", {"kind": "slack"}, "outcome", get_args(Ending)),
        ("gavel_reports_runs", {}, "status", tuple(set(get_args(ReportRunStatus)) - {"pending"})),
        ("gavel_clustering_runs", {}, "outcome", ("completed", "failed", "retried", "lost")),
        ("gavel_windows_current", {"window": "day"}, "outcome", VERDICT_NAMES),
    ],
)
def test_every_value_of_a_closed_list_has_a_series(
    tmp_path: Path, name: CounterName, labels: dict[str, str], label: str, values: tuple[str, ...]
) -> None:
    _, metrics = started(tmp_path, *ROLES)
    assert set(values) <= set(metrics.read(name, by=label, **labels))


def test_the_gauges_of_reports_are_zero_before_the_first_look(tmp_path: Path) -> None:
    registry, _ = started(tmp_path, "reports")
    for name in ("gavel_reports_open", "gavel_reports_overdue_seconds", "gavel_windows_kept"):
        assert registry.get_sample_value(name) == 0, name


def test_a_process_has_no_series_of_roles_that_it_does_not_run(tmp_path: Path) -> None:
    registry, _ = started(tmp_path, "matcher")
    text = generate_latest(registry).decode()
    assert 'role="matcher"' in text
    assert 'role="judge"' not in text
    assert "gavel_sink_blocked 0" not in text


def test_definitions_that_were_never_loaded_are_infinitely_old(tmp_path: Path) -> None:
    registry, _ = started(tmp_path, "matcher")
    assert registry.get_sample_value("gavel_snapshot_age_seconds") == float("inf")
    assert registry.get_sample_value("gavel_snapshot_loaded") == 0


def test_the_release_and_the_disk_are_told(tmp_path: Path) -> None:
    registry, metrics = started(tmp_path, "sink")
    (build,) = metrics.series("gavel_build_info")
    assert set(build) == set(CATALOGUE["gavel_build_info"].labels)
    free = registry.get_sample_value("gavel_disk_free_ratio")
    assert free is not None
    assert 0 < free < 1


def test_evaluations_that_are_loaded_have_series_before_their_first_result(tmp_path: Path) -> None:
    _, metrics = started(tmp_path, "matcher")
    snapshot = snapshot_of({}, {"name": "another"})
    models_born(metrics, snapshot, Judge())
    loaded = {str(each.definition.id) for team in snapshot.teams.values() for each in team.evaluations}
    assert loaded
    assert set(metrics.read("gavel_evaluation_results", by="evaluation")) == loaded


def test_a_judge_that_names_no_model_has_the_series_of_each_default(tmp_path: Path) -> None:
    _, metrics = started(tmp_path, "judge")
    trial = Judge(trial_api_key=SecretStr("k"), trial_provider="fireworks", trial_model="a/model")
    models_born(metrics, snapshot_of({}), trial)
    assert not metrics.series("gavel_judge_output_modes"), "nobody judges with a model"
    models_born(metrics, snapshot_of(PROMPT), trial)
    wanted = {("fireworks", "a/model")}
    wanted |= {(name, each.default_model) for name, each in PROVIDERS.items() if each.default_model}
    calls = metrics.series("gavel_judge_calls")
    assert {(each["provider"], each["model"]) for each in calls} == wanted
    assert {each["outcome"] for each in calls} >= set(get_args(FailureKind))
    modes = {(each["model"], each["mode"]) for each in metrics.series("gavel_judge_output_modes")}
    assert modes == {(model, mode) for _, model in wanted for mode in RUNGS[1:]}


def test_the_names_of_gauges_are_those_of_the_catalogue() -> None:
    assert set(names_of(GaugeName)) == {name for name, each in CATALOGUE.items() if each.kind == "gauge"}
