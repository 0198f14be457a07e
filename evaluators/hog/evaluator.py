"""The Hog evaluator: from a generation to a verdict, or to the reason why there is none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from evaluators.generation import Generation
from evaluators.hog.errors import HogInputError, HogRuntimeError, HogTimeExceeded, HogWrongResult
from evaluators.hog.program import compile_program
from evaluators.hog.text_forms import brief
from evaluators.hog.values import Value, type_name
from evaluators.verdict import Skip, SkipReason, Verdict

EVALUATOR_GLOBALS = ("input", "output", "properties", "event", "person", "target", "evaluation_events")
"""The globals of an evaluator."""

MAX_SHOWN = 100
"""Characters of a wrong result that its message shows."""

_PASS, _FAIL = Verdict(result=True), Verdict(result=False)
"""Verdicts without reasoning, of which there need be only one each."""


class GenerationGlobals(Mapping[str, Any]):
    """The globals of an evaluator for one generation, each built when a program first asks for it.

    Programs that judge the same generation share one: nothing of it is ever changed.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self._built: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a global, or the default if there is none of that name."""
        try:
            return self._built[key]
        except KeyError:
            build = _BUILDERS.get(key)
            if build is None:
                return default
            value = self._built[key] = build(self.generation)
            return value

    def __getitem__(self, key: str) -> Any:
        if key not in _BUILDERS:
            raise KeyError(key)
        return self.get(key)

    def __iter__(self) -> Iterator[str]:
        return iter(_BUILDERS)

    def __len__(self) -> int:
        return len(_BUILDERS)


def message_string(value: Any) -> str:
    """Return what `input` and `output` are: a string as it is, nothing as `''`, anything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        # As `json.dumps` writes it, with blanks after `,` and `:`, ten times as fast.
        return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    except (OverflowError, UnicodeEncodeError, RecursionError):
        return json.dumps(value, ensure_ascii=False, default=str)  # integers beyond 64 bits, lone surrogates


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return value if type(value) is dict else dict(value)


def _event(generation: Generation) -> dict[str, Any]:
    return {
        "uuid": generation.uuid,
        "event": generation.event,
        "distinct_id": generation.distinct_id,
        "timestamp": generation.timestamp.isoformat(),
    }


def _target(generation: Generation) -> dict[str, Any]:
    return {
        "type": "generation",
        "id": generation.uuid,
        "total_cost_usd": generation.properties.get("$ai_total_cost_usd"),
        "total_latency_seconds": generation.properties.get("$ai_latency"),
    }


def _evaluation_events(generation: Generation) -> list[dict[str, Any]]:
    from evaluators.messages import render_input, render_output

    return [
        {
            "uuid": generation.uuid,
            "event": generation.event,
            "timestamp": generation.timestamp.isoformat(),
            "input": generation.input,
            "output": generation.output,
            "input_text": render_input(generation.input),
            "output_text": render_output(generation.output),
            "properties": _plain(generation.properties),
        }
    ]


_BUILDERS: dict[str, Callable[[Generation], Any]] = {
    "input": lambda generation: message_string(generation.input),
    "output": lambda generation: message_string(generation.output),
    "properties": lambda generation: _plain(generation.properties),
    "event": _event,
    "person": lambda generation: {"properties": _plain(generation.person_properties)},
    "target": _target,
    "evaluation_events": _evaluation_events,
}


class HogEvaluator:
    """A compiled evaluator. May be used from several threads.

    HogCompileError from the constructor if the source is no program.
    """

    def __init__(self, source: str, *, allows_na: bool) -> None:
        self.program = compile_program(source)
        self.allows_na = allows_na

    def evaluate(
        self, generation: Generation, *, time_limit_s: float, shared: GenerationGlobals | None = None
    ) -> Verdict | Skip:
        """Judge a generation.

        `shared` are the globals of this very generation, kept by a caller that runs several evaluators on it.
        Raises HogTimeExceeded when the time is up: the only failure that a second try, with more time, may mend.
        """
        table = shared if shared is not None else GenerationGlobals(generation)
        try:
            run = self.program.run(
                table, now=generation.timestamp, uuid_seed=generation.uuid, time_limit_s=time_limit_s
            )
            return verdict_of(run.value, run.prints, allows_na=self.allows_na)
        except HogTimeExceeded:
            raise
        except HogRuntimeError as error:
            return skip_of(error)


def verdict_of(value: Value, prints: list[str], *, allows_na: bool) -> Verdict:
    """Return the verdict that a program's value stands for. HogWrongResult if it stands for none."""
    if value is True or value is False:
        if not prints:
            return _PASS if value else _FAIL
        return Verdict(result=value, reasoning="\n".join(prints))
    if value is None and allows_na:
        return Verdict(applicable=False, reasoning="\n".join(prints))
    shown = f"{type_name(value)}: {brief(value, MAX_SHOWN)}"
    error = HogWrongResult(f"Must return boolean (or null if N/A is enabled), got {shown}")
    error.prints = tuple(prints)
    raise error


def skip_of(error: HogRuntimeError) -> Skip:
    """Return the skip that a failed run gives: whose fault it was, where and what."""
    reason: SkipReason = "hog_input_error" if isinstance(error, HogInputError) else "hog_error"
    where = f"line {error.line}: " if error.line is not None else ""
    return Skip(reason, f"{where}{error.message}", "\n".join(error.prints))
