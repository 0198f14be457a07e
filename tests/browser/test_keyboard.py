"""A person who has never seen Gavel, with the keyboard alone: from the API key to a redriven dead letter."""

from __future__ import annotations

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import TEAM, Served
from tests.browser.rig import Watch

Context = tuple[BrowserContext, Watch]


def tab_to(page: Page, what: str, most: int = 250) -> None:
    """Press Tab until the focus is on an element that `what` selects."""
    for _ in range(most):
        if page.evaluate("(what) => document.activeElement.matches(what)", what):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not reach {what}")


def go(page: Page, what: str, address: str) -> None:
    """Reach a link or a button from the start of the page, press Enter, and wait for the page behind it."""
    page.keyboard.press("Control+Home")
    tab_to(page, what)
    page.keyboard.press("Enter")
    page.wait_for_url(address)
    page.wait_for_load_state("networkidle")


def test_the_whole_way_with_the_keyboard_alone(context: Context, served: Served) -> None:
    page = context[0].new_page()
    page.goto("/console/")
    enter_key(page, served.scene.secret)
    page.wait_for_url(f"**/console/{TEAM}/")
    read_the_newest_failure(page)
    write_an_evaluation(page)
    label_ten_items(page, served.scene.queue)
    redrive_a_letter(page, served.scene.operator)
    context[1].check(page)


def enter_key(page: Page, secret: str) -> None:
    tab_to(page, "#key")
    page.keyboard.type(secret)
    page.keyboard.press("Enter")


def read_the_newest_failure(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator("a.skip")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, "td.why a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/results/**")
    verdict = page.locator(".verdict[data-open]")
    expect(verdict).to_have_count(1)
    assert "Fail" in verdict.inner_text()
    assert len(verdict.locator("p").first.inner_text()) > 10


def write_an_evaluation(page: Page) -> None:
    go(page, "nav.side a[href$='/evaluations/']", "**/evaluations/")
    go(page, "main a[href$='/evaluations/new/']", "**/evaluations/new/")
    tab_to(page, "input[name=name]")
    page.keyboard.type("Any answer, by keyboard")
    tab_to(page, "#code")
    page.keyboard.press("Control+A")
    page.keyboard.type("return length(output) >=")
    expect(page.locator("[data-problems] a")).to_be_visible()
    assert re.search(r"line 1, column \d+", page.inner_text("[data-problems]"))
    assert page.locator(".paint .err").count() == 1
    tab_to(page, "[data-problems] a")
    page.keyboard.press("Enter")
    expect(page.locator("#code"), "the error leads to its place").to_be_focused()
    page.keyboard.press("Control+End")
    page.keyboard.type(" 0")  # it passes whichever generations are the newest
    expect(page.locator("[data-problems]")).to_contain_text("compiles")
    tab_to(page, "button[value=save]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/edit/**")
    tab_to(page, "button[value=test]")
    page.keyboard.press("Enter")
    expect(page.locator("section[aria-labelledby=tried] .outcome.pass")).to_have_count(5)
    tab_to(page, "button[value=ask-enable]")
    page.keyboard.press("Enter")
    expect(page.locator("#ask")).to_be_visible()
    tab_to(page, "button[value=enable]")
    page.keyboard.press("Enter")
    expect(page.locator(".done")).to_contain_text("enabled")


def label_ten_items(page: Page, queue: str) -> None:
    go(page, "nav.side a[href$='/labels/']", "**/labels/")
    tab_to(page, f"form[action$='/labels/{queue}/next/'] button")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-item]")
    expect(page.locator("[data-keys]")).to_be_visible()
    for place in range(10):
        item = page.get_attribute("[data-item]", "data-item")
        page.keyboard.press("f" if place % 3 == 0 else "p")
        page.keyboard.press("Enter")
        expect(page.locator(f"[data-item='{item}']")).to_have_count(0)
        page.wait_for_load_state("networkidle")
    expect(page.locator("[data-pace]")).to_contain_text("per item so far")


def redrive_a_letter(page: Page, operator: str) -> None:
    tab_to(page, "header .drop:nth-of-type(2) summary")
    page.keyboard.press("Enter")
    tab_to(page, "header a[href='/console/sign-in/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in/")
    enter_key(page, operator)
    page.wait_for_url("**/operations/**")
    go(page, "nav.side a[href$='/dead-letters/']", "**/dead-letters/")
    letters = page.locator("input[name=id]").count()
    tab_to(page, "input[name=id]")
    page.keyboard.press("Space")
    tab_to(page, "button[value=dry]")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("Nothing has been sent yet")
    tab_to(page, "button[value=redrive]")
    page.keyboard.press("Enter")
    expect(page.locator(".done")).to_contain_text("1 went back")
    expect(page.locator("input[name=id]")).to_have_count(letters - 1)
