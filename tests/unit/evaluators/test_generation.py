"""One function says whether a generation failed, however its SDK wrote that down."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.generation import is_errored

ERRORED: list[dict[str, Any]] = [
    {"$ai_is_error": True},
    {"$ai_is_error": "True"},
    {"$ai_is_error": "true"},
    {"$ai_is_error": " TRUE "},
    {"$ai_is_error": "1"},
    {"$ai_is_error": 1},
    {"$ai_is_error": 1.0},
    {"$ai_is_error": "yes"},
    {"$ai_error": "RateLimitError: slow down"},
    {"$ai_error": "x"},
    {"$ai_error": {"type": "overloaded_error"}},
    {"$ai_is_error": None, "$ai_error": "x"},
    {"$ai_is_error": "", "$ai_error": "x"},
    {"$ai_is_error": "perhaps", "$ai_error": "x"},
    {"$ai_http_status": 400},
    {"$ai_http_status": 529.0},
    {"$ai_http_status": "429"},
    {"$ai_error": "", "$ai_http_status": " 500 "},
]
FINE: list[dict[str, Any]] = [
    {},
    {"$ai_is_error": False},
    {"$ai_is_error": "False"},
    {"$ai_is_error": "0"},
    {"$ai_is_error": 0},
    {"$ai_is_error": None},
    {"$ai_is_error": "perhaps"},
    {"$ai_is_error": []},
    {"$ai_is_error": False, "$ai_error": "a retry went well"},
    {"$ai_is_error": "false", "$ai_http_status": 500},
    {"$ai_error": ""},
    {"$ai_error": "null"},
    {"$ai_error": "None"},
    {"$ai_error": "false"},
    {"$ai_error": None},
    {"$ai_error": {}},
    {"$ai_http_status": 200},
    {"$ai_http_status": "200"},
    {"$ai_http_status": float("nan")},
    {"$ai_http_status": "²"},
    {"$ai_http_status": "9" * 5000},
    {"$ai_http_status": [500]},
]


@pytest.mark.parametrize("properties", ERRORED, ids=str)
def test_a_failed_generation_is_known_by_its_flag_its_error_or_its_status(properties: dict[str, Any]) -> None:
    assert is_errored(properties)


@pytest.mark.parametrize("properties", FINE, ids=lambda properties: str(properties)[:60])
def test_a_flag_that_says_no_decides_and_empty_errors_say_nothing(properties: dict[str, Any]) -> None:
    assert not is_errored(properties)
