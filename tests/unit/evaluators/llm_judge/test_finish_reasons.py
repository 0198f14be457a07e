"""Finish reasons of every provider, and of those that nobody has seen, say how the answer ended."""

from __future__ import annotations

from typing import Any

import pytest

from evaluators.llm_judge.finish_reasons import finish_of

NAMES = {
    "ended": """stop STOP tool_calls function_call end_turn stop_sequence tool_use eos_token eos COMPLETE finished
        FINISH_REASON_STOP <|im_end|> <|endoftext|> </s> something_new""",
    "cut_off": """length max_tokens MAX_TOKENS FINISH_REASON_MAX_TOKENS max_output MAX_TOKENS_REACHED time_limit
        stop_length repetition_truncation model_length length_limit incomplete max_output_tokens max_new_tokens
        model_context_window_exceeded ERROR_LIMIT truncated token_budget_exceeded max_steps_reached max_time
        out_of_tokens loop_detected""",
    "refused": """content_filter content-filter SAFETY safety_block moderation_blocked policy_violation PROMPT_BLOCKED
        IMAGE_SAFETY RECITATION BLOCKLIST SPII LANGUAGE MODEL_ARMOR refusal guardrail_intervened ERROR_TOXIC sensitive
        content_filter:SAFETY violates_guidelines input_flagged jailbreak_detected copyright unsafe
        inappropriate forbidden_content rejected NOT_ALLOWED hate csam pii cyber""",
    "failed": """error USER_CANCEL cancelled canceled abort aborted timeout network_error insufficient_system_resource
        internal_error client_disconnected upstream_failure rate_limit_exceeded deadline_exceeded server_overloaded
        preempted error_finish""",
    "unexplained": "other OTHER FINISH_REASON_OTHER",
}


@pytest.mark.parametrize(("ending", "name"), [(ending, name) for ending in NAMES for name in NAMES[ending].split()])
def test_a_finish_reason_says_how_the_answer_ended(ending: str, name: str) -> None:
    assert finish_of({"finish_reason": name}).ending == ending


@pytest.mark.parametrize(
    "choice",
    [
        {"finish_reason": "stop", "native_finish_reason": "MAX_TOKENS"},
        {"finish_reason": None, "stop_reason": "max_tokens"},
        {"finishReason": "length"},
        {"finish_reason": "stop", "status": "incomplete"},
        {"details": {"finish_reason": "length"}},
        {"finish_reason": "stop", "incomplete_details": {"reason": "max_output_tokens"}},
        {"done_reason": "length"},
    ],
)
def test_any_field_and_level_may_say_it(choice: dict[str, Any]) -> None:
    assert finish_of(choice).ending == "cut_off"
    assert finish_of({"finish_reason": "stop"}, {}, choice).ending == "cut_off"


@pytest.mark.parametrize("value", [None, 7, [], {}, {"a": 1}, True, "", "x" * 10_000])
def test_no_value_is_too_strange(value: Any) -> None:
    assert finish_of({"finish_reason": value, "details": value}).ending == "ended"
