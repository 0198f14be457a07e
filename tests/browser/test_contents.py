"""The contents of pages: drift, trust, replays, verdicts of two versions, and commands that export the same."""

from __future__ import annotations

import gzip
import html
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import httpx2 as httpx
import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

from config.definitions import parse_draft
from storage.sql.api_keys import ApiKeys
from storage.sql.evaluation_changes import evaluations
from storage.sql.evaluations import Evaluations
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.jury_scene import MEMBERS
from tests.browser.rig import opened, sign_in
from tests.browser.test_states import SAME, client
from tests.services.waiting import PATIENCE_S

CROWDED = 9
OWN = {"X-Gavel-Fragment": "1"}


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


def test_the_overview_says_who_moved_and_its_part_is_refreshed(http: httpx.Client, page: Page) -> None:
    part = http.get(f"/console/{TEAM}/part/", headers=OWN).text
    assert "the judge moved" in part
    assert re.search(r"the pass rate went down from 95.0\s% to 60.0\s%", part)
    assert "<header" not in part
    page.goto(f"/console/{TEAM}/")
    pause = page.locator("[data-pause]")
    expect(pause).to_be_visible()
    pause.click()
    expect(pause).to_have_text("Resume the refresh")


def test_the_overview_has_every_kind_of_job_in_progress(http: httpx.Client, served: Served) -> None:
    part = http.get(f"/console/{TEAM}/part/", headers=OWN).text.partition('<h2 id="jobs">')[2]
    assert "Backfill of Polite tone" in part
    assert "Comparison: Answers the question" in part
    assert f"/comparisons/{served.scene.comparison}/" in part
    assert re.search(r"Replay replay-7.*43.0\s%", part, re.DOTALL)


def test_the_list_of_evaluations_has_the_word_of_trust(http: httpx.Client, served: Served) -> None:
    found = http.get(f"/console/{TEAM}/evaluations/?q=Polite").text
    cell = found.partition('data-label="Trust">')[2].partition("</td>")[0]
    assert f"evaluations/{served.scene.evaluations[1].id}/trust/" in cell
    assert re.search(r">(too few labels|poor|fair|good|strong)<", cell)
    other = http.get(f"/console/{TEAM}/evaluations/?q=Leaks").text
    assert 'data-label="Trust">–</td>' in other, "nobody labelled it"


def test_trust_shows_the_drift_statistic_over_time(http: httpx.Client, served: Served) -> None:
    hog = served.scene.evaluations[1].id
    part = http.get(f"/console/{TEAM}/evaluations/{hog}/trust/figures/?version=1", headers=OWN).text
    assert "Drift statistic over the runs of the anchors" in part
    assert "suspect from 100 on, alarm from 1000 on" in part
    assert part.count('class="dot"') == 5


def test_what_changed_leads_to_versions_to_trust_and_to_outages(http: httpx.Client, served: Served) -> None:
    judge, hog = (each.id for each in served.scene.evaluations[:2])
    own = served.own_evaluation("Outage").id

    def changed(evaluation: str) -> str:
        page = http.get(f"/console/{TEAM}/evaluations/{evaluation}/?range=7d&tz=Asia/Tokyo").text
        return html.unescape(page.partition('<h2 id="changed">')[2].partition("</section>")[0])

    state = "range=7d&tz=Asia%2FTokyo"
    assert f"/evaluations/{judge}/versions/?a=1&b=2&{state}" in changed(judge)
    assert f"/evaluations/{hog}/trust/?version=1&{state}" in changed(hog)
    assert changed(own) == ""
    store = served.services.evaluations
    try:
        store.set_status(TEAM, own, "error", actor="judge", now=scenes.utc_now(), reason="provider_key_invalid")
        assert "Outage: provider key invalid" in changed(own)
        assert "until now" in changed(own)
        assert f"/evaluations/{own}/versions/?{state}#history" in changed(own)
    finally:
        store.set_status(TEAM, own, "active", actor="judge", now=scenes.utc_now())
    assert "until now" not in changed(own)


def test_a_cascade_shows_its_steps_on_trust_and_beside_the_conversation(http: httpx.Client, served: Served) -> None:
    score = served.scene.evaluations[3].id
    steps = http.get(f"/console/{TEAM}/evaluations/{score}/trust/steps/", headers=OWN).text
    assert "gpt-5-mini" in steps
    assert "Goes on" in steps
    shown = http.get(f"/console/{TEAM}/generations/{served.scene.events[-1]}/").text
    assert "2 answers of models" in shown
    assert re.search(r"91.0\s% sure", shown)


def test_a_jury_shows_the_answer_of_each_member(http: httpx.Client, served: Served) -> None:
    steps = http.get(f"/console/{TEAM}/evaluations/{served.scene.jury}/trust/steps/", headers=OWN).text
    assert "All members are asked at once, and the majority decides." in steps
    shown = http.get(f"/console/{TEAM}/results/{served.scene.jury_result}/").text
    assert "3 answers of models" in shown
    verdict = shown.partition(f'id="verdict-{served.scene.jury_result}"')[2]
    assert re.findall(r"<b>(true|false)</b>", verdict)[:3] == ["true", "false", "true"]
    for name in MEMBERS:
        assert name in steps
        assert name in verdict


def test_trust_shows_the_attacks_that_succeeded(http: httpx.Client, served: Served) -> None:
    part = http.get(f"/console/{TEAM}/evaluations/{served.scene.jury}/trust/figures/?version=1", headers=OWN).text
    assert "An attack made this version pass a text that must fail" in part
    tile = part.partition("<dt>Attacks that succeeded</dt>")[2].partition("</dd>")[0]
    assert re.search(r"<dd>1 of \d\d+<small>", tile)
    table = part.partition("<caption>Attacks that succeeded</caption>")[2].partition("</table>")[0]
    assert table.count("<tr>") == 2, "the head and the one attack"
    assert "order-1" in table
    assert "output" in table


