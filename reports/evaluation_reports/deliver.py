"""One run's deliveries: each is noted before it leaves and after its outcome is known.

A process can die between the two notes. The next one finds the delivery `sending` and cannot know whether the message
arrived:

| target | rule |
|---|---|
| webhook | it is sent again; the receiver knows a repetition by `Idempotency-Key` |
| e-mail | it is sent again with the same `Message-ID`, by which mail servers and programs know a repetition |
| Slack | it is not sent again, because Slack would show it twice; the delivery is `failed` and says so |

The same rule holds when a message was sent and no answer came.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from config.secrets import SecretBox, SecretsError
from config.settings.reports import Reports
from reports.evaluation_reports.delivery.outcome import DeliveryOutcome, ReportMessage
from reports.evaluation_reports.page.html import render_html
from reports.evaluation_reports.page.markdown import render_markdown
from reports.evaluation_reports.targets import DeliveryTarget, TargetKind, open_target
from reports.metrics import ReportsMetrics
from storage.sql.engine import StoreError
from storage.sql.evaluation_report_runs import ReportRun, ReportRuns, ReportRunStatus, TargetDelivery

Send = Callable[[DeliveryTarget, ReportMessage], DeliveryOutcome]
"""Makes one attempt; blocks, and raises nothing because of a receiver."""

_MAX_WAIT_S = 3_600.0
_NOTE_TRIES = 30
_NOTE_WAIT_S = 1.0
UNKNOWN = "the outcome is unknown: the message was sent and no answer was seen, and it is not sent again"


class LeaseLost(Exception):
    """Another process works on the run now; this one leaves it alone."""


class Deliverer:
    """Delivers runs to their targets.

    Args:
        senders: what sends to each kind of target.
        public_url: address of the API, for links; None if it is not known.
        now: aware time of the day.
    """

    def __init__(
        self,
        runs: ReportRuns,
        senders: Mapping[TargetKind, Send],
        *,
        box: SecretBox,
        settings: Reports,
        metrics: ReportsMetrics,
        public_url: str | None,
        now: Callable[[], datetime],
    ) -> None:
        self._runs = runs
        self._senders = senders
        self._box = box
        self._settings = settings
        self._metrics = metrics
        self._public_url = public_url
        self._now = now
        self._log = structlog.get_logger("gavel.reports")

    def deliver(self, run: ReportRun, owner: str) -> list[TargetDelivery]:
        """Make one attempt for each delivery that is not finished and may be tried now. Return all as they are then.

        Raises:
            LeaseLost: the lease of `owner` is over.
            StoreError: the store does not answer.
        """
        for delivery in self._runs.deliveries([run.id])[run.id]:
            if delivery.state in ("waiting", "sending") and delivery.not_before <= self._now():
                self._attempt(run, owner, delivery)
        return self._runs.deliveries([run.id])[run.id]

    def _attempt(self, run: ReportRun, owner: str, delivery: TargetDelivery) -> None:
        kind: TargetKind = delivery.target["type"]
        if delivery.state == "sending" and kind == "slack":
            self._note(run, owner, delivery, DeliveryOutcome("unknown"))
            return
        if delivery.state == "sending" and self._given_up(delivery, self._now()):
            self._note(
                run, owner, delivery, DeliveryOutcome("failed", "given up: each process that sent it ended meanwhile")
            )
            return
        try:
            target = open_target(delivery.target, self._box)
        except SecretsError:
            text = "the target's secret cannot be decrypted; write the target again, or see the setting secret_keys"
            self._note(run, owner, delivery, DeliveryOutcome("failed", text))
            return
        message = build_message(run, delivery, self._public_url)
        if not self._runs.begin_delivery(
            run, owner, delivery.position, now=self._now(), lease_s=self._settings.lease_s
        ):
            raise LeaseLost
        self._note(run, owner, delivery, self._senders[kind](target, message))

    def _note(self, run: ReportRun, owner: str, delivery: TargetDelivery, outcome: DeliveryOutcome) -> None:
        """Store an outcome. It is tried for half a minute, because without it the message would be sent again."""
        now = self._now()
        state, error, not_before = self._decide(delivery, outcome, now)
        kind = delivery.target["type"]
        for attempt in range(_NOTE_TRIES):
            try:
                noted = self._runs.end_delivery(
                    run, owner, delivery.position, state, now=self._now(), error=error, not_before=not_before
                )
            except StoreError:
                if attempt + 1 == _NOTE_TRIES:
                    raise
                time.sleep(_NOTE_WAIT_S)
                continue
            if not noted:
                raise LeaseLost
            break
        counted = outcome.ending if state != "failed" or outcome.ending == "unknown" else "failed"
        self._metrics.count("gavel_reports_deliveries", kind=kind, outcome=counted)
        if error:
            self._log.warning(
                "report_not_delivered", run=run.id, team=run.team_id, kind=kind, state=state, problem=error
            )

    def _decide(
        self, delivery: TargetDelivery, outcome: DeliveryOutcome, now: datetime
    ) -> tuple[Any, str, datetime | None]:
        """Return the state of a delivery after an attempt, its error, and when it is tried again."""
        if outcome.ending == "delivered":
            return "delivered", "", None
        if outcome.ending == "unknown":
            return "failed", UNKNOWN, None
        if outcome.ending == "failed":
            return "failed", outcome.error, None
        settings = self._settings
        bound = min(_MAX_WAIT_S, settings.retry_initial_s * 2.0 ** min(delivery.attempts, 20))
        wait = max(outcome.retry_after_s or 0.0, bound * random.uniform(0.75, 1.0))  # noqa: S311  # spreads retries
        if self._given_up(delivery, now, wait):
            return "failed", f"given up: {outcome.error}", None
        return "waiting", outcome.error, now + timedelta(seconds=wait)

    def _given_up(self, delivery: TargetDelivery, now: datetime, wait_s: float = 0.0) -> bool:
        """Whether the time for retries is over `wait_s` from now."""
        first = delivery.first_attempt_at or now
        return now + timedelta(seconds=wait_s) >= first + timedelta(seconds=self._settings.retry_for_s)


def build_message(run: ReportRun, delivery: TargetDelivery, public_url: str | None) -> ReportMessage:
    """Return the message of one delivery; it is the same at every attempt."""
    content = run.content or {}
    path = f"/api/projects/{run.team_id}/llm_analytics/evaluation_reports/{run.report_id}/runs/"
    link = f"{public_url.rstrip('/')}{path}" if public_url else ""
    return ReportMessage(
        identity=f"{run.id}:{delivery.position}",
        title=str(content["title"]),
        text=render_markdown(content),
        html=render_html(content),
        payload=payload_of(run, link),
        link=link,
    )


def payload_of(run: ReportRun, link: str = "") -> dict[str, Any]:
    """Return the JSON that a webhook gets."""
    return {
        "type": "evaluation_report",
        "run_id": run.id,
        "report_id": run.report_id,
        "team_id": run.team_id,
        "evaluation_id": run.evaluation_id,
        "trigger": run.trigger,
        "period_start": run.period_start.isoformat(),
        "period_end": run.period_end.isoformat(),
        "content": run.content,
        "link": link or None,
    }


def status_of(deliveries: Sequence[TargetDelivery]) -> ReportRunStatus:
    """Return the status of a run whose deliveries are all finished."""
    delivered = sum(each.state == "delivered" for each in deliveries)
    if delivered == len(deliveries):
        return "delivered" if deliveries else "generated"
    return "partial_failure" if delivered else "failed"
