"""Signing in, and what a session may do: CSRF, other teams, revoked keys, links that work once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from api.serve import ApiServer
from api.services.console_access import sign_in_path
from config.settings import load_settings
from console.app import Console
from storage.sql.api_keys import ApiKeys
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import Watch, sign_in
from tests.services.waiting import PATIENCE_S

SAME = {"Sec-Fetch-Site": "same-origin"}
Context = tuple[BrowserContext, Watch]


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """A client that follows no redirects and has no session."""
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as client:
        yield client


def enter(http: httpx.Client, secret: str) -> None:
    answer = http.post("/console/sign-in/", data={"key": secret, "next": "/console/"}, headers=SAME)
    assert answer.status_code == 303, answer.text


def test_a_wrong_key_is_refused_and_a_good_one_opens_the_page_that_was_asked_for(
    context: Context, served: Served
) -> None:
    page = context[0].new_page()
    page.goto(f"/console/{TEAM}/results/?verdict=fail")
    page.fill("#key", "gvl_wrong")
    page.click("main button.primary")
    assert "not valid" in page.inner_text("[role=alert]")
    page.fill("#key", served.scene.secret)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/{TEAM}/results/?verdict=fail")
    [cookie] = [each for each in context[0].cookies() if each["name"] == "gavel"]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Lax"
    assert served.scene.secret not in cookie["value"]


def test_over_https_the_cookie_is_bound_to_the_host(http: httpx.Client, served: Served) -> None:
    """A proxy that ends TLS on this machine is trusted to say so, as uvicorn's own rule is."""
    headers = SAME | {"X-Forwarded-Proto": "https"}
    answer = http.post("/console/sign-in/", data={"key": served.scene.secret}, headers=headers)
    cookie = next(each for each in answer.headers.get_list("set-cookie") if each.startswith("__Host-gavel="))
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    # The plain cookie of the same secret opens nothing over HTTPS.
    secret = cookie.split("=", 1)[1].split(";")[0]
    asked = http.get(f"/console/{TEAM}/", headers={"X-Forwarded-Proto": "https", "Cookie": f"gavel={secret}"})
    assert asked.status_code == 303