def test_versions_show_how_their_verdicts_differ(http: httpx.Client, served: Served) -> None:
    judge, run = served.scene.evaluations[0].id, served.scene.comparison
    base = f"/console/{TEAM}/evaluations/{judge}/versions/"
    assert f"{base}verdicts/{run}/" in http.get(f"{base}?a=1&b=2").text
    part = http.get(f"{base}verdicts/{run}/", headers=OWN).text
    assert "Generations on which the versions disagree" in part
    assert "/generations/" in part


def test_replays_show_their_progress(served: Served) -> None:
    with client(served) as http:
        shown = http.get(f"/console/{TEAM}/jobs/part/", headers=OWN).text
        assert "replay-7" in shown
        assert "host:18" not in shown, "a team does not see processes"
        http.post("/console/sign-in/", data={"key": served.scene.operator}, headers=SAME)
        found = http.get("/console/operations/replays/").text
        assert re.search(r"43.0\s%", found)
        assert "host:18" in found


@pytest.mark.parametrize("name", ["labels", "flips", "report"])
def test_an_export_has_its_commands(http: httpx.Client, served: Served, name: str) -> None:
    scene = served.scene
    path, gavel, address = {
        "labels": (f"labels/{scene.queue}/", "gavel labels export", "/labels/export/?evaluation="),
        "flips": (
            f"evaluations/{scene.evaluations[0].id}/comparisons/{scene.comparison}/", "gavel compare", "/flips/",
        ),
        "report": (f"reports/{scene.report}/", "gavel reports show", "/page/"),
    }[name]  # fmt: skip
    lines = [
        html.unescape(each) for each in re.findall(r"<pre[^>]*>(.*?)</pre>", http.get(f"/console/{TEAM}/{path}").text)
    ]
    assert lines[0].startswith(gavel)
    url = shlex.split(lines[1])[-1]
    assert address in url
    called = httpx.get(url, headers={"Authorization": f"Bearer {scene.secret}"}, timeout=PATIENCE_S)
    assert called.status_code == 200, url


def test_a_report_is_exported(http: httpx.Client, served: Served) -> None:
    path = f"/console/{TEAM}/reports/{served.scene.report}/export/"
    text = http.get(f"{path}?format=md")
    assert text.headers["content-disposition"] == 'attachment; filename="report.md"'
    assert text.text.startswith("#")
    assert http.get(f"{path}?format=json").json()["title"]


def many_evaluations(served: Served, team: int, count: int) -> None:
    """Put copies of one evaluation into the store at once: to create each would take a minute."""
    with served.services.database.write() as connection:
        found = sa.select(evaluations).where(evaluations.c.id == served.scene.evaluations[1].id)
        row = dict(connection.execute(found).mappings().one())
        rows = [row | {"id": str(uuid4()), "team_id": team, "name": f"Copy {place:05}"} for place in range(count)]
        connection.execute(sa.insert(evaluations), rows)


def test_ten_thousand_evaluations_are_listed_searched_and_chosen_from(browser: Browser, served: Served) -> None:
    many_evaluations(served, CROWDED, 10_000)
    _, secret = ApiKeys(served.services.database).create(
        team_id=CROWDED, label="Cy", scopes=["*"], now=scenes.utc_now()
    )
    with opened(browser, served.base) as (context, watch):
        page = context.new_page()
        sign_in(page, secret)
        page.goto(f"/console/{CROWDED}/evaluations/")
        expect(page.locator("caption")).to_contain_text("1 to 50 of 10\u202f000")
        assert page.locator("tbody tr").count() == 50
        page.click("main .pager a:has-text('Next')")
        expect(page.locator("tbody th").first).to_contain_text("Copy 00050")
        page.fill("input[name=q]", "Copy 09876")
        page.press("input[name=q]", "Enter")
        expect(page.locator("tbody tr")).to_have_count(1)
        page.click("tbody th a")
        expect(page.locator("h1")).to_have_text("Copy 09876")
        for path in ("", "evaluations/", "results/", "labels/", "jobs/"):
            answer = page.request.get(f"/console/{CROWDED}/{path}")
            assert answer.status == 200
            assert len(gzip.compress(answer.body())) < 30_000, path
        watch.check(page)


def test_a_part_has_three_seconds(page: Page, served: Served) -> None:
    page.goto(f"/console/{TEAM}/generations/{served.scene.events[-1]}/")
    page.wait_for_load_state("networkidle")
    assert set(page.evaluate("window.__deadlines")) == {3000}


def test_a_category_without_a_rule_is_named_by_its_kind(http: httpx.Client, served: Served) -> None:
    options = [{"key": key, "label": key.capitalize()} for key in ("billing", "other")]
    raw = {
        "name": "Topic", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Which topic?"},
        "output_type": "categorical", "output_config": {"options": options},
    }  # fmt: skip
    now = scenes.utc_now()
    topic = Evaluations(served.services.database).create(TEAM, parse_draft(raw), actor="key:1", now=now)
    row = scenes.result_row(
        TEAM, topic, str(uuid4()), now - timedelta(minutes=5), categorical_result=["billing"], applicable=True,
        target_event_id=served.scene.events[-1],
    )  # fmt: skip
    scenes.insert(served.clickhouse_dsn, "evaluation_results", [row])
    for path in (f"evaluations/{topic.id}/results/", f"results/{row['uuid']}/", f"evaluations/{topic.id}/"):
        page = http.get(f"/console/{TEAM}/{path}").text
        assert re.search(r"</span>Category billing\s*</span>", page), path
        assert not re.search(r"</span>Score\b", page), path
    assert "category without a rule" in page
