"""Test and backtest of the editor: verdicts of every type by the passing rule, with N/A, latency and cost."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from api.services import trials
from examples.stand_in.client import StandInServer
from tests.api.conftest import Api
from tests.api.test_actions import GENERATION
from tests.unit.console.forms import entered

NEW = "evaluations/new/?type=llm_judge"
SCORES = {"output_type": "numeric", "min": "0", "max": "10"}
CATEGORIES = {"output_type": "categorical", "options": "good = Good\nbad = Bad\nugly = Ugly", "passing": "good, bad"}


def generations(api: Api, stand_in: StandInServer, *verdicts: dict[str, Any]) -> None:
    """Put generations into the archive, the last one newest, and let the model answer each as given."""
    api.events(
        *(
            {**GENERATION, "$ai_output_choices": [{"role": "assistant", "content": f"case-{place}."}]}
            for place in range(len(verdicts))
        )
    )
    for place, verdict in enumerate(verdicts):
        content = json.dumps({"reasoning": "because", **verdict})
        stand_in.script({"match": {"contains": f"case-{place}."}, "action": {"do": "answer", "content": content}})


def tried(api: Api, stand_in: StandInServer, action: str, **fields: str) -> str:
    """Return the page after a form of a judge was sent."""
    body = {"provider": "custom", "name": "k", "api_key": "sk-judge-0123456789", "base_url": stand_in.base_url}
    key = api.ok("POST", "llm_analytics/provider_keys/", 201, json=body)
    with entered(api.services, api.team, api.key("*")) as reader:
        model = {"provider": "custom", "model": "m", "provider_key_id": key["id"]}
        answer = reader.send(NEW, {**reader.form(NEW).fields, "name": "It", **model, **fields, "action": action})
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def figures(page: str) -> dict[str, str]:
    """Return the figures of a backtest by name."""
    return dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", page.replace("\u202f", "")))


def outcomes(page: str) -> list[str]:
    """Return the outcomes of a test, newest first, in words."""
    found = re.findall(r'<span class="outcome [^"]*"><span[^>]*>.</span>([^<]*)</span>', page)
    return [" ".join(each.split()) for each in found]


def test_scores_are_read_by_the_passing_rule(api: Api, stand_in: StandInServer) -> None:
    rule = {"rule_operator": "gte", "rule_threshold": "5"}
    generations(api, stand_in, {"score": 4.5}, {"score": 5}, {"score": 9.25})
    assert outcomes(tried(api, stand_in, "test", **SCORES, **rule)) == ["Pass 9.25", "Pass 5", "Fail 4.5"]
    found = figures(tried(api, stand_in, "backtest", **SCORES, **rule))
    assert (found["Pass"], found["Fail"], found["Pass rate"]) == ("2", "1", "66.7%")
    assert found["Latency p95"].endswith("s")
    assert "Without a passing rule" not in found
    assert figures(tried(api, stand_in, "backtest", **SCORES))["Without a passing rule"] == "3"


def test_categories_are_shown_and_pass_if_all_are_among_the_passing(api: Api, stand_in: StandInServer) -> None:
    generations(api, stand_in, {"categories": ["good", "ugly"]}, {"categories": ["bad", "good"]})
    both = {**CATEGORIES, "selection_mode": "multiple"}
    assert sorted(outcomes(tried(api, stand_in, "test", **both))) == ["Fail good, ugly", "Pass bad, good"]
    found = figures(tried(api, stand_in, "backtest", **both))
    assert (found["Pass"], found["Fail"]) == ("1", "1")


def test_an_outcome_without_a_rule_is_named_by_its_kind(api: Api, stand_in: StandInServer) -> None:
    generations(api, stand_in, {"categories": ["good"]})
    assert outcomes(tried(api, stand_in, "test", **{**CATEGORIES, "passing": ""})) == ["Category good"]
    api.events(GENERATION)
    stand_in.script({"action": {"do": "answer", "content": json.dumps({"reasoning": "because", "score": 4.5})}})
    assert "Score 4.5" in outcomes(tried(api, stand_in, "test", **SCORES))


@pytest.mark.parametrize("action", ["test", "backtest"])
def test_a_draft_that_runs_on_no_generation_is_tried_on_none(api: Api, stand_in: StandInServer, action: str) -> None:
    generations(api, stand_in, {"outcome": "pass"})
    page = tried(api, stand_in, action, without_sets="nothing")
    assert "Nothing matches, because this evaluation runs on no generation" in page
    assert "Add a set, or choose every generation" in page
    assert outcomes(page) == []
    assert stand_in.requests() == []
    assert "Nothing matches" not in tried(api, stand_in, action, without_sets="everything")


def test_not_applicable_is_neither_a_pass_nor_a_fail_nor_without_a_verdict(api: Api, stand_in: StandInServer) -> None:
    verdicts = [{"outcome": each} for each in ("pass", "not_applicable", "fail")]
    generations(api, stand_in, *verdicts, {"nonsense": True})
    inverted = {"allows_na": "on", "true_is_failure": "on"}
    found = figures(tried(api, stand_in, "backtest", **inverted))
    assert [found[name] for name in ("Pass", "Fail", "Not applicable", "No verdict")] == ["1", "1", "1", "1"]
    assert "Cost" in found


def test_a_backtest_of_a_judge_takes_as_many_as_one_of_code_and_says_how_many_it_had_time_for(
    api: Api, stand_in: StandInServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.events(*[GENERATION] * 40)
    page = tried(api, stand_in, "backtest")
    assert "It ran on 40 of the newest 40 matching generations" in page
    assert len(stand_in.requests()) == 40
    monkeypatch.setattr(trials, "BEGINS_FOR_S", 0.0)
    page = tried(api, stand_in, "backtest")
    assert "It ran on 0 of the newest 40 matching generations, as many as could begin within 30 seconds" in page
    assert len(stand_in.requests()) == 40, "nothing more was asked and paid"


def test_code_has_a_latency_and_its_errors_are_no_fails(api: Api, stand_in: StandInServer) -> None:
    api.events({**GENERATION, "n": 1}, {**GENERATION, "n": 2}, {**GENERATION, "n": "x"})
    code = "if (properties.n == 'x') { throw Error('no') } return properties.n == 1 ? null : true"
    found = figures(tried(api, stand_in, "backtest", evaluation_type="hog", code=code, allows_na="on"))
    assert [found[name] for name in ("Pass", "Fail", "Not applicable", "No verdict")] == ["1", "0", "1", "1"]
    assert found["Latency p95"].endswith("s")
    assert "Cost" not in found
