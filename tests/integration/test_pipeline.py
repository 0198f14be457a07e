"""The main path on real parts: edits that take effect, and what becomes of bad input."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.pipeline import TEAM, Pipeline, expected_ids, generations, knows
from tests.services.waiting import until


def test_real_generations_are_judged_once_each_in_kafka_and_clickhouse(kafka: str, tmp_path: Path) -> None:
    pipeline, events = Pipeline(kafka, tmp_path), generations()
    expected = expected_ids(events, pipeline.evaluate())
    with pipeline.running():
        pipeline.produce(events)
        pipeline.await_stored(expected)
    assert pipeline.results() == expected


def test_an_edit_reaches_a_running_processor(kafka: str, tmp_path: Path) -> None:
    pipeline, events = Pipeline(kafka, tmp_path), generations()
    first = pipeline.evaluate("first")
    with pipeline.running() as runtime:
        pipeline.produce(events[:50])
        expected = expected_ids(events[:50], first)
        pipeline.await_stored(expected)
        second = pipeline.evaluate("second")
        pipeline.evaluations.set_status(TEAM, first, "paused", actor="test", now=datetime.now(UTC))
        until(lambda: knows(runtime, pipeline.evaluations.get(TEAM, first)), lambda: "the edit is not known")
        pipeline.produce(events[50:100])
        expected += expected_ids(events[50:100], second)
        pipeline.await_stored(expected)
    assert pipeline.results() == expected


def test_without_definitions_a_role_is_not_ready_and_consumes_nothing(kafka: str, tmp_path: Path) -> None:
    pipeline, events = Pipeline(kafka, tmp_path), generations()[:20]
    evaluation = pipeline.evaluate()
    store = Path(tmp_path / "gavel.db")
    pipeline.database.close()
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for file in tmp_path.glob("gavel.db*"):
        file.rename(hidden / file.name)
    pipeline.produce(events)
    with pipeline.running() as runtime:
        until(lambda: runtime._snapshots.failures >= 10, lambda: str(runtime._snapshots.last_error))
        assert runtime._ready()[0] is False
        assert runtime._stages["matcher"].records_in_flight == 0
        assert pipeline.results() == Counter()
        pipeline.database.close()
        for file in tmp_path.glob("gavel.db*"):
            file.unlink()  # SQLite recreated it
        for file in hidden.glob("gavel.db*"):
            file.rename(tmp_path / file.name)
        assert store.exists()
        pipeline.await_stored(expected_ids(events, evaluation))


def dead_letter_reasons(pipeline: Pipeline) -> Counter[tuple[str, str]]:
    letters = pipeline.read(pipeline.settings.kafka.topics.dead_letters)
    headers = [dict(letter.headers()) for letter in letters]
    return Counter((h["gavel.error.class"].decode(), h["gavel.error.message"].decode()[:20]) for h in headers)


def row(uuid: str, **changes: object) -> dict[str, object]:
    base: dict[str, object] = {
        "uuid": uuid,
        "event": "$ai_generation",
        "team_id": TEAM,
        "distinct_id": "d",
        "timestamp": "2026-03-01 10:00:00.000000",
        "properties": json.dumps({"$ai_output": "short"}),
    }
    return {**base, **changes}


POISON = {
    "not JSON": b'{"event": "$ai_generation", ',
    "not a row": b'["$ai_generation"]',
    "bytes": b"\xff\xfe$ai_generation\x00",
    "no uuid": json.dumps(row("", note="$ai_generation")).encode(),
    "no team": json.dumps({k: v for k, v in row("u1").items() if k != "team_id"}).encode(),
    "properties no JSON": json.dumps(row("u2", properties="{broken")).encode(),
    "properties a list": json.dumps(row("u3", properties="[1]")).encode(),
    "bad time": json.dumps(row("u4", timestamp="yesterday")).encode(),
    "too large": json.dumps(row("u5", properties=json.dumps({"$ai_output": "x" * (8 << 20)}))).encode(),
    "empty": b"",
}
IGNORED = {
    "other event": json.dumps(row("u6", event="$pageview")).encode(),
    "mentioned": json.dumps(row("u7", event="$pageview", note="$ai_generation")).encode(),
    "unknown team": json.dumps(row("u8", team_id=999)).encode(),
}


def test_bad_input_becomes_a_dead_letter_or_a_count_and_stops_nothing(kafka: str, tmp_path: Path) -> None:
    pipeline = Pipeline(kafka, tmp_path, kafka={"max_message_bytes": 12 << 20})
    evaluation = pipeline.evaluate()
    good = [json.dumps(row(f"good-{n}")).encode() for n in range(30)]
    largest = json.dumps(row("largest", properties=json.dumps({"$ai_output": "x" * ((8 << 20) - 4096)}))).encode()
    with pipeline.running() as runtime:
        pipeline.produce([*good[:10], *POISON.values(), *good[10:20], *IGNORED.values(), *good[20:], largest])
        pipeline.await_stored(expected_ids([*good, largest], evaluation))
        registry = runtime._metrics.registry
        value = registry.get_sample_value
        assert value("gavel_records_skipped_total", {"role": "matcher", "reason": "team_without_evaluations"}) == 1
        assert value("gavel_records_skipped_total", {"role": "matcher", "reason": "other_event"}) == 2
    letters = pipeline.read(pipeline.settings.kafka.topics.dead_letters)
    kept = Counter(letter.value() for letter in letters)
    for name, poison in POISON.items():
        assert kept[poison] == 1, f"{name}: no dead letter with the original bytes"
    assert sum(kept.values()) == len(POISON)
    assert {reason for reason, _ in dead_letter_reasons(pipeline)} == {"decode", "too_large"}


def test_an_event_that_comes_twice_shows_one_result_in_clickhouse(kafka: str, tmp_path: Path) -> None:
    pipeline, events = Pipeline(kafka, tmp_path), generations()[:10]
    expected = expected_ids(events, pipeline.evaluate())
    with pipeline.running():
        pipeline.produce(events)
        pipeline.produce(events)
        until(lambda: pipeline.results() == expected + expected, lambda: str(len(pipeline.results())))
        pipeline.await_stored(expected)


@pytest.mark.parametrize("version", ["object", "string"])
def test_properties_may_be_an_object_or_a_string(kafka: str, tmp_path: Path, version: str) -> None:
    pipeline = Pipeline(kafka, tmp_path)
    evaluation = pipeline.evaluate()
    properties = {"$ai_output": "short"}
    event = json.dumps(row("u", properties=properties if version == "object" else json.dumps(properties))).encode()
    with pipeline.running():
        pipeline.produce([event])
        pipeline.await_stored(expected_ids([event], evaluation))
