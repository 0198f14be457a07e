"""Readable text from the message and tool shapes that providers and their SDKs log.

`conversation` reads any shape into one normal form, `blocks` reads the parts of a message, `normal` is that form with
its renderings, `tools` reads catalogues, `scrub` keeps binary data out of prompts. Pure: no I/O, no clock.
"""

from __future__ import annotations

from typing import Any

from evaluators.messages.attachments import Attachment, attachment_of_url
from evaluators.messages.conversation import read_conversation
from evaluators.messages.json_text import to_json
from evaluators.messages.normal import ChatHistory, ChatMessage, ChatPart
from evaluators.messages.scrub import scrubbed, split_data_urls, without_data_urls
from evaluators.messages.tools import read_tools, render_tools

__all__ = [
    "Attachment",
    "ChatHistory",
    "ChatMessage",
    "ChatPart",
    "attachment_of_url",
    "read_conversation",
    "read_tools",
    "render_input",
    "render_messages",
    "render_output",
    "render_tools",
    "scrubbed",
    "split_data_urls",
    "to_json",
    "without_data_urls",
]


def render_input(value: Any) -> str:
    """Return a generation's input as text for a prompt, one message per line as `role: text`.

    Text keeps its own line breaks. None gives an empty string.
    """
    return "\n".join(render_messages(value))


def render_output(value: Any) -> str:
    """Return a generation's output as text for a prompt, in the same way as `render_input`."""
    return "\n".join(render_messages(value, default_role="assistant"))


def render_messages(value: Any, *, default_role: str = "user") -> list[str]:
    """Return each message of `value` as one text for a prompt, in order, without binary data (`scrubbed`).

    Args:
        value: decoded JSON of any shape.
        default_role: the role of messages that name none.
    """
    return [scrubbed(str(message)) for message in read_conversation(value, default_role=default_role).messages]
