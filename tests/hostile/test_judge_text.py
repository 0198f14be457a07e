"""Texts that a stranger can put before a judge, and replies that a provider can give: the time grows linearly."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest

from evaluators.llm_judge import OutputContract
from evaluators.llm_judge.answer import parse_answer
from evaluators.llm_judge.cache import cache_key
from evaluators.llm_judge.classification import classify_status
from evaluators.llm_judge.estimate import estimate
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.masking import shown
from evaluators.llm_judge.neutral import neutral_request
from evaluators.llm_judge.output import AnswerError
from evaluators.llm_judge.prompt import build_prompt, strip_fences
from evaluators.llm_judge.providers import make_endpoint
from evaluators.llm_judge.reply import read_completion
from evaluators.llm_judge.retry_after import retry_after
from evaluators.llm_judge.transcript import Transcript
from tests.hostile.growth import assert_linear

CONTRACT = OutputContract()
NOTHING = Transcript((), "", ())
NONCE = "9f3c77aa01d2b4e8"
ANSWER = '{"reasoning":"x","verdict":true}'
BITS = [
    " ",
    "\n",
    "<",
    "<<",
    "< ",
    "</",
    "[",
    "{",
    '{"a":',
    "[" * 8 + "]" * 8,
    '"',
    '\\"',
    "<think>",
    "</think>",
    "<think></think>",
    "</think>{",
    '</think>{"a":"',
    "[THINK]",
    "<|channel|>final<|message|>",
    "<|message|>",
    "assistantfinal{",
    "\\boxed{",
    "\ufeff",
    "<think/>",
    "<invoke name=",
    "<function=a=b ",
    "max_tokens ",
    "input + max_tokens ",
    "context max_tokens ",
    "output tokens ",
    "limit 1 requested 2 ",
    "```json\n",
    "`",
    ANSWER,
    ANSWER + "</think>",
    f"<judged-{NONCE}",
    f"</judged-{NONCE}>",
    NONCE,
    NONCE[:8],
    "try again in 1s ",
    "1s",
    "sk-aaaaaaaa",
    "AIza",
    "tokens ",
    "model ",
    "exceeds the maximum ",
    "\ud83d",
    "é",
]
MAKERS: dict[str, Callable[[str, int], str]] = {
    "repeated": lambda bit, size: bit * size,
    "after a <": lambda bit, size: "<" + bit * size,
    "before a }": lambda bit, size: bit * size + "}",
    "in a string": lambda bit, size: '{"reasoning":"' + json.dumps(bit)[1:-1] * size + '","verdict":true}',
}


def parse(text: str) -> None:
    with contextlib.suppress(AnswerError):
        parse_answer(text, CONTRACT, judged=NOTHING)


def parse_beside(text: str) -> None:
    with contextlib.suppress(AnswerError):
        parse_answer(ANSWER, CONTRACT, judged=Transcript((text,), "{" + text, (text,)))


def read(text: str) -> None:
    for body in (text, json.dumps({"choices": [{"message": {"content": text}, "finish_reason": text}], "usage": text})):
        with contextlib.suppress(ProviderFailure):
            read_completion(body.encode("utf-8", "replace"), sent=[{"content": text}])


def classify(text: str) -> None:
    for body in (text, {"error": {"message": text, "code": text, "param": text}}, {"error": [text, {"raw": text}]}):
        classify_status(400, body, {"retry-after": text, "location": text}, now_s=0.0)


def prompt(text: str) -> None:
    request = neutral_request(make_endpoint("custom", "k", base_url="http://x.test"), "m")
    judged = Transcript((text, text), text, (text,))
    build_prompt(text, CONTRACT, judged, nonce=NONCE)
    build_prompt("c", CONTRACT, judged, nonce=NONCE, max_chars=max(1, len(text)))
    cache_key(1, "f", judged, model="m", address="a")
    estimate(request, lambda *_: None)


READERS: dict[str, Callable[[str], None]] = {
    "the answer": parse,
    "the judged text beside an answer": parse_beside,
    "a reply": read,
    "a refusal": classify,
    "the prompt": prompt,
    "a fence": lambda text: void(strip_fences(text, NONCE)),
    "a mask": lambda text: void(shown(text)),
    "a wait": lambda text: void(retry_after({}, text, {"error": {"details": [{"retryDelay": text}]}}, now_s=0.0)),
}


def void(_: object) -> None:
    """Drop a value."""


@pytest.mark.parametrize("how", MAKERS)
@pytest.mark.parametrize("reader", READERS)
def test_hostile_repetitions_cost_linear_time(reader: str, how: str) -> None:
    make = MAKERS[how]
    for bit in BITS:
        size = max(1, 6_000 // len(bit))
        assert_linear(READERS[reader], lambda size, bit=bit: make(bit, size), size, f"for {bit!r} {how}")


def test_many_ends_of_thinking_before_long_objects_cost_linear_time() -> None:
    """Each of them could be where the answer begins; only a bounded number is tried."""
    assert_linear(parse, lambda size: '</think>{"a":[' + "1," * 20 * size + '</think>{"a":[1' * size + "}", 200)
    assert_linear(parse, lambda size: ("</think>" + "{" * 50) * size + "}", 200)
