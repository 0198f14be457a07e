"""While a server is away no page says that all is well: figures are the last ones with their time, or dashes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from api.services.bounded_archive import BoundedArchive
from console.app import Console
from tests.browser.conftest import TEAM, Served
from tests.browser.test_shared_tables import reader_of
from tests.services.tcp_proxy import TcpProxy

CALM = ("No failures", "Nothing changed", "No results in this period")
UNTIL = "The figures are data until"
TILE = re.compile(r"<dt>(Results|Failures|Cost|Pass rate)</dt><dd>([^<]*)<")


@dataclass
class Shaky:
    """A console behind whose back ClickHouse goes away, and whose clock is set by hand."""

    reader: TestClient
    proxy: TcpProxy
    now: datetime

    def page(self, path: str) -> str:
        answer = self.reader.get(f"/console/{TEAM}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.text


@pytest.fixture
def shaky(served: Served) -> Iterator[Shaky]:
    port = urlsplit(served.clickhouse_dsn).port
    assert port is not None
    with TcpProxy(port) as proxy:
        dsn = served.clickhouse_dsn.replace(f":{port}/", f":{proxy.port}/")
        archive = BoundedArchive(dsn, now=lambda: found.now)
        console = Console(replace(served.services, pages=archive, now=lambda: found.now))
        found = Shaky(reader_of(console, served, "*"), proxy, datetime.now(UTC))
        yield found
        archive.close()


def pages(served: Served) -> list[str]:
    return ["", "part/", "evaluations/", f"evaluations/{served.scene.evaluations[1].id}/"]


def test_without_any_figures_there_are_dashes_and_no_good_news(shaky: Shaky, served: Served) -> None:
    shaky.proxy.refuse()
    for path in pages(served):
        page = shaky.page(path)
        assert "ClickHouse does not answer" in page, path
        assert UNTIL not in page, path
        assert not [words for words in CALM if words in page], path
    assert dict(TILE.findall(shaky.page(""))) == {"Results": "–", "Failures": "–", "Cost": "–"}
    assert "$0.00" not in shaky.page("evaluations/")


def test_the_last_figures_stay_with_their_time(shaky: Shaky, served: Served) -> None:
    before = {path: shaky.page(path) for path in pages(served)}
    read = f"{UNTIL} {shaky.now:%Y-%m-%d %H:%M:%S} +00:00"
    shaky.proxy.refuse()
    shaky.now += timedelta(minutes=5)
    for path in pages(served):
        page = shaky.page(path)
        assert "ClickHouse does not answer" in page, path
        assert read in page, path
        assert TILE.findall(page) == TILE.findall(before[path]), path
        assert not [words for words in CALM if words in page], path
    other = shaky.page("?range=30d")
    assert UNTIL not in other, "figures of another period do not stand in"
    shaky.proxy.resume()
    shaky.now += timedelta(minutes=5)
    for path in pages(served):
        assert "ClickHouse does not answer" not in shaky.page(path), path


def test_figures_of_given_times_are_read_again_after_half_a_minute(shaky: Shaky, served: Served) -> None:
    """The end of such a period does not move, so only the clock can make them old."""
    path = f"evaluations/{served.scene.evaluations[1].id}/?from=2026-01-01T00:00:00Z&to=2026-12-31T00:00:00Z"
    as_of = re.compile(r"The figures are as of <time datetime=\"([^\"]+)\"")
    first = as_of.findall(shaky.page(path))
    assert as_of.findall(shaky.page(path)) == first
    shaky.now += timedelta(seconds=31)
    assert as_of.findall(shaky.page(path)) != first


def test_list_overview_and_evaluation_count_the_same(shaky: Shaky, served: Served) -> None:
    """The rollup has hours, so the page and the list both begin at the hour that holds the start of the period."""
    one = served.scene.evaluations[1].id
    for name in ("24h", "7d", "30d"):
        tiles = dict(TILE.findall(shaky.page(f"evaluations/{one}/?range={name}")))
        row = shaky.page(f"evaluations/?range={name}&q=Polite").partition("<tbody>")[2]
        assert re.findall(r'data-label="Failures">([^<]*)<', row) == [tiles["Failures"]], name
