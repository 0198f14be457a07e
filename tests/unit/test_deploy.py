"""Compose, Prometheus and Grafana name services, settings and metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import load_settings
from config.settings.safety import ROLES
from processor.metrics import CATALOGUE, MetricName

CHECKOUT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DASHBOARD = CHECKOUT / "deploy/grafana/dashboards/gavel.json"
ALERTS = CHECKOUT / "deploy/prometheus/alerts.yaml"


def run(*command: str | Path, **options: Any) -> str:
    """Run a command; fail with its output if it fails."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, check=False, capture_output=True, text=True, **options
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHECKOUT / "compose.yaml").read_text())
    return found


def test_compose_is_what_its_schema_allows() -> None:
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", CHECKOUT / "compose.yaml")


def gavel_services(compose: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in compose["services"].items() if service["image"] == "gavel:local"}


def test_compose_runs_every_role_the_api_and_init(compose: dict[str, Any]) -> None:
    commands = [service["command"] for service in gavel_services(compose).values()]
    assert sorted(commands) == sorted([["init"], ["api"], *(["run", "--role", role] for role in ROLES)])


def test_compose_sets_only_settings_that_exist_and_are_safe(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for service in gavel_services(compose).values():
        for name, value in service["environment"].items():
            if value is not None:
                monkeypatch.setenv(name, re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value)))
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None)
    assert compose["services"]["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"] == settings.kafka.max_message_bytes
    for service in gavel_services(compose).values():
        assert float(service["stop_grace_period"].removesuffix("s")) > settings.watchdog.shutdown_s


def test_compose_mounts_what_is_there_and_publishes_on_loopback_only(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        mounted = [volume.split(":")[0] for volume in service.get("volumes", ())]
        assert all((CHECKOUT / path).is_dir() for path in mounted if path.startswith("./"))
        assert {path for path in mounted if not path.startswith("./")} <= set(compose["volumes"])


def test_prometheus_scrapes_the_roles_of_compose_at_the_port_of_the_settings(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    prometheus = yaml.safe_load((CHECKOUT / "deploy/prometheus/prometheus.yaml").read_text())
    (discovery,) = prometheus["scrape_configs"][0]["dns_sd_configs"]
    assert sorted(discovery["names"]) == sorted(ROLES)
    assert set(discovery["names"]) <= set(compose["services"])
    assert discovery["port"] == load_settings(None).http.port


def exported_names() -> dict[str, MetricName]:
    """Return every series name that the catalogue exports, and the metric that it belongs to."""
    suffixes: dict[str, tuple[str, ...]] = {
        "counter": ("_total",),
        "gauge": ("",),
        "histogram": ("_bucket", "_sum", "_count"),
    }
    return {name + suffix: name for name, each in CATALOGUE.items() for suffix in suffixes[each.kind]}


def dashboard_queries() -> Iterator[tuple[str, str]]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from ((target["expr"], target["legendFormat"]) for target in panel.get("targets", ()))


def alert_queries() -> list[str]:
    return [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"\bgavel_\w+", query))


def test_dashboard_and_alerts_ask_only_for_metrics_of_the_catalogue() -> None:
    asked = set().union(*(metrics_in(query) for query, _ in dashboard_queries()), *map(metrics_in, alert_queries()))
    assert asked - set(exported_names()) == set()


def test_the_dashboard_shows_every_metric_of_the_catalogue() -> None:
    shown = {exported_names().get(name) for query, _ in dashboard_queries() for name in metrics_in(query)}
    assert set(CATALOGUE) - shown == set(), "add a panel to deploy/grafana/dashboards/gavel.json"


def test_dashboard_and_alerts_group_by_labels_that_the_metrics_have() -> None:
    names = exported_names()
    for query in [*(query for query, _ in dashboard_queries()), *alert_queries()]:
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        labels = {label for name in metrics_in(query) for label in CATALOGUE[names[name]].labels}
        assert grouped <= labels | {"le", "instance"}, query


def test_legends_show_labels_that_the_query_keeps() -> None:
    for query, legend in dashboard_queries():
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= grouped | {"instance"}, query


def test_grafana_finds_the_dashboard_where_compose_mounts_it(compose: dict[str, Any]) -> None:
    grafana = compose["services"]["grafana"]
    (provider,) = yaml.safe_load((CHECKOUT / "deploy/grafana/provisioning/dashboards/gavel.yaml").read_text())[
        "providers"
    ]
    mounts = {target: source for source, target, *_ in (volume.split(":") for volume in grafana["volumes"])}
    assert (CHECKOUT / mounts[provider["options"]["path"]]).samefile(DASHBOARD.parent)
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].endswith(DASHBOARD.name)
    sources = yaml.safe_load((CHECKOUT / "deploy/grafana/provisioning/datasources/prometheus.yaml").read_text())
    used = {
        panel["datasource"]["uid"] for panel in json.loads(DASHBOARD.read_text())["panels"] if "datasource" in panel
    }
    assert used == {source["uid"] for source in sources["datasources"]}
