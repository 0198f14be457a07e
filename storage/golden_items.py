"""Items of a golden set as a measurement judges them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import RowMapping

from evaluators.generation import INPUTS, OUTPUTS
from evaluators.messages import read_conversation
from storage.sql.datasets import event_of
from storage.sql.golden_sets import GoldenItem
from storage.sql.measurements import MeasuredItem

_SHORTEST_EXAMPLE = 20
_SPACES = 4
"""A text may be so many times longer than in the prompt, by spaces."""
_NOT_ITS_OWN = ("system", "developer")


def without_examples(items: Iterable[GoldenItem], prompts: Sequence[str]) -> list[GoldenItem]:
    """Return the items whose text is not an example in a prompt: a judge knows the answer to those."""
    shown = [_words(prompt) for prompt in prompts if len(prompt) >= _SHORTEST_EXAMPLE]
    if not shown:
        return list(items)
    longest = _SPACES * max(map(len, shown))
    return [
        each for each in items
        if not any(text in prompt for text in _said(each.event["properties"], longest) for prompt in shown)
    ]  # fmt: skip


def dataset_item(row: RowMapping) -> GoldenItem:
    """Return an item of a dataset in the form of an item of a golden set, without an expected verdict."""
    return GoldenItem(
        key=f"dataset_item:{row['id']}", expected={}, labels=0, origin="dataset", inclusion_probability=None,
        event=event_of(row),
    )  # fmt: skip


def measured_items(golden: Iterable[GoldenItem]) -> tuple[MeasuredItem, ...]:
    """Return the items in the form of a measurement."""
    return tuple(
        MeasuredItem(each.key, each.event["uuid"], str(each.event["properties"].get("$ai_trace_id") or ""))
        for each in golden
    )


def chosen_anchors(golden: Iterable[GoldenItem], size: int) -> list[GoldenItem]:
    """Return `size` items in the order of a hash of their keys: the same ones for every run."""
    return sorted(golden, key=lambda each: sha256(f"anchor:{each.key}".encode()).digest())[:size]


def _said(properties: Mapping[str, Any], longest: int) -> Iterator[str]:
    """Yield the texts of a generation that an example could be, those of more than `longest` characters left out.

    System texts are not its own: all generations share them.
    """
    for name in (*INPUTS, *OUTPUTS):
        value = properties.get(name)
        for message in read_conversation(value).messages if value else ():
            if message.role in _NOT_ITS_OWN:
                continue
            for part in message.parts:
                if part.kind == "text" and _SHORTEST_EXAMPLE <= len(part.text) <= longest:
                    text = _words(part.text)
                    if len(text) >= _SHORTEST_EXAMPLE:
                        yield text


def _words(text: str) -> str:
    """Return a text with single spaces for indents and line ends, because an example in a prompt is often folded."""
    return " ".join(text.split())
