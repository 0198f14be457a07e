"""Test cases of evaluators in Hog: files `NAME.cases.yaml` beside `NAME.yaml`.

A case holds `properties` of a generation and the outcome: `expect` (pass, fail or not_applicable) and, if it matters, a
part of the `reasoning`. `{repeat: text, times: n}` and `{join: [...]}` stand for long texts, and keep tokens that look
like secrets apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from config.files import MAX_FILE_BYTES
from config.given import UnreadableFile, read_given

Outcome = Literal["pass", "fail", "not_applicable"]
_OUTCOMES = ("pass", "fail", "not_applicable")
_MAX_TEXT_CHARS = 8 * 1024 * 1024


class BadCases(ValueError):
    """A file of cases that cannot be used; the message names the file, the case and the problem."""


@dataclass(frozen=True, slots=True)
class Case:
    """One generation and its expected verdict.

    Attributes:
        reasoning: a part of the reasoning; empty for any.
    """

    name: str
    properties: dict[str, Any]
    expect: Outcome
    reasoning: str = ""


def cases_beside(definition: Path) -> Path:
    """Return where the cases of a definition file are."""
    return definition.with_name(f"{definition.stem}.cases.yaml")


def read_cases(path: Path) -> list[Case]:
    """Return the cases of a file.

    Raises:
        BadCases: it cannot be read, is not YAML, or a case is wrong.
    """
    try:
        found = yaml.safe_load(read_given(path, limit_bytes=MAX_FILE_BYTES))
    except UnreadableFile as error:
        raise BadCases(str(error)) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise BadCases(f"{path}: is not YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(found, list):
        raise BadCases(f"{path}: is not a list of cases; write each as {{name, properties, expect}}")
    return [_case(path, number, each) for number, each in enumerate(found, 1)]


def _case(path: Path, number: int, given: Any) -> Case:
    where = f"{path}: case {number}"
    if not isinstance(given, dict):
        raise BadCases(f"{where}: is not a mapping with name, properties and expect")
    name, expect, properties = given.get("name"), given.get("expect"), given.get("properties")
    if not isinstance(name, str):
        raise BadCases(f"{where}: has no name; give it one")
    if expect not in _OUTCOMES:
        raise BadCases(f"{where} ({name}): expect is not one of {', '.join(_OUTCOMES)}")
    if not isinstance(properties, dict):
        raise BadCases(f"{where} ({name}): properties is not a mapping")
    try:
        return Case(name, _built(properties), expect, str(given.get("reasoning", "")))
    except ValueError as error:
        raise BadCases(f"{where} ({name}): {error}") from None


def _built(value: Any) -> Any:
    """Return a value with its long texts put together.

    Raises:
        ValueError: a text is too long, or its parts are not texts.
    """
    if isinstance(value, list):
        return [_built(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"repeat", "times"}:
        text, times = value["repeat"], value["times"]
        if not isinstance(text, str) or not isinstance(times, int) or len(text) * times > _MAX_TEXT_CHARS:
            raise ValueError(f"repeat takes a text and times a number, together at most {_MAX_TEXT_CHARS} characters")
        return text * times
    if value.keys() == {"join"}:
        parts = [_built(part) for part in value["join"]] if isinstance(value["join"], list) else [None]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) < len(parts):
            raise ValueError("join takes a list of texts")
        return "".join(texts)
    return {key: _built(part) for key, part in value.items()}
