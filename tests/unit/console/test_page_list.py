"""Pages of the console have their templates, and the tests in a browser open each that the navigation names."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from console.navigation import _OPERATIONS, _TEAM
from console.pages import PAGES
from console.pages.sign_in import SIGN_IN
from tests.browser.pages import pages_of, placeholders
from tests.browser.strangers import PATHS
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


NO_PAGES = (
    "/part/", "/list/", "/why/", "/corrected/", "/groups/", "/funnel/", "/figures/", "/steps/", "/flips/",
    "/suggestions/", "/verdicts/{run}/", "/messages/{number}/", "{uuid}/labels/",  # parts of pages, which these load
    "/export/", "/raw.json", "/points/",  # files
    "/items/{item}/",  # leads to the page of the queue
)  # fmt: skip


@pytest.mark.parametrize("tested", [pages_of(placeholders()), PATHS], ids=["sound", "of strangers"])
def test_the_tests_in_a_browser_open_every_page(tested: Mapping[str, str]) -> None:
    opened = {address.partition("?")[0] for address in tested.values()}
    paths = [page.path for page in (*PAGES, *SIGN_IN) if page.method == "GET"]
    redirects = {"", "operations/"}
    wanted = [path for path in paths if path not in redirects and not path.endswith(NO_PAGES)]
    assert len(wanted) > 30
    missing = [path for path in wanted if not any(_is_of(path, address) for address in opened)]
    assert missing == []


def test_a_form_needs_a_scope_to_write_which_a_read_only_console_gives_nobody() -> None:
    scopes = {page.path: page.scope for page in PAGES if page.method == "POST"}
    changes_nothing = {"{team}/evaluations/check/": "evaluation:read"}
    assert len(scopes) > 15
    assert {path: scope for path, scope in scopes.items() if not str(scope).endswith(":write")} == changes_nothing


def _is_of(path: str, address: str) -> bool:
    return re.fullmatch("/console/" + re.sub(r"\{[^}]+\}", "[^/]+", path), address) is not None
