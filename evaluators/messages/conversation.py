"""Any logged value as a conversation in normal form.

Known are: OpenAI chat completions and responses, Anthropic messages, Bedrock's Converse, Gemini, Cohere, OpenRouter,
Ollama, the parts of OpenTelemetry's GenAI conventions, and the messages of LangChain, LlamaIndex, the Vercel AI SDK,
Pydantic AI and Mastra, each also as JSON in a text. A value that is not known becomes JSON, and nothing is dropped but
known metadata such as ids and token counts. Recursion ends at `MAX_DEPTH` levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluators.messages.blocks import (
    MAX_DEPTH,
    is_block,
    is_thinking,
    read_block,
    read_blocks,
    read_call,
    read_result,
    result_part,
    sources,
)
from evaluators.messages.calls import is_call, is_calls, is_result
from evaluators.messages.fields import are_numbers, first, in_our_spelling, tag
from evaluators.messages.json_text import to_json
from evaluators.messages.message_fields import (
    beside,
    content_of,
    content_parts,
    holds_results,
    results_beside,
    role_of,
    thoughts,
    without_thinking,
)
from evaluators.messages.normal import STATE, ChatHistory, ChatMessage, ChatPart, result_role
from evaluators.messages.recognition import (
    holds_messages,
    is_history,
    is_message,
    is_pair,
    messages_in,
    said_keys,
)
from evaluators.messages.scrub import MANY_NUMBERS
from evaluators.messages.thinking import split_thinking
from evaluators.messages.vocabulary import (
    FINISH,
    LONE_TEXTS,
    MESSAGE_KEYS,
    METADATA,
    REPLIES,
    ROLE_TAGS,
    ROLES,
    SOURCE_KEYS,
    SYSTEM_KEYS,
    WRAPPERS,
)


def read_conversation(value: Any, *, default_role: str = "user") -> ChatHistory:
    """Return the messages in `value`, decoded JSON of any shape.

    Args:
        default_role: the role of messages in a list that name none.
    """
    reader = _Reader()
    if isinstance(value, str):
        unfolded = messages_in(value)
        if unfolded is None:
            reader.add("", split_thinking(value) if default_role == "assistant" else [ChatPart("text", value)])
            return reader.found
        value = unfolded
    reader.read(value, default_role, 0)
    return reader.found


_BESIDE_MESSAGES = (*SYSTEM_KEYS, *SOURCE_KEYS, "output_text", "result")
"""Fields beside messages that are read with them, or that repeat them."""
_FINISH_HOLDERS = ("response_metadata", "generation_info", "incomplete_details", "metadata")


class _Reader:
    """Collects messages in order. Every method gets the `depth` of nesting and goes no deeper than `MAX_DEPTH`."""

    def __init__(self) -> None:
        self.found = ChatHistory()

    def add(self, role: str, parts: Sequence[ChatPart]) -> None:
        """Add a message; a tool's result becomes a message of its own, in the place where it stands."""
        own: list[ChatPart] = []
        results = False
        for part in parts:
            if part.kind == "result":
                if own:
                    self.found.messages.append(ChatMessage(role, tuple(own)))
                own, results = [], True
                said = ChatPart("text", part.text, attachments=part.attachments)
                self.found.messages.append(ChatMessage(part.name, (said,)))
            else:
                own.append(part)
        if own or not results:
            self.found.messages.append(ChatMessage(role, tuple(own)))

    def add_json(self, value: Any) -> None:
        """Add a value of no known shape."""
        self.found.messages.append(ChatMessage("", (ChatPart("text", to_json(value)),)))

    def read(self, value: Any, role: str, depth: int) -> None:
        """Add the messages in any value."""
        if value is None:
            return
        if depth > MAX_DEPTH or not isinstance(value, str | list | Mapping):
            self.add_json(value)
        elif isinstance(value, str):
            unfolded = messages_in(value)
            if unfolded is None:
                self.add(role, split_thinking(value) if role == "assistant" else [ChatPart("text", value)])
            else:
                self.read(unfolded, role, depth + 1)
        elif isinstance(value, list):
            if depth and is_pair(value):
                self._message({"role": value[0], "content": value[1]}, role, depth)
            else:
                self._list(value, role, depth)
        else:
            self._mapping(value, role, depth)

    def _list(self, items: list[Any], role: str, depth: int) -> None:
        if len(items) >= MANY_NUMBERS and are_numbers(items):
            self.add_json(items)  # a vector or bytes: one value, and not a message for each number
            return
        if items and all(map(is_block, items)):
            # A list of content blocks without a message around them: one message.
            self._message({"role": role, "content": items}, role, depth + 1)
            return
        for item in items:
            if depth or not self._usual(item):
                self.read(item, role, depth + 1)

    def _usual(self, item: Any) -> bool:
        """Add a message that has a usual role and a text or text blocks, as most do; False if it is another one.

        The long way comes to the same, in ten times the time.
        """
        if type(item) is not dict or len(item) > (3 if "refusal" in item and item["refusal"] is None else 2):
            return False
        role, content = _USUAL_ROLES.get(_text_of(item, "role")), item.get("content")
        if role is None:
            return False
        if type(content) is str and content[:1] not in ("[", "{"):
            parts = [ChatPart("text", content)] if content else []
        elif type(content) is list and content and all(map(_is_usual_block, content)):
            parts = [ChatPart("text", block["text"]) for block in content if block["text"]]
        else:
            return False
        if role == "assistant" and parts:
            parts = without_thinking(parts)
        self.found.messages.append(ChatMessage(role, tuple(parts)))
        return True

    def _note_finish(self, item: Mapping[str, Any]) -> None:
        if self.found.finish_reason is not None:
            return
        for level in (item, *map(item.get, _FINISH_HOLDERS)):
            if isinstance(level, Mapping):
                reason = first(level, (*FINISH, "reason") if level is item.get("incomplete_details") else FINISH)
                if isinstance(reason, Mapping):
                    reason = reason.get("unified")  # the Vercel AI SDK
                if isinstance(reason, str) and reason:
                    self.found.finish_reason = reason
                    return

    def _mapping(self, item: Mapping[str, Any], role: str, depth: int) -> None:
        item = in_our_spelling(item)
        self._note_finish(item)
        kind = tag(item)
        if isinstance(item.get("kwargs"), Mapping) and (kind == "constructor" or "lc" in item):
            name = item.get("id")
            named = name[-1] if isinstance(name, list) and name else ""
            self.read({"type": named, **item["kwargs"]}, role, depth + 1)
        elif kind in ROLE_TAGS and isinstance(item.get("data"), Mapping):
            self.read({**item["data"], "type": item.get("type")}, role, depth + 1)
        elif "role" not in item and self._choice(item, depth):
            return
        elif kind in ("request", "response") and isinstance(item.get("parts"), list):
            self._pydantic(item, kind, depth)
        elif "role" in item or kind == "message" or kind in ROLE_TAGS:
            self._message(item, role, depth)
        elif is_calls(item.get("content")):
            self._message(item, "assistant", depth)  # an event of AutoGen
        elif is_result(item):
            self.add("tool", [read_result(item, depth)])
        elif is_call(item):
            self.add("assistant", read_call(item, depth))
        elif is_thinking(item):
            self.add("assistant", read_block(item, depth))
        elif not self._wrapped(item, role, depth):
            self._rest(item, role, depth)

    def _choice(self, item: Mapping[str, Any], depth: int) -> bool:
        """Read a choice of a chat completion, a candidate of Gemini or a generation of LangChain, if it is one."""
        response = item.get("response")
        if tag(item).startswith("response.") and isinstance(response, Mapping) and "output" in response:
            self.read(response, "assistant", depth + 1)  # an event of OpenAI's Realtime or Responses
            return True
        for key in ("message", "delta", "raw_item"):
            if isinstance(item.get(key), Mapping):
                self.read(item[key], "assistant", depth + 1)
                return True
        content = item.get("content")
        if isinstance(content, Mapping) and ("parts" in content or "role" in content):
            self.read(content, "assistant", depth + 1)
            return True
        return False

    def _pydantic(self, item: Mapping[str, Any], kind: str, depth: int) -> None:
        """Read a request or a response of Pydantic AI, whose parts have roles of their own."""
        if isinstance(item.get("instructions"), str):
            self.add("system", [ChatPart("text", item["instructions"])])
        if kind == "response":
            self.add("assistant", read_blocks(item["parts"], depth + 1))
            return
        for part in item["parts"]:
            role = ROLES.get(tag(part), "user") if isinstance(part, Mapping) else "user"
            is_text = isinstance(part, Mapping) and not is_result(part) and "content" in part
            self.add(role, read_blocks(part["content"] if is_text else part, depth + 1))

    def _wrapped(self, item: Mapping[str, Any], role: str, depth: int) -> bool:
        """Read the messages inside a request, a response or a graph's state, if it is one."""
        said = said_keys(item)
        inner = [key for key in WRAPPERS if isinstance(item.get(key), list)]
        output = item.get("output")
        if not inner and isinstance(output, Mapping) and isinstance(output.get("message"), Mapping):
            inner = ["output"]  # Bedrock
        if len(inner) != 1 or not set(said) <= {*inner, *_BESIDE_MESSAGES}:
            inner = [key for key in inner if holds_messages(key, item[key])]
            if not inner:
                return self._nodes(item, role, depth)
        rest = {key: item[key] for key in said if key not in (*inner, *_BESIDE_MESSAGES)}
        asked, answered = (rest.pop(key, "") if isinstance(rest.get(key), str) else "" for key in ("input", "output"))
        if rest:
            self.found.messages.append(ChatMessage(STATE, (ChatPart("text", to_json(rest)),)))
        for key in SYSTEM_KEYS:
            if item.get(key):
                self._message({"role": "system", "content": item[key]}, "system", depth + 1)
        for key in sorted(inner, key=lambda key: key in REPLIES):
            self.read(item[key], "assistant" if key in REPLIES else role, depth + 1)
        for text, who in ((asked, "user"), (answered, "assistant")):
            if text:
                self._message({"role": who, "content": text}, who, depth + 1)
        cited = sources(*map(item.get, SOURCE_KEYS))
        if cited and self.found.messages:
            last = self.found.messages[-1]
            self.found.messages[-1] = ChatMessage(last.role, (*last.parts, *cited))
        return True

    def _nodes(self, item: Mapping[str, Any], role: str, depth: int) -> bool:
        """Read the updates of a graph's nodes, each with messages of its own, if an object is nothing else."""
        held = [value for value in item.values() if value not in (None, "", [], {})]
        found = [value.get("messages") if isinstance(value, Mapping) else None for value in held]
        if not held or not all(isinstance(messages, list) and is_history(messages) for messages in found):
            return False
        for value in held:
            self.read(value, role, depth + 1)
        return True

    def _rest(self, item: Mapping[str, Any], role: str, depth: int) -> None:
        """Read an object that says neither role nor type: a message by its keys, a lone text, or nothing known."""
        known = set(said_keys(item)) <= MESSAGE_KEYS
        if any(key in item for key in ("parts", "content", "tool_calls", "toolCalls")) or (known and "text" in item):
            self._message(item, role, depth)
            return
        said = said_keys(item)
        if "done" in item and set(said) == {"response", "thinking"} and isinstance(item["response"], str):
            self._message({"role": "assistant", "content": item["response"], "thinking": item["thinking"]}, "", depth)
            return  # Ollama's generate
        if len(said) == 1 and said[0] in LONE_TEXTS and isinstance(item[said[0]], str | list):
            self.read(item[said[0]], role if said[0] == "input" else "assistant", depth + 1)
        elif len(said) == 1 and said[0] == "output" and is_message(item["output"]):
            self.read(item["output"], "assistant", depth + 1)  # Spring AI
        elif not said and first(item, FINISH) is not None:
            self.add("assistant", [])  # a candidate without content
        elif is_block(item):
            self.add(role, read_block(item, depth))
        else:
            self.add_json(item)

    def _message(self, message: Mapping[str, Any], default_role: str, depth: int) -> None:
        self._note_finish(message)
        role = role_of(message, default_role)
        content = content_of(message)
        results = results_beside(message, role, depth)
        if results and role in ("tool", "function"):
            self.add(role, results)
            return
        if role in ("tool", "function") and not holds_results(message, content):
            more = message.get("additional_kwargs")  # LlamaIndex
            held = {**more, **message} if isinstance(more, Mapping) else message
            call_id = first(held, ("tool_call_id", "toolCallId", "name", "id"))
            self.add(role, [result_part(content, result_role(call_id), depth + 1)])
            return
        parts = [*thoughts(message, depth), *content_parts(content, role, depth)]
        parts += beside(message, depth, {part.call_id for part in parts if part.kind == "call" and part.call_id})
        if not parts and content in (None, "", []):
            unknown = {key: v for key, v in message.items() if key not in MESSAGE_KEYS | METADATA and v}
            parts = [ChatPart("text", to_json(unknown))] if unknown else []
        self.add(role, [*parts, *results])


_USUAL_ROLES = {role: role for role in ("system", "user", "assistant")}


def _text_of(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    return value if type(value) is str else ""


def _is_usual_block(block: Any) -> bool:
    return type(block) is dict and len(block) == 2 and block.get("type") == "text" and type(block.get("text")) is str
