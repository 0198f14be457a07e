"""The names under which a message's reasoning is logged: one decision for judged replies and for judges' replies."""

from __future__ import annotations

THOUGHTS = ("reasoning_content", "reasoning", "reasoningText", "thinking", "thought", "tool_plan")
"""Fields of a message that hold its reasoning, beside its content."""
_STEMS = ("thinking", "reasoning", "thought")
_TYPES = frozenset({"summary", "summary_text", "think", "signature_delta", "cot"})


def is_reasoning_type(kind: str) -> bool:
    """Return whether parts of this type are reasoning and not answer, such as `redacted_thinking` or `reasoning.text`.

    The type is taken as it was logged, in any case and with hyphens, underscores or dots between its words.
    """
    small = kind.lower().replace("-", "_").replace(".", "_")
    return small in _TYPES or any(stem in small for stem in _STEMS)
