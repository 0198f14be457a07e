"""Compose, Prometheus and Grafana name services, settings and metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from config.settings import load_settings
from config.settings.safety import ROLES
from processor.metric_catalogue import CATALOGUE, MetricName
from tests.services.cache import CHECKOUT

BIN = Path(sys.executable).parent
DASHBOARDS = sorted((CHECKOUT / "deploy/grafana/dashboards").glob("*.json"))
TRIAL = CHECKOUT / "deploy/compose/trial.env"
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
    """Return the services that run Gavel, without those of the trial's profile."""
    ours = ((name, service) for name, service in compose["services"].items() if service["image"] == "gavel:local")
    return {name: service for name, service in ours if "profiles" not in service}


def test_compose_runs_every_role_the_api_and_init(compose: dict[str, Any]) -> None:
    commands = [service["command"] for service in gavel_services(compose).values()]

    def of(name: str, *words: str) -> list[str]:
        return [*words, "--workers", f"${{{name.upper()}_WORKERS:-1}}"]

    roles = [of(role, "run", "--role", role) for role in ROLES]
    assert sorted(commands) == sorted([["init"], of("api", "api"), of("ingest", "ingest"), *roles])


def test_no_password_has_a_default_outside_of_the_trial(compose: dict[str, Any]) -> None:
    text = (CHECKOUT / "compose.yaml").read_text()
    trial = dict(line.split("=", 1) for line in TRIAL.read_text().splitlines() if not line.startswith("#"))
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked == {name for name in trial if name.endswith("_PASSWORD")}
    assert not [value for name, value in trial.items() if name.endswith("_PASSWORD") and value in text]
    assert set(re.findall(r"\$\{(\w+):-", text)) == {f"{role.upper()}_WORKERS" for role in (*ROLES, "api", "ingest")}
    assert set(trial) - asked <= set(compose["services"]["judge"]["environment"])


def test_the_trial_is_judged_by_the_stand_in_that_its_profile_starts(compose: dict[str, Any]) -> None:
    trial = dict(line.split("=", 1) for line in TRIAL.read_text().splitlines() if not line.startswith("#"))
    address = urlsplit(trial["GAVEL_JUDGE__TRIAL_BASE_URL"])
    stand_in = compose["services"][address.hostname]
    assert stand_in["command"] == ["--host", "0.0.0.0", "--port", str(address.port)]
    assert {name for name, each in compose["services"].items() if "profiles" in each} == {"stand-in", "sample"}
    assert all(each["profiles"] == ["sample"] for each in compose["services"].values() if "profiles" in each)


