"""`llm_analytics/clustering_jobs` and `clustering_config`: jobs, filters, runs, and the page of a run."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, status
from fastapi.responses import HTMLResponse

from api.http.auth import Scoped
from api.http.errors import Conflict, Invalid, NotFound, Unavailable
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas import clustering as bodies
from api.schemas.tolerance import filters as known_filters
from api.services.resources import Services
from conditions import ConditionError
from config.definition_errors import DefinitionError
from quality.extra import INSTALL
from reports.clustering.items import filter_matcher
from reports.clustering.plot import POLICY, page
from storage.sql.api_keys import ApiKey
from storage.sql.clustering import (
    MOST_JOBS,
    ClusteringJobs,
    ClusteringRun,
    ClusteringRuns,
    Config,
    NameTaken,
    QueuedClustering,
    TooManyJobs,
)

router = APIRouter(route_class=OneHopRoute, prefix="/llm_analytics", tags=["llm_analytics"])

Reader = Annotated[ApiKey, Scoped("llm_analytics:read")]
Writer = Annotated[ApiKey, Scoped("llm_analytics:write")]
RunPath = Annotated[UUID, Path(description="A UUID string identifying the run.")]

_MOST_FILTERS = 50


@router.get("/clustering_config/")
def retrieve_clustering_config(caller: Reader, services: ServicesParam) -> bodies.ClusteringConfig:
    """Get the team's configuration of clustering; it is made at the first time."""
    return _config(ClusteringJobs(services.database).config(caller.team_id, now=services.now()))


@router.post("/clustering_config/set_event_filters/")
def set_clustering_event_filters(
    caller: Writer, services: ServicesParam, body: bodies.EventFilters | None = None
) -> bodies.ClusteringConfig:
    """Replace the filters that every run of the team applies."""
    jobs = ClusteringJobs(services.database)
    given = {} if body is None else body.given()
    if "event_filters" not in given:
        return _config(jobs.config(caller.team_id, now=services.now()))
    filters = _checked(given["event_filters"])
    return _config(jobs.set_event_filters(caller.team_id, filters, now=services.now()))


@router.get("/clustering_jobs/")
def list_clustering_jobs(caller: Reader, services: ServicesParam, window: WindowParam) -> Page[bodies.ClusteringJob]:
    """List the team's clustering jobs, the oldest first."""
    return window.page_of([_job(job) for job in ClusteringJobs(services.database).all(caller.team_id)])


@router.post("/clustering_jobs/", status_code=status.HTTP_201_CREATED)
def create_clustering_job(
    body: bodies.ClusteringJobCreate, caller: Writer, services: ServicesParam
) -> bodies.ClusteringJob:
    """Make a clustering job; a team has at most five."""
    values = {
        "name": body.name,
        "analysis_level": body.analysis_level,
        "event_filters": _checked(body.event_filters),
        "enabled": body.enabled,
    }
    try:
        job = ClusteringJobs(services.database).create(caller.team_id, values, actor=caller.actor, now=services.now())
    except TooManyJobs as error:
        raise Invalid(f"A team has at most {MOST_JOBS} clustering jobs; delete one.", code="max_jobs") from error
    except NameTaken as error:
        raise _name_taken() from error
    return _job(job)


