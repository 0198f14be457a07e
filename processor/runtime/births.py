"""The series that a process exports from its start, with the value 0.

An alert on `increase()` needs the value before the first occurrence. A label whose values are a closed list is known
beforehand; providers and models are known as soon as evaluations name them.
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import get_args

import confluent_kafka

from config.definitions import StatusReason
from config.model_resolution import default_models
from config.settings import Settings
from config.settings.sections import Judge as JudgeSettings
from config.strategies import MAX_STEPS
from evaluators.llm_judge.failures import FailureKind
from evaluators.llm_judge.ladder import RUNGS
from evaluators.llm_judge.outcome import REFUSED
from evaluators.verdict import VERDICT_NAMES, SkipReason
from processor.dead_letters.letter import Reason
from processor.events.result import VERDICTS
from processor.events.row import Passed
from processor.judge.outputs import NotMade
from processor.judge.parked import OVERFLOW
from processor.matcher.timing import OUT_OF_TIME
from processor.measurements.anchors import ANSWERS
from processor.metric_catalogue import CounterName, GaugeName, HistogramName
from processor.metrics import NEVER, Metrics
from processor.role_topics import topics_read
from processor.sink.errors import DATA, OPERATOR, TRANSIENT
from quality.shift import Direction
from storage.clickhouse.rights import WRITTEN_TABLES
from storage.snapshot import Snapshot
from storage.sql.engine import StoreObserver
from storage.sql.labels import LabelSource
from storage.sql.measurements import MeasurementKind

_OUTCOMES = (*VERDICTS, *get_args(SkipReason))
_CALLS = ("answered", "cached", "cancelled", *get_args(FailureKind))
_WAITS = ("congested", "budget_busy", "store_unavailable", "evaluation_unknown", "evaluation_not_runnable")
"""Causes of a wait that is nobody's failure."""
_MAX_MODELS = 100
"""Models that have series before their first call; a team could name any number of them."""


def store_observer(metrics: Metrics) -> StoreObserver:
    """Return what a store tells the seconds of its transactions."""
    return lambda kind, seconds: metrics.observe("gavel_store_seconds", seconds, kind=kind)


def process_born(metrics: Metrics, settings: Settings) -> None:
    """Export the series that every process has."""
    metrics.set(
        "gavel_build_info",
        1,
        version=version("gavel"),
        python=platform.python_version(),
        librdkafka=confluent_kafka.libversion()[0],
        delivery=settings.delivery,
    )
    for kind in ("read", "write"):
        metrics.born("gavel_store_seconds", kind=kind)
    note_disk(metrics, settings)


def give_birth(metrics: Metrics, settings: Settings, roles: Iterable[str]) -> None:
    """Export the series of `roles` that are known beforehand."""
    process_born(metrics, settings)
    metrics.since("gavel_snapshot_age_seconds", NEVER)
    metrics.born("gavel_snapshot_loaded")
    metrics.born("gavel_snapshot_broken")
    metrics.born("gavel_snapshot_failures")
    for role in roles:
        if role == "reports":
            _reports(metrics, settings.kafka.topics.results)
            continue
        _stage(metrics, role, topics_read(settings, role))
        _PARTS[role](metrics)


def _all(metrics: Metrics, name: CounterName, role: str | None, **values: Iterable[str]) -> None:
    """Give birth to every combination of label values."""
    fixed = {} if role is None else {"role": role}
    for chosen in product(*values.values()):
        metrics.born(name, **fixed, **dict(zip(values, chosen, strict=True)))


_BY_TOPIC: tuple[CounterName, ...] = (
    "gavel_records_consumed",
    "gavel_bytes_consumed",
    "gavel_lost_records",
    "gavel_lost_ranges",
)
_BY_ROLE: tuple[CounterName | GaugeName | HistogramName, ...] = (
    "gavel_commits",
    "gavel_transactions_aborted",
    "gavel_stalls",
    "gavel_batch_seconds",
    "gavel_commit_seconds",
    "gavel_records_in_flight",
    "gavel_bytes_in_flight",
    "gavel_partitions_paused",
    "gavel_partitions_assigned",
)


def _stage(metrics: Metrics, role: str, topics: Iterable[str]) -> None:
    for name in _BY_TOPIC:
        _all(metrics, name, role, topic=topics)
    for each in _BY_ROLE:
        metrics.born(each, role=role)
    _all(metrics, "gavel_rebalances", role, kind=("assigned", "revoked", "lost"))
    _all(metrics, "gavel_dead_letters", role, reason=get_args(Reason))
    for client in ("consumer", "producer"):
        _all(metrics, "gavel_kafka_errors", role, client=(client,), kind=("request", "timeout"))


def _matcher(metrics: Metrics, role: str = "matcher") -> None:
    _all(metrics, "gavel_records_skipped", role, reason=(*get_args(Passed), "team_without_evaluations"))
    _all(metrics, "gavel_evaluation_outcomes", None, outcome=("matched", "filtered", "sampled_out", "error"))
    _all(metrics, "gavel_results", role, runtime=("hog",), outcome=_OUTCOMES)
    _all(metrics, "gavel_tasks", None, runtime=("llm_judge", "hog"), trigger=("live",))
    _all(metrics, "gavel_team_budget_exceeded", None, work=("hog", "match"))
    _all(metrics, "gavel_runs_not_made", role, reason=("judge_call",))
    _all(metrics, "gavel_judge_status_changes", None, status=("error",), reason=("hog_error",))
    _all(metrics, "gavel_events_out_of_time", role, kind=OUT_OF_TIME)
    _all(metrics, "gavel_labels", None, source=get_args(LabelSource))
    _all(
        metrics,
        "gavel_measurement_runs",
        None,
        kind=get_args(MeasurementKind),
        outcome=("completed", "incomplete", "failed"),
    )
    metrics.born("gavel_canary_successes")
    for answer in ANSWERS:
        metrics.born("gavel_drift_evaluations", state=answer)
    metrics.born("gavel_drift_alarms")
    metrics.since("gavel_anchor_age_seconds", 0)
    metrics.born("gavel_hog_seconds", role=role)
    metrics.born("gavel_result_latency_seconds", role=role)


