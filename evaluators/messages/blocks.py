"""The parts of a message, from the content blocks of every provider and SDK that is known.

A block says what it is by `type` (or `part_kind`, `block_type`, `kind`, `$type`) or by its only key, as Bedrock's and
Gemini's do. Names differ in hyphens and capitals only, so that `tool-call` and `tool_call` are the same. A block that
is not known becomes JSON; nothing that somebody said is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluators.messages.attachments import attachment_of
from evaluators.messages.calls import call_of, is_call, is_result, result_of
from evaluators.messages.fields import are_numbers, first, in_our_spelling, stem, tag
from evaluators.messages.json_text import to_json
from evaluators.messages.normal import ChatPart, result_role
from evaluators.messages.reasoning import is_reasoning_type
from evaluators.messages.scrub import MANY_NUMBERS

MAX_DEPTH = 8
"""Content nested deeper than this is rendered as JSON; no provider nests more than three levels."""

_THINKING_KEYS = ("reasoningContent", "reasoning_content")
_ONLY_THINKING = frozenset({"reasoning", "thinking", "metadata", "signature", "thoughtSignature", "extra"})
"""Fields of a block without a type that holds reasoning and nothing else (Genkit, Haystack)."""
_MEDIA_TAGS = {
    "image": "image", "image_url": "image", "input_image": "image", "output_image": "image", "image_file": "image",
    "imagecontent": "image", "computer_screenshot": "image", "generated_image": "image", "media": "image",
    "audio": "audio", "audio_url": "audio", "input_audio": "audio", "output_audio": "audio",
    "video": "video", "video_url": "video", "input_video": "video",
    "file": "file", "input_file": "file", "document": "file", "document_url": "file", "binary": "file", "blob": "file",
    "uri": "file", "container_upload": "file", "hostedfile": "file", "filereference": "file", "resource": "file",
}  # fmt: skip
_MEDIA_KEYS = {
    "image": "image", "audio": "audio", "video": "video", "document": "file", "inlineData": "file",
    "inline_data": "file", "fileData": "file", "file_data": "file", "image_url": "image", "input_audio": "audio",
    "media": "file", "file": "file",
}  # fmt: skip
_SOURCE_TAGS = frozenset({"web_search_result", "search_result", "source", "source_url", "source_document"})
_SILENT_TAGS = frozenset({"step_start", "cache_point", "ping", "compaction", "usage"})
_TEXT_KEYS = ("text", "content", "logs", "value", "stdout")
_BESIDE_TEXT = frozenset({
    "text", "content", "thought", "thoughtSignature", "thought_signature", "signature", "cache_control", "citations",
    "annotations", "index", "id", "finish_reason",
})  # fmt: skip
_NESTED = ("guardContent", "citationsContent", "searchResult", "json")
_MEDIA_FIELDS = frozenset({
    "source", "format", "bytes", "data", "url", "uri", "fileUri", "file_uri", "mimeType", "mime_type", "file_id",
})  # fmt: skip
"""Keys of which one stands in what a media key holds, so that an ordinary object of that name keeps its words."""
MOST_SOURCES = 20
_SOURCE_CHARS = 300


def read_blocks(content: Any, depth: int) -> list[ChatPart]:
    """Return the parts of a message's content, which may be a text, a block or a list of them."""
    if isinstance(content, list) and len(content) >= MANY_NUMBERS and are_numbers(content):
        return [_as_json(content)]  # a vector or bytes
    if isinstance(content, list) and depth <= MAX_DEPTH:
        return [part for block in content for part in read_block(block, depth + 1)]
    return read_block(content, depth)


def joined(content: Any, depth: int) -> str:
    """Return the content of a document as one text."""
    return " ".join(filter(None, map(str, read_blocks(content, depth))))


def result_part(content: Any, role: str, depth: int) -> ChatPart:
    """Return the content of a tool's result as one text, with the media in it; its name is the role of its message."""
    parts = read_blocks(content, depth)
    held = tuple(each for part in parts for each in part.attachments)
    return ChatPart("result", " ".join(filter(None, map(str, parts))), role, attachments=held)


