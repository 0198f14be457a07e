"""People find, repair and redrive in the console, and what a page weighs for their browsers."""

from __future__ import annotations

import gzip
import re

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import TEAM, Served
from tests.browser.pages import pages_of
from tests.browser.rig import Watch, opened, sign_in
from tests.services.waiting import PATIENCE_S

Context = tuple[BrowserContext, Watch]
HTML_BYTES, ASSET_BYTES, SCRIPT_BYTES = 30_000, 60_000, 40_000
"""Gzipped, for one page, for all assets, and for the scripts among them."""
ELEMENTS = 2_500
"""Elements of one page; a browser lays out so many in one short task."""


def test_a_purge_asks_for_the_count(context: Context, served: Served) -> None:
    page = context[0].new_page()
    sign_in(page, served.scene.operator, "/console/operations/dead-letters/")
    page.check("input[name=id] >> nth=0")
    page.click("button[value=dry]")
    assert "Nothing has been sent yet" in page.inner_text("main")
    page.fill("input[name=count]", "7")
    page.click("button[value=purge]")
    assert "Nothing was purged" in page.inner_text("main")


def test_two_tabs_that_edit_the_second_is_told(browser: Browser, served: Served) -> None:
    with opened(browser, served.base) as (context, _):
        first, second = context.new_page(), context.new_page()
        sign_in(first, served.scene.secret)
        path = f"/console/{TEAM}/evaluations/{served.own_evaluation('Two tabs').id}/edit/"
        first.goto(path)
        second.goto(path)
        first.fill("input[name=name]", "Two tabs, first")
        first.click("button[value=save]")
        expect(first.locator(".done")).to_contain_text("Saved")
        second.fill("input[name=name]", "Two tabs, second")
        second.click("button[value=save]")
        expect(second.locator("#theirs")).to_be_visible()
        both = second.locator("section[aria-labelledby=theirs] .diff")
        expect(both.locator(".removed")).to_contain_text("Two tabs, first")
        expect(both.locator(".added")).to_contain_text("Two tabs, second")
        assert second.input_value("input[name=name]") == "Two tabs, second"


def test_a_link_shows_the_same_in_another_browser_with_another_zone(browser: Browser, served: Served) -> None:
    times = "from=2026-01-01T00:00:00%2B00:00&to=2026-12-31T00:00:00%2B00:00"
    link = f"/console/{TEAM}/results/?verdict=fail&{times}&tz=Asia/Tokyo"
    seen = []
    for zone in ("UTC", "America/New_York"):
        with opened(browser, served.base, timezone_id=zone) as (context, _):
            page = context.new_page()
            sign_in(page, served.scene.secret)
            page.goto(link)
            seen.append(page.locator("tbody").inner_text())
            page.locator("tbody td.why a").first.click()
            page.go_back()
            assert page.locator("tbody").inner_text() == seen[-1]
    assert seen[0] == seen[1]
    assert "+09:00" in seen[0]


def test_the_zone_of_the_browser_is_taken_at_the_first_sign_in(browser: Browser, served: Served) -> None:
    with opened(browser, served.base, timezone_id="Europe/Berlin") as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.wait_for_url(f"**/console/{TEAM}/")
        assert "Europe/Berlin" in page.inner_text("header")
        assert re.search(r"\+0[12]:00", page.inner_text("main"))


def test_the_theme_switch_overrides_the_system(page: Page) -> None:
    page.goto(f"/console/{TEAM}/")
    page.click("header summary >> nth=0")
    page.select_option("select[name=theme]", "dark")
    page.click("header .panel button >> nth=0")
    assert page.get_attribute("html", "data-theme") == "dark"


