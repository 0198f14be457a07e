"""The Hog evaluator: from a generation to a verdict, or to the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import msgspec

from evaluators.generation import Generation
from evaluators.hog.program import compile_program
from evaluators.hog.runtime.errors import HogInputError, HogRuntimeError, HogTimeExceeded, HogWrongResult
from evaluators.hog.runtime.text_forms import brief
from evaluators.hog.runtime.values import Value, View, type_name
from evaluators.messages import ChatHistory, read_conversation, read_tools, to_json, without_data_urls
from evaluators.verdict import Skip, SkipReason, Verdict

EVALUATOR_GLOBALS = ("input", "output", "properties", "event", "person", "target", "evaluation_events")
"""The globals of an evaluator."""

MAX_SHOWN = 100
"""Characters of a wrong result that its message shows."""

_FINISH_PROPERTIES = ("$ai_stop_reason", "$ai_finish_reason")

_PASS, _FAIL = Verdict(result=True), Verdict(result=False)
"""Verdicts without reasoning, of which there need be only one each."""


class GenerationGlobals(Mapping[str, Any]):
    """The globals of an evaluator for one generation, each built when a program first asks for it.

    Programs that judge the same generation share one: nothing of it is ever changed. The element of
    `evaluation_events` is a `View`, so that a program which reads one member along a path does not pay for the others.

    Attributes:
        paths: the values that programs have found along constant paths.
    """

    def __init__(self, generation: Generation) -> None:
        self.generation = generation
        self.paths: dict[tuple[Any, ...], Any] = {}
        self._built: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a global, which may be or hold a `View`, or the default if there is none of that name."""
        try:
            return self._built[key]
        except KeyError:
            build = _BUILDERS.get(key)
            if build is None:
                return default
            value = self._built[key] = build(self.generation)
            return value

    def whole(self, key: str, default: Any = None) -> Any:
        """Return a global as a Hog value."""
        value = self.get(key, default)
        return [dict(view) for view in value] if key == "evaluation_events" else value

    def __getitem__(self, key: str) -> Any:
        if key not in _BUILDERS:
            raise KeyError(key)
        return self.whole(key)

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
        return to_json(value, blanks=True)  # integers beyond 64 bits, lone surrogates, values deeper than the stack


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    if type(value) is dict:
        return value
    whole: dict[str, Any] | None = getattr(value, "whole", dict)()  # decoded already, and never changed here
    return whole or dict(value)


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


class _Judged:
    """The one element of `evaluation_events`; its reply is read once for all members that are made of it."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation

    @cached_property
    def reply(self) -> ChatHistory:
        """The output in normal form."""
        return read_conversation(self.generation.output, default_role="assistant")

    def output_text(self) -> str:
        """Return what the user was told, without pictures."""
        return without_data_urls(self.reply.told())

    def tool_calls(self) -> list[dict[str, Any]]:
        """Return the calls of tools in one form, whoever logged them."""
        return [
            {
                "id": call.call_id or None,
                "name": call.name,
                "arguments": call.arguments,
                "by_provider": call.by_provider,
            }
            for call in self.reply.calls()
        ]

    def offered_tools(self) -> list[dict[str, Any]]:
        """Return the tools that the model could call, in one form; `parameters` is a JSON schema or null."""
        return [
            {"name": tool.name, "description": tool.description, "parameters": tool.schema}
            for tool in read_tools(self.generation.properties.get("$ai_tools"))
        ]

    def finish_reason(self) -> str | None:
        """Return why the model stopped, as its provider says it."""
        reason = self.reply.finish_reason
        for key in _FINISH_PROPERTIES if reason is None else ():
            logged = self.generation.properties.get(key)
            if isinstance(logged, str) and logged:
                return logged
        return reason


_MEMBERS: dict[str, Callable[[_Judged], Any]] = {
    "uuid": lambda judged: judged.generation.uuid,
    "event": lambda judged: judged.generation.event,
    "timestamp": lambda judged: judged.generation.timestamp.isoformat(),
    "input": lambda judged: message_string(judged.generation.input),
    "output": lambda judged: message_string(judged.generation.output),
    "input_text": lambda judged: read_conversation(judged.generation.input).text(),
    "output_text": _Judged.output_text,
    "reply_text": lambda judged: judged.reply.words(),
    "reasoning_text": lambda judged: judged.reply.thinking(),
    "tool_calls": _Judged.tool_calls,
    "offered_tools": _Judged.offered_tools,
    "finish_reason": _Judged.finish_reason,
    "output_media": lambda judged: judged.reply.media(),
    "is_error": lambda judged: judged.generation.errored,
    "properties": lambda judged: _plain(judged.generation.properties),
}
"""The members of an element of `evaluation_events`."""


def _evaluation_events(generation: Generation) -> list[View]:
    return [View(_MEMBERS, _Judged(generation))]


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

    The constructor raises HogCompileError if the source is not a program.
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

    def judge(self, generation: Generation, limit_s: float) -> Verdict | Skip:
        """Judge a generation for the last time: a skip `hog_error` if the code takes longer than `limit_s`."""
        try:
            return self.evaluate(generation, time_limit_s=limit_s)
        except HogTimeExceeded:
            return Skip("hog_error", f"the code took longer than {limit_s:g} s")


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
