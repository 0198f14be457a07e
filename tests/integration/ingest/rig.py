"""The front door on a real Kafka and SQLite, and the records that it wrote."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client import CollectorRegistry

from ingest.serve import IngestServer
from processor.metrics import Metrics
from storage.sql.project_tokens import ProjectTokens
from tests.integration.pipeline import TEAM, Pipeline
from tests.services.waiting import PATIENCE_S

UUID = "01890000-0000-7000-8000-00000000000"
"""A UUID without its last digit."""


def generation(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return one event as a PostHog SDK sends it."""
    return {
        "event": "$ai_generation",
        "uuid": f"{UUID}{number}",
        "distinct_id": f"user {number}",
        "timestamp": "2026-11-01T10:00:00Z",
        "properties": {
            "$ai_trace_id": f"trace {number}",
            "$ai_model": "gpt-5-mini",
            "$ai_input": [{"role": "user", "content": "hello"}],
            "$ai_output_choices": [{"role": "assistant", "content": "hi"}],
        },
        **changes,
    }


class IngestRig:
    """A running front door, a token of `TEAM`, and a client.

    Args:
        settings: laid over the defaults of the tests.
    """

    def __init__(self, broker: str, folder: Path, **settings: Any) -> None:
        self.pipeline = Pipeline(broker, folder, **{"ingest": {"port": 0, "drain_s": 0}, **settings})
        self.tokens = ProjectTokens(self.pipeline.database)
        _, self.token = self.tokens.create(team_id=TEAM, now=datetime.now(UTC))
        self.registry = CollectorRegistry()
        self.server = IngestServer(self.pipeline.settings, self.pipeline.database, Metrics(self.registry))

    @contextmanager
    def running(self) -> Iterator[IngestRig]:
        """Serve until the end of the block."""
        self.server._tokens.poll()
        self.server.start()
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{self.server.port}", timeout=PATIENCE_S)
        try:
            yield self
        finally:
            self.http.close()
            self.server.stop()

    def batch(self, *events: dict[str, Any], **fields: Any) -> httpx2.Response:
        """Send events as posthog-python does."""
        body = gzip.compress(json.dumps({"api_key": self.token, "batch": events, **fields}).encode())
        return self.http.post("/batch/", content=body, headers={"Content-Encoding": "gzip"})

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows on the events topic, with their properties decoded."""
        found = []
        for message in self.pipeline.read(self.pipeline.settings.kafka.topics.events):
            row = json.loads(message.value())
            properties = row["properties"]
            row["properties"] = json.loads(properties) if isinstance(properties, str) else properties
            found.append(row)
        return sorted(found, key=lambda row: str(row["uuid"]))

    def messages(self) -> list[Any]:
        """Return the messages on the events topic."""
        return self.pipeline.read(self.pipeline.settings.kafka.topics.events)

    def letters(self) -> list[tuple[str, bytes | None]]:
        """Return the dead letters: the reason and the original bytes."""
        found = self.pipeline.read(self.pipeline.settings.kafka.topics.dead_letters)
        return [(dict(each.headers())["gavel.error.class"].decode(), each.value()) for each in found]

    def count(self, name: str, **labels: str) -> float:
        """Return a counter's value; 0 if it has not counted yet."""
        return self.registry.get_sample_value(name, labels) or 0.0
