"""Splits a reply's text into thinking and words that were said.

Servers without a parser for their model leave its thinking in the text: between tags of many names, before a closing
tag whose opening one was part of the prompt, in channels, or under a heading. A reply can also talk about such tags.
These rules decide. No words are lost, because words that were not said are thinking:

* Thinking at the beginning ends at its closing tag. Without one, all of the reply is thinking that was cut off.
* A closing tag alone ends thinking that began with the reply. Thinking in the middle of a reply counts only between
  `<think>` and the like on lines of their own, and not after a colon, which announces an example.
* A tag in code, in quotation marks or within a sentence is talked about.
* A name that ordinary XML has as well (`<analysis>`) counts only at the beginning, closed, and before an answer.
* JSON stays as it is.

The number of looks at each tag is constant, so that the time is linear.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from evaluators.messages.code_spans import code_spans, is_within
from evaluators.messages.harmony import read_harmony
from evaluators.messages.json_text import from_json
from evaluators.messages.normal import ChatPart
from evaluators.messages.tags import Tag, tags

_NAMES = frozenset({"think", "thinking", "thought", "thoughts", "reasoning", "antthinking"})
_IN_THE_MIDDLE = frozenset({"think", "thinking", "antthinking"})
_ALSO_XML = frozenset(
    {"analysis", "reflection", "reflect", "scratchpad", "scratch", "monologue", "deliberation", "pondering", "cot"}
)
_PAIRS = {"unused95": "unused94", "ctrl95": "ctrl94", "inner_suffix": "inner_prefix"}
"""Special tokens that end thinking, and those that begin it (Gemma, Apertus)."""
_ANSWERS = frozenset({"answer", "response", "solution", "final_answer", "final_response", "output", "text"})
_ANSWER = "an answer"
"""The name of special tokens that begin an answer, and so end thinking of any name."""
_AFFIXES = ("begin_of_", "end_of_", "start_of_", "begin_", "start_", "end_")
_HINTS = (
    *("think", "thought", "reasoning", "analysis", "reflect", "scratch", "monologue", "deliberat", "ponder", "cot"),
    *("unused9", "ctrl9", "inner_suffix", "channel", "begin_of_", "start_"),
)
"""One of these stands in every text that has thinking in it."""
_HEADINGS = (
    ("here is my thought process:", "here is my response:"),
    ("here's my thought process:", "here's my response:"),
    ("here are my reasoning steps:", "[begin final response]"),
)
"""The headings of thinking and of the answer (Granite, Apriel)."""
_WRAPPERS = (("<answer>", "</answer>"), ("<response>", "</response>"))
"""Elements that models put around the whole of an answer after their thinking (Hunyuan, Ernie)."""
_TALK = frozenset(
    {"tag", "tags", "token", "tokens", "element", "elements", "block", "blocks", "marker", "markers", "delimiter"}
    | {"is", "are", "was", "and", "or", "marks", "means", "mark", "should", "must", "then", "in", "section", "to"}
)
"""Words after a tag that is talked about."""
_SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", ":", ")", "*")  # fmt: skip
_LAST_TOKENS = 3
_MOST_TAGS = 20_000
"""Tags of a text that may have to do with thinking. The text behind them stays as it is; no model writes as many."""
_WINDOW = 160
"""Characters before and after a tag that tell whether it is talked about."""


class _Mark(NamedTuple):
    """A tag of thinking.

    Attributes:
        name: of the tag, without what says that it begins or ends.
        use: 0 if the text talks about the tag, 2 if it does not, 1 if that is not certain.
    """

    start: int
    end: int
    name: str
    closing: bool
    use: int
    in_code: bool


def split_thinking(text: str) -> list[ChatPart]:
    """Return the parts of a reply's text, `thinking` and `text` in order; from channels also calls and results."""
    small = text.lower()
    if not any(hint in small for hint in _HINTS):
        return [ChatPart("text", text)] if text else []
    found = read_harmony(text) or _under_headings(text, small)
    if found is not None:
        return found
    marks = _marks(text) if "<" in text or "◁" in text or "[" in text else []
    pieces = _Splitter(text, marks).pieces() if marks and from_json(text) is None else []
    return _parts(pieces) if pieces else [ChatPart("text", text)]


def _under_headings(text: str, small: str) -> list[ChatPart] | None:
    start = small[:_WINDOW].lstrip()
    for heading, answer in _HEADINGS:
        place = small.find(answer) if start.startswith(heading) and len(small) == len(text) else -1
        if place >= 0:
            begin = small.find(heading) + len(heading)
            said = text[place + len(answer) :].strip().removesuffix("[END FINAL RESPONSE]")
            return _parts([("thinking", text[begin:place]), ("text", said)])
    return None


