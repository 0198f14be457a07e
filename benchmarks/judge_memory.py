"""Memory and CPU of a judge process of its own while tasks arrive, are parked, wait, and are judged after all."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.table import markdown
from examples.stand_in.client import StandInServer
from processor.judge.parked import OVERFLOW
from tests.integration.judge_rig import JudgeRig
from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess

SETTLED_S = 25.0
"""After the last commit: by then memory was given back."""
LIMIT_S = 900.0


class Reading(NamedTuple):
    """One row.

    Attributes:
        most_in_flight, most_mb: since the reading before; sampled ten times a second.
        mb: resident at its end, with nothing in flight.
    """

    name: str
    most_in_flight: int
    most_mb: float
    mb: float


class JudgeProcess:
    """`gavel run --role judge` on the topics and the store of `rig`, watched from outside."""

    def __init__(self, rig: JudgeRig, folder: Path, **judge: float) -> None:
        (port,) = free_ports(1)
        kafka = rig.settings.kafka
        values: dict[str, object] = {
            "DATA_DIR": rig.settings.data_dir,
            "SECRET_KEYS": rig.settings.secret_keys[0].get_secret_value(),
            "STORE__DSN": rig.settings.store.dsn.get_secret_value(),
            "KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA__GROUP_PREFIX": kafka.group_prefix,
            "HTTP__PORT": port,
            "JUDGE__ALLOWED_HOSTS": "127.0.0.1",
            **{f"KAFKA__TOPICS__{name.upper()}": topic for name, topic in kafka.topics},
            **{f"JUDGE__{name.upper()}": value for name, value in judge.items()},
        }
        env = {f"GAVEL_{name}": str(value) for name, value in values.items()} | {"PYTHONPATH": str(CHECKOUT)}
        program = "from cli.main import main; main()"
        argv = [sys.executable, "-c", program, "run", "--role", "judge"]
        self._url = f"http://127.0.0.1:{port}"
        self._process = GuardedProcess(argv, log=folder / "judge.log", env=env)
        self._process.wait_until(lambda: self._answers("/readyz"), "The judge")
        self._seen = psutil.Process(self._process.pid)
        self._most_mb = self._most_in_flight = 0.0
        self._unwatched = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self._url + path, timeout=10):
                return True
        except OSError:
            return False

    def _watch(self) -> None:
        while self._process.exit_code is None:
            if self._unwatched.is_set():
                time.sleep(0.1)
                continue
            try:
                self._most_mb = max(self._most_mb, self._resident_mb())
                self._most_in_flight = max(self._most_in_flight, self.value("gavel_records_in_flight"))
            except (OSError, psutil.Error):
                return  # it has ended
            time.sleep(0.1)

    def _resident_mb(self) -> float:
        return float(self._seen.memory_info().rss) / 2**20

    def value(self, name: str) -> float:
        """Return a metric, summed over its labels; runs that only waited in a lane do not count as parked."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=30) as reply:
            families = text_string_to_metric_families(reply.read().decode())
        samples = (sample for family in families for sample in family.samples)
        return sum(each.value for each in samples if each.name == name and each.labels.get("cause") != OVERFLOW)

    def read(self, name: str) -> Reading:
        """Wait until nothing is in flight, and until the allocator has returned freed memory."""
        self.wait(lambda: self.value("gavel_records_in_flight") == 0, "nothing in flight")
        time.sleep(SETTLED_S)
        found = Reading(name, int(self._most_in_flight), self._most_mb, self._resident_mb())
        self._most_mb = self._most_in_flight = 0.0
        return found

    def cpu_share(self, seconds: float) -> float:
        """Return which part of a core it uses over `seconds`, in which nobody asks it for its metrics."""
        self._unwatched.set()
        time.sleep(1.0)
        before = sum(self._seen.cpu_times()[:2])
        time.sleep(seconds)
        share = (sum(self._seen.cpu_times()[:2]) - before) / seconds
        self._unwatched.clear()
        return share

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Block until `condition`."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            if self._process.exit_code is not None or time.monotonic() > deadline:
                raise SystemExit(f"waited for {what}\n{self._process.log_tail()}")
            time.sleep(0.5)

    def close(self) -> None:
        """End it."""
        self._process.terminate()


def measure(
    kafka: str,
    stand_in: StandInServer,
    fill: Callable[[JudgeRig, str, int], None],
    parked: int,
    waves: int,
    idle_s: float,
) -> None:
    """Park `parked` tasks by a provider that is away, let them be judged when it is back, and again; print a table."""
    stand_in.reset()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rig = JudgeRig(kafka, folder, stand_in.base_url)
        rig.add_key()
        evaluation = rig.add_evaluation()
        judge = JudgeProcess(
            rig, folder, concurrency=200, park_initial_s=3600, park_max_s=3600, breaker_probe_s=1, cache_entries=1000
        )
        idle = judge.cpu_share(idle_s)
        readings, shares = [judge.read("before")], []
        for wave in range(1, waves + 1):
            stand_in.reset()
            stand_in.script({"action": "server_error"})
            done = judge.value("gavel_results_total")
            waiting = judge.value("gavel_judge_parked_total") + parked
            fill(rig, evaluation, parked)
            judge.wait(lambda: judge.value("gavel_judge_parked_total") >= waiting, "parked tasks")  # noqa: B023  # called at once
            readings.append(judge.read(f"wave {wave}: {parked:,} parked"))
            shares.append(judge.cpu_share(idle_s) - idle)
            stand_in.reset()
            stand_in.settings(latency_s=0.05)
            judge.wait(lambda: judge.value("gavel_results_total") >= done + parked, "verdicts")  # noqa: B023  # called at once
            readings.append(judge.read(f"wave {wave}: all judged"))
        judge.close()
        rig.close()
    rows = [[each.name, f"{each.most_in_flight:,}", f"{each.most_mb:.0f}", f"{each.mb:.0f}"] for each in readings]
    print("\n" + markdown(["a judge process", "most in flight", "MB at most", "MB then"], rows))
    waits = f"{max(shares):+.2%} of a core over {idle_s:g} s"
    print(f"\n{parked:,} parked tasks that wait cost {waits}; an idle process costs {idle:.2%}.")
