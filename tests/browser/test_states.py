"""Each state of a page: nothing there, nothing matches, something does not answer, too large, not allowed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, expect

from storage.clickhouse import connect, load_migrations, migrate
from storage.sql.api_keys import ApiKeys
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import opened, sign_in
from tests.services.clickhouse_http import ClickHouseFront
from tests.services.ports import free_ports
from tests.services.tcp_proxy import TcpProxy
from tests.services.waiting import PATIENCE_S

SINCE = re.compile(r"away since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+00:00")
SAME = {"Sec-Fetch-Site": "same-origin"}
EMPTY_TEAM = 8


@contextmanager
def client(served: Served, team: int = TEAM, base: str = "") -> Iterator[httpx.Client]:
    _, secret = ApiKeys(served.services.database).create(team_id=team, label="Stan", scopes=["*"], now=scenes.utc_now())
    with httpx.Client(base_url=base or served.base, follow_redirects=False, timeout=PATIENCE_S) as made:
        assert made.post("/console/sign-in/", data={"key": secret}, headers=SAME).status_code == 303
        yield made


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


def test_an_empty_team_is_told_what_to_do_next(served: Served) -> None:
    with client(served, EMPTY_TEAM) as http:
        for path, words in (
            ("", "Write the first one"), ("evaluations/", "gavel evaluations apply"), ("results/", "No results"),
            ("jobs/", "No backfill"), ("datasets/", "No dataset yet"), ("keys/", "No provider key"),
            ("audit/", "api key created"), ("audit/?cursor=1", "Nothing was changed yet"),
        ):  # fmt: skip
            assert words in http.get(f"/console/{EMPTY_TEAM}/{path}").text, path


def test_a_refused_form_leads_back_to_its_page(http: httpx.Client, served: Served) -> None:
    """Forms for a part of a page are sent to addresses that cannot be opened, and another try there finds nothing."""
    base, scene = f"/console/{TEAM}/", served.scene
    generation, result = f"generations/{scene.events[-1]}/", f"results/{scene.results[-1][0]}/"
    trust = f"evaluations/{scene.evaluations[1].id}/trust/"
    token = re.findall(r'name="token" value="([^"]+)"', http.get(base).text)[0]
    for path, page in (
        (f"{generation}judge/", generation), (f"{generation}dataset/", generation), (f"{result}label/", result),
        (trust, trust), (f"datasets/{scene.dataset}/",) * 2, ("labels/", "labels/"), ("jobs/", "jobs/"),
    ):  # fmt: skip
        refused = http.post(base + path, data={"token": token, "evaluation": "none", "kind": "none"}, headers=SAME)
        assert refused.status_code in (400, 404), path
        assert re.findall(r'<a class="button" href="([^"]*)">Back to the page</a>', refused.text) == [base + page]
        assert http.get(base + page).status_code == 200


def test_a_filter_that_matches_nothing_offers_to_remove_it(http: httpx.Client) -> None:
    assert "Remove all filters" in http.get(f"/console/{TEAM}/results/?q=nowhere-to-be-found").text
    assert "No evaluation matches" in http.get(f"/console/{TEAM}/evaluations/?q=nowhere-to-be-found").text


@pytest.mark.parametrize(
    "path",
    ["results/?from=soon", "results/?from=2026-02-01&to=2026-01-01", "results/?cursor=abc", "results/?from=0001-01-01",
     "?to=0001-01-01T00:00:00%2B14:00", "?to=9999-12-31T23:00:00-12:00"],
)  # fmt: skip
def test_a_bad_parameter_is_a_refusal_with_an_id(http: httpx.Client, path: str) -> None:
    answer = http.get(f"/console/{TEAM}/{path}")
    assert answer.status_code == 400
    assert re.search(r"Error id [0-9a-f]{8}", answer.text)


def test_without_clickhouse_definitions_are_shown_and_the_page_says_what_is_missing(
    served: Served, tmp_path: Path
) -> None:
    from functools import partial

    from api.serve import ApiServer
    from config.settings import load_settings
    from console.app import Console

    [port] = free_ports(1)
    settings = load_settings(
        environ={},
        overrides={
            "data_dir": str(tmp_path),
            "clickhouse": {"dsn": f"http://default@127.0.0.1:{port}/gavel"},
            "api": {"port": 0},
        },
    )
    server = ApiServer(settings, served.services.database, console=partial(Console))
    server.start()
    try:
        with client(served, base=f"http://127.0.0.1:{server.port}") as http:
            overview = http.get(f"/console/{TEAM}/")
            assert overview.status_code == 200
            assert "ClickHouse does not answer" in overview.text
            since = SINCE.search(overview.text)
            assert since is not None
            evaluation = served.scene.evaluations[0].id
            shown = http.get(f"/console/{TEAM}/evaluations/{evaluation}/")
            assert shown.status_code == 200
            assert "Pass if the reply" in shown.text
            assert http.get(f"/console/{TEAM}/evaluations/").status_code == 200
            refused = http.get(f"/console/{TEAM}/results/")
            assert refused.status_code == 503
            assert "Try again" in refused.text
            assert since.group() in refused.text, "the time is of the first query that found it away"
            assert http.get(f"/console/{TEAM}/jobs/").status_code == 200
    finally:
        server.stop()


def test_with_the_tables_of_an_earlier_release_the_page_names_the_command_and_recovers_by_itself(
    served: Served, tmp_path: Path
) -> None:
    from functools import partial

    from api.serve import ApiServer
    from config.settings import load_settings
    from console.app import Console

    with ClickHouseFront(tmp_path / "server") as front:
        with closing(connect(front.dsn)) as before:
            migrate(before, [each for each in load_migrations() if each.version < 9])
        overrides = {"data_dir": str(tmp_path), "clickhouse": {"dsn": front.dsn}, "api": {"port": 0}}
        settings = load_settings(environ={}, overrides=overrides)
        server = ApiServer(settings, served.services.database, console=partial(Console))
        server.start()
        try:
            with client(served, base=f"http://127.0.0.1:{server.port}") as http:
                refused = http.get(f"/console/{TEAM}/results/")
                assert refused.status_code == 503
                assert "ClickHouse is not ready for this release" in refused.text
                assert "run `gavel init`" in refused.text
                assert "away since" not in refused.text
                with closing(connect(front.dsn)) as after:
                    migrate(after)
                assert http.get(f"/console/{TEAM}/results/").status_code == 200
        finally:
            server.stop()


def test_a_part_that_clickhouse_holds_up_says_so_and_the_rest_of_the_page_is_there(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    """The deadline is the real one of three seconds, and ClickHouse does not answer until the reader has seen it."""
    from api.serve import ApiServer
    from config.settings import load_settings
    from console.app import Console

    target = urlsplit(served.clickhouse_dsn)
    assert target.port is not None
    with TcpProxy(target.port) as proxy:
        dsn = served.clickhouse_dsn.replace(f":{target.port}/", f":{proxy.port}/")
        overrides = {"data_dir": str(tmp_path), "clickhouse": {"dsn": dsn}, "api": {"port": 0}}
        server = ApiServer(load_settings(environ={}, overrides=overrides), served.services.database, console=Console)
        server.start()
        proxy.stall()
        try:
            with opened(browser, f"http://127.0.0.1:{server.port}", stretch=1) as (context, _):
                page = context.new_page()
                trust = f"/console/{TEAM}/evaluations/{served.scene.evaluations[1].id}/trust/"
                sign_in(page, served.scene.secret, trust)
                panel = page.locator("section[data-src*='/trust/figures/']")
                expect(panel.get_by_role("alert")).to_contain_text("This part did not come in time.")
                expect(page.locator("h1")).to_have_text("Trust in Polite tone")
                expect(page.locator("h2", has_text="Measurements")).to_be_visible()
                proxy.resume()
                page.evaluate("AbortSignal.timeout = () => null")
                panel.get_by_role("button", name="Try again").click()
                expect(panel.locator(".tiles")).to_be_visible()
        finally:
            proxy.resume()
            server.stop()


def test_without_kafka_only_the_dead_letters_are_missing(served: Served, tmp_path: Path) -> None:
    from functools import partial

    from api.serve import ApiServer
    from cli.letter_desk import KafkaLetterDesk
    from config.settings import load_settings
    from console.app import Console
    from processor.kafka import KafkaClients

    [port] = free_ports(1)
    overrides = {
        "data_dir": str(tmp_path), "clickhouse": {"dsn": served.clickhouse_dsn}, "api": {"port": 0},
        "kafka": {"bootstrap_servers": f"127.0.0.1:{port}"},
    }  # fmt: skip
    settings = load_settings(environ={}, overrides=overrides)
    desk = KafkaLetterDesk(settings, KafkaClients(settings), timeout_s=1)
    server = ApiServer(settings, served.services.database, console=partial(Console, letters=desk))
    server.start()
    try:
        base = f"http://127.0.0.1:{server.port}"
        with client(served, base=base) as http:
            assert http.get(f"/console/{TEAM}/results/").status_code == 200
            http.post("/console/sign-in/", data={"key": served.scene.operator}, headers=SAME)
            assert http.get("/console/operations/health/").status_code == 200
            letters = http.get("/console/operations/dead-letters/list/", timeout=PATIENCE_S)
            assert letters.status_code == 503
            assert "Kafka" in letters.text
            assert "all pages of teams still work" in letters.text
            since = SINCE.search(letters.text)
            assert since is not None
            again = http.get("/console/operations/dead-letters/list/", timeout=PATIENCE_S)
            assert since.group() in again.text, "the time is of the first page that found it away"
    finally:
        server.stop()


def test_without_the_store_the_page_says_so_and_comes_back_with_it(
    served: Served, postgres_dsn: str, tmp_path: Path
) -> None:
    from api.serve import ApiServer
    from config.settings import load_settings
    from console.app import Console
    from storage.sql.engine import open_database
    from storage.sql.migrations import upgrade

    target = urlsplit(postgres_dsn.replace("postgresql+psycopg", "postgresql"))
    with TcpProxy(target.port) as proxy:
        database = open_database(postgres_dsn.replace(f":{target.port}/", f":{proxy.port}/"))
        upgrade(database)
        overrides = {"data_dir": str(tmp_path), "clickhouse": {"dsn": served.clickhouse_dsn}, "api": {"port": 0}}
        server = ApiServer(load_settings(environ={}, overrides=overrides), database, console=Console)
        server.start()
        try:
            _, secret = ApiKeys(database).create(team_id=TEAM, label="Stan", scopes=["*"], now=scenes.utc_now())
            with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE_S) as http:
                http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
                proxy.refuse()
                away = http.get(f"/console/{TEAM}/evaluations/")
                assert away.status_code == 503
                assert "The store does not answer" in away.text
                assert "Events are still judged" in away.text
                since = SINCE.search(away.text)
                assert since is not None
                time.sleep(1)
                assert since.group() in http.get(f"/console/{TEAM}/").text, "the first page found it away"
                form = httpx.get(f"{http.base_url}/console/sign-in/", timeout=PATIENCE_S)
                assert (form.status_code, "API key" in form.text) == (200, True), "the form alone needs no store"
                refused = http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
                assert refused.status_code == 503
                proxy.resume()
                assert http.get(f"/console/{TEAM}/evaluations/").status_code == 200
                proxy.refuse()
                assert since.group() not in http.get(f"/console/{TEAM}/").text, "it was there in between"
        finally:
            server.stop()
            database.close()


def test_a_read_only_console_refuses_every_change(served: Served, tmp_path: Path) -> None:
    from api.serve import ApiServer
    from config.settings import load_settings
    from console.app import Console

    overrides = {
        "data_dir": str(tmp_path), "clickhouse": {"dsn": served.clickhouse_dsn}, "api": {"port": 0},
        "console": {"read_only": True},
    }  # fmt: skip
    server = ApiServer(load_settings(environ={}, overrides=overrides), served.services.database, console=Console)
    server.start()
    try:
        with client(served, base=f"http://127.0.0.1:{server.port}") as http:
            page = http.get(f"/console/{TEAM}/evaluations/").text
            assert "read-only" in page
            assert "Enable chosen" not in page
            token = "0" * 64
            data = {"token": token, "id": served.scene.evaluations[1].id, "action": "pause"}
            assert http.post(f"/console/{TEAM}/evaluations/", data=data, headers=SAME).status_code == 403
    finally:
        server.stop()


def put(served: Served, question: object, answer: object) -> str:
    uuid = str(uuid4())
    row = scenes.event_row(TEAM, uuid, "t-large", scenes.utc_now() - timedelta(minutes=3), "m", question, answer)
    scenes.insert(served.clickhouse_dsn, "ai_events", [row])
    return uuid


def test_a_message_of_8_mib_is_cut_and_says_so(http: httpx.Client, served: Served) -> None:
    page = http.get(f"/console/{TEAM}/generations/{put(served, 'a b ' * 2_000_000, 'fine')}/")
    assert page.status_code == 200
    assert len(page.content) < 300_000
    assert "more characters are left out" in page.text


def test_a_thousand_messages_come_in_parts(http: httpx.Client, served: Served) -> None:
    import json

    uuid = str(uuid4())
    row = scenes.event_row(TEAM, uuid, "t-many", scenes.utc_now() - timedelta(minutes=3), "m", "q", "a")
    many = [{"role": "user", "content": f"message {place}"} for place in range(1000)]
    row["properties"] = json.dumps(json.loads(row["properties"]) | {"$ai_input": many})
    scenes.insert(served.clickhouse_dsn, "ai_events", [row])
    page = http.get(f"/console/{TEAM}/generations/{uuid}/").text
    assert page.count('<article class="turn') == 200
    assert "801" in page
    assert "message 999" in http.get(f"/console/{TEAM}/generations/{uuid}/?turn=800").text


def test_text_from_right_to_left_keeps_its_direction_to_itself(http: httpx.Client, served: Served) -> None:
    event = put(served, "שלום \u202e evil", "مرحبا")
    page = http.get(f"/console/{TEAM}/generations/{event}/").text
    assert 'dir="auto"' in page
    assert "\u202e" not in page
    assert "U+202E" in page
