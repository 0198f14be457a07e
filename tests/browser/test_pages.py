"""Every page in both themes and both widths: accessible, within the policy, and without another origin."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.conftest import Served
from tests.browser.pages import NAMES, STEPS, pages_of
from tests.browser.rig import Watch, opened, sign_in, wait_until

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES: dict[str, Any] = {
    "runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"], "preload": False, "iframes": False,
}  # fmt: skip
SEEN: dict[str, Any] = RULES | {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The rules whose outcome follows from theme and width together; the others have seen each width once."""
LOOKS = (("light", 1280, RULES), ("dark", 1280, SEEN), ("light", 320, SEEN), ("dark", 320, RULES))
ONE_OF_EACH_ROW = """
([rules]) => {
  const shape = (node) => node.tagName + "." + node.className + "[" + [...node.children].map(shape).join() + "]"
    + (node.children.length ? "" : node.textContent.trim() !== "");
  for (const body of document.querySelectorAll("tbody")) {
    const seen = new Set();
    for (const row of body.rows) {
      const found = shape(row);
      row.toggleAttribute("data-like-another", seen.has(found));
      seen.add(found);
    }
  }
  return axe.run({ include: [["html"]], exclude: [["[data-like-another]"]] }, rules);
}
"""
"""All rows would take minutes, so a row is left out if one above it has the same elements with the same classes."""
BROKEN = """
() => [...document.querySelectorAll("button, .button, thead th, td.who")].flatMap((it) => {
  const found = [];
  const texts = document.createTreeWalker(it, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) for (const word of texts.currentNode.data.matchAll(/[A-Za-z]{1,14}/g)) {
    if (texts.currentNode.parentElement.closest(".announce")) continue;
    const range = new Range();
    range.setStart(texts.currentNode, word.index);
    range.setEnd(texts.currentNode, word.index + word[0].length);
    if (new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size > 1) found.push(word[0]);
  }
  return found;
})
"""
"""Short words of buttons, heads and names that are broken over two lines. Texts of strangers may be."""
STATUS = {"missing": 404, "missing-without-a-team": 404, "results-refused": 400}


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
    show(page, *LOOKS[0][:2])
    response = page.goto(pages_of(served.scene)[name])
    assert response is not None
    assert response.status == STATUS.get(name, 200), page.inner_text("main")
    page.wait_for_load_state("networkidle")
    if name in STATUS:
        watch.errors.clear()  # the browser says that the answer was 400 or 404
    check(page, watch)


@pytest.mark.parametrize("name", STEPS)
def test_an_answer_to_a_form_is_sound_too(reader: tuple[Page, Watch], served: Served, name: str) -> None:
    page, watch = reader
    show(page, *LOOKS[0][:2])
    STEPS[name](page, served.scene)
    page.wait_for_load_state("networkidle")
    watch.errors.clear()  # the browser says that the answer was 400 or 412
    check(page, watch)


def check(page: Page, watch: Watch) -> None:
    """Fail if the page breaks a rule in one of its looks. It is loaded once, because loading is what takes time."""
    found = []
    for scheme, width, rules in LOOKS:
        show(page, scheme, width)
        found += [f"{scheme} {width} {each}" for each in violations(page, rules)]
        found += [f"{scheme} {width} {each} is broken over two lines" for each in page.evaluate(BROKEN)]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert found == []
    assert page.locator("h1").count() == 1
    watch.check(page)


def show(page: Page, scheme: Any, width: int) -> None:
    """Give the page a theme and a width."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})


def violations(page: Page, rules: dict[str, Any] = RULES) -> list[str]:
    """Return what axe finds, with the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found = page.evaluate(ONE_OF_EACH_ROW, [rules])["violations"]
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
    wait_until(page, "() => window.__violations.length >= 2")
    assert any("img-src" in each for each in page.evaluate("window.__violations"))
    with pytest.raises(AssertionError):
        watch.check(page)
