"""A supervisor with real processes that are small: each serves its probes as a role does, and nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.services.cache import CHECKOUT
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S, until

CREW = f"""
import signal, sys
from pathlib import Path
from processor.workers.child import ChildPatience
from processor.workers.supervisor import Crew, RestartLimits, Supervisor, worker_folder
from processor.runtime.logs import configure

folder, kind = Path(sys.argv[1]), sys.argv[2]
configure("info", "json")
mute, hasty = kind == "mute", kind == "hasty"
patience = ChildPatience(first_answer_s=1.0 if mute else {PATIENCE_S}, answer_s=3.0 if hasty else {PATIENCE_S})
limits = RestartLimits(backoff_initial_s=0.1, backoff_max_s=0.4, settled_s=0.5 if mute else 5.0, ends_in_row=4,
                lead_s=0.0 if mute else 60.0, drain_s=3.0 if hasty else {PATIENCE_S}, patience=patience)
with worker_folder() as sockets:
    def start(number, at):
        return [sys.executable, str(folder / "worker.py"), str(number), str(at), str(supervisor.lifeline), str(folder)]
    supervisor = Supervisor(Crew("matcher", 2, start, one_is_enough=kind == "any"), Path(sockets), host="127.0.0.1",
                            port=0, limits=limits)
    (folder / "port").write_text(str(supervisor.port))
    code = supervisor.run()
sys.exit(code)
"""

WORKER = """
import os, signal, sys, time
from pathlib import Path
from prometheus_client import CollectorRegistry
from processor.metrics import Metrics
from processor.runtime.health import HealthServer
from processor.workers.place import end_with

number, at, lifeline, folder = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
end_with(lifeline)
if (folder / f"mute-{number}").exists():
    time.sleep(60)
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
doom = folder / f"doom-{number}"
if doom.exists():
    while (folder / "one-by-one").exists() and not (folder / "next").exists():
        time.sleep(0.02)
    (folder / "next").unlink(missing_ok=True)
    os.kill(os.getpid(), signal.SIGKILL) if doom.read_text() == "kill" else sys.exit(int(doom.read_text()))
registry = CollectorRegistry()
metrics = Metrics(registry)
metrics.count("gavel_commits", 10, role="matcher")
ready = lambda: (not (folder / f"waits-{number}").exists(), {"waiting_for": "a test"})
health = HealthServer("", 0, live=lambda: (True, {}), ready=ready, registry=registry, at=at)
health.start()
(folder / f"pid-{number}").write_text(str(os.getpid()))
while not asked or (folder / "clings").exists():
    time.sleep(0.02)
