"""Messages as pages show them: a page, a message and a part of one have a bound, and each says what it leaves out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NamedTuple

from api.services.excerpt import catalogue_of, excerpt_of
from evaluators.messages import (
    Attachment,
    ChatMessage,
    ChatPart,
    attachment_of_url,
    read_conversation,
    read_tools,
    split_data_urls,
    to_json,
)
from evaluators.messages.normal import result_role

MAX_TURNS = 200
MAX_MESSAGE = 64 * 1024
"""Characters of a message that a page shows at first, over all its parts."""
MAX_PAGE = 512 * 1024
"""Characters of all messages of a page."""
_MAX_CODE = MAX_MESSAGE // 4
"""Longer arguments of a call are shown as they are, because indented ones have many elements."""
_LEAST = 1024
"""Characters below which the rest of a budget shows no further message."""
_PART_COST = 64
"""Characters for which the frame of a part counts, so that a message of many small parts has a bound too."""
_MARK_COST = 16
"""Characters for which one counts that is shown as a mark with its code point."""
_TIMES = ("timestamp", "created_at", "createdAt", "time")
_TOKENS = ("completion_tokens", "output_tokens", "outputTokens", "token_count", "tokens")
_NAME = 200
_BEGINNING = 1000
"""Values of an output that its beginning is read from."""
_TOKEN = re.compile(r'"(?:\\[\s\S]|[^"\\])*+"?+|[{}\[\],:]|[^\s{}\[\],:"]+')


class TextPlace(NamedTuple):
    """A place in a message: the part, and the characters of its text before it."""

    part: int = 0
    char: int = 0

    def __str__(self) -> str:
        return f"{self.part}-{self.char}"


def read_place(text: str) -> TextPlace | None:
    """Return the place that `str` of it wrote, or None."""
    part, _, char = text.partition("-")
    if all(each.isascii() and each.isdigit() and len(each) < 10 for each in (part, char)):
        return TextPlace(int(part), int(char))
    return None


class TextRange(NamedTuple):
    """The text of a message from one place to another, and how many characters count for it."""

    start: TextPlace
    end: TextPlace
    chars: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole message."""
        return self.start == TextPlace() and self.to_end

    @property
    def to_end(self) -> bool:
        """Whether it ends with the message."""
        return self.end == END


END = TextPlace(10**9)
"""A place behind every message."""


