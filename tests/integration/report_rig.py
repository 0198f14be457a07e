"""The surroundings of the reports role, real but for the clock: store, ClickHouse, mail server, receivers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import Message as Mail
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from cryptography.fernet import Fernet
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from config.definitions import EvaluationDraft
from config.secrets import SecretBox
from config.settings import Settings
from config.settings.reports import Reports, Smtp
from config.settings.sections import Api, ClickHouse, Store
from processor.metrics import Metrics
from reports.evaluation_reports.runner import ReportsRunner
from reports.evaluation_reports.service import build_evaluation_reports
from reports.evaluation_reports.targets import seal_targets
from storage.clickhouse import connect
from storage.sql.engine import Database, open_database
from storage.sql.evaluation_report_runs import ReportRun, ReportRuns, TargetDelivery
from storage.sql.evaluation_reports import EvaluationReport, EvaluationReports
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade
from tests.services.clickhouse_http import ClickHouseFront
from tests.services.clickhouse_tables import fill
from tests.services.ports import free_ports
from tests.services.waiting import PATIENCE_S

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TEAM = 5
LONG_S = 5 * PATIENCE_S
"""How long a request to ClickHouse may take: a test makes a million results with one."""


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class Receiver:
    """An HTTP server that keeps all requests and answers with the status that `answer` returns; 0 answers nothing."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.answer: Callable[[BaseHTTPRequestHandler], int] = lambda _: 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((dict(self.headers.items()), body))
                receiver.paths.append(self.path)
                status = receiver.answer(self)
                if status:
                    self.send_response(status)
                    if status == 302:
                        self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for headers, _ in self.requests]


class Mailbox:
    """A mail server that keeps all mails; `refusal` is its answer to a recipient instead."""

    def __init__(self, **options: Any) -> None:
        self.mails: list[Mail] = []
        self.refusal = ""
        (self.port,) = free_ports(1)
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self.controller.start()

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd calls it by this name
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content))
        return "250 OK"

    def close(self) -> None:
        self.controller.stop()

    def open_again(self) -> None:
        """Answer on the same port as before `close`."""
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    @property
    def ids(self) -> list[str]:
        return [mail["Message-ID"] for mail in self.mails]


@dataclass
class Rig:
    database: Database
    settings: Settings
    clickhouse: ClickHouseFront
    receiver: Receiver
    mailbox: Mailbox
    clock: Clock
    metrics: Metrics
    events: list[bytes] = field(default_factory=list)
    evaluation_id: str = ""

    def runner(self, **options: Any) -> ReportsRunner:
        """Return the service, as another process would have it."""
        send = options.pop("send", lambda event, _key: self.events.append(event.value))
        return build_evaluation_reports(
            options.pop("settings", self.settings), self.database, send=send, metrics=self.metrics, now=self.clock
        )

    def report(self, *targets: dict[str, Any], **fields: Any) -> EvaluationReport:
        """Make an evaluation with a report."""
        self.evaluation_id = make_evaluation(self.database, self.clock.now)
        box = SecretBox(self.settings.secret_keys)
        values = report_values(self.evaluation_id, START + timedelta(hours=1), targets, box)
        if fields.get("frequency") == "every_n":
            values |= {"rrule": "", "starts_at": None, "next_delivery_date": None, "covered_until": START}
        return EvaluationReports(self.database).create(TEAM, values | fields, actor="key:1", now=self.clock.now)

    def hook(self, path: str = "") -> dict[str, Any]:
        return {"type": "webhook", "url": self.receiver.url + path, "secret": "the-key-of-this-test"}

    def slack(self) -> dict[str, Any]:
        return {"type": "slack", "webhook_url": f"{self.receiver.url}/slack"}

    def mail(self) -> dict[str, Any]:
        return {"type": "email", "value": "ops@example.com"}

    def results(self, count: int, passed: int, *, at: datetime | None = None, **columns: str) -> None:
        """Store results over the hour before `at`, the first `passed` of which pass; `columns` are SQL."""
        store_results(self.clickhouse.dsn, self.evaluation_id, count, passed, at=at or self.clock.now, **columns)

    def runs(self, report: EvaluationReport) -> list[ReportRun]:
        return ReportRuns(self.database).page(TEAM, report.id, limit=100, offset=0)[0]

    def deliveries(self, run: ReportRun) -> list[TargetDelivery]:
        return ReportRuns(self.database).deliveries([run.id])[run.id]


