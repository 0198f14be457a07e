"""Two processes of the reports role, with real surroundings: broker, store, ClickHouse, mail server, receivers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import sqlalchemy as sa
from cryptography.fernet import Fernet
from prometheus_client.parser import text_string_to_metric_families

from config.secrets import SecretBox
from config.settings import Settings, load_settings
from processor.kafka import KafkaClients
from processor.runtime.setup import initialise
from storage.sql.engine import Database, open_store
from storage.sql.evaluation_report_runs import ReportRun, ReportRuns, TargetDelivery, evaluation_report_runs
from storage.sql.evaluation_reports import EvaluationReport, EvaluationReports
from tests.faults.counting import Seen
from tests.faults.pipeline import ClickHouseProcess
from tests.faults.supervised import Supervised
from tests.integration.report_rig import TEAM, Mailbox, Receiver, make_evaluation, report_values, store_results
from tests.services.tcp_proxy import TcpProxy
from tests.services.waiting import until

NAMES = ("first", "second")


class ReportRole:
    """Processes of the role on one store, and reports that are due at once.

    Args:
        kafka: address of the broker.
        store_dsn: of a PostgreSQL, for this process; the role reaches it through `store`, which can break.
        store: proxy in front of it.
    """

    def __init__(self, kafka: str, store_dsn: str, store: TcpProxy, folder: Path) -> None:
        self.store = store
        self.receiver, self.mailbox = Receiver(), Mailbox()
        self.clickhouse = ClickHouseProcess(folder)
        self.clickhouse.start()
        self.folder = folder
        self.doom = folder / "doom"
        self.doom.mkdir()
        env = self._environment(kafka)
        head, _, path = store_dsn.rpartition("/")
        proxied = f"{head.rpartition(':')[0]}:{store.port}/{path}"
        self.settings: Settings = load_settings(environ=env | {"GAVEL_STORE__DSN": store_dsn})
        self.database: Database = open_store(self.settings)
        Path(self.settings.data_dir).mkdir()
        findings = initialise(self.settings, KafkaClients(self.settings), self.database)
        assert all(each.ok for each in findings), findings
        self.results = Seen(kafka, self.settings.kafka.topics.results)
        env["GAVEL_STORE__DSN"] = proxied
        self.processes = [Supervised(name, "reports", env, folder, self.doom) for name in NAMES]

    def _environment(self, kafka: str) -> dict[str, str]:
        run = uuid4().hex[:8]
        topics = ("events", "results", "tasks", "parked", "dead_letters", "windows", "windows_state")
        values = {
            "DATA_DIR": str(self.folder / "data"),
            "SECRET_KEYS": Fernet.generate_key().decode(),
            "KAFKA__BOOTSTRAP_SERVERS": kafka,
            "KAFKA__GROUP_PREFIX": f"reports-{run}",
            "KAFKA__PARTITIONS": "2",
            "KAFKA__EXTRA": "reconnect.backoff.max.ms=1000",
            "CLICKHOUSE__DSN": self.clickhouse.dsn,
            "HTTP__PORT": "0",
            "LOG__FORMAT": "json",
            "STORE__POLL_INTERVAL_S": "0.3",
            "API__ALLOWED_WEBHOOK_HOSTS": "127.0.0.1",
            "WINDOWS__SOURCE": "clickhouse",  # the windows on Kafka have tests of their own
            "REPORTS__POLL_INTERVAL_S": "0.3",
            "REPORTS__SETTLE_S": "0",
            "REPORTS__LEASE_S": "60",
            "REPORTS__DELIVERY_TIMEOUT_S": "5",
            "REPORTS__RETRY_INITIAL_S": "3",
            "REPORTS__SMTP__HOST": "127.0.0.1",
            "REPORTS__SMTP__PORT": str(self.mailbox.port),
            "REPORTS__SMTP__SECURITY": "none",
            "REPORTS__SMTP__SENDER": "gavel@example.com",
            **{f"KAFKA__TOPICS__{name.upper()}": f"{run}-{name}" for name in topics},
        }
        return {f"GAVEL_{name}": value for name, value in values.items()} | {"PATH": "/usr/bin:/bin"}

    # -- targets and reports --------------------------------------------------------------------------

    def hook(self) -> dict[str, Any]:
        return {"type": "webhook", "url": self.receiver.url, "secret": "the-key-of-this-test"}

    def slack(self) -> dict[str, Any]:
        return {"type": "slack", "webhook_url": f"{self.receiver.url}/slack"}

    def mail(self) -> dict[str, Any]:
        return {"type": "email", "value": "ops@example.com"}

    def due(self, *targets: dict[str, Any], results: int = 0) -> EvaluationReport:
        """Make a report on an evaluation of its own that is due now, three quarters of whose results pass."""
        now = datetime.now(UTC).replace(microsecond=0)
        evaluation = make_evaluation(self.database, now)
        if results:
            store_results(self.clickhouse.dsn, evaluation, results, results * 3 // 4, at=now - timedelta(seconds=60))
        box = SecretBox(self.settings.secret_keys)
        values = report_values(evaluation, now - timedelta(seconds=1), targets, box)
        return EvaluationReports(self.database).create(TEAM, values, actor="key:1", now=now)

    def run(self, report: EvaluationReport) -> ReportRun | None:
        """Return the run of a report, which must have no other."""
        found, count = ReportRuns(self.database).page(TEAM, report.id, limit=10, offset=0)
        assert count <= 1, "the report was made twice"
        return found[0] if found else None

    def deliveries(self, report: EvaluationReport) -> list[TargetDelivery]:
        run = self.run(report)
        return [] if run is None else ReportRuns(self.database).deliveries([run.id])[run.id]

    def finished(self, report: EvaluationReport) -> ReportRun:
        """Wait until the run of a report has ended, and return it."""
        self.wait(lambda: (run := self.run(report)) is not None and run.finished_at is not None, "the run ends")
        run = self.run(report)
        assert run is not None
        return run

    # -- deaths ---------------------------------------------------------------------------------------

    def arm(self, step: str, times: int = 1) -> None:
        """Let a process die the `times`-th time it comes to `step` (see `tests.faults.doomed`)."""
        partial = self.doom / ".reports"
        partial.write_text(f"{step}:{times}")
        partial.rename(self.doom / "reports")

    def await_death(self, number: int) -> None:
        self.wait(lambda: len(self.deaths()) >= number, f"death {number}")

    def deaths(self) -> list[int]:
        return [each.code for process in self.processes for each in process.exits]

    def end_leases(self) -> None:
        """Do what time does: let the leases of processes that died run out."""
        column = evaluation_report_runs.c
        over = datetime.now(UTC) - timedelta(seconds=1)
        with self.database.write() as connection:
            held = column.lease_owner.is_not(None)
            connection.execute(sa.update(evaluation_report_runs).where(held).values(lease_expires_at=over))

    # -- views ----------------------------------------------------------------------------------------

    def requests(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        """Return the requests that the receiver got on a path."""
        both = zip(self.receiver.paths, self.receiver.requests, strict=True)
        return [request for where, request in both if where == path]

    def events(self, report: EvaluationReport) -> list[str]:
        """Return the ids of the report's events in the results topic, one for each record."""
        self.results.read(keep=True)
        rows = [orjson.loads(value) for _, value in self.results.records if value]
        return [
            row["uuid"] for row in rows if row["event"] == "$ai_evaluation_report" and row["distinct_id"] == report.id
        ]

    def address(self, process: Supervised) -> str:
        """Return where the newest start of a process answers; empty before it does."""
        lines = process.log.read_text(errors="replace").splitlines() if process.log.exists() else []
        started = [json.loads(line) for line in lines if line.startswith("{") and '"started"' in line]
        found = [each["metrics"] for each in started if each.get("event") == "started"]
        return str(found[-1]).removesuffix("/metrics") if found else ""

    def ready(self, process: Supervised) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address(process)}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):  # ValueError: there is no address yet
            return False

    def metric(self, name: str, **labels: str) -> list[float]:
        """Return the values of a series, one for each process that answers."""
        values = []
        for process in self.processes:
            try:
                with urllib.request.urlopen(f"{self.address(process)}/metrics", timeout=5) as answer:
                    families = list(text_string_to_metric_families(answer.read().decode()))
            except (OSError, ValueError):
                continue
            samples = [sample for family in families for sample in family.samples]
            values += [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
        return values

    def wait(self, condition: Callable[[], object], what: str) -> None:
        def told() -> str:
            return "\n".join([f"{what}; deaths: {self.deaths()}", *(process.tail() for process in self.processes)])

        until(condition, told)

    def close(self) -> None:
        for process in self.processes:
            process.kill_for_good()
        self.results.close()
        self.database.close()
        self.clickhouse.kill()
        self.receiver.close()
        self.mailbox.close()


@contextmanager
def report_role(kafka: str, store_dsn: str, folder: Path) -> Iterator[ReportRole]:
    """Give two running processes of the role."""
    port = int(store_dsn.rpartition("/")[0].rpartition(":")[2])
    with TcpProxy(port) as proxy:
        made = ReportRole(kafka, store_dsn, proxy, folder)
        try:
            yield made
        finally:
            made.close()
