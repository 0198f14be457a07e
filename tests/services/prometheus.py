"""A real Prometheus with rules of a test's own, for as long as the test lasts."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.services.ports import free_ports
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S


class Prometheus:
    """Scrapes and evaluates every second, and remembers which alerts it has seen firing.

    Args:
        jobs: job → the ports that it scrapes.
        rules: the content of a file of rules.
    """

    def __init__(self, folder: Path, jobs: Mapping[str, list[int]], rules: dict[str, Any]) -> None:
        found = shutil.which("prometheus")
        assert found is not None, "prometheus is missing; .ci/install-services installs it"
        folder.mkdir()
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        targets = {job: [f"127.0.0.1:{port}" for port in ports] for job, ports in jobs.items()}
        content = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": addresses}]} for job, addresses in targets.items()
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(content))
        (self.port,) = free_ports(1)
        self._process = GuardedProcess(
            [
                found,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--query.lookback-delta=5s",
            ],
            log=folder / "prometheus.log",
        )
        self._process.wait_until(self._ready, "Prometheus")
        self.fired: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="alerts", daemon=True)
        self._thread.start()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=PATIENCE_S):
                return True
        except OSError:  # it does not listen yet, or answers 503
            return False

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            with suppress(OSError):  # it takes longer than usual to answer
                self.fired |= self.firing()

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now."""
        found: list[dict[str, Any]] = self._get("/api/v1/query", query=expression)["result"]
        return found

    def data(self, expression: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
        """Return the series of an expression over a time, as a panel asks for them."""
        found: list[dict[str, Any]] = self._get(
            "/api/v1/query_range", query=expression, start=start_s, end=end_s, step=5
        )["result"]
        return found

    def _get(self, path: str, **parameters: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
            content = json.load(answer)
        assert content["status"] == "success", content
        found: dict[str, Any] = content["data"]
        return found

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._thread.join()
        self._process.kill()
