"""`gavel reports` over a store with one report and one run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from typer.testing import CliRunner

from cli.main import build_app
from config.secrets import SecretBox
from reports.evaluation_reports.due import manual_run
from reports.evaluation_reports.targets import seal_targets
from storage.sql.engine import open_database
from storage.sql.evaluation_report_runs import ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from storage.sql.migrations import upgrade
from tests.unit.reports.evaluation_reports.sample import content

NOW = datetime(2026, 11, 28, tzinfo=UTC)
HOOK_SECRET = "the-secret-of-a-receiver-5"


@pytest.fixture
def ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A store with a report that has a webhook, and its run."""
    key = Fernet.generate_key().decode()
    monkeypatch.setenv("GAVEL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GAVEL_SECRET_KEYS", key)
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(database)
    target = {"type": "webhook", "url": "https://example.com/hook", "secret": HOOK_SECRET}
    values = {
        "evaluation_id": "8b4883eb-9190-4e70-bfb9-71682af8a50b", "frequency": "every_n", "rrule": "", "enabled": True,
        "timezone_name": "UTC", "max_sample_size": 200, "report_prompt_guidance": "", "trigger_threshold": 100,
        "cooldown_minutes": 60, "daily_run_cap": 10,
        "delivery_targets": seal_targets([target], (), SecretBox([SecretStr(key)])),
    }  # fmt: skip
    report = EvaluationReports(database).create(1, values, actor="key:1", now=NOW)
    runs = ReportRuns(database)
    run = runs.open_manual(report, manual_run(report, NOW, "key:1"), now=NOW)
    claimed = runs.claim("me", now=NOW, lease_s=60)
    assert claimed is not None
    assert runs.store_content(claimed, "me", content(), report.delivery_targets, now=NOW)
    assert runs.begin_delivery(run, "me", 0, now=NOW, lease_s=60)
    assert runs.end_delivery(run, "me", 0, "failed", now=NOW + timedelta(seconds=1), error="the receiver answered 404")
    assert runs.finish(run, "me", "failed", now=NOW + timedelta(seconds=2))
    database.close()
    return report.id, run.id


def gavel(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(build_app(), ["reports", *words])
    assert done.exit_code == code, done.output
    return done.output


def test_runs_are_listed_by_what_became_of_them(ids: tuple[str, str]) -> None:
    report, run = ids
    assert f"{run}  2026-11-28 00:00  failed" in gavel("list")
    assert report in gavel("list", "--failed")
    assert gavel("list", "--open") == ""
    assert gavel("list", "--team", "2") == ""
    (listed,) = json.loads(gavel("list", "--json"))
    assert (listed["id"], listed["status"]) == (run, "failed")


def test_a_run_is_shown_with_its_deliveries_and_written_as_a_page(ids: tuple[str, str], tmp_path: Path) -> None:
    _, run = ids
    shown = gavel("show", run)
    assert shown.startswith("# Answers the question")
    assert "webhook  failed after 1 attempts: the receiver answered 404" in shown
    gavel("show", run, "--html", str(tmp_path / "r.html"))
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert json.loads(gavel("show", run, "--json"))["content"]["title"] == content()["title"]
    assert "has no run nothing" in gavel("show", "nothing", code=2)


def test_a_report_is_asked_for_and_its_secret_shown_on_purpose(ids: tuple[str, str]) -> None:
    report, run = ids
    asked = gavel("generate", report)
    assert "is pending" in asked
    assert run not in asked
    assert "has no report nothing" in gavel("generate", "nothing", code=2)
    assert gavel("secret", report) == f"https://example.com/hook  {HOOK_SECRET}\n"
