"""Requests whose bodies, headers and addresses are made to be misread, to be stored unreadable, or to cost much."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient

from api.serve import ApiServer
from config.settings import load_settings
from storage.sql.engine import open_database
from storage.sql.migrations import upgrade
from tests.api.conftest import Api
from tests.hostile.growth import MOST, ratio
from tests.services.waiting import PATIENCE_S

JSON = ("Content-Type", "application/json")


def refused(answer: Any) -> dict[str, Any]:
    """Return the error of a request that must be refused as the client's fault."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text)
    found: dict[str, Any] = answer.json()
    assert set(found) == {"type", "code", "detail", "attr"}
    return found


@pytest.fixture
def port(session_api: Api, clickhouse_dsn: str, tmp_path: Path) -> Iterator[int]:
    """The port of a running server, because refusals depend on the parser of HTTP too."""
    overrides = {"data_dir": str(tmp_path), "clickhouse": {"dsn": clickhouse_dsn}, "api": {"port": 0}}
    server = ApiServer(load_settings(environ={}, overrides=overrides), session_api.services.database)
    server.start()
    yield server.port
    server.stop()


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes as they are and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        connection.sendall(request)
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
        return b"".join(chunks)


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"name": "x", "metadata": NaN}', b'{"name": "x", "metadata": Infinity}',
            b'{"name": "x", "metadata": 1e999}',
            b'{"name": "x", "metadata": "\\ud800"}', b'{"name": "x", "metadata": {"\\udfff": 1}}',
            b'{"name": "x", "metadata": "a\\u0000b"}', b'{"name": "x", "metadata": {"a\\u0000": 1}}',
            b'{"name": "x", "metadata": ' + b"[" * 65 + b"]" * 65 + b"}",
            b'{"name": "x", "metadata": ' + b'{"a":' * 65 + b"1" + b"}" * 65 + b"}",
            b'{"name": "x", "metadata": ' + b"[" * 100_000 + b"}", b'{"name": "x", "metadata": ' + b"9" * 5000 + b"}",
            b'{"name": "\xff"}', '{"name": "x"}'.encode("utf-16"), b'\xef\xbb\xbf{"name": "x"}', b"\x1f\x8b\x08\x00",
            b'{"name": "x"} {"name": "y"}', b"'name'", b"{name: 1}", b'{"name": "x",}', b"[prod] x",
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("media_type", ["application/json", "application/vnd.api+json", "APPLICATION/JSON ; a=b"])
    def test_what_could_not_be_read_back_is_not_stored(self, session_api: Api, body: bytes, media_type: str) -> None:
        made = session_api.ok("POST", "datasets/", 201, json={"name": "kept"})
        headers = {"Content-Type": media_type}
        refused(session_api.call("PATCH", f"datasets/{made['id']}/", content=body, headers=headers))
        refused(session_api.call("POST", "datasets/", content=body, headers=headers))
        assert session_api.ok("GET", "datasets/?limit=1000")["results"]
        assert session_api.ok("GET", f"datasets/{made['id']}/")["metadata"] is None

    @pytest.mark.parametrize(
        "media_type",
        [
            "text/plain", "", "application/json, text/plain", "text/json", "multipart/form-data; boundary=x", "json",
            "application/jsonp", "application/x-www-form-urlencoded, application/json", "*/*", "application/json\x0b",
        ],
    )  # fmt: skip
    def test_a_body_of_another_type_is_refused(self, session_api: Api, media_type: str) -> None:
        refused(session_api.call("POST", "datasets/", content=b'{"name": NaN}', headers={"Content-Type": media_type}))

    def test_two_content_types_are_refused(self, session_api: Api) -> None:
        """One reader took the first, the other the last, and what the first had refused the other stored."""
        path = f"/api/projects/{session_api.team}/datasets/"
        for first, second in (("text/plain", "application/json"), ("application/json", "text/plain"), 2 * (JSON[1],)):
            headers = [
                ("Authorization", session_api.http.headers["Authorization"]),
                ("Content-Type", first), ("Content-Type", second),
            ]  # fmt: skip
            client = TestClient(session_api.app, raise_server_exceptions=False)
            error = refused(client.post(path, content=b'{"name": "x", "metadata": NaN}', headers=headers))
            assert "Content-Type" in error["detail"]

    @pytest.mark.parametrize(
        "form",
        [
            "name=[prod] x", "name={prod", "name=x&name=y", "name=x&metadata=[NaN]", "name=a%00b", "name=%ff",
            "name=x&metadata=" + "[" * 70 + "]" * 70, "&".join(f"a{number}=1" for number in range(1001)), "name",
            "name=x&metadata=[1e999]", "=x",
        ],
    )  # fmt: skip
    def test_a_form_that_cannot_be_read_is_refused(self, session_api: Api, form: str) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = session_api.call("POST", "datasets/", content=form.encode("latin-1"), headers=headers)
        if form == "name=%ff":
            assert answer.status_code == 201
            assert answer.json()["name"] == "\ufffd"
        else:
            refused(answer)

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
    def test_a_compressed_body_is_refused_before_it_is_unpacked(self, session_api: Api, encoding: str) -> None:
        headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
        error = refused(session_api.call("POST", "datasets/", content=b"\x1f\x8b", headers=headers))
        assert "Content-Encoding" in error["detail"]

    @pytest.mark.parametrize("unit", ["[", '{"a":', '"\\u0061",', "1,", "&a=%5B", "%"])
    def test_bodies_cost_time_that_grows_with_their_length(self, session_api: Api, unit: str) -> None:
        media_type = "application/x-www-form-urlencoded" if "%" in unit else "application/json"

        def sent(content: bytes) -> None:
            session_api.call("POST", "datasets/", content=content, headers={"Content-Type": media_type})

        # The server runs in this process, so its other threads count: hence the coarse resolution.
        found = ratio(
            sent, lambda times: (unit * times)[:2_000_000].encode(), 4_000, clock=time.process_time, resolution_s=0.005
        )
        assert found < MOST


