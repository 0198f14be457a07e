"""The kind of a provider's refusal decides whose fault it is."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from config.definitions import StatusReason
from evaluators.llm_judge.classification import classify_status
from evaluators.llm_judge.failures import FailureKind, Fault, ProviderFailure
from evaluators.llm_judge.refusals import RULES
from evaluators.llm_judge.refusals.rule import RefusalRule
from evaluators.llm_judge.retry_after import retry_after

NOW = 1_772_452_800.0  # 2026-03-02 12:00:00 UTC


def classify(status: int, body: object = None, headers: dict[str, str] | None = None) -> ProviderFailure:
    return classify_status(status, body, headers or {}, now_s=NOW)


def error(message: str = "", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, None, "unavailable"),
        (502, "<html>", "unavailable"),
        (503, error("overloaded"), "unavailable"),
        (529, error("Overloaded", type="overloaded_error"), "unavailable"),
        (408, None, "unavailable"),
        (409, None, "unavailable"),
        (429, error("slow down"), "rate_limited"),
        (
            429,
            [error("You exceeded your current quota, please check your plan", status="RESOURCE_EXHAUSTED", code=429)],
            "rate_limited",
        ),
        (429, error("You exceeded your current quota", code="insufficient_quota"), "quota"),
        (429, error("You exceeded your current quota", type="insufficient_quota"), "quota"),
        (402, error("Insufficient credits"), "quota"),
        (400, error("Your credit balance is too low to access the API", type="invalid_request_error"), "quota"),
        (401, error("Incorrect API key"), "unauthorized"),
        (403, error("not allowed"), "forbidden"),
        (404, error("The model `x` does not exist", code="model_not_found"), "model_not_found"),
        (404, None, "wrong_address"),
        (404, error("No endpoints found that support tool use"), "unsupported_format"),
        (400, error("model claude-1 not found"), "model_not_found"),
        (400, error("too long", code="context_length_exceeded"), "context_too_long"),
        (400, error("This model's maximum context length is 8192 tokens"), "context_too_long"),
        (
            400,
            error("prompt is too long: 210000 tokens > 200000 maximum", type="invalid_request_error"),
            "context_too_long",
        ),
        (
            400,
            error("The input token count (1200000) exceeds the maximum number of tokens allowed"),
            "context_too_long",
        ),
        (413, None, "context_too_long"),
        (400, error("filtered", code="content_filter"), "content_filtered"),
        (400, error("x", innererror={"code": "ResponsibleAIPolicyViolation"}), "content_filtered"),
        (403, error("flagged", code="content_policy_violation"), "content_filtered"),
        (
            400,
            error("'response_format' of type 'json_schema' is not supported", param="response_format"),
            "unsupported_format",
        ),
        (400, error("Invalid schema for response_format"), "unsupported_format"),
        (422, {"detail": "extra fields not permitted: response_format"}, "unsupported_format"),
        (400, error("m does not support tools"), "unsupported_format"),
        (400, error("Unsupported value", param="temperature"), "unsupported_temperature"),
        (400, error("temperature is deprecated for this model"), "unsupported_temperature"),
        (400, error("something else"), "bad_request"),
        (422, None, "bad_request"),
        (501, None, "bad_request"),
        (302, None, "wrong_address"),
    ],
)
def test_each_refusal_is_of_its_kind(status: int, body: object, kind: str) -> None:
    assert classify(status, body).kind == kind


@pytest.mark.parametrize("status", [400, 403, 404, 422, 500])
@pytest.mark.parametrize(
    "body",
    [
        error("The model `m` is temporarily unavailable"),
        error("The model `m` is temporarily unavailable", code="model_not_found"),
        error("Model m is overloaded", type="not_found_error"),
        error("Model m is not available right now. Please try again later."),
        error("Model m is currently loading", estimated_time=20.0),
        error("x", type="overloaded_error"),
        {"detail": "Deployment unavailable: it is still starting"},
    ],
)
def test_a_model_that_comes_back_by_itself_is_not_missing(status: int, body: object) -> None:
    assert classify(status, body).kind == "unavailable"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (error("The model `m` does not exist. Please try again later."), "model_not_found"),
        (error("Model m has been decommissioned; its replacement is temporarily free of charge"), "model_not_found"),
        (error("Model m is not available for your project"), "model_not_found"),
        (error("Requests rate limit exceeded for model m"), "rate_limited"),
        ("<p>The page was removed, had its name changed, or is temporarily unavailable.</p>", "wrong_address"),
        ("404 page not found", "wrong_address"),
    ],
)
def test_a_404_is_read_by_its_words(body: object, kind: str) -> None:
    assert classify(404, body).kind == kind


def example_status(rule: RefusalRule) -> int:
    return 400 if 400 in rule.statuses else min(status for status in rule.statuses if status)


@pytest.mark.parametrize(
    ("rule", "provider", "words"), [(rule, *evidence) for rule in RULES for evidence in rule.evidence]
)
def test_every_rule_holds_for_its_evidence(rule: RefusalRule, provider: str, words: str) -> None:
    assert classify(example_status(rule), error(words)).kind == rule.kind, provider


@pytest.mark.parametrize(("rule", "code"), [(rule, code) for rule in RULES for code in sorted(rule.codes)])
def test_every_code_decides_whatever_the_words_are(rule: RefusalRule, code: str) -> None:
    assert classify(example_status(rule), error("x", code=code)).kind == rule.kind
    assert classify(example_status(rule), error("x", type=code.upper())).kind == rule.kind


def test_every_kind_has_a_fault_and_only_lasting_faults_propose_a_status() -> None:
    for kind in get_args(FailureKind):
        failure = ProviderFailure(kind, "")
        lasting = failure.fault in (Fault.KEY, Fault.QUOTA, Fault.MODEL) or kind == "bad_request"
        assert (failure.proposes is not None) == lasting
        assert failure.proposes is None or failure.proposes in get_args(StatusReason)


@pytest.mark.parametrize(
    "body",
    [None, "", "text", [], {}, {"error": "text"}, {"error": None}, {"error": {"code": 7, "message": {"a": 1}}}, [1], 5],
)
def test_no_error_body_is_too_strange(body: object) -> None:
    assert classify(500, body).kind == "unavailable"
    assert classify(400, body).detail.startswith("HTTP 400")


@pytest.mark.parametrize(
    "key",
    ["sk-proj-abcdef123456789", "sk-ant-api03-ABCDEFGH_ijkl", "AIzaSyD-1234567890abcdef", "sk-12345***********6789"],
)
def test_a_key_in_a_providers_message_is_not_repeated(key: str) -> None:
    detail = classify(401, error(f"Incorrect API key provided: {key}. Find yours at example.com")).detail
    assert key not in detail
    assert key[-6:] not in detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Mon, 02 Mar 2026 12:01:30 GMT"}, 90.0),
        ({"retry-after": "Mon, 02 Mar 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now_s=NOW) == seconds
