"""A deployment of all processes of Gavel under load, with servers that can be taken away, and a real Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from config.secrets import SecretBox
from reports.evaluation_reports.due import manual_run
from reports.evaluation_reports.targets import seal_targets
from storage.sql.api_keys import ApiKeys
from storage.sql.evaluation_report_runs import ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from storage.sql.project_tokens import ProjectTokens
from tests.faults.pipeline import TEAM, Pipeline
from tests.faults.quick_rules import quick_rules
from tests.integration.report_rig import Receiver
from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess
from tests.services.prometheus import Prometheus
from tests.services.tcp_proxy import TcpProxy
from tests.services.waiting import until

PROCESSES = ("matcher", "matcher-2", "judge", "sink", "reports")
SETTINGS = {
    # A machine that starves the broker for seconds is not a fault of this scene.
    "KAFKA__TRANSACTION_TIMEOUT_S": "24",
    "KAFKA__MESSAGE_TIMEOUT_S": "20",
    "WATCHDOG__STALL_S": "25",
    "SINK__BATCH_INTERVAL_S": "1",
    "OTEL__ENDPOINT": "http://127.0.0.1:9",  # nobody listens there
    "OTEL__SAMPLE": "0.02",
    "REPORTS__POLL_INTERVAL_S": "1",
    "REPORTS__SETTLE_S": "0",
    "REPORTS__WORKERS": "1",
    "REPORTS__RETRY_INITIAL_S": "2",
    "API__ALLOWED_WEBHOOK_HOSTS": "127.0.0.1",
}
_MAIN = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"
_TURN_S = 0.4
_WITHIN_S = 300.0
"""How long a busy machine may take for an alert to fire or end; a machine with a core to spare needs seconds."""
_GIB = 1024**3


class Load:
    """Events several times a second until `stop`; its fields may be changed at any time.

    Attributes:
        age: how long before now the events say that they happened.
        poisons: whether records that are not events come too.
        future: whether events of the next hour come too.
    """

    def __init__(self, gavel: Pipeline) -> None:
        self._gavel = gavel
        self.age = timedelta()
        self.poisons = self.future = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        for number in count():
            if self._stopping.wait(_TURN_S):
                return
            send_fresh(self._gavel, self.age)
            if self.poisons and number % 4 == 0:
                self._gavel.poison(1)
            if self.future and number % 4 == 0:
                send_fresh(self._gavel, -timedelta(hours=1))


def send_fresh(gavel: Pipeline, age: timedelta = timedelta()) -> None:
    """Send an event that says that it happened so long before now, without expecting its results."""
    uuid, event = gavel.next_event()
    row = json.loads(event) | {"timestamp": (datetime.now(UTC) - age).strftime("%Y-%m-%d %H:%M:%S.%f")}
    gavel.produce(json.dumps(row).encode(), key=uuid)


class Clients:
    """Clients that make requests of these kinds, one after the other, whatever is answered, until `stop`."""

    def __init__(self, *requests: Callable[[], urllib.request.Request]) -> None:
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(each,), daemon=True) for each in requests]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End them."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, request: Callable[[], urllib.request.Request]) -> None:
        while not self._stopping.wait(_TURN_S):
            with suppress(OSError):
                urllib.request.urlopen(request(), timeout=10).close()


class Disk:
    """The disk of a folder, which a ballast fills: so large that no other user of the disk comes near it."""

    def __init__(self, folder: Path) -> None:
        usage = shutil.disk_usage(folder)
        self._bytes = min(4 * _GIB, usage.free // 2)
        self._ballast = folder / "ballast"
        self.full_below = (usage.free - self._bytes / 2) / usage.total

    def fill(self) -> None:
        """Take the space, which writes nothing."""
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self._bytes)

    def empty(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)


class Reports:
    """A report with three webhooks, whose receiver refuses, hangs or takes."""

    def __init__(self, gavel: Pipeline) -> None:
        self._gavel = gavel
        self._receiver = Receiver()
        self._hangs = threading.Event()
        targets = [{"type": "webhook", "url": f"{self._receiver.url}/{n}", "secret": "s" * 20} for n in range(3)]
        now = datetime.now(UTC)
        values = {
            "evaluation_id": str(gavel.evaluations[0].id), "frequency": "every_n", "rrule": "", "starts_at": None,
            "timezone_name": "UTC", "next_delivery_date": None, "max_sample_size": 10, "enabled": True,
            "report_prompt_guidance": "", "trigger_threshold": 1_000_000, "cooldown_minutes": 60, "daily_run_cap": 1,
            "covered_until": now,
            "delivery_targets": seal_targets(targets, (), SecretBox(gavel.settings.secret_keys)),
        }  # fmt: skip
        self._report = EvaluationReports(gavel.database).create(TEAM, values, actor="faults", now=now)

    def run(self, answer: Callable[[BaseHTTPRequestHandler], int]) -> None:
        """Ask for a run, whose deliveries get this answer. It waits for the end of the run before: only one is open."""
        runs = ReportRuns(self._gavel.database)

        def all_finished() -> bool:
            found, _ = runs.page(TEAM, self._report.id, limit=10, offset=0)
            return all(run.finished_at is not None for run in found)

        until(all_finished, "the end of the run before")
        self._receiver.answer = answer
        now = datetime.now(UTC)
        runs.open_manual(self._report, manual_run(self._report, now, "faults"), now=now)

    def refuse(self) -> None:
        """Let a run be refused for good."""
        self.run(lambda _: 404)

    def hang(self) -> None:
        """Let a run wait for its receiver until `take`."""
        self._hangs.clear()
        self.run(lambda _: 200 if self._hangs.wait(60) else 500)

    def take(self) -> None:
        """Let the receiver accept its messages."""
        self._hangs.set()

    def close(self) -> None:
        """End the receiver."""
        self._hangs.set()
        self._receiver.close()


class Watched:
    """All processes, the load and the clients, the faults that they can have, and the Prometheus that scrapes them.

    Attributes:
        fired: the alerts that were waited for and fired.
        ended: those of them that ended afterwards.
    """

    prometheus: Prometheus
    load: Load

    def __init__(self, gavel: Pipeline, *, store: TcpProxy, broker: TcpProxy, folder: Path) -> None:
        self.gavel, self.store, self.broker = gavel, store, broker
        self.folder = folder
        self.disk = Disk(folder)
        self.fired: set[str] = set()
        self.ended: set[str] = set()
        self._closing = ExitStack()
        self._closing.callback(self.disk.empty)
        self._ports = dict(zip((*PROCESSES, "api-health", "api", "ingest"), free_ports(8), strict=True))
        self.start(*PROCESSES)
        ports = self._ports
        self._serve("api", "--workers", "2", HTTP__PORT=ports["api-health"], API__PORT=ports["api"])
        self._serve(
            "ingest", INGEST__PORT=ports["ingest"], KAFKA__BOOTSTRAP_SERVERS=broker.address, KAFKA__MESSAGE_TIMEOUT_S=6
        )
        now = datetime.now(UTC)
        self._token = ProjectTokens(gavel.database).create(team_id=TEAM, now=now)[1]
        self._key = ApiKeys(gavel.database).create(team_id=TEAM, label="faults", scopes=["evaluation:read"], now=now)[1]
        self.reports = Reports(gavel)
        self._closing.callback(self.reports.close)

    def watch(self) -> None:
        """Let a Prometheus scrape all processes."""
        ports = self._ports
        roles = [ports[name] for name in (*PROCESSES, "api-health")]
        jobs = {"gavel": roles, "gavel-ingest": [ports["ingest"]]}
        self.began_s = time.time()
        self.prometheus = Prometheus(self.folder / "prometheus", jobs, quick_rules(self.disk.full_below))
        self._closing.callback(self.prometheus.close)

    def begin(self) -> None:
        """Begin the load and the requests of clients."""
        self.load = Load(self.gavel)
        self._closing.callback(self.load.stop)
        self._closing.callback(Clients(self._ask, self._open_console, self._capture, self._capture).stop)

    def start(self, *names: str, **settings: str) -> None:
        """Start processes of roles with these settings, each on the port that Prometheus knows."""
        env = {f"GAVEL_{name}": value for name, value in settings.items()}
        for name in names:
            self.gavel.start(name, env={**env, "GAVEL_HTTP__PORT": str(self._ports[name])})

    def _serve(self, command: str, *options: str, **settings: object) -> None:
        env = self.gavel.env | {f"GAVEL_{name}": str(value) for name, value in settings.items()}
        log = self.folder / f"{command}.log"
        argv = [sys.executable, "-c", _MAIN, command, *options]
        server = GuardedProcess(argv, log=log, env=env | {"PYTHONPATH": str(CHECKOUT)})
        self._closing.callback(server.kill)

    def _ask(self) -> urllib.request.Request:
        url = f"http://127.0.0.1:{self._ports['api']}/api/projects/{TEAM}/evaluations/?limit=1"
        return urllib.request.Request(url, headers={"Authorization": f"Bearer {self._key}"})

    def _open_console(self) -> urllib.request.Request:
        return urllib.request.Request(f"http://127.0.0.1:{self._ports['api']}/console/sign-in/")

    def _capture(self) -> urllib.request.Request:
        now = datetime.now(UTC).isoformat()
        event = {"event": "$ai_generation", "timestamp": now, "properties": {"distinct_id": "d", "$ai_input": "q"}}
        other = {"event": "$pageview", "timestamp": now, "properties": {"distinct_id": "d"}}  # it is not forwarded
        body = json.dumps({"api_key": self._token, "sent_at": now, "batch": [event, other]}).encode()
        return urllib.request.Request(f"http://127.0.0.1:{self._ports['ingest']}/batch", data=body)

    def fires(self, *alerts: str) -> None:
        """Wait until all of them have fired."""
        self._wait(lambda: set(alerts) - self.prometheus.fired, "did not fire")
        self.fired |= set(alerts)

    def ends(self, alerts: Collection[str]) -> None:
        """Wait until each of them was seen not to fire. A busy machine may let others fire meanwhile."""
        left = set(alerts)

        def still() -> set[str]:
            nonlocal left
            left &= self.prometheus.firing()
            return left

        self._wait(still, "did not end")
        self.ended |= set(alerts)

    def quiet(self, seconds: float, *, apart_from: Collection[str]) -> None:
        """Wait until no alert has fired for so long, apart from some. A busy machine may need several attempts."""

        def fired() -> set[str]:
            self.prometheus.fired.clear()
            time.sleep(seconds)
            return self.prometheus.fired - set(apart_from)

        self._wait(fired, "fired without a fault")
        self.prometheus.fired.clear()

    def _wait(self, left: Callable[[], set[str]], what: str) -> None:
        end_s = time.monotonic() + _WITHIN_S
        while still := left():
            if time.monotonic() > end_s:
                pytest.fail(f"within {_WITHIN_S:.0f} s {what}: {self._told(still)}\n{self.gavel.story()}")
            time.sleep(0.2)

    def _told(self, alerts: Collection[str]) -> str:
        """Return the expressions of alerts with what Prometheus says to each side of them."""
        rules = {rule["alert"]: rule["expr"] for group in quick_rules(0.1)["groups"] for rule in group["rules"]}
        told: dict[str, Any] = {
            alert: [(each["metric"], each["value"][1]) for each in self.prometheus.query(rules[alert])]
            for alert in alerts
        }
        return "\n".join(f"{alert}: {rules[alert]}\n  now {found}" for alert, found in sorted(told.items()))

    def close(self) -> None:
        """End everything but the pipeline."""
        self._closing.close()
