"""Tells a judge's answer from what a model writes around it: thinking in any clothing, and markup.

The tags themselves are read by `evaluators.messages.tags`. Single passes, no regular expressions.
"""

from __future__ import annotations

from evaluators.llm_judge.output import SCHEMA_NAME
from evaluators.llm_judge.tool_names import is_our_tool
from evaluators.messages.tags import TAG_CHARS, Tag, tags

_MARKUP_CHARS = 1_000
_ENDS_TRIED = 32
"""How many ends of thinking are tried as the beginning of the answer, the last ones first."""
_MARKUP_WORDS = frozenset(
    {
        *("json", "jsonc", "jsonl", "ndjson", "hjson", "js", "javascript"),
        *("function", "functions", "assistant", "final", "tool", "tool_call", SCHEMA_NAME),
    }
)
"""Words of fences and tool calls; every other word around an object is prose."""
_END_WORDS = frozenset({"assistant"})
"""The same after an object: a special token names who would speak next."""
_BEGINS_CALL = ("tool", "function", "invoke")
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad"
"""The byte order mark and characters without a width, which models and gateways leave in texts."""
_PUNCTUATION = str.maketrans(dict.fromkeys("`~*[](){},:;=.\\$#0123456789" + _INVISIBLE, " "))
_CALLING = frozenset({"function", "invoke", "name", "tool", "tool_call", "tool_name", "function_name", "call"})
"""Words of a tag before the name of the tool that it calls, as in `<function=NAME>` and `<invoke name="NAME">`."""
_SPEAKING = frozenset({"role", "from", "source", "author", "speaker", "sender", "by"})
"""Words of a tag before the name of who speaks, as in `<message role="user">`."""
_JUDGES = frozenset({"assistant", "model", "judge", "ai"})
_STRUCK = "~~"
"""Markdown for words that are taken back; three of them are a fence."""


def answer_starts(text: str) -> list[int]:
    """Return the places where the answer may begin: after an end of thinking, the last first, and at the start."""
    first = next((tag for tag in tags(text[: 2 * TAG_CHARS]) if tag.start == 0 and not tag.closing), None)
    foreign = first.name if first is not None and not first.around_answers else ""
    starts = [tag.end for tag in tags(text) if _ends_thinking(text, tag, foreign)]
    if text[:8].lower() == "analysis":  # harmony without its special tokens
        marker = "assistantfinal"
        starts += [place + len(marker)] if (place := text.rfind(marker)) >= 0 else []
    return [*sorted(starts)[: -_ENDS_TRIED - 1 : -1], 0]


def _ends_thinking(text: str, tag: Tag, foreign: str) -> bool:
    """Return whether a tag ends thinking. `foreign` is the name of the element that the text begins with."""
    if tag.ends_only or (tag.closing and (tag.thinks or tag.name in ("channel", foreign))):
        return True
    if tag.name != "message":
        return False
    header = text[max(0, tag.start - TAG_CHARS) : tag.start].lower()
    recipient = header.rpartition("<|start|>")[2]
    channel = header.rpartition("<|channel|>")[2].strip()
    return channel.startswith("final") or f"to=functions.{SCHEMA_NAME}" in recipient


def has_open_thinking(text: str) -> bool:
    """Return whether a text holds a tag that opens thinking."""
    return any(tag.opens_thinking for tag in tags(text))


def visible(text: str) -> str:
    """Return a text without the white space and the invisible characters around it. Linear time."""
    start, end = 0, len(text)
    while start < end and (text[start].isspace() or text[start] in _INVISIBLE):
        start += 1
    while start < end and (text[end - 1].isspace() or text[end - 1] in _INVISIBLE):
        end -= 1
    return text[start:end]


def is_markup(text: str) -> bool:
    """Return whether a text is nothing but markup around an answer: white space, fences, tags, a tool's name."""
    return _is_markup(text, _MARKUP_WORDS)


def is_end_markup(text: str) -> bool:
    """Return whether a text is nothing but markup that ends an answer: it begins neither a fence nor another call."""
    begins_call = (not tag.closing and any(stem in tag.name for stem in _BEGINS_CALL) for tag in tags(text))
    return _is_markup(text, _END_WORDS) and not any(begins_call)


def _is_markup(text: str, allowed: frozenset[str]) -> bool:
    if not text or text.isspace():
        return True
    if len(text) > _MARKUP_CHARS or _STRUCK in text.replace("~~~", ""):
        return False
    kept = list(text)
    for tag in tags(text):
        if (tag.thinks and not tag.empty) or _names_another(text[tag.start + 1 : tag.end - 1]):
            return False
        if tag.around_answers or tag.empty:
            kept[tag.start : tag.end] = " " * (tag.end - tag.start)
    words = "".join(kept).translate(_PUNCTUATION).lower().split()
    return all(word in allowed for word in words)


def _names_another(tag: str) -> bool:
    """Return whether the inside of a tag names a tool, and not ours, or a speaker, and not the judge."""
    before, *rest = tag.split("=")
    for after in rest:
        words = before.split()
        key = words[-1].strip("</|'\"").lower() if words else ""
        value = after.strip(" '\"").partition(" ")[0].strip("|/'\"")
        if (key in _CALLING and not is_our_tool(value)) or (key in _SPEAKING and value.lower() not in _JUDGES):
            return True
        before = after
    return False
