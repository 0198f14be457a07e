"""The verdicts that people give: checked against the output of the evaluation that asks for them.

BadVerdict      the verdict is not an answer to the evaluation's question

A stored verdict is `{applicable: true, result | score | categories}`, `{applicable: false}` or `{unsure: true}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput, OutputConfig

UNSURE: dict[str, Any] = {"unsure": True}
NOT_APPLICABLE: dict[str, Any] = {"applicable": False}
_FIELDS = ("applicable", "result", "score", "categories", "unsure")
_MAX_SHORT_CHARS = 20_000


class BadVerdict(ValueError):
    """A verdict that does not answer the question. `field` is the part of it at fault, or empty."""

    def __init__(self, message: str, field: str = "") -> None:
        self.field = field
        super().__init__(message)


def read_verdict(raw: object, output: OutputConfig) -> dict[str, Any]:
    """Return a verdict as it is stored.

    Raises:
        BadVerdict: it does not fit `output`.
    """
    if not isinstance(raw, Mapping):
        raise BadVerdict('The verdict is an object such as {"result": true} or {"unsure": true}.')
    given = {name: value for name, value in raw.items() if value is not None}
    unknown = sorted(str(name) for name in given if name not in _FIELDS)
    if unknown:
        raise BadVerdict(f"{unknown[0][:100]!r} is not part of a verdict; it has {', '.join(_FIELDS)}.")
    answers = [name for name in ("result", "score", "categories") if name in given]
    for name in ("unsure", "applicable"):
        if not isinstance(given.get(name, True), bool):
            raise BadVerdict("Must be true or false.", name)
    if given.get("unsure"):
        if answers or "applicable" in given:
            raise BadVerdict('A verdict that is unsure says nothing else; send {"unsure": true}.', "unsure")
        return dict(UNSURE)
    if not given.get("applicable", True):
        if answers:
            raise BadVerdict("A verdict that is not applicable has no result.", answers[0])
        if not output.allows_na:
            raise BadVerdict("This evaluation has no N/A; answer the question, or send unsure.", "applicable")
        return dict(NOT_APPLICABLE)
    return {"applicable": True, **_answer(given, answers, output)}


def read_expected(raw: object, output: OutputConfig) -> dict[str, Any]:
    """Return the verdict that an item of a dataset expects, in full or as `true`, `0.5`, `["a"]` or a short text.

    Raises:
        BadVerdict: it does not fit `output`.
    """
    if isinstance(raw, str):
        return read_short_verdict(raw, output)
    if isinstance(raw, bool):
        raw = {"result": raw}
    elif isinstance(raw, int | float):
        raw = {"score": raw}
    elif isinstance(raw, list):
        raw = {"categories": raw}
    return read_verdict(raw, output)


def _answer(given: Mapping[str, Any], answers: list[str], output: OutputConfig) -> dict[str, Any]:
    wanted = _field_of(output)
    if answers != [wanted]:
        field = next((name for name in answers if name != wanted), wanted)
        raise BadVerdict(f"This evaluation asks for {wanted}, and for nothing else.", field)
    value = given[wanted]
    if isinstance(output, NumericOutput):
        return {"score": _score(value, output)}
    if isinstance(output, CategoricalOutput):
        return {"categories": _categories(value, output)}
    if not isinstance(value, bool):
        raise BadVerdict("Must be true or false.", "result")
    return {"result": value}


def _field_of(output: OutputConfig) -> str:
    if isinstance(output, NumericOutput):
        return "score"
    return "categories" if isinstance(output, CategoricalOutput) else "result"


def _score(value: object, output: NumericOutput) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadVerdict("Must be a number.", "score")
    try:
        score = float(value)
    except OverflowError:
        score = math.inf  # a whole number of more than 308 digits
    if not math.isfinite(score):
        raise BadVerdict("Must be a finite number.", "score")
    if (output.min is not None and score < output.min) or (output.max is not None and score > output.max):
        low = "" if output.min is None else f" from {output.min:g}"
        high = "" if output.max is None else f" to {output.max:g}"
        raise BadVerdict(f"Must be a score{low}{high}.", "score")
    return score


def _categories(value: object, output: CategoricalOutput) -> list[str]:
    known = [option.key for option in output.options]
    if not isinstance(value, list) or not value or not all(isinstance(key, str) for key in value):
        raise BadVerdict("Must be a list of keys of options.", "categories")
    unknown = next((key for key in value if key not in known), None)
    if unknown is not None:
        raise BadVerdict(
            f"{unknown[:100]!r} is not the key of an option; the keys are {', '.join(known)}.", "categories"
        )
    if output.selection_mode == "single" and len(set(value)) > 1:
        raise BadVerdict("Only one option may be chosen.", "categories")
    return [key for key in known if key in value]


_SHORT: Mapping[str, dict[str, Any]] = {
    "unsure": UNSURE, "na": NOT_APPLICABLE, "n/a": NOT_APPLICABLE, "not_applicable": NOT_APPLICABLE,
}  # fmt: skip
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def read_short_verdict(text: str, output: OutputConfig) -> dict[str, Any]:
    """Return the verdict of one cell of a table.

    A cell holds `unsure` or `na`; or `true`, `false`, `pass` or `fail` for a boolean; a number for a score; keys of
    options that are separated by `|` for categories. `pass` and `fail` mean after polarity.

    Raises:
        BadVerdict: the cell does not fit `output`.
    """
    word = text.strip()
    if len(word) > _MAX_SHORT_CHARS:
        raise BadVerdict("The verdict is too long.")
    lowered = word.lower()
    if isinstance(output, CategoricalOutput) and word in {option.key for option in output.options}:
        return read_verdict({"categories": [word]}, output)
    if lowered in _SHORT:
        return read_verdict(_SHORT[lowered], output)
    if isinstance(output, BooleanOutput):
        if lowered in ("pass", "fail"):
            return read_verdict({"result": (lowered == "pass") != output.true_is_failure}, output)
        if lowered in _BOOLEANS:
            return read_verdict({"result": _BOOLEANS[lowered]}, output)
        raise BadVerdict("The verdict must be true, false, pass, fail, na or unsure.")
    if isinstance(output, CategoricalOutput):
        return read_verdict({"categories": [key.strip() for key in word.split("|")]}, output)
    try:
        return read_verdict({"score": float(word)}, output)
    except ValueError as error:
        raise error if isinstance(error, BadVerdict) else BadVerdict("The verdict must be a number.") from error


def short_verdict(verdict: Mapping[str, Any]) -> str:
    """Return the cell that `read_short_verdict` reads back."""
    if verdict.get("unsure"):
        return "unsure"
    if not verdict.get("applicable", True):
        return "na"
    if "result" in verdict:
        return "true" if verdict["result"] else "false"
    return f"{verdict['score']:.17g}" if "score" in verdict else "|".join(verdict["categories"])