def _judge(metrics: Metrics) -> None:
    role = "judge"
    _all(metrics, "gavel_results", role, runtime=("llm_judge", "hog"), outcome=_OUTCOMES)
    _all(metrics, "gavel_runs_not_made", role, reason=get_args(NotMade))
    causes = {*get_args(FailureKind), *get_args(StatusReason), *_WAITS, REFUSED, OVERFLOW}
    _all(metrics, "gavel_judge_parked", None, cause=sorted(causes))
    _all(metrics, "gavel_measurement_calls", None, kind=get_args(MeasurementKind))
    _all(metrics, "gavel_measurement_cost_usd", None, kind=get_args(MeasurementKind))
    _all(metrics, "gavel_judge_probes", None, outcome=("answered", *get_args(FailureKind)))
    _all(metrics, "gavel_judge_status_changes", None, status=("error", "active"), reason=get_args(StatusReason))
    steps = [str(step) for step in range(1, MAX_STEPS + 1)]
    _all(metrics, "gavel_judge_steps", None, step=steps, outcome=("judged", "cached", "skipped"))
    metrics.born("gavel_suspected_injections")
    metrics.born("gavel_judge_breakers_open")
    metrics.born("gavel_judge_in_flight")
    metrics.born("gavel_judge_waiting")
    metrics.born("gavel_result_latency_seconds", role=role)
    metrics.born("gavel_hog_seconds", role=role)


def _sink(metrics: Metrics) -> None:
    _all(metrics, "gavel_records_skipped", "sink", reason=(*get_args(Passed), "bad_row"))
    _all(metrics, "gavel_sink_rows", None, table=WRITTEN_TABLES)
    _all(metrics, "gavel_sink_retries", None, reason=sorted({*(TRANSIENT | OPERATOR | DATA).values(), "transport"}))
    for table in WRITTEN_TABLES:
        metrics.born("gavel_sink_insert_seconds", table=table)
        metrics.born("gavel_row_latency_seconds", table=table)
    metrics.set("gavel_sink_blocked", 0)


_OF_REPORTS: tuple[CounterName | GaugeName, ...] = (
    "gavel_reports_events_not_sent",
    "gavel_reports_open",
    "gavel_windows_kept",
    "gavel_windows_restarts",
)


def _reports(metrics: Metrics, results: str) -> None:
    _all(metrics, "gavel_records_consumed", "reports", topic=(results,))
    _all(metrics, "gavel_records_skipped", "reports", reason=("other_event", "bad_row"))
    _all(metrics, "gavel_windows_results", None, outcome=(*VERDICT_NAMES, "duplicate", "late", "future"))
    _all(metrics, "gavel_windows_shifts", None, direction=get_args(Direction))
    _all(metrics, "gavel_clustering_runs", None, outcome=("completed", "failed", "retried", "lost"))
    _all(metrics, "gavel_reports_generated", None, figures=("yes", "no"))
    outcomes = ("delivered", "failed", "retry", "unknown")
    _all(metrics, "gavel_reports_deliveries", None, kind=("email", "slack", "webhook"), outcome=outcomes)
    _all(metrics, "gavel_reports_runs", None, status=("generated", "delivered", "partial_failure", "failed"))
    for name in _OF_REPORTS:
        metrics.born(name)
    metrics.since("gavel_reports_overdue_seconds", 0.0)
    for window, outcome in product(("minute", "hour", "day"), VERDICT_NAMES):
        metrics.born("gavel_windows_current", window=window, outcome=outcome)


_PARTS = {"matcher": _matcher, "judge": _judge, "sink": _sink}


def models_born(metrics: Metrics, snapshot: Snapshot, settings: JudgeSettings) -> None:
    """Export the series of the evaluations, and of the providers and models that may judge them."""
    models: set[tuple[str, str]] = set()
    names_none = False
    for team in snapshot.teams.values():
        for each in team.evaluations:
            definition = each.definition
            metrics.known_evaluation(definition.team_id, str(definition.id))
            chosen = definition.model_configuration
            names_none |= chosen is None and definition.prompt is not None
            for step in () if chosen is None else chosen.models:
                if len(models) < _MAX_MODELS:
                    models.add((step.provider, step.model))
    for provider, model in models | (default_models(settings) if names_none else set()):
        for outcome in _CALLS:
            metrics.born("gavel_judge_calls", provider=provider, model=model, outcome=outcome)
        for direction in ("input", "output"):
            metrics.born("gavel_judge_tokens", provider=provider, model=model, direction=direction)
        metrics.born("gavel_judge_cost_usd", provider=provider, model=model)
        metrics.born("gavel_judge_call_seconds", provider=provider)
        for rung in RUNGS[1:]:
            metrics.born("gavel_judge_output_modes", model=model, mode=rung)


def note_disk(metrics: Metrics, settings: Settings) -> None:
    """Set the free share of the disk that holds `data_dir`."""
    path = Path(settings.data_dir)
    if path.exists():
        usage = shutil.disk_usage(path)
        metrics.set("gavel_disk_free_ratio", usage.free / usage.total if usage.total else 1.0)
