"""How a model is made to answer in JSON: from the strictest way that it takes to plain asking.

What an endpoint's model takes is found out by its refusals and remembered, for all teams alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evaluators.llm_judge.output import SCHEMA_NAME, OutputContract
from evaluators.llm_judge.prompt import Prompt

Rung = Literal["json_schema", "tool_call", "json_mode", "instruction"]
RUNGS: tuple[Rung, ...] = ("json_schema", "tool_call", "json_mode", "instruction")
FORGET_AFTER_S = 86_400.0
"""After a day the top is tried again: servers learn."""
IGNORED_LIMIT = 3
"""Answers in a row that ignored the format before the next rung is taken for good."""


@dataclass(slots=True)
class Capabilities:
    """What is known of one model at one endpoint.

    Attributes:
        rung: index into `RUNGS` at which calls begin.
        temperature: whether it takes one.
        ignored: answers in a row that did not hold to the format.
    """

    rung: int = 0
    temperature: bool = True
    ignored: int = 0
    learned_s: float = 0.0


class Ladder:
    """Remembers capabilities per endpoint and model.

    Args:
        now: epoch seconds.
        changed: called with (address, model, rung) when another rung is remembered.
    """

    def __init__(
        self, now: Callable[[], float], *, changed: Callable[[str, str, Rung], None] = lambda _a, _m, _r: None
    ) -> None:
        self._now = now
        self._changed = changed
        self._known: dict[tuple[str, str], Capabilities] = {}

    def of(self, address: str, model: str) -> Capabilities:
        """Return what is known, forgotten after a day."""
        key = (address, model)
        known = self._known.get(key)
        if known is None or (known.learned_s and self._now() - known.learned_s > FORGET_AFTER_S):
            known = self._known[key] = Capabilities()
        return known

    def rung(self, address: str, model: str) -> Rung:
        """Return the rung at which calls begin."""
        return RUNGS[self.of(address, model).rung]

    def answered(self, address: str, model: str, rung: int) -> None:
        """Note a well-formed answer on `rung`: rungs above it that were refused are not tried again."""
        known = self.of(address, model)
        known.ignored = 0
        if rung > known.rung:
            self._descend(known, address, model, rung)

    def ignored(self, address: str, model: str, rung: int) -> None:
        """Note an answer on `rung` that did not hold to the format."""
        known = self.of(address, model)
        known.ignored += 1
        if known.ignored >= IGNORED_LIMIT and rung == known.rung and rung + 1 < len(RUNGS):
            self._descend(known, address, model, rung + 1)

    def _descend(self, known: Capabilities, address: str, model: str, rung: int) -> None:
        known.rung = rung
        known.ignored = 0
        known.learned_s = self._now()
        self._changed(address, model, RUNGS[rung])

    def refuses_temperature(self, address: str, model: str) -> None:
        """Note that the model takes no temperature."""
        known = self.of(address, model)
        known.temperature = False
        known.learned_s = known.learned_s or self._now()


def payload(model: str, prompt: Prompt, contract: OutputContract, rung: Rung, *, temperature: bool) -> dict[str, Any]:
    """Return the parameters of the call on `rung`."""
    system = prompt.system
    if rung in ("json_mode", "instruction"):
        schema = json.dumps(contract.schema(), ensure_ascii=False)
        system = f"{system}\n\nThe answer is one JSON object that fits this JSON Schema:\n{schema}"
    found: dict[str, Any] = {
        "model": model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": prompt.user}],
        **_format(contract, rung),
    }
    if temperature:
        found["temperature"] = 0
    return found


def _format(contract: OutputContract, rung: Rung) -> Mapping[str, Any]:
    schema = contract.schema()
    if rung == "json_schema":
        named = {"name": SCHEMA_NAME, "strict": True, "schema": schema}
        return {"response_format": {"type": "json_schema", "json_schema": named}}
    if rung == "tool_call":
        function = {"name": SCHEMA_NAME, "description": "Record the verdict.", "parameters": schema}
        return {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": SCHEMA_NAME}},
        }
    if rung == "json_mode":
        return {"response_format": {"type": "json_object"}}
    return {}
