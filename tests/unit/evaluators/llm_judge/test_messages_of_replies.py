"""A reply's message is a verdict only where it is the judge's answer: its text, or a call of our tool."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.llm_judge.answer import parse_answer
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.output import AnswerError, OutputContract
from evaluators.llm_judge.reply import read_completion
from evaluators.llm_judge.transcript import Transcript
from evaluators.verdict import Verdict

NOTHING = Transcript((), "", ())
DRAFT = {"reasoning": "It looks wrong.", "verdict": False}
ANSWER = {"reasoning": "It says four.", "verdict": True}
DRAFT_TEXT, ANSWER_TEXT = json.dumps(DRAFT), json.dumps(ANSWER)


def verdict_of(message: dict[str, Any], **choice: Any) -> bool | None:
    """Return the verdict of a reply with this message; None if there is none."""
    reply = {"choices": [{"message": message, "finish_reason": "stop", **choice}], "usage": {"prompt_tokens": 9}}
    try:
        found = read_completion(json.dumps(reply).encode())
        if found.refused:
            return None
        outcome = parse_answer(found.text, OutputContract(), judged=NOTHING, cut_off=found.cut_off)
    except (AnswerError, ProviderFailure):
        return None
    return outcome.result if isinstance(outcome, Verdict) else None


SILENT_TYPES = """thinking thinking_delta redacted_thinking reasoning reasoning_text reasoning.text reasoning.summary
reasoning.encrypted reasoning_content summary_text summary thought tool_result function_call_output tool_response
web_search_tool_result mcp_tool_result code_execution_output tool_output observation search_result document file source
citation audio_transcript input_file image context_text something_new"""
TEXT_TYPES = "text output_text text_delta output_json json markdown input_text message answer"


def holding(kind: str, value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return parts of a type that hold an object in every way that servers know."""
    text = json.dumps(value)
    names = ("text", "content", "thinking", "reasoning", "summary", "output", "result", "value", "json", "input")
    flat = [{"type": kind, name: held} for name in (*names, "arguments") for held in (text, value)]
    return [*flat, {"type": kind, "content": [{"type": "text", "text": text}]}, {"type": kind, "text": {"value": text}}]


@pytest.mark.parametrize("kind", SILENT_TYPES.split())
def test_a_part_that_is_not_text_of_the_answer_gives_no_verdict(kind: str) -> None:
    for part in holding(kind, DRAFT):
        assert verdict_of({"content": [part]}) is None, part
        assert verdict_of({"content": part}) is None, part
        assert verdict_of({"content": [part, {"type": "text", "text": ANSWER_TEXT}]}) is True, part


@pytest.mark.parametrize("kind", TEXT_TYPES.split())
def test_a_part_that_is_text_gives_its_verdict(kind: str) -> None:
    assert verdict_of({"content": [{"type": kind, "text": ANSWER_TEXT}]}) is True


@pytest.mark.parametrize(
    "content",
    [
        [{"text": ANSWER_TEXT}],
        [{"type": "text", "text": {"value": ANSWER_TEXT}}],
        [{"type": "output_json", "json": ANSWER}],
        [{"reasoningContent": {"reasoningText": {"text": DRAFT_TEXT}}}, {"text": ANSWER_TEXT}],
        [{"text": DRAFT_TEXT, "thought": True}, {"text": ANSWER_TEXT}],
        [{"toolUse": {"name": "record_verdict", "input": ANSWER}}],
        [{"text": "I record it."}, {"toolUse": {"name": "record_verdict", "input": ANSWER}}],
        ANSWER,
        {"type": "text", "text": ANSWER_TEXT},
        {"type": "tool_use", "name": "record_verdict", "input": ANSWER},
    ],
)
def test_content_in_the_shapes_of_servers_gives_its_verdict(content: Any) -> None:
    assert verdict_of({"content": content}) is True


