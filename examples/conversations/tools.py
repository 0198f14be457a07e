"""The tools that models may call in the conversations, in the shape that each API wants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TOOLS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "get_weather": (
        "Weather forecast for a city and a day.",
        {"city": "Name of the city", "date": "YYYY-MM-DD", "unit": "celsius or fahrenheit"},
        ("city", "date"),
    ),
    "find_order": ("Look an order up by its number.", {"order_id": "As it stands in the mail"}, ("order_id",)),
    "start_refund": (
        "Refund an order, at most 100 euros.",
        {"order_id": "Number of the order", "reason": "Why"},
        ("order_id",),
    ),
    "search_docs": (
        "Search the product's documentation.",
        {"query": "What to look for", "limit": "How many pages"},
        ("query",),
    ),
    "get_rate": ("Today's exchange rate.", {"base": "ISO code", "quote": "ISO code"}, ("base", "quote")),
    "convert": ("Multiply an amount by a rate.", {"amount": "Amount", "rate": "Rate"}, ("amount", "rate")),
}
"""Name → description, parameters with theirs, and which of them are required."""


def _schema(name: str) -> dict[str, Any]:
    _, parameters, required = TOOLS[name]
    properties = {each: {"type": "string", "description": text} for each, text in parameters.items()}
    return {"type": "object", "properties": properties, "required": list(required)}


def chat_tools(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return tools for chat completions."""
    return [
        {"type": "function", "function": {"name": name, "description": TOOLS[name][0], "parameters": _schema(name)}}
        for name in names
    ]


def responses_tools(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return tools for the responses API."""
    return [
        {"type": "function", "name": name, "description": TOOLS[name][0], "parameters": _schema(name), "strict": False}
        for name in names
    ]


def anthropic_tools(names: Sequence[str]) -> list[dict[str, Any]]:
    """Return tools for Anthropic's messages."""
    return [{"name": name, "description": TOOLS[name][0], "input_schema": _schema(name)} for name in names]
