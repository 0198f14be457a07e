"""Takes the message of a reply apart: the answer, the thinking, the refusal, whatever shape its server gives it.

Only two kinds of parts of a message's content are the answer: text, and a call of our tool. A part is text if its type
says so or if it has none. Thinking, results of tools, calls of other tools, sources and media are never read as the
answer, and neither is a part of a type that nobody knows: it may be any of these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evaluators.llm_judge.output import printable
from evaluators.llm_judge.tool_names import ARGUMENTS, inner_call, is_our_call
from evaluators.messages.blocks import is_thinking
from evaluators.messages.calls import is_call, is_result
from evaluators.messages.fields import tag
from evaluators.messages.reasoning import THOUGHTS

_ANSWER_STEMS = ("text", "json", "answer", "markdown", "message", "content", "string", "completion")
"""Parts of the names of types that are text, such as `text`, `output_text`, `text_delta`, `output_json`."""
_OTHER_STEMS = (
    "tool",
    "function",
    "input",
    "result",
    "source",
    "citation",
    "file",
    "image",
    "audio",
    "summar",
    "context",
)
"""Parts of the names of types that are something else though they hold one of those."""
_DEPTH = 4
"""Parts nested deeper than this are not read."""
_INPUT_TEXT = "input_text"
"""Some gateways send a reply's text under the name of a request's."""
_OTHER_ROLES = frozenset({"tool", "function", "user", "system", "developer", "human"})
"""Roles of messages that nobody answers with: a gateway that sends one gives back a part of the request."""
_ASIDES = frozenset({"analysis", "commentary", "thinking", "thought", "reasoning", "draft", "preamble"})
_UNFINISHED = ("incomplete", "in_progress", "failed", "cancelled", "error")


class MessageParts:
    """A message taken apart.

    Attributes:
        text: the arguments of the calls of our tool if there are any, else the content that is the answer.
        thinking: what the server marked as thinking; only its length counts.
        refusal: the model's or the server's words of refusal.
        is_call: whether the text is the arguments of a call.
        note: the reason for a missing text, with a space before it; empty without a reason.
    """

    def __init__(self, message: Mapping[str, Any], choice: Mapping[str, Any]) -> None:
        self.refusal = _refusal_in(message)
        self.thinking = "".join(words_of(message.get(name)) for name in THOUGHTS)
        self._calls: list[str] = []
        self._foreign = ""
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            self._call(call)
        self._call(message.get("function_call"))
        is_answer = message.get("role") not in _OTHER_ROLES and not _is_aside(message)
        content = self._content(message.get("content", choice.get("content"))) if is_answer else ""
        self.is_call = bool(self._calls)
        self.text = printable("\n".join(self._calls) or content)
        self.note = "" if self.text.strip() else self._note()

    def _note(self) -> str:
        if self._foreign:
            return f" (the message calls the tool {self._foreign!r}, which was not offered)"
        if self.thinking:
            return (
                " (the message has no content, only thinking in a field of its own; raise the answer's token limit,"
                " or check the server's reasoning parser)"
            )
        return ""

    def _content(self, content: Any) -> str:
        if isinstance(content, list):
            return "".join(self._part(part) for part in content)
        if isinstance(content, Mapping):
            is_part = bool(tag(content)) or isinstance(content.get("text"), str | Mapping) or is_call(content)
            return self._part(content) if is_part else dumped(content)
        return content if isinstance(content, str) else ""

    def _part(self, part: Any, depth: int = 0) -> str:
        """Return the answer's text in a part; keep what else it holds."""
        if isinstance(part, str):
            return part
        if not isinstance(part, Mapping):
            return ""
        if is_thinking(part) or _is_aside(part):
            self.thinking += words_of(part.get("text") or part.get("thinking") or part.get("reasoning"))
            return ""
        kind = tag(part)
        if kind == "refusal":
            self.refusal = self.refusal or _refusal_in(part) or "refused"
            return ""
        if is_result(part):
            return ""
        if is_call(part):
            self._call(part)
            return ""
        return self._text_of(part, depth) if _is_text(kind) else ""

    def _text_of(self, part: Mapping[str, Any], depth: int) -> str:
        for name in ("json", "parsed"):
            if isinstance(part.get(name), Mapping):
                return dumped(part[name])
        text = part.get("text") or part.get("content") or part.get("value")
        if isinstance(text, list):  # parts of their own, of which some may be thinking
            return "".join(self._part(each, depth + 1) for each in text) if depth < _DEPTH else ""
        return words_of(text.get("value")) if isinstance(text, Mapping) else words_of(text)

    def _call(self, call: Any) -> None:
        """Keep the arguments of a call of our tool; several different ones stand one per line."""
        if not isinstance(call, Mapping) or is_result(call) or is_thinking(call) or _is_broken(call):
            return
        inner = inner_call(call)
        if not is_our_call(call):
            self._foreign = self._foreign or printable(str(inner.get("name") or call.get("name")))[:80]
            return
        arguments = next((inner[name] for name in ARGUMENTS if inner.get(name)), None)
        text = dumped(arguments) if isinstance(arguments, Mapping) else words_of(arguments)
        if text.strip() not in ("", "{}") and text not in self._calls:
            self._calls.append(text)


def _refusal_in(item: Mapping[str, Any]) -> str:
    """Return the words of a refusal; some servers send a truth value or an object instead of words."""
    refusal = item.get("refusal")
    return words_of(refusal) or ("refused" if refusal and not isinstance(refusal, str) else "")


def _is_aside(item: Mapping[str, Any]) -> bool:
    """Whether a message or part stands on a channel, or belongs to a phase, that comes before the answer."""
    named = (item.get(key) for key in ("channel", "phase"))
    return any(isinstance(name, str) and name.strip().lower() in _ASIDES for name in named)


def _is_broken(call: Mapping[str, Any]) -> bool:
    """Whether a server says that a call is not whole: by its status, its type or an error."""
    return call.get("status") in _UNFINISHED or tag(call).startswith("invalid") or bool(call.get("error"))


def _is_text(kind: str) -> bool:
    """Whether a part of this type is text of the answer; see the head of this module."""
    if kind in ("", _INPUT_TEXT):
        return True
    if any(stem in kind for stem in _OTHER_STEMS):
        return False
    return any(stem in kind for stem in _ANSWER_STEMS)


def words_of(value: Any) -> str:
    """Return a text; a list of parts by their texts; nothing for words that stand for nothing."""
    if isinstance(value, list):
        return "".join(words_of(part.get("text")) if isinstance(part, Mapping) else words_of(part) for part in value)
    return "" if not isinstance(value, str) or value.strip().lower() in ("none", "null") else value


def dumped(value: Mapping[str, Any]) -> str:
    """Return an object as JSON; characters beyond ASCII stay."""
    return json.dumps(value, ensure_ascii=False)
