"""The contract of a judge's answer, and the verdict that an answer means.

An answer that does not parse is an `AnswerError`, never a verdict: nothing is guessed from prose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from evaluators.verdict import Skip, Verdict

OutputType = Literal["boolean", "numeric", "categorical"]
MAX_REASONING_CHARS = 8_000
SCHEMA_NAME = "record_verdict"

_OUTCOMES = {"pass": True, "fail": False}


def printable(text: str) -> str:
    """Return `text` as it can be stored and sent: pairs of surrogates joined, a lone half and NUL replaced.

    Linear time. PostgreSQL stores no NUL.
    """
    text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class AnswerError(ValueError):
    """The answer does not fulfil the contract; the text says how, for the repair request and the skip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputContract:
    """The verdict that is asked for.

    Attributes:
        minimum, maximum: inclusive bounds of a numeric score.
        step: a hint for the judge; scores between steps are taken.
        options: (key, label) of the categories.
        multiple: whether more than one category may be chosen.
    """

    type: OutputType = "boolean"
    allows_na: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    options: tuple[tuple[str, str], ...] = ()
    multiple: bool = False

    @property
    def field(self) -> str:
        """The name of the answer's field that holds the verdict."""
        if self.type == "numeric":
            return "score"
        if self.type == "categorical":
            return "categories"
        return "outcome" if self.allows_na else "verdict"

    def schema(self) -> dict[str, Any]:
        """Return the answer's JSON Schema, in the subset that strict modes take."""
        return {
            "type": "object",
            "properties": {
                "reasoning": {"type": "string", "description": "One sentence that justifies the verdict."},
                self.field: self._verdict_schema(),
            },
            "required": ["reasoning", self.field],
            "additionalProperties": False,
        }

    def _verdict_schema(self) -> dict[str, Any]:
        if self.type == "numeric":
            kind: str | list[str] = ["number", "null"] if self.allows_na else "number"
            return {"type": kind, "description": self._numeric_rule()}
        if self.type == "categorical":
            keys = [key for key, _ in self.options]
            return {
                "type": "array",
                "items": {"type": "string", "enum": keys},
                "description": self._categorical_rule(),
            }
        if self.allows_na:
            return {"type": "string", "enum": ["pass", "fail", "not_applicable"]}
        return {"type": "boolean", "description": "true if the criteria are met, else false"}

    def describe(self) -> str:
        """Return the contract in words, for the system message."""
        lines = [
            f'Answer with one JSON object and nothing else: first "reasoning", one sentence, then "{self.field}".',
            f"- {self._rule()}",
        ]
        if self.type == "categorical":
            lines += [f"  - {json.dumps(key, ensure_ascii=False)}: {label}" for key, label in self.options]
        if not self.allows_na:
            lines.append("- There is always a verdict: decide, even where it is close.")
        return "\n".join(lines)

    def _rule(self) -> str:
        if self.type == "numeric":
            return self._numeric_rule()
        if self.type == "categorical":
            return self._categorical_rule()
        if self.allows_na:
            return (
                'outcome: "pass" if the criteria are met, "fail" if not, '
                '"not_applicable" only if they cannot be applied to this interaction.'
            )
        return "verdict: true if the criteria are met, else false."

    def _numeric_rule(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            bounds = f"a number from {self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            bounds = f"a number of {self.minimum:g} or more"
        elif self.maximum is not None:
            bounds = f"a number of {self.maximum:g} or less"
        else:
            bounds = "a number"
        step = f", in steps of {self.step:g}" if self.step else ""
        na = "; null only if the criteria cannot be applied to this interaction" if self.allows_na else ""
        return f"score: {bounds}{step}{na}."

    def _categorical_rule(self) -> str:
        rule = "every key that fits" if self.multiple else "exactly one key"
        na = "; an empty list only if the criteria cannot be applied to this interaction" if self.allows_na else ""
        return f"categories: a list of {rule} of those below{na}."

    def read(self, answer: Mapping[str, Any]) -> Verdict | Skip:
        """Return what a decoded answer says.

        Raises:
            AnswerError: a field is missing or of another type, or names a key that is not an option.
        """
        reasoning = answer.get("reasoning")
        if not isinstance(reasoning, str):
            raise AnswerError('"reasoning" is not a string')
        reasoning = printable(reasoning.strip()[:MAX_REASONING_CHARS])
        if self.field not in answer:
            raise AnswerError(f'"{self.field}" is missing')
        value = answer[self.field]
        if self.type == "numeric":
            return self._read_score(value, reasoning)
        if self.type == "categorical":
            return self._read_categories(value, reasoning)
        if not self.allows_na:
            if not isinstance(value, bool):
                raise AnswerError('"verdict" is neither true nor false')
            return Verdict(result=value, reasoning=reasoning)
        if value == "not_applicable":
            return Verdict(applicable=False, reasoning=reasoning)
        if not isinstance(value, str) or value not in _OUTCOMES:
            raise AnswerError('"outcome" is none of "pass", "fail" and "not_applicable"')
        return Verdict(result=_OUTCOMES[value], reasoning=reasoning)

    def _read_score(self, value: Any, reasoning: str) -> Verdict | Skip:
        if value is None and self.allows_na:
            return Verdict(applicable=False, reasoning=reasoning)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AnswerError('"score" is not a number')
        try:
            score = float(value)
        except OverflowError:
            raise AnswerError('"score" is too large to be a score') from None
        if not math.isfinite(score):
            raise AnswerError('"score" is not a finite number')
        below = self.minimum is not None and score < self.minimum
        above = self.maximum is not None and score > self.maximum
        if below or above:
            bound = f"below the minimum {self.minimum:g}" if below else f"above the maximum {self.maximum:g}"
            return Skip("score_out_of_bounds", f"the judge's score {score:g} is {bound}", reasoning)
        return Verdict(score=score, reasoning=reasoning)

    def _read_categories(self, value: Any, reasoning: str) -> Verdict:
        if value in (None, []) and self.allows_na:
            return Verdict(applicable=False, reasoning=reasoning)
        if not isinstance(value, list) or not value:
            raise AnswerError('"categories" is not a list with at least one key')
        known = {key for key, _ in self.options}
        for key in value:
            if not isinstance(key, str) or key not in known:
                raise AnswerError(f'"categories" holds {json.dumps(key)[:80]}, which is not an option')
        keys = tuple(dict.fromkeys(value))
        if len(keys) > 1 and not self.multiple:
            raise AnswerError('"categories" holds more than one key, and one may be chosen')
        return Verdict(categories=keys, reasoning=reasoning)
