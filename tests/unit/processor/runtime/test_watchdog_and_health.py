"""The probes of a process, and its end when it hangs."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from processor.exit_codes import EXIT_STALLED
from processor.metric_catalogue import CATALOGUE, catalogue_text
from processor.metrics import Metrics
from processor.runtime.health import HealthServer
from processor.runtime.watchdog import Watchdog
from tests.services.cache import CHECKOUT
from tests.services.waiting import PATIENCE_S


class FakeStage:
    role = "matcher"

    def __init__(self) -> None:
        self.heartbeat_s = self.progress_s = time.monotonic()


@pytest.mark.parametrize("attribute", ["heartbeat_s", "progress_s"])
def test_a_stage_that_stands_still_ends_the_process(attribute: str) -> None:
    registry, ended, stage = CollectorRegistry(), threading.Event(), FakeStage()
    codes: list[int] = []

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    watchdog = Watchdog([stage], limit_s=600.0, metrics=Metrics(registry), end=end, interval_s=0.05)
    assert watchdog.stalled() is None, "a stage that moves"
    setattr(stage, attribute, time.monotonic() - 601.0)
    watchdog.start()
    assert ended.wait(PATIENCE_S)
    watchdog.stop()
    assert codes == [EXIT_STALLED]
    assert registry.get_sample_value("gavel_stalls_total", {"role": "matcher"}) == 1


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_probes_and_metrics_are_served() -> None:
    registry = CollectorRegistry()
    Metrics(registry).count("gavel_commits", role="sink")
    state = {"ready": False}
    server = HealthServer(
        "127.0.0.1",
        0,
        live=lambda: (True, {}),
        ready=lambda: (state["ready"], {"waiting_for": "definitions"}),
        registry=registry,
    )
    server.start()
    base = f"http://127.0.0.1:{server.port}"
    assert get(f"{base}/livez")[0] == 200
    status, body = get(f"{base}/readyz")
    assert (status, json.loads(body)) == (503, {"ok": False, "waiting_for": "definitions"})
    state["ready"] = True
    assert get(f"{base}/readyz")[0] == 200
    assert b'gavel_commits_total{role="sink"} 1.0' in get(f"{base}/metrics")[1]
    assert get(f"{base}/elsewhere")[0] == 404
    server.stop()


def test_every_metric_has_a_help_text_and_a_legal_name() -> None:
    for name, definition in CATALOGUE.items():
        assert name.startswith("gavel_")
        assert definition.help
        assert not name.endswith("_total"), "prometheus-client adds the suffix"


def test_the_page_of_metrics_is_the_catalogue() -> None:
    page = CHECKOUT / "docs" / "metrics.md"
    assert page.read_text() == catalogue_text(), "run `make docs`"