def is_block(item: Any) -> bool:
    """Whether `item` is a content block and not a message or an item of its own."""
    if not isinstance(item, Mapping) or "role" in item or "message" in item:
        return False
    kind = tag(item)
    if kind in _MEDIA_TAGS or is_reasoning_type(kind):
        return True
    if kind in ("text", "output_text", "input_text", "tool_use", "refusal", "textcontent"):
        return True
    return not kind and bool(item) and (set(item) == {"text"} or is_result(item) or is_call(item) or _is_bare(item))


def _is_bare(item: Mapping[str, Any]) -> bool:
    """Whether a block without a type says what it is by a key, as Bedrock's and Gemini's blocks do."""
    keys = (*_THINKING_KEYS, *_MEDIA_KEYS, *_NESTED)
    return any(isinstance(item.get(key), Mapping) for key in keys) and not item.keys() & {"content", "parts"}


def is_thinking(item: Mapping[str, Any]) -> bool:
    """Whether a block is the model's reasoning."""
    return (
        is_reasoning_type(tag(item))
        or item.get("thought") is True
        or item.get("thought") in ("true", "True")
        or any(isinstance(item.get(key), Mapping) for key in _THINKING_KEYS)
        or (bool(item.keys() & {"reasoning", "thinking"}) and item.keys() <= _ONLY_THINKING)
    )


def read_block(block: Any, depth: int) -> list[ChatPart]:
    """Return the parts that one content block is: none for what says nothing, two for a call with its result."""
    if block is None or block == "":
        return []
    if isinstance(block, str):
        return [ChatPart("text", block)]
    if depth > MAX_DEPTH or not isinstance(block, Mapping):
        return read_blocks(block, depth) if isinstance(block, list) and depth <= MAX_DEPTH else [_as_json(block)]
    item = {key: value for key, value in in_our_spelling(block).items() if value is not None}
    kind = tag(item)
    if is_result(item):
        return [read_result(item, depth)]
    if is_call(item):
        return read_call(item, depth)
    if is_thinking(item):
        return [ChatPart("thinking", _thinking(item, depth))]
    if kind in _SOURCE_TAGS:
        return [_source_block(item, depth)] if kind.endswith("_result") else sources([item])
    if kind in _SILENT_TAGS or (not kind and item.keys() <= {"cachePoint"}):
        return []
    media = _media(item, kind, depth)
    if media is not None:
        return [media]
    return _words(item, kind, depth)


def _words(item: Mapping[str, Any], kind: str, depth: int) -> list[ChatPart]:
    """Return the parts of a block that is text in one form or another."""
    if kind == "refusal" and isinstance(item.get("refusal"), str):
        return [ChatPart("refusal", item["refusal"])]
    for key in _TEXT_KEYS:
        value = item.get(key)
        if isinstance(value, str) and (kind or item.keys() <= _BESIDE_TEXT):
            errors = item.get("stderr") if key == "stdout" else None
            text = [ChatPart("text", said) for said in (value, errors) if isinstance(said, str) and said]
            return text + sources(item.get("citations"), item.get("annotations"))
    nested = first(item, _NESTED) if not kind else None
    if nested is not None and len(item) == 1:
        return read_blocks(nested, depth + 1) if not _is_data(item) else [_as_json(nested)]
    for key in ("parts", "content", "text", "value"):
        value = item.get(key)
        if isinstance(value, list) or (isinstance(value, Mapping) and key == "text"):
            return read_blocks(value, depth + 1) + sources(item.get("citations"), item.get("annotations"))
    if kind in ("json", "error_json") and "value" in item:
        return [_as_json(item["value"])]
    return [_as_json(item)]


def _is_data(item: Mapping[str, Any]) -> bool:
    return "json" in item


def _as_json(value: Any) -> ChatPart:
    return ChatPart("text", to_json(value))


# -- calls and results ----------------------------------------------------------------------------------


def read_call(call: Any, depth: int, *, named_by_type: bool = False) -> list[ChatPart]:
    """Return a call of a tool and, where the same block holds it, its result."""
    found = call_of(in_our_spelling(call), named_by_type=named_by_type) if isinstance(call, Mapping) else None
    if found is None:
        return [_as_json(call)]
    made = found.part
    if found.result is None:
        return [made]
    if made.name == "image_generation":
        return [made, ChatPart("media", "", "image", attachments=(attachment_of("image", {"data": found.result}),))]
    return [made, result_part(found.result, result_role(made.call_id), depth + 1)]


def read_result(result: Mapping[str, Any], depth: int) -> ChatPart:
    """Return a tool's result, with the role of its message (`tool[<id>]`) as the part's name."""
    role, content = result_of(in_our_spelling(result))
    return result_part(content, role, depth + 1)


