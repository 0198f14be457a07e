"""One clustering run from its items to its result and its event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from config.definitions import ModelConfiguration
from config.model_resolution import TeamKeys, Unresolved, resolve_model
from config.outbound.callers import caller_of
from config.settings import Settings
from evaluators.llm_judge.caller import Timeouts
from evaluators.llm_judge.providers import Endpoint
from processor.events.beside import BesideEvent, beside_event
from processor.events.identity import url_uuid
from reports.clustering.clusters import Cluster, as_json, cluster_items
from reports.clustering.embeddings import MOST_REPLY_BYTES, EmbeddingFailed, embedded
from reports.clustering.groups import Method
from reports.clustering.items import filter_matcher, read_items
from reports.clustering.labels import labelled
from reports.clustering.text import Item, distinct
from reports.clustering.vectors import lsa_vectors, reduced
from storage.clickhouse import connect
from storage.clickhouse.rows import RowSelection
from storage.clickhouse.times import time_text
from storage.sql.clustering import ClusteringJobs, ClusteringRun, ClusteringRuns, QueuedClustering
from storage.sql.engine import Database
from storage.sql.provider_keys import ProviderKeys

if TYPE_CHECKING:
    from reports.clustering.vectors import Matrix

_TIMEOUTS = Timeouts(connect_s=5.0, read_s=30.0, call_s=60.0)
_SHORT_MEMBERS = 100
"""Members of each cluster that an event keeps if it would be too large with all of them."""


@dataclass(frozen=True, slots=True)
class ClusteringOutcome:
    """Outcome of a run.

    Attributes:
        result: as it is stored.
        event: for the results topic.
    """

    result: dict[str, Any]
    event: BesideEvent
    next_cluster: int


class ClusteringWork:
    """Carries out runs. Each of its methods blocks."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._jobs = ClusteringJobs(database)
        self._runs = ClusteringRuns(database)
        self._keys = ProviderKeys.of(settings, database)

    def carry_out(self, run: ClusteringRun, job: QueuedClustering, now: datetime) -> ClusteringOutcome:
        """Return the outcome of a run.

        Raises:
            ConditionError: a filter is not valid any more.
            ExtraMissing: scikit-learn is not installed.
            ClickHouseProblem, clickhouse_connect's errors, StoreError: try again.
        """
        config = self._jobs.config(run.team_id, now=now)
        matcher = filter_matcher(config.event_filters, job.event_filters)
        selection = RowSelection(run.team_id, after=run.window_start, before=run.window_end)
        with closing(connect(self._settings.clickhouse.dsn.get_secret_value())) as client:
            items = read_items(client, job.analysis_level, selection, matcher, run.max_samples)
        endpoint, model = self._model(run.team_id)
        vectors, source, notes = self._vectors(items, endpoint)
        found = cluster_items(
            items,
            vectors,
            cast("Method", run.method),
            before=self._runs.previous_members(job.id),
            next_number=job.next_cluster,
        )
        clusters = found.clusters
        if endpoint is not None and model is not None and self._settings.clustering.labels == "model":
            clusters, problem = asyncio.run(self._labelled(clusters, endpoint, model))
            notes += [f"Clusters are named by their words, because {problem}."] if problem else []
        result = {
            "level": job.analysis_level,
            "window_start": run.window_start.isoformat(),
            "window_end": run.window_end.isoformat(),
            "items": len(items),
            "method": found.method,
            "vectors": source,
            "notes": notes,
            "parameters": {"method": run.method, "max_samples": run.max_samples},
            "clusters": [as_json(cluster) for cluster in clusters],
        }
        limit = self._settings.kafka.max_message_bytes // 2
        return ClusteringOutcome(result, clusters_event(run, job, result, limit), found.next_number)

    def _model(self, team_id: int) -> tuple[Endpoint | None, str | None]:
        """Return the endpoint of the team's active key and its default model; trial keys cluster nothing."""
        keys = self._keys.team_keys(team_id)
        if keys.active is None:
            return None, None
        try:
            resolved = resolve_model(None, keys, self._settings.judge)
        except Unresolved as error:
            return (self._endpoint_alone(keys), None) if error.code == "no_default_model" else (None, None)
        return resolved.endpoint, resolved.model

    def _endpoint_alone(self, keys: TeamKeys) -> Endpoint | None:
        """Return the endpoint of a provider without a default model, which may still embed."""
        if keys.active is None:
            return None
        chosen = ModelConfiguration(provider=keys.active.key.provider, model="embeddings")
        with suppress(Unresolved):
            return resolve_model(chosen, keys, self._settings.judge).endpoint
        return None

    def _vectors(self, items: Sequence[Item], endpoint: Endpoint | None) -> tuple[Matrix, str, list[str]]:
        texts = list(distinct(items))
        model = self._settings.clustering.embedding_model
        if not texts or endpoint is None or model is None:
            return lsa_vectors(texts or [""]), "tfidf", []
        try:
            found = asyncio.run(self._embedded(endpoint, model, texts))
        except EmbeddingFailed as error:
            return lsa_vectors(texts), "tfidf", [f"Vectors are TF-IDF and SVD, because {error}."]
        return reduced(found), model, []

    async def _embedded(self, endpoint: Endpoint, model: str, texts: Sequence[str]) -> Matrix:
        caller = caller_of(self._settings.judge, at_most=_TIMEOUTS, most_reply_bytes=MOST_REPLY_BYTES)
        deadline_s = self._settings.clustering.embedding_deadline_s
        try:
            return await embedded(caller.embed, endpoint, model, texts, deadline_s=deadline_s)
        finally:
            await caller.close()

    async def _labelled(self, clusters: Sequence[Cluster], endpoint: Endpoint, model: str) -> tuple[list[Cluster], str]:
        caller = caller_of(self._settings.judge, at_most=_TIMEOUTS)
        try:
            return await labelled(
                clusters, lambda to, payload: caller.complete(to, payload, marker="clustering"), endpoint, model
            )
        finally:
            await caller.close()


def clusters_event(run: ClusteringRun, job: QueuedClustering, result: dict[str, Any], max_bytes: int) -> BesideEvent:
    """Return the event of a run. Its id follows from the run, so a repetition has the same.

    Clusters keep their nearest members only if the event would be larger than `max_bytes` with all of them.
    """
    whole = _event(run, job, result, result["clusters"])
    if len(whole.value) <= max_bytes:
        return whole
    short = [cluster | {"members": cluster["members"][:_SHORT_MEMBERS]} for cluster in result["clusters"]]
    return _event(run, job, result, short)


def _event(
    run: ClusteringRun, job: QueuedClustering, result: dict[str, Any], clusters: list[dict[str, Any]]
) -> BesideEvent:
    properties = {
        "$ai_clustering_run_id": run.id,
        "$ai_clustering_job_id": job.id,
        "$ai_clustering_job_name": job.name,
        "$ai_clustering_level": job.analysis_level,
        "$ai_window_start": result["window_start"],
        "$ai_window_end": result["window_end"],
        "$ai_total_items_analyzed": result["items"],
        "$ai_clustering_params": {**result["parameters"], "used": result["method"], "vectors": result["vectors"]},
        "$ai_clusters": clusters,
    }
    name, uuid = f"$ai_{job.analysis_level}_clusters", url_uuid(f"gavel://clustering-run/{run.id}")
    return beside_event(name, uuid, run.team_id, time_text(run.window_end), properties, distinct_id=job.id)
