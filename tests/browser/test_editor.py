"""The editor's code field and form: where numbers stand, what Enter does, and where the focus goes."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TEAM, Served

NEW = f"/console/{TEAM}/evaluations/new/"
LONG = "let words := 'a line that is longer than the field of a telephone, and than that of a desk'"


@pytest.mark.parametrize("width", [320, 1280])
def test_each_number_stands_beside_its_line(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(NEW)
    page.fill("#code", "\n".join([LONG * 3] * 59 + ["return true"]))
    rows = "(what) => { const found = document.querySelector(what); found.scrollTop = 1e6; return found.scrollTop; }"
    scrolled = page.evaluate(rows, "#code")
    assert scrolled > 0, "60 lines are more than the field shows"
    page.wait_for_function("(at) => document.querySelector('.editor .lines').scrollTop >= at - 20", arg=scrolled)
    heights = page.evaluate("['#code', '.editor .lines'].map((each) => document.querySelector(each).scrollHeight)")
    assert abs(heights[0] - heights[1]) < 20, "one row less or more would be a wrong number"
    box = page.evaluate("['.editor', '#code'].map((each) => document.querySelector(each).offsetHeight)")
    assert box[0] - box[1] < 10, "the numbers do not make the field longer than the code"


def test_criteria_wrap_and_have_no_numbers(page: Page, served: Served) -> None:
    page.goto(f"/console/{TEAM}/evaluations/{served.scene.evaluations[0].id}/edit/")
    expect(page.locator(".editor .lines")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.getElementById('code')).whiteSpace").startswith("pre-wrap")


def test_enter_in_a_field_checks_and_changes_nothing(page: Page, served: Served) -> None:
    """Neither does it enable the evaluation while the page asks whether to."""
    path = f"/console/{TEAM}/evaluations/{served.scene.evaluations[0].id}/edit/"
    page.goto(path)
    expect(page.locator("[data-editor] button[value=check]").first).to_be_hidden()
    sets = page.locator("fieldset.set").count()
    page.press("input[name=name]", "Enter")
    expect(page.locator("p.done")).to_have_text("It compiles.")
    assert page.locator("fieldset.set").count() == sets
    page.click("button[value=ask-enable]")
    expect(page.locator("#ask")).to_be_visible()
    expect(page.locator("[aria-labelledby=ask]"), "the question has the focus").to_be_focused()
    page.press("input[name=name]", "Enter")
    expect(page.locator("p.done")).to_have_text("It compiles.")
    expect(page.locator("p.done")).to_be_focused()
    assert urlsplit(page.url).path == path
    page.goto(path)
    expect(page.locator("button[value=ask-enable]")).to_be_visible()
