"""The tags that models write around their thinking and their answers, in whatever clothing.

Models mark thinking by tags of many names (`<think>`, `[THINK]`, `<seed:think>`, `<reasoning>`), with attributes or in
capitals, by special tokens (`<|channel|>analysis`), or by a closing tag alone, because the opening one was part of the
prompt. All are recognised by what their names have in common. Single passes, no regular expressions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

TAG_CHARS = 200
"""A tag is not longer than this, its attributes included."""
_BRACKETS = (("<", ">"), ("[", "]"), ("◁", "▷"))
_THOUGHT = (
    "think",
    "thought",
    "reason",
    "reflect",
    "analysis",
    "scratch",
    "cot",
    "monologue",
    "deliberat",
    "ponder",
    "plan",
)
"""Parts of the names of tags of thinking."""
_ENDS = frozenset({"unused95", "ctrl95", "inner_suffix"})
"""Names of special tokens that end thinking (Gemma, Apertus), though neither their names nor their form say so."""
_MARKUP = (
    *("tool", "function", "call", "invoke", "args", "sep", "section", "python", "constrain"),
    *("answer", "response", "result", "final", "json", "verdict", "box", "solution"),
    *("channel", "message", "start", "end", "return", "im_", "eot", "eom", "eos", "turn", "assistant"),
)
"""Parts of the names of tags around an answer. A tag of another name may mark a quotation."""
_WORDS = frozenset(
    {
        *("answer", "response", "result", "final", "json", "jsonoutput", "verdict", "box", "boxed", "solution"),
        *("channel", "message", "start", "end", "begin", "return", "of", "im", "eot", "eom", "eos", "turn", "text"),
        *("assistant", "invoke", "args", "sep", "section", "python", "constrain", "tag", "id", "header", "endoftext"),
        *("output", "object", "block", "record", "my", "the", "role", "sentence", "msg"),
    }
)
"""Words of the names of elements around an answer; with any other, such as `wrong_answer`, it may be a quotation."""
_OTHERS = frozenset(
    {
        *("user", "human", "wrong", "bad", "incorrect", "rejected", "invalid", "draft", "not", "example", "sample"),
        *("candidate", "student", "judged", "reference", "expected", "quoted", "quote", "original", "previous", "old"),
    }
)
"""Words that no name of a call around an answer has."""
_BREAKS = str.maketrans(dict.fromkeys("_▁-:.=\"'", " "))
_TOOLS = ("tool", "function", "call")
_RESULTS = ("result", "response", "output", "return", "observation")
"""A tag with a part of both is around a tool's result, such as `<tool_response>`, which nobody answers with."""


class Tag(NamedTuple):
    """One tag of a text.

    Attributes:
        start, end: where it stands.
        name: in lower case.
        empty: whether it is `<name/>`.
        special: whether it is a special token, such as `<|name|>`, and not an element.
    """

    start: int
    end: int
    name: str
    closing: bool
    empty: bool = False
    special: bool = False

    @property
    def thinks(self) -> bool:
        """Whether it is a tag of thinking."""
        return any(stem in self.name for stem in _THOUGHT)

    @property
    def opens_thinking(self) -> bool:
        """Whether thinking follows it."""
        return self.thinks and not self.closing and not self.empty

    @property
    def ends_only(self) -> bool:
        """Whether it is a special token that ends thinking, though it does not look like a closing tag."""
        return self.name in _ENDS

    @property
    def around_answers(self) -> bool:
        """Whether models put such tags around their answers."""
        is_call = any(stem in self.name for stem in _TOOLS)
        if is_call and any(stem in self.name for stem in _RESULTS):
            return False
        if self.name != "s" and not any(stem in self.name for stem in _MARKUP):
            return False
        words = set(self.name.translate(_BREAKS).split())
        return words.isdisjoint(_OTHERS) and (self.special or is_call or self.name == "s" or words <= _WORDS)


def tags(text: str) -> Iterator[Tag]:
    """Yield the tags of a text, by kind of bracket and in order. Linear time, because a tag's length is bounded."""
    seen: dict[str, tuple[str, bool, bool, bool] | None] = {}
    for opening, ending in _BRACKETS:
        start = text.find(opening)
        while start >= 0:
            end = text.find(ending, start + 1, start + TAG_CHARS)
            inner = text[start + 1 : end] if end > 0 else ""
            if inner and opening not in inner:
                if inner not in seen:
                    seen[inner] = _named(inner.strip())
                named = seen[inner]
                if named is not None:
                    yield Tag(start, end + 1, *named)
            start = text.find(opening, start + 1)


def _named(inner: str) -> tuple[str, bool, bool, bool] | None:
    """Return a tag's name, and whether it closes, is `<name/>` and is a special token; None if no name stands in it."""
    special = inner.startswith(("|", "｜")) or inner.endswith(("|", "｜"))
    closing = inner.endswith(("|", "｜")) and not inner.startswith(("|", "｜"))
    inner = inner.strip("|｜ ").lower()
    closing = closing or inner.startswith(("/", "end_", "end▁", "end-")) or inner.endswith(("_end", "▁end"))
    words = inner.strip("/ ").split(maxsplit=1)
    empty = inner.endswith("/") and not closing
    return (words[0], closing, empty, special) if words else None
