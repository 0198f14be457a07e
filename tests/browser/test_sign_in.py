"""Signing in, and what a session may do: CSRF, other teams, revoked keys, links that work once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2 as httpx
import pytest
from playwright.sync_api import BrowserContext, Page

from api.services.console_access import sign_in_path
from storage.sql.api_keys import ApiKeys
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import Watch, sign_in

SAME = {"Sec-Fetch-Site": "same-origin"}
Context = tuple[BrowserContext, Watch]


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    """A client that follows no redirects and has no session."""
    with httpx.Client(base_url=served.base) as client:
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
    for path in ("/console/sign-in/", f"/console/{TEAM}/", f"/console/{TEAM}/nothing/", "/console/assets/nothing.js"):
        headers = http.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"


def form_token(http: httpx.Client) -> str:
    page = http.get(f"/console/{TEAM}/").text
    found = page.partition('name="token" value="')[2].partition('"')[0]
    if not found:
        found = http.get(f"/console/{TEAM}/evaluations/").text.partition('name="token" value="')[2].partition('"')[0]
    return found
