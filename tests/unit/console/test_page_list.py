"""Pages of the console have their templates, and the tests in a browser open each that the navigation names."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from console.navigation import _OPERATIONS, _TEAM
from console.pages import PAGES
from tests.browser.pages import pages_of
from tests.browser.scene import Scene
from tests.unit.test_architecture import CHECKOUT, modules


def test_templates_are_named_by_code_or_templates_and_named_ones_exist() -> None:
    folder = CHECKOUT / "console/templates"
    there = {path.name for path in folder.glob("*.html")}
    texts = [*(path.read_text() for path in modules("console")), *(path.read_text() for path in folder.glob("*.html"))]
    named = {name for text in texts for name in re.findall(r"[\"'](\w+\.html)[\"']", text)}
    assert named == there


LINKS = {"{team}/" + path for _, path, _ in _TEAM} | {f"operations/{path}" for _, path in _OPERATIONS}


def test_every_link_of_the_navigation_is_a_page() -> None:
    assert {page.path for page in PAGES if page.method == "GET"} >= LINKS


def test_the_tests_in_a_browser_open_every_page_of_the_navigation() -> None:
    some: Any = [SimpleNamespace(id="")] * 4
    pages = pages_of(Scene(1, evaluations=some, events=[""], results=[("", "")]))
    opened = {address.partition("?")[0] for address in pages.values()}
    assert opened >= {"/console/" + path.format(team=1) for path in LINKS}
