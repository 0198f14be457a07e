"""Clustering jobs and their runs, as the console shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from api.http.errors import NotFound, Unavailable
from api.services.resources import Services
from quality.extra import INSTALL
from storage.sql.api_keys import ApiKey
from storage.sql.clustering import ClusteringJobs, ClusteringRun, ClusteringRuns, QueuedClustering

_RUNS = 20
_LOOKBACK = timedelta(days=7)
_SAMPLES = 1_000
_MEMBERS = 20


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job with its newest runs."""

    job: QueuedClustering
    runs: tuple[ClusteringRun, ...]


def rows(services: Services, team_id: int) -> list[JobRow]:
    """Return the clustering jobs of a team, the oldest first; there are at most five."""
    runs = ClusteringRuns(services.database)
    return [
        JobRow(job, tuple(runs.page(team_id, job.id, limit=_RUNS, offset=0)[0]))
        for job in ClusteringJobs(services.database).all(team_id)
    ]


def run_of(services: Services, team_id: int, job_id: str, run_id: str) -> tuple[QueuedClustering, ClusteringRun]:
    """Return a run with its job. Raises `NotFound`."""
    job = ClusteringJobs(services.database).get(team_id, job_id)
    run = ClusteringRuns(services.database).get(team_id, job_id, run_id)
    if job is None or run is None:
        raise NotFound
    return job, run


def clusters_of(run: ClusteringRun) -> list[dict[str, Any]]:
    """Return the clusters of a run with their nearest members, and without the coordinates of the others."""
    found = []
    for cluster in (run.result or {}).get("clusters", ()):
        members = sorted(cluster["members"], key=lambda each: each["rank"])[:_MEMBERS]
        found.append({**cluster, "members": [{**each, "address": _address(run, each)} for each in members]})
    return found


def points_of(run: ClusteringRun) -> list[dict[str, Any]]:
    """Return the points of each cluster for the plot: x and y in thousandths, one after the other."""
    return [
        {
            "cluster": cluster["cluster_id"],
            "title": cluster["title"],
            "at": [round(1000 * value) for each in cluster["members"] for value in (each["x"], each["y"])],
        }
        for cluster in (run.result or {}).get("clusters", ())
    ]


def start(services: Services, caller: ApiKey, job_id: str) -> ClusteringRun:
    """Ask for a run over the last seven days. Raises `NotFound`, and `Unavailable` without scikit-learn."""
    if find_spec("sklearn") is None:
        raise Unavailable(f"Clustering needs scikit-learn; run {INSTALL}", code="extra_missing")
    job = ClusteringJobs(services.database).get(caller.team_id, job_id)
    if job is None:
        raise NotFound
    now = services.now()
    return ClusteringRuns(services.database).ask(
        job,
        method="auto",
        max_samples=_SAMPLES,
        window_start=now - _LOOKBACK,
        window_end=now,
        actor=caller.actor,
        now=now,
    )


def _address(run: ClusteringRun, member: Mapping[str, Any]) -> tuple[str, str]:
    """Return the kind of page of a member and the id in its address."""
    level = (run.result or {}).get("level")
    if level == "trace":
        return "traces", str(member["id"])
    return ("generations" if level == "generation" else "results"), str(member["id"])
