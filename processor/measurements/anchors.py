"""Keeps drift anchors going: begins the runs that are due, counts those that ended, and signals who moved.

Every process that runs the matcher has a keeper. The store decides which of them begins and which of them counts a
run; see `storage.sql.anchors`. The judging itself is that of any measurement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import structlog
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException, Producer

from config.definitions import Evaluation
from config.settings import Settings
from processor.events.confirmed import Confirmed
from processor.events.drift import SIGNALLED, drift_output
from processor.kafka import KafkaClients
from processor.measurements.anchor_counts import count_run, not_counted, verdicts_of
from processor.metrics import Metrics
from quality.consensus import Verdict
from quality.extra import ExtraMissing
from storage.anchor_starts import NoAnchors, begin_run
from storage.background import Background
from storage.canary_starts import begin_canaries
from storage.clickhouse import ClickHouseProblem, connect
from storage.clickhouse.measurements import results_of_run
from storage.drift import SHIFT_STANDS, Drift, DriftStanding, drift_in
from storage.sql.anchors import AnchorBaseline, AnchorRun, Anchors, AnchorSchedule
from storage.sql.engine import Database, StoreError
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.evaluations import Evaluations
from storage.sql.golden_sets import GoldenSets
from storage.sql.measurements import OPEN, MeasurementRun, MeasurementRuns
from storage.sql.served_models import ServedModels
from storage.sql.shifts import Shifts

ANSWERS: tuple[DriftStanding, ...] = (*get_args(get_args(DriftStanding)[0]), "collecting")
_LOOK_INTERVAL_S = 1.0
_COUNT_EVERY = 10
_STOP_WITHIN_S = 10.0
_AGAIN = timedelta(hours=1)
"""After a run that did not count, the next one waits for so long at the most."""
_AT_ONCE_EVERY = timedelta(minutes=1)
"""While the answer is `undecided`, runs follow each other no faster."""
_SERVED_EVERY = timedelta(hours=6)
"""A change of the served model brings no more than one run forward in so long, however often a provider changes it."""
_CHANGE_STANDS = timedelta(days=7)
_LOST_AFTER = timedelta(minutes=2)
"""A run that was announced and is not in the store is forgotten after so long: its process died."""
_OF_SHIFTS = ("product_moved", "undecided")
_OUTAGES = (StoreError, KafkaException, ClickHouseProblem, ClickHouseError, ExtraMissing)
"""All anchors wait while one of these is raised. Any other error concerns the anchors of one evaluation."""
_ACTOR = "anchors"


class AnchorKeeper(Background):
    """Looks after all anchors (a `Service` of the runtime). At its end the next process goes on."""

    name = "anchors"
    outages = _OUTAGES

    def __init__(self, settings: Settings, database: Database, clients: KafkaClients, metrics: Metrics) -> None:
        super().__init__("anchors", every_s=_LOOK_INTERVAL_S, stop_within_s=_STOP_WITHIN_S)
        self._settings = settings
        self._database = database
        self._anchors = Anchors(database)
        self._runs = MeasurementRuns(database)
        self._shifts = Shifts(database)
        self._served = ServedModels(database)
        self._clients = clients
        self._metrics = metrics
        self._failed: dict[str, datetime] = {}
        self._turns = 0
        self._log = structlog.get_logger("gavel.anchors")

    def _turn(self) -> None:
        schedules = self.look(datetime.now(UTC))
        if self._turns % _COUNT_EVERY == 0:
            self.show(schedules)
        self._turns += 1

    def _on_outage(self, error: Exception) -> None:
        self._log.warning("anchors_wait", error=type(error).__name__, detail=str(error)[:300])

    def look(self, now: datetime) -> list[AnchorSchedule]:
        """Begin, count and signal all that is due now, and return the schedules as they were before."""
        schedules = self._anchors.every()
        shifted = self._shifts.shifted(now - SHIFT_STANDS) if schedules else set()
        served = self._served.changed(now - _CHANGE_STANDS) if schedules else {}
        for schedule in schedules:
            if self.stopping:
                break
            failed_at = self._failed.get(schedule.evaluation_id)
            if failed_at is not None and now < failed_at + _AGAIN:
                continue
            try:
                changed_at = served.get(schedule.evaluation_id)
                self._look_after(schedule, schedule.evaluation_id in shifted, changed_at, now)
            except _OUTAGES:
                raise
            except Exception as error:  # noqa: BLE001  # see below
                # A defect of ours delays these anchors, and not those of all teams.
                self._failed[schedule.evaluation_id] = now
                self._log.exception(
                    "anchors_failed", team_id=schedule.team_id, evaluation_id=schedule.evaluation_id,
                    error=type(error).__name__,
                )  # fmt: skip
        return schedules

    def _look_after(
        self, schedule: AnchorSchedule, has_shifted: bool, changed_at: datetime | None, now: datetime
    ) -> None:
        if schedule.run_id is not None:
            self._count_if_ended(schedule, schedule.run_id, now)
            return
        urgent = False
        # The answer changes when a run is counted, when the live rate shifts, and when a shift is forgotten.
        if has_shifted or schedule.answer in _OF_SHIFTS:
            drift = drift_in(self._database, schedule.team_id, schedule.evaluation_id, now)
            self._signal(schedule, drift, now)
            urgent = self._is_urgent(schedule, drift, now)
        if urgent or schedule.next_at <= now or self._is_hurried(schedule, changed_at, now):
            self._begin(schedule, now)

    def show(self, schedules: Sequence[AnchorSchedule]) -> None:
        """Export how many evaluations have which answer, and how old the oldest anchors are."""
        answers = Counter(schedule.answer for schedule in schedules)
        for answer in ANSWERS:
            self._metrics.set("gavel_drift_evaluations", answers[answer], state=answer)
        watched = [each for each in schedules if self._is_watched(each)]
        oldest = min((each.counted_at or each.created_at for each in watched), default=None)
        self._metrics.since("gavel_anchor_age_seconds", 0 if oldest is None else oldest.timestamp())

    def _is_watched(self, schedule: AnchorSchedule) -> bool:
        """Return whether runs are expected: the anchors of a disabled evaluation wait."""
        evaluation = self._evaluation(schedule)
        return evaluation is not None and evaluation.enabled

    def _is_urgent(self, schedule: AnchorSchedule, drift: Drift, now: datetime) -> bool:
        """Return whether the live rate asks for a run before its time."""
        if drift.answer != "undecided":
            return False
        return (
            schedule.counted_at is None
            or schedule.counted_at + _AT_ONCE_EVERY <= now
            or (drift.shift is not None and schedule.counted_at < drift.shift.window_start)
        )

    def _is_hurried(self, schedule: AnchorSchedule, changed_at: datetime | None, now: datetime) -> bool:
        """Return whether the provider answers with another model than before, which no run has seen yet."""
        if changed_at is None or (schedule.begun_at is not None and changed_at <= schedule.begun_at):
            return False
        if schedule.hurried_at is not None and now < schedule.hurried_at + _SERVED_EVERY:
            return False
        if not self._anchors.hurry(schedule.evaluation_id, now=now, at_least=_SERVED_EVERY):
            return False
        self._log.info("anchors_hurried", evaluation_id=schedule.evaluation_id, changed_at=str(changed_at))
        return True

    def _begin(self, schedule: AnchorSchedule, now: datetime) -> None:
        evaluation = self._evaluation(schedule)
        later = now + timedelta(hours=schedule.every_hours)
        if evaluation is None or not evaluation.enabled:
            self._anchors.postpone(schedule.evaluation_id, later)
            return
        try:
            begun = begin_run(self._database, schedule, evaluation, actor=_ACTOR, now=now)
        except NoAnchors as error:
            self._anchors.postpone(schedule.evaluation_id, later)
            self._log.warning("anchors_cannot_run", evaluation_id=schedule.evaluation_id, detail=str(error))
            return
        if begun is not None:  # no other keeper has begun it, so none begins the canaries either
            begin_canaries(self._database, schedule, evaluation, actor=_ACTOR, now=now)

    def _count_if_ended(self, schedule: AnchorSchedule, run_id: str, now: datetime) -> None:
        run = self._runs.get(schedule.team_id, run_id)
        if run is None:
            if schedule.run_since is not None and schedule.run_since + _LOST_AFTER <= now:
                self._anchors.postpone(schedule.evaluation_id, now, run_id=run_id)
            return
        if run.state in OPEN:
            return
        base = self._anchors.baseline(schedule.evaluation_id)
        evaluation = self._evaluation(schedule)
        if base is None or evaluation is None:
            self._anchors.postpone(schedule.evaluation_id, now + _AGAIN, run_id=run_id)
            return
        reason = not_counted(run, base)
        if reason:
            self._leave_out(schedule, run, base, reason, now)
        else:
            self._count(schedule, run, base, evaluation, now)

    def _leave_out(
        self, schedule: AnchorSchedule, run: MeasurementRun, base: AnchorBaseline, reason: str, now: datetime
    ) -> None:
        entry = AnchorRun(
            run_id=run.id, evaluation_id=run.evaluation_id, baseline=int(run.params.get("baseline", base.number)),
            begun_at=run.created_at, ended_at=run.finished_at or run.updated_at, counted=False, reason=reason,
        )  # fmt: skip
        wait = min(_AGAIN, timedelta(hours=schedule.every_hours))
        next_at = now if entry.baseline != base.number else now + wait
        if self._anchors.count(entry, base, next_at):
            self._log.warning("anchors_not_counted", evaluation_id=run.evaluation_id, run_id=run.id, reason=reason)

    def _count(
        self, schedule: AnchorSchedule, run: MeasurementRun, base: AnchorBaseline, evaluation: Evaluation, now: datetime
    ) -> None:
        collecting = base.state == "collecting"
        before = self._anchors.runs(run.evaluation_id, baseline=base.number) if collecting else []
        golden = GoldenSets(self._database).items(run.team_id, base.golden_set, base.golden_set_version)
        *earlier, found = self._verdicts(run, [*(each.run_id for each in before if each.counted), run.id])
        counted = count_run(run, base, earlier, found, golden, evaluation.output_config)
        still = counted.baseline.state == "collecting"
        next_at = now if still else now + timedelta(hours=schedule.every_hours)
        if not self._anchors.count(counted.run, counted.baseline, next_at):
            return
        self._log.info(
            "anchors_counted", evaluation_id=run.evaluation_id, run_id=run.id, anchors=counted.run.anchors,
            flips=counted.run.flips, statistic=counted.run.statistic,
        )  # fmt: skip
        if counted.baseline.alarm_at is not None and base.alarm_at is None:
            self._metrics.count("gavel_drift_alarms")
        fresh = replace(schedule, run_id=None, counted_at=counted.run.ended_at)
        self._signal(fresh, drift_in(self._database, run.team_id, run.evaluation_id, now), now)

    def _verdicts(self, run: MeasurementRun, run_ids: Sequence[str]) -> list[dict[str, Verdict]]:
        """Return the verdicts of some runs of the same evaluation, in the order of their ids."""
        with closing(connect(self._settings.clickhouse.dsn.get_secret_value())) as client:
            return [verdicts_of(results_of_run(client, run.team_id, run.evaluation_id, each)) for each in run_ids]

    def _signal(self, schedule: AnchorSchedule, drift: Drift, now: datetime) -> None:
        """Emit an answer that is new. It is remembered once Kafka has it, and a repeat has the same id."""
        if drift.answer == schedule.answer:
            return
        base = self._anchors.baseline(schedule.evaluation_id)
        if base is not None and drift.answer in SIGNALLED:
            output = drift_output(schedule.team_id, base, drift, now, self._settings.kafka.topics.results)
            signal = Confirmed(Producer(self._clients.producer_config()))
            signal.produce(output.topic, key=output.key, value=output.value, headers=output.headers)
            signal.wait(self._settings.kafka.message_timeout_s + 1)
            self._log.warning(
                drift.answer, team_id=schedule.team_id, evaluation_id=schedule.evaluation_id, version=base.version,
                statistic=drift.statistic, moved_since=str(drift.moved_since or ""),
            )  # fmt: skip
        self._anchors.signalled(schedule.evaluation_id, schedule.answer, drift.answer)

    def _evaluation(self, schedule: AnchorSchedule) -> Evaluation | None:
        try:
            return Evaluations(self._database).get(schedule.team_id, schedule.evaluation_id)
        except EvaluationNotFound:
            return None