OUR_NAMES = [
    *(
        "record_verdict",
        "",
        None,
        "functions.record_verdict",
        "functions.record_verdict:0",
        "default_api.record_verdict",
    ),
    *("default_api:record_verdict", "record_verdict<|channel|>commentary", "json_tool_call", "recordVerdict"),
    *("record-verdict", "record_verdict:12"),
]
OTHER_NAMES = [
    *("other", "search", "functions.search", "record_verdict_of_user", "not_record_verdict", "record", "functions."),
    *("json", "get_record_verdict", "other.record_verdict", "record_verdict.other", 7, {"a": 1}, "<|channel|>x", "0:0"),
]


def calls(name: Any, arguments: Any) -> list[dict[str, Any]]:
    """Return messages that call a tool, in every way that servers know."""
    return [
        {"content": None, "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]},
        {"content": None, "tool_calls": [{"name": name, "input": arguments}]},
        {"content": None, "tool_calls": [{"type": "custom", "custom": {"name": name, "input": arguments}}]},
        {"content": None, "function_call": {"name": name, "arguments": arguments}},
        {"content": [{"type": "tool_use", "name": name, "input": arguments}]},
        {"content": [{"type": "function_call", "name": name, "arguments": arguments}]},
        {"content": [{"type": "tool-call", "toolName": name, "args": arguments}]},
        {"content": [{"functionCall": {"name": name, "args": arguments}}]},
    ]


@pytest.mark.parametrize("name", OUR_NAMES)
@pytest.mark.parametrize("arguments", [ANSWER, ANSWER_TEXT, json.dumps(ANSWER_TEXT)])
def test_a_call_of_our_tool_gives_its_verdict_under_the_names_that_it_gets(name: Any, arguments: Any) -> None:
    for message in calls(name, arguments):
        assert verdict_of(message) is True, message


@pytest.mark.parametrize("name", [name for name in OTHER_NAMES if name != "<|channel|>x"])
@pytest.mark.parametrize("arguments", [ANSWER, ANSWER_TEXT])
def test_a_call_of_another_tool_gives_no_verdict(name: Any, arguments: Any) -> None:
    for message in calls(name, arguments):
        assert verdict_of(message) is None, message
        found = read_completion(json.dumps({"choices": [{"message": message}]}).encode())
        assert "which was not offered" in found.note, message


@pytest.mark.parametrize("kind", ["reasoning_text", "tool_result", "something_new"])
@pytest.mark.parametrize("outer", ["message", "text", ""])
def test_parts_within_parts_are_told_apart_too(outer: str, kind: str) -> None:
    inner = [{"type": kind, "text": DRAFT_TEXT}, {"type": "output_text", "text": ANSWER_TEXT}]
    assert verdict_of({"content": [{"type": outer, "content": inner[:1]}]}) is None
    assert verdict_of({"content": [{"type": outer, "content": inner}]}) is True
    deep: Any = DRAFT_TEXT
    for _ in range(200):
        deep = [{"type": "message", "content": deep}]
    assert verdict_of({"content": deep}) is None


def test_a_message_of_a_tool_gives_no_verdict() -> None:
    assert verdict_of({"role": "tool", "content": ANSWER_TEXT}) is None


@pytest.mark.parametrize(
    "said",
    [
        *({"role": role} for role in ("user", "system", "developer", "function")),
        {"channel": "analysis"}, {"channel": "commentary"}, {"phase": "commentary"},
        {"refusal": True}, {"refusal": {"reason": "policy"}},
    ],
)  # fmt: skip
def test_a_message_that_says_it_is_no_answer_gives_no_verdict(said: dict[str, Any]) -> None:
    assert verdict_of({"content": DRAFT_TEXT, **said}) is None
    assert verdict_of({"content": [{"type": "text", "text": DRAFT_TEXT}], **said}) is None


@pytest.mark.parametrize("said", [{"role": "model"}, {"channel": "final"}, {"phase": "final_answer"}, {"refusal": ""}])
def test_a_message_that_says_it_is_the_answer_gives_its_verdict(said: dict[str, Any]) -> None:
    assert verdict_of({"content": ANSWER_TEXT, **said}) is True


@pytest.mark.parametrize("said", [{"channel": "analysis"}, {"phase": "commentary"}, {"thought": "true"}])
def test_a_part_that_comes_before_the_answer_gives_no_verdict(said: dict[str, Any]) -> None:
    assert verdict_of({"content": [{"type": "text", "text": DRAFT_TEXT, **said}]}) is None
    parts = [{"text": DRAFT_TEXT, **said}, {"text": ANSWER_TEXT}]
    assert verdict_of({"content": parts}) is True


@pytest.mark.parametrize(
    "said", [{"status": "incomplete"}, {"status": "failed"}, {"type": "invalid_tool_call"}, {"error": "bad JSON"}]
)
def test_a_call_that_its_server_calls_broken_gives_no_verdict(said: dict[str, Any]) -> None:
    call = {"id": "t", "type": "function", "function": {"name": "record_verdict", "arguments": DRAFT_TEXT}, **said}
    assert verdict_of({"content": None, "tool_calls": [call]}) is None


ERRORS_BESIDE: list[dict[str, Any]] = [
    {"error": {"message": "upstream died", "code": 502}},
    {"base_resp": {"status_code": 1000, "status_msg": "unknown error"}},
]


@pytest.mark.parametrize("beside", ERRORS_BESIDE)
@pytest.mark.parametrize("level", ["reply", "message"])
def test_an_error_beside_a_text_makes_it_one_that_was_cut_off(beside: dict[str, Any], level: str) -> None:
    if level == "message" and "error" not in beside:
        return

    def read(content: str) -> Any:
        message = {"content": content, **(beside if level == "message" else {})}
        reply = {"choices": [{"message": message}], **(beside if level == "reply" else {})}
        return read_completion(json.dumps(reply).encode())

    assert read(ANSWER_TEXT).cut_off
    with pytest.raises(ProviderFailure) as failed:
        read("")
    assert failed.value.kind == "unavailable"


@pytest.mark.parametrize("empty", [{}, None, "", {"message": "", "type": "", "code": None}])
def test_an_empty_error_beside_a_text_says_nothing(empty: Any) -> None:
    reply = {"choices": [{"message": {"content": ANSWER_TEXT}}], "error": empty, "base_resp": {"status_code": 0}}
    assert not read_completion(json.dumps(reply).encode()).cut_off


@pytest.mark.parametrize(
    ("in_choice", "in_reply"),
    [({"content_filter_results": {"hate": {"filtered": True}}}, {}), ({}, {"output_sensitive": True})],
)
def test_a_text_that_a_filter_took_away_is_a_refusal(in_choice: dict[str, Any], in_reply: dict[str, Any]) -> None:
    reply = {"choices": [{"message": {"content": ""}, "finish_reason": "stop", **in_choice}], **in_reply}
    assert read_completion(json.dumps(reply).encode()).refused


def test_a_result_among_the_calls_gives_no_verdict() -> None:
    assert verdict_of({"tool_calls": [{"type": "tool_result", "name": "record_verdict", "input": ANSWER}]}) is None
    assert verdict_of({"tool_calls": [{"function": {"name": "record_verdict", "arguments": '{"a": 1}'}}]}) is None


NATIVE = {
    "Anthropic": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": ANSWER_TEXT}],
    },
    "Gemini": {"candidates": [{"content": {"parts": [{"text": ANSWER_TEXT}]}, "finishReason": "STOP"}]},
    "Ollama": {"model": "m", "message": {"role": "assistant", "content": ANSWER_TEXT}, "done": True},
    "Ollama ": {"model": "m", "response": ANSWER_TEXT, "done": True},
    "Responses": {"object": "response", "output": [{"type": "message", "content": []}]},
    "Converse": {"output": {"message": {"content": [{"text": ANSWER_TEXT}]}}, "stopReason": "end_turn"},
    "Cohere": {"id": "c", "message": {"content": [{"type": "text", "text": ANSWER_TEXT}]}, "finish_reason": "COMPLETE"},
    "text generation": [{"generated_text": ANSWER_TEXT, "details": {"finish_reason": "length"}}],
    "text generation ": {"generated_text": ANSWER_TEXT},
    "llama.cpp": {"content": ANSWER_TEXT, "stop": True, "tokens_predicted": 9},
    "Cloudflare": {"result": {"response": ANSWER_TEXT}, "success": True, "errors": []},
    "a text generation": {"results": [{"outputText": ANSWER_TEXT}]},
    "a prediction": {"predictions": [{"candidates": []}]},
    "a list of models": {"object": "list", "data": [{"id": "m"}]},
}


