"""Where a form may lead back to, and a time zone that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.preferences import THEME_COOKIE, ZONE_COOKIE, own_address
from console.security import form_token
from console.times import zone_problem
from tests.unit.console.forms import desk


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "/console/\\evil", "javascript:alert(1)", "",
     "/api/", "/console//evil.example/", "/console/\r\nSet-Cookie: a=b", "/console/é"],
)  # fmt: skip
def test_a_foreign_address_means_the_start_page(address: str) -> None:
    assert own_address(address) == "/console/"


@pytest.mark.parametrize("address", ["/console/1/", "/console/1/results/?q=https%3A%2F%2Fa&b=c"])
def test_an_address_of_the_console_is_kept(address: str) -> None:
    assert own_address(address) == address


@pytest.mark.parametrize("typed", ["Europe/Berln", "", '"><b>x</b>'])
def test_a_zone_that_does_not_exist_gives_the_form_back(tmp_path: Path, typed: str) -> None:
    with desk(tmp_path) as reader:
        http = reader.http
        given = {"token": form_token(http.cookies["gavel"]), "next": "/console/7/results/", "theme": "dark"}
        refused = http.post("/console/preferences/", data={**given, "zone": typed})
        assert refused.status_code == 400
        assert "set-cookie" not in refused.headers
        page = refused.text
        (field,) = re.findall(r'<input name="zone" value="([^"]*)"[^>]*aria-describedby="zone-problem"', page)
        assert field == typed.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
        assert "time zone" in page.partition('id="zone-problem" role="alert">')[2].partition("<")[0]
        assert '<option value="dark" selected>' in page
        assert 'name="next" value="/console/7/results/"' in page
        token = page.partition('name="token" value="')[2].partition('"')[0]
        taken = http.post("/console/preferences/", data={**given, "token": token, "zone": " Europe/Berlin "})
        assert (taken.status_code, taken.headers["location"]) == (303, "/console/7/results/")
        assert (http.cookies[ZONE_COOKIE].strip('"'), http.cookies[THEME_COOKIE]) == ("Europe/Berlin", "dark")


@pytest.mark.parametrize(
    ("typed", "told"),
    [("Europe/Berln", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("Berlin", "Europe/Berlin"),
     ("America/New York", "America/New_York"), ("xx", "Write a name such as Europe/Berlin or UTC.")],
)  # fmt: skip
def test_the_problem_names_what_was_meant(typed: str, told: str) -> None:
    assert f"There is no time zone '{typed}'." in zone_problem(typed)
    assert told in zone_problem(typed)
