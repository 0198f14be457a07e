"""How a role of this process is, for its heartbeat."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from processor.events.output import TopicAndPartition
from processor.kafka_statistics import brokers_away
from processor.metric_catalogue import CounterName
from processor.metrics import Metrics
from processor.runtime.logs import RecentProblems
from processor.stream.stage import Stage
from storage.snapshot import SnapshotPoller
from storage.sql.heartbeats import RoleState, Vitals

_OF_ROLE: tuple[CounterName, ...] = (
    "gavel_records_consumed",
    "gavel_results",
    "gavel_dead_letters",
    "gavel_runs_not_made",
    "gavel_commits",
    "gavel_transactions_aborted",
    "gavel_rebalances",
    "gavel_lost_records",
    "gavel_stalls",
)
"""Counters with the label `role`."""
_OF_PROCESS: dict[str, tuple[CounterName, ...]] = {
    "matcher": ("gavel_tasks",),
    "judge": ("gavel_judge_calls", "gavel_judge_cost_usd", "gavel_judge_parked"),
    "sink": ("gavel_sink_rows", "gavel_sink_retries"),
    "ingest": ("gavel_ingest_requests", "gavel_ingest_events", "gavel_ingest_bytes"),
    "reports": ("gavel_windows_results", "gavel_windows_shifts", "gavel_windows_restarts", "gavel_clustering_runs"),
}
"""Counters that only one role counts, and that have no label for it."""
SINK_BLOCKED = "ClickHouse takes nothing; the sink waits and loses nothing"
_MAX_BREAKERS = 50
"""Open breakers that a heartbeat describes; it counts all of them."""
ANSWERS_WITHIN_S = 15.0
"""Seconds since the last turn of a polling thread, or since a commit began, after which a role waits for something,
such as a commit without a broker. Its client tells nothing meanwhile."""
SERVICE_ROLES = frozenset({"api", "ingest"})
"""Services beside the roles of `gavel up` that are processes of their own elsewhere."""


def stage_vitals(
    stage: Stage, snapshots: SnapshotPoller, metrics: Metrics, problems: RecentProblems, details: dict[str, Any]
) -> Vitals:
    """Return how a stage is. Safe from any thread.

    Args:
        details: what the role itself has to say, such as the breakers of the judge.
    """
    state, reason = _state(stage, snapshots, metrics)
    lag = metrics.read("gavel_consumer_lag", by="topic", role=stage.role)
    lag_s = metrics.ages_s("gavel_lag_seconds", by="topic", role=stage.role)
    snapshot = snapshots.current
    known = {
        "lag": {topic: int(records) for topic, records in lag.items()},
        "lag_s": {topic: round(seconds, 1) for topic, seconds in lag_s.items()},
        "in_flight": stage.records_in_flight,
        "paused": _by_topic(stage.paused),
        "problems": problems.of(stage.role),
    }
    if "breakers" in details:
        known["breakers_open"] = len(details["breakers"])
        details = {**details, "breakers": details["breakers"][:_MAX_BREAKERS]}
    if stage.role == "judge":
        oldest_s = round(metrics.oldest_s("gavel_parked_oldest_seconds"), 1)
        known["parked"] = {"records": int(metrics.total("gavel_parked_records")), "oldest_s": oldest_s}
    if snapshot is not None:
        known["snapshot"] = {
            "revision": snapshot.revision,
            "age_s": round(snapshots.age_s, 1),
            "broken": len(snapshot.broken),
        }
    assignment = _by_topic(stage.sources)
    return Vitals(state, reason, assignment, counters_of(stage.role, metrics), {**known, **details})


def kafka_away(stage: Stage, metrics: Metrics) -> bool:
    """Return whether no broker is connected, or the stage has waited long for one to answer."""
    return stage.waits_since_s < monotonic() - ANSWERS_WITHIN_S or brokers_away(metrics, stage.role)


def _by_topic(sources: Iterable[TopicAndPartition]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for topic, partition in sorted(sources):
        found.setdefault(topic, []).append(partition)
    return found


Condition = tuple[RoleState, str, dict[str, Any]]
"""State, reason and details of a service, as the service itself says."""


def running() -> Condition:
    """Return the condition of a service that has nothing to say."""
    return "running", "", {}


def service_vitals(
    role: str, metrics: Metrics, problems: RecentProblems, condition: Callable[[], Condition] = running
) -> Vitals:
    """Return how a service without partitions is, such as the API or the front door."""
    state, reason, details = condition()
    counters = counters_of(role, metrics)
    return Vitals(state, reason, counters=counters, details={"problems": problems.of(role), **details})


def counters_of(role: str, metrics: Metrics) -> dict[str, float]:
    """Return the totals of a role since the process started, by name without `gavel_`."""
    totals = {name: metrics.total(name, role=role) for name in _OF_ROLE}
    totals |= {name: metrics.total(name) for name in _OF_PROCESS.get(role, ())}
    return {name.removeprefix("gavel_"): round(total, 6) for name, total in totals.items()}


def _state(stage: Stage, snapshots: SnapshotPoller, metrics: Metrics) -> tuple[RoleState, str]:
    if snapshots.current is None:
        problem = snapshots.last_error
        return "waiting", f"the definitions were never loaded{f': {problem}' if problem else ''}"
    if not stage.subscribed:
        return "starting", "the consumer is not subscribed yet"
    if kafka_away(stage, metrics):
        return "waiting", "no broker of Kafka is connected or answers; it goes on by itself once they are back"
    if stage.waits_for_partitions:
        return "waiting", "the consumer group has not assigned partitions yet; is the broker there?"
    if stage.role == "sink" and metrics.total("gavel_sink_blocked"):
        return "blocked", SINK_BLOCKED
    return "running", ""