@router.get("/clustering_jobs/{id}/")
def retrieve_clustering_job(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.ClusteringJob:
    """Return one clustering job."""
    return _job(_find(services, caller, object_id))


@router.patch("/clustering_jobs/{id}/")
def update_clustering_job(
    object_id: IdPath, body: bodies.ClusteringJobPatch, caller: Writer, services: ServicesParam
) -> bodies.ClusteringJob:
    """Change a clustering job."""
    given = body.given()
    for name in ("name", "analysis_level", "enabled"):
        if name in given and given[name] is None:
            raise Invalid("This field may not be null.", code="null", attr=name)
    if "event_filters" in given:
        given["event_filters"] = _checked(given["event_filters"])
    try:
        job = ClusteringJobs(services.database).update(
            caller.team_id, str(object_id), given, actor=caller.actor, now=services.now()
        )
    except NameTaken as error:
        raise _name_taken() from error
    if job is None:
        raise NotFound
    return _job(job)


@router.delete("/clustering_jobs/{id}/", status_code=status.HTTP_204_NO_CONTENT)
def delete_clustering_job(object_id: IdPath, caller: Writer, services: ServicesParam) -> None:
    """Delete a clustering job with its runs."""
    jobs = ClusteringJobs(services.database)
    if not jobs.delete(caller.team_id, str(object_id), actor=caller.actor, now=services.now()):
        raise NotFound


@router.post("/clustering_jobs/{id}/run/", status_code=status.HTTP_202_ACCEPTED)
def run_clustering_job(
    object_id: IdPath, caller: Writer, services: ServicesParam, body: bodies.ClusteringRunCreate | None = None
) -> bodies.ClusteringRun:
    """Ask for a run. An instance of the reports role makes it; `runs/{run_id}/` shows how far it is."""
    if find_spec("sklearn") is None:
        raise Unavailable(f"Clustering needs scikit-learn; run {INSTALL}", code="extra_missing")
    body = body or bodies.ClusteringRunCreate()
    job = _find(services, caller, object_id)
    now = services.now()
    run = ClusteringRuns(services.database).ask(
        job,
        method=body.method,
        max_samples=body.max_samples,
        window_start=now - timedelta(days=body.lookback_days),
        window_end=now,
        actor=caller.actor,
        now=now,
    )
    return _run(run)


@router.get("/clustering_jobs/{id}/runs/")
def list_clustering_runs(
    object_id: IdPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.ClusteringRun]:
    """List a job's runs, newest first."""
    job = _find(services, caller, object_id)
    found, count = ClusteringRuns(services.database).page(
        caller.team_id, job.id, limit=window.limit, offset=window.offset
    )
    return window.page([_run(run) for run in found], count)


@router.get("/clustering_jobs/{id}/runs/{run_id}/")
@slow
def retrieve_clustering_run(
    object_id: IdPath, run_id: RunPath, caller: Reader, services: ServicesParam
) -> bodies.ClusteringRunDetail:
    """Return one run with its clusters."""
    run = _find_run(services, caller, object_id, run_id)
    result = None if run.result is None else bodies.ClusteringResult.model_validate(run.result)
    return bodies.ClusteringRunDetail(**_run(run).model_dump(), result=result)


@router.get(
    "/clustering_jobs/{id}/runs/{run_id}/plot/",
    response_class=HTMLResponse,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
@slow
def plot_clustering_run(object_id: IdPath, run_id: RunPath, caller: Reader, services: ServicesParam) -> HTMLResponse:
    """Return a run as a page: a plot of its items, and its clusters. It loads nothing and runs no script."""
    run = _find_run(services, caller, object_id, run_id)
    if run.result is None:
        raise Conflict(f"The run is {run.state}; it has no clusters to show.", code="wrong_state")
    name = _find(services, caller, object_id).name
    return HTMLResponse(page(name, run.result), headers={"Content-Security-Policy": POLICY})


def _find(services: Services, caller: ApiKey, job_id: UUID) -> QueuedClustering:
    job = ClusteringJobs(services.database).get(caller.team_id, str(job_id))
    if job is None:
        raise NotFound
    return job


def _find_run(services: Services, caller: ApiKey, job_id: UUID, run_id: UUID) -> ClusteringRun:
    run = ClusteringRuns(services.database).get(caller.team_id, str(job_id), str(run_id))
    if run is None:
        raise NotFound
    return run


def _checked(filters: Any) -> Any:
    """Return filters as they are stored. Raises `Invalid` where a run could not apply them."""
    attr = "event_filters"
    if filters is None:
        return []
    given = filters if isinstance(filters, list) else [filters]
    if len(given) > _MOST_FILTERS:
        raise Invalid(f"At most {_MOST_FILTERS} filters.", attr=attr)
    known = known_filters(given, attr)
    try:
        filter_matcher(known)
    except (ConditionError, DefinitionError) as error:
        raise Invalid(str(error), attr=attr) from error
    return known


def _name_taken() -> Invalid:
    return Invalid("Another clustering job of this team has this name.", code="unique", attr="name")


def _job(job: QueuedClustering) -> bodies.ClusteringJob:
    return bodies.ClusteringJob.model_validate(job)


def _config(config: Config) -> bodies.ClusteringConfig:
    return bodies.ClusteringConfig.model_validate(config)


def _run(run: ClusteringRun) -> bodies.ClusteringRun:
    return bodies.ClusteringRun(
        id=UUID(run.id),
        job_id=UUID(run.job_id),
        state=run.state,
        method=run.method,
        max_samples=run.max_samples,
        window_start=run.window_start,
        window_end=run.window_end,
        attempts=run.attempts,
        error=run.error or None,
        created_at=run.created_at,
        finished_at=run.finished_at,
    )
