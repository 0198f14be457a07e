"""How `gavel send` treats lines and answers: kinds, ids, batches, retries, rates, and lines that are refused."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cli.sending import BATCH_EVENTS, Sender, SenderRefused, read_line
from tests.services.ports import free_ports

EVENT = {"event": "$ai_generation", "distinct_id": "me", "properties": {"a": 1}}
OK = (200, {"status": "Ok"}, {})


class Door:
    """Gives the answers that it was given, in order, and then takes everything."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        self.bodies: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        """Names of events that are not taken."""
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                body = json.loads(gzip.decompress(self.rfile.read(int(self.headers["Content-Length"]))))
                door.bodies.append(body)
                status, content, headers = door.answers.pop(0) if door.answers else door.take(body)
                text = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        bad = [each for each in body.get("batch", ()) if each["event"] in self.refused]
        if not bad:
            return OK
        if len(bad) == len(body["batch"]):
            return 400, {"detail": f"{bad[0]['event']} is not taken"}, {}
        return 200, {"status": "Ok", "rejected": len(bad)}, {}


@pytest.fixture
def door() -> Iterator[Door]:
    made = Door()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now_s, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def sent(url: str, lines: list[Any], clock: Clock, *, rate: float | None = None, retries: int = 3) -> Sender:
    sender = Sender(url, "gvt_x", rate=rate, retries=retries, sleep=clock.sleep, clock=lambda: clock.now_s)
    try:
        for _ in sender.send((f"f:{number}", json.dumps(line).encode()) for number, line in enumerate(lines, 1)):
            pass
    finally:
        sender.close()
    return sender


def test_a_row_becomes_the_event_that_it_was() -> None:
    row = {"uuid": "u", "event": "e", "team_id": 9, "distinct_id": "d", "timestamp": "t", "properties": '{"a": [1]}'}
    line = read_line("f:1", json.dumps(row).encode())
    kept = {"uuid": "u", "event": "e", "distinct_id": "d", "timestamp": "t", "properties": {"a": [1]}}
    assert (line.kind, json.loads(line.body)) == ("event", kept)


def test_a_line_without_an_id_always_gets_the_same_one() -> None:
    first, again = (json.loads(read_line("f:1", json.dumps(EVENT).encode()).body)["uuid"] for _ in range(2))
    other = json.loads(read_line("f:1", json.dumps({**EVENT, "properties": {}}).encode()).body)["uuid"]
    assert first == again != other


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"event": 5}', "no `event`"),
        (b'{"event": "e", "properties": "{"}', "not JSON"),
        (b'{"event": "e", "properties": [1]}', "not an object"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_line_that_is_none_of_the_three_kinds_says_why(line: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_line("f:1", line)


def test_events_go_in_batches_and_otlp_requests_alone(door: Door) -> None:
    otlp = {"resourceSpans": [{"scopeSpans": [{"spans": [{}, {}]}]}]}
    sender = sent(door.url, [*[EVENT] * (BATCH_EVENTS + 1), otlp, otlp, EVENT], Clock())
    assert [len(body.get("batch", ())) for body in door.bodies] == [BATCH_EVENTS, 1, 0, 0, 1]
    assert sender.report.sent == BATCH_EVENTS + 1 + 4 + 1


def test_it_waits_as_long_as_the_answer_asks_and_longer_each_time(door: Door) -> None:
    door.answers = [(503, {}, {"Retry-After": "5"}), (429, {}, {}), (500, {}, {"Retry-After": "soon"}), OK]
    clock = Clock()
    sender = sent(door.url, [EVENT], clock)
    assert clock.slept == [5.0, 1.0, 2.0]
    assert (sender.report.sent, sender.report.retries, sender.report.requests) == (1, 3, 4)


def test_it_gives_up_after_its_retries_and_says_what_to_do(door: Door) -> None:
    door.answers = [(503, {"detail": "no room"}, {})] * 3
    with pytest.raises(SenderRefused, match="answer 503: no room, after 3 tries; is `gavel up`"):
        sent(door.url, [EVENT], Clock(), retries=2)
    (port,) = free_ports(1)
    with pytest.raises(SenderRefused, match="no answer"):
        sent(f"http://127.0.0.1:{port}", [EVENT], Clock(), retries=1)


def test_only_the_lines_that_are_bad_are_refused(door: Door) -> None:
    door.refused = {"bad"}
    lines = [EVENT, {**EVENT, "event": "bad"}, EVENT, {**EVENT, "event": "bad"}]
    report = sent(door.url, lines, Clock()).report
    assert (report.sent, report.refused) == (2, 2)
    assert report.problems == [("f:2", "bad is not taken"), ("f:4", "bad is not taken")]


def test_a_token_that_is_not_accepted_ends_it(door: Door) -> None:
    clock = Clock()
    door.answers = [(401, {"detail": "unknown token"}, {})] * 20
    with pytest.raises(SenderRefused, match="unknown token; see `gavel tokens list`"):
        sent(door.url, [EVENT], clock)
    assert sum(clock.slept) == 4.0, "a front door may not know a new token yet"


def test_a_token_that_was_just_made_is_soon_accepted(door: Door) -> None:
    door.answers = [(401, {"detail": "unknown token"}, {})] * 3
    report = sent(door.url, [EVENT], Clock()).report
    assert (report.sent, report.requests) == (1, 4)


def test_a_token_that_is_revoked_meanwhile_ends_it_at_once(door: Door) -> None:
    clock = Clock()
    door.answers = [(200, {}, {}), (401, {"detail": "revoked"}, {})]
    with pytest.raises(SenderRefused, match="revoked"):
        sent(door.url, [EVENT] * (BATCH_EVENTS + 1), clock)
    assert clock.slept == []


def test_it_keeps_the_rate(door: Door) -> None:
    clock = Clock()
    sent(door.url, [EVENT] * (BATCH_EVENTS * 3), clock, rate=50.0)
    assert sum(clock.slept) == pytest.approx(BATCH_EVENTS * 2 / 50.0)
