"""The Helm chart: the real helm lints and renders it for many values, and the schemas of Kubernetes accept it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.settings import load_settings
from config.settings.safety import ROLES
from tests.services.cache import CHECKOUT, cache_folder

CHART = CHECKOUT / "deploy/helm/gavel"
SNAPSHOTS = Path(__file__).parent / "chart"
KUBERNETES = "1.30"
OTHERS = ("1.27", "1.33")
"""The oldest and the newest release: for the values that render every kind of manifest."""
EVERYTHING = {
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True, "runbookBase": "https://example.org/gavel/"},
    "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {}}]},
    "ingress": {"enabled": True, "apiHost": "gavel.example.org", "ingestHost": "in.example.org", "tlsSecret": "tls"},
    "autoscaling": {"kind": "keda"},
    "existingSecrets": ["gavel"],
    "roles": {"matcher": {"stateful": True, "workers": 4}},
    "ingest": {"workers": 2},
    "image": {"digest": "sha256:" + "0" * 64},
}
MATRIX: dict[str, dict[str, Any]] = {
    "default": {},
    "everything": EVERYTHING,
    "hpa": {"autoscaling": {"kind": "hpa"}},
    "one role": {
        "roles": {role: {"enabled": role == "judge"} for role in ROLES},
        "api": {"enabled": False}, "ingest": {"enabled": False}, "init": {"enabled": False},
    },
    "dashboards": {"dashboards": {"enabled": True}},
    "no account": {"serviceAccount": {"create": False}, "podDisruptionBudget": {"enabled": False},
                   "topologySpread": {"enabled": False}, "tolerations": [{"operator": "Exists"}]},
}  # fmt: skip
CUSTOM_KINDS = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}


def helm(*arguments: str | Path, code: int = 0) -> str:
    found = shutil.which("helm") or str(cache_folder("bin") / "helm")
    assert Path(found).exists(), "helm is missing; .ci/install-services builds it with Go"
    done = subprocess.run([found, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def rendered(values: dict[str, Any], folder: Path, *, version: str = KUBERNETES) -> list[dict[str, Any]]:
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    text = helm("template", "g", CHART, "--values", path, "--kube-version", f"{version}.0")
    return [document for document in yaml.safe_load_all(text) if document]


def test_the_chart_is_linted(tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(EVERYTHING))
    for values in ([], ["--values", path]):
        helm("lint", "--strict", "--kube-version", "1.30.0", CHART, *values)


@pytest.mark.parametrize(
    ("name", "version"), [*((name, KUBERNETES) for name in MATRIX), *(("everything", each) for each in OTHERS)]
)
def test_every_manifest_is_what_the_schemas_of_kubernetes_allow(name: str, version: str, tmp_path: Path) -> None:
    documents = rendered(MATRIX[name], tmp_path, version=version)
    assert documents
    for document in documents:
        if document["kind"] not in CUSTOM_KINDS:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", ["default", "everything"])
def test_manifests_are_those_of_the_snapshot(name: str, tmp_path: Path) -> None:
    """A change of the chart shows in the snapshot; write it anew with `python -m tests.unit.deploy.test_chart`."""
    assert rendered(MATRIX[name], tmp_path) == [*yaml.safe_load_all((SNAPSHOTS / f"{name}.yaml").read_text())]


def test_no_pod_has_rights_that_it_does_not_need(tmp_path: Path) -> None:
    for document in rendered(EVERYTHING, tmp_path):
        pod = document.get("spec", {}).get("template", {}).get("spec")
        if pod is None:
            continue
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]
        assert pod["terminationGracePeriodSeconds"] > load_settings(None).watchdog.shutdown_s


def test_workers_are_an_argument_of_the_command(tmp_path: Path) -> None:
    arguments = {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]["containers"][0]["args"]
        for document in rendered(EVERYTHING, tmp_path)
        if document["kind"] in ("Deployment", "StatefulSet")
    }
    assert arguments["g-matcher"] == ["run", "--role", "matcher", "--workers", "4"]
    assert arguments["g-ingest"] == ["ingest", "--workers", "2"]
    assert arguments["g-judge"] == ["run", "--role", "judge"], "one process has no supervisor"


def test_every_role_and_server_has_its_workload(tmp_path: Path) -> None:
    found = {
        document["spec"]["template"]["spec"]["containers"][0]["args"][-1]
        for document in rendered({}, tmp_path)
        if document["kind"] in ("Deployment", "StatefulSet", "Job")
    }
    assert found == {*ROLES, "api", "ingest", "init"}


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {"STORE__DSN": "postgresql://u:secret@db/gavel"}},
        {"image": {"digest": "latest"}},
        {"terminationGracePeriodSeconds": 5},
        {"roles": {"matchers": {"enabled": True}}},
        {"autoscaling": {"kind": "cpu"}},
        {"roles": {"judge": {"workers": 0}}},
    ],
    ids=[
        "a secret among the settings",
        "no digest",
        "less than a drain",
        "a role that is not there",
        "another kind",
        "no workers",
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    assert "schema" in helm("template", "g", CHART, "--values", path, "--kube-version", "1.30.0", code=1)


def test_the_chart_ships_the_alerts_and_dashboards_of_the_repository() -> None:
    """Helm reads only files inside of the chart, so they are copies; `make docs` writes them."""
    assert (CHART / "files/alerts.yaml").read_text() == (CHECKOUT / "deploy/prometheus/alerts.yaml").read_text()
    ours = {path.name: path.read_text() for path in (CHECKOUT / "deploy/grafana/dashboards").glob("*.json")}
    assert {path.name: path.read_text() for path in (CHART / "files/dashboards").glob("*.json")} == ours


def test_rules_keep_their_own_templates_and_point_to_runbooks(tmp_path: Path) -> None:
    (rule,) = [each for each in rendered(EVERYTHING, tmp_path) if each["kind"] == "PrometheusRule"]
    ours = yaml.safe_load((CHECKOUT / "deploy/prometheus/alerts.yaml").read_text())
    text = json.dumps(rule["spec"]).replace("https://example.org/gavel/docs/runbooks/", "docs/runbooks/")
    assert json.loads(text) == ours


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        for snapshot in ("default", "everything"):
            text = yaml.safe_dump_all(rendered(MATRIX[snapshot], Path(scratch)), sort_keys=False)
            (SNAPSHOTS / f"{snapshot}.yaml").write_text(text)
