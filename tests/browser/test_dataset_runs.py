"""The runs over a dataset on its page: their outcome, how they are started, and the page without scope or server."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
from playwright.sync_api import Page, expect

from api.services.bounded_archive import ArchiveAway
from api.services.trust import run_outcomes
from storage.sql.datasets import Datasets
from storage.sql.measurements import MeasuredItem, MeasurementRuns, NewMeasurement
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.test_conversations import reader_with
from tests.browser.test_states import SAME, client
from tests.browser.test_trail import token


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


def dataset(served: Served, items: int = 3) -> str:
    store = Datasets(served.services.database)
    made = store.create(TEAM, {"name": "Own"}, actor="key:1", now=scenes.utc_now())
    for number in range(items):
        item = {"dataset": made["id"], "input": f"question {number}", "output": "yes"}
        store.create_item(TEAM, item, actor="key:1", now=scenes.utc_now())
    return str(made["id"])


def run(served: Served, owner: str, minutes: int = 0, **more: Any) -> str:
    new = NewMeasurement(
        team_id=TEAM, evaluation_id=served.scene.evaluations[1].id, kind="consistency", versions=(1,), repeats=2,
        params={"dataset": owner}, items=[MeasuredItem("dataset_item:1", "e")],
    )  # fmt: skip
    now = scenes.utc_now() - timedelta(minutes=minutes)
    return MeasurementRuns(served.services.database).create(new, actor="key:1", now=now).id


def cells(page: str, run_id: str) -> dict[str, str]:
    """Return the texts of the row of a run by the names of their columns."""
    [row] = [each for each in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) if f"/{run_id}/" in each]
    found = dict(re.findall(r'data-label="(\w+)">(.*?)</td>', row, re.DOTALL))
    return {
        name: html.unescape(re.sub(r"<[^>]+>", "", text)).replace("\u202f", " ").strip() for name, text in found.items()
    }


def test_a_run_says_what_judged_how_far_it_is_what_came_out_and_what_it_cost(
    http: httpx.Client, served: Served
) -> None:
    scene, polite = served.scene, served.scene.evaluations[1]
    page = http.get(f"/console/{TEAM}/datasets/{scene.dataset}/").text
    assert f'href="/console/{TEAM}/evaluations/{polite.id}/trust/{scene.dataset_run}/"' in page
    assert "consistency, version 1" in page
    found = cells(page, scene.dataset_run)
    assert found["State"] == "completed"
    assert found["Progress"] == "4 of 4"
    assert re.fullmatch(r"66\.7 % pass \(\d+\.\d % to \d+\.\d %\), 2 of 3, 1 skipped", found["Outcome"])
    assert found["Cost"] == "$0.0008"
    assert "Bo" in found["Asked"]
    run_page = http.get(f"/console/{TEAM}/evaluations/{polite.id}/trust/{scene.dataset_run}/").text
    assert f'href="/console/{TEAM}/datasets/{scene.dataset}/"' in run_page


def test_the_outcome_is_read_by_the_rule_of_the_evaluation(http: httpx.Client, served: Served) -> None:
    leaks, owner = served.scene.evaluations[2], dataset(served)
    new = NewMeasurement(
        team_id=TEAM, evaluation_id=leaks.id, kind="comparison", versions=(1, 2), repeats=1,
        params={"dataset": owner, "margin": 0.02}, items=[MeasuredItem("dataset_item:1", "e")],
    )  # fmt: skip
    made = MeasurementRuns(served.services.database).create(new, actor="key:1", now=scenes.utc_now())
    item = MeasuredItem("dataset_item:1", "e")
    rows = [scenes.measured_row(leaks, made.id, "comparison", item, each, 0, scenes.utc_now()) for each in (1, 2)]
    scenes.insert(served.clickhouse_dsn, "evaluation_measurements", [rows[0], rows[1] | {"result": False}])
    page = http.get(f"/console/{TEAM}/datasets/{owner}/").text
    assert f"/evaluations/{leaks.id}/comparisons/{made.id}/" in page
    outcome = cells(page, made.id)["Outcome"]
    assert re.search(r"version 1: 0\.0 % pass .*, 0 of 1", outcome), "a leak is a failure"
    assert re.search(r"version 2: 100\.0 % pass .*, 1 of 1", outcome)


def test_runs_are_paged_by_key_and_only_those_of_the_dataset_are_there(http: httpx.Client, served: Served) -> None:
    owner, other = dataset(served), dataset(served)
    made = [run(served, owner, minutes) for minutes in range(23)]
    run(served, other)
    page = http.get(f"/console/{TEAM}/datasets/{owner}/").text
    listed = re.findall(r"/trust/([0-9a-f-]{36})/", page)
    assert listed == made[:20]
    [older] = re.findall(r'rel="next" href="([^"]+)">Older runs', page)
    following = http.get(html.unescape(older)).text
    assert re.findall(r"/trust/([0-9a-f-]{36})/", following) == made[20:]
    assert "Older runs" not in following
    assert "Newest runs" in following
    assert http.get(f"/console/{TEAM}/datasets/{owner}/?runs=abc").status_code == 400


def test_a_run_is_started_after_its_cost_is_shown(page: Page, served: Served) -> None:
    owner, polite = dataset(served), served.scene.evaluations[1]
    page.goto(f"/console/{TEAM}/datasets/{owner}/")
    expect(page.get_by_text("No run over this dataset yet")).to_be_visible()
    form = page.locator("details form.filters")
    form.get_by_label("Evaluation").select_option(polite.id)
    form.get_by_role("button", name="Show the cost").click()
    expect(page.locator("#dry")).to_be_visible()
    expect(page.locator("main")).to_contain_text("judges 3 items in 3 calls")
    assert MeasurementRuns(served.services.database).of_dataset(TEAM, owner, limit=5) == []
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/trust/*/")
    [made] = MeasurementRuns(served.services.database).of_dataset(TEAM, owner, limit=5)
    assert (made.kind, made.evaluation_id, made.total, made.dataset) == ("measure", polite.id, 3, owner)
    assert page.url.endswith(f"/{made.id}/")
    page.get_by_role("link", name="its dataset").click()
    expect(page.get_by_role("table", name="Runs over the items")).to_contain_text("measure, version 1")


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"kind": "consistency", "repeats": "3"}, 200, "3 items in 9 calls"),
        ({"kind": "consistency", "repeats": "99"}, 400, "repeats"),
        ({"kind": "comparison"}, 400, "Name the version to compare with"),
        ({"kind": "comparison", "other": "7"}, 400, "no such version"),
        ({"kind": "comparison", "other": "1"}, 200, "3 items in 6 calls"),
        ({"kind": "measure", "version": "7"}, 400, "no such version"),
        ({"kind": "measure", "evaluation": "nobody"}, 400, "No evaluation of this team"),
    ],
)
def test_what_cannot_be_started_is_refused_with_its_reason(
    http: httpx.Client, served: Served, fields: dict[str, str], status: int, text: str
) -> None:
    path = f"/console/{TEAM}/datasets/{dataset(served)}/"
    form = {"token": token(http, path), "evaluation": served.scene.evaluations[0].id, "action": "dry", **fields}
    answer = http.post(path, data=form, headers=SAME)
    assert (answer.status_code, text in answer.text) == (status, True)


def test_an_empty_dataset_and_a_missing_one_start_nothing(http: httpx.Client, served: Served) -> None:
    empty = f"/console/{TEAM}/datasets/{dataset(served, items=0)}/"
    assert "Start a run" not in http.get(empty).text
    form = {"token": token(http, f"/console/{TEAM}/"), "evaluation": served.scene.evaluations[1].id}
    assert "no items to measure with" in http.post(empty, data=form, headers=SAME).text
    assert http.post(f"/console/{TEAM}/datasets/{uuid4()}/", data=form, headers=SAME).status_code == 404


def test_without_clickhouse_the_runs_are_there_without_their_outcome(
    http: httpx.Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise ArchiveAway(scenes.utc_now())

    monkeypatch.setattr(run_outcomes, "count_outcomes", away)
    page = http.get(f"/console/{TEAM}/datasets/{served.scene.dataset}/").text
    assert "ClickHouse does not answer, so the outcomes of the runs are missing." in page
    found = cells(page, served.scene.dataset_run)
    assert (found["State"], found["Outcome"]) == ("completed", "–")


def test_scopes_decide_who_sees_and_who_starts_runs(served: Served) -> None:
    path = f"/console/{TEAM}/datasets/{served.scene.dataset}/"
    with reader_with(served, "dataset:read") as http:
        page = http.get(path).text
        assert "Your key may not read the runs" in page
        assert served.scene.dataset_run not in page
        assert "How do I cancel my subscription?" in page
    with reader_with(served, "dataset:read", "evaluation:read") as http:
        page = http.get(path).text
        assert served.scene.dataset_run in page
        assert "Start a run" not in page
        assert http.post(path, data={"token": token(http, path)}, headers=SAME).status_code == 403
    with reader_with(served, "evaluation:write") as http:
        form = {"token": token(http, f"/console/{TEAM}/"), "evaluation": served.scene.evaluations[1].id}
        assert http.post(path, data=form, headers=SAME).status_code == 403
    with reader_with(served, "dataset:read", "evaluation:write") as http:
        assert "Start a run" in http.get(path).text
