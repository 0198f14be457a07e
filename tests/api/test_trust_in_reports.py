"""An evaluation report says of a judge what `trust/` says of it, and nothing where nobody labelled results."""

from __future__ import annotations

from typing import Any

import pytest

from api.services.trust.for_reports import trust_for_reports
from quality.extra import ExtraMissing
from reports.evaluation_reports.generate import Content, FiguresUnavailable, Generator
from reports.evaluation_reports.page.html import render_html
from reports.evaluation_reports.page.markdown import render_markdown
from storage.sql.evaluation_report_runs import ReportRuns
from storage.sql.evaluation_reports import EvaluationReports
from storage.sql.evaluations import Evaluations
from tests.api.conftest import Api
from tests.api.test_label_queues import judged
from tests.api.test_trust import sampled, say, trust


def content_of(api: Api, evaluation: dict[str, Any]) -> Content:
    """Return the content of a report over the last week, as the reports role makes it."""
    path, database = "llm_analytics/evaluation_reports/", api.services.database
    made = api.ok("POST", path, 201, json={"evaluation": evaluation["id"]})
    asked = api.ok("POST", f"{path}{made['id']}/generate/", 202)
    run = ReportRuns(database).get(api.team, asked["id"])
    report = EvaluationReports(database).get(api.team, made["id"])
    assert run is not None
    assert report is not None
    generator = Generator(api.clickhouse_dsn, None, trust=trust_for_reports(api.services.settings, database))
    return generator.content(run, report, Evaluations(database).get(api.team, evaluation["id"]))


def test_the_report_has_the_figures_of_the_trust_page(api: Api) -> None:
    evaluation = sampled(api, 60, 40, 100, wrong_passes=6, wrong_fails=4)
    expected = trust(api, evaluation)
    made = content_of(api, evaluation)
    (version,) = made["figures"]["versions"]
    found, table = version["trust"], expected["agreement"]["pass_fail"]
    assert (found["labels"], found["pairs"]) == (100, 100)
    assert (found["agreement"], found["passes_found"], found["fails_found"]) == (
        table["accuracy"],
        table["sensitivity"],
        table["specificity"],
    )
    assert found["chance_corrected"]["name"] == table["headline"]
    assert found["chance_corrected"]["word"] == table["word"]
    corrected = expected["corrected"]
    assert [found["corrected"][name] for name in ("value", "low", "high")] == [
        corrected[name] for name in ("value", "low", "high")
    ]
    assert found["corrected"]["value"] == pytest.approx(0.58, abs=0.02)
    text = " ".join(section["text"] for section in made["sections"])
    assert "People and the judge agree on 90.0\u00a0% of 100 labelled results" in text
    assert "Without the judge's errors the pass rate is 58.0\u00a0%" in text
    assert "How far the judge can be believed" in render_html(made)
    assert "90.0\u00a0%" in render_markdown(made)


def test_too_few_labels_are_said_and_not_hidden(api: Api) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True] * 30 + [False] * 30)
    say(api, evaluation, {"event-0": True, "event-1": False})
    made = content_of(api, evaluation)
    found = made["figures"]["versions"][0]["trust"]
    assert found["corrected"]["value"] is None
    assert found["agreement"]["too_few"] > 0
    text = " ".join(section["text"] for section in made["sections"])
    assert "The pass rate without the judge's errors is not known" in text
    assert "more labels are needed" in text
    assert "more labels are needed" in render_html(made)


def test_without_labels_the_report_says_nothing_of_trust(api: Api) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True] * 30)
    made = content_of(api, evaluation)
    assert made["figures"]["versions"][0]["trust"] is None
    assert "How far the judge can be believed" not in render_html(made)


def test_a_package_that_is_missing_costs_the_trust_and_not_the_report(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = api.hog()
    judged(api, evaluation, [True] * 30)
    say(api, evaluation, {"event-0": True})

    def missing(*_: object) -> None:
        raise ExtraMissing("scipy")

    monkeypatch.setattr("api.services.trust.report.agreement_of", missing)
    made = content_of(api, evaluation)
    assert "gavel[quality]" in made["figures"]["versions"][0]["trust"]["problem"]
    assert "gavel[quality]" in render_html(made)
    assert "How far the judge can be believed is not known" in made["sections"][1]["text"]


def test_clickhouse_that_is_away_makes_the_figures_unavailable(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from storage.clickhouse import Unreachable

    evaluation = api.hog()
    judged(api, evaluation, [True] * 30)
    say(api, evaluation, {"event-0": True})

    def away(*_: object) -> None:
        raise Unreachable("away", "away")

    monkeypatch.setattr("api.services.trust.report.count_window", away)
    with pytest.raises(FiguresUnavailable):
        content_of(api, evaluation)
