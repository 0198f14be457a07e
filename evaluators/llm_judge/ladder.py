"""The forms in which a model can be asked: from the strictest that it takes to plain asking.

The refusals of an endpoint's model show which forms it takes. They are remembered for all teams alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from evaluators.llm_judge.failures import FailureKind
from evaluators.llm_judge.output import SCHEMA_NAME, OutputContract
from evaluators.llm_judge.prompt import Prompt

Rung = Literal["json_schema", "tool_call", "json_mode", "instruction"]
RUNGS: tuple[Rung, ...] = ("json_schema", "tool_call", "json_mode", "instruction")
AnswerLimit = Literal["max_tokens", "max_completion_tokens", "none"]
_LIMITS: tuple[AnswerLimit, ...] = ("max_tokens", "max_completion_tokens", "none")
FORGET_AFTER_S = 86_400.0
"""After a day the top is tried again, because servers learn."""
TOP_LOGPROBS = 10
"""Alternatives of a token that are asked for: enough for every spelling of two classes."""
IGNORED_LIMIT = 3
"""Answers that ignored the format, or runs that only a lower rung answered, before that rung is remembered."""


@dataclass(frozen=True, slots=True)
class Form:
    """One form of the request.

    Attributes:
        rung: index into `RUNGS`.
        temperature: whether one is sent.
        system_role: whether the system message is a message of its own; else it opens the user message.
        answer_limit: the parameter that limits the answer.
    """

    rung: int = 0
    temperature: bool = True
    system_role: bool = True
    answer_limit: AnswerLimit = "max_tokens"

    def without(self, kind: FailureKind) -> Form | None:
        """Return the form to try after a refusal of `kind`, or None if there is none left."""
        if kind == "unsupported_temperature" and self.temperature:
            return replace(self, temperature=False)
        if kind == "unsupported_system_role" and self.system_role:
            return replace(self, system_role=False)
        if kind == "unsupported_token_limit" and self.answer_limit != "none":
            return replace(self, answer_limit=_LIMITS[_LIMITS.index(self.answer_limit) + 1])
        return next(self._below(), None)

    def lower(self) -> Form | None:
        """Return the same form on the next rung, or None on the last."""
        return replace(self, rung=self.rung + 1) if self.rung + 1 < len(RUNGS) else None

    def _below(self) -> Iterator[Form]:
        """Yield the forms that ask for one thing less, in the order in which servers most often refuse them."""
        lower = self.lower()
        if lower is not None:
            yield lower
        if self.temperature:
            yield replace(self, temperature=False)
        if self.system_role:
            yield replace(self, system_role=False)
        if self.answer_limit != "none":
            yield replace(self, answer_limit="none")


@dataclass(slots=True)
class Capabilities:
    """The known capabilities of one model at one endpoint.

    Attributes:
        form: the form in which calls begin.
        proven: whether an answer in this form held to the contract.
        ignored: answers in a row that did not hold to the format.
        logprobs: whether it takes a request for log probabilities; None if that is not known.
        rescued: runs in a row that the rung's server errors ended, but a lower rung answered.
    """

    form: Form = field(default_factory=Form)
    proven: bool = False
    ignored: int = 0
    rescued: int = 0
    learned_s: float = 0.0
    logprobs: bool | None = None

    @property
    def temperature(self) -> bool:
        """Whether the model takes one."""
        return self.form.temperature


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
        """Return the known capabilities; they are forgotten after a day."""
        key = (address, model)
        known = self._known.get(key)
        if known is None or (known.learned_s and self._now() - known.learned_s > FORGET_AFTER_S):
            known = self._known[key] = Capabilities()
        return known

    def rung(self, address: str, model: str) -> Rung:
        """Return the rung at which calls begin."""
        return RUNGS[self.of(address, model).form.rung]

    def took(self, address: str, model: str, form: Form) -> None:
        """Note that the server took a request in `form`: the parts that were left out are not sent again."""
        known = self.of(address, model)
        if replace(form, rung=known.form.rung) != known.form:
            known.form = replace(form, rung=known.form.rung)
            known.learned_s = known.learned_s or self._now()

    def note_logprobs(self, address: str, model: str, *, taken: bool) -> None:
        """Note whether a request for log probabilities was answered, or was answered only without it."""
        known = self.of(address, model)
        if known.logprobs is not taken:
            known.logprobs = taken
            if not taken:
                known.learned_s = known.learned_s or self._now()

    def answered(self, address: str, model: str, rung: int, *, rescued: bool = False) -> None:
        """Note a well-formed answer on `rung`: rungs above it that were refused are not tried again.

        Args:
            rescued: the rungs above were left for their server errors. That may have been an outage, so that it
                takes `IGNORED_LIMIT` such runs before they are not tried again.
        """
        known = self.of(address, model)
        known.ignored = 0
        if rung <= known.form.rung:
            known.rescued = 0
            known.proven = True
            return
        if rescued:
            known.rescued += 1
            if known.rescued < IGNORED_LIMIT:
                return
        self._descend(known, address, model, rung)
        known.proven = True

    def ignored(self, address: str, model: str, rung: int) -> None:
        """Note an answer on `rung` that did not hold to the format.

        On a rung that has given a well-formed answer, such an answer is the judged text's doing. It must not change the
        form of the requests for all other texts.
        """
        known = self.of(address, model)
        if known.proven and rung == known.form.rung:
            return
        known.ignored += 1
        if known.ignored >= IGNORED_LIMIT and rung == known.form.rung and rung + 1 < len(RUNGS):
            self._descend(known, address, model, rung + 1)

    def _descend(self, known: Capabilities, address: str, model: str, rung: int) -> None:
        known.form = replace(known.form, rung=rung)
        known.proven = False
        known.ignored = known.rescued = 0
        known.learned_s = self._now()
        self._changed(address, model, RUNGS[rung])


def payload(
    model: str,
    prompt: Prompt,
    contract: OutputContract,
    form: Form,
    *,
    max_output_tokens: int,
    temperature: float = 0,
    logprobs: bool = False,
) -> dict[str, Any]:
    """Return the parameters of the call in `form`.

    Args:
        logprobs: whether to ask for the probabilities of the answer's tokens.
    """
    rung = RUNGS[form.rung]
    system = prompt.system
    if rung in ("json_mode", "instruction"):
        schema = json.dumps(contract.schema(), ensure_ascii=False)
        system = f"{system}\n\nThe answer is one JSON object that fits this JSON Schema:\n{schema}"
    messages = [{"role": "system", "content": system}, {"role": "user", "content": prompt.user}]
    if not form.system_role:
        messages = [{"role": "user", "content": f"{system}\n\n{prompt.user}"}]
    found: dict[str, Any] = {"model": model, "messages": messages, **_format(contract, rung)}
    if form.temperature:
        found["temperature"] = temperature
    if logprobs:
        found |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    if form.answer_limit != "none":
        found[form.answer_limit] = max_output_tokens
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
