"""A form that changes something is sent once, however often its button is pressed before the answer comes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

from storage.sql.label_queues import LabelQueues
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import opened, sign_in

PRESS_TWICE = """(what) => {
  const seen = [];
  window.addEventListener("submit", (event) => { seen.push(event.defaultPrevented); event.preventDefault(); });
  const button = document.querySelector(what);
  for (let press = 0; press < 2; press += 1) button.form.requestSubmit(button);
  return seen;
}"""
"""Presses a button twice, and returns of each press whether the page refused it. Nothing is sent."""


@pytest.mark.parametrize(
    ("path", "button"),
    [("jobs/", "button[value=dry]"), ("evaluations/new/", "button[value=test]"), ("labels/", "main form button")],
)
def test_a_second_press_is_refused_with_the_reason(page: Page, path: str, button: str) -> None:
    page.goto(f"/console/{TEAM}/{path}")
    if path == "evaluations/new/":
        page.fill("input[name=name]", "Twice")
    assert page.evaluate(PRESS_TWICE, button) == [False, True]
    expect(page.locator("[data-sent]")).to_contain_text("sent already")
    expect(page.locator("[data-announce]")).to_contain_text("Reload the page to send it again.")


def test_a_filter_and_a_label_are_sent_as_often_as_the_reader_likes(page: Page, served: Served) -> None:
    """A filter changes nothing, and the label page looks after its own forms."""
    page.goto(f"/console/{TEAM}/results/")
    assert page.evaluate(PRESS_TWICE, "form.filters button") == [False, False]
    page.goto(f"/console/{TEAM}/labels/{served.scene.queue}/next/")
    page.get_by_role("button", name="Take the next item").click()
    page.wait_for_url("**/items/**")
    expect(page.locator("[data-keys]")).to_be_visible()  # the script of the page has begun
    assert page.evaluate(PRESS_TWICE, "[data-label-form] button[value=save]") == [True, True]
    expect(page.locator("[data-sent]")).to_have_count(0)


@pytest.mark.parametrize("presses", [1, 2])
def test_without_javascript_a_second_press_makes_nothing_more(browser: Browser, served: Served, presses: int) -> None:
    store = LabelQueues(served.services.database)
    before = store.page(TEAM, limit=1, offset=0)[1]
    with opened(browser, served.base, java_script_enabled=False) as (context, watch):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.goto(f"/console/{TEAM}/labels/?evaluation={served.scene.evaluations[1].id}")
        page.fill("main form input[name=size]", "3")
        page.locator("main form[action$='/labels/'] button").click(click_count=presses)
        page.wait_for_url("**/labels/*-*/")
        assert not watch.foreign
    assert store.page(TEAM, limit=1, offset=0)[1] == before + 1