@dataclass(frozen=True, slots=True)
class ConversationPiece:
    """One part of a message, or as much of it as was read or was not read.

    Attributes:
        kind: `text`, `thinking`, `refusal`, `call`, `media` or `sources`.
        text: as much of it as the message's bound leaves; the arguments of a call.
        name, call_id: of a tool call.
        result: the number of the message with the result of a call; 0 if there is none.
        code: whether `text` is indented JSON.
        media: the type and the size of a medium.
        unread: whether the judge did not read it. goes_on: whether its beginning is the piece before.
    """

    kind: str
    text: str
    name: str = ""
    call_id: str = ""
    result: int = 0
    code: bool = False
    media: Attachment | None = None
    unread: bool = False
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation.

    Attributes:
        number: counts from 1 over input and output.
        left: characters that are left out behind the pieces. rest: where they begin; None if nothing is left out.
        at, tokens: of the message, where it was logged with them. failed: it is the result of a call that failed.
        call: of a tool's result, the number of the message with the call; 0 if there is none.
        unread: its text that the judge did not read; None if there is none, or if no judge is asked for.
    """

    number: int
    role: str
    pieces: tuple[ConversationPiece, ...]
    left: int = 0
    rest: TextPlace | None = None
    at: datetime | None = None
    tokens: int | None = None
    failed: bool = False
    call: int = 0
    unread: TextRange | None = None

    @property
    def folded(self) -> bool:
        """Whether it is shown closed at first, as system prompts are."""
        return self.role in ("system", "developer")


UnreadOf = Callable[[int], TextRange | None]
"""Returns the text of a message, by its number, that the judge did not read."""


def everything_read(_number: int) -> TextRange | None:
    """Return None, because no text is unread."""
    return None


class _Marks(NamedTuple):
    at: datetime | None = None
    tokens: int | None = None
    failed: bool = False


class Talk:
    """The messages of an input and its output, `given` and `answer`.

    Args:
        answer_tokens: tokens of the output, which its only message is shown with.
        before: how many messages count before the first one, where the values are not the whole conversation.
    """

    def __init__(self, given: Any, answer: Any, answer_tokens: Any = None, *, before: int = 0) -> None:
        self._before = before
        self.given = read_conversation(given).messages
        self.answer = read_conversation(answer, default_role="assistant").messages
        both = (*self.given, *self.answer)
        self._messages = [ChatMessage(each.role, tuple(_with_media_apart(each.parts))) for each in both]
        ends = _marks(answer, len(self.answer))
        if len(self.answer) == 1 and ends[0].tokens is None:
            ends = [ends[0]._replace(tokens=_whole(answer_tokens))]
        self._all_marks = [*_marks(given, len(self.given)), *ends]
        # A result is a message whose role names its call.
        self._calls: dict[str, int] = {}
        self._results: dict[str, int] = {}
        for number, message in enumerate(self._messages, before + 1):
            if message.role.startswith("tool["):
                self._results.setdefault(message.role, number)
            for part in message.parts:
                if part.kind == "call" and part.call_id:
                    self._calls.setdefault(result_role(part.call_id), number)

    def turns(
        self,
        *,
        start: int = 0,
        budget: int = MAX_PAGE,
        cut: bool = False,
        unread_of: UnreadOf = everything_read,
    ) -> tuple[tuple[Turn, ...], int]:
        """Return at most 200 turns behind the first `start`, with `budget` characters, and how many more there are.

        Args:
            cut: whether the last turn may be shorter than its own bound because `budget` ends. Otherwise it is left to
                the next page, unless it is the first one.
        """
        found: list[Turn] = []
        start, last = max(start, self._before), self._before + len(self._messages)
        for number in range(start + 1, min(start + MAX_TURNS, last) + 1):
            room = min(MAX_MESSAGE, budget)
            turn, spent = self._turn(number, TextPlace(), room, unread_of(number))
            is_short = turn.rest is not None and room < MAX_MESSAGE
            if found and (room < _LEAST if cut else is_short):
                break
            found.append(turn)
            budget -= spent
        return tuple(found), max(0, last - start - len(found))

    def rest(self, number: int, place: TextPlace, unread_of: UnreadOf = everything_read) -> Turn | None:
        """Return a message from a place on, or None if there is no such message."""
        if not 0 < number - self._before <= len(self._messages):
            return None
        unread = unread_of(number)
        if unread is not None and unread.start < place:
            unread = unread._replace(chars=0)  # some of them are before the place
        return self._turn(number, place, MAX_MESSAGE, unread)[0]

    def _turn(self, number: int, place: TextPlace, room: int, unread: TextRange | None) -> tuple[Turn, int]:
        message = self._messages[number - self._before - 1]
        pieces: list[ConversationPiece] = []
        rest: TextPlace | None = None
        spent = 0
        for index in range(place.part, len(message.parts)):
            part = message.parts[index]
            text, code = _text(part)
            begin = place.char if index == place.part else 0
            taken = fitting(text[begin:], room - spent - _PART_COST, 4 if code else 1)
            if pieces and (room - spent < _PART_COST or (len(text) > begin and not taken)):
                rest = TextPlace(index, begin)
                break
            piece = self._piece(part, taken, code)
            pieces += [piece] if unread is None else _marked(piece, TextPlace(index, begin), unread)
            spent += _PART_COST + _cost(taken) * (4 if code else 1)
            if begin + len(taken) < len(text):
                rest = TextPlace(index, begin + len(taken))
                break
        left = 0 if rest is None else _length(message, rest)
        marks, call = self._all_marks[number - self._before - 1], self._calls.get(message.role, 0)
        return Turn(number, message.role or "text", tuple(pieces), left, rest, *marks, call, unread), spent

    def _piece(self, part: ChatPart, text: str, code: bool) -> ConversationPiece:
        result = self._results.get(result_role(part.call_id), 0) if part.kind == "call" and part.call_id else 0
        media = part.attachments[0] if part.attachments else None
        return ConversationPiece(part.kind, text, part.name[:_NAME], part.call_id[:_NAME], result, code, media)


def shown_place(message: ChatMessage, part: int, char: int) -> TextPlace:
    """Return the place of a page behind `char` characters of the words of a part (`ChatPart.framed`)."""
    if part >= len(message.parts):
        return END
    before = sum(1 for _ in _with_media_apart(message.parts[:part]))
    shown = [each for each in enumerate(_apart(message.parts[part]), before) if each[1].begin <= char]
    index, (begin, found) = shown[-1]
    text, is_code = _text(found)
    if not is_code:
        return TextPlace(index, min(char - begin, len(text)))
    # Indenting adds and removes blanks, and nothing else.
    said = _solid(found.framed()[1][:char])
    counts = enumerate(accumulate(map(_is_solid, text), initial=0))
    return TextPlace(index, next((place for place, seen in counts if seen == said), len(text)))


def _solid(text: str) -> int:
    return sum(map(_is_solid, text))


def _is_solid(character: str) -> bool:
    return not character.isspace()


def _marked(piece: ConversationPiece, begin: TextPlace, unread: TextRange) -> list[ConversationPiece]:
    """Return a piece of a message, split where the unread text begins and ends."""
    size = len(piece.text)
    if not size:
        return [replace(piece, unread=unread.start <= begin < unread.end)]
    first, last = (
        min(max(0, place.char - begin.char), size) if place.part == begin.part else size * (place.part > begin.part)
        for place in (unread.start, unread.end)
    )
    cuts = ((0, first, False), (first, last, True), (last, size, False))
    return [
        replace(piece, text=piece.text[start:end], unread=is_unread, goes_on=start > 0)
        for start, end, is_unread in cuts
        if start < end
    ]


def output_text(properties: Mapping[str, Any]) -> str:
    """Return the beginning of what the model of a generation answered, as one text."""
    part = excerpt_of(None, properties.get("$ai_output_choices") or properties.get("$ai_output"), most=_BEGINNING)
    turns, _ = Talk(None, part.answer).turns()
    return " ".join(piece.text for turn in turns for piece in turn.pieces)


def tools_of(raw: Any) -> tuple[tuple[str, ...], int]:
    """Return the names and descriptions of the first 100 tools that were offered, and how many more there are."""
    part = excerpt_of(catalogue_of(raw), None)
    tools = read_tools(part.given)
    more = max(0, len(tools) - 100) + part.behind + part.left_out
    return tuple(f"{tool.name}: {tool.description}"[:500] for tool in tools[:100]), more


class _Apart(NamedTuple):
    """A part as a page shows it. It begins behind `begin` characters of the text of the whole part."""

    begin: int
    shown: ChatPart


def _with_media_apart(parts: Iterable[ChatPart]) -> Iterator[ChatPart]:
    """Yield parts in which each medium is a part of its own: those of a result, and data URLs in texts too."""
    for part in parts:
        for each in _apart(part):
            yield each.shown


def _apart(part: ChatPart) -> Iterator[_Apart]:
    if part.kind in ("media", "call", "sources"):
        yield _Apart(0, part)
        return
    begin = 0
    for place, text in enumerate(split_data_urls(part.text)):
        found = attachment_of_url(text) if place % 2 else None
        if found is not None:
            yield _Apart(begin, _medium(found))
        elif text or not place:
            yield _Apart(begin, part._replace(text=text, attachments=()))
        begin += len(text)
    for attached in part.attachments:
        yield _Apart(begin, _medium(attached))


def _medium(found: Attachment) -> ChatPart:
    return ChatPart("media", "", found.kind, attachments=(found,))


def _text(part: ChatPart) -> tuple[str, bool]:
    """Return the text of a part, and whether it is indented JSON."""
    if part.kind != "call" or part.arguments is None:
        return part.text, False
    plain = part.arguments if isinstance(part.arguments, str) else to_json(part.arguments)
    indented = _indented(plain) if len(plain) <= _MAX_CODE else plain
    return (plain, False) if len(indented) > _MAX_CODE or indented == plain else (indented, True)


def _indented(text: str) -> str:
    """Return JSON with a line for each member and nothing else changed; any other text as it is."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    found: list[str] = []
    depth = 0
    before = ""
    for piece in _TOKEN.findall(text):
        if piece in "}]":
            depth -= 1
            found.append("" if before in ("{", "[") else "\n" + "  " * depth)
        elif before in ("{", "[", ","):
            found.append("\n" + "  " * depth)
        depth += piece in ("{", "[")
        found.append(": " if piece == ":" else piece)
        before = piece
    return "".join(found)


