"""Every alert fires on series that show its trouble, stays silent on healthy ones, and has its runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.cache import CHECKOUT

ALERTS = CHECKOUT / "deploy/prometheus/alerts.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]
]
CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "alert_cases.yaml").read_text())
SECTIONS = ("## Meaning", "## Confirm", "## Repair", "## It is over when")


def promtool(*arguments: str | Path) -> str:
    found = shutil.which("promtool")
    assert found is not None, "promtool is missing; .ci/install-services installs it with Debian's package prometheus"
    done = subprocess.run([found, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def rules_of(alert: str, folder: Path) -> Path:
    """One alert with all recorded rules, and without its annotations: promtool would compare their rendered texts too.

    Alone, because promtool evaluates every rule of a file at every step of every case.
    """
    content = yaml.safe_load(ALERTS.read_text())
    for group in content["groups"]:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert", alert) == alert]
        for rule in group["rules"]:
            rule.pop("annotations", None)
    content["groups"] = [group for group in content["groups"] if group["rules"]]
    path = folder / f"{alert}.rules.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def unit_test(name: str, case: dict[str, Any], series: dict[str, str], alerts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "15s",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [{"eval_time": case["at"], "alertname": case["alert"], "exp_alerts": alerts}],
    }


def test_alerts_fire_and_stay_silent_as_the_cases_say(tmp_path: Path) -> None:
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in RULES}
    tests: dict[str, list[dict[str, Any]]] = {}
    for number, case in enumerate(CASES):
        of_alert = tests.setdefault(case["alert"], [])
        name = f"{number} {case['alert']}"
        if "series" in case:
            labels = {**case["labels"], "severity": severities[case["alert"]]}
            of_alert.append(unit_test(f"{name} fires", case, case["series"], [{"exp_labels": labels}]))
        if "silent" in case:
            of_alert.append(unit_test(f"{name} is silent", case, case["silent"], []))
    for alert, cases in tests.items():
        content = {"rule_files": [rules_of(alert, tmp_path).name], "evaluation_interval": "15s", "tests": cases}
        (tmp_path / f"{alert}.tests.yaml").write_text(yaml.safe_dump(content))
    promtool("test", "rules", *sorted(tmp_path.glob("*.tests.yaml")))


def test_the_texts_of_alerts_are_rendered_with_their_labels() -> None:
    promtool("test", "rules", Path(__file__).parent / "alert_texts.yaml")


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    names = {rule["alert"] for rule in RULES}
    assert {case["alert"] for case in CASES if "series" in case} == names
    silent = {case["alert"] for case in CASES if "silent" in case}
    assert names - silent == {"GavelBudgetNearlySpent", "GavelPassRateShifted"}, (
        "their healthy series stand in the case"
    )


def test_rules_and_configuration_are_valid() -> None:
    promtool("check", "rules", ALERTS)
    promtool("check", "config", CHECKOUT / "deploy/prometheus/prometheus.yaml")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_runbook_that_answers_the_four_questions(rule: dict[str, Any]) -> None:
    page = CHECKOUT / rule["annotations"]["runbook_url"]
    assert page.name == f"{rule['alert']}.md"
    text = page.read_text()
    assert text.startswith(f"# {rule['alert']}\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert len(part.strip()) > 20, part
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_runbook_belongs_to_an_alert() -> None:
    pages = {path.stem for path in (CHECKOUT / "docs/runbooks").glob("Gavel*.md")}
    assert pages == {rule["alert"] for rule in RULES}
