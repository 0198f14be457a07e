"""Every page in both themes and both widths: accessible, within the policy, and without another origin."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import Served
from tests.browser.pages import NAMES, pages_of
from tests.browser.rig import Watch, opened, sign_in

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES: dict[str, Any] = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
FEW_ROWS = {"include": [["html"]], "exclude": [["tbody tr:nth-child(n+4)"]]}


@pytest.fixture(scope="module")
def reader(browser: Browser, served: Served) -> Any:
    """A page and its watch, for all tests of this module: to sign in for each would take as long as the test."""
    with opened(browser, served.base, color_scheme="light") as (context, watch):
        page = context.new_page()
        sign_in(page, served.scene.operator)
        sign_in(page, served.scene.secret)
        yield page, watch


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_sound_in_both_themes_and_widths(reader: tuple[Page, Watch], served: Served, name: str) -> None:
    page, watch = reader
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})
    response = page.goto(pages_of(served.scene)[name])
    assert response is not None
    assert response.status == (404 if name == "missing" else 200), page.inner_text("main")
    page.wait_for_load_state("networkidle")
    if name == "missing":
        watch.errors.clear()  # the browser says that the answer was 404
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 320, "height": 800})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.locator("h1").count() == 1
    watch.check(page)


def violations(page: Page) -> list[str]:
    """Return what axe finds, with the elements. Only the first rows of a table, because all would take minutes."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate("([where, how]) => axe.run(where, how)", [FEW_ROWS, RULES])["violations"]
    return [f"{each['id']}: {node['target']} {node['html'][:200]}" for each in found for node in each["nodes"]]


def test_the_rig_sees_what_breaks_the_rules(context: tuple[BrowserContext, Watch], page: Page) -> None:
    """The checks above can fail: an image without a text, a foreign address, and inline script are each noticed."""
    watch = context[1]
    page.goto("/console/7/")
    page.evaluate("document.querySelector('main').append(new Image())")
    assert any(found.startswith("image-alt") for found in violations(page))
    load = "(it) => new Promise((done) => { it.onerror = done; it.src = 'http://example.com/x.png'; })"
    page.locator("main img").evaluate(load)
    page.evaluate("try { document.body.innerHTML = '<b>'; } catch { }")
    page.wait_for_function("window.__violations.length >= 2")
    assert any("img-src" in each for each in page.evaluate("window.__violations"))
    with pytest.raises(AssertionError):
        watch.check(page)
