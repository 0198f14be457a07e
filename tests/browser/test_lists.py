"""Lists that are longer than a page: results, datasets with their items, and the choice of an evaluation."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import httpx2 as httpx
import pytest

from api.services import newest_results
from storage.sql.api_keys import ApiKeys
from storage.sql.datasets import Datasets
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.test_contents import many_evaluations
from tests.browser.test_exports import rows_of
from tests.browser.test_states import SAME, client
from tests.services.waiting import PATIENCE_S

CHOOSING = 11
OWNER = "Listed"


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


def link(page: str, rel: str) -> str:
    return html.unescape(next(iter(re.findall(rf'rel="{rel}" href="([^"]+)"', page)), ""))


def results(page: str) -> list[str]:
    return re.findall(r'href="/console/\d+/results/([0-9a-f-]{36})/', page)


def test_pages_of_results_lead_on_and_back(http: httpx.Client, served: Served) -> None:
    start = f"/console/{TEAM}/results/?range=7d&verdict=fail&evaluation={served.scene.evaluations[1].id}"
    first = http.get(start).text
    assert link(first, "prev") == ""
    second = http.get(link(first, "next")).text
    assert len(results(first)) == 50
    assert not set(results(first)) & set(results(second))
    back = http.get(link(second, "prev")).text
    assert results(back) == results(first)
    assert link(back, "prev") == "", "nothing is newer"
    assert results(http.get(link(back, "next")).text) == results(second)
    assert http.get(f"{start}&cursor=-x").status_code == 400


def test_the_page_of_a_result_leads_to_those_beside_it_in_its_list(http: httpx.Client, served: Served) -> None:
    listed = f"/console/{TEAM}/results/?range=7d&verdict=fail&evaluation={served.scene.evaluations[1].id}"
    page = http.get(listed).text
    [first, second, third, *_] = results(page)
    [address] = [html.unescape(each) for each in re.findall(rf'href="([^"]+{second}/[^"]*)"', page)]
    shown = http.get(address).text
    assert f"/results/{first}/?" in link(shown, "prev")
    assert f"/results/{third}/?" in link(shown, "next")
    assert f"/results/{second}/?" in link(http.get(link(shown, "next")).text, "prev")
    assert link(http.get(link(shown, "prev")).text, "prev") == ""
    assert "Older result" not in http.get(f"/console/{TEAM}/results/{second}/").text, "it was opened from no list"


def test_the_list_and_its_file_search_the_same_text(http: httpx.Client, served: Served) -> None:
    moment = scenes.utc_now() - timedelta(minutes=2)
    rows = [
        scenes.result_row(TEAM, served.own_evaluation(OWNER), str(uuid4()), moment, reasoning=reasoning, result=True)
        for reasoning in ("x" * 280 + "needle-in", "x" * 298 + "needle-out")
    ]
    scenes.insert(served.clickhouse_dsn, "evaluation_results", rows)
    for text, found in (("needle-in", 1), ("needle-out", 0)):
        page = http.get(f"/console/{TEAM}/results/?q={text}&range=24h").text
        assert len(results(page)) == found
        assert "first 300 characters" in page
        assert len(rows_of(http.get(f"/console/{TEAM}/results/export/?q={text}&format=csv&range=24h").text)) == found


@pytest.mark.parametrize(("value", "found"), [("gold", 2), ("7", 1), ("", 3), ("silver", 0)])
def test_results_are_filtered_by_a_property_of_their_generations(
    http: httpx.Client, served: Served, value: str, found: int
) -> None:
    tier = f"tier-{value or 'any'}"
    moment = scenes.utc_now() - timedelta(minutes=4)
    events, rows = [], []
    for held in ("gold", "gold", 7):
        uuid = str(uuid4())
        events.append(scenes.event_row(TEAM, uuid, "t", moment, "m", "?", "!", **{tier: held}))
        rows.append(
            scenes.result_row(
                TEAM, served.own_evaluation(OWNER), str(uuid4()), moment, result=True, target_event_id=uuid
            )
        )
    scenes.insert(served.clickhouse_dsn, "ai_events", events)
    scenes.insert(served.clickhouse_dsn, "evaluation_results", rows)
    query = f"range=24h&property={tier}&value={value}"
    page = http.get(f"/console/{TEAM}/results/?{query}").text
    assert len(results(page)) == found
    assert len(rows_of(http.get(f"/console/{TEAM}/results/export/?{query}&format=csv").text)) == found
    if found:
        [address, *_] = re.findall(r'href="([^"]+/results/[0-9a-f-]{36}/[^"]*)"', page)
        shown = http.get(html.unescape(address))
        assert shown.status_code == 200
        assert ('rel="next"' in shown.text) is (found > 1)


@pytest.mark.parametrize("place", ["results/", "evaluations/{}/results/"])
def test_results_are_filtered_by_the_confidence_of_the_judge(http: httpx.Client, served: Served, place: str) -> None:
    evaluation, model = served.scene.evaluations[2], f"sure-{uuid4()}"
    moment = scenes.utc_now() - timedelta(minutes=4)
    rows = {
        sure: scenes.result_row(
            TEAM,
            evaluation,
            str(uuid4()),
            moment - timedelta(seconds=number),
            model=model,
            result=True,
            confidence=sure,
        )
        for number, sure in enumerate((0.25, 0.5, 0.75, 1.0, None))
    }
    scenes.insert(served.clickhouse_dsn, "evaluation_results", list(rows.values()))
    address = f"/console/{TEAM}/{place.format(evaluation.id)}"
    for query, found in (
        ("", (0.25, 0.5, 0.75, 1.0, None)),
        ("&min_confidence=0.5", (0.5, 0.75, 1.0)),
        ("&max_confidence=0.5", (0.25, 0.5)),
        ("&min_confidence=.3&max_confidence=0.8", (0.5, 0.75)),
        ("&max_confidence=0.1", ()),
    ):
        page = http.get(f"{address}?range=24h&model={model}{query}").text
        assert results(page) == [rows[sure]["uuid"] for sure in found], query
        assert re.findall(r"(\d+)\.0\s% sure", page) == [f"{sure * 100:g}" for sure in found if sure is not None]
        if found:
            export = html.unescape(page.partition("Export these results")[2].partition('href="')[2].partition('"')[0])
            assert [row["uuid"] for row in rows_of(http.get(export).text)] == [rows[sure]["uuid"] for sure in found]
        else:
            assert "A result without a confidence matches no range of it." in page
    middle = http.get(f"{address}?range=24h&model={model}&min_confidence=0.5").text
    [beside, *_] = [each for each in re.findall(r'href="([^"]+)"', middle) if f"/results/{rows[0.75]['uuid']}/" in each]
    shown = http.get(html.unescape(beside)).text
    assert f"/results/{rows[1.0]['uuid']}/?" in link(shown, "next")
    assert f"/results/{rows[0.5]['uuid']}/?" in link(shown, "prev")
    assert link(http.get(link(shown, "prev")).text, "prev") == "", "the one before it is not sure enough"


def test_the_commands_have_the_confidence_of_the_page(http: httpx.Client, served: Served) -> None:
    one = served.scene.evaluations[3]
    query = "?range=7d&min_confidence=0.9&max_confidence=0.95"
    page = html.unescape(http.get(f"/console/{TEAM}/evaluations/{one.id}/results/{query}").text)
    assert "--min-confidence 0.9 --max-confidence 0.95" in page
    assert "&min_confidence=0.9&max_confidence=0.95" in page.partition("curl -H")[2].partition("</pre>")[0]


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [("min_confidence=sure", "min_confidence", "sure"), ("max_confidence=80", "max_confidence", "80"),
     ("min_confidence=nan", "min_confidence", "nan"),
     ("min_confidence=0.9&max_confidence=0.1", "min_confidence", "0.9")],
)  # fmt: skip
def test_a_confidence_that_is_none_is_refused_at_its_field(
    http: httpx.Client, query: str, field: str, value: str
) -> None:
    answer = http.get(f"/console/{TEAM}/results/?range=30d&trigger=live&{query}")
    assert answer.status_code == 400
    [tag] = [each for each in re.findall(r"<input [^>]+>", answer.text) if f'name="{field}"' in each]
    assert f'value="{value}"' in tag
    assert 'aria-invalid="true"' in tag
    assert f'aria-describedby="{field}-problem"' in tag
    assert re.search(rf'id="{field}-problem">[^<]*confidence', answer.text)
    assert answer.text.count("aria-invalid") == 1
    assert "<option selected>live</option>" in answer.text, "the other fields keep what they had"
    assert http.get(f"/console/{TEAM}/results/export/?{query}").status_code == 400


def test_a_search_for_a_property_goes_on_where_it_stopped(
    http: httpx.Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_results, "_AT_ONCE", 20)
    monkeypatch.setattr(newest_results, "SEARCHED", 60)
    moment = scenes.utc_now() - timedelta(hours=2)
    uuid, result = str(uuid4()), str(uuid4())
    event = scenes.event_row(TEAM, uuid, "t", moment, "m", "?", "!", rare=1)
    row = scenes.result_row(TEAM, served.own_evaluation(OWNER), result, moment, result=True, target_event_id=uuid)
    scenes.insert(served.clickhouse_dsn, "ai_events", [event])
    scenes.insert(served.clickhouse_dsn, "evaluation_results", [row])
    address, seen, pages = f"/console/{TEAM}/results/?range=7d&property=rare", [], 0
    while address:
        page = http.get(address).text
        seen += results(page)
        address, pages = link(page, "next"), pages + 1
    assert seen == [result]
    assert pages > 2
    back = 0
    while not results(page) and (address := link(page, "prev")):
        page = http.get(address).text
        back += 1
    assert results(page) == [result]
    assert back > 1


def test_who_may_not_read_events_cannot_ask_for_their_properties(served: Served) -> None:
    _, secret = ApiKeys(served.services.database).create(
        team_id=TEAM, label="P", scopes=["evaluation:read"], now=scenes.utc_now()
    )
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
        assert 'name="property"' not in http.get(f"/console/{TEAM}/results/").text
        result = served.scene.results[-1][0]
        for path in ("results/?", "results/export/?", f"results/{result}/?range=24h&"):
            assert http.get(f"/console/{TEAM}/{path}property=environment&value=production").status_code == 403, path


def test_from_and_to_are_in_the_zone_of_the_reader(http: httpx.Client) -> None:
    day = f"{scenes.utc_now() - timedelta(days=2):%Y-%m-%d}"
    page = http.get(f"/console/{TEAM}/results/?range=7d&from={day}T09:00:00&to={day}T12:00:00&tz=Asia/Seoul").text
    assert f'value="{day}T09:00:00"' in page
    assert "(Asia/Seoul)" in page
    times = set(re.findall(r'<time datetime="([^"]+)"', page.partition("<tbody>")[2]))
    assert times
    assert {moment[:13] for moment in times} <= {f"{day}T{hour:02}" for hour in range(3)}


def test_datasets_and_their_items_are_paged_by_key_and_shown_as_they_are(http: httpx.Client, served: Served) -> None:
    store, now = Datasets(served.services.database), scenes.utc_now()
    made = [store.create(TEAM, {"name": f"Paged {place}"}, actor="key:1", now=now) for place in range(150)]
    seen, address = [], f"/console/{TEAM}/datasets/"
    while address:
        page = http.get(address).text
        seen += re.findall(r">Paged (\d+)<", page)
        address = link(page, "next")
    assert sorted(map(int, seen)) == list(range(150))

    dataset = made[0]["id"]
    payload = [{"role": "user", "content": "don't \ud55c\uad6d\uc5b4 <b> \u202e"}]
    for place in range(45):
        item = {"dataset": dataset, "input": payload, "output": f"answer {place}."}
        store.create_item(TEAM, item, actor="key:1", now=now - timedelta(seconds=place))
    store.create_item(TEAM, {"dataset": dataset, "input": "y" * 100_000}, actor="key:1", now=now - timedelta(days=1))
    found, address = [], f"/console/{TEAM}/datasets/{dataset}/"
    while address:
        page = http.get(address).text
        found += re.findall(r"answer (\d+)\.", page)
        address = link(page, "next")
    assert found == [str(place) for place in range(45)], "newest first"
    assert "more characters are left out here" in page
    page = http.get(f"/console/{TEAM}/datasets/{dataset}/").text
    assert html.unescape("don&#39;t \ud55c\uad6d\uc5b4 <b>") in html.unescape(page)
    assert "&lt;b&gt;" in page
    assert "U+202E" in page
    assert "\\u" not in page
    assert http.get(f"/console/{TEAM}/datasets/{dataset}/?cursor=x").status_code == 400


def test_an_evaluation_behind_the_first_200_can_be_chosen_everywhere(served: Served) -> None:
    many_evaluations(served, CHOOSING, 203)
    with client(served, CHOOSING) as http:
        labels = http.get(f"/console/{CHOOSING}/labels/").text
        token = labels.partition('name="token" value="')[2].partition('"')[0]
        assert "one of 203" in labels
        assert "Copy 00202" not in labels
        listed = http.get(f"/console/{CHOOSING}/evaluations/?q=00202").text
        wanted = re.findall(r"evaluations/([0-9a-f-]{36})/", listed)[0]
        assert 'value="Copy 00202"' in http.get(f"/console/{CHOOSING}/labels/?evaluation={wanted}").text
        assert 'value="Copy 00202"' in http.get(f"/console/{CHOOSING}/results/?evaluation={wanted}").text
        assert http.get(f"/console/{CHOOSING}/results/?evaluation=Copy+00202").status_code == 200
        wrong = http.get(f"/console/{CHOOSING}/results/?evaluation=Copy+002")
        assert wrong.status_code == 400
        assert "No evaluation of this team has this id or name" in wrong.text

        form = {"token": token, "name": "Set", "description": "", "evaluation": "Copy 00202"}
        for path in ("golden-sets", "jobs", "labels"):
            assert "one of 203" in http.get(f"/console/{CHOOSING}/{path}/").text
            for text in ("", "Copy", "copy 00202"):
                refused = http.post(f"/console/{CHOOSING}/{path}/", data={**form, "evaluation": text}, headers=SAME)
                assert refused.status_code == 400, (path, text)
        made = http.post(f"/console/{CHOOSING}/golden-sets/", data=form, headers=SAME)
        assert made.status_code == 303
        assert "Copy 00202" in http.get(made.headers["location"]).text
        job = http.post(f"/console/{CHOOSING}/jobs/", data={**form, "action": "start", "days": "1"}, headers=SAME)
        assert job.status_code == 303
        assert "Copy 00202" in http.get(f"/console/{CHOOSING}/jobs/part/").text


def test_a_label_queue_is_not_drawn_from_another_evaluation_than_the_named_one(served: Served) -> None:
    with client(served) as http:
        page = http.get(f"/console/{TEAM}/labels/?evaluation={uuid4()}").text
        assert '<option value="">choose one</option>' in page
        chosen = served.scene.evaluations[3].id
        page = http.get(f"/console/{TEAM}/labels/?evaluation={chosen}").text
        assert f'<option value="{chosen}" selected>' in page


def test_who_reads_verdicts_only_still_pages_results(served: Served) -> None:
    _, secret = ApiKeys(served.services.database).create(
        team_id=TEAM, label="N", scopes=["evaluation:read"], now=scenes.utc_now()
    )
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
        page = http.get(f"/console/{TEAM}/results/").text
        assert http.get(link(page, "next")).status_code == 200