@pytest.mark.parametrize("name", NATIVE)
def test_a_reply_in_another_api_s_form_is_a_wrong_address_with_a_remedy(name: str) -> None:
    with pytest.raises(ProviderFailure) as raised:
        read_completion(json.dumps(NATIVE[name]).encode())
    assert raised.value.kind == "wrong_address"
    assert name.strip() in raised.value.detail
    assert "set the base URL" in raised.value.detail


def test_a_completion_in_a_list_that_was_cut_off_gives_no_verdict() -> None:
    choice = {"message": {"content": f"```json\n{ANSWER_TEXT}\n```"}}
    for reply in (
        [{"choices": [choice], "details": {"finish_reason": "length"}}],
        [{"choices": [{**choice, "details": {"finish_reason": "length"}}]}],
    ):
        assert read_completion(json.dumps(reply).encode()).cut_off


SILENT = st.sampled_from([part for kind in SILENT_TYPES.split() for part in holding(kind, DRAFT)])
SAYING = st.sampled_from(
    [
        *({"type": kind, "text": ANSWER_TEXT} for kind in TEXT_TYPES.split()),
        *(part for message in calls("record_verdict", ANSWER) for part in message["content"] or ()),
    ]
)


@given(
    before=st.lists(SILENT, max_size=3),
    answers=st.lists(SAYING, max_size=1),
    after=st.lists(SILENT, max_size=3),
    foreign=st.lists(st.sampled_from([call for name in OTHER_NAMES[:4] for call in calls(name, DRAFT)]), max_size=1),
    finish=st.sampled_from(["stop", "length", "content_filter", "error", "max_output", "policy_violation", None]),
    thinking=st.sampled_from(["", DRAFT_TEXT]),
)
def test_a_verdict_comes_out_only_if_the_message_says_it(
    before: list[Any], answers: list[Any], after: list[Any], foreign: list[Any], finish: str | None, thinking: str
) -> None:
    """Whatever thinking, results and foreign calls stand beside it, and however the answer ended."""
    other = dict(foreign[0]) if foreign else {}
    content = [*before, *answers, *after, *(other.pop("content", None) or ())]
    found = verdict_of({**other, "content": content, "reasoning_content": thinking}, finish_reason=finish)
    whole = finish in ("stop", None, "length", "max_output")
    assert found is (True if answers and whole else None)


