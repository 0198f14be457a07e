"""Reads a reply in the harmony format, whose special tokens a server left in the text (gpt-oss).

Such a reply is one or more messages, `<|start|>assistant<|channel|>final<|message|>…<|end|>`. The header says who
speaks, on which channel, and to which tool. Single pass.
"""

from __future__ import annotations

from evaluators.messages.normal import ChatPart, result_role

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>", "<|channel|>")
_PLAIN_BEGINNING, _PLAIN_FINAL = "analysis", "assistantfinal"
_HEADER_CHARS = 300
"""A header is not longer than this."""


def read_harmony(text: str) -> list[ChatPart] | None:
    """Return the parts of a reply in this format, with or without its special tokens; None if it is another text."""
    start = text[:_HEADER_CHARS].lstrip()
    if _MESSAGE in text and (start.startswith(("<|channel|>", "<|start|>")) or "<|channel|>final<|message|>" in text):
        return _messages(text)
    if start.startswith(_PLAIN_BEGINNING) and _PLAIN_FINAL in text:
        thought, _, said = text.strip().removeprefix(_PLAIN_BEGINNING).rpartition(_PLAIN_FINAL)
        return _told("thinking", thought) + _told("text", said)
    return None


def _messages(text: str) -> list[ChatPart]:
    header, *bodies = text.split(_MESSAGE)
    parts: list[ChatPart] = []
    begun, header = _cut(header)  # the prompt held the header of the first message
    parts += _told("thinking", begun)
    for body in bodies:
        said, following = _cut(body)
        parts += _message(header[-_HEADER_CHARS:], said)
        header = following
    return parts


def _cut(text: str) -> tuple[str, str]:
    """Return a message's body, and the header that follows its end."""
    end = min((place for mark in _ENDS if (place := text.find(mark)) >= 0), default=len(text))
    return text[:end], text[end:]


def _message(header: str, said: str) -> list[ChatPart]:
    speaker = header.rpartition("<|start|>")[2].partition("<|")[0].split() if "<|start|>" in header else []
    channel = header.rpartition("<|channel|>")[2].split() if "<|channel|>" in header else []
    words = [*speaker, *channel]
    recipient = next((word[3:].partition("<|")[0] for word in words if word.startswith("to=")), "")
    if recipient == "assistant" and speaker:
        return [ChatPart("result", said.strip(), result_role(speaker[0]))]
    if recipient:
        name = recipient.removeprefix("functions.")
        return [ChatPart("call", "", name, "", said.strip() or None, name == recipient)]
    thinks = bool(channel) and channel[0].lower().startswith(("analysis", "thought", "think"))
    return _told("thinking" if thinks else "text", said)


def _told(kind: str, text: str) -> list[ChatPart]:
    text = text.strip()
    if not text:
        return []
    return [ChatPart("thinking", text) if kind == "thinking" else ChatPart("text", text)]
