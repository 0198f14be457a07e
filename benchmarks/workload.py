"""The load that benchmarks of the stream share: events of about 3.7 kB, and evaluations of which 2 % match."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson

TEAM_ID = 1
MODELS = tuple(f"model-{n}" for n in range(50))
_WORDS = (
    "refund",
    "invoice",
    "order",
    "parcel",
    "customer",
    "account",
    "answer",
    "question",
    "policy",
    "return",
    "delivery",
    "weekend",
    "support",
    "please",
    "thank",
    "explain",
    "because",
    "until",
    "change",
    "address",
    "contract",
    "renewal",
    "upgrade",
    "error",
    "message",
    "screen",
    "login",
)

HOG_SOURCE = """
let maxLength := 2000
let n := length(output)
if (n > maxLength) {
    print(f'Output too long: {n} characters')
    return false
}
print(f'Output length OK: {n} characters')
return true
"""


def events(count: int, *, seed: int = 7, at: str = "2026-03-01 10:00:00.000000") -> Iterator[bytes]:
    """Yield `count` rows as the ingestion pipeline writes them, about 3.7 kB each, all of the moment `at` (UTC)."""
    draw = random.Random(seed)
    # A thousand different bodies; uuid, model and session vary per event.
    bodies = [_properties(draw) for _ in range(1000)]
    for n in range(count):
        properties = bodies[n % len(bodies)]
        properties["$ai_model"] = MODELS[draw.randrange(len(MODELS))]
        properties["$ai_latency"] = round(draw.random() * 20, 3)
        properties["$ai_trace_id"] = f"trace-{n}"
        identity = UUID(int=draw.getrandbits(128), version=4)
        yield orjson.dumps(
            {
                "uuid": str(identity),
                "event": "$ai_generation",
                "properties": orjson.dumps(properties).decode(),
                "team_id": TEAM_ID,
                "project_id": TEAM_ID,
                "distinct_id": f"user-{n % 5000}",
                "timestamp": at,
                "created_at": at,
                "elements_chain": "",
                "person_mode": "full",
            }
        )


def _properties(draw: random.Random) -> dict[str, Any]:
    def text(words: int) -> str:
        return " ".join(draw.choice(_WORDS) for _ in range(words))

    return {
        "$ai_provider": "openai",
        "$ai_input": [
            {"role": "system", "content": "You are a helpful assistant. " + text(105)},
            {"role": "user", "content": text(130)},
        ],
        "$ai_output_choices": [{"role": "assistant", "content": [{"type": "text", "text": text(150)}]}],
        "$ai_input_tokens": draw.randrange(50, 4000),
        "$ai_output_tokens": draw.randrange(10, 900),
        "$ai_http_status": 200,
        "$ai_base_url": "https://api.openai.com/v1",
        "$lib": "posthog-python",
        "$lib_version": "6.0.0",
        "environment": "production",
        "feature": draw.choice(["chat", "search", "summary"]),
    }


def evaluation_drafts(count: int, *, matching: int | None = None) -> list[dict[str, Any]]:
    """Return `count` enabled Hog evaluations, each with two sets of three filters.

    Each matches 2 % of the events, no two of them the same events; with `matching` only so many of them do, and the
    others none.
    """

    def conditions(n: int) -> list[dict[str, Any]]:
        common = [
            {"key": "$ai_http_status", "operator": "lt", "value": 400},
            {"key": "environment", "operator": "icontains", "value": "prod"},
        ]
        name = MODELS[n % len(MODELS)] if matching is None or n < matching else f"retired-{n}"
        model = {"key": "$ai_model", "operator": "exact", "value": name}
        never = {"key": "feature", "operator": "exact", "value": f"feature-{n}"}
        return [
            {"id": "model", "rollout_percentage": 100, "properties": [model, *common]},
            {"id": "feature", "rollout_percentage": 100, "properties": [never, *common]},
        ]

    return [
        {
            "name": f"Evaluation {n}",
            "enabled": True,
            "evaluation_type": "hog",
            "evaluation_config": {"source": HOG_SOURCE},
            "output_type": "boolean",
            "output_config": {},
            "conditions": conditions(n),
        }
        for n in range(count)
    ]
