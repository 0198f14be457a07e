"""The stand-in provider is understood by the real client packages, and misbehaves exactly as told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from evaluators.llm_judge.output import OutputContract
from evaluators.llm_judge.prompt import build_prompt
from evaluators.llm_judge.transcript import transcribe
from evaluators.verdict import Verdict
from examples.stand_in.answer import encode_answer
from examples.stand_in.client import StandInServer
from examples.stand_in.script import FAILURES, ONLY_MODE
from tests.services.waiting import PATIENCE_S, until

VERDICT = {
    "type": "object",
    "properties": {"reasoning": {"type": "string"}, "verdict": {"type": "boolean"}},
    "required": ["reasoning", "verdict"],
    "additionalProperties": False,
}
STRICT: Any = {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": VERDICT}}


def messages(output: str = "Your parcel left on Monday.", nonce: str = "9f3c77aa01d2") -> Any:
    system = f"You judge. Criteria: it must not leak personal data. The text stands between <fence-{nonce}> marks."
    fenced = [f"<fence-{nonce}>\n{text}\n</fence-{nonce}>" for text in ("user: where is it?", output)]
    user = f"Input:\n{fenced[0]}\nOutput:\n{fenced[1]}"
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


@pytest.fixture
def client(stand_in: StandInServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=stand_in.base_url, api_key="sk-test", max_retries=0, timeout=PATIENCE_S) as client:
        yield client


def test_a_verdict_is_the_same_whatever_way_of_structured_output_and_whatever_nonce(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "function": {"name": "give_verdict", "parameters": VERDICT}}
    choice: Any = {"type": "function", "function": {"name": "give_verdict"}}
    in_prompt = [{"role": "system", "content": f"Answer as JSON of this schema: {json.dumps(VERDICT)}"}]
    ask = client.chat.completions.create
    strict = ask(model="gpt-5-mini", messages=messages(), response_format=STRICT)
    called = ask(model="gpt-5-mini", messages=messages(nonce="0badc0ffee11"), tools=[tool], tool_choice=choice)
    by_prompt: Any = [*in_prompt, *messages()]
    json_mode = ask(model="gpt-5-mini", messages=by_prompt, response_format={"type": "json_object"})
    plain = ask(model="gpt-5-mini", messages=by_prompt)
    calls: Any = called.choices[0].message.tool_calls
    texts = [each.choices[0].message.content or "" for each in (strict, json_mode, plain)] + [
        calls[0].function.arguments
    ]
    verdicts = [json.loads(text) for text in texts]
    assert verdicts == [verdicts[0]] * 4
    assert verdicts[0]["verdict"] is True
    assert strict.usage
    assert strict.usage.prompt_tokens > 50


def test_gavels_own_prompts_are_judged_alike_in_every_call(client: openai.OpenAI) -> None:
    """The nonce of the fence is new in every call; the verdict must not depend on it."""
    for contract in (
        OutputContract(),
        OutputContract(allows_na=True),
        OutputContract(type="numeric", minimum=1, maximum=5),
        OutputContract(type="categorical", options=(("calm", "Calm"), ("angry", "Angry"))),
    ):
        answers = set()
        for nonce in ("0f" * 8, "a7" * 8, "deadbeefcafe0123"):
            judged = transcribe([{"role": "user", "content": "Where is it?"}], "On its way.", None)
            prompt = build_prompt("The answer is friendly.", contract, judged, nonce=nonce)
            asked: Any = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
            format_: Any = {"type": "json_schema", "json_schema": {"name": "v", "schema": contract.schema()}}
            reply = client.chat.completions.create(model="gpt-5-mini", messages=asked, response_format=format_)
            answers.add(reply.choices[0].message.content or "")
        assert len(answers) == 1
        assert isinstance(contract.read(json.loads(answers.pop())), Verdict)


def test_a_leaked_address_fails_where_the_criteria_forbid_it(client: openai.OpenAI) -> None:
    asked = messages(output="Write to anna.berg@example.org")
    reply = client.chat.completions.create(model="gpt-5-mini", messages=asked, response_format=STRICT)
    assert json.loads(reply.choices[0].message.content or "")["verdict"] is False


def test_scores_and_categories_stay_within_what_the_schema_allows(client: openai.OpenAI) -> None:
    score = {"type": "number", "minimum": 1, "maximum": 5}
    categories = {"type": "array", "items": {"type": "string", "enum": ["billing", "bug", "other"]}}
    for name, schema in (("score", score), ("categories", categories)):
        wanted = {"type": "object", "properties": {"reasoning": {"type": "string"}, name: schema}}
        format_: Any = {"type": "json_schema", "json_schema": {"name": "v", "schema": wanted}}
        for turn in range(20):
            asked = messages(output=f"Answer {turn}")
            reply = client.chat.completions.create(model="gpt-5-mini", messages=asked, response_format=format_)
            answer = json.loads(reply.choices[0].message.content or "")
            assert 1 <= answer["score"] <= 5 if name == "score" else {"billing", "bug", "other"} > set(answer[name])


def test_streams_are_put_together_by_the_clients_to_what_was_scripted(
    stand_in: StandInServer, client: openai.OpenAI
) -> None:
    text = "Grüße! A long answer that comes in more than one piece. " * 3
    header = {"x-stand-in-answer": encode_answer({"text": text})}
    chat = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True, extra_headers=header
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chat if chunk.choices) == text
    with client.responses.stream(model="gpt-4o", input="hi", extra_headers=header) as stream:
        assert stream.get_final_response().output_text == text
    with anthropic.Anthropic(base_url=stand_in.url, api_key="sk-ant", max_retries=0) as claude:
        asked: Any = [{"role": "user", "content": "hi"}]
        with claude.messages.stream(model="claude-x", max_tokens=100, messages=asked, extra_headers=header) as events:
            assert events.get_final_text() == text


def test_tool_calls_arrive_through_every_protocol(stand_in: StandInServer, client: openai.OpenAI) -> None:
    call = {"id": "call_1", "name": "get_weather", "arguments": '{"city":"Oslo"}'}
    header = {"x-stand-in-answer": encode_answer({"tool_calls": [call]})}
    asked: Any = [{"role": "user", "content": "Is it raining in Oslo?"}]
    chat = client.chat.completions.create(model="gpt-4o", messages=asked, extra_headers=header)
    calls: Any = chat.choices[0].message.tool_calls
    assert chat.choices[0].finish_reason == "tool_calls"
    assert calls[0].function.arguments == call["arguments"]
    response: Any = client.responses.create(model="gpt-4o", input="?", extra_headers=header)
    assert response.output[0].name == "get_weather"
    with anthropic.Anthropic(base_url=stand_in.url, api_key="sk-ant", max_retries=0) as claude:
        for stream in (False, True):
            with claude.messages.stream(model="c", max_tokens=9, messages=asked, extra_headers=header) as events:
                message = (
                    events.get_final_message()
                    if stream
                    else claude.messages.create(model="c", max_tokens=9, messages=asked, extra_headers=header)
                )
            block: Any = message.content[0]
            assert block.input == {"city": "Oslo"}


def test_models_and_embeddings_are_served(client: openai.OpenAI) -> None:
    assert "gpt-5-mini" in [model.id for model in client.models.list()]
    assert len(client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).data[1].embedding) == 16


@pytest.mark.parametrize("name", sorted(set(FAILURES) - set(ONLY_MODE) - {"refuse_temperature"}))
def test_every_failure_reaches_the_client_with_its_status_and_code(
    name: str, stand_in: StandInServer, client: openai.OpenAI
) -> None:
    stand_in.script({"match": {"model": "gpt-5-mini"}, "times": 1, "action": {"do": name, "retry_after": "7"}})
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="gpt-5-mini", messages=messages(), response_format=STRICT)
    assert (caught.value.status_code, caught.value.code) == (FAILURES[name].status, FAILURES[name].code)
    assert caught.value.response.headers["retry-after"] == "7"
    client.chat.completions.create(model="gpt-5-mini", messages=messages())
    assert [entry["status"] for entry in stand_in.requests()] == [FAILURES[name].status, 200]
    assert stand_in.stats()["rules"][0]["used"] == 1


def test_a_refused_way_of_structured_output_leaves_the_other_ways_open(
    stand_in: StandInServer, client: openai.OpenAI
) -> None:
    stand_in.script({"action": "refuse_json_schema"}, {"action": "refuse_tools"})
    with pytest.raises(openai.BadRequestError, match="json_schema"):
        client.chat.completions.create(model="m", messages=messages(), response_format=STRICT)
    client.chat.completions.create(model="m", messages=messages(), response_format={"type": "json_object"})


@pytest.mark.parametrize("name", ["cut", "cut_body"])
def test_a_cut_connection_is_a_connection_error(name: str, stand_in: StandInServer, client: openai.OpenAI) -> None:
    stand_in.script({"action": name})
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model="m", messages=messages())


def test_a_hung_request_ends_when_the_client_gives_up(stand_in: StandInServer, client: openai.OpenAI) -> None:
    stand_in.script({"action": "hang"})
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(model="m", messages=messages())
    until(lambda: not stand_in.stats()["in_flight"], "the end of the request in flight")


def test_wrong_answers_are_wrong_as_told(stand_in: StandInServer, client: openai.OpenAI) -> None:
    kinds = ["fenced", "truncated", "not_json", "empty_answer", "refusal", "filtered_finish"]
    stand_in.script(*({"times": 1, "action": kind} for kind in kinds), {"action": {"do": "answer", "content": "[1]"}})
    found = {
        kind: client.chat.completions.create(model="m", messages=messages(), response_format=STRICT).choices[0]
        for kind in [*kinds, "answer"]
    }
    assert "```json\n{" in (found["fenced"].message.content or "")
    assert found["truncated"].finish_reason == "length"
    assert "{" not in (found["not_json"].message.content or "")
    assert found["empty_answer"].message.content is None
    assert found["refusal"].message.refusal
    assert found["filtered_finish"].finish_reason == "content_filter"
    assert found["answer"].message.content == "[1]"


@pytest.mark.parametrize("name", ["malformed", "html", "empty_body", "no_choices"])
def test_nonsense_bodies_come_with_status_200(name: str, stand_in: StandInServer, client: openai.OpenAI) -> None:
    stand_in.script({"action": name})
    raw = client.chat.completions.with_raw_response.create(model="m", messages=messages())
    assert raw.status_code == 200
    assert b'"content"' not in raw.content


def test_a_request_can_ask_for_its_own_treatment(client: openai.OpenAI) -> None:
    ask = client.chat.completions.create
    with pytest.raises(openai.RateLimitError):
        ask(model="scripted:rate_limited", messages=messages())
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-invalid").chat.completions.create(model="m", messages=messages())
    with pytest.raises(openai.InternalServerError):
        ask(model="m", messages=messages(), extra_headers={"x-stand-in": "server_error"})


def test_an_unknown_action_or_matcher_is_refused(stand_in: StandInServer) -> None:
    with pytest.raises(ValueError, match="unknown action 'explode'"):
        stand_in.script({"action": "explode"})
    with pytest.raises(ValueError, match="cannot match on modle"):
        stand_in.script({"match": {"modle": "x"}, "action": "hang"})


def test_three_hundred_calls_run_side_by_side(stand_in: StandInServer) -> None:
    async def all_at_once() -> None:
        limits = openai.DefaultAsyncHttpxClient(limits=openai.DEFAULT_CONNECTION_LIMITS)
        async with openai.AsyncOpenAI(
            base_url=stand_in.base_url, api_key="k", max_retries=0, timeout=PATIENCE_S, http_client=limits
        ) as client:
            calls = [client.chat.completions.create(model="m", messages=messages()) for _ in range(300)]
            waiting = asyncio.gather(*calls, return_exceptions=True)
            while stand_in.stats()["in_flight"] < 300:  # the server counts, and tells nobody
                await asyncio.sleep(0.05)
            waiting.cancel()

    stand_in.script({"action": "hang"})
    asyncio.run(all_at_once())
    assert stand_in.stats()["most_in_flight"] == 300


def test_calls_that_hang_over_a_reset_are_not_counted_after_it(stand_in: StandInServer) -> None:
    async def leave_hanging() -> None:
        async with openai.AsyncOpenAI(base_url=stand_in.base_url, api_key="k", max_retries=0) as client:
            waiting = asyncio.gather(
                *(client.chat.completions.create(model="m", messages=messages()) for _ in range(5)),
                return_exceptions=True,
            )
            while stand_in.stats()["in_flight"] < 5:
                await asyncio.sleep(0.05)
            stand_in.reset()
            waiting.cancel()

    stand_in.script({"action": "hang"})
    asyncio.run(leave_hanging())
    for _ in range(20):
        assert stand_in.stats()["in_flight"] == 0
        time.sleep(0.02)


def test_above_the_allowed_concurrency_requests_are_refused(stand_in: StandInServer) -> None:
    async def burst() -> None:
        nonlocal refused
        async with openai.AsyncOpenAI(base_url=stand_in.base_url, api_key="k", max_retries=0) as client:
            ask = client.chat.completions.create
            calls = {asyncio.create_task(ask(model="m", messages=messages())) for _ in range(20)}
            while len(calls) > 5:
                done, calls = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                refused += [each.exception() for each in done]
            for each in calls:
                each.cancel()

    refused: list[BaseException | None] = []
    stand_in.settings(max_concurrent=5)
    stand_in.script({"action": "hang"})
    asyncio.run(burst())
    assert [type(each) for each in refused] == [openai.RateLimitError] * 15