def test_every_container_is_hardened_and_every_server_healthy_or_watched(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert name in gavel_and_sample(compose) or "healthcheck" in service or name in {"prometheus", "grafana"}, name
    for name in gavel_and_sample(compose):
        assert compose["services"][name]["read_only"] is True, name


def gavel_and_sample(compose: dict[str, Any]) -> set[str]:
    return {name for name, service in compose["services"].items() if service["image"] == "gavel:local"}


def test_every_image_names_a_full_version(compose: dict[str, Any]) -> None:
    images = {service["image"] for service in compose["services"].values()} - {"gavel:local"}
    images |= {line.split()[1] for line in (CHECKOUT / "Dockerfile").read_text().splitlines() if line[:5] == "FROM "}
    for image in images:
        parts = 1 if image.startswith("postgres:") else 2  # PostgreSQL numbers its releases by two parts
        assert re.fullmatch(rf"[\w./-]+:v?\d+(\.\d+){{{parts},3}}(-[\w.-]+)?(@sha256:[0-9a-f]{{64}})?", image), image


def test_compose_sets_only_settings_that_exist_and_are_safe(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for service in gavel_services(compose).values():
        for name, value in service["environment"].items():
            if value is not None:
                monkeypatch.setenv(name, re.sub(r"\$\{\w+:\?.*?\}", "a-password-of-this-test", str(value)))
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
    (front_door,) = prometheus["scrape_configs"][1]["dns_sd_configs"]
    assert front_door["names"] == ["ingest"]
    assert front_door["port"] == load_settings(None).ingest.port
    assert sorted(discovery["names"]) == sorted(ROLES)
    assert set(discovery["names"]) <= set(compose["services"])
    assert discovery["port"] == load_settings(None).http.port


def exported_names() -> dict[str, MetricName]:
    """Return every series name that the catalogue exports, and the metric that it belongs to."""
    suffixes: dict[str, tuple[str, ...]] = {
        "counter": ("_total",),
        "gauge": ("",),
        "age": ("",),
        "histogram": ("_bucket", "_sum", "_count"),
    }
    return {name + suffix: name for name, each in CATALOGUE.items() for suffix in suffixes[each.kind]}


def panels() -> Iterator[dict[str, Any]]:
    for path in DASHBOARDS:
        yield from json.loads(path.read_text())["panels"]


def dashboard_queries() -> Iterator[tuple[str, str]]:
    for panel in panels():
        yield from ((each["expr"], each["legendFormat"]) for each in panel.get("targets", ()) if "expr" in each)


def alert_queries() -> list[str]:
    return [rule["expr"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def metrics_in(query: str) -> set[str]:
    return set(re.findall(r"\bgavel_\w+", query))


def test_dashboard_and_alerts_ask_only_for_metrics_of_the_catalogue() -> None:
    asked = set().union(*(metrics_in(query) for query, _ in dashboard_queries()), *map(metrics_in, alert_queries()))
    assert asked - set(exported_names()) == set()


def test_the_dashboard_shows_every_metric_of_the_catalogue() -> None:
    shown = {exported_names().get(name) for query, _ in dashboard_queries() for name in metrics_in(query)}
    assert set(CATALOGUE) - shown == set(), "add a panel to deploy/grafana/panels"


def test_dashboard_and_alerts_group_by_labels_that_the_metrics_have() -> None:
    names = exported_names()
    for query in [*(query for query, _ in dashboard_queries()), *alert_queries()]:
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        labels = {label for name in metrics_in(query) for label in CATALOGUE[names[name]].labels}
        assert grouped <= labels | {"le", "instance", "job"}, query


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
    assert (CHECKOUT / mounts[provider["options"]["path"]]).samefile(DASHBOARDS[0].parent)
    assert Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).name in {
        path.name for path in DASHBOARDS
    }
    files = (CHECKOUT / "deploy/grafana/provisioning/datasources").glob("*.yaml")
    sources = [source for path in files for source in yaml.safe_load(path.read_text())["datasources"]]
    used = {(panel["datasource"]["uid"], panel["datasource"]["type"]) for panel in panels() if "datasource" in panel}
    assert used == {(source["uid"], source["type"]) for source in sources}
    plugins = grafana["environment"]["GF_PLUGINS_PREINSTALL"].split(",")
    assert {kind for _, kind in used} - {"prometheus"} == {plugin.partition("@")[0] for plugin in plugins}


def test_dashboards_are_made_from_their_panels() -> None:
    run(sys.executable, CHECKOUT / ".ci/make_dashboards.py", "--check")


def test_every_panel_says_what_to_do() -> None:
    assert [panel["title"] for panel in panels() if panel["type"] != "row" and len(panel["description"]) < 30] == []


def test_the_build_context_has_every_file_that_the_dockerfile_copies() -> None:
    """`.dockerignore` excludes everything but the names that it lists. Every package that is shipped is copied."""
    lines = (CHECKOUT / "Dockerfile").read_text().splitlines()
    copied = {source.split("/")[0] for line in lines if line.startswith("COPY ") for source in line.split()[1:-1]}
    admitted = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name for name in copied if not name.startswith("--")} - {"opt", ""} == admitted
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    packages = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert {package for package in packages if (CHECKOUT / package).is_dir()} <= copied
