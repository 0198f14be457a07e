"""Sets drift anchors up, shows their answer, and acknowledges an alarm."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from api.http.errors import Conflict, Invalid, NotFound
from api.schemas import anchors as bodies
from api.schemas.measurements import Cost
from api.services.resources import Services
from api.services.trust import measurements
from api.services.trust.extra import extra_needed
from api.services.trust.measurements import MeasurementPlan, checked_golden
from api.services.versions import version_of
from config.definitions import Evaluation
from quality.anchors import BASELINE_RUNS
from quality.drift import null_rate
from storage.anchor_starts import NoAnchors, anchors_of, begin_run
from storage.canary_starts import anchored_canaries
from storage.drift import Drift, drift_in
from storage.golden_items import measured_items
from storage.sql.anchors import AnchorBaseline, AnchorRun, Anchors, AnchorSchedule
from storage.sql.api_keys import ApiKey
from storage.sql.measurements import MeasurementRun
from storage.sql.served_models import SeenModel, ServedModels

_RUNS_SHOWN = 30
_NO_ANCHORS = "The evaluation has no anchors; set them up with PUT trust/anchors/."


def planned(services: Services, caller: ApiKey, evaluation: Evaluation, body: bodies.AnchorsPut) -> AnchorSchedule:
    """Return the schedule that a body asks for.

    Raises:
        Invalid: the golden set cannot serve, or has too few items.
        Unavailable: a package of the extra `quality` is not installed, without which a baseline cannot be read.
    """
    with extra_needed():
        null_rate(0, 1)
    checked_golden(
        services, evaluation, body.golden_set, body.golden_set_version, (version_of(services, evaluation, None),)
    )
    now = services.now()
    schedule = AnchorSchedule(
        evaluation_id=evaluation.id, team_id=caller.team_id, enabled=body.enabled, golden_set=str(body.golden_set),
        golden_set_version=body.golden_set_version, size=body.size, every_hours=body.every_hours,
        canaries=body.canaries, next_at=now, run_id=None, run_since=None, counted_at=None, answer="collecting",
        created_by=caller.actor, created_at=now,
    )  # fmt: skip
    try:
        anchors_of(services.database, schedule, evaluation)
    except NoAnchors as error:
        raise Invalid(str(error), code="too_few", attr="golden_set_version") from error
    return schedule


def plan_of(services: Services, evaluation: Evaluation, schedule: AnchorSchedule, runs: int) -> MeasurementPlan:
    """Return what `runs` runs of a schedule would judge, to count their cost."""
    try:
        items = anchors_of(services.database, schedule, evaluation)
    except NoAnchors as error:
        raise Invalid(str(error), code="too_few", attr=None) from error
    version = version_of(services, evaluation, None)
    return MeasurementPlan("", "anchors", (version,), runs, measured_items(items), {}, tuple(items))


def cost_of(services: Services, evaluation: Evaluation, schedule: AnchorSchedule) -> Cost:
    """Return what a new baseline would cost, with the canaries that go with it."""
    anchors = measurements.cost_of(services, evaluation, plan_of(services, evaluation, schedule, BASELINE_RUNS))
    found = anchored_canaries(services.database, schedule, evaluation)
    if found is None:
        return anchors
    version = version_of(services, evaluation, None)
    plan = MeasurementPlan("", "canaries", (version,), 1, found.items, found.params, found.twins)
    return measurements.sum_of(anchors, measurements.cost_of(services, evaluation, plan))


def put(services: Services, caller: ApiKey, evaluation: Evaluation, schedule: AnchorSchedule) -> bodies.AnchorsShown:
    """Store a schedule and show it."""
    Anchors(services.database).put(schedule, actor=caller.actor, now=services.now())
    return shown(services, evaluation)


def schedule_of(services: Services, evaluation: Evaluation) -> AnchorSchedule:
    """Return the schedule of an evaluation. Raises `NotFound`."""
    found = Anchors(services.database).get(evaluation.team_id, evaluation.id)
    if found is None:
        raise NotFound(_NO_ANCHORS)
    return found


def schedule_to_run(services: Services, evaluation: Evaluation) -> AnchorSchedule:
    """Return the schedule whose anchors are to be judged now. Raises `Invalid` without one."""
    found = Anchors(services.database).get(evaluation.team_id, evaluation.id)
    if found is None:
        raise Invalid(_NO_ANCHORS, code="no_anchors", attr="kind")
    return found


def acknowledge(services: Services, caller: ApiKey, evaluation: Evaluation) -> bodies.AnchorsShown:
    """Take a new baseline, which ends an alarm, and keep the old one. Raises `NotFound`."""
    schedule = schedule_of(services, evaluation)
    Anchors(services.database).renew(
        schedule, evaluation.version, evaluation.fingerprint, actor=caller.actor, now=services.now()
    )
    return shown(services, evaluation)


def run_now(services: Services, caller: ApiKey, evaluation: Evaluation) -> MeasurementRun:
    """Judge the anchors now.

    Raises:
        Invalid: the evaluation has no anchors, or too few.
        Conflict: a run is under way.
    """
    schedule = schedule_to_run(services, evaluation)
    try:
        begun = begin_run(services.database, schedule, evaluation, actor=caller.actor, now=services.now())
    except NoAnchors as error:
        raise Invalid(str(error), code="too_few", attr="kind") from error
    if begun is None:
        raise Conflict("A run of the anchors is under way; wait for it or cancel it.", code="already_running")
    return begun.run


def shown(services: Services, evaluation: Evaluation) -> bodies.AnchorsShown:
    """Return the anchors of an evaluation with their answer. Raises `NotFound`."""
    schedule = schedule_of(services, evaluation)
    store = Anchors(services.database)
    runs = store.runs(evaluation.id, limit=_RUNS_SHOWN)
    baselines = store.baselines(evaluation.id)
    owner = services.owners.of([schedule.created_by, *(each.ended_by for each in baselines)])
    return bodies.AnchorsShown(
        evaluation=UUID(evaluation.id),
        golden_set=UUID(schedule.golden_set),
        golden_set_version=schedule.golden_set_version,
        size=schedule.size,
        every_hours=schedule.every_hours,
        canaries=schedule.canaries,
        enabled=schedule.enabled,
        next_at=schedule.next_at,
        running=None if schedule.run_id is None else UUID(schedule.run_id),
        problem=_problem(services, schedule, evaluation),
        created_by=owner(schedule.created_by),
        drift=drift_shown(services, evaluation),
        runs=[_run(each) for each in runs],
        baselines=[
            bodies.BaselineShown(
                **{name: getattr(each, name) for name in bodies.BaselineShown.model_fields if name != "ended_by"},
                ended_by=owner(each.ended_by),
            )
            for each in baselines
        ],
        served=[_served(each) for each in ServedModels(services.database).of(evaluation.id)],
    )


def drift_shown(services: Services, evaluation: Evaluation) -> bodies.DriftShown:
    """Return who moved; `collecting` without a baseline."""
    store = Anchors(services.database)
    baseline = store.baseline(evaluation.id)
    runs = [] if baseline is None else store.runs(evaluation.id, baseline=baseline.number, limit=_RUNS_SHOWN)
    newest = next((each for each in runs if each.counted), None)
    return _drift(drift_in(services.database, evaluation.team_id, evaluation.id, services.now()), baseline, newest)


def _drift(drift: Drift, baseline: AnchorBaseline | None, newest: AnchorRun | None) -> bodies.DriftShown:
    before = None
    if baseline is not None and baseline.agreed_before is not None and baseline.labelled_before is not None:
        before = bodies.AgreementWithLabels(agreed=baseline.agreed_before, labelled=baseline.labelled_before)
    shift = drift.shift
    return bodies.DriftShown(
        answer=drift.answer,
        statistic=drift.statistic,
        null_rate=baseline.null_rate if baseline else None,
        runs=baseline.runs if baseline else 0,
        baseline=baseline.number if baseline else None,
        version=baseline.version if baseline else None,
        anchors=newest.anchors if newest else None,
        flips=newest.flips if newest else None,
        to_pass=newest.to_pass if newest else None,
        to_fail=newest.to_fail if newest else None,
        agreement_before=before,
        agreement_now=bodies.AgreementWithLabels(agreed=newest.agreed, labelled=newest.labelled) if newest else None,
        alarm_at=baseline.alarm_at if baseline else None,
        moved_since=drift.moved_since,
        last_run_at=newest.ended_at if newest else None,
        shift=None
        if shift is None
        else bodies.ShiftOfRate(id=shift.id, direction=shift.direction, window_start=shift.window_start),
    )


def _problem(services: Services, schedule: AnchorSchedule, evaluation: Evaluation) -> str | None:
    if not schedule.enabled:
        return None
    if not evaluation.enabled:
        return "The evaluation is not enabled, so its anchors wait."
    try:
        anchors_of(services.database, schedule, evaluation)
    except NoAnchors as error:
        return str(error)
    return None


def _served(seen: SeenModel) -> bodies.ServedModel:
    served = seen.served
    return bodies.ServedModel(
        model=served.model,
        served_model=served.served_model or None,
        system_fingerprint=served.system_fingerprint or None,
        changed_at=seen.changed_at,
        seen_at=seen.seen_at,
    )


def _run(run: AnchorRun) -> bodies.AnchorRunShown:
    stored = asdict(run)
    values = {name: stored[name] for name in bodies.AnchorRunShown.model_fields if name not in ("run", "reason")}
    return bodies.AnchorRunShown(**values, run=UUID(run.run_id), reason=run.reason or None)
