"""The API and the front door run on one kind of server."""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from typing import Any

import pytest

from ingest.connection import ServerThread
from tests.services.cache import CHECKOUT
from tests.services.waiting import PATIENCE_S
from tests.unit.config.test_judge_request import product_modules


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


def test_it_serves_until_it_is_asked_to_stop() -> None:
    server = ServerThread(hello, "api", ("127.0.0.1", 0), finish_within_s=1)
    server.start()
    client = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    client.request("GET", "/")
    assert client.getresponse().read() == b"hi"
    client.close()
    assert (server.alive(), server.stopping) == (True, False)
    server.ask_to_stop()
    server.join(PATIENCE_S)
    assert (server.alive(), server.stopping) == (False, True)


def test_a_port_that_is_taken_is_named_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = ServerThread(hello, "ingest", ("127.0.0.1", port), finish_within_s=1)
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}; set ingest\.port"):
            server.start()


def test_a_given_socket_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = ServerThread(hello, "api", ("127.0.0.1", 1), finish_within_s=1, listener=listener)
        server.start()
        assert server.port == listener.getsockname()[1]
        server.ask_to_stop()
        server.join(PATIENCE_S)


def test_nobody_runs_a_server_of_their_own() -> None:
    found = {path: (CHECKOUT / path).read_text() for path, _ in product_modules()}
    assert [path for path, text in found.items() if "uvicorn.Server(" in text] == ["ingest/connection.py"]
