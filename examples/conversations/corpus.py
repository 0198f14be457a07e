"""Reads the YAML corpus beside this file and makes conversations of it.

An entry is a family of conversations: `repeat` of them are made, each with other values in its `{{slots}}`, another
model, another wrapper (`via`), another user text and another answer. Everything is drawn from one seeded source.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from examples.conversations.documents import DOCUMENTS

FOLDER = Path(__file__).parent
ANTHROPIC_VIA = {"chat": "anthropic", "responses": "anthropic", "responses_stream": "anthropic_stream"}


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that the model makes, and what the tool gives back. Both are JSON text."""

    name: str
    arguments: str
    result: str


@dataclass(frozen=True, slots=True)
class Turn:
    """What the user says, which tools are called, and how the model answers.

    `answer` has the keys of the stand-in's scripted answers: `text`, `refusal`, `finish_reason`.
    """

    user: str
    calls: tuple[Call, ...]
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, had through one wrapper of the SDK with one model.

    Attributes:
        via: chat, chat_stream, responses, responses_stream, anthropic, anthropic_stream or langchain.
        fails: the stand-in's action instead of an answer; None if it answers.
    """

    name: str
    via: str
    model: str
    system: str | None
    turns: tuple[Turn, ...]
    tools: tuple[str, ...]
    prompt_name: str | None
    prompt_version: int
    wants_json: bool
    with_image: bool
    max_tokens: int | None
    fails: str | None


def conversations(seed: int) -> list[Conversation]:
    """Return all conversations in the order in which they happen: the families are mixed."""
    source = random.Random(seed)
    found = [one for family in _families() for one in _family(family, source)]
    source.shuffle(found)
    return found


def embedded_texts() -> list[str]:
    """Return the texts that are embedded, not talked about."""
    texts: list[str] = yaml.safe_load((FOLDER / "embeddings.yaml").read_text())
    return texts


def _families() -> Iterator[dict[str, Any]]:
    for path in sorted(FOLDER.glob("*.yaml")):
        if path.stem != "embeddings":
            yield from yaml.safe_load(path.read_text())


def _family(raw: Mapping[str, Any], source: random.Random) -> Iterator[Conversation]:
    texts = [_Texts(turn["user"], turn["answer"], source) for turn in raw["turns"]]
    for number in range(raw["repeat"]):
        slots = {name: _value(choices, source) for name, choices in raw.get("slots", {}).items()}
        via = raw["via"][number % len(raw["via"])]
        model = raw["model"][(number + number // len(raw["via"])) % len(raw["model"])]
        fails = raw.get("fails")
        yield Conversation(
            name=raw["name"],
            via=ANTHROPIC_VIA.get(via, via) if model.startswith("claude") else via,
            model=model,
            system=_filled(raw["system"].strip(), slots) if "system" in raw else None,
            turns=tuple(_turn(turn, *texts[place].take(), slots) for place, turn in enumerate(raw["turns"])),
            tools=tuple(raw.get("tools", ())),
            prompt_name=raw.get("prompt"),
            prompt_version=raw.get("prompt_version", 1),
            wants_json=raw.get("json", False),
            with_image=raw.get("image", False),
            max_tokens=raw.get("max_tokens"),
            fails=fails[number % len(fails)] if fails else None,
        )


def _turn(raw: Mapping[str, Any], user: str, answer: Any, slots: Mapping[str, str]) -> Turn:
    calls = tuple(
        Call(call["name"], _filled(call["arguments"], slots), _filled(call["result"], slots))
        for call in raw.get("calls", ())
    )
    return Turn(_filled(user, slots), calls, _answer(answer, slots))


def _answer(raw: Any, slots: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(raw, str):
        return {"text": _filled(raw, slots)}
    if "repeat" in raw:
        return {"text": (_filled(raw["repeat"], slots) * raw["times"]).strip()}
    return {name: _filled(value, slots) for name, value in raw.items()}


def _value(choices: Any, source: random.Random) -> str:
    if isinstance(choices, dict):
        return DOCUMENTS[choices["generate"]](source)
    return re.sub("#", lambda _: str(source.randrange(10)), source.choice(choices))


def _filled(text: str, slots: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: slots[found[1]], text)


class _Texts:
    """The texts of one turn. Half of the answers are the one that stands at the place of the user's text.

    The others come in turn, so that right answers are common and no answer is left out.
    """

    def __init__(self, users: list[str], answers: list[Any], source: random.Random) -> None:
        self._users, self._answers, self._source = users, answers, source
        self._users_left: list[int] = []
        self._answers_left: list[int] = []

    def take(self) -> tuple[str, Any]:
        """Return a user's text and an answer."""
        place = self._next(self._users_left, len(self._users))
        if place >= len(self._answers) or self._source.random() < 0.5:
            return self._users[place], self._answers[self._next(self._answers_left, len(self._answers))]
        return self._users[place], self._answers[place]

    def _next(self, left: list[int], count: int) -> int:
        if not left:
            left += self._source.sample(range(count), count)
        return left.pop()