def _length(message: ChatMessage, place: TextPlace) -> int:
    texts = (len(_text(part)[0]) for part in message.parts[place.part :])
    return max(0, sum(texts) - place.char)


def _cost(text: str) -> int:
    if text.isprintable():
        return len(text)
    return len(text) + (_MARK_COST - 1) * sum(not (each.isprintable() or each in "\n\t") for each in text)


def fitting(text: str, room: int, factor: int = 1) -> str:
    """Return the beginning of a text for which a page needs at most `room` characters.

    Args:
        factor: for how many characters one counts.
    """
    room = max(0, room) // factor
    begin = text[:room]
    return begin if _cost(begin) <= room else text[: room // _MARK_COST]


def _marks(raw: Any, count: int) -> list[_Marks]:
    """Return time and tokens of each message; none where the logged list does not have one entry per message."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or len(raw) != count:
        return [_Marks()] * count
    return [_mark(each) for each in raw]


def _mark(raw: Any) -> _Marks:
    if not isinstance(raw, Mapping):
        return _Marks()
    usage = raw.get("usage") or raw.get("usage_metadata")
    counted = usage if isinstance(usage, Mapping) else raw
    at = next((moment for name in _TIMES if (moment := _moment(raw.get(name))) is not None), None)
    tokens = next((found for name in _TOKENS if (found := _whole(counted.get(name))) is not None), None)
    content = raw.get("content")
    blocks = content if isinstance(content, list) and len(content) == 1 else []
    return _Marks(at, tokens, any(_is_failure(each) for each in (raw, *blocks)))


def _is_failure(raw: Any) -> bool:
    return isinstance(raw, Mapping) and (
        raw.get("is_error") is True or raw.get("isError") is True or raw.get("status") in ("error", "failed")
    )


def _moment(value: Any) -> datetime | None:
    try:
        if isinstance(value, str) and 10 < len(value) <= 40:
            found = datetime.fromisoformat(value)
            return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return datetime.fromtimestamp(value / 1000 if value > 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _whole(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12
    return value if is_count else None
