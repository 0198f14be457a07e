"""The load of the conditions benchmark: generations of 3.7 kB, and evaluations with mixed operators.

Every operator of the specification is drawn. A filter alone lets through between a twentieth and all of the
events; of the evaluations drawn, those are kept that match between 0.5 % and 6 % of the events, and among
them the mean is brought to 2 %.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from conditions import Target, compile_matcher, decode_row, parse_conditions

PROMPTS = tuple(f"{team}-{task}" for team in ("support", "sales", "docs", "ops") for task in range(10))
MODELS = tuple(f"{family}-{n}" for family in ("gpt", "claude", "gemini", "llama") for n in range(8))
FEATURES = ("chat", "search", "summary", "triage", "translate", "draft", "classify", "extract", "route", "rank")
REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1")
PLANS = ("free", "pro", "scale", "enterprise")
WORDS = (
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
)


def events(count: int, *, seed: int = 3) -> list[bytes]:
    """Return `count` rows as the ingestion pipeline writes them, about 3.7 kB each."""
    draw = random.Random(seed)
    return [_event(draw) for _ in range(count)]


def _event(draw: random.Random) -> bytes:
    def words(count: int) -> str:
        return " ".join(draw.choice(WORDS) for _ in range(count))

    properties: dict[str, Any] = {
        "$ai_lib": "posthog-ai",
        "$ai_provider": draw.choice(("openai", "anthropic", "google")),
        "$ai_model": draw.choice(MODELS),
        "$ai_input": [{"role": "system", "content": words(60)}, {"role": "user", "content": f'"{words(130)}"\n'}],
        "$ai_output_choices": [{"role": "assistant", "content": words(140)}],
        "$ai_input_tokens": draw.randrange(50, 4000),
        "$ai_output_tokens": draw.randrange(10, 1000),
        "$ai_latency": round(draw.random() * 20, 3),
        "$ai_total_cost_usd": round(draw.random() / 50, 6),
        "$ai_http_status": draw.choice((200, 200, 200, 200, 429, 500)),
        "$ai_is_error": draw.random() < 0.1,
        "$ai_trace_id": str(UUID(int=draw.getrandbits(128))),
        "$ai_prompt_name": draw.choice(PROMPTS),
        "$ai_prompt_version": str(draw.randrange(1, 9)),
        "feature": draw.choice(FEATURES),
        "region": draw.choice(REGIONS),
        "plan": draw.choice(PLANS),
        "app_version": f"{draw.randrange(1, 4)}.{draw.randrange(0, 6)}.{draw.randrange(0, 3)}",
        "signed_up": f"2025-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}",
        "seats": str(draw.randrange(1, 200)),
        "$lib": "posthog-python",
        "$lib_version": "7.9.1",
        "$ai_base_url": "https://api.openai.com/v1/",
        "$os": "Linux",
    }
    if draw.random() < 0.5:
        properties["experiment"] = draw.choice(("a", "b"))
    row = {
        "uuid": str(UUID(int=draw.getrandbits(128))),
        "event": "$ai_generation",
        "properties": json.dumps(properties),
        "team_id": 1,
        "project_id": 1,
        "distinct_id": f"user-{draw.randrange(10_000)}",
        "timestamp": f"2026-03-01 {draw.randrange(24):02}:{draw.randrange(60):02}:00.{draw.randrange(10**6):06}",
        "created_at": "2026-03-02 00:00:00.223456",
        "elements_chain": "",
        "person_id": str(UUID(int=draw.getrandbits(128))),
        "person_mode": "propertyless",
    }
    return json.dumps(row).encode()


def evaluations(count: int, sample: list[bytes], *, seed: int = 5) -> list[Target]:
    """Return `count` enabled evaluations, two sets of three filters each, that match 2 % of `sample`."""
    draw = random.Random(seed)
    pool: list[Target] = []
    while len(pool) < count * 2:
        pool += _usable([_target(draw, len(pool) + n) for n in range(500)], sample)
    rates = match_rates(pool, sample)
    chosen = pool[:count]
    spare = sorted(pool[count:], key=lambda target: abs(rates[target.id] - 0.02))
    while sum(rates[target.id] for target in chosen) / count > 0.02:
        worst = max(range(count), key=lambda place: rates[chosen[place].id])
        chosen[worst] = spare.pop(0)
    return chosen


def _usable(drawn: list[Target], sample: list[bytes]) -> list[Target]:
    rates = match_rates(drawn, sample)
    return [target for target in drawn if 0.005 <= rates[target.id] <= 0.06]


def match_rates(targets: list[Target], sample: list[bytes]) -> dict[str, float]:
    """Return the share of the events that each target matches."""
    matcher = compile_matcher(targets)
    counts = dict.fromkeys((target.id for target in targets), 0)
    for event in sample:
        for index, _ in matcher.match(decode_row(event)).matched:
            counts[targets[index].id] += 1
    return {name: count / len(sample) for name, count in counts.items()}


def _target(draw: random.Random, number: int) -> Target:
    sets = [
        {
            "id": f"set-{place}",
            "rollout_percentage": draw.choice((100, 100, 100, 50, 25)),
            "properties": list(_filters(draw)),
        }
        for place in range(2)
    ]
    return Target(f"evaluation-{draw.getrandbits(64):x}-{number}", parse_conditions(sets))


def _filters(draw: random.Random) -> Iterator[dict[str, Any]]:
    for key, operator, value in (draw.choice(_SELECTIVE)(draw), draw.choice(_ORDERED)(draw), draw.choice(_LOOSE)(draw)):
        yield {"key": key, "operator": operator, "value": value}


def _some(draw: random.Random, values: tuple[str, ...], most: int) -> list[str]:
    return draw.sample(values, draw.randrange(1, most + 1))


_SELECTIVE = (
    lambda draw: ("$ai_prompt_name", "exact", draw.choice(PROMPTS)),
    lambda draw: ("$ai_prompt_name", "in", _some(draw, PROMPTS, 3)),
    lambda draw: ("$ai_model", "exact", _some(draw, MODELS, 3)),
    lambda draw: ("feature", "is_cleaned_path_exact", draw.choice(FEATURES)),
    lambda draw: ("$ai_prompt_name", "starts_with", draw.choice(PROMPTS)[:-1].upper()),
    lambda draw: ("$ai_prompt_name", "ends_with", f"-{draw.randrange(10)}"),
    lambda draw: ("$ai_model", "regex", f"^{draw.choice(MODELS)[:3]}.*-[{draw.randrange(8)}]$"),
    lambda draw: ("app_version", "semver_eq", f"{draw.randrange(1, 4)}.{draw.randrange(6)}.{draw.randrange(3)}"),
    lambda draw: ("signed_up", "is_date_exact", f"2025-{draw.randrange(1, 13):02}-{draw.randrange(1, 29):02}"),
    lambda draw: ("app_version", "semver_tilde", f"{draw.randrange(1, 4)}.{draw.randrange(6)}.0"),
    lambda draw: ("app_version", "semver_wildcard", f"{draw.randrange(1, 4)}.{draw.randrange(6)}.*"),
)
_ORDERED = (
    lambda draw: ("$ai_latency", draw.choice(("gt", "gte", "min")), round(draw.random() * 10, 2)),
    lambda draw: ("$ai_latency", draw.choice(("lt", "lte", "max")), round(10 + draw.random() * 10, 2)),
    lambda draw: ("$ai_input_tokens", "between", [draw.randrange(1500), draw.randrange(2000, 4000)]),
    lambda draw: ("$ai_output_tokens", "not_between", [draw.randrange(300), draw.randrange(400, 600)]),
    lambda draw: ("$ai_total_cost_usd", "gt", round(draw.random() / 100, 5)),
    lambda draw: ("seats", draw.choice(("gt", "lte")), draw.randrange(200)),
    lambda draw: ("signed_up", draw.choice(("is_date_after", "is_date_before")), f"2025-{draw.randrange(3, 10):02}-01"),
    lambda draw: ("signed_up", "is_date_before", f"-{draw.randrange(3, 12)}m"),
    lambda draw: (
        "app_version",
        draw.choice(("semver_gt", "semver_gte")),
        f"1.{draw.randrange(6)}.{draw.randrange(3)}",
    ),
    lambda draw: (
        "app_version",
        draw.choice(("semver_lt", "semver_lte")),
        f"3.{draw.randrange(6)}.{draw.randrange(3)}",
    ),
    lambda draw: ("app_version", "semver_caret", f"{draw.randrange(1, 4)}.{draw.randrange(3)}.0"),
    lambda draw: ("$ai_http_status", "exact", draw.choice((200, "200"))),
)
_LOOSE = (
    lambda draw: ("region", "is_not", draw.choice(REGIONS)),
    lambda draw: ("plan", "not_in", _some(draw, PLANS, 2)),
    lambda draw: ("region", draw.choice(("icontains", "not_icontains")), draw.choice(("EU", "west", "-1", "central"))),
    lambda draw: ("$ai_model", draw.choice(("icontains_multi", "not_icontains_multi")), ["GPT", "claude"]),
    lambda draw: ("region", "not_regex", f"^{draw.choice(REGIONS)[:2]}-[a-m]"),
    lambda draw: ("feature", "not_starts_with", draw.choice(FEATURES)[:2]),
    lambda draw: ("feature", "not_ends_with", draw.choice(FEATURES)[-2:]),
    lambda draw: ("experiment", draw.choice(("is_set", "is_not_set")), None),
    lambda draw: ("app_version", "semver_neq", f"{draw.randrange(1, 4)}.{draw.randrange(6)}.0"),
    lambda draw: ("$ai_is_error", "exact", draw.choice((False, "false"))),
)
