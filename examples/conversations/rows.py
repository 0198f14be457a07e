"""Makes Kafka rows of what the SDK sent, as an ingestion pipeline does.

Ids, times, latencies and what depends on this machine are replaced by values drawn from the seed, so that the same
conversations always give the same bytes. Everything else stands as the SDK sent it.
"""

from __future__ import annotations

import json
import random
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 2, 9, 7, 30, tzinfo=UTC)
NAMESPACE = uuid.UUID("5f0c3b1e-6f0a-5d2b-9a57-7d0c6a1f2e44")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

MACHINE = {"$python_version": "3.12.8", "$os": "Linux", "$os_version": "12", "$os_distro": "Debian GNU/Linux"}
BASE_URLS = {"openai": "https://api.openai.com/v1/", "anthropic": "https://api.anthropic.com"}
USD_PER_MILLION = {
    "gpt-5": (1.25, 10.0),
    "gpt-5-mini": (0.25, 2.0),
    "gpt-5-nano": (0.05, 0.4),
    "gpt-4.1": (2.0, 8.0),
    "gpt-4o": (2.5, 10.0),
    "gpt-4o-mini": (0.15, 0.6),
    "claude-haiku-4-5": (1.0, 5.0),
    "claude-sonnet-4-6": (3.0, 15.0),
    "claude-opus-4-6": (5.0, 25.0),
    "text-embedding-3-small": (0.02, 0.0),
}
"""Input and output prices: pipelines put the cost on the event."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who talks to a model."""

    distinct_id: str
    team_id: int
    properties: Mapping[str, Any]


def people(seed: int) -> list[Person]:
    """Return 40 people; every eighth belongs to team 2."""
    source = random.Random(seed)
    plans = ("free", "team", "business", "enterprise")
    return [
        Person(
            distinct_id=f"user-{number:03}",
            team_id=2 if number % 8 == 7 else 1,
            properties={
                "email": f"user{number:03}@{source.choice(('example.com', 'example.org', 'example.net'))}",
                "plan": source.choice(plans),
                "country": source.choice(("DE", "FR", "NO", "US", "JP", "BR", "IN")),
                "is_internal": number < 3,
                "seats": source.choice((1, 3, 12, 60)),
            },
        )
        for number in range(40)
    ]


def rows(captured: Iterable[Mapping[str, Any]], everybody: Iterable[Person], seed: int) -> Iterator[dict[str, Any]]:
    """Yield one row for every captured event, in order, about half a minute apart."""
    source = random.Random(seed)
    known = {person.distinct_id: person for person in everybody}
    ids: dict[str, str] = {}
    now = START
    for event in captured:
        now += timedelta(milliseconds=source.randint(900, 60_000))
        own_uuid = _stable_id(event["uuid"], ids)
        properties = _with_cost(_settled(event["properties"], source, ids))
        yield _row(event["event"], own_uuid, properties, known[event["distinct_id"]], now)


def _row(event: str, own_uuid: str, properties: dict[str, Any], person: Person, now: datetime) -> dict[str, Any]:
    person_id = str(uuid.uuid5(NAMESPACE, f"person {person.distinct_id}"))
    written = now + timedelta(milliseconds=350)
    company = f"company-{int(person.distinct_id[-3:]) % 6}"
    return {
        "uuid": own_uuid,
        "event": event,
        "properties": json.dumps(properties, ensure_ascii=False, separators=(",", ":")),
        "timestamp": _clickhouse_time(now),
        "team_id": person.team_id,
        "project_id": person.team_id,
        "distinct_id": person.distinct_id,
        "elements_chain": "",
        "created_at": _clickhouse_time(written),
        "person_id": person_id,
        "person_properties": json.dumps(person.properties, separators=(",", ":")),
        "person_mode": "full",
        "group0_properties": json.dumps({"name": company, "tier": "gold" if company < "company-3" else "basic"}),
    }


def _settled(properties: Mapping[str, Any], source: random.Random, ids: dict[str, str]) -> dict[str, Any]:
    """Replace what another run would give differently."""
    text = UUID.sub(lambda found: _stable_id(found[0], ids), json.dumps(properties, ensure_ascii=False))
    settled: dict[str, Any] = json.loads(text)
    settled |= {name: value for name, value in MACHINE.items() if name in settled}
    if "$context_tags" in settled:
        settled["$context_tags"].sort()
    if "$ai_base_url" in settled:
        settled["$ai_base_url"] = BASE_URLS[settled["$ai_provider"]]
    if "$ai_latency" in settled:
        per_token = source.uniform(0.008, 0.03)
        waited = source.uniform(0.15, 0.9) + per_token * settled.get("$ai_output_tokens", 12)
        settled["$ai_latency"] = round(waited, 3)
    return settled


def _with_cost(properties: dict[str, Any]) -> dict[str, Any]:
    prices = USD_PER_MILLION.get(properties.get("$ai_model", ""))
    if prices and "$ai_input_tokens" in properties:
        read = properties["$ai_input_tokens"] * prices[0] / 1e6
        written = properties.get("$ai_output_tokens", 0) * prices[1] / 1e6
        properties["$ai_input_cost_usd"], properties["$ai_output_cost_usd"] = round(read, 8), round(written, 8)
        properties["$ai_total_cost_usd"] = round(read + written, 8)
    return properties


def _stable_id(original: str, ids: dict[str, str]) -> str:
    """Return the id that stands for the n-th different one of the capture. Ids that are stable already stay."""
    if uuid.UUID(original).version == 5:
        return original
    return ids.setdefault(original, str(uuid.uuid5(NAMESPACE, f"capture {len(ids)}")))


def _clickhouse_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")