class TestFraming:
    def test_two_lengths_are_refused_and_the_connection_ends(self, session_api: Api, port: int) -> None:
        """A proxy that believes the other header would take the rest of the body for the next request."""
        smuggled = b"GET /api/schema/ HTTP/1.1\r\nHost: x\r\n\r\n"
        head = (
            f"POST /api/projects/{session_api.team}/datasets/ HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: {session_api.http.headers['Authorization']}\r\nContent-Type: application/json\r\n"
        ).encode()
        for lengths in (
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
            b"Content-Length: +5\r\n",
            b"Content-Length: " + b"9" * 5000 + b"\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
        ):
            answer = exchange(port, head + lengths + b"\r\n0\r\n\r\n" + smuggled)
            assert answer.startswith(b"HTTP/1.1 4"), (lengths, answer[:100])
            assert answer.count(b"HTTP/1.1 ") == 1, lengths

    @pytest.mark.parametrize(
        "host", ["[", "[::1]]:x[", "ａ.example", "a b", "a/b", "a@b", "x\x01", "a?b", "a#b", "a\\b"]
    )
    def test_a_host_that_is_none_is_refused(self, session_api: Api, host: str) -> None:
        headers = {"Host": host.encode()}
        refused(session_api.call("GET", "datasets/?limit=1", headers=headers))

    def test_repeated_headers_are_refused(self, session_api: Api) -> None:
        path = f"/api/projects/{session_api.team}/datasets/"
        key = session_api.http.headers["Authorization"]
        for name, values in (("Authorization", (key, "Bearer x")), ("Host", ("a", "b")), ("If-Match", ("1", "2"))):
            headers = [(name, value) for value in values]
            if name != "Authorization":
                headers.append(("Authorization", key))
            refused(TestClient(session_api.app).get(path, headers=headers))


