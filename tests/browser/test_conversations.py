"""Conversations within their scopes and bounds: on the pages of a generation, of a result and of a trace."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
from playwright.sync_api import Page, expect

from api.services.excerpt import MOST_VALUES
from api.services.turns import MAX_MESSAGE, MAX_PAGE
from storage.sql.api_keys import ApiKeys
from storage.sql.labels import Labels, NewLabel
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.test_states import SAME, client
from tests.services.waiting import PATIENCE_S

OWN = {"X-Gavel-Fragment": "1"}
SECRET = "the-secret-of-the-customer"
OWNER = "Told"


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


@contextmanager
def reader_with(served: Served, *scopes: str) -> Iterator[httpx.Client]:
    keys = ApiKeys(served.services.database)
    _, secret = keys.create(team_id=TEAM, label="Narrow", scopes=list(scopes), now=scenes.utc_now())
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        assert http.post("/console/sign-in/", data={"key": secret}, headers=SAME).status_code == 303
        yield http


@dataclass
class Told:
    """A generation that was put into the archive, with one result."""

    uuid: str
    result: str
    trace: str


def tell(
    served: Served, question: Any, answer: Any = "Yes.", *, trace: str = "", minutes: float = 3, **more: Any
) -> Told:
    uuid, moment = str(uuid4()), scenes.utc_now() - timedelta(minutes=minutes)
    made = Told(uuid, "", trace or f"trace-{uuid}")
    event = scenes.event_row(TEAM, uuid, made.trace, moment, "gpt-5-mini", question, answer, **more)
    result = scenes.result_row(
        TEAM, served.own_evaluation(OWNER), str(uuid4()), moment, reasoning="It is polite.", result=True,
        trace_id=made.trace, target_event_id=uuid,
    )  # fmt: skip
    made.result = result["uuid"]
    scenes.insert(served.clickhouse_dsn, "ai_events", [event])
    scenes.insert(served.clickhouse_dsn, "evaluation_results", [result])
    return made


def test_without_the_scope_of_events_only_verdicts_are_shown(served: Served) -> None:
    told = tell(served, SECRET, f"{SECRET} answer", note=SECRET, environment=SECRET)
    with reader_with(served, "evaluation:read") as http:
        for path in (
            f"generations/{told.uuid}/", f"generations/{told.uuid}/?view=formatted", f"results/{told.result}/",
            f"traces/{told.trace}/",
        ):  # fmt: skip
            shown = http.get(f"/console/{TEAM}/{path}")
            assert shown.status_code == 200, path
            assert "It is polite." in shown.text, path
            assert "Your key may not read" in shown.text, path
            assert "query:read" in shown.text, path
            for hidden in (SECRET, "customer-17", "messages/", "raw.json", "Show more"):
                assert hidden not in shown.text, (path, hidden)
        why = http.get(f"/console/{TEAM}/generations/{told.uuid}/why/", headers=OWN).text
        assert (
            "Each set and filter"
            in http.get(f"/console/{TEAM}/generations/{told.uuid}/why/?ask=polite", headers=OWN).text
        )
        assert SECRET not in why
        for path in ("raw.json", "messages/1/", "labels/"):
            assert http.get(f"/console/{TEAM}/generations/{told.uuid}/{path}").status_code == 403, path
    with reader_with(served, "evaluation:read", "query:read") as http:
        for path in (f"generations/{told.uuid}/", f"results/{told.result}/", f"traces/{told.trace}/"):
            assert SECRET in http.get(f"/console/{TEAM}/{path}").text, path


def test_a_dataset_does_not_show_who_may_not_read_events_a_conversation(served: Served) -> None:
    told = tell(served, SECRET)
    with reader_with(served, "evaluation:read", "dataset:read", "dataset:write", "evaluation:write") as http:
        page = http.get(f"/console/{TEAM}/generations/{told.uuid}/").text
        assert "Add to dataset" not in page
        token = page.partition('name="token" value="')[2].partition('"')[0]
        assert token
        form = {"token": token, "dataset": "any"}
        refused = http.post(f"/console/{TEAM}/generations/{told.uuid}/dataset/", data=form, headers=SAME)
        assert refused.status_code == 403


def test_a_message_of_many_parts_is_bounded_and_its_rest_is_a_fragment(http: httpx.Client, served: Served) -> None:
    parts = [{"type": "text", "text": f"{place:03}" + "x" * 60_000} for place in range(128)]
    told = tell(served, parts)
    page = http.get(f"/console/{TEAM}/generations/{told.uuid}/").text
    assert len(page) < 2 * MAX_MESSAGE
    assert "more characters are left out here" in page
    [address] = re.findall(r'data-more href="([^"]+)"', page)
    part = http.get(address, headers=OWN).text
    assert "<header" not in part
    assert MAX_MESSAGE / 2 < len(part) < 2 * MAX_MESSAGE
    assert "002xxx" in part
    assert "data-more" in part
    whole = http.get(address).text
    assert "<h1" in whole, "without a script the link leads to a page"
    for wrong in ("messages/9/", "messages/0/", "messages/x/", "messages/2/?from=x", "messages/2/?from=-1"):
        assert http.get(f"/console/{TEAM}/generations/{told.uuid}/{wrong}").status_code == 404, wrong


def test_a_conversation_of_very_many_messages_is_read_in_parts(http: httpx.Client, served: Served) -> None:
    """A page says how many messages follow, and leads to the next ones, over the end of a part, and to the output."""
    given = [{"role": "user", "content": f"said {number}"} for number in range(2 * MOST_VALUES)]
    told = tell(served, "", **{"$ai_input": given})
    address = f"/console/{TEAM}/generations/{told.uuid}/"
    first = http.get(address).text
    assert "Show the next of 19\u202f801 more messages" in first
    assert "Show the output" in first
    edge = http.get(address, params={"turn": str(MOST_VALUES // 2 - 10)}).text
    following = html.unescape(re.search(r'rel="next" href="([^"]*entry=[^"]*)"', edge)[1])  # type: ignore[index]
    second = http.get(following).text
    assert f'id="message-{MOST_VALUES // 2 + 1}"' in second
    assert f"said {MOST_VALUES // 2}<" in second.replace("\n", "")
    output = html.unescape(re.search(r'href="([^"]*)">Show the output', first)[1])  # type: ignore[index]
    last = http.get(output).text
    assert f'id="message-{2 * MOST_VALUES + 1}"' in last
    assert "From the first message" in last


def test_show_more_puts_the_rest_into_the_page(page: Page, served: Served) -> None:
    told = tell(served, "a" * MAX_MESSAGE + "the very end")
    page.goto(f"/console/{TEAM}/generations/{told.uuid}/")
    assert "the very end" not in page.inner_text("main")
    page.click("a[data-more]")
    expect(page.locator("main")).to_contain_text("the very end")
    expect(page.locator("a[data-more]")).to_have_count(0)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "More of message 2"


def test_a_trace_is_paged_and_bounded_and_says_what_it_leaves_out(http: httpx.Client, served: Served) -> None:
    trace = f"long-{uuid4()}"
    told = [tell(served, "q" * 400_000, trace=trace, minutes=60 - place) for place in range(23)]
    seen: list[str] = []
    address, pages = f"/console/{TEAM}/traces/{trace}/", 0
    while address:
        page = http.get(address).text
        assert len(page) < 2 * MAX_PAGE
        found = re.findall(r'<h2><a href="/console/\d+/generations/([^/]+)/">', page)
        assert page.count("data-more href") == len(found), "each large message is cut, and says so"
        assert page.count("It is polite.") == len(found)
        assert page.count("more message") >= len(found)
        seen += found
        pages += 1
        [address] = re.findall(r'rel="next" href="([^"]+)"', page) or [""]
    assert seen == [each.uuid for each in told], "oldest first, and none is lost"
    assert pages == 3
    assert http.get(f"/console/{TEAM}/traces/{trace}/?cursor=x").status_code == 400


def test_a_trace_shows_how_each_verdict_came_about(http: httpx.Client, served: Served) -> None:
    shown = http.get(f"/console/{TEAM}/traces/trace-1-2/").text
    assert "2 answers of models" in shown
    assert re.search(r"91.0\s% sure", shown)


def test_generations_of_one_trace_have_ids_of_their_own(http: httpx.Client, served: Served) -> None:
    trace = f"twice-{uuid4()}"
    for minutes in (5, 4):
        tell(served, "?", trace=trace, minutes=minutes)
    ids = re.findall(r' id="([^"]+)"', http.get(f"/console/{TEAM}/traces/{trace}/").text)
    assert len(ids) == len(set(ids))
    assert "generation-2-message-1" in ids


def test_older_verdicts_of_a_generation_are_not_left_out_in_silence(http: httpx.Client, served: Served) -> None:
    told = tell(served, "?")
    moment = scenes.utc_now() - timedelta(minutes=2)
    more = [
        scenes.result_row(
            TEAM, served.own_evaluation(OWNER), str(uuid4()), moment, reasoning=f"Run {place}.", result=True,
            trace_id=told.trace, target_event_id=told.uuid,
        )
        for place in range(301)
    ]  # fmt: skip
    scenes.insert(served.clickhouse_dsn, "evaluation_results", more)
    opened = http.get(f"/console/{TEAM}/results/{told.result}/").text
    first = opened.partition('<div class="verdict"')[2].partition("</div>")[0]
    assert f'id="verdict-{told.result}" data-open' in first, "it is older than those that the page has room for"
    assert opened.count(f'id="verdict-{told.result}"') == 1
    assert "Older verdicts are left out here" in http.get(f"/console/{TEAM}/generations/{told.uuid}/").text
    assert "All verdicts of generation 1" in http.get(f"/console/{TEAM}/traces/{told.trace}/").text


def test_a_result_that_names_no_generation_asks_for_no_part_of_one(http: httpx.Client, served: Served) -> None:
    row = scenes.result_row(TEAM, served.scene.evaluations[1], str(uuid4()), scenes.utc_now(), reasoning="Lone.")
    scenes.insert(served.clickhouse_dsn, "evaluation_results", [row])
    page = http.get(f"/console/{TEAM}/results/{row['uuid']}/")
    assert page.status_code == 200
    assert "Lone." in page.text
    assert "data-src" not in page.text


def test_calls_and_results_link_to_each_other_and_arguments_are_marked(http: httpx.Client, served: Served) -> None:
    function = {"name": "search", "arguments": '{"q":"<b>","n":1}'}
    talk = [
        {"role": "user", "content": "?", "timestamp": "2026-03-01T10:00:00Z"},
        {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "failed", "status": "error"},
    ]
    told = tell(served, "?", **{"$ai_input": talk})
    shown = http.get(f"/console/{TEAM}/generations/{told.uuid}/").text
    assert 'href="#message-3">result in message 3</a>' in shown
    assert 'href="#message-2">call in message 2</a>' in shown
    assert 'id="message-3"' in shown
    assert '<span class="k">&#34;q&#34;</span>: <span class="s">&#34;&lt;b&gt;&#34;</span>' in shown
    assert '<span class="tag warn">error</span>' in shown
    assert "2026-03-01 10:00:00 +00:00" in shown
    assert "58 tokens" in shown
    later = http.get(f"/console/{TEAM}/generations/{told.uuid}/?turn=2").text
    assert f'href="/console/{TEAM}/generations/{told.uuid}/?turn=1#message-2"' in later


def test_labels_are_beside_the_verdicts_and_those_that_the_judge_contradicts_are_marked(served: Served) -> None:
    told = tell(served, "?")
    evaluation = served.own_evaluation(OWNER)

    def label(by: str, verdict: dict[str, Any], comment: str = "") -> NewLabel:
        return NewLabel(
            evaluation_id=evaluation.id, question=evaluation.question, target_event_id=told.uuid, verdict=verdict,
            labeller=by, source="api", comment=comment,
        )  # fmt: skip

    given = [
        label("ann@example.com", {"applicable": True, "result": True}, "This one is superseded."),
        label("ann@example.com", {"applicable": True, "result": False}, "It is not polite <b>at all</b>."),
        label("bo@example.com", {"applicable": True, "result": True}),
        label("cy@example.com", {"unsure": True}),
    ]
    Labels(served.services.database).add(TEAM, given, actor="cli", now=scenes.utc_now())
    path = f"/console/{TEAM}/generations/{told.uuid}/"
    with reader_with(served, "evaluation:read", "label:read") as http:
        assert f"{path}labels/" in http.get(path).text
        part = http.get(f"{path}labels/", headers=OWN).text
    assert "ann@example.com" in part
    assert "It is not polite &lt;b&gt;at all&lt;/b&gt;." in part
    assert "superseded" not in part
    assert part.count("the judge says otherwise") == 1
    assert part.count("the judge says the same") == 1
    for scopes in (("label:write",), ("evaluation:read", "label:write"), ("label:read",)):
        with reader_with(served, *scopes) as http:
            assert http.get(f"{path}labels/").status_code == 403, scopes
            if "evaluation:read" in scopes:
                assert f"{path}labels/" not in http.get(path).text, scopes


def test_names_of_properties_are_suggested_to_who_may_read_events(served: Served) -> None:
    for scopes, suggested in ((("evaluation:write",), False), (("evaluation:write", "query:read"), True)):
        with reader_with(served, *scopes) as http:
            shown = http.get(f"/console/{TEAM}/evaluations/new/").text
        assert ('value="$ai_prompt_name"' in shown) is suggested, scopes


def test_media_are_lines_with_type_and_size_and_nothing_is_loaded(
    http: httpx.Client, served: Served, page: Page
) -> None:
    data = "QUJD" * 1_000
    shot = [{"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": data * 1_000}}]
    told = tell(
        served,
        [
            {"type": "text", "text": "Compare these."},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
            {"type": "image_url", "image_url": {"url": "https://pictures.example/<b>cat</b>.png"}},
            {"type": "input_audio", "input_audio": {"format": "wav", "data": data}},
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{data}", "filename": "bill.pdf"}},
            {"type": "file", "file": {"file_id": "file-17"}},
            {"type": "tool_result", "tool_use_id": "call-1", "content": shot},
        ],
        f"Here it is: data:image/webp;base64,{data} as asked.",
    )
    text = http.get(f"/console/{TEAM}/generations/{told.uuid}/").text
    assert data[:100] not in text
    page.goto(f"/console/{TEAM}/generations/{told.uuid}/")
    lines = [each.replace("\u202f", " ") for each in page.locator("main .media").all_inner_texts()]
    assert lines == [
        "[image] image/png, 3.0 kB",
        "[image] a link, type and size unknown\nhttps://pictures.example/<b>cat</b>.png",
        "[audio] wav, 3.0 kB",
        "[file] application/pdf, 3.0 kB · bill.pdf",
        "[file] type and size unknown",
        "[image] image/jpeg, 3.0 MB",
        "[image] image/webp, 3.0 kB",
    ]
    assert page.locator("main img, main audio, main video, main object, main b:text('cat')").count() == 0