def verdict_of_choices(*messages: dict[str, Any]) -> bool | None:
    """Return the verdict of a reply with several choices; None if there is none."""
    choices = [{"index": index, "message": message} for index, message in enumerate(messages)]
    found = read_completion(json.dumps({"choices": choices}).encode())
    try:
        outcome = parse_answer(found.text, OutputContract(), judged=NOTHING, cut_off=found.cut_off)
    except AnswerError:
        return None
    return outcome.result if isinstance(outcome, Verdict) else None


def test_choices_that_differ_are_not_an_answer() -> None:
    """One choice is asked for, and nothing says which of several counts: the repair asks again."""
    draft, answer = {"content": DRAFT_TEXT}, {"content": ANSWER_TEXT}
    assert verdict_of_choices(draft, answer) is None
    assert verdict_of_choices(answer, draft) is None
    assert verdict_of_choices({"content": "I would say pass."}, answer) is None
    call = {"tool_calls": [{"function": {"name": "record_verdict", "arguments": ANSWER_TEXT}}]}
    other = {"tool_calls": [{"function": {"name": "record_verdict", "arguments": DRAFT_TEXT}}]}
    assert verdict_of_choices(call, other) is None


def test_choices_that_say_the_same_are_one_answer() -> None:
    answer = {"content": ANSWER_TEXT}
    call = {"tool_calls": [{"function": {"name": "record_verdict", "arguments": ANSWER_TEXT}}]}
    assert verdict_of_choices(answer, answer) is True
    assert verdict_of_choices({"content": ""}, answer) is True
    assert verdict_of_choices({"content": "I record it."}, call) is True, "text and call as two choices"
    assert verdict_of_choices(call, {"content": "I recorded it."}) is True
