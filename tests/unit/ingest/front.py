"""The front door as an application, without a socket and a broker: for tests of answers and of messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client import CollectorRegistry

from config.settings import Settings
from ingest.app import IngestApp
from ingest.delivery import Delivery
from ingest.door import Door
from ingest.tokens import TokenPoller
from processor.events.output import Output
from processor.metrics import Metrics
from storage.sql.project_tokens import ActiveTokens, ProjectToken, token_hash
from storage.sql.revision import Revision

TEAM = 7
TOKEN = "gvt_" + "f" * 43
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
UUID = "01890000-0000-7000-8000-00000000000"
"""A UUID without its last digit."""


class Acknowledging(Delivery):
    """Acknowledges messages without a broker, and keeps them.

    The real one stands before a real Kafka in tests/integration and tests/faults.

    Attributes:
        given: the messages so far.
        lost: uuids whose messages are not acknowledged.
        down: whether Kafka has acknowledged nothing for too long.
    """

    def __init__(self, metrics: Metrics) -> None:
        super().__init__({}, probe_topic="", metrics=metrics, on_fatal=lambda _: None)
        self.given: list[Output] = []
        self.lost: set[str] = set()
        self.down = False

    @property
    def failing(self) -> bool:
        """Whether `down` is set."""
        return self.down

    async def send(self, messages: list[Output]) -> list[bool]:
        """Keep the messages; return which are acknowledged."""
        self.given += messages
        ids = [dict(each.headers or ()).get("uuid") for each in messages]
        messages.clear()
        return [str(each or b"", "ascii") not in self.lost for each in ids]


class Front:
    """A front door, a token of `TEAM`, and a clock that stands at `NOW`.

    Args:
        ingest: settings of the front door.
    """

    def __init__(self, folder: Path, **ingest: Any) -> None:
        settings = Settings.model_validate({"data_dir": folder, "ingest": ingest})
        self.topics = settings.kafka.topics
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        self.delivery = Acknowledging(metrics)
        self.active = {token_hash(TOKEN): self.token()}
        self.poller = TokenPoller(lambda _: ActiveTokens(Revision("test", 1), self.active))
        self.door = Door(settings, self.poller, self.delivery, metrics, now=lambda: NOW)
        self.app = IngestApp(self.door)

    @contextmanager
    def open(self) -> Iterator[Front]:
        """Take requests until the end of the block."""
        self.poller.poll()
        self.poller.start()
        try:
            yield self
        finally:
            self.poller.stop()

    @staticmethod
    def token(number: int = 1, **changes: Any) -> ProjectToken:
        """Return a token of `TEAM`."""
        values = {"events_per_s": 0, "bytes_per_s": 0, "origins": (), **changes}
        return ProjectToken(number, TEAM, "", "", created_at=NOW, **values)

    def add_token(self, text: str, number: int, **changes: Any) -> str:
        """Make another token known; returns its text."""
        self.active = {**self.active, token_hash(text): self.token(number, **changes)}
        self.poller.poll()
        return text

    def call(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Send one request and return its answer."""

        async def sent() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://door") as client:
                return await client.request(method, path, **request)

        return asyncio.run(sent())

    def call_raw(self, scope: dict[str, Any], body: bytes) -> httpx2.Response:
        """Send a request whose headers are exactly those of `scope`, and return its answer."""
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        return httpx2.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])

    def batch(self, *events: dict[str, Any], params: dict[str, str] | None = None, **fields: Any) -> httpx2.Response:
        """Send events by version 0."""
        return self.call("POST", "/batch", json={"api_key": TOKEN, "batch": events, **fields}, params=params)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows since the last call, with their properties decoded."""
        found = [json.loads(each.value or b"") for each in self.messages()]
        return [{**row, "properties": json.loads(row["properties"])} for row in found]

    def messages(self) -> list[Output]:
        """Return the messages on the events topic since the last call."""
        given, self.delivery.given = self.delivery.given, []
        return [each for each in given if each.topic == self.topics.events]

    def count(self, name: str, **labels: str) -> float:
        """Return a counter's value; 0 if it has not counted yet."""
        return self.registry.get_sample_value(name, labels) or 0.0


def generation(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return one event as a PostHog SDK sends it."""
    return {
        "event": "$ai_generation",
        "uuid": f"{UUID}{number}",
        "distinct_id": f"user {number}",
        "timestamp": "2026-11-01T10:00:00Z",
        "properties": {"$ai_trace_id": f"trace {number}", "$ai_input": "hello", "$ai_output_choices": "hi"},
        **changes,
    }