def test_everything_is_read_without_javascript(browser: Browser, served: Served) -> None:
    with opened(browser, served.base, java_script_enabled=False) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.goto(f"/console/{TEAM}/generations/{served.scene.events[-1]}/")
        expect(page.locator("article.turn")).to_have_count(3)
        expect(page.locator("[data-copy-link]")).to_be_hidden()  # only the script can copy
        for evaluation in served.scene.evaluations:
            expect(page.locator(".verdict h3").filter(has_text=evaluation.name).first).to_be_visible()
        page.click("text=Show reasons here")
        page.wait_for_url("**open=why#panel-why")
        panel = page.locator("#panel-why")
        panel.locator("input[name=ask]").fill("Polite tone")
        panel.locator("button").click()
        page.wait_for_url("**ask=Polite+tone#panel-why")
        expect(panel.locator(".verdict h3")).to_have_text("Polite tone")
        page.click("text=Show answers of people here")
        expect(page.locator("#panel-labels")).not_to_contain_text("Show answers")
        expect(panel.locator(".verdict h3")).to_have_text("Polite tone")  # the first one stays open
        expect(page.locator("article.turn")).to_have_count(3)
        expect(page.get_by_text("Loading")).to_have_count(0)
        page.goto(f"/console/{TEAM}/results/")
        page.select_option("select[name=verdict]", "fail")
        page.click("form.filters button")
        expect(page.locator("tbody tr").first).to_contain_text("Fail")
        page.locator("tbody td.why a").first.click()
        page.click("text=Show reasons here")
        expect(page.locator("#panel-why form")).to_be_visible()
        expect(page.get_by_role("link", name="Back to the list")).to_have_attribute("href", re.compile("verdict=fail"))
        page.goto(f"/console/{TEAM}/evaluations/{served.scene.evaluations[1].id}/?range=7d")
        page.fill("input[name=by]", "environment")
        page.get_by_role("button", name="Group", exact=True).click()
        page.wait_for_url("**by=environment**")
        expect(page.locator("#panel-groups tbody th").filter(has_text="production")).to_have_count(1)
        expect(page.locator(".seg [aria-current]")).to_have_text("7 days")
        page.click("text=Show corrected rates here")
        page.click("text=Show the way of the newest events here")
        expect(page.locator("#panel-funnel")).to_contain_text("Matched")
        expect(page.locator("#panel-corrected")).to_contain_text("How far this judge can be believed")
        expect(page.locator("#panel-groups tbody th").filter(has_text="production")).to_have_count(1)
        page.goto(f"/console/{TEAM}/evaluations/{served.scene.evaluations[3].id}/trust/?range=7d")
        page.fill("input[name=slice]", "model")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.locator("#panel-figures")).to_contain_text("As judged")
        page.click("text=Show steps here")
        expect(page.locator("#panel-steps")).to_contain_text("gpt-5-mini")
        expect(page.locator("#panel-figures")).to_contain_text("As judged")
        sign_in(page, served.scene.operator, "/console/operations/dead-letters/")
        page.select_option("select[name=reason]", "decode")
        page.get_by_role("button", name="Filter", exact=True).click()
        expect(page.locator("#panel-list tbody tr").filter(has_text="the row is not JSON")).to_have_count(1)
        expect(page.locator("#panel-list tbody tr").filter(has_text="KeyError")).to_have_count(0)


def test_an_evaluation_is_repaired_tried_and_enabled_without_javascript(browser: Browser, served: Served) -> None:
    with opened(browser, served.base, java_script_enabled=False) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret, f"/console/{TEAM}/evaluations/new/")
        page.fill("input[name=name]", "Short answers, without a script")
        page.fill("#code", "let least := 0\nreturn length(output) >=")
        page.click("button[value=check]:visible")
        expect(page.locator("#problems")).to_contain_text(re.compile(r"line 2, column \d+"))
        assert page.input_value("#code").startswith("let least"), "nothing that was typed is lost"
        page.fill("#code", "let least := 0\nreturn length(output) >= least")  # whichever generations are the newest
        page.click("button[value=add-set]")
        page.fill("input[name=set-0-rollout]", "100")
        page.fill("input[name=filter-0-0-key]", "environment")
        page.fill("input[name=filter-0-0-value]", "production")
        page.click("button[value=test]")
        expect(page.locator("section[aria-labelledby=tried] .outcome.pass")).to_have_count(5)
        page.click("button[value=save]")
        page.wait_for_url("**/edit/**")
        expect(page.locator(".done")).to_contain_text("Saved")
        assert page.input_value("input[name=filter-0-0-value]") == "production"
        page.click("button[value=ask-enable]")
        expect(page.locator("section[aria-labelledby=ask]")).to_contain_text("generations matched")
        page.click("button[value=enable]")
        expect(page.locator(".done")).to_contain_text("It is enabled")


def test_every_page_is_light_and_waits_for_no_script(served: Served) -> None:
    """A slow browser paints soon, without long tasks and without shifts, because each page keeps to these limits."""
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        for secret in (served.scene.operator, served.scene.secret):
            http.post("/console/sign-in/", data={"key": secret}, headers={"Sec-Fetch-Site": "same-origin"})
        seen: set[str] = set()
        for name, path in pages_of(served.scene).items():
            page = http.get(path).text
            assert len(gzip.compress(page.encode())) <= HTML_BYTES, name
            assert len(re.findall(r"<[a-z]", page)) <= ELEMENTS, name
            scripts = re.findall(r"<script[^>]*>", page)
            assert all('type="module"' in each for each in scripts), f"{name}: a script holds up the first paint"
            assert all(' width="' in each and ' height="' in each for each in re.findall(r"<img[^>]*>", page)), name
            assets = set(re.findall(r'(/console/assets/[^"]+)', page))
            assert len(assets) <= 8, name
            seen |= assets
        answers = {each: http.get(each, headers={"Accept-Encoding": "gzip"}) for each in seen}
    sizes = {each: int(answer.headers["content-length"]) for each, answer in answers.items()}
    assert sum(sizes.values()) <= ASSET_BYTES
    assert sum(size for each, size in sizes.items() if each.endswith(".js")) <= SCRIPT_BYTES
    assert all("immutable" in each.headers["cache-control"] for each in answers.values())


@pytest.mark.parametrize("path", ["part/", "jobs/part/"])
def test_an_unchanged_part_is_not_sent_again(served: Served, path: str) -> None:
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        http.post("/console/sign-in/", data={"key": served.scene.secret}, headers={"Sec-Fetch-Site": "same-origin"})
        first = http.get(f"/console/{TEAM}/{path}", headers={"X-Gavel-Fragment": "1"})
        tag = first.headers["etag"]
        again = http.get(f"/console/{TEAM}/{path}", headers={"X-Gavel-Fragment": "1", "If-None-Match": tag})
        assert again.status_code == 304
        assert again.content == b""
