"""A conversation that a judge read in part is marked at the place, and the page says which limit it took."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
from playwright.sync_api import Page, expect

from api.services.turns import MAX_MESSAGE
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.test_conversations import OWN, Told, reader_with, tell
from tests.browser.test_states import client


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


def judged(served: Served, told: Told, *, limit: int | None, minutes: float = 1, **properties: Any) -> str:
    """Add a verdict on a shortened conversation and return its id."""
    written = {"$ai_evaluation_truncated": True, **properties} | (
        {"$ai_evaluation_truncated_to": limit} if limit else {}
    )
    row = scenes.result_row(
        TEAM, served.scene.evaluations[0], str(uuid4()), scenes.utc_now() - timedelta(minutes=minutes), result=True,
        reasoning="Read.", trace_id=told.trace, target_event_id=told.uuid, properties=json.dumps(written),
    )  # fmt: skip
    scenes.insert(served.clickhouse_dsn, "evaluation_results", [row])
    return str(row["uuid"])


def text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).replace("\u202f", "").split())


def test_the_opened_verdict_marks_what_its_judge_did_not_read(page: Page, served: Served) -> None:
    page.goto(f"/console/{TEAM}/results/{served.scene.shortened}/")
    for number in (1, 2, 3):
        expect(page.locator(f"#message-{number} > header")).to_contain_text("not read by the judge")
    expect(page.locator("#message-4 > header")).to_contain_text("read in part by the judge")
    expect(page.locator("#message-4 .mark")).to_have_count(2)
    unread = page.locator("#message-4 .unread")
    expect(unread).to_have_count(1)
    said = unread.inner_text().strip()
    note = page.locator("#read")
    expect(note).to_contain_text(f"{len(said):,}".replace(",", "\u202f") + " characters in the middle of message 4")
    expect(note).to_contain_text("Answers the question")
    expect(note).to_contain_text("the last 3 of the tools")
    assert "today" not in note.inner_text()
    expect(page.locator("#message-5 .tag")).to_have_count(0)


def test_without_the_limit_of_its_time_the_page_says_which_one_it_takes(page: Page, served: Served) -> None:
    told = tell(served, "q" * 200_000)
    judged(served, told, limit=None)
    page.goto(f"/console/{TEAM}/generations/{told.uuid}/")
    expect(page.locator("#read")).to_contain_text("The result does not hold the limit of its judge")
    expect(page.locator("#read")).to_contain_text("150\u202f000")
    page.goto(f"/console/{TEAM}/results/{served.scene.shortened}/")
    page.get_by_text("Show what it read").click()
    expect(page.locator("#read")).to_contain_text("It cannot be worked out what the judge of Helpfulness 1 to 5")
    expect(page.locator(".mark")).to_have_count(0)


def test_each_verdict_shows_what_its_own_judge_read(http: httpx.Client, served: Served) -> None:
    told = tell(served, "q" * 20_000)
    small, large = (judged(served, told, limit=limit, minutes=limit / 5_000) for limit in (5_000, 10_000))
    path = f"/console/{TEAM}/generations/{told.uuid}/"
    newest = http.get(path).text
    assert "at most 5000 characters" in text(newest)
    link = re.findall(r'href="([^"]*read=[^"]*)#read"', newest)
    assert link == [f"{path}?read={large}"]
    assert "at most 10000 characters" in text(http.get(link[0]).text)
    assert "at most 10000 characters" in text(http.get(f"/console/{TEAM}/results/{large}/").text)
    other = http.get(f"/console/{TEAM}/results/{told.result}/").text
    assert "at most" not in text(other), "the judge of the opened verdict read everything"
    assert f"read={small}" in other
    trace = http.get(f"/console/{TEAM}/traces/{told.trace}/").text
    assert f"/console/{TEAM}/results/{small}/#read" in trace
    assert "not read by the judge" not in trace


def test_the_marks_go_on_behind_the_bound_of_a_message(page: Page, served: Served) -> None:
    told = tell(served, "a" * MAX_MESSAGE + "b" * MAX_MESSAGE + "c" * (MAX_MESSAGE - 1_000))
    judged(served, told, limit=MAX_MESSAGE)
    page.goto(f"/console/{TEAM}/generations/{told.uuid}/")
    message = page.locator("#message-2")
    expect(message.locator(".unread")).to_have_count(1)
    expect(message.locator("[data-more-place]")).to_contain_text("with the place from which on the judge read again")
    message.locator("a[data-more]").click()
    expect(message.locator(".unread")).to_have_count(2)
    expect(message.locator(".mark", has_text="From here on the judge read again.")).to_have_count(0)
    message.locator("a[data-more]").click()
    expect(message.locator("[data-more-place]")).to_have_count(0)
    expect(message.locator(".mark", has_text="From here on the judge read again.")).to_have_count(1)


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "9" * 30])
def test_a_wrong_limit_marks_nothing(http: httpx.Client, served: Served, wrong: str) -> None:
    told = tell(served, "a" * 1_000)
    answer = http.get(f"/console/{TEAM}/generations/{told.uuid}/messages/2/?limit={wrong}", headers=OWN)
    assert answer.status_code == 200
    assert "did not read" not in answer.text


def test_formatted_text_is_marked_too(http: httpx.Client, served: Served) -> None:
    told = tell(served, "**bold** " * 1_000)
    judged(served, told, limit=3_000)
    page = http.get(f"/console/{TEAM}/generations/{told.uuid}/?view=formatted").text
    assert re.search(r'<div class="unread"><div class="said formatted"', re.sub(r">\s+<", "><", page))


def test_a_jury_names_the_model_that_read_the_least(http: httpx.Client, served: Served) -> None:
    told = tell(served, "a" * 5_000)
    judged(served, told, limit=3_000, **{"$ai_evaluation_steps": scenes.steps_of(3.0)})
    assert "This is the one that read the least." in text(http.get(f"/console/{TEAM}/generations/{told.uuid}/").text)


def test_who_may_not_read_events_sees_no_marks(served: Served) -> None:
    told = tell(served, "a" * 5_000)
    judged(served, told, limit=3_000)
    with reader_with(served, "evaluation:read") as http:
        for path in (f"generations/{told.uuid}/", f"traces/{told.trace}/"):
            page = http.get(f"/console/{TEAM}/{path}").text
            assert "The judge read a shortened conversation" in page
            assert "Show what it read" not in page
            assert 'id="read"' not in page
