"""A generation as the judge's text, and the way back from a place in that text to the messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evaluators.messages import ChatMessage, read_conversation, render_tools, scrubbed
from evaluators.messages.scrub import scrubbed_with_origin

_CONTINUATION = "\n  "


@dataclass(frozen=True, slots=True)
class Transcript:
    """The rendered parts of one generation.

    Attributes:
        messages: the input, one text per message, oldest first.
        output: one text.
        tools: one line per tool.
    """

    messages: tuple[str, ...]
    output: str
    tools: tuple[str, ...]


class MessagePlace(NamedTuple):
    """A place in a conversation: the index of a message, and in it `ChatMessage.place_of`."""

    message: int
    part: int
    char: int


def transcribe(input_value: Any, output_value: Any, tools_value: Any) -> Transcript:
    """Return a generation's parts as text. Further lines of a message are indented, so that none looks like another."""
    given = read_conversation(input_value).messages
    answer = read_conversation(output_value, default_role="assistant").messages
    return transcript_of(given, answer, render_tools(tools_value))


def transcript_of(given: Sequence[ChatMessage], answer: Sequence[ChatMessage], tools: Sequence[str]) -> Transcript:
    """Return the transcript of an input, an output and the lines of the offered tools."""
    messages = tuple(map(_one_block, map(_rendered, given)))
    return Transcript(messages, "\n".join(_outputs(answer)), tuple(map(_one_block, tools)))


def places_in_message(message: ChatMessage, ats: Sequence[int], *, indented: bool = True) -> list[tuple[int, int]]:
    """Return places of a message's text in `Transcript.messages` as places of the message (`ChatMessage.place_of`).

    Args:
        ats: the characters before each place.
        indented: whether further lines of the text are indented, as all are but those of an output of one message.
    """
    text, origin = scrubbed_with_origin(str(message))
    found = [_without_indents(text, at) for at in ats] if indented else ats
    return [message.place_of(origin(at)) for at in found]


def places_in_output(answer: Sequence[ChatMessage], ats: Sequence[int]) -> list[MessagePlace]:
    """Return places of `Transcript.output`, in order, each given by the characters before it, at most all of them."""
    # A single message needs no lengths, because all places are in it. To make its text takes long if it is long.
    lengths = list(map(len, _outputs(answer))) if len(answer) > 1 else []
    inner: dict[int, list[int]] = {}
    for place in ats:
        index, at = 0, place
        while index < len(lengths) and at > lengths[index]:
            at -= lengths[index] + 1
            index += 1
        inner.setdefault(index, []).append(at)
    found: list[MessagePlace] = []
    for index, places in inner.items():
        if index == len(answer):
            found += [MessagePlace(index, 0, 0)] * len(places)
        else:
            ends = places_in_message(answer[index], places, indented=len(answer) > 1)
            found += [MessagePlace(index, *end) for end in ends]
    return found


def printable(text: str) -> str:
    """Return `text` as it can be sent: lone surrogates replaced, each by one character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _rendered(message: ChatMessage) -> str:
    return scrubbed(str(message))


def _outputs(answer: Sequence[ChatMessage]) -> list[str]:
    texts = map(_rendered, answer)
    return list(map(_one_block if len(answer) > 1 else printable, texts))


def _one_block(text: str) -> str:
    return _CONTINUATION.join(printable(text).splitlines())


def _without_indents(text: str, at: int) -> int:
    """Return the place in `text` that is behind `at` characters of its block."""
    begin = 0
    for line in text.splitlines(keepends=True):
        length = len(line.splitlines()[0])
        if at <= length:
            return begin + max(0, at)
        at -= length + len(_CONTINUATION)
        begin += len(line)
    return begin
