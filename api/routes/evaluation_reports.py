"""`llm_analytics/evaluation_reports`: reports of an evaluation, and their runs. The reports role makes the runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response, status
from fastapi.responses import HTMLResponse

from api.http.auth import Scoped
from api.http.errors import HardDelete, Invalid, NotFound, Throttled
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas import evaluation_reports as bodies
from api.services.report_changes import ReportChanges
from api.services.report_desk import MANUAL_PER_DAY
from api.services.resources import Services
from reports.evaluation_reports.due import manual_run
from reports.evaluation_reports.page.html import page_policy, render_html
from reports.evaluation_reports.page.markdown import render_markdown
from reports.evaluation_reports.targets import shown_targets
from storage.sql.api_keys import ApiKey, key_number
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluation_report_runs import ReportRun, ReportRuns, TargetDelivery
from storage.sql.evaluation_reports import EvaluationReport, EvaluationReports, ReportExists
from storage.sql.evaluations import Evaluations

router = APIRouter(route_class=OneHopRoute, prefix="/llm_analytics", tags=["llm_analytics"])

Reader = Annotated[ApiKey, Scoped("llm_analytics:read")]
Writer = Annotated[ApiKey, Scoped("llm_analytics:write")]


@router.get("/evaluation_reports/")
def list_evaluation_reports(
    caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.EvaluationReport]:
    """List the team's reports, newest first."""
    found, count = EvaluationReports(services.database).page(caller.team_id, limit=window.limit, offset=window.offset)
    return window.page([_shown(report) for report in found], count)


@router.post(
    "/evaluation_reports/",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": bodies.EvaluationReport, "description": "The evaluation had a report; it is changed."}},
)
@slow
def create_evaluation_report(
    body: bodies.EvaluationReportCreate, caller: Writer, services: ServicesParam, response: Response
) -> bodies.EvaluationReport:
    """Make the report of an evaluation, or change it if there is one: an evaluation has one report."""
    repository = EvaluationReports(services.database)
    evaluation_id = str(body.evaluation)
    _check_evaluation(services, caller, evaluation_id)
    before = repository.of_evaluation(caller.team_id, evaluation_id)
    if before is not None:
        response.status_code = status.HTTP_200_OK
        return _change(before, body.given(), caller, services)
    given = {name: getattr(body, name) for name in type(body).model_fields if name not in ("evaluation", "deleted")}
    values = ReportChanges(services.settings).columns(given, None, now=services.now())
    try:
        made = repository.create(
            caller.team_id, values | {"evaluation_id": evaluation_id}, actor=caller.actor, now=services.now()
        )
    except ReportExists:  # made by somebody else in this moment
        response.status_code = status.HTTP_200_OK
        return _change(_of_evaluation(services, caller, evaluation_id), body.given(), caller, services)
    return _shown(made)


