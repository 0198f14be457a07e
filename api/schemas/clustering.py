"""Shapes of clustering jobs, their filters and their runs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.parts import ObjectName, PatchBody, RequestBody, ResponseBody
from config.settings.clustering import MAX_LOOKBACK_DAYS, MAX_SAMPLES, MIN_LOOKBACK_DAYS, MIN_SAMPLES
from reports.clustering.groups import Method
from storage.sql.clustering import AnalysisLevel, RunState

_READ_ONLY = frozenset({"id", "created_at", "updated_at"})


class ClusteringJobCreate(RequestBody):
    """A job to be made."""

    READ_ONLY: ClassVar[frozenset[str]] = _READ_ONLY

    name: ObjectName
    """Different from the team's other jobs."""
    analysis_level: AnalysisLevel
    event_filters: Any = None
    """Filters that the events of a run meet, as the properties of a condition set; none takes all."""
    enabled: bool = True
    """Whether it runs every day."""


class ClusteringJobPatch(PatchBody):
    """Changes of a job."""

    READ_ONLY: ClassVar[frozenset[str]] = _READ_ONLY

    name: ObjectName | None = None
    analysis_level: AnalysisLevel | None = None
    event_filters: Any = None
    enabled: bool | None = None


class ClusteringJob(ResponseBody):
    """A clustering job."""

    id: UUID
    name: str
    analysis_level: AnalysisLevel
    event_filters: Any
    enabled: bool
    created_at: datetime
    updated_at: datetime


class EventFilters(RequestBody):
    """The filters that all runs of the team apply. Without the field nothing changes; null takes all filters away."""

    event_filters: Any = None


class ClusteringConfig(ResponseBody):
    """A team's configuration of clustering."""

    event_filters: Any
    created_at: datetime
    updated_at: datetime


class ClusteringRunCreate(RequestBody):
    """A run to be made now."""

    lookback_days: Annotated[int, Field(ge=MIN_LOOKBACK_DAYS, le=MAX_LOOKBACK_DAYS)] = 7
    max_samples: Annotated[int, Field(ge=MIN_SAMPLES, le=MAX_SAMPLES)] = 1_000
    method: Method = "auto"
    """`auto` takes HDBSCAN, and k-means where that finds no groups."""


class ClusteringRun(ResponseBody):
    """A run without its result."""

    id: UUID
    job_id: UUID
    state: RunState
    method: str
    max_samples: int
    window_start: datetime
    window_end: datetime
    attempts: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None


class ClusterMember(ResponseBody):
    """An item of a cluster."""

    id: str
    """Id of the trace, the generation or the result."""
    trace_id: str
    distance_to_centroid: float
    rank: int
    """Rank by distance, from 0 on."""
    x: float
    y: float


class Cluster(ResponseBody):
    """A cluster; `cluster_id` is -1 for the outliers, and else stays the same from run to run of a job."""

    cluster_id: int
    size: int
    title: str
    description: str
    terms: list[str]
    """Words that tell it from the others."""
    centroid: list[float]
    centroid_x: float
    centroid_y: float
    members: list[ClusterMember]


class ClusteringResult(ResponseBody):
    """The clusters that a run found."""

    level: AnalysisLevel
    items: int
    method: Literal["hdbscan", "kmeans", "auto"]
    vectors: str
    """`tfidf`, or the model of the embeddings."""
    notes: list[str]
    """Steps that did not go as configured, with their replacements."""
    clusters: list[Cluster]


class ClusteringRunDetail(ClusteringRun):
    """A run with its result, which is null until the run is completed."""

    result: ClusteringResult | None
