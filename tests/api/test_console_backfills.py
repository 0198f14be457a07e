"""A backfill from the page of jobs: its cost is shown first, and the form that shows it starts it."""

from __future__ import annotations

import re

import pytest

from storage.sql.backfills import Backfill, Backfills
from tests.api.conftest import Api
from tests.api.test_actions import GENERATION
from tests.unit.console.forms import entered

HOG = {"name": "It", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}, "output_type": "boolean"}


def backfills(api: Api) -> list[Backfill]:
    return Backfills(api.services.database).of_team(api.team)


@pytest.mark.parametrize("rerun", [True, False])
def test_a_backfill_starts_after_its_cost_was_shown(api: Api, rerun: bool) -> None:
    api.events(*[GENERATION] * 3)
    evaluation = api.ok("POST", "evaluations/", 201, json=HOG)["id"]
    asked = {"evaluation": evaluation, "days": "7", **({"rerun": "on"} if rerun else {})}
    with entered(api.services, api.team, api.key("*")) as reader:
        answer = reader.send("jobs/", {**asked, "action": "dry"})
        assert answer.status_code == 200, answer.text
        shown = answer.text.partition("Cost of the backfill")[2].partition("</section>")[0]
        assert "3 of the 3 generations of the last 7 days matched, and 3 were sampled" in shown
        assert "about 3 runs, 0 tokens and $0" in shown
        assert ("Everything is judged again." in shown) == rerun
        assert backfills(api) == []
        sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown))
        assert "once" in sent
        twice = [reader.send("jobs/", {**sent, "action": "start"}) for _ in range(2)]
    assert [each.status_code for each in twice] == [303, 303]
    (started,) = backfills(api)
    assert (started.evaluation_id, started.rerun_existing) == (evaluation, rerun)
    assert (started.window_end - started.window_start).days == 7


def test_a_backfill_that_would_judge_nothing_cannot_be_started_there(api: Api) -> None:
    api.events(GENERATION)
    evaluation = api.ok("POST", "evaluations/", 201, json={**HOG, "conditions": []})["id"]
    with entered(api.services, api.team, api.key("*")) as reader:
        page = reader.send("jobs/", {"evaluation": evaluation, "days": "1", "action": "dry"}).text
    assert "A backfill would judge nothing." in page
    assert 'value="start"' not in page
