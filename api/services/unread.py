"""The places of a conversation that a judge did not read, because the whole was over its limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.services.excerpt import catalogue_of, excerpt_of
from api.services.turns import END, Talk, TextPlace, TextRange, shown_place
from evaluators.llm_judge.shortening import Gap, cut_of
from evaluators.llm_judge.transcript import places_in_message, places_in_output, transcript_of
from evaluators.messages import render_tools


@dataclass(frozen=True, slots=True)
class Unread:
    """The parts of a conversation that a judge did not read.

    Characters are those of the judge's text, which its own marks count too.

    Attributes:
        limit: most characters that it was given.
        older: how many of the first messages it did not get. older_chars: their length.
        ranges: of other messages, by their numbers, the text that is left out.
        tools: how many of the last tools it did not get.
    """

    limit: int
    older: int
    older_chars: int
    ranges: Mapping[int, TextRange]
    tools: int

    def of(self, number: int) -> TextRange | None:
        """Return the text of a message that is left out; None if there is none."""
        return TextRange(TextPlace(), END, 0) if number <= self.older else self.ranges.get(number)


def unread_of(talk: Talk, tools: Any, limit: int) -> Unread | None:
    """Return what a judge with a limit does not read of a conversation.

    None if it reads everything, or if there are too many tools to read for a page.

    Args:
        tools: the catalogue, as logged.
    """
    if not excerpt_of(catalogue_of(tools), None).is_whole:
        return None
    lines = render_tools(tools)
    transcript = transcript_of(talk.given, talk.answer, lines)
    cut = cut_of(transcript, limit)
    if cut is None:
        return None
    ranges: dict[int, TextRange] = {}
    if cut.message is not None:
        message = talk.given[cut.messages]
        ends = places_in_message(message, (cut.message.start, cut.message.end))
        start, end = (shown_place(message, *each) for each in ends)
        ranges[cut.messages + 1] = TextRange(start, end, cut.message.chars)
    if cut.output is not None:
        ranges |= _of_output(talk, cut.output)
    older_chars = sum(map(len, transcript.messages[: cut.messages]))
    return Unread(limit, cut.messages, older_chars, ranges, len(lines) - cut.tools)


def _of_output(talk: Talk, gap: Gap) -> dict[int, TextRange]:
    """Return the text that is left out of each message of the output; the first counts all characters of the gap."""
    first, last = places_in_output(talk.answer, (gap.start, gap.end))
    found: dict[int, TextRange] = {}
    for index in range(first.message, min(last.message, len(talk.answer) - 1) + 1):
        message = talk.answer[index]
        start = shown_place(message, *first[1:]) if index == first.message else TextPlace()
        end = shown_place(message, *last[1:]) if index == last.message else END
        found[len(talk.given) + index + 1] = TextRange(start, end, gap.chars if index == first.message else 0)
    return found
