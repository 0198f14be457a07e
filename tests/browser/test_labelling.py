"""Labelling in the browser: with single keys, blind, undone where it is refused, and without a script."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from api.services import label_desk
from config.definitions import Evaluation
from storage.sql.api_keys import ApiKey, ApiKeys
from storage.sql.labels import LabelQuery, Labels
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import opened, sign_in
from tests.browser.test_pages import violations
from tests.services.waiting import PATIENCE_S

SAME = {"Sec-Fetch-Site": "same-origin"}


MANY = """async (count) => {
  const item = () => document.querySelector("[data-item]").dataset.item;
  for (let place = 0; place < count; place += 1) {
    const before = item();
    for (const key of ["p", "Enter"]) document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    while (item() === before) {
      if (document.querySelector("[data-refused]:not([hidden])")) throw new Error("a label was refused");
      await new Promise((done) => setTimeout(done, 5));
    }
  }
}"""
"""Labels as many items with keys, one as soon as the one before is gone; from within, because that is much quicker."""


@pytest.fixture
def caller(served: Served) -> ApiKey:
    keys = ApiKeys(served.services.database)
    return keys.create(team_id=TEAM, label="Qi", scopes=["*"], now=scenes.utc_now())[0]


def queue_of(served: Served, caller: ApiKey, evaluation: Evaluation, size: int, **fields: object) -> str:
    start = (scenes.utc_now() - scenes.timedelta(days=8)).isoformat()
    given = {"evaluation": evaluation.id, "size": size, "overlap": 0, "window_start": start, **fields}
    return label_desk.create_queue(served.services, caller, given).id


@pytest.fixture
def labeller(browser: Browser, served: Served) -> Iterator[tuple[Page, str]]:
    """A page of somebody whose key may only label, and how the store calls him."""
    keys = ApiKeys(served.services.database)
    key, secret = keys.create(team_id=TEAM, label="Lea", scopes=["label:write"], now=scenes.utc_now())
    with opened(browser, served.base) as (context, watch):
        page = context.new_page()
        sign_in(page, secret)
        page.wait_for_url("**/labels/")
        yield page, key.owner
        # The browser writes that an answer was a refusal, as one test wants it.
        watch.errors[:] = [each for each in watch.errors if "a status of 4" not in each]
        watch.check(page)


def labels_of(served: Served, owner: str) -> list[dict[str, object]]:
    found = Labels(served.services.database).each(TEAM, LabelQuery(labeller=owner))
    return [dict(each.verdict) for each in found]


def item_id(page: Page) -> str:
    return page.get_attribute("[data-item]", "data-item") or ""


def take(page: Page, queue: str) -> None:
    page.goto(f"/console/{TEAM}/labels/{queue}/next/")
    page.click("main button.primary")
    page.wait_for_selector("[data-item]")
    expect(page.locator("[data-keys]")).to_be_visible()


def save_with(page: Page, *keys: str) -> None:
    before = item_id(page)
    with page.expect_response(lambda answer: answer.request.method == "POST" and f"/items/{before}/" in answer.url):
        for key in keys:
            page.keyboard.press(key)
    expect(page.locator(f"[data-item='{before}']")).to_have_count(0)


def test_who_may_only_label_sees_the_queues_and_neither_sampling_nor_verdicts(
    labeller: tuple[Page, str], served: Served, caller: ApiKey
) -> None:
    page, _ = labeller
    queue = queue_of(served, caller, served.scene.evaluations[1], 3, mode="random")
    page.reload()
    assert page.locator("nav.side li").all_inner_texts() == ["Labels"]
    assert "random" not in page.inner_text("main")
    take(page, queue)
    shown = page.inner_text("main")
    assert "The answer insults the user" not in shown
    assert page.locator(".outcome").count() == 0
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 320, "height": 800})
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    for path in (f"labels/{queue}/", "results/", "", "golden-sets/"):
        assert page.request.get(f"/console/{TEAM}/{path}").status == 403, path


def test_single_keys_label_and_go_on_and_lead_back(labeller: tuple[Page, str], served: Served, caller: ApiKey) -> None:
    page, owner = labeller
    take(page, queue_of(served, caller, served.scene.evaluations[0], 6, version=1))
    first = item_id(page)
    expect(page.locator("[data-item] progress")).to_have_attribute("value", "0")
    save_with(page, "p", "Enter")
    expect(page.locator("[data-item] progress")).to_have_attribute("max", "6")
    save_with(page, "f", "c", *"bad", "Escape", "Enter")
    save_with(page, "n", "Enter")
    save_with(page, "u", "Enter")
    assert labels_of(served, owner) == [
        {"applicable": True, "result": True}, {"applicable": True, "result": False}, {"applicable": False},
        {"unsure": True},
    ]  # fmt: skip
    save_with(page, "s")
    last = item_id(page)
    page.goto(f"/console/{TEAM}/labels/{page.url.split('/labels/')[1].split('/')[0]}/items/{first}/")
    assert page.is_checked("[data-choice=pass]")
    assert last not in ("", first)


def test_scores_have_keys_and_keys_can_be_changed_and_switched_off(
    labeller: tuple[Page, str], served: Served, caller: ApiKey
) -> None:
    page, owner = labeller
    take(page, queue_of(served, caller, served.scene.evaluations[3], 4))
    save_with(page, "4", "Enter")
    assert labels_of(served, owner) == [{"applicable": True, "score": 4.0}]
    page.click("[data-keys] summary")
    page.fill("[data-key=unsure]", "x")
    page.click("h1")
    page.keyboard.press("u")
    assert page.locator("input:checked[name=verdict]").count() == 0
    page.keyboard.press("x")
    assert page.is_checked("[data-choice=unsure]")
    page.uncheck("[data-keys-on]")
    page.click("h1")
    page.keyboard.press("3")
    assert page.is_checked("[data-choice=unsure]")


def test_a_label_that_is_refused_comes_back_with_the_reason(
    labeller: tuple[Page, str], served: Served, caller: ApiKey
) -> None:
    page, owner = labeller
    queue = queue_of(served, caller, served.scene.evaluations[1], 3)
    take(page, queue)
    first = item_id(page)
    page.evaluate("document.querySelector('[data-label-form]').setAttribute('action', location.pathname + 'x/')")
    page.keyboard.press("p")
    page.keyboard.press("Enter")
    expect(page.locator("[data-refused]")).to_be_visible()
    assert item_id(page) == first
    assert page.is_checked("[data-choice=pass]")
    assert labels_of(served, owner) == []


def test_the_judge_is_revealed_after_the_label_where_the_queue_allows_it(
    labeller: tuple[Page, str], served: Served, caller: ApiKey
) -> None:
    page, _ = labeller
    take(page, queue_of(served, caller, served.scene.evaluations[1], 3, reveal=True))
    assert "judge says" not in page.inner_text("main")
    save_with(page, "p", "Enter")
    expect(page.locator("[data-revealed]")).to_contain_text("The judge says of the item before")


def test_many_items_in_a_row_do_not_fill_the_memory(labeller: tuple[Page, str], served: Served, caller: ApiKey) -> None:
    page, owner = labeller
    take(page, queue_of(served, caller, served.scene.evaluations[1], 204))
    session = page.context.new_cdp_session(page)

    def used() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 2**20

    save_with(page, "p", "Enter")
    before = used()
    page.evaluate(MANY, 200)
    page.wait_for_load_state("networkidle")
    save_with(page, "u", "Enter")
    assert used() - before < 20
    assert len(labels_of(served, owner)) >= 199


def test_without_a_script_each_answer_leads_to_the_next_item(served: Served, caller: ApiKey) -> None:
    queue = queue_of(served, caller, served.scene.evaluations[1], 2)
    _, secret = ApiKeys(served.services.database).create(
        team_id=TEAM, label="Plain", scopes=["label:write"], now=scenes.utc_now()
    )
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
        token = http.get(f"/console/{TEAM}/labels/").text.partition('name="token" value="')[2].partition('"')[0]
        address = f"/console/{TEAM}/labels/{queue}/next/"
        for answer in ("pass", "fail"):
            led = http.post(address, data={"token": token}, headers=SAME)
            assert led.status_code == 303
            address = led.headers["location"] if answer == "pass" else address
            item = led.headers["location"].partition("?")[0]
            refused = http.post(item, data={"token": token, "action": "save"}, headers=SAME)
            assert "Choose an answer first" in refused.text
            http.post(item, data={"token": token, "action": "save", "verdict": answer}, headers=SAME)
            address = f"/console/{TEAM}/labels/{queue}/next/"
        end = http.post(address, data={"token": token}, headers=SAME)
        assert end.headers["location"].endswith("left=none")
        assert "Nothing is left" in http.get(end.headers["location"]).text


def test_opening_the_page_of_the_next_item_takes_none(served: Served, caller: ApiKey) -> None:
    queue = queue_of(served, caller, served.scene.evaluations[1], 2)
    _, secret = ApiKeys(served.services.database).create(team_id=TEAM, label="Look", scopes=["*"], now=scenes.utc_now())
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
        http.get(f"/console/{TEAM}/labels/{queue}/next/")
    row = label_desk.queue_row(served.services, TEAM, queue)
    assert label_desk.progress_of(served.services, row).leased == 0