def test_plain_http_takes_no_key_under_a_foreign_name(http: httpx.Client, served: Served) -> None:
    headers = SAME | {"Host": "gavel.example"}
    answer = http.post("/console/sign-in/", data={"key": served.scene.secret}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_form_of_another_origin_changes_nothing(http: httpx.Client, served: Served, headers: dict[str, str]) -> None:
    enter(http, served.scene.secret)
    token = form_token(http)
    evaluation = served.scene.evaluations[1]
    data = {"token": token, "id": evaluation.id, "action": "pause", "next": f"/console/{TEAM}/evaluations/"}
    assert http.post(f"/console/{TEAM}/evaluations/", data=data, headers=headers).status_code == 403
    assert http.post("/console/sign-out/", data={"a": "b"}, headers=headers).status_code == 403


def test_a_form_needs_the_token_of_its_session(http: httpx.Client, served: Served) -> None:
    enter(http, served.scene.secret)
    data = {"id": served.scene.evaluations[1].id, "action": "pause", "next": "/console/"}
    for token in ({}, {"token": ""}, {"token": "0" * 64}):
        assert http.post(f"/console/{TEAM}/evaluations/", data=data | token, headers=SAME).status_code == 403


def test_a_get_changes_nothing(http: httpx.Client, served: Served) -> None:
    enter(http, served.scene.secret)
    token = form_token(http)
    query = {"token": token, "id": served.scene.evaluations[1].id, "action": "pause"}
    assert http.get(f"/console/{TEAM}/evaluations/", params=query).status_code == 200
    assert served.services.database is not None
    listed = http.get(f"/console/{TEAM}/evaluations/", params={"status": "active"}).text
    assert "Polite tone" in listed
    for path in ("sign-out/", "preferences/"):
        assert http.get(f"/console/{path}").status_code == 404


def test_a_page_of_another_team_is_not_there(http: httpx.Client, served: Served) -> None:
    enter(http, served.scene.secret)
    for team in (TEAM + 1, 0, "abc", "9" * 30):
        answer = http.get(f"/console/{team}/")
        assert answer.status_code == 404
        assert "Nothing is here" in answer.text
    assert http.get("/console/operations/health/").status_code == 404


def test_a_revoked_key_ends_the_session_at_once(context: Context, served: Served) -> None:
    keys = ApiKeys(served.services.database)
    now = datetime.now(UTC)
    key, secret = keys.create(team_id=TEAM, label="Eve", scopes=["*"], now=now)
    page = context[0].new_page()
    sign_in(page, secret)
    page.wait_for_url(f"**/console/{TEAM}/")
    keys.revoke(key.id, now=now)
    page.reload()
    assert "/console/sign-in/" in page.url


def test_an_expired_key_opens_nothing(http: httpx.Client, served: Served) -> None:
    now = datetime.now(UTC)
    keys = ApiKeys(served.services.database)
    _, secret = keys.create(team_id=TEAM, label="Old", scopes=["*"], now=now, expires_at=now - timedelta(seconds=1))
    answer = http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
    assert answer.status_code == 401


def test_a_link_signs_in_once(context: Context, served: Served) -> None:
    keys = ApiKeys(served.services.database)
    key = next(each for each in keys.list(TEAM) if each.label == "Ann Lee")
    path = sign_in_path(served.services.database, key, now=datetime.now(UTC))
    first = context[0].new_page()
    first.goto(path)
    first.click("text=Open the console")
    first.wait_for_url(f"**/console/{TEAM}/")
    second = context[0].new_page()
    second.goto(path)
    second.click("text=Open the console")
    assert "used already" in second.inner_text("[role=alert]")


def test_two_keys_give_two_teams(context: Context, served: Served) -> None:
    page: Page = context[0].new_page()
    sign_in(page, served.scene.secret)
    sign_in(page, served.scene.operator)
    page.goto(f"/console/{TEAM}/")
    assert "OPERATIONS" in page.inner_text("nav")


@pytest.mark.parametrize(
    ("scopes", "page"),
    [(["*"], ""), (["dataset:read"], "datasets/"), (["label:write"], "labels/"), (["llm_analytics:read"], "reports/")],
)
def test_a_key_leads_to_the_first_page_that_it_opens(
    http: httpx.Client, served: Served, scopes: list[str], page: str
) -> None:
    keys, now = ApiKeys(served.services.database), datetime.now(UTC)
    _, secret = keys.create(team_id=TEAM + 1, label="Few", scopes=scopes, now=now)
    entered = http.post("/console/sign-in/", data={"key": secret, "next": "/console/"}, headers=SAME)
    assert entered.headers["location"] == f"/console/{TEAM + 1}/{page}"
    enter(http, served.scene.secret)
    assert f'href="/console/{TEAM + 1}/{page}">Team {TEAM + 1}</a>' in http.get(f"/console/{TEAM}/").text
    assert http.get(f"/console/{TEAM + 1}/{page}").status_code == 200


def test_the_address_of_operations_leads_to_the_first_of_their_pages(http: httpx.Client, served: Served) -> None:
    enter(http, served.scene.operator)
    assert http.get("/console/operations/").headers["location"] == "/console/operations/health/"


def test_a_key_shows_only_what_its_scopes_allow(http: httpx.Client, served: Served) -> None:
    enter(http, served.scene.reader)
    page = http.get(f"/console/{TEAM}/evaluations/").text
    assert "Enable chosen" not in page
    assert "Provider keys" not in page
    data = {"token": form_token(http), "id": served.scene.evaluations[1].id, "action": "pause"}
    refused = http.post(f"/console/{TEAM}/evaluations/", data=data, headers=SAME)
    assert refused.status_code == 403
    assert "evaluation:write" in refused.text


def test_every_answer_has_the_headers(http: httpx.Client, served: Served) -> None:
    enter(http, served.scene.secret)
    asset = served_asset(http)
    twice = [("Host", urlsplit(served.base).netloc), ("Content-Type", "text/plain"), ("Content-Type", "text/html")]
    answers = {
        "page": http.get("/console/sign-in/"),
        "page of a team": http.get(f"/console/{TEAM}/"),
        "404": http.get(f"/console/{TEAM}/nothing/"),
        "no such asset": http.get("/console/assets/nothing.js"),
        "asset": http.get(asset),
        "405": http.put("/console/sign-in/"),
        "redirect to the slash": http.get(f"/console/{TEAM}/jobs"),
        "redirect of the router": http.get("/console/sign-in"),
        "two meanings": http.get("/console/sign-in/", headers=twice),
        "not a form": http.post("/console/sign-in/", content=b"{}", headers=SAME),
    }
    assert (answers["405"].status_code, answers["two meanings"].status_code) == (405, 400)
    for name, answer in answers.items():
        headers = answer.headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy, name
        assert "require-trusted-types-for 'script'" in policy, name
        assert "unsafe" not in policy, name
        assert headers["x-content-type-options"] == "nosniff", name
        assert headers["referrer-policy"] == "no-referrer", name
        assert headers["cross-origin-opener-policy"] == "same-origin", name
        assert headers["cross-origin-resource-policy"] == "same-origin", name
        assert headers["strict-transport-security"] == "max-age=86400", name
        cached = "public, max-age=31536000, immutable" if name == "asset" else "no-store"
        assert headers["cache-control"] == cached, name


def served_asset(http: httpx.Client) -> str:
    """Return the address of the stylesheet."""
    return http.get("/console/sign-in/").text.partition('rel="stylesheet" href="')[2].partition('"')[0]


@pytest.mark.parametrize("path", ["sign-out/", "preferences/"])
def test_forms_of_every_page_carry_the_token_of_the_session(http: httpx.Client, served: Served, path: str) -> None:
    enter(http, served.scene.secret)
    given = {"next": "/console/", "theme": "dark"}
    for token in ({}, {"token": "0" * 64}):
        assert http.post(f"/console/{path}", data=given | token, headers=SAME).status_code == 403
    assert http.get(f"/console/{TEAM}/").status_code == 200
    assert http.post(f"/console/{path}", data=given | {"token": form_token(http)}, headers=SAME).status_code == 303


def test_a_proxy_that_ends_tls_must_say_so(served: Served, tmp_path: Path) -> None:
    """`public_url` alone does not make a connection private: a browser can reach the port past the proxy."""
    with beside(served, tmp_path, public_url="https://gavel.example") as http:
        foreign = {"Origin": "https://gavel.example", "Host": "gavel.example"}
        data = {"key": served.scene.secret}
        direct = http.post("/console/sign-in/", data=data, headers=foreign)
        assert direct.status_code == 403
        assert "set-cookie" not in direct.headers
        assert "X-Forwarded-Proto" in http.get("/console/sign-in/", headers=foreign).text
        sent = foreign | {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
        answer = http.post("/console/sign-in/", data=data, headers=sent)
        assert answer.status_code == 303
        assert "__Host-gavel=" in answer.headers["set-cookie"]


def test_too_many_wrong_keys_of_one_address_are_refused_and_a_good_one_is_not(served: Served, tmp_path: Path) -> None:
    with beside(served, tmp_path, unauthorized_per_minute=1) as http:
        answers = [http.post("/console/sign-in/", data={"key": "gvl_wrong"}, headers=SAME) for _ in range(22)]
        assert [each.status_code for each in answers[:20]] == [401] * 20
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
        assert "throttled" in answers[-1].text
        enter(http, served.scene.secret)


@contextmanager
def beside(served: Served, folder: Path, **api: Any) -> Iterator[httpx.Client]:
    """Give a client of another server over the same stores, with settings of the API of its own."""
    overrides = {"data_dir": str(folder), "clickhouse": {"dsn": served.clickhouse_dsn}, "api": {"port": 0, **api}}
    settings = load_settings(environ={}, overrides=overrides)
    server = ApiServer(settings, served.services.database, console=Console)
    server.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=PATIENCE_S) as client:
            yield client
    finally:
        server.stop()


def form_token(http: httpx.Client) -> str:
    page = http.get(f"/console/{TEAM}/").text
    found = page.partition('name="token" value="')[2].partition('"')[0]
    if not found:
        found = http.get(f"/console/{TEAM}/evaluations/").text.partition('name="token" value="')[2].partition('"')[0]
    return found
