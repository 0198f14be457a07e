"""Decides which parts of a transcript over the prompt's limit are left out, for the judge and for the console."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluators.llm_judge.transcript import Transcript

_USEFUL_CHARS = 200
"""A message of which less than this fits is left out whole."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The middle of a text that is left out: the characters from `start` to `end`."""

    start: int
    end: int

    @property
    def chars(self) -> int:
        """How many they are."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Cut:
    """The parts of a transcript that are left out.

    Attributes:
        messages: how many of the oldest messages are left out whole.
        message: in the oldest message that is kept; None if that one is whole.
        output: in the output; None if it is whole.
        tools: how many tools are kept, the first ones.
    """

    messages: int
    message: Gap | None
    output: Gap | None
    tools: int


def cut_of(judged: Transcript, limit: int) -> Cut | None:
    """Return the cut to about `limit` characters at most, or None if everything fits.

    The output is kept whole if it fits, then tools in a quarter of the rest, then the newest messages.
    """
    total = sum(map(len, judged.messages)) + len(judged.output) + sum(map(len, judged.tools))
    if total <= limit:
        return None
    output = _gap(judged.output, limit)
    left = limit - len(_without(judged.output, output))
    tools = _fitting(judged.tools, left // 4)
    left -= sum(map(len, _first(judged.tools, tools)))
    older = len(judged.messages)
    while older and len(judged.messages[older - 1]) <= left:
        older -= 1
        left -= len(judged.messages[older])
    message = None
    if older and left > _USEFUL_CHARS:
        older -= 1
        message = _gap(judged.messages[older], left)
    return Cut(older, message, output, tools)


def shortened(judged: Transcript, cut: Cut) -> Transcript:
    """Return `judged` with marks in the place of what `cut` leaves out."""
    older, kept = judged.messages[: cut.messages], list(judged.messages[cut.messages :])
    if cut.message is not None:
        kept[0] = _without(kept[0], cut.message)
    if older:
        kept.insert(0, f"[... {len(older)} earlier messages with {sum(map(len, older))} characters left out ...]")
    return Transcript(tuple(kept), _without(judged.output, cut.output), _first(judged.tools, cut.tools))


def _gap(text: str, limit: int) -> Gap | None:
    head = limit // 2
    return Gap(head, len(text) - (limit - head)) if len(text) > limit else None


def _without(text: str, gap: Gap | None) -> str:
    if gap is None:
        return text
    return f"{text[: gap.start]}\n[... {gap.chars} characters left out ...]\n{text[gap.end :]}"


def _fitting(lines: Sequence[str], limit: int) -> int:
    for count, line in enumerate(lines):
        limit -= len(line)
        if limit < 0:
            return count
    return len(lines)


def _first(lines: tuple[str, ...], count: int) -> tuple[str, ...]:
    return lines if count == len(lines) else (*lines[:count], f"[... {len(lines) - count} tools left out ...]")