(folder / f"drained-{number}").touch()
"""


class Rig:
    """A supervisor of two small workers in a folder."""

    def __init__(self, folder: Path, kind: str = "all") -> None:
        self.folder = folder
        (folder / "worker.py").write_text(WORKER)
        (folder / "crew.py").write_text(CREW)
        self.log = folder / "log"
        self.process = GuardedProcess(
            [sys.executable, folder / "crew.py", folder, kind], log=self.log, env={"PYTHONPATH": str(CHECKOUT)}
        )

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{(self.folder / 'port').read_text()}{path}", timeout=PATIENCE_S
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, ValueError):
            return 0, ""

    def metric(self, line: str) -> float:
        found = re.search(rf"^{re.escape(line)} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        return float(found[1]) if found else -1.0

    def pid(self, number: int) -> int:
        return int((self.folder / f"pid-{number}").read_text())

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


@contextmanager
def running(folder: Path, kind: str = "all") -> Iterator[Rig]:
    made = Rig(folder, kind)
    try:
        yield made
    finally:
        made.process.kill()
        (folder / "clings").unlink(missing_ok=True)  # workers without a supervisor cling no longer


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as made:
        yield made


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Rig]:
    """Give a supervisor that does not wait long for a worker that answers no more or does not drain."""
    with running(tmp_path, "hasty") as made:
        yield made


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_killed_worker_is_restarted_and_its_counts_stay(rig: Rig) -> None:
    rig.process.wait_until(rig.ready, "two workers")
    assert rig.metric('gavel_commits_total{role="matcher"}') == 20
    assert rig.metric('gavel_worker_ends_total{reason="killed",role="matcher"}') == 0
    killed = rig.pid(1)
    os.kill(killed, signal.SIGKILL)
    rig.process.wait_until(
        lambda: rig.metric('gavel_worker_ends_total{reason="killed",role="matcher"}') == 1, "the end"
    )
    rig.process.wait_until(lambda: rig.pid(1) != killed and rig.ready(), "the restart")
    assert rig.metric('gavel_commits_total{role="matcher"}') == 30, "20 of the first two workers and 10 of the new one"
    assert rig.metric('gavel_workers{role="matcher",state="ready"}') == 2
    (line,) = rig.events("worker_ended")
    assert (line["worker"], line["how"]) == (1, "killed by SIGKILL (often the limit on memory)")
    assert rig.process.terminate() == 0, rig.log.read_text()


def test_sigterm_drains_every_worker(rig: Rig) -> None:
    rig.process.wait_until(rig.ready, "two workers")
    pids = [rig.pid(0), rig.pid(1)]
    assert rig.process.terminate() == 0, rig.log.read_text()
    assert [(rig.folder / f"drained-{number}").exists() for number in (0, 1)] == [True, True]
    assert all(is_gone(pid) for pid in pids)


def test_a_worker_that_does_not_drain_is_killed_and_the_exit_code_says_so(hasty: Rig) -> None:
    hasty.process.wait_until(hasty.ready, "two workers")
    (hasty.folder / "clings").touch()
    pids = [hasty.pid(0), hasty.pid(1)]
    assert hasty.process.terminate() == 1
    assert hasty.events("supervisor_stopped")[0]["failed"] == [0, 1]
    assert all(is_gone(pid) for pid in pids)


def test_while_it_drains_it_is_not_ready_and_says_why(rig: Rig) -> None:
    rig.process.wait_until(rig.ready, "two workers")
    (rig.folder / "clings").touch()
    rig.process.send(signal.SIGTERM)
    rig.process.wait_until(lambda: rig.get("/readyz")[0] == 503, "the news that it stops")
    assert json.loads(rig.get("/readyz")[1])["reason"] == "the process is stopping"


def test_a_worker_that_dies_in_a_loop_ends_all_with_a_metric_and_the_reason(rig: Rig) -> None:
    rig.process.wait_until(rig.ready, "two workers")
    (rig.folder / "doom-1").write_text("3")
    (rig.folder / "one-by-one").touch()
    os.kill(rig.pid(1), signal.SIGKILL)
    (rig.folder / "next").touch()
    rig.process.wait_until(
        lambda: rig.metric('gavel_worker_ends_total{reason="failed",role="matcher"}') == 1, "the end of the second"
    )
    (rig.folder / "one-by-one").unlink()
    until(lambda: rig.process.exit_code is not None, "the end of the supervisor")
    assert rig.process.exit_code == 1
    (line,) = rig.events("worker_dies_in_a_loop")
    assert (line["worker"], line["how"], line["ends_in_row"]) == (1, "exit code 3", 4)
    waits = [line["restarts_in_s"] for line in rig.events("worker_ended")]
    assert waits == [0.1, 0.2, 0.4], "the wait doubles up to its limit"
    assert (rig.folder / "drained-0").exists(), "the healthy worker was not drained"


def test_settings_that_are_wrong_are_reported_once_and_not_retried(tmp_path: Path) -> None:
    (tmp_path / "doom-0").write_text("2")
    rig = Rig(tmp_path)
    try:
        until(lambda: rig.process.exit_code is not None, "the end of the supervisor")
        assert rig.process.exit_code == 2
        assert len(rig.events("worker_started")) == 1
        assert len(rig.events("worker_could_not_start")) == 1
    finally:
        rig.process.kill()


def test_a_worker_that_does_not_answer_any_more_is_killed_and_restarted(hasty: Rig) -> None:
    hasty.process.wait_until(hasty.ready, "two workers")
    frozen = hasty.pid(0)
    os.kill(frozen, signal.SIGSTOP)
    hasty.process.wait_until(
        lambda: hasty.metric('gavel_worker_ends_total{reason="hangs",role="matcher"}') >= 1, "the end"
    )
    hasty.process.wait_until(lambda: hasty.pid(0) != frozen and hasty.ready(), "the restart")
    assert is_gone(frozen)


def test_a_worker_that_never_answers_is_one_that_ends_in_a_row_however_long_it_is_awaited(tmp_path: Path) -> None:
    for number in (0, 1):
        (tmp_path / f"mute-{number}").touch()
    rig = Rig(tmp_path, "mute")
    try:
        rig.process.wait_until(lambda: rig.events("worker_dies_in_a_loop"), "the end of the loop")
        (given_up,) = rig.events("worker_dies_in_a_loop")
        waits = [line["restarts_in_s"] for line in rig.events("worker_ended") if line["worker"] == given_up["worker"]]
        assert waits == [0.1, 0.2, 0.4]
    finally:
        rig.process.kill()


@pytest.mark.parametrize(("kind", "status"), [("all", 503), ("any", 200)])
def test_readyz_is_that_of_all_workers_or_of_one_behind_a_shared_port(tmp_path: Path, kind: str, status: int) -> None:
    (tmp_path / "waits-1").touch()
    rig = Rig(tmp_path, kind)
    try:
        rig.process.wait_until(
            lambda: '"1": {"ready": false, "waiting_for": "a test"' in rig.get("/readyz")[1], "the second worker"
        )
        assert rig.get("/readyz")[0] == status
        assert rig.metric('gavel_workers{role="matcher",state="starting"}') == 1
        assert rig.get("/livez")[0] == 200
    finally:
        rig.process.kill()


def test_workers_drain_and_end_when_the_supervisor_is_killed(rig: Rig) -> None:
    rig.process.wait_until(rig.ready, "two workers")
    pids = [rig.pid(0), rig.pid(1)]
    rig.process.send(signal.SIGKILL)
    until(lambda: all(is_gone(pid) for pid in pids), "the end of the workers of a supervisor that is gone")
    assert [(rig.folder / f"drained-{number}").exists() for number in (0, 1)] == [True, True]
