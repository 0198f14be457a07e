"""How the service of evaluation reports is put together from the settings."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from config.secrets import SecretBox
from config.settings import Settings
from reports.evaluation_reports.deliver import Deliverer
from reports.evaluation_reports.delivery.email import EmailSender
from reports.evaluation_reports.delivery.http import HttpSender
from reports.evaluation_reports.due import DueReports
from reports.evaluation_reports.generate import Generator
from reports.evaluation_reports.prose import ProseWriter
from reports.evaluation_reports.runner import ReportsRunner
from reports.evaluation_reports.trust import TrustOf
from reports.events import SendEvent
from reports.metrics import ReportsMetrics
from storage.clock import utc_now
from storage.sql.engine import Database
from storage.sql.evaluation_report_runs import ReportRuns
from storage.sql.evaluation_reports import EvaluationReports


def build_evaluation_reports(
    settings: Settings,
    database: Database,
    *,
    send: SendEvent,
    metrics: ReportsMetrics,
    trust: TrustOf | None = None,
    now: Callable[[], datetime] = utc_now,
) -> ReportsRunner:
    """Return the service; it connects to nothing yet. Without `trust`, reports say nothing of labels."""
    own = settings.reports
    http = HttpSender(allowed=settings.api.allowed_webhook_hosts, timeout_s=own.delivery_timeout_s, now_s=time.time)
    email = EmailSender(own.smtp, timeout_s=own.delivery_timeout_s, now=now)
    runs = ReportRuns(database)
    prose = ProseWriter(settings, database, now=now)
    generator = Generator(settings.clickhouse.dsn.get_secret_value(), prose, trust=trust)
    deliverer = Deliverer(
        runs,
        {"email": email.email, "slack": http.slack, "webhook": http.webhook},
        box=SecretBox(settings.secret_keys),
        settings=own,
        metrics=metrics,
        public_url=settings.api.public_url,
        now=now,
    )
    due = DueReports(EvaluationReports(database), runs, generator.count, settle=timedelta(seconds=own.settle_s))
    return ReportsRunner(
        own, database, due=due, generator=generator, deliverer=deliverer, send=send, metrics=metrics, now=now
    )
