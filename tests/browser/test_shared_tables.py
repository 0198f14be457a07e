"""Tables of results that readers of a team share hold nothing of the reader for whom they were made."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from starlette.testclient import TestClient

from api.services.bounded_archive import BoundedArchive
from console.app import Console
from storage.sql.api_keys import ApiKeys
from storage.sql.console_sessions import ConsoleSessions
from tests.browser.conftest import TEAM, Served

OTHER = TEAM + 40
RESULTS = f"/console/{TEAM}/results/"


@pytest.fixture
def console(served: Served, monkeypatch: pytest.MonkeyPatch) -> tuple[Console, list[str]]:
    """A console whose clock stands still, so that its tables stay fresh, and the sessions whose queries it ran."""
    asked: list[str] = []
    enter = BoundedArchive._enter

    def noted(archive: BoundedArchive, session: str) -> None:
        asked.append(session)
        enter(archive, session)

    monkeypatch.setattr(BoundedArchive, "_enter", noted)
    now = datetime.now(UTC)
    return Console(replace(served.services, now=lambda: now)), asked


def reader_of(console: Console, served: Served, *scopes: str, team: int = TEAM, **cookies: str) -> TestClient:
    """Return the browser of a new reader, who is signed in with a key of his own."""
    database, now = served.services.database, datetime.now(UTC)
    key, _ = ApiKeys(database).create(team_id=team, label="reader", scopes=list(scopes), now=now)
    session = ConsoleSessions(database).open(key, now=now)
    return TestClient(console, base_url="http://127.0.0.1", cookies={"gavel": session, **cookies})


def table_of(reader: TestClient, path: str = RESULTS) -> str:
    """Return the table of results of a page."""
    answer = reader.get(path)
    assert answer.status_code == 200, answer.text
    found = re.search(r'<div class="table-wrap".*?</table>', answer.text, re.DOTALL)
    assert found is not None
    return found[0]


def test_readers_share_a_table_whatever_their_scopes_and_themes_are(
    console: tuple[Console, list[str]], served: Served
) -> None:
    """The second reader causes no query, and gets the same bytes."""
    pages, asked = console
    first = table_of(reader_of(pages, served, "*", **{"gavel-theme": "dark"}))
    before = len(asked)
    second = table_of(reader_of(pages, served, "evaluation:read", **{"gavel-theme": "light"}))
    assert before > 0
    assert len(asked) == before
    assert second == first


def test_a_reader_of_another_zone_gets_a_table_of_his_own(console: tuple[Console, list[str]], served: Served) -> None:
    pages, _ = console
    utc, tokyo = reader_of(pages, served, "*"), reader_of(pages, served, "*", **{"gavel-zone": "Asia/Tokyo"})
    offsets = re.compile(r"([+-]\d\d:\d\d)</time>")
    assert set(offsets.findall(table_of(utc))) == {"+00:00"}
    assert set(offsets.findall(table_of(tokyo))) == {"+09:00"}
    named = table_of(utc, RESULTS + "?tz=Asia/Tokyo")
    assert re.sub(r"(\?|&amp;)tz=Asia%2FTokyo", "", named) == table_of(tokyo)
    links = re.findall(r'href="([^"]+)"', named)
    assert links
    assert all(each.endswith("tz=Asia%2FTokyo") for each in links), "the next page is in the same zone"


def test_a_reader_of_another_team_gets_nothing_of_the_table(console: tuple[Console, list[str]], served: Served) -> None:
    pages, _ = console
    table_of(reader_of(pages, served, "*"))
    answer = reader_of(pages, served, "*", team=OTHER).get(f"/console/{OTHER}/results/")
    assert answer.status_code == 200
    assert "No results in this period" in answer.text
    assert "<table" not in answer.text