def _parts(pieces: list[tuple[str, str]]) -> list[ChatPart]:
    made = [(kind, words.strip()) for kind, words in pieces]
    return [
        ChatPart("text", words)
        if kind == "text"
        else ChatPart("thinking", words.removeprefix("thought\n"))  # the channel's name
        for kind, words in made
        if words
    ]


class _Splitter:
    """Walks along the marks of one text."""

    def __init__(self, text: str, marks: list[_Mark]) -> None:
        self.text, self.marks = text, marks
        self.closings: dict[tuple[str, int], list[_Mark]] = defaultdict(list)
        for mark in marks:
            if mark.closing:
                degrees = () if mark.in_code else (1, 0) if mark.use else (0,)
                for name in (mark.name, ""):
                    for degree in degrees:
                        self.closings[name, degree].append(mark)
                if mark.in_code and mark.use == 2:
                    self.closings[mark.name, -1].append(mark)

    def pieces(self) -> list[tuple[str, str]]:
        """Return the pieces of the text as (kind, words); none if it holds no thinking."""
        text = self.text
        pieces: list[tuple[str, str]] = []
        opened: Counter[str] = Counter()
        place, talked = 0, False
        for mark in self.marks:
            if mark.start < place or mark.in_code:
                continue
            if not mark.closing:
                begins = self._begins(place, mark.start)
                end = self._end_of(mark) if begins else self._end_in_the_middle(mark)
                if end is not None:
                    pieces += [
                        ("text", "" if begins else text[place : mark.start]),
                        ("thinking", text[mark.end : end[0]]),
                    ]
                    place = end[1]
                opened[mark.name] += end is None and mark.use > 0
                talked = talked or (end is None and mark.use == 0)
            elif opened[mark.name]:
                opened[mark.name] -= 1
            elif not text[place : mark.start].strip():
                place = mark.end
            elif self._ends_what_began(mark, 2 if talked else 1, after_thinking=bool(pieces)):
                pieces.append(("thinking", text[place : mark.start]))
                place = mark.end
        return [*pieces, ("text", _unwrapped(text[place:]))] if pieces else []

    def _begins(self, place: int, start: int) -> bool:
        """Whether only white space and, at the very beginning, special tokens stand between a place and a tag."""
        between = self.text[place:start] if start - place <= _WINDOW else "longer"
        if not place:
            between = between.lstrip().removeprefix("<s>").removeprefix("<bos>").lstrip()
            while between.startswith(("<|", "<｜")) and ">" in between:
                between = between.partition(">")[2].lstrip()
            between = between.removeprefix("assistant").removeprefix("model")
        return not between.strip()

    def _end_of(self, mark: _Mark) -> tuple[int, int] | None:
        """Return the end of the thinking that begins with `mark`, and where the text goes on; None if none begins."""
        text, closing = self.text, self._closing(mark)
        if mark.name in _ALSO_XML:
            return (closing.start, closing.end) if closing is not None and text[closing.end :].strip() else None
        if closing is not None:
            return closing.start, closing.end
        answer = text.rfind("<answer>", mark.end) if text.endswith("</answer>") else -1
        if answer >= 0:
            return answer, answer
        is_cut_off = mark.use and (text[mark.start] != "[" or text[mark.start : mark.end] == "[THINK]")
        return (len(text), len(text)) if is_cut_off else None

    def _closing(self, mark: _Mark) -> _Mark | None:
        """Return the tag that closes thinking: one of its name before another one, one for certain before others."""
        for degree in (1, 0) if mark.use else (1,):
            for name in (mark.name, ""):
                found = self._first(name, degree, mark.end)
                if found is not None and (name or found.name not in _ALSO_XML):
                    return found
        in_open_code = self.closings.get((mark.name, -1))
        return in_open_code[-1] if in_open_code and in_open_code[-1].start >= mark.end else None

    def _first(self, name: str, degree: int, start: int) -> _Mark | None:
        found = self.closings.get((name, degree), [])
        at = bisect_left(found, start, key=lambda mark: mark.start)
        return found[at] if at < len(found) else None

    def _end_in_the_middle(self, mark: _Mark) -> tuple[int, int] | None:
        before = self.text[max(0, mark.start - _WINDOW) : mark.start].rstrip(" \t")
        if mark.use < 2 or not before.endswith("\n") or before.rstrip().endswith(":"):
            return None
        closing = self._first(mark.name, 1, mark.end) if _words(mark.name) & _IN_THE_MIDDLE else None
        return (closing.start, closing.end) if closing is not None else None

    def _ends_what_began(self, mark: _Mark, least_use: int, *, after_thinking: bool) -> bool:
        """Whether a closing tag without an opening one ends thinking."""
        if mark.name in _ALSO_XML or mark.name == "details" or mark.use < least_use:
            return False
        return bool(self.text[mark.end :].strip()) or (mark.use == 2 and not after_thinking)


