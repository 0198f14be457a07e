"""Reads a provider's reply to a judge's call, whatever shape its server gives it.

Gateways and servers differ in all of it: errors inside a 200, finish reasons in their own words, content as text, parts
or the object itself, tool arguments as text or object, usage as floats or not at all. Each of these is read here only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from evaluators.llm_judge.caller import Completion, Token
from evaluators.llm_judge.classification import classify_error
from evaluators.llm_judge.estimate import tokens_of
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.finish_reasons import Finish, finish_of
from evaluators.llm_judge.masking import shown
from evaluators.llm_judge.message_parts import MessageParts, words_of
from evaluators.llm_judge.native_forms import native_form
from evaluators.llm_judge.output import printable

_MAX_LOGPROBS = 20_000
_MAX_ALTERNATIVES = 20
_MAX_TOKENS = 10**9
_MAX_MODELS = 10_000
_MAX_CHOICES = 128
"""As many as a provider gives at the most."""
_MAX_NAME_CHARS = 200


def decode_reply(content: bytes) -> Any:
    """Return the JSON of a reply; lone surrogates and bytes that are not UTF-8 do not make it unreadable.

    Raises:
        ProviderFailure: the reply is not JSON; the text says what it is instead.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    text = content.decode("utf-8-sig", "replace").strip()
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise ProviderFailure("unavailable", _not_json(text), status=200) from None


def read_models(content: bytes) -> list[str]:
    """Return the ids of a list of models, at most `_MAX_MODELS`.

    Raises:
        ProviderFailure: the reply is not such a list.
    """
    reply = decode_reply(content)
    found = reply.get("data", reply.get("models")) if isinstance(reply, dict) else reply
    if not isinstance(found, list):
        if isinstance(reply, dict) and (reply.get("error") or reply.get("detail")):
            raise classify_error(reply, {}, now_s=0.0)
        raise ProviderFailure(
            "wrong_address", "the reply is not a list of models; is the base URL the API's?", status=200
        )
    ids = [model.get("id") or model.get("name") for model in found[:_MAX_MODELS] if isinstance(model, dict)]
    return [printable(model)[:200] for model in ids if isinstance(model, str) and model]


def _not_json(text: str) -> str:
    start = text[:200].lstrip().lower()
    if start.startswith(("data:", "event:", ": ", ":\n", "id:")):
        return "the reply is an event stream, which was not asked for; switch streaming off at the server or gateway"
    if start.startswith("<"):
        return "the reply is not JSON but a page of HTML or XML; is the base URL the API's?"
    return "the reply is empty" if not start else "the reply is not JSON; is the base URL the API's?"


def read_completion(
    content: bytes, *, sent: Sequence[Any] = (), headers: Mapping[str, str] | None = None, now_s: float = 0.0
) -> Completion:
    """Read the body of a successful reply.

    Args:
        sent: the messages of the call, from which tokens are estimated if the reply reports none.
        headers: of the reply, for `Retry-After`.
        now_s: epoch seconds.

    Raises:
        ProviderFailure: the reply holds no answer.
    """
    reply = decode_reply(content)
    if isinstance(reply, list) and len(reply) == 1:
        reply = reply[0]
    choices = _choices(reply)
    if not choices:
        raise _without_answer(reply, headers or {}, now_s)
    texts, (choice, message, parts) = _answers(choices)
    text = "\n".join(texts)
    finish = finish_of(choice, message, reply)
    gave_up = finish.ending == "failed" or (finish.ending == "unexplained" and not text)
    if choice.get("error") or (gave_up and not parts.refusal):
        raise _failed(choice, finish, headers or {}, now_s)
    error = _error_beside(reply, message)
    if error is not None and not text and not parts.refusal:
        raise classify_error(error, headers or {}, now_s=now_s)
    filtered = not text and (_is_filtered(choice.get("content_filter_results")) or _is_sensitive(reply))
    input_tokens, output_tokens, estimated = _usage(reply, sent, text + parts.thinking)
    note = parts.note
    if finish.name and not text and not note and finish.name.lower() not in ("stop", "end_turn"):
        note = f" (finish reason {shown(finish.name)})"
    return Completion(
        text=text,
        refused=finish.ending == "refused" or bool(parts.refusal) or filtered,
        cut_off=finish.ending == "cut_off" or error is not None,
        model=_name(reply.get("model")),
        system_fingerprint=_name(reply.get("system_fingerprint")),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        tokens_estimated=estimated,
        note=note,
        logprobs=() if parts.is_call or len(texts) > 1 else _tokens(choice.get("logprobs")),
    )


def _name(given: Any) -> str:
    return printable(given[:_MAX_NAME_CHARS]) if isinstance(given, str) else ""


def _tokens(given: Any) -> tuple[Token, ...]:
    """Return the tokens of an answer with their alternatives, at most `_MAX_LOGPROBS`; none if one cannot be read."""
    content = given.get("content") if isinstance(given, dict) else None
    if not isinstance(content, list) or len(content) > _MAX_LOGPROBS:
        return ()
    found: list[Token] = []
    for each in content:
        if not isinstance(each, dict) or not isinstance(each.get("token"), str):
            return ()
        others = each.get("top_logprobs")
        choices = [each, *(others[:_MAX_ALTERNATIVES] if isinstance(others, list) else ())]
        # The chosen token stands among its alternatives too.
        known = dict(pair for choice in choices if (pair := _alternative(choice)) is not None)
        found.append(Token(each["token"], tuple(known.items())))
    return tuple(found)


