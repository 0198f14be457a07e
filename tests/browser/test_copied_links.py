"""A copied link shows the same to a reader of another zone, on the page, in its panels, and on the pages behind it."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from console.security import form_token, signed_notice
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import opened, sign_in

OFFSET = re.compile(r"\d\d:\d\d:\d\d ([+-]\d\d:\d\d)")
READ = "() => navigator.clipboard.readText()"


def settled(page: Page) -> str:
    """Return the text of a page whose panels have come."""
    page.wait_for_load_state("networkidle")
    expect(page.locator("main [aria-busy]")).to_have_count(0)
    expect(page.locator("main .state-error")).to_have_count(0)
    return re.sub(r"as of [^.]*", "", page.inner_text("main"))


@pytest.mark.parametrize("name", ["figures", "trust"])
def test_both_readers_see_the_same_panels(browser: Browser, served: Served, name: str) -> None:
    base = f"/console/{TEAM}/evaluations/{served.scene.evaluations[1].id}/"
    with opened(browser, served.base, timezone_id="Asia/Tokyo") as (context, watch):
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.goto(base + ("?range=24h" if name == "figures" else "trust/?range=7d"))
        first = settled(page)
        page.click("[data-copy-link]")
        expect(page.locator("[data-copied]")).to_have_text("Copied.")
        link = page.evaluate(READ)
        watch.check(page)
    state = {key: parse_qs(urlsplit(link).query)[key] for key in ("from", "to", "tz")}
    assert state["tz"] == ["Asia/Tokyo"]
    with opened(browser, served.base, timezone_id="America/New_York") as (context, watch):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.goto(link)
        second = settled(page)
        assert set(OFFSET.findall(second)) == {"+09:00"}
        stripped = re.sub(r"\n[^\n]* to [^\n]*\+09:00", "", second)
        assert stripped.split() == re.sub(r"\n[^\n]* to [^\n]*\+09:00", "", first).split()
        for panel in page.locator("section[data-src]").all():
            asked = parse_qs(urlsplit(panel.get_attribute("data-src") or "").query)
            assert {key: asked.get(key) for key in state} == state
        for place in ("nav.tabs a", "main form[method=get]"):
            assert page.locator(place).count() > 0
        for tab in page.locator("nav.tabs a").all():
            asked = parse_qs(urlsplit(tab.get_attribute("href") or "").query)
            assert {key: asked.get(key) for key in state} == state
        page.locator("main form[method=get] button").first.click()
        page.wait_for_url("**/*tz=Asia*")
        again = parse_qs(urlsplit(page.url).query)
        assert {key: again.get(key) for key in state} == state
        settled(page)
        page.locator("nav.side a", has_text="Results").click()
        assert parse_qs(urlsplit(page.url).query)["tz"] == ["Asia/Tokyo"]
        assert set(OFFSET.findall(settled(page))) == {"+09:00"}
        watch.check(page)


def test_thirty_days_replace_the_given_times(browser: Browser, served: Served) -> None:
    one = served.scene.evaluations[1].id
    with opened(browser, served.base) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        page.goto(f"/console/{TEAM}/evaluations/{one}/?from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&tz=Asia/Tokyo")
        page.get_by_role("link", name="Show 30 days").click()
        assert parse_qs(urlsplit(page.url).query) == {"range": ["30d"], "tz": ["Asia/Tokyo"]}
        expect(page.locator("figure").first).to_be_visible()


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("path", ["evaluations/?q=e&", "jobs/?", "evaluations/{}/trust/?", "evaluations/{}/edit/?"])
def test_a_notice_is_told_once(browser: Browser, served: Served, path: str, script: bool) -> None:
    """No link of the page tells it again, and with a script neither a reload nor the address that is copied does."""
    path = path.format(served.scene.evaluations[1].id)
    with opened(browser, served.base, java_script_enabled=script) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        token = page.locator("input[name=token]").first.get_attribute("value") or ""
        notices = {"done": signed_notice("It is done", token), "refused": signed_notice("1 refused", token)}
        page.goto(f"/console/{TEAM}/{path}{urlencode(notices)}")
        expect(page.locator("main .done")).to_contain_text("It is done")
        links = page.locator("main a, header a, nav a, footer a").all()
        found = [each.get_attribute("href") or "" for each in links]
        found += [each.get_attribute("value") or "" for each in page.locator("input[name=next]").all()]
        assert not [each for each in found if re.search("[?&](done|refused)=", each)]
        if script:
            assert page.url.partition("?")[2] == ("q=e" if "q=" in path else "")
            page.reload()
            expect(page.locator("main h1")).to_be_visible()
            expect(page.locator("main .done")).to_have_count(0)


@pytest.mark.parametrize("token", ["", form_token("the secret of another session")])
def test_a_notice_that_somebody_else_wrote_is_not_told(browser: Browser, served: Served, token: str) -> None:
    written = signed_notice("Call 555 to keep your account", token) if token else "Call 555 to keep your account"
    with opened(browser, served.base) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.secret)
        for path in ("evaluations/", "jobs/", "keys/"):
            page.goto(f"/console/{TEAM}/{path}?{urlencode({'done': written, 'refused': written})}")
            expect(page.locator("main h1")).to_be_visible()
            assert "555" not in page.locator("body").inner_text()


def test_a_dark_reader_prints_dark_on_white(browser: Browser, served: Served) -> None:
    read = (
        "() => Object.fromEntries([...'text pass fail na skip score accent surface mark'.split(' ')].map((name) => "
        "[name, getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim()]))"
    )
    seen = []
    for scheme, theme in (("light", "system"), ("dark", "system"), ("light", "dark")):
        with opened(browser, served.base, color_scheme=scheme) as (context, _):
            page = context.new_page()
            sign_in(page, served.scene.secret)
            page.goto(f"/console/{TEAM}/")
            page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
            page.emulate_media(media="print", color_scheme=scheme)
            seen.append(page.evaluate(read))
            assert page.evaluate("() => getComputedStyle(document.documentElement).colorScheme") == "light"
    assert seen[0] == seen[1] == seen[2]