class TestAddresses:
    @pytest.mark.parametrize(
        "team", ["9" * 5000, "-1", "1.0", "１", "٣", "0x1", "+1", "1e3", "%00", "@me", "@current@", "*", "", "null"]
    )
    def test_a_team_that_is_none_does_not_exist(self, session_api: Api, team: str) -> None:
        for path in (f"/api/projects/{team}/datasets/", f"/api/environments/{team}/evaluations/"):
            assert session_api.http.get(path).status_code in (400, 404)

    @pytest.mark.parametrize(
        "moment",
        [
            "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00",
            "1969-12-31T23:59:59Z", "2200-01-01T00:00:00Z", "-9999999999999999h", "-99999999d", "1e30", "9" * 30,
            "-1e5h", "0000-00-00", "10000-01-01", "2026-02-30", "2026-01-01T25:00:00Z", "2026-01-01T00:00:00+99:99",
        ],
    )  # fmt: skip
    def test_times_at_the_ends_of_the_calendar_are_refused(self, session_api: Api, moment: str) -> None:
        evaluation = session_api.hog()["id"]
        for name in ("after", "before"):
            assert refused(session_api.call("GET", "events/", params={name: moment}))["attr"] == name
            path = f"evaluations/{evaluation}/results/"
            assert refused(session_api.call("GET", path, params={name: moment}))["attr"] == name
        run = {"evaluation_id": evaluation, "target_event_id": "e", "timestamp": moment}
        assert refused(session_api.call("POST", "evaluation_runs/", json=run))["attr"] == "timestamp"
        dataset = session_api.ok("POST", "datasets/", 201, json={"name": "x"})["id"]
        item = {"dataset": dataset, "ref_timestamp": moment}
        assert refused(session_api.call("POST", "dataset_items/", json=item))["attr"] == "ref_timestamp"
        window = {"window_start": moment, "window_end": "2026-01-01T00:00:00Z"}
        refused(session_api.call("POST", f"evaluations/{evaluation}/backfills/", json=window))
        refused(session_api.call("POST", f"evaluations/{evaluation}/estimate/", json=window))

    @pytest.mark.parametrize(
        "query", ["limit=" + "9" * 5000, "offset=" + "9" * 5000, "limit=x", "offset=-1", "limit=%F0"]
    )
    def test_numbers_that_are_none_are_refused(self, session_api: Api, query: str) -> None:
        refused(session_api.call("GET", f"datasets/?{query}"))


def test_failures_of_an_address_are_rate_limited_and_a_good_key_is_served(make_api: Callable[..., Api]) -> None:
    api = make_api(api={"unauthorized_per_minute": 1})
    path = f"/api/projects/{api.team}/datasets/"
    stranger = TestClient(api.app)
    statuses = [
        stranger.get(path, headers={"Authorization": f"Bearer gvl_{number}"}).status_code for number in range(25)
    ]
    assert statuses == [401] * 20 + [429] * 5
    assert stranger.get(path).status_code == 429
    assert int(stranger.get(path).headers["Retry-After"]) > 1
    # All clients behind one proxy have one address: a stranger among them must not lock out the others.
    assert api.call("GET", "datasets/").status_code == 200


def test_neither_log_nor_answer_tells_what_an_error_said(
    session_api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, port: int
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("what the client sent")

    monkeypatch.setattr("storage.sql.datasets.Datasets.page", fail)
    request = (
        f"GET /api/projects/{session_api.team}/datasets/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: {session_api.http.headers['Authorization']}\r\n\r\n"
    )
    with structlog.testing.capture_logs() as logs:
        answer = exchange(port, request.encode())
    assert answer.startswith(b"HTTP/1.1 500")
    assert b"server_error" in answer
    assert "what the client sent" not in answer.decode() + caplog.text + json.dumps(logs, default=str)
    assert logs[-1]["error"] == "RuntimeError"


def test_the_stores_file_is_its_owners_only(tmp_path: Path) -> None:
    path = tmp_path / "data" / "gavel.db"
    database = open_database(f"sqlite:///{path}")
    upgrade(database)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    database.close()
    path.chmod(0o644)
    database = open_database(f"sqlite:///{path}")
    with database.write() as connection:
        connection.exec_driver_sql("SELECT 1")
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    database.close()
