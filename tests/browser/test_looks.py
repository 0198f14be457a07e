"""Pages on paper, with forced colours, on small screens, and with the longest names, which have no place to break."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import TEAM, Served
from tests.browser.pages import pages_of
from tests.browser.rig import Watch, opened, sign_in
from tests.browser.strangers import PATHS, Strange
from tests.browser.test_pages import BROKEN

LONG = "0123456789" * 400
"""Digits, because `BROKEN` looks at letters."""
LONG_TEAM = 67
OPEN = "(all) => { for (const it of all) it.open = true; }"


@pytest.fixture(scope="module")
def long(browser: Browser, served: Served) -> Iterator[tuple[Page, Watch, dict[str, str]]]:
    secret, paths = Strange(served, LONG_TEAM, LONG, [LONG, "short"]).build()
    with opened(browser, served.base) as (context, watch):
        page = context.new_page()
        sign_in(page, served.scene.operator)
        sign_in(page, secret)
        yield page, watch, paths


@pytest.mark.parametrize("name", [each for each in PATHS if each != "report-sent"])
def test_the_longest_names_widen_no_page(long: tuple[Page, Watch, dict[str, str]], name: str) -> None:
    """A report as it was sent is a mail, which has the width of its plots."""
    page, watch, paths = long
    page.goto(paths[name])
    page.wait_for_load_state("networkidle")
    page.locator("main details").evaluate_all(OPEN)
    for width in (1280, 320):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(BROKEN) == []
    if name == "missing":
        watch.errors.clear()  # the browser says that the answer was 404
    watch.check(page)


def test_paper_has_the_whole_address_the_period_and_the_zone(browser: Browser, served: Served) -> None:
    with opened(browser, served.base, timezone_id="Asia/Tokyo", color_scheme="dark") as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        path = f"/console/{TEAM}/results/?verdict=fail&range=24h"
        page.goto(path)
        foot = page.locator(".print-only")
        expect(foot).to_be_hidden()
        page.emulate_media(media="print")
        expect(foot).to_be_visible()
        assert served.base + path in foot.inner_text()
        assert len(re.findall(r"\d\d:\d\d:\d\d \+09:00", foot.inner_text())) == 2, "when the period begins and ends"
        assert "Asia/Tokyo" in foot.inner_text()
        for hidden in ("nav.side", "header.top", "form.filters", ".pager"):
            expect(page.locator(hidden)).to_be_hidden()


def test_details_are_open_on_paper_without_javascript_too(browser: Browser, served: Served) -> None:
    for script in (True, False):
        with opened(browser, served.base, java_script_enabled=script) as (context, _):
            page = context.new_page()
            sign_in(page, served.scene.secret)
            page.goto(pages_of(served.scene)["evaluation"])
            table = page.locator("details.data table").first
            expect(table).to_be_hidden()
            page.emulate_media(media="print")
            if script:
                page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
            expect(table).to_be_visible()


@pytest.mark.parametrize(("system", "theme"), [("dark", "light"), ("light", "dark"), ("dark", "system")])
def test_forced_colours_win_over_the_chosen_theme(browser: Browser, served: Served, system: str, theme: str) -> None:
    """Drawings keep their colours, which must then be seen on the ground of the system."""
    read = "([what, style]) => getComputedStyle(document.querySelector(what))[style]"
    ground = "() => getComputedStyle(document.body).backgroundColor"
    with opened(browser, served.base, color_scheme=system, forced_colors="active") as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.goto(pages_of(served.scene)["evaluation"])
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        dark = page.evaluate(ground) == "rgb(0, 0, 0)"
        assert dark is (system == "dark")
        assert page.evaluate(read, [".axis-text", "fill"]) == ("rgb(255, 255, 255)" if dark else "rgb(0, 0, 0)")
        for kind in ("c-pass", "c-fail", "c-na", "c-skip"):
            fill = [int(each) for each in re.findall(r"\d+", page.evaluate(read, [f"figure .{kind}", "fill"]))[:3]]
            assert min(contrast(fill, [level] * 3) for level in (0, 255)) >= 3, kind
        page.goto(pages_of(served.scene)["result-jury"])
        assert page.evaluate(read, [".verdict[data-open]", "outlineStyle"]) == "solid", (
            "its ground alone would not show which it is"
        )


def contrast(one: list[int], two: list[int]) -> float:
    """Return the contrast of two colours (WCAG 2.2)."""
    low, high = sorted(_luminance(each) for each in (one, two))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: list[int]) -> float:
    parts = [each / 255 for each in colour]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, served: Served) -> None:
    read = (
        "() => [...document.querySelectorAll('*')].filter((it) => parseFloat(getComputedStyle(it).transitionDuration))"
    )
    for motion, moves in (("reduce", False), ("no-preference", True)):
        with opened(browser, served.base, reduced_motion=motion) as (context, _):
            page = context.new_page()
            sign_in(page, served.scene.secret)
            page.goto(f"/console/{TEAM}/")
            assert bool(page.evaluate(f"({read})().length")) is moves


@pytest.mark.parametrize(("width", "density"), [(1280, 1), (320, 2)])
def test_the_plot_has_the_points_of_its_screen(browser: Browser, served: Served, width: int, density: int) -> None:
    screen = {"viewport": {"width": width, "height": 900}, "device_scale_factor": density}
    with opened(browser, served.base, **screen) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.goto(pages_of(served.scene)["cluster-run"])
        canvas = page.locator("canvas")
        expect(canvas).to_be_visible()
        drawn, shown = canvas.evaluate("(it) => [it.width, it.clientWidth]")
        assert abs(drawn - shown * density) <= 1


def test_a_queue_with_nothing_left_says_so_at_once(page: Page, served: Served) -> None:
    page.goto(f"/console/{TEAM}/labels/{served.scene.labelled_queue}/next/")
    expect(page.locator("main")).to_contain_text("Nothing is left")
    expect(page.locator("main button")).to_have_count(0)


def test_the_cost_of_an_unknown_price_is_told_in_words(page: Page, served: Served) -> None:
    page.goto(f"/console/{TEAM}/evaluations/{served.scene.evaluations[0].id}/edit/")
    page.click("button[value=ask-enable]")
    expect(page.locator("[aria-labelledby=ask]")).to_contain_text("The cost is not known")
