"""Connections of strangers to the API's port: the same bounds as on the port of the front door."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client import CollectorRegistry

from api.serve import ApiServer
from config.settings import Settings
from ingest import connection
from ingest.limits import MAX_HEAD_BYTES
from processor.metrics import Metrics
from storage.sql.engine import open_store
from storage.sql.migrations import upgrade
from tests.services.waiting import PATIENCE_S


class Rig:
    def __init__(self, folder: Path) -> None:
        settings = Settings.model_validate({"data_dir": folder, "api": {"port": 0}})
        database = open_store(settings)
        upgrade(database)
        self.registry = CollectorRegistry()
        self.server = ApiServer(settings, database, metrics=Metrics(self.registry))

    def send(self, data: bytes) -> bytes:
        """Return all that the server answers until it closes the connection, also by a reset."""
        found = b""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE_S) as peer:
            try:
                peer.sendall(data)
                while piece := peer.recv(65536):
                    found += piece
            except (ConnectionResetError, BrokenPipeError):
                pass
        return found

    def refused(self) -> float:
        labels = {"service": "api", "route": "unmatched", "method": "other", "status": "4xx"}
        return self.registry.get_sample_value("gavel_http_requests_total", labels) or 0.0


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    found = Rig(tmp_path_factory.mktemp("api"))
    found.server.start()
    yield found
    found.server.stop()


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES, b"\x16\x03\x01 TLS\r\n\r\n"])
def test_a_huge_head_and_what_is_not_http_are_refused_and_counted(rig: Rig, head: bytes) -> None:
    before = rig.refused()
    answer = rig.send(head)
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")) or answer == b"", "a reset may overtake the answer"
    assert rig.refused() == before + 1


@pytest.mark.parametrize("sent", [b"", b"GET /livez HTTP/1.1\r\nX: y"])
def test_a_client_that_sends_no_request_is_disconnected(rig: Rig, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)
    assert rig.send(sent) == b""


def test_requests_before_an_answer_are_few(rig: Rig) -> None:
    request = b"GET /api/schema/ HTTP/1.1\r\nHost: x\r\n\r\n"
    assert rig.send(request * 1_000).count(b"HTTP/1.1 ") <= connection.MAX_PIPELINED + 1


def test_the_api_answers_as_before(rig: Rig) -> None:
    url = f"http://127.0.0.1:{rig.server.port}"
    assert httpx2.get(f"{url}/api/users/@me/", timeout=PATIENCE_S).status_code == 401
    assert httpx2.get(
        f"{url}/api/users/@me/", headers={"Connection": "Upgrade", "Upgrade": "websocket"}, timeout=PATIENCE_S
    ).is_error
    assert httpx2.post(f"{url}/api/users/@me/", content=iter([b"{", b"}"]), timeout=PATIENCE_S).status_code in (
        401,
        405,
    )
