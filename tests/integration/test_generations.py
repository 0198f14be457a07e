"""The bundled generations are what the capture script makes, and what `examples/generations/README.md` promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.services.cache import CHECKOUT

BUNDLED = CHECKOUT / "examples" / "generations"


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(BUNDLED.glob("*.jsonl")) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def generations(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(row["properties"]) for row in rows if row["event"] == "$ai_generation"]


def test_the_script_makes_the_same_bytes_again(tmp_path: Path) -> None:
    script = CHECKOUT / "examples" / "capture_generations.py"
    subprocess.run([sys.executable, script, "--into", tmp_path], check=True, cwd=tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    assert made == {path.name: path.read_bytes() for path in BUNDLED.glob("*.jsonl")}


def test_there_are_at_least_500_generations_with_other_events_beside_them(rows: list[dict[str, Any]]) -> None:
    counts = Counter(row["event"] for row in rows)
    assert counts["$ai_generation"] >= 500
    assert set(counts) == {"$ai_generation", "$ai_embedding", "$ai_span", "$ai_trace"}
    assert {row["team_id"] for row in rows} == {1, 2}


def test_every_row_has_the_shape_of_the_topic(rows: list[dict[str, Any]]) -> None:
    assert len({UUID(row["uuid"]) for row in rows}) == len(rows)
    for row in rows:
        assert isinstance(json.loads(row["properties"]), dict)
        assert isinstance(json.loads(row["person_properties"]), dict)
        assert row["elements_chain"] == ""
        assert row["project_id"] == row["team_id"]
        datetime.strptime(row["timestamp"] + "+0000", "%Y-%m-%d %H:%M:%S.%f%z")


def test_all_wrappers_and_all_kinds_of_outcome_are_there(generations: list[dict[str, Any]]) -> None:
    assert {"openai", "anthropic"} == {each["$ai_provider"] for each in generations}
    assert any(each.get("$ai_framework") == "langchain" for each in generations)
    assert sum("$ai_tools" in each for each in generations) > 50
    assert sum(bool(each["$ai_model_parameters"].get("stream")) for each in generations) > 50
    statuses = {each["$ai_http_status"] for each in generations if each.get("$ai_is_error")}
    assert {0, 400, 401, 429, 500, 503} <= statuses
    endings = {each.get("$ai_stop_reason") for each in generations}
    assert {"stop", "completed", "end_turn", "tool_calls", "tool_use", "length", "max_output_tokens"} <= endings
    assert any(len(json.dumps(each["$ai_input"])) > 20_000 for each in generations)


def test_what_judges_should_find_is_there(generations: list[dict[str, Any]]) -> None:
    outputs = [json.dumps(each["$ai_output_choices"], ensure_ascii=False) for each in generations]
    for planted in ("4111 1111 1111 1111", "AKIAIOSFODNN7EXAMPLE", "I can't help", "Traceback", "博物館"):
        assert any(planted in output for output in outputs), planted
    assert sum(output in ("[]", '[{"role": "assistant", "content": []}]') for output in outputs) > 5


def test_nothing_of_the_capturing_machine_is_left(rows: list[dict[str, Any]]) -> None:
    text = json.dumps(rows)
    assert "127.0.0.1" not in text
    assert "sk-capture" not in text
    assert "x-stand-in" not in text
