"""Slow panels that are open in their place: the same as the script loads, and none takes its page down."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from starlette.responses import Response

from api.http.errors import Unavailable
from console.pages import generation
from console.pages.panels import Panel
from console.visit import Visit
from storage.sql.api_keys import ApiKeys
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import opened, sign_in
from tests.browser.test_states import SAME, client
from tests.services.waiting import PATIENCE_S

OWN = {"X-Gavel-Fragment": "1"}


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


def section(page: str, name: str) -> str:
    """Return the inside of a panel; no panel has another `section` in it."""
    found = re.search(rf'<section id="panel-{name}"[^>]*>(.*?)</section>', page, re.DOTALL)
    assert found is not None
    return found[1]


def source(page: str, name: str) -> str:
    found = re.search(rf'<section id="panel-{name}" data-src="([^"]+)"', page)
    assert found is not None
    return html.unescape(found[1])


def place(served: Served, name: str) -> str:
    """Return the address of a page that has the panel."""
    judge, hog, _, score = (each.id for each in served.scene.evaluations)
    base = f"/console/{TEAM}/evaluations/"
    return {
        "labels": f"/console/{TEAM}/generations/{served.scene.events[-1]}/?",
        "groups": f"{base}{hog}/?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&by=environment&tz=Asia/Tokyo&",
        "funnel": f"{base}{hog}/?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z&",
        "steps": f"{base}{score}/trust/?range=7d&",
        "verdicts": f"{base}{judge}/versions/?a=1&b=2&",
        "list": "/console/operations/dead-letters/?reason=decode&",
    }[name]


@pytest.mark.parametrize("name", ["labels", "groups", "funnel", "steps", "verdicts", "list"])
def test_an_open_panel_is_what_the_script_would_load(http: httpx.Client, served: Served, name: str) -> None:
    http.post("/console/sign-in/", data={"key": served.scene.operator}, headers=SAME)
    address = place(served, name)
    closed, page = http.get(address).text, http.get(f"{address}open={name}").text
    assert source(closed, name) == source(page, name)
    part = http.get(source(page, name), headers=OWN)
    assert part.status_code == 200
    assert section(page, name).strip() == part.text.strip()
    link = re.search(r'href="([^"]+)#panel-', section(closed, name))
    assert link is not None
    following = http.get(html.unescape(link[1])).text
    assert section(following, name).strip() == part.text.strip(), "the link keeps the filters of the page"


def test_an_open_panel_is_not_loaded_again_and_its_form_stays_in_it(page: Page, served: Served) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/console/{TEAM}/generations/{served.scene.events[-1]}/?open=why")
    page.wait_for_load_state("networkidle")
    assert not any("/why/" in each for each in asked)
    address = page.url
    page.fill("#panel-why input[name=ask]", "Polite tone")
    page.click("#panel-why button")
    expect(page.locator("#panel-why .verdict h3").filter(has_text="Polite tone")).to_have_count(1)
    expect(page.locator("#panel-why .verdict h3").filter(has_not_text="Polite tone")).to_have_count(0)
    assert page.url == address


def raising(error: Exception) -> generation.Page:
    def show(_visit: Visit) -> Response:
        raise error

    return replace(generation._WHY, show=show)


@pytest.mark.parametrize(
    ("error", "words"),
    [(Unavailable("The archive rests."), "The archive rests."), (RuntimeError("x"), "The page could not be made.")],
)
def test_a_panel_that_fails_says_so_in_its_place(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    why = generation._WHY
    monkeypatch.setattr(generation, "_WHY", raising(error))
    with opened(browser, served.base, java_script_enabled=False) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        answer = page.goto(f"/console/{TEAM}/generations/{served.scene.events[-1]}/?open=why+labels")
        assert answer is not None
        assert answer.status == 200
        panel = page.locator("#panel-why")
        expect(panel).to_contain_text(words)
        expect(panel).to_contain_text("Error id")
        expect(page.locator("article.turn")).to_have_count(3)
        expect(page.locator("#panel-labels")).not_to_contain_text("Show")
        monkeypatch.setattr(generation, "_WHY", why)
        panel.get_by_text("Try again").click()
        expect(panel.locator("form")).to_be_visible()
        expect(panel).not_to_contain_text(words)


def test_a_panel_that_is_late_is_not_waited_for(
    http: httpx.Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def show(_visit: Visit) -> Response:
        end.wait()
        return Response()

    monkeypatch.setattr(generation, "_WHY", replace(generation._WHY, show=show))
    monkeypatch.setattr(generation, "Panel", partial(Panel, deadline_s=0.001))
    try:
        answer = http.get(f"/console/{TEAM}/generations/{served.scene.events[-1]}/?open=why")
    finally:
        end.set()
    assert answer.status_code == 200
    assert "This part took longer than 0.001 seconds." in section(answer.text, "why")
    assert "Try again" in section(answer.text, "why")
    assert 'id="message-3"' in answer.text


def test_a_chart_stays_beside_the_failure_of_its_corrected_rates(
    http: httpx.Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console.pages import evaluation

    def show(_visit: Visit) -> Response:
        raise Unavailable("No rates.")

    monkeypatch.setattr(evaluation, "_CORRECTED_RATES", replace(evaluation._CORRECTED_RATES, show=show))
    hog = served.scene.evaluations[1].id
    panel = section(http.get(f"/console/{TEAM}/evaluations/{hog}/?range=7d&open=corrected").text, "corrected")
    assert "Chart of the pass rate" in panel
    assert "No rates." in panel


def test_a_panel_needs_its_scope_and_its_name(served: Served) -> None:
    _, secret = ApiKeys(served.services.database).create(
        team_id=TEAM, label="Narrow", scopes=["evaluation:read"], now=scenes.utc_now()
    )
    path = f"/console/{TEAM}/generations/{served.scene.events[-1]}/"
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
        page = http.get(f"{path}?open=labels+why").text
        assert "panel-labels" not in page
        assert "the event's value needs the scope" in section(http.get(f"{path}?open=why&ask=polite").text, "why")
        names = http.get(f"{path}?open=" + "+".join(["none", "<b>", "why"] * 20)).text
        assert section(names, "why").strip() == section(page, "why").strip().replace("labels why", "none why")
