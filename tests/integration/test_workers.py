"""`--workers` on real roles: one port, one `/metrics` and one `/readyz` of several processes that may be killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from config.settings import load_settings
from examples.stand_in.client import StandInServer
from storage.sql.engine import open_store
from storage.sql.heartbeats import Heartbeats
from storage.sql.migrations import upgrade
from storage.sql.project_tokens import ProjectTokens
from tests.faults.pipeline import pipeline as faults_pipeline
from tests.integration.ingest.rig import generation
from tests.integration.pipeline import TEAM, Pipeline
from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess, ServiceError
from tests.services.waiting import PATIENCE_S

_MAIN = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"


class Workers:
    """A command with `--workers`, and the answers of its supervisor."""

    def __init__(self, folder: Path, *words: str, http: int, **env: str) -> None:
        self.log = folder / "workers.log"
        self.http = f"http://127.0.0.1:{http}"
        self.process = GuardedProcess(
            [sys.executable, "-c", _MAIN, *words],
            log=self.log,
            env={"PYTHONPATH": str(CHECKOUT), "GAVEL_LOG__FORMAT": "json", "GAVEL_HTTP__PORT": str(http), **env},
        )

    def ready(self) -> bool:
        try:
            return httpx2.get(f"{self.http}/readyz", timeout=PATIENCE_S).status_code == 200
        except httpx2.HTTPError:
            return False

    def all_ready(self) -> bool:
        return self.ready() and self.metric(r'gavel_workers\{.*state="ready"\}') == 2

    def until_all_ready(self) -> None:
        self.process.wait_until(self.all_ready, "two workers")

    def pids(self) -> dict[str, int]:
        found: dict[str, int] = httpx2.get(f"{self.http}/livez", timeout=PATIENCE_S).json()["workers"]
        return found

    def metric(self, pattern: str, url: str | None = None) -> float:
        """Return the sum of the series whose line matches."""
        text = httpx2.get(f"{url or self.http}/metrics", timeout=PATIENCE_S).text
        return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))


@contextmanager
def workers(folder: Path, *words: str, **env: str) -> Iterator[Workers]:
    (http,) = free_ports(1)
    folder.mkdir(exist_ok=True)
    made = Workers(folder, *words, http=http, **env)
    try:
        yield made
    finally:
        made.process.kill()


def test_workers_of_all_roles_judge_each_event_once_although_one_is_killed(
    kafka: str, stand_in_server: StandInServer
) -> None:
    stand_in_server.reset()
    with faults_pipeline(kafka, stand_in_server.base_url, {"KAFKA__STATIC_MEMBERSHIP": "true"}) as gavel:
        roles = ["--role", "matcher", "--role", "judge", "--role", "sink"]
        env = {name: value for name, value in gavel.env.items() if name != "GAVEL_HTTP__PORT"}
        with workers(gavel.folder, "run", *roles, "--workers", "2", **env) as crew:
            crew.until_all_ready()
            gavel.send(60, over_s=1.0)
            gavel.check()
            before = crew.metric(r'gavel_records_consumed_total\{role="matcher",.*\}')
            assert before == gavel.sent
            assert crew.metric(r'gavel_partitions_assigned\{role="matcher"\}') == 4, "the partitions of both"
            killed = crew.pids()["1"]
            os.kill(killed, signal.SIGKILL)
            gavel.send(60, over_s=1.0)
            crew.process.wait_until(lambda: crew.pids()["1"] not in (None, killed), "the restart")
            gavel.check()
            crew.until_all_ready()
            assert crew.metric(r'gavel_worker_ends_total\{reason="killed",.*\}') == 1
            assert crew.metric(r'gavel_records_consumed_total\{role="matcher",.*\}') >= before
            beats = [beat for beat in Heartbeats(gavel.database).read(now=datetime.now(UTC)) if beat.role == "matcher"]
            by_pid = {int(beat.instance.rpartition(":")[2]) for beat in beats}
            assert by_pid >= {*crew.pids().values()}
            slots = {path.name.rpartition("-")[2] for path in (gavel.folder / "data/instances").glob("*matcher-*.lock")}
            assert slots == {"0.lock", "1.lock"}, "the new worker has the identity of the killed one"
            assert crew.process.terminate() == 0, crew.log.read_text()[-3000:]
            gavel.check()


def test_api_workers_share_a_port_and_go_on_when_one_is_killed(tmp_path: Path) -> None:
    settings = load_settings(None, overrides={"data_dir": str(tmp_path)})
    upgrade(open_store(settings))
    (port,) = free_ports(1)
    env = {
        "GAVEL_DATA_DIR": str(tmp_path),
        "GAVEL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "GAVEL_CLICKHOUSE__DSN": "http://gavel@127.0.0.1:1/gavel",
        "GAVEL_API__PORT": str(port),
        "GAVEL_API__UNAUTHORIZED_PER_MINUTE": "6000",
    }
    url = f"http://127.0.0.1:{port}"
    with workers(tmp_path, "run", "--role", "api", "--workers", "2", **env) as crew:
        crew.until_all_ready()
        asked = 40
        for _ in range(asked):  # a connection each, which the kernel gives to one of the two
            assert httpx2.get(f"{url}/api/projects/1/evaluations/", timeout=PATIENCE_S).status_code == 401
        assert crew.metric(r"gavel_http_requests_total\{.*\}") == asked
        os.kill(crew.pids()["0"], signal.SIGKILL)
        crew.process.wait_until(lambda: crew.metric(r'gavel_worker_ends_total\{reason="killed",.*\}') == 1, "the end")
        assert crew.ready(), "the other worker takes the connections"
        for _ in range(10):
            assert httpx2.get(f"{url}/api/projects/1/evaluations/", timeout=PATIENCE_S).status_code == 401
        with pytest.raises(ServiceError), workers(tmp_path / "other", "api", "--workers", "2", **env) as second:
            second.process.wait_until(second.ready, "a second crew")
        assert "Address already in use" in (tmp_path / "other/workers.log").read_text()
        crew.until_all_ready()
        assert crew.process.terminate() == 0, crew.log.read_text()[-3000:]


def test_ingest_workers_share_a_port_and_its_probes(kafka: str, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka, tmp_path)
    _, token = ProjectTokens(pipeline.database).create(team_id=TEAM, now=datetime.now(UTC))
    (port,) = free_ports(1)
    topics = {f"GAVEL_KAFKA__TOPICS__{name.upper()}": topic for name, topic in pipeline.settings.kafka.topics}
    url = f"http://127.0.0.1:{port}"
    env = {
        "GAVEL_DATA_DIR": str(tmp_path),
        "GAVEL_KAFKA__BOOTSTRAP_SERVERS": kafka,
        "GAVEL_INGEST__PORT": str(port),
        "GAVEL_INGEST__DRAIN_S": "0.3",
        **topics,
    }
    with workers(tmp_path, "ingest", "--workers", "2", **env) as crew:
        crew.until_all_ready()
        for _ in range(20):
            assert send(url, token).json() == {"status": "Ok"}
        for where in (crew.http, url):
            assert crew.metric(r'gavel_ingest_events_total\{outcome="accepted"\}', where) == 20
            assert set(httpx2.get(f"{where}/readyz", timeout=PATIENCE_S).json()["workers"]) == {"0", "1"}
        os.kill(crew.pids()["1"], signal.SIGKILL)
        crew.process.wait_until(lambda: crew.metric(r'gavel_worker_ends_total\{reason="killed",.*\}') == 1, "the end")
        assert send(url, token).json() == {"status": "Ok"}
        assert crew.process.terminate() == 0, crew.log.read_text()[-3000:]
    assert len(pipeline.read(pipeline.settings.kafka.topics.events)) == 21
    assert token not in crew.log.read_text()


def send(url: str, token: str) -> httpx2.Response:
    return httpx2.post(
        f"{url}/batch", json={"api_key": token, "batch": [generation(0, uuid=str(uuid4()))]}, timeout=PATIENCE_S
    )


@pytest.mark.parametrize(
    ("words", "env", "problem"),
    [
        (["run", "--workers", "2"], {}, "kafka.bootstrap_servers: 'embedded'"),
        (
            ["run", "--role", "matcher", "--workers", "2"],
            {"GAVEL_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"},
            "clickhouse.dsn: chdb locks its folder",
        ),
        (["run", "--role", "api", "--role", "judge"], {}, "api runs alone"),
        (["run", "--role", "matcher", "--workers", "0"], {}, "--workers"),
    ],
)
def test_workers_that_could_not_work_together_are_refused(
    tmp_path: Path, words: list[str], env: dict[str, str], problem: str
) -> None:
    with workers(tmp_path, *words, GAVEL_DATA_DIR=str(tmp_path), **env) as crew:
        with pytest.raises(ServiceError, match="exit code 2"):
            crew.process.wait_until(lambda: False, "a refusal")
        assert problem in crew.log.read_text()


def test_a_port_that_another_program_shares_is_refused() -> None:
    from processor.workers.place import reserve

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="in use"):
            reserve("127.0.0.1", other.getsockname()[1])
