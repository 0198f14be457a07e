"""Finds the judge's answer in its text: the one JSON object that the text consists of.

An object is the answer only if nothing but markup stands around it: a Markdown fence, the tags of a tool call, closed
thinking before it. An object among sentences may be quoted from the judged text, and an object in thinking may be a
draft, so that neither is ever a verdict. Everything here is a single pass over the text, because replies are untrusted.
"""

from __future__ import annotations

import json
from typing import Any

from evaluators.llm_judge.leaked_call import leaked_arguments
from evaluators.llm_judge.output import SCHEMA_NAME, AnswerError, OutputContract, printable
from evaluators.llm_judge.quotation import is_quoted
from evaluators.llm_judge.thinking import answer_starts, has_open_thinking, is_end_markup, is_markup, visible
from evaluators.llm_judge.tool_names import ARGUMENTS, is_our_call
from evaluators.llm_judge.transcript import Transcript
from evaluators.messages.blocks import is_thinking
from evaluators.messages.calls import is_result
from evaluators.verdict import Skip, Verdict

MAX_ANSWER_CHARS = 400_000
"""More than any model writes within the limit of its answer."""
_CALL_WRAPPERS = ("function", "tool_calls", "function_call", "tool_call", SCHEMA_NAME)
_TEX = ("\\boxed", "\\fbox", "\\text", "\\texttt", "\\mathrm")
_BOXES = 3
_UNWRAPPED = 4
"""How often an answer is looked for one level deeper: a call in a list, its function, its arguments as text."""
_AGAIN = frozenset({"", "final", "corrected", "correct", "revised", "updated", "actual", "real", "true", "my", "the"})
"""Words before the name of the verdict in the name of another field that gives it too."""


def parse_answer(text: str, contract: OutputContract, *, judged: Transcript, cut_off: bool = False) -> Verdict | Skip:
    """Return the verdict in a judge's text.

    Args:
        judged: what was judged; an object that stands in it is a quotation and not an answer.
        cut_off: the text ended at the token limit, so that it must be the object and nothing else.

    Raises:
        AnswerError: there is no such object, or it breaks the contract.
    """
    text = visible(text)
    if not text:
        raise AnswerError("the answer is empty" + _cut(cut_off))
    if len(text) > MAX_ANSWER_CHARS:
        raise AnswerError(f"the answer is longer than {MAX_ANSWER_CHARS} characters")
    found = decode(text)
    if found is None and cut_off:
        raise AnswerError("the answer is not whole" + _cut(cut_off))
    if found is None:
        found = _leaked_call_in(text) or _object_in(text)
    answer = _unwrap(found, contract.field)
    if answer is None:
        raise AnswerError("the answer holds no JSON object with the fields of the contract")
    verdict = contract.read(answer)
    if (again := _said_again(answer, contract.field)) is not None:
        raise AnswerError(f"{printable(again)[:80]!r} contradicts {contract.field!r}; give one verdict")
    if is_quoted(answer, contract.field, judged):
        raise AnswerError("the answer repeats an object that stands in the judged text")
    return verdict


def _cut(cut_off: bool) -> str:
    return " (it was cut off at the token limit)" if cut_off else ""


def _leaked_call_in(text: str) -> Any:
    """Return the arguments of the call by tags that is the whole of a text but for closed thinking before it."""
    found = (leaked_arguments(text[start:]) for start in answer_starts(text))
    return next((arguments for arguments in found if arguments is not None), None)


def _object_in(text: str) -> Any:
    """Return the object that is the whole of a text but for closed thinking before it and markup around it."""
    end = text.rfind("}")
    problem = "the answer holds no JSON object with the fields of the contract"
    if end < 0:
        raise AnswerError(problem)
    if not is_end_markup(text[end + 1 :]):
        raise AnswerError("the JSON object stands among other text; it must be the whole answer")
    starts = answer_starts(text)
    if starts[0] > end:
        raise AnswerError("the JSON object stands before an end of thinking, so that it is a draft")
    for answer_start in starts:
        start = text.find("{", answer_start, end)
        if start < 0:
            continue
        head, body = _unboxed(text[answer_start:start], text[start : end + 1])
        if is_markup(head):
            found = decode(body)
            if found is not None:
                return found
            problem = "the answer is not one valid JSON object"
        elif has_open_thinking(head):
            problem = "the thinking was not closed, so that an object in it is a draft"
        else:
            problem = "the JSON object stands among other text; it must be the whole answer"
    raise AnswerError(problem)


def _unboxed(head: str, body: str) -> tuple[str, str]:
    """Return the text before an object and the object, without a box of TeX around it, such as `\\boxed{...}`.

    The text between the box and the object belongs to the head, so that it must be markup.
    """
    for _ in range(_BOXES):
        bare = head.rstrip()
        macro = next((name for name in _TEX if bare.endswith(name)), None)
        start, end = body.find("{", 1), body.rfind("}", 0, len(body) - 1)
        if macro is None or not 0 < start < end or not is_markup(body[end + 1 : -1]):
            break
        head, body = bare.removesuffix(macro) + body[1:start], body[start : end + 1]
    return head, body


def _unwrap(found: Any, field: str) -> dict[str, Any] | None:
    """Return the object with the verdict: `found` itself, or the arguments of the tool call that it describes."""
    for _ in range(_UNWRAPPED):
        if isinstance(found, str):
            found = decode(found.strip())
        if isinstance(found, list) and len(found) == 1:
            found = found[0]
        if not isinstance(found, dict) or is_result(found) or is_thinking(found):
            return None
        if field in found or "reasoning" in found:
            return found
        if not is_our_call(found):
            return None
        wrapped = next((name for name in _CALL_WRAPPERS if isinstance(found.get(name), dict | list)), None)
        if wrapped is None:
            wrapped = next((name for name in ARGUMENTS if isinstance(found.get(name), dict | str)), None)
        if wrapped is None:
            return None
        found = found[wrapped]
    return found if isinstance(found, dict) and field in found else None


def _said_again(answer: dict[str, Any], field: str) -> str | None:
    """Return the field that gives the verdict again and differently, such as `Verdict` or `final_verdict`."""
    for key, value in answer.items():
        word = "".join(filter(str.isalnum, key.lower()))
        if key != field and word.endswith(field) and word.removesuffix(field) in _AGAIN and value != answer[field]:
            return key
    return None


def decode(text: str) -> Any:
    """Return the JSON object, or the text that holds one, that `text` consists of; None if it is not one.

    Raw line breaks in strings are taken, because models write them; a field that is given twice is not.
    """
    if text[:1] not in ("{", '"', "["):
        return None
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list | str) else None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a field is given twice")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, strict=False)
