"""The type and the size of media in every shape that is known, without decoding them, in linear time."""

from __future__ import annotations

import base64
import json
import re
from itertools import chain
from typing import Any

import pytest

from evaluators.messages import (
    Attachment,
    attachment_of_url,
    read_conversation,
    render_messages,
    scrubbed,
    split_data_urls,
)
from tests.hostile.growth import MOST, ratio
from tests.unit.evaluators.messages.test_shapes import CASES

PNG = ("image/png", 1208, "")
"""The picture of `data/shapes.yaml`, which tells its type by how it begins."""
HELD: dict[str, list[tuple[str, int | None, str]]] = {
    "Bedrock Converse": [("pdf", 1208, "")],
    "Vercel AI SDK, model messages and a result": [("image/png", 2, ""), ("application/pdf", 1208, "")],
    "OpenTelemetry GenAI parts with a server tool": [("", None, "https://x"), ("", None, "")],
    "LlamaIndex blocks": [PNG],
    "Gemini with thoughts, code and absent fields as null": [("video/mp4", None, "gs://")],
    "OpenRouter with reasoning and images": [PNG],
    "OpenAI responses with built-in tools": [PNG, PNG, PNG],
    "Ollama": [PNG],
    "Anthropic, whole request and response": [("text/plain", 5, "")],
    "Gemini as the PostHog SDK logs it": [PNG],
    "OpenAI audio with its transcript": [PNG],
    "OpenAI responses: search, image, code and MCP": [PNG],
    "Pydantic AI": [("", None, "https://a.example/x.png"), ("audio/wav", 1208, "")],
    "Anthropic documents, server tools and redacted thinking": [("application/pdf", 1208, "")],
    "Bedrock images": [("png", 1208, "")],
    "Semantic Kernel": [PNG],
    "pictures by address": [("", None, "https://x/y.png"), ("", None, "")],
    "Bedrock, a picture as a result": [("png", 1208, "")],
    "Pydantic AI, built-in tools and files": [("application/pdf", None, "u"), PNG],
    "LangChain, a tool result of blocks": [PNG],
    "event at the end of a Realtime response": [("", None, "")],
    "a picture of Microsoft.Extensions.AI": [PNG],
    "Base64 in the arguments of a call": [],
}
_MARK = re.compile(r"\[(image|audio|video|file)\]")


def attachments(value: Any, role: str = "user") -> list[Attachment]:
    found = read_conversation(value, default_role=role)
    return [each for message in found.messages for part in message.parts for each in part.attachments]


@pytest.mark.parametrize("case", CASES)
def test_every_medium_of_a_known_shape_has_its_type_and_its_size(case: dict[str, Any]) -> None:
    found = attachments(case["input"]) + attachments(case["output"], "assistant")
    assert [tuple(each)[1:] for each in found] == HELD.get(case["name"], [])
    if case["name"] != "Base64 in the arguments of a call":
        marks = _MARK.findall("\n".join(chain(render_messages(case["input"]), render_messages(case["output"]))))
        assert [each.kind for each in found] == marks, "each mark of a prompt is a line of the page"


def block(**fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [fields]}]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 56, 57, 58, 1000])
@pytest.mark.parametrize(
    "wrap", [str, lambda text: text.rstrip("="), lambda text: "\n".join(re.findall(".{1,76}", text))]
)
def test_the_size_is_that_of_the_data(size: int, wrap: Any) -> None:
    text = wrap(base64.b64encode(b"\xf1" * size).decode())
    (found,) = attachments(block(type="image", source={"type": "base64", "media_type": "image/webp", "data": text}))
    assert found == Attachment("image", "image/webp", size)
    (found,) = attachments(block(type="image_url", image_url={"url": f"data:image/webp;base64,{text}"}))
    assert found == Attachment("image", "image/webp", size)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"type": "image_url", "image_url": {"url": "https://a.example/b.png?c=1"}},
         Attachment("image", "", None, "https://a.example/b.png?c=1")),
        ({"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/key"}}}},
         Attachment("image", "jpeg", None, "s3://bucket/key")),
        ({"type": "file", "file": {"file_id": "file-abc"}}, Attachment("file")),
        ({"type": "image", "image": "logo"}, Attachment("image")),
        ({"type": "image", "source": {"type": "url", "url": "https://a.example"}},
         Attachment("image", "", None, "https://a.example")),
        ({"type": "file", "data": {"type": "Buffer", "data": [1, 2, 3]}, "mediaType": "a/b"},
         Attachment("file", "a/b", 3)),
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "één"}},
         Attachment("file", "text/plain", 5)),
        ({"type": "image_url", "image_url": "DATA:image/svg+xml,%3Csvg%3E"}, Attachment("image", "image/svg+xml", 5)),
        ({"type": "image", "data": "b'\\x89PNG'"}, Attachment("image")),
        ({"type": "image", "url": "https://a" + "b" * 5000}, Attachment("image", "", None, "https://a" + "b" * 291)),
        ({"type": "image", "mimeType": "t" * 5000, "data": "QUJD"}, Attachment("image", "t" * 100, 3)),
        ({"type": "image", "mimeType": 7, "data": None, "url": ["x"], "image": {}}, Attachment("image")),
    ],
)  # fmt: skip
def test_links_ids_and_odd_values_are_told_apart_from_data(fields: dict[str, Any], expected: Attachment) -> None:
    assert attachments(block(**fields)) == [expected]


def test_a_text_is_split_at_its_data_urls() -> None:
    url = "data:image/png;base64," + "QUJD" * 100
    assert split_data_urls(f"see {url} and {url}") == ["see ", url, " and ", url, ""]
    assert attachment_of_url(url) == Attachment("image", "image/png", 300)
    for text in ("", "no data", "data:,x", f"data: {'x' * 400}", "see data:image/png;base64,QUJD"):
        assert split_data_urls(text) == [text]
        assert attachment_of_url(text + "x" * 400) is None or text.startswith("data:")
    many = split_data_urls(f"{url} " * 3000)
    assert len(many) < 4100
    assert "".join(many) == f"{url} " * 3000


def test_no_mark_of_a_prompt_tells_type_or_size() -> None:
    url = "data:image/png;base64," + "QUJD" * 100
    assert render_messages(block(type="image_url", image_url={"url": url})) == ["user: [image]"]
    assert scrubbed(url) == "[image]"


@pytest.mark.parametrize(
    "make",
    [
        lambda size: block(type="image_url", image_url={"url": "data:image/png;base64," + "A" * size}),
        lambda size: block(type="image_url", image_url={"url": "data:image/png;base64," + "=\n" * (size // 2)}),
        lambda size: block(type="image", data=json.dumps("\\" * size)),
        lambda size: block(type="image", source={f"a{number}": {"data": {}} for number in range(size // 64)}),
        lambda size: block(type="image", image={str(number): 1 for number in range(size // 16)}),
    ],
    ids=["base64", "padding and breaks", "escapes", "many objects", "bytes by number"],
)  # fmt: skip
def test_the_time_grows_with_the_data(make: Any) -> None:
    assert ratio(attachments, make, 512 * 1024) < MOST


@pytest.mark.parametrize(
    "unit", ["data:,", "data:;base64,A ", "data:a/b;a", "data:image/png;base64," + "A" * 300 + " ", "data:"]
)
def test_the_time_of_a_split_grows_with_the_text(unit: str) -> None:
    assert ratio(split_data_urls, lambda size: unit * (size // len(unit)), 512 * 1024) < MOST
