"""ClickHouse with the tables of another release, as the API and the console answer for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from api.http.errors import Unavailable
from api.services.archive import Archive
from api.services.bounded_archive import BoundedArchive
from storage.clickhouse import connect, load_migrations, migrate
from storage.clickhouse.recent import RecentSelection, newest

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

    Opened = Callable[[], AbstractContextManager[Client]]

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SELECTION = RecentSelection(team_id=1, start=NOW - timedelta(hours=1), end=NOW)


@pytest.fixture(params=["API", "pages"])
def opened(request: pytest.FixtureRequest, empty_dsn: str) -> Iterator[Opened]:
    """Open a client of an empty ClickHouse, as the API and as pages of the console do it."""
    if request.param == "API":
        with closing(Archive(empty_dsn)) as archive:
            yield archive.client
    else:
        with closing(BoundedArchive(empty_dsn, now=lambda: NOW)) as pages:
            yield lambda: pages.client("a")


def test_tables_of_an_earlier_release_are_named_with_the_command_that_helps(empty_dsn: str, opened: Opened) -> None:
    known = load_migrations()
    lacked = next(place for place, each in enumerate(known) if each.version == 9)

    for applied in (0, lacked):
        with closing(connect(empty_dsn)) as client:
            migrate(client, known[:applied])
        with pytest.raises(Unavailable) as caught, opened() as client:
            newest(client, SELECTION, limit=1)
        assert caught.value.code == "clickhouse_other_release"
        at, missing = f"at migration {applied}", known[applied].name
        for words in (at, f"needs {known[-1].version}", missing, "run `gavel init`"):
            assert words in caught.value.detail
    with closing(connect(empty_dsn)) as client:
        migrate(client)
    with opened() as client:
        assert newest(client, SELECTION, limit=1) == [], "a process that runs goes on without a restart"


def test_a_table_that_no_release_has_is_not_blamed_on_the_release(empty_dsn: str, opened: Opened) -> None:
    with closing(connect(empty_dsn)) as client:
        migrate(client)
    with pytest.raises(Unavailable) as caught, opened() as client:
        client.query("SELECT 1 FROM nowhere", parameters={}, settings={})
    assert caught.value.code == "clickhouse_unavailable"
