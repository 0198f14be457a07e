"""Everything that a page shows is a stranger's: no payload becomes markup, runs, or asks another server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Served
from tests.browser.rig import Watch, opened, sign_in
from tests.browser.strangers import PATHS, Strange

TEAM = 66
MARK = "xss-mark"
PAYLOADS = (
    "<script>window.__hit=1</script>",
    "<img src=x onerror=window.__hit=1>",
    "<svg onload=window.__hit=1>",
    "<svg><script>window.__hit=1</script></svg>",
    "<svg><animate onbegin=window.__hit=1 attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.__hit=1</script>'></iframe>",
    "<iframe src=javascript:parent.__hit=1></iframe>",
    "<body onload=window.__hit=1>",
    "<details open ontoggle=window.__hit=1>",
    "<input autofocus onfocus=window.__hit=1>",
    "<video><source onerror=window.__hit=1></video>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.__hit=1>",
    "<a href=javascript:window.__hit=1>x</a>",
    "[x](javascript:window.__hit=1)",
    "[x](data:text/html,<script>window.__hit=1</script>)",
    "![x](http://198.51.100.7/leak.png)",
    "<img src=http://198.51.100.7/leak.png>",
    "<link rel=stylesheet href=http://198.51.100.7/a.css>",
    "<style>@import 'http://198.51.100.7/a.css'</style>",
    "<meta http-equiv=refresh content='0;url=http://198.51.100.7/'>",
    "<base href=http://198.51.100.7/>",
    "<form action=http://198.51.100.7/><button>x</button></form>",
    '" onmouseover=window.__hit=1 x="',
    "' autofocus onfocus=window.__hit=1 x='",
    "</textarea><script>window.__hit=1</script>",
    "</title><script>window.__hit=1</script>",
    "</style><script>window.__hit=1</script>",
    "--><script>window.__hit=1</script>",
    "{{ 7 * 7 }}{% raw %}",
    "${window.__hit=1}`",
    "\u202e<script>window.__hit=1</script>\u2066",
    "<scr\u200bipt>window.__hit=1</scr\u200bipt>",
    "&lt;img src=x onerror=window.__hit=1&gt;",
    "<object data=http://198.51.100.7/x></object><embed src=http://198.51.100.7/y>",
)
HOSTILE = f"{MARK} " + " ".join(PAYLOADS)
FORBIDDEN = "iframe, object, embed, base, video, audio, math, main script, main style, main link, main meta"
FOREIGN_IMAGES = "main img:not([src^='/console/assets/'])"


def test_there_are_enough_payloads() -> None:
    assert len(PAYLOADS) >= 30


@pytest.fixture(scope="module")
def hostile(browser: Browser, served: Served) -> Iterator[tuple[Page, Watch, dict[str, str]]]:
    """A team in which every text that a stranger gives is a payload, and a page of its reader."""
    secret, paths = Strange(served, TEAM, HOSTILE, PAYLOADS).build()
    with opened(browser, served.base) as (context, watch):
        page = context.new_page()
        sign_in(page, served.scene.operator)
        sign_in(page, secret)
        yield page, watch, paths


@pytest.mark.parametrize("name", PATHS)
def test_no_payload_becomes_markup(hostile: tuple[Page, Watch, dict[str, str]], name: str) -> None:
    page, watch, paths = hostile
    response = page.goto(paths[name])
    assert response is not None
    assert response.status == (404 if name == "missing" else 200), page.inner_text("body")[:500]
    page.wait_for_load_state("networkidle")
    page.locator("main details").evaluate_all("(all) => { for (const it of all) it.open = true; }")
    assert page.evaluate("window.__hit") is None
    assert page.locator(FORBIDDEN).count() == 0
    assert page.locator(FOREIGN_IMAGES).count() == 0
    handlers = (
        "[...document.querySelectorAll('*')].filter((it) => [...it.attributes].some((a) => a.name.startsWith('on')))"
    )
    assert page.evaluate(f"{handlers}.map((it) => it.outerHTML)") == []
    assert page.locator("a[href^='javascript' i], a[href^='data' i], form[action^='http']").count() == 0
    page.set_viewport_size({"width": 320, "height": 800})
    # A report as it was sent is a mail, which has the width of its plots.
    assert page.evaluate("document.documentElement.scrollWidth") <= (400 if name == "report-sent" else 320)
    page.set_viewport_size({"width": 1280, "height": 900})
    if name == "missing":
        watch.errors.clear()  # the browser says that the answer was 404
    watch.check(page)


def test_the_payloads_are_seen_as_text(hostile: tuple[Page, Watch, dict[str, str]]) -> None:
    """The test above cannot pass because nothing was shown."""
    page, _, paths = hostile
    page.goto(paths["generation"])
    assert page.locator("article.turn").count() >= len(PAYLOADS)
    assert "<script>window.__hit=1</script>" in page.inner_text("main")
    assert "U+202E" in page.inner_text("main")


def test_a_link_of_a_stranger_opens_without_our_page(hostile: tuple[Page, Watch, dict[str, str]]) -> None:
    from console.markdown import to_html

    html = str(to_html("[x](https://a.example/) <b onclick=a()> ![i](http://a.example/i.png)"))
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "<img" not in html
    assert "<b" not in html
