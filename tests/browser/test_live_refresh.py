"""The refresh of an open page: it says when it fails, ends with the session, and does not keep the session open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from api.serve import ApiServer
from config.settings import load_settings
from console.app import Console
from storage.sql.api_keys import ApiKeys
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import opened, sign_in
from tests.browser.test_shared_tables import reader_of

TURN_MS = 10_000
NOTICE = "main [data-notice]"
LIVE = {"X-Gavel-Fragment": "1", "X-Gavel-Live": "1"}


def open_overview(page: Page, secret: str) -> None:
    """Open the overview with a clock that the test moves."""
    page.clock.install()
    sign_in(page, secret)
    page.goto(f"/console/{TEAM}/")
    expect(page.locator("[data-live] .tiles")).to_be_visible()


def test_a_revoked_key_clears_the_part_and_offers_to_sign_in(browser: Browser, served: Served) -> None:
    keys = ApiKeys(served.services.database)
    key, secret = keys.create(team_id=TEAM, label="Eve", scopes=["*"], now=datetime.now(UTC))
    with opened(browser, served.base) as (context, _):
        page = context.new_page()
        open_overview(page, secret)
        keys.revoke(key.id, now=datetime.now(UTC))
        page.clock.run_for(TURN_MS)
        expect(page.locator(NOTICE)).to_contain_text("Your session is over.")
        expect(page.locator("[data-announce]")).to_contain_text("Your session is over.")
        expect(page.locator("[data-live]")).to_be_empty()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.run_for(3 * TURN_MS)
        assert asked == [], "nothing is asked for any more"
        page.locator(NOTICE).get_by_role("link", name="Sign in").click()
        expect(page.locator("#key")).to_be_visible()


def test_a_key_that_is_gone_clears_the_part_though_another_key_keeps_the_session(
    browser: Browser, served: Served
) -> None:
    keys = ApiKeys(served.services.database)
    key, secret = keys.create(team_id=TEAM, label="Eve", scopes=["*"], now=datetime.now(UTC))
    with opened(browser, served.base) as (context, _):
        page = context.new_page()
        sign_in(page, served.scene.operator)
        open_overview(page, secret)
        keys.revoke(key.id, now=datetime.now(UTC))
        page.clock.run_for(TURN_MS)
        expect(page.locator(NOTICE)).to_contain_text("Your key does not open this page any more.")
        expect(page.locator("[data-live]")).to_be_empty()


def test_a_server_that_is_away_is_told_with_the_time_and_its_return_too(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    overrides = {"data_dir": str(tmp_path), "clickhouse": {"dsn": served.clickhouse_dsn}, "api": {"port": 0}}
    server = ApiServer(load_settings(environ={}, overrides=overrides), served.services.database, console=Console)
    server.start()
    try:
        with opened(browser, f"http://127.0.0.1:{server.port}") as (context, _):
            page = context.new_page()
            open_overview(page, served.scene.secret)
            expect(page.locator(NOTICE)).to_be_hidden()
            server.stop()
            page.clock.run_for(TURN_MS)
            expect(page.locator(NOTICE)).to_contain_text("Not refreshed since")
            expect(page.locator("[data-announce]")).to_contain_text("the server did not answer")
            expect(page.locator("[data-live] .tiles")).to_be_visible()
    finally:
        server.stop()


@pytest.mark.parametrize("status", [500, 503])
def test_a_refusal_is_told_until_the_part_comes_again(browser: Browser, served: Served, status: int) -> None:
    with opened(browser, served.base) as (context, _):
        page = context.new_page()
        open_overview(page, served.scene.secret)
        page.route("**/part/", lambda route: route.fulfill(status=status, body="away"))
        page.clock.run_for(TURN_MS)
        expect(page.locator(NOTICE)).to_contain_text(f"because the answer was {status}")
        expect(page.locator("[data-live] .tiles")).to_be_visible()
        page.unroute("**/part/")
        page.clock.run_for(TURN_MS)
        expect(page.locator(NOTICE)).to_be_hidden()
        expect(page.locator("[data-announce]")).to_have_text("Refreshed again.")


def test_a_part_that_has_the_focus_says_that_it_is_old_and_follows_when_the_focus_leaves(
    browser: Browser, served: Served
) -> None:
    """A click on a table is enough to give it the focus, so old figures must not look like new ones."""

    def change(route: Route) -> None:
        answer = route.fetch(headers={**route.request.headers, "if-none-match": ""})
        route.fulfill(response=answer, body=answer.text().replace("<dt>Failures</dt>", "<dt>Failures now</dt>"))

    with opened(browser, served.base) as (context, _):
        page = context.new_page()
        open_overview(page, served.scene.secret)
        part, notice = page.locator("[data-live]"), page.locator(NOTICE)
        part.locator("a").first.focus()
        page.clock.run_for(TURN_MS)
        expect(notice).to_be_hidden()
        page.route("**/part/", change)
        page.clock.run_for(TURN_MS)
        expect(notice).to_contain_text("because the focus is in it")
        expect(part.locator("a").first).to_be_focused()
        expect(part).not_to_contain_text("Failures now")
        page.locator("[data-pause]").focus()
        expect(part).to_contain_text("Failures now")
        expect(notice).to_be_hidden()


def test_a_page_that_nobody_reads_does_not_keep_its_session(served: Served) -> None:
    clock = [datetime.now(UTC)]
    console = Console(replace(served.services, now=lambda: clock[0]))
    left, used = reader_of(console, served, "*"), reader_of(console, served, "*")
    seen = []
    for _ in range(3):
        clock[0] += timedelta(hours=5)
        path = f"/console/{TEAM}/jobs/part/"
        own = used.get(path, headers={"X-Gavel-Fragment": "1"}).status_code
        seen.append((left.get(path, headers=LIVE).status_code, own))
    assert seen == [(200, 200), (200, 200), (401, 200)], "12 idle hours are over for the first reader alone"
