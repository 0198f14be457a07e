"""Connections of strangers to the front door: the bytes around a body and the wait for a request are bounded."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from ingest import connection
from ingest.limits import MAX_HEAD_BYTES, MAX_PIPELINED
from tests.integration.ingest.rig import IngestRig, generation
from tests.services.waiting import PATIENCE_S, until


@pytest.fixture(scope="module")
def rig(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IngestRig]:
    with IngestRig(kafka, tmp_path_factory.mktemp("connections")).running() as rig:
        yield rig


def connect(rig: IngestRig) -> socket.socket:
    return socket.create_connection(("127.0.0.1", rig.server.port), timeout=PATIENCE_S)


def read_all(peer: socket.socket) -> bytes:
    """Return everything until the server closes the connection, also by a reset."""
    found = b""
    try:
        while piece := peer.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize(
    "head",
    [
        b"POST /batch HTTP/1.1\r\nX: " + b"x" * 2 * MAX_HEAD_BYTES,
        b"GET /" + b"x" * 2 * MAX_HEAD_BYTES,
        b"POST /batch HTTP/1.1\r\n" + b"X: y\r\n" * MAX_HEAD_BYTES,
    ],
)
def test_a_huge_head_is_refused_before_it_ends(rig: IngestRig, head: bytes) -> None:
    before = rig.count("gavel_ingest_requests_total", protocol="none", status="431")
    with connect(rig) as peer:
        peer.sendall(head[: 2 * MAX_HEAD_BYTES])
        answer = read_all(peer)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b"", "a reset may overtake the answer"
    assert rig.count("gavel_ingest_requests_total", protocol="none", status="431") == before + 1


@pytest.mark.parametrize("around", [b"1;" + b"x" * 200_000, b"0\r\n" + b"X: y\r\n" * 40_000])
def test_chunks_may_not_be_more_frame_than_body(rig: IngestRig, around: bytes) -> None:
    with connect(rig) as peer:
        head = b"POST /batch?token=%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        peer.sendall(head % rig.token.encode() + around)
        assert b" 200 " not in read_all(peer)[:20]
    until(lambda: rig.server.door.budget.reserved == 0, lambda: str(rig.server.door.budget.reserved))


def test_a_body_in_chunks_is_taken(rig: IngestRig) -> None:
    body = json.dumps({"api_key": rig.token, "batch": [generation(1)]}).encode()
    pieces = (body[start : start + 10] for start in range(0, len(body), 10))
    assert rig.http.post("/batch", content=pieces).json() == {"status": "Ok"}


def test_requests_before_an_answer_are_few(rig: IngestRig) -> None:
    request = b"POST /flags HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with connect(rig) as peer:
        peer.sendall(request * MAX_PIPELINED + request[:-2] + b"Connection: close\r\n\r\n")
        assert read_all(peer).count(b"HTTP/1.1 200 ") == MAX_PIPELINED + 1
    with connect(rig) as peer:
        peer.sendall(request * 1_000)
        assert read_all(peer).count(b"HTTP/1.1 200 ") <= MAX_PIPELINED + 1


def test_a_client_that_closes_its_side_still_gets_the_answer(rig: IngestRig) -> None:
    body = json.dumps({"api_key": rig.token, "batch": [generation(2)]}).encode()
    with connect(rig) as peer:
        peer.sendall(b"POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        peer.shutdown(socket.SHUT_WR)
        assert read_all(peer).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", b"POST /batch HT", b"\r\n", b"POST /batch HTTP/1.1\r\nX: y"])
def test_a_client_that_sends_no_request_is_disconnected(
    rig: IngestRig, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.2)
    with connect(rig) as peer:
        peer.sendall(sent)
        assert read_all(peer) == b""


def test_what_is_not_http_is_refused_and_not_logged(rig: IngestRig, capfd: pytest.CaptureFixture[str]) -> None:
    with connect(rig) as peer:
        peer.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        assert read_all(peer).startswith(b"HTTP/1.1 400 ")
    assert rig.http.get("/flags", headers={"Connection": "Upgrade", "Upgrade": "websocket"}).status_code == 200
    assert "".join(capfd.readouterr()) == ""


def test_heads_that_do_not_end_take_a_bounded_memory_together(rig: IngestRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HEADS_BYTES", 100_000)
    before = rig.count("gavel_ingest_requests_total", protocol="none", status="503")
    peers = [connect(rig) for _ in range(4)]
    try:
        for peer in peers:
            peer.sendall(b"POST /batch HTTP/1.1\r\nX: " + b"x" * 30_000)
        until(
            lambda: rig.count("gavel_ingest_requests_total", protocol="none", status="503") == before + 1,
            lambda: str(connection._Heads.held),
        )
        assert rig.batch(generation(4)).status_code == 200
    finally:
        for peer in peers:
            peer.close()
    until(lambda: connection._Heads.held == 0, lambda: str(connection._Heads.held))


def test_many_slow_connections_keep_nobody_out(rig: IngestRig) -> None:
    peers = [connect(rig) for _ in range(400)]
    try:
        for peer in peers:
            peer.sendall(b"POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert rig.batch(generation(3)).status_code == 200
    finally:
        for peer in peers:
            peer.close()
