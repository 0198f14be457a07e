"""The read-only front of an embedded ClickHouse, by the client that reads servers."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from storage.clickhouse import connect, migrate
from storage.clickhouse.errors import Unreachable
from storage.clickhouse.front import EmbeddedFront
from storage.clickhouse.query import Where, rows
from tests.services.waiting import PATIENCE_S


@pytest.fixture
def served(tmp_path: Path) -> Iterator[EmbeddedFront]:
    dsn = f"chdb://{tmp_path}/embedded?database=gavel"
    client = connect(dsn)
    migrate(client)
    front = EmbeddedFront(dsn)
    front.start()
    yield front
    front.stop()
    client.close()


def test_queries_with_bound_values_and_settings_give_what_a_server_gives(served: EmbeddedFront) -> None:
    client = connect(served.dsn)
    where = Where()
    where.between(datetime(2026, 3, 1, tzinfo=UTC), None)
    where.add("uuid IN {uuids:Array(String)}", uuids=["it's", "\\ {x} \n", "ü"] * 3000)
    assert rows(client, f"SELECT count() AS found FROM evaluation_results WHERE {where.text}", where.values) == [
        {"found": 0}
    ]
    echoed = rows(client, "SELECT {text:String} AS text, {number:Int64} AS number", {"text": "it's", "number": -7})
    assert echoed == [{"text": "it's", "number": -7}]
    client.close()


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO evaluation_results (uuid) VALUES ('x')",
        "DROP TABLE evaluation_results",
        "CREATE TABLE other (a Int64) ENGINE = Memory",
        "SET readonly = 0",
    ],
)
def test_nothing_can_be_written(served: EmbeddedFront, query: str) -> None:
    client = connect(served.dsn)
    with pytest.raises(ClickHouseError, match=r"(?i)readonly"):
        client.command(query)
    client.close()


def test_a_wrong_secret_is_refused(served: EmbeddedFront) -> None:
    with pytest.raises(Unreachable, match="not accepted"):
        connect(served.dsn.replace(served.secret, "wrong"))
    address = "http://" + served.dsn.partition("@")[2]
    assert httpx2.get(address, params={"query": "SELECT 1"}, timeout=PATIENCE_S).status_code == 401


def test_a_body_of_unknown_or_huge_length_is_refused(served: EmbeddedFront) -> None:
    place = urlsplit(served.dsn)
    auth = {"Authorization": "Basic " + b64encode(f"gavel:{served.secret}".encode()).decode()}
    for length, status in ((None, 411), (1 << 40, 413), (-1, 411)):
        connection = HTTPConnection("127.0.0.1", place.port or 0, timeout=PATIENCE_S)
        connection.putrequest("POST", "/")
        for name, value in {**auth, **({} if length is None else {"Content-Length": str(length)})}.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()
