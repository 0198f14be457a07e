"""JSON of strangers: fields that have a limit are decoded at their start only, and texts are scanned in linear time."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import json_text
from ingest.json_text import is_too_deep, start_of
from ingest.limits import MAX_FIELD_CHARS
from tests.hostile.growth import assert_linear

CHARS = ["x", "é", "中", "😀", '"', "\\", "\n", "\x01"]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("char", CHARS)
@pytest.mark.parametrize("before", range(13))
def test_the_start_of_a_long_text_ends_between_two_characters(char: str, before: int, ascii_only: bool) -> None:
    text = "a" * before + char * 20_000
    raw = json.dumps(text, ensure_ascii=ascii_only).encode()
    assert start_of(raw) == text[:MAX_FIELD_CHARS]


@pytest.mark.parametrize("text", ["", "short", "x" * MAX_FIELD_CHARS, "😀" * MAX_FIELD_CHARS, "x" * 2_000])
def test_a_text_that_is_short_enough_is_whole(text: str) -> None:
    assert start_of(json.dumps(text).encode()) == text[:MAX_FIELD_CHARS]


def test_other_values_are_as_they_are_written() -> None:
    assert start_of(b"12.50") == "12.50"
    assert start_of(b'["%b"]' % ("中" * 1_000).encode()) == '["' + "中" * (MAX_FIELD_CHARS - 2)


def test_a_huge_text_takes_no_memory_of_its_own() -> None:
    raw = json.dumps("😀" + "x" * 4_000_000).encode()
    tracemalloc.start()
    try:
        start_of(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([math.nan, math.inf, -math.inf, 1.5])
    | st.text(alphabet='ab[]{},"\\\n-NaInfity é', max_size=8)
    | st.sampled_from(["NaN", '"NaN"', "-Infinity", "\\", '\\"', "]]", '{"']),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='a["\\', max_size=3), inner, max_size=4)
    ),
    max_leaves=30,
)


def _depth(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@settings(max_examples=300, deadline=None)
@given(_JSON, st.booleans())
def test_scans_of_text_see_what_decoding_it_shows(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_text, "_STRUCTURE_PIECE", 5)  # so that strings and brackets lie across pieces
        for limit in (json_text._FLATTENED, json_text._FLATTENED + 1):
            patch.setattr(json_text, "MAX_DEPTH", limit)
            assert json_text.is_too_deep(text) == (_depth(value) > limit)
        if isinstance(value, (list, dict)) and len(value) > 1:
            assert json_text._has_more(text, len(value) - 1)
            assert not json_text._has_more(text, len(value))
    assert json.loads(json_text.repair(text)) == _finite(value)


@pytest.mark.parametrize("unit", ['"",[]', '{},"["', '[[[[]]]],"\\\\"', "[" * 20 + "]" * 20])
def test_the_depth_of_a_text_of_brackets_takes_linear_time(unit: str) -> None:
    assert_linear(is_too_deep, lambda size: f"[{','.join([unit] * size)}]".encode(), 4_000)


@pytest.mark.parametrize("unit", ["NaN", '"NaN"', '"\\"NaN",-Infinity', '"\\\\",NaN'])
def test_the_repair_of_numbers_takes_linear_time(unit: str) -> None:
    assert_linear(json_text.repair, lambda size: f"[{','.join([unit] * size)}]".encode(), 4_000)
