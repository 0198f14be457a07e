"""The normal form of a conversation: messages of parts, and the texts that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from evaluators.messages.attachments import Attachment
from evaluators.messages.json_text import to_json

PartKind = Literal["text", "thinking", "refusal", "call", "result", "media", "sources"]


class ChatPart(NamedTuple):
    """One part of a message.

    Attributes:
        text: its words; of media, a transcript or a file's name.
        name: of a call, the tool; of media, `image`, `audio`, `video` or `file`.
        call_id: of a call or a result; empty if none was logged.
        arguments: of a call, as logged: a string, an object, or None.
        by_provider: of a call, whether the provider runs the tool itself, as it does with searches and MCP servers.
        attachments: of media, itself; of a result, the media in it.
    """

    kind: PartKind
    text: str = ""
    name: str = ""
    call_id: str = ""
    arguments: Any = None
    by_provider: bool = False
    attachments: tuple[Attachment, ...] = ()

    def __str__(self) -> str:
        return self.text if self.kind in ("text", "result") else "".join(self.framed())

    def framed(self) -> tuple[str, str, str]:
        """Return the text before the words, the words (of a call, its arguments), and the text behind them."""
        if self.kind in ("text", "result"):
            return "", self.text, ""
        if self.kind == "call":
            arguments = self.arguments
            given = arguments if isinstance(arguments, str) else "" if arguments is None else to_json(arguments)
            return f"[tool_call{f' {self.call_id}' if self.call_id else ''}: {self.name}(", given, ")]"
        if self.kind == "sources":
            return "[sources: ", self.text, "]"
        mark = f"[{self.name if self.kind == 'media' else self.kind}]"
        return f"{mark} " if self.text else mark, self.text, ""


class ChatMessage(NamedTuple):
    """One message: who said it, and its parts. `role` is empty where a bare text was logged."""

    role: str
    parts: tuple[ChatPart, ...]

    def __str__(self) -> str:
        text = " ".join(filter(None, map(str, self.parts)))
        return f"{self.role}: {text}" if self.role else text

    def place_of(self, at: int) -> tuple[int, int]:
        """Return the index of the part behind `at` characters of the text, and the characters of its words before it.

        Behind the last part, that is the number of parts and 0.
        """
        at -= len(self.role) + 2 if self.role else 0
        for index, part in enumerate(self.parts):
            before, words, behind = part.framed()
            length = len(before) + len(words) + len(behind)
            if length and at <= length:
                return index, min(max(0, at - len(before)), len(words))
            at -= length + 1 if length else 0
        return len(self.parts), 0


def result_role(call_id: Any) -> str:
    """Return the role of a tool's message: one short text on one line, whatever was sent as its id."""
    return "tool" if not call_id else f"tool[{' '.join(str(call_id).split())[:200]}]"


STATE = "state"
"""The role of fields that were logged beside messages, such as a graph's state. Nobody said them."""
_TOLD = ("text", "refusal", "call")
"""Kinds of parts that a reply's text consists of."""


def _told(part: ChatPart) -> str:
    if part.kind in _TOLD:
        return str(part)
    return part.text if _is_words(part) else ""


def _is_words(part: ChatPart) -> bool:
    """Whether somebody said a part, if only aloud."""
    return part.kind in ("text", "refusal") or (part.kind == "media" and part.name == "audio")


@dataclass(slots=True)
class ChatHistory:
    """Messages in order, and the reason why the model stopped (None if that was not logged)."""

    messages: list[ChatMessage] = field(default_factory=list)
    finish_reason: str | None = None

    def text(self) -> str:
        """Return one message a line as `role: text`, with marks for thinking and media."""
        return "\n".join(map(str, self.messages))

    def told(self) -> str:
        """Return what the user was told: texts, refusals and tool calls, without thinking, media and tool results.

        A reply that is only the assistant's has no roles in it, so that an empty reply is the empty text. A longer
        conversation has one message a line as `role: text`.
        """
        whole = [message for message in self.messages if message.role != STATE]
        messages = [(message.role, " ".join(filter(None, map(_told, message.parts)))) for message in whole]
        if all(role in ("assistant", "") or role.startswith("tool") for role, _ in messages):
            return "\n".join(text for role, text in messages if text and not role.startswith("tool"))
        shown = ((m.role, m.role.startswith("tool"), text, m) for m, (_, text) in zip(whole, messages, strict=True))
        return "\n".join(str(m) if is_tool else f"{role}: {text}" if role else text for role, is_tool, text, m in shown)

    def words(self) -> str:
        """Return the assistant's words alone: texts, refusals and spoken transcripts, a message a line."""
        said = (
            " ".join(filter(None, [part.text for part in message.parts if _is_words(part)]))
            for message in self.messages
            if message.role in ("assistant", "")
        )
        return "\n".join(filter(None, said))

    def thinking(self) -> str:
        """Return the reasoning that was logged beside the reply, one part a line."""
        return "\n".join(part.text for part in self._parts() if part.kind == "thinking" and part.text)

    def calls(self) -> list[ChatPart]:
        """Return the tool calls in order."""
        return [part for part in self._parts() if part.kind == "call"]

    def media(self) -> list[str]:
        """Return the kinds of media in order: `image`, `audio`, `video`, `file`."""
        return [part.name for part in self._parts() if part.kind == "media"]

    def _parts(self) -> list[ChatPart]:
        return [part for message in self.messages for part in message.parts]
