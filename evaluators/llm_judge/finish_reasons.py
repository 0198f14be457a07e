"""Why an answer ended, in the words of every provider: by its end, at a limit, by a refusal, or by a failure.

Names that providers are known to send decide first, and each stands with its evidence. A name that nobody has seen is
recognised by its stems, so that `policy_violation_v2` is a refusal and `max_steps_reached` a limit. A name without any
of them is an ordinary end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

Ending = Literal["ended", "cut_off", "refused", "failed", "unexplained"]

_KNOWN: tuple[tuple[Ending, str, str], ...] = (
    ("ended", "OpenAI", "stop tool_calls function_call"),
    ("ended", "Anthropic, Bedrock", "end_turn stop_sequence tool_use pause_turn"),
    ("ended", "TGI, SGLang, llama.cpp", "eos_token eos stop_token stop_str"),
    ("ended", "Cohere, watsonx, Titan", "complete completed finish finished tool_call"),
    ("cut_off", "OpenAI, xAI, vLLM", "length repetition repetition_truncation time_limit max_output stop_length"),
    ("cut_off", "OpenAI's Responses", "incomplete max_output_tokens"),
    ("cut_off", "Anthropic", "max_tokens model_context_window_exceeded"),
    ("cut_off", "Gemini", "too_many_tool_calls"),
    ("cut_off", "Mistral", "model_length"),
    ("cut_off", "Cohere, watsonx", "error_limit max_tokens_reached token_limit"),
    ("refused", "OpenAI, Azure", "content_filter"),
    ("refused", "Anthropic", "refusal"),
    ("refused", "Gemini", "safety recitation language blocklist prohibited_content spii model_armor image_safety"),
    ("refused", "Gemini", "image_prohibited_content image_recitation"),
    ("refused", "Bedrock", "content_filtered guardrail_intervened"),
    ("refused", "Zhipu, Cohere", "sensitive error_toxic"),
    ("refused", "gateways", "safety_block moderation_blocked policy_violation prompt_blocked pii"),
    ("failed", "OpenRouter, vLLM, Cohere", "error user_cancel cancelled canceled"),
    ("failed", "DeepSeek", "insufficient_system_resource"),
    ("failed", "Zhipu", "network_error"),
    ("failed", "SGLang, vLLM", "abort aborted"),
    ("failed", "gateways", "timeout time_out rate_limit deadline_exceeded"),
    ("unexplained", "Gemini, Vercel", "other"),
)
"""Ending, who sends it, and the names."""
_STEMS: tuple[tuple[Ending, tuple[str, ...]], ...] = (
    (
        "refused",
        (
            *("safe", "filter", "block", "moderat", "polic", "prohibit", "guard", "sensitiv", "refus", "violat"),
            *(
                "recitation",
                "copyright",
                "toxic",
                "harm",
                "censor",
                "flagged",
                "denied",
                "declin",
                "disallow",
                "inspect",
            ),
            *("jailbreak", "injection", "nsfw", "restrict", "complian", "abuse", "illegal", "risk", "violence"),
            *("inappropriate", "forbid", "reject", "notallowed", "hate", "csam", "cyber"),
        ),
    ),
    (
        "failed",
        (
            *("error", "fail", "cancel", "abort", "timeout", "timedout", "disconnect", "interrupt", "unavailable"),
            *("overload", "exception", "crash", "kill", "terminat", "evict", "preempt", "network", "ratelimit"),
            *("throttl", "deadline", "insufficient", "busy"),
        ),
    ),
    (
        "cut_off",
        (
            *("max", "length", "limit", "trunc", "cutoff", "incomplete", "partial", "budget", "exceed", "context"),
            *("repetition", "repetitive", "loop", "outof", "exhaust", "toolong", "toomany"),
        ),
    ),
)
"""Parts of names that nobody has listed. A name of two kinds is the more telling one, which stands first."""
_FIELDS = (
    "finish_reason",
    "native_finish_reason",
    "stop_reason",
    "finishReason",
    "stopReason",
    "done_reason",
    "status",
)
_NESTED = (("details", "finish_reason"), ("finish_details", "type"), ("incomplete_details", "reason"))
_CHARS = 80


def _word(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower())).removeprefix("finishreason").removeprefix("stopreason")


_BY_NAME: dict[str, Ending] = {_word(name): ending for ending, _, names in _KNOWN for name in names.split()}


class Finish(NamedTuple):
    """How an answer ended, and the provider's name for it; the name is empty if there was none."""

    ending: Ending
    name: str


def finish_of(*levels: Mapping[str, Any]) -> Finish:
    """Return how an answer ended, by the first field that says more than that it ended.

    Args:
        levels: the choice first, then what else may say it: the message, the reply.
    """
    found = Finish("ended", "")
    for name in (name for level in levels for name in _names(level)):
        for part in (name, name.partition(":")[0]):  # such as `content_filter: SAFETY`
            ending = ending_of(part)
            if ending != "ended":
                return Finish(ending, name)
        found = Finish("ended", found.name or name)
    return found


def _names(choice: Mapping[str, Any]) -> Iterator[str]:
    for field in _FIELDS:
        value = choice.get(field)
        if isinstance(value, str) and value:
            yield value[:_CHARS]
    for field, inner in _NESTED:
        details = choice.get(field)
        value = details.get(inner) if isinstance(details, Mapping) else None
        if isinstance(value, str) and value:
            yield value[:_CHARS]


def ending_of(name: str) -> Ending:
    """Return what a finish reason means, whatever its case and word breaks."""
    word = _word(name)
    known = _BY_NAME.get(word)
    if known is not None:
        return known
    return next((ending for ending, stems in _STEMS if any(stem in word for stem in stems)), "ended")
