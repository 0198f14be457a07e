"""As much of a logged conversation as one page reads.

An event of 8 MiB can hold 500,000 messages, parts or calls, and each costs time to read, though a page shows 200 of
them. So a page reads a bounded number of values and says how many entries there are before and behind them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evaluators.messages import to_json
from evaluators.messages.fields import are_numbers
from evaluators.messages.json_text import from_json
from evaluators.messages.recognition import is_mastra, messages_in

MOST_VALUES = 10_000
"""Values of a conversation that a page reads: objects, lists, and the entries of lists."""
_DEEPEST = 32
"""Levels of JSON in which entries are left out; `evaluators.messages.blocks.MAX_DEPTH` bounds those of messages."""

_USUAL_FIELDS = 50
"""Fields of an object that count as one value with it; no SDK logs more."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A part of an input and of its output.

    The entries are those of the list of the input, and behind them those of the list of the output. Anything but a list
    is one entry. Most entries are one message each.

    Attributes:
        given, answer: the entries that are read.
        start: how many entries there are before them. behind: how many there are behind them.
        left_out: values inside the entries that are not read.
        output: the number of entries before the output if the output is not read; otherwise None.
    """

    given: Any
    answer: Any
    start: int = 0
    behind: int = 0
    left_out: int = 0
    output: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return not (self.start or self.behind or self.left_out)

    @property
    def following(self) -> int:
        """How many entries there are before the first one that is not read any more."""
        return self.start + _entries(self.given) + _entries(self.answer)


NO_EXCERPT = Excerpt(None, None)


def excerpt_of(given: Any, answer: Any, *, start: int = 0, most: int = MOST_VALUES) -> Excerpt:
    """Return the part of a conversation that begins behind `start` entries and has about `most` values.

    It takes time in proportion to `most`, and to the length of texts.
    """
    cutter = _Cutter(most)
    given, answer = (_unfolded(value, most) for value in (given, answer))
    given_count, answer_count = _entries(given), _entries(answer)
    start = min(start, max(0, given_count + answer_count - 1))
    shown = cutter.window(given, start) if start < given_count else None if given_count else given
    if start < given_count and start + _entries(shown) < given_count:
        behind = given_count + answer_count - start - _entries(shown)
        return Excerpt(shown, None, start, behind, cutter.left_out, given_count if answer_count else None)
    first = max(0, start - given_count)
    is_read = answer_count and (cutter.room > 0 or start >= given_count)
    said = cutter.window(answer, first) if is_read else None if answer_count else answer
    behind = answer_count - first - _entries(said)
    output = None if is_read or not answer_count else given_count
    return Excerpt(shown, said, start, behind, cutter.left_out, output)


def catalogue_of(tools: Any) -> Any:
    """Return the value that a catalogue of tools is the JSON of, or the catalogue itself."""
    found = from_json(tools) if isinstance(tools, str) else None
    return tools if found is None else found


def _entries(value: Any) -> int:
    """Return how many entries a value has; a vector is one."""
    if value is None:
        return 0
    return len(value) if isinstance(value, list) and not are_numbers(value) else 1


def _unfolded(value: Any, most: int) -> Any:
    """Return the list of messages that a long text is the JSON of, or the value itself."""
    if not isinstance(value, str) or value.count("{") <= most:
        return value
    found = from_json(value)
    is_messages = isinstance(found, list) and messages_in(to_json(found[:most])) is not None
    return found if is_messages else value


class _Cutter:
    """Copies values until there is no `room` for more, and counts those that it left out."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.left_out = 0

    def window(self, value: Any, start: int) -> Any:
        """Return the entries of a value behind `start`, one at least."""
        if not isinstance(value, list) or are_numbers(value):
            return self.copy(value)
        found: list[Any] = []
        for index in range(start, len(value)):
            if found and self.room <= 0:
                break
            self.room -= 1
            found.append(self.copy(value[index]))
        return found

    def copy(self, value: Any, depth: int = 0) -> Any:
        """Return a value without the entries that there is no room for."""
        if isinstance(value, str):
            return self._text(value) if _may_hold_messages(value) else value
        if depth > _DEEPEST or not isinstance(value, list | Mapping):
            return value
        self.room -= 1
        if isinstance(value, Mapping):
            return dict(self._members(value, depth))
        if are_numbers(value):
            return value
        found: list[Any] = []
        for each in value:
            if self.room <= 0:
                self.left_out += len(value) - len(found)
                break
            self.room -= 1
            found.append(self.copy(each, depth + 1))
        return found

    def _members(self, value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
        for index, (key, each) in enumerate(value.items()):
            is_plain = not (_may_hold_messages(each) if isinstance(each, str) else isinstance(each, list | Mapping))
            self.room -= index >= _USUAL_FIELDS
            if self.room > 0 or (is_plain and index < _USUAL_FIELDS):
                yield key, each if is_plain else self.copy(each, depth + 1)
            else:
                self.left_out += 1

    def _text(self, text: str) -> str:
        """Return a text; one that is the JSON of messages or parts, without those that there is no room for."""
        objects = text.count("{")
        if objects > self.room:
            found = from_json(text)
            cutter = _Cutter(self.room)
            cut = to_json(cutter.copy(found)) if found is not None else ""
            if cut and (messages_in(cut) is not None or (isinstance(found, Mapping) and is_mastra(found))):
                self.left_out += cutter.left_out
                text = cut
        self.room -= objects
        return text


def _may_hold_messages(text: str) -> bool:
    return text[:64].lstrip()[:1] in ("[", "{", '"') and "{" in text