# -- reasoning, media, sources --------------------------------------------------------------------------


def _thinking(item: Mapping[str, Any], depth: int) -> str:
    for key in (
        "thinking",
        "text",
        "content",
        "summary",
        "reasoning",
        "reasoningText",
        "reasoning_text",
        *_THINKING_KEYS,
    ):
        said = item.get(key)
        if isinstance(said, Mapping) and depth < MAX_DEPTH:
            return _thinking(said, depth + 1)
        if said:
            return " ".join(part.text for part in read_blocks(said, depth + 1) if part.text)
    return ""


def _media(item: Mapping[str, Any], kind: str, depth: int) -> ChatPart | None:
    """Return the mark of a block of media, or None. Its data is never kept; its words are."""
    name = _MEDIA_TAGS.get(kind) or _MEDIA_TAGS.get(stem(kind))
    uri = item.get("uri") if kind == "data" else None
    if isinstance(uri, str):  # Microsoft.Extensions.AI; other `data` is an object of its own
        name = next((known for known in ("image", "audio", "video") if uri.startswith(f"data:{known}/")), "file")
    holder: Mapping[str, Any] = item
    if name is None:
        key = None if kind else next((key for key in _MEDIA_KEYS if isinstance(item.get(key), Mapping)), None)
        if key is None or not item[key].keys() & _MEDIA_FIELDS:
            return None
        name, holder = _MEDIA_KEYS[key], item[key]
    nested = [holder, *(value for value in holder.values() if isinstance(value, Mapping))]
    for level in nested:
        mime = first(level, ("mimeType", "mime_type", "media_type", "mediaType", "contentType", "modality", "format"))
        for known in ("image", "audio", "video"):
            if isinstance(mime, str) and mime.startswith(known):
                name = known
    words = _media_words(holder, nested, depth)
    return ChatPart("media", words, name, attachments=(attachment_of(name, holder),))


def _media_words(holder: Mapping[str, Any], nested: list[Mapping[str, Any]], depth: int) -> str:
    """Return a transcript or a description, else a file's name and the text of a document that is text."""
    for level in nested:
        said = first(level, ("transcript", "alt", "alt_text", "caption"))
        if isinstance(said, str) and said:
            return said
    names = (first(level, ("title", "filename", "file_name", "name")) for level in nested)
    name = next((found for found in names if isinstance(found, str)), "")
    source = holder.get("source")
    text: Any = holder.get("text")
    if isinstance(source, Mapping) and source.get("type") in ("text", "content"):
        text = first(source, ("data", "content"))
    elif isinstance(source, Mapping) and isinstance(source.get("text"), str):
        text = source["text"]
    elif isinstance(held := first(holder, ("document", "resource")), Mapping):
        text = first(held, ("data", "text"))  # Cohere, MCP
    shown = joined(text, depth + 1) if text is not None else ""
    return f"{name}: {shown}" if name and shown else name or shown


def _source_block(item: Mapping[str, Any], depth: int) -> ChatPart:
    """Return a search result: its title, its address and its text."""
    found = joined(item.get("content"), depth + 1) if item.get("content") else item.get("snippet")
    named = _source(item)
    words = f"{named}: {found}" if named and isinstance(found, str) and found else named or to_json(item)
    return ChatPart("text", words)


def sources(*lists: Any) -> list[ChatPart]:
    """Return the sources that citations or annotations name, as one part; no part if they name none."""
    found: dict[str, None] = {}
    for one in lists:
        for citation in one if isinstance(one, list) else ():
            named = (
                citation if isinstance(citation, str) else _source(citation) if isinstance(citation, Mapping) else ""
            )
            if named:
                found[named[:_SOURCE_CHARS]] = None
    return [ChatPart("sources", "; ".join(list(found)[:MOST_SOURCES]))] if found else []


def _source(citation: Mapping[str, Any]) -> str:
    inner = first(citation, ("url_citation", "file_citation", "web"))
    item = inner if isinstance(inner, Mapping) else citation
    title = first(item, ("title", "filename", "document_title"))
    url = first(item, ("url", "uri", "source"))
    title = title if isinstance(title, str) else ""
    url = url if isinstance(url, str) else ""
    return f"{title} ({url})" if title and url else title or url