def make_evaluation(database: Database, now: datetime) -> str:
    """Make an evaluation of `TEAM` and return its id."""
    return str(Evaluations(database).create(TEAM, draft(), actor="key:1", now=now).id)


def report_values(
    evaluation_id: str, due: datetime, targets: Sequence[dict[str, Any]], box: SecretBox
) -> dict[str, Any]:
    """Return the columns of a daily report that is due at `due`."""
    return {
        "evaluation_id": evaluation_id, "frequency": "scheduled", "rrule": "FREQ=DAILY", "starts_at": due,
        "timezone_name": "UTC", "next_delivery_date": due, "max_sample_size": 200, "enabled": True,
        "report_prompt_guidance": "", "trigger_threshold": 100, "cooldown_minutes": 60, "daily_run_cap": 10,
        "covered_until": None, "delivery_targets": seal_targets(targets, (), box),
    }  # fmt: skip


def store_results(dsn: str, evaluation_id: str, count: int, passed: int, *, at: datetime, **columns: str) -> None:
    """Store results over the hour before `at`, the first `passed` of which pass; `columns` are SQL."""
    moment = int(at.timestamp()) - 3_600
    values = {
        "uuid": "toString(generateUUIDv4())", "team_id": str(TEAM), "evaluation_id": f"'{evaluation_id}'",
        "timestamp": f"fromUnixTimestamp64Micro({moment} * 1000000 + intDiv(number * 3600000000, {count}))",
        "result_type": "'boolean'", "result": f"number < {passed}", "skipped": "false", "evaluation_version": "1",
        "fingerprint": "'f1'", "target_event_id": "toString(generateUUIDv4())", "reasoning": "'because'",
        "condition_id": "'c'", "record_time": "now64(3)", **columns,
    }  # fmt: skip
    selected = f"SELECT {', '.join(values.values())} FROM numbers({count})"
    with closing(connect(dsn, request_timeout_s=LONG_S)) as client:
        client.command(f"INSERT INTO evaluation_results ({', '.join(values)}) {selected}")


def draft() -> EvaluationDraft:
    return EvaluationDraft.model_validate(
        {
            "name": "Answers the question",
            "evaluation_type": "hog",
            "evaluation_config": {"source": "return true"},
            "output_type": "boolean",
            "output_config": {},
            "enabled": True,
        }
    )


@contextmanager
def report_rig(folder: Path, clickhouse: ClickHouseFront, **smtp: Any) -> Iterator[Rig]:
    """Open a rig whose ClickHouse is shared with others: each has an evaluation of its own."""
    database = open_database(f"sqlite:///{folder}/gavel.db")
    upgrade(database)
    receiver, mailbox = Receiver(), Mailbox()
    settings = Settings(
        data_dir=folder,
        secret_keys=(SecretStr(Fernet.generate_key().decode()),),
        store=Store(dsn=SecretStr(f"sqlite:///{folder}/gavel.db")),
        clickhouse=ClickHouse(dsn=SecretStr(clickhouse.dsn), request_timeout_s=PATIENCE_S),
        api=Api(allowed_webhook_hosts=("127.0.0.1",)),
        reports=Reports(
            settle_s=0, workers=2, delivery_timeout_s=50, lease_s=60,
            smtp=Smtp(
                host="127.0.0.1", port=mailbox.port, security="none", sender="gavel@example.com", **smtp,
            ),
        ),
    )  # fmt: skip
    rig = Rig(database, settings, clickhouse, receiver, mailbox, Clock(), Metrics(CollectorRegistry()))
    try:
        yield rig
    finally:
        receiver.close()
        mailbox.close()
        database.close()


@contextmanager
def report_clickhouse(folder: Path) -> Iterator[ClickHouseFront]:
    """Open a ClickHouse with Gavel's tables behind HTTP."""
    with ClickHouseFront(fill(folder / str(uuid4()))) as front:
        yield front