def _marks(text: str) -> list[_Mark]:
    # A hostile text can repeat one tag ten thousand times, so the name of each form is worked out once.
    names: dict[str, str] = {}
    named = sorted(islice(((tag, name) for tag in tags(text) if (name := _name_of(text, tag, names))), _MOST_TAGS))
    spans = code_spans(text) if named and ("`" in text or "~~~" in text) else []
    return [
        _Mark(
            tag.start,
            tag.end,
            name,
            tag.closing or tag.ends_only or name == _ANSWER,
            _use(text, tag),
            is_within(spans, tag.start),
        )
        for tag, name in named
    ]


def _words(name: str) -> set[str]:
    return set(name.replace(":", "_").replace("-", "_").split("_"))


def _name_of(text: str, tag: Tag, names: dict[str, str]) -> str:
    """Return the name of a tag that may have to do with thinking, else an empty text; `names` keeps what was found."""
    inner = text[tag.start + 1 : tag.end - 1]
    is_link = text[tag.start] == "[" and (inner.strip("/ ").lower() != tag.name or text[tag.end : tag.end + 1] == "(")
    if is_link or inner.endswith("/"):
        return ""
    if "|" in inner or "｜" in inner:
        return _name_by_words(text, tag, inner)  # the words after a channel's tag count too
    found = names.get(inner)
    if found is None:
        found = names[inner] = _name_by_words(text, tag, inner)
    return found


def _name_by_words(text: str, tag: Tag, inner: str) -> str:
    name = tag.name.replace("▁", "_")
    for affix in _AFFIXES:
        name = name.removeprefix(affix)
    name = name.removesuffix("_start").removesuffix("_end")
    if _words(name) & _NAMES or name in _ALSO_XML:
        return name
    if name in _PAIRS or name in _PAIRS.values():
        return _PAIRS.get(name, name)
    if "|" in inner or "｜" in inner:
        if name == "channel":
            thinks = text[tag.end : tag.end + 12].lstrip().lower().startswith(("thought", "think", "analysis"))
            return name if thinks or tag.closing else ""
        return _ANSWER if name in _ANSWERS and not tag.closing else ""
    return name if name == "details" and (tag.closing or "reasoning" in inner.lower()) else ""


def _use(text: str, tag: Tag) -> int:
    return _use_between(text[max(0, tag.start - _WINDOW) : tag.start], text[tag.end : tag.end + _WINDOW])


@lru_cache(maxsize=256)  # a hostile text can repeat one tag ten thousand times
def _use_between(before: str, after: str) -> int:
    """Return whether a tag is talked about (0), is not (2) or may be (1), from the text before and after it."""
    line, rest = before.rpartition("\n")[2], after.partition("\n")[0]
    said, follows = line.rstrip(), rest.lstrip()
    if not said and not follows:
        return 2
    next_char = rest[:1]
    is_quoted = next_char and next_char in "\"'”’»" and line[-1:] in ('"', "'", "“", "‘", "«")
    in_quotes = (line.count('"') % 2 and '"' in rest) or (line.count("**") % 2 and "**" in rest)
    if is_quoted or in_quotes or (next_char and next_char in ".,;:!?)]}") or line[-1:] in ("(", "[", "{"):
        return 0
    word = follows.split(maxsplit=1)[0].strip(".,;:)").lower() if follows else ""
    if next_char.isspace() and word in _TALK:
        return 0
    if not said or not line[-1].isspace():
        return 2
    if said.endswith(_SENTENCE_ENDS):
        return 1 if follows else 2
    return 0 if (follows or after.lstrip())[:1].islower() else 1


def _unwrapped(text: str) -> str:
    """Return an answer after thinking without the special tokens or the element that stand around it."""
    text = text.strip()
    for begin, end in _WRAPPERS:
        if text.startswith(begin) and text.endswith(end) and text.count(begin) == 1:
            return text[len(begin) : -len(end)]
    for _ in range(_LAST_TOKENS):
        place = text.rfind("<|", max(0, len(text) - 40)) if text.endswith("|>") else -1
        text = text[:place].rstrip() if place >= 0 else text
    return text