@router.get("/evaluation_reports/{id}/")
def retrieve_evaluation_report(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.EvaluationReport:
    """Return one report."""
    return _shown(_find(services, caller, object_id))


@router.patch("/evaluation_reports/{id}/")
@slow
def update_evaluation_report(
    object_id: IdPath, body: bodies.EvaluationReportPatch, caller: Writer, services: ServicesParam
) -> bodies.EvaluationReport:
    """Change a report. `deleted` hides it and ends it; false brings it back."""
    given = body.given()
    revives = given.get("deleted") is False
    return _change(_find(services, caller, object_id, include_deleted=revives), given, caller, services)


@router.put("/evaluation_reports/{id}/")
@slow
def replace_evaluation_report(
    object_id: IdPath, body: bodies.EvaluationReportCreate, caller: Writer, services: ServicesParam
) -> bodies.EvaluationReport:
    """Replace a report: fields that are left out get their defaults."""
    given = {name: getattr(body, name) for name in type(body).model_fields if name != "deleted"}
    return _change(_find(services, caller, object_id), given | body.given(), caller, services)


@router.delete("/evaluation_reports/{id}/", status_code=status.HTTP_405_METHOD_NOT_ALLOWED)
def delete_evaluation_report(object_id: IdPath, caller: Writer) -> None:  # noqa: ARG001  # who may not ask gets 403
    """Hard delete of this model is not allowed. Use a patch API call to set "deleted" to true."""
    raise HardDelete


@router.get("/evaluation_reports/{id}/runs/")
def list_evaluation_report_runs(
    object_id: IdPath, caller: Reader, services: ServicesParam, window: WindowParam
) -> Page[bodies.EvaluationReportRun]:
    """List a report's runs, newest first, with their content and their deliveries."""
    report = _find(services, caller, object_id)
    repository = ReportRuns(services.database)
    found, count = repository.page(caller.team_id, report.id, limit=window.limit, offset=window.offset)
    deliveries = repository.deliveries([run.id for run in found])
    return window.page([_run_shown(run, deliveries[run.id]) for run in found], count)


@router.get("/evaluation_reports/{id}/runs/{run_id}/page/", response_class=HTMLResponse)
def show_evaluation_report_page(
    object_id: IdPath,
    run_id: Annotated[UUID, Path(description="A UUID string identifying the run.")],
    caller: Reader,
    services: ServicesParam,
    output: Annotated[Literal["html", "markdown"], Query(alias="format", description="Form of the page.")] = "html",
) -> Response:
    """Return the report of a run as a page of its own, or as Markdown; 404 until it is made."""
    report = _find(services, caller, object_id)
    run = ReportRuns(services.database).get(caller.team_id, str(run_id))
    if run is None or run.report_id != report.id:
        raise NotFound
    if run.content is None:
        raise NotFound("The report of this run is not made yet; its delivery_status is pending.")
    if output == "markdown":
        return Response(render_markdown(run.content), media_type="text/markdown; charset=utf-8")
    return HTMLResponse(
        render_html(run.content), headers={"Content-Security-Policy": f"{page_policy()}; frame-ancestors 'none'"}
    )


@router.post("/evaluation_reports/{id}/generate/", status_code=status.HTTP_202_ACCEPTED)
def generate_evaluation_report(
    object_id: IdPath, caller: Writer, services: ServicesParam
) -> bodies.EvaluationReportRun:
    """Ask for a report now. A call before the run is finished returns the same run; the list of runs has it."""
    report = _find(services, caller, object_id)
    now = services.now()
    repository = ReportRuns(services.database)
    made = repository.made_since(report.id, "manual", now - timedelta(days=1))
    if len(made) >= MANUAL_PER_DAY:
        raise Throttled((made[-MANUAL_PER_DAY] + timedelta(days=1) - now).total_seconds())
    run = repository.open_manual(report, manual_run(report, now, caller.actor), now=now)
    return _run_shown(run, [])


def _check_evaluation(services: Services, caller: ApiKey, evaluation_id: str) -> None:
    try:
        Evaluations(services.database).get(caller.team_id, evaluation_id)
    except EvaluationNotFound as error:
        detail = f'Invalid pk "{evaluation_id}" - object does not exist.'
        raise Invalid(detail, code="does_not_exist", attr="evaluation") from error


def _change(
    before: EvaluationReport, given: dict[str, Any], caller: ApiKey, services: Services
) -> bodies.EvaluationReport:
    evaluation: UUID | None = given.pop("evaluation", None)
    if evaluation is not None and str(evaluation) != before.evaluation_id:
        raise Invalid("A report stays with its evaluation; make one for the other evaluation.", attr="evaluation")
    if given.get("deleted") is False and before.deleted:
        _check_evaluation(services, caller, before.evaluation_id)
        given.setdefault("enabled", before.enabled)  # its dates are counted from now on
    values = ReportChanges(services.settings).columns(given, before, now=services.now())
    try:
        changed = EvaluationReports(services.database).update(
            caller.team_id, before.id, values, actor=caller.actor, now=services.now()
        )
    except ReportExists as error:
        raise Invalid("The evaluation has another report; change that one.", code="unique", attr="deleted") from error
    if changed is None:
        raise NotFound
    return _shown(changed)


def _find(services: Services, caller: ApiKey, report_id: UUID, *, include_deleted: bool = False) -> EvaluationReport:
    report = EvaluationReports(services.database).get(caller.team_id, str(report_id), include_deleted=include_deleted)
    if report is None:
        raise NotFound
    return report


def _of_evaluation(services: Services, caller: ApiKey, evaluation_id: str) -> EvaluationReport:
    report = EvaluationReports(services.database).of_evaluation(caller.team_id, evaluation_id)
    if report is None:
        raise NotFound
    return report


def _shown(report: EvaluationReport) -> bodies.EvaluationReport:
    return bodies.EvaluationReport(
        id=UUID(report.id),
        evaluation=UUID(report.evaluation_id),
        frequency=report.frequency,
        rrule=report.rrule,
        starts_at=report.starts_at,
        timezone_name=report.timezone_name,
        next_delivery_date=report.next_delivery_date,
        delivery_targets=shown_targets(report.delivery_targets),
        max_sample_size=report.max_sample_size,
        enabled=report.enabled,
        deleted=report.deleted,
        last_delivered_at=report.last_delivered_at,
        report_prompt_guidance=report.report_prompt_guidance,
        trigger_threshold=report.trigger_threshold,
        cooldown_minutes=report.cooldown_minutes,
        daily_run_cap=report.daily_run_cap,
        created_by=key_number(report.created_by),
        created_at=report.created_at,
    )


def _run_shown(run: ReportRun, deliveries: list[TargetDelivery]) -> bodies.EvaluationReportRun:
    errors = [run.error, *(each.error for each in deliveries)]
    return bodies.EvaluationReportRun(
        id=UUID(run.id),
        report=UUID(run.report_id),
        trigger=run.trigger,
        content=run.content,
        period_start=run.period_start,
        period_end=run.period_end,
        delivery_status=run.status,
        delivery_errors=[error for error in errors if error],
        deliveries=[
            bodies.ReportDelivery(
                target=shown_targets([each.target])[0],
                state=each.state,
                attempts=each.attempts,
                delivered_at=each.delivered_at,
                error=each.error or None,
            )
            for each in deliveries
        ],
        created_at=run.created_at,
        generated_at=run.generated_at,
        finished_at=run.finished_at,
    )