def _alternative(choice: Any) -> tuple[str, float] | None:
    if not isinstance(choice, dict):
        return None
    token, value = choice.get("token"), choice.get("logprob")
    if not isinstance(token, str) or not isinstance(value, int | float) or not -1e4 < value <= 1e-6:
        return None
    return token, float(value)


class _Choice(NamedTuple):
    """One of a reply's choices, its message, and the message taken apart."""

    choice: dict[str, Any]
    message: dict[str, Any]
    parts: MessageParts


def _choices(reply: Any) -> list[_Choice]:
    """Return the choices that hold a message; none if the first one does not."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    found: list[_Choice] = []
    for choice in choices[:_MAX_CHOICES] if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(message, dict) and isinstance(choice, dict) and isinstance(choice.get("text"), str):
            message = {"content": choice["text"]}
        if isinstance(message, dict):
            found.append(_Choice(choice, message, MessageParts(message, choice)))
        elif not found:
            return []
    return found


def _answers(choices: Sequence[_Choice]) -> tuple[list[str], _Choice]:
    """Return the different texts of a reply's choices, and the choice that the first text is of.

    One answer is asked for. A server that gives several has given none if they differ, as with several calls in one
    message: nothing says which of them counts. A choice without a text is not an answer, and a call stands before text,
    because some gateways send what the model said and what it called as two choices.
    """
    said = [each for each in choices if each.parts.text.strip()]
    said = [each for each in said if each.parts.is_call] or said
    return list(dict.fromkeys(each.parts.text for each in said)), said[0] if said else choices[0]


def _without_answer(reply: Any, headers: Mapping[str, str], now_s: float) -> ProviderFailure:
    """Return the failure that a 200 without a choice means: an error object, a blocked prompt, or nothing known."""
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    if choice.get("error"):
        return classify_error(choice, headers, now_s=now_s)
    native = native_form(reply)
    if native is not None:
        return native
    if not isinstance(reply, dict):
        return ProviderFailure("unavailable", "the reply is not a chat completion", status=200)
    finish = finish_of(choice)
    feedback = reply.get("promptFeedback") or reply.get("prompt_feedback")
    if finish.ending == "refused" or (isinstance(feedback, dict) and feedback.get("blockReason")):
        reason = feedback.get("blockReason") if isinstance(feedback, dict) else finish.name
        return ProviderFailure("content_filtered", f"the provider blocked the text: {shown(str(reason))}", status=200)
    if _is_sensitive(reply) or _filtered_prompt(reply.get("prompt_filter_results")):
        return ProviderFailure("content_filtered", "the provider's filter blocked the text", status=200)
    if any(reply.get(name) for name in ("error", "errors", "detail", "base_resp", "message", "msg", "error_message")):
        return classify_error(reply, headers, now_s=now_s)
    return ProviderFailure("unavailable", "the reply holds no choice", status=200)


def _filtered_prompt(results: Any) -> bool:
    for result in results[:20] if isinstance(results, list) else ():
        if isinstance(result, dict) and _is_filtered(result.get("content_filter_results")):
            return True
    return False


def _is_filtered(filters: Any) -> bool:
    """Whether one of Azure's filters says that it took a text away."""
    found = filters.values() if isinstance(filters, dict) else ()
    return any(isinstance(each, dict) and each.get("filtered") is True for each in found)


def _is_sensitive(reply: Mapping[str, Any]) -> bool:
    """Whether MiniMax says that it took a text away."""
    return reply.get("input_sensitive") is True or reply.get("output_sensitive") is True


def _error_beside(reply: Mapping[str, Any], message: Mapping[str, Any]) -> Any:
    """Return what holds the error beside a message, or None. Some servers send an empty one with every reply."""
    status = reply.get("base_resp")
    if isinstance(status, dict) and status.get("status_code"):
        return {"base_resp": status}  # MiniMax
    for holder in (reply, message):
        error = holder.get("error")
        if any(error.values()) if isinstance(error, dict) else error:
            return holder
    return None


def _failed(choice: Mapping[str, Any], finish: Finish, headers: Mapping[str, str], now_s: float) -> ProviderFailure:
    if choice.get("error"):
        return classify_error(choice, headers, now_s=now_s)
    return ProviderFailure(
        "unavailable", f"the provider gave the call up (finish reason {shown(finish.name)})", status=200
    )


def _usage(reply: Mapping[str, Any], sent: Sequence[Any], answer: str) -> tuple[int, int, bool]:
    """Return input and output tokens, and whether one of them had to be estimated."""
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        usage = reply.get("usageMetadata")
    usage = usage if isinstance(usage, dict) else {}
    total = _count(usage, "total_tokens", "totalTokenCount")
    asked = _count(usage, "prompt_tokens", "input_tokens", "promptTokenCount")
    answered = _count(usage, "completion_tokens", "output_tokens", "candidatesTokenCount")
    if asked:
        answered = max(answered, total - asked)  # some do not count the tokens of thinking, but in the total
    estimated = False
    if not asked:
        estimate = sum(tokens_of(words_of(message.get("content"))) for message in sent if isinstance(message, dict))
        asked, estimated = max(estimate, total - answered if answered else 0), estimate > 0
    if not answered and answer:
        answered, estimated = tokens_of(answer), True
    return asked, answered, estimated


def _count(usage: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = usage.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _MAX_TOKENS:
            return int(value)
    return 0
