"""Project tokens over HTTP: made and shown once, listed masked, revoked for good, by the team that owns them."""

from __future__ import annotations

from typing import Any

import pytest

from storage.sql.audit import read_audit
from storage.sql.project_tokens import ProjectTokens, token_hash
from tests.api.conftest import Api


def active(api: Api) -> set[str]:
    found = ProjectTokens(api.services.database).active(None)
    assert found is not None
    return set(found.by_hash)


@pytest.mark.parametrize("base", ["projects", "environments"])
def test_a_token_is_made_shown_once_and_revoked(api: Api, base: str) -> None:
    body = {"name": " checkout ", "events_per_s": 50, "bytes_per_s": 10**10, "origins": ["https://shop.example"]}
    made = api.ok("POST", "project_tokens/", 201, json=body, base=base)
    text = made.pop("token")
    assert text.startswith("gvt_")
    assert token_hash(text) in active(api)
    assert (made["name"], made["events_per_s"], made["bytes_per_s"]) == ("checkout", 50, 10**10)
    assert (made["origins"], made["masked"], made["revoked_at"]) == (
        ["https://shop.example"],
        f"gvt_...{text[-4:]}",
        None,
    )
    path = f"project_tokens/{made['id']}/"
    assert api.ok("GET", path, base=base) == made
    assert api.ok("GET", "project_tokens/", base=base)["results"] == [made]
    api.ok("DELETE", path, 204, base=base)
    revoked = api.ok("GET", path, base=base)
    assert revoked["revoked_at"] is not None
    api.ok("DELETE", path, 204, base=base)
    assert api.ok("GET", path, base=base) == revoked
    assert token_hash(text) not in active(api)


def test_an_existing_token_is_imported_by_one_team_once(api: Api) -> None:
    phc = f"phc_{api.team:043d}"
    made = api.ok("POST", "project_tokens/", 201, json={"token": f" {phc} "})
    assert (made["token"], made["masked"]) == (phc, f"phc_...{phc[-4:]}")
    refused = api.error("POST", "project_tokens/", json={"token": phc})
    assert (refused["attr"], phc in refused["detail"]) == ("token", False)


@pytest.mark.parametrize(
    ("body", "attr"),
    [
        ({"token": "phx_" + "a" * 40}, "token"),
        ({"token": "gvl_" + "a" * 40}, "token"),
        ({"token": ""}, "token"),
        ({"token": "phc_" + "a" * 70}, "token"),
        ({"events_per_s": -1}, "events_per_s"),
        ({"events_per_s": 2**40}, "events_per_s"),
        ({"bytes_per_s": 2**63}, "bytes_per_s"),
        ({"origins": ["shop.example"]}, "origins"),
        ({"origins": ["https://shop.example/cart"]}, "origins"),
        ({"origins": ["https://a.example https://b.example"]}, "origins"),
        ({"origins": ["https://a.example"] * 51}, "origins"),
        ({"name": "n" * 201}, "name"),
    ],
)
def test_a_wrong_token_rate_or_origin_is_refused(api: Api, body: dict[str, Any], attr: str) -> None:
    error = api.error("POST", "project_tokens/", json=body)
    assert error["attr"] == attr
    assert "aaaa" not in error["detail"]
    assert api.ok("GET", "project_tokens/")["count"] == 0


def test_pages_are_newest_first(api: Api) -> None:
    for number in range(3):
        api.ok("POST", "project_tokens/", 201, json={"name": str(number)})
    page = api.ok("GET", "project_tokens/?limit=2")
    assert ([each["name"] for each in page["results"]], page["count"]) == (["2", "1"], 3)
    assert [each["name"] for each in api.http.get(page["next"]).json()["results"]] == ["0"]


def test_the_scopes_are_those_of_tokens_and_another_teams_token_does_not_exist(api: Api) -> None:
    made = api.ok("POST", "project_tokens/", 201, json={})
    base = f"/api/projects/{api.team}/project_tokens/"
    reader = api.as_key(api.key("ingest_token:read"))
    assert reader.get(base).status_code == 200
    assert reader.post(base, json={}).status_code == 403
    assert reader.delete(f"{base}{made['id']}/").status_code == 403
    writer = api.as_key(api.key("ingest_token:write"))
    assert writer.post(base, json={}).status_code == 201
    assert api.as_key(api.key("evaluation:write", "query:read")).get(base).status_code == 403
    other = api.as_key(api.key("*", team=api.team + 500_000))
    foreign = f"/api/projects/{api.team + 500_000}/project_tokens/"
    assert other.get(foreign).json()["count"] == 0
    for method in ("GET", "DELETE"):
        assert other.request(method, f"{foreign}{made['id']}/").status_code == 404
    for missing in ("0", "-1", "x", str(2**40), "1" * 400):
        assert api.call("GET", f"project_tokens/{missing}/").status_code == 404
    assert api.ok("GET", f"project_tokens/{made['id']}/")["revoked_at"] is None


def test_the_audit_trail_says_who_made_and_revoked_a_token(api: Api) -> None:
    made = api.ok("POST", "project_tokens/", 201, json={"name": "shop"})
    for _ in range(2):
        api.ok("DELETE", f"project_tokens/{made['id']}/", 204)
    with api.services.database.read() as connection:
        trail = read_audit(connection, api.team, "project_token", str(made["id"]))
    assert sorted(entry.action for entry in trail) == ["created", "revoked"]
    assert all(entry.actor is not None and entry.actor.startswith("key:") for entry in trail)
    assert made["token"] not in repr(trail)
