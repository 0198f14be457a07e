"""The emitted result: one `$ai_evaluation` event for one run of one evaluation over one generation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import orjson

from evaluators.generation import Generation
from evaluators.verdict import VERDICT_NAMES, JudgeUsage, Skip, StepUsage, Verdict, verdict_name
from processor.events.generation import GENERATION_EVENT, clickhouse_time, copied
from processor.events.identity import Trigger, result_uuid
from processor.events.output import Headers, Output
from processor.events.task import Task, event_key
from storage.snapshot import CompiledEvaluation

RESULT_EVENT = "$ai_evaluation"
RESULT_ID_HEADER = "result_id"
"""The first header of a result, so that it need not be looked for; its evaluation's id is the second."""


class SourceRow(Protocol):
    """The fields that a result copies from the generation's row."""

    project_id: int | None
    person_mode: str | None
    timestamp: str | None


class ResultMessage(msgspec.Struct, frozen=True, gc=False):
    """A result as it is produced to Kafka."""

    uuid: str
    key: bytes
    value: bytes
    headers: Headers
    skipped: bool

    def output(self, topic: str) -> Output:
        """Return the message as an output for `topic`."""
        return Output("skip" if self.skipped else "result", topic, self.key, self.value, self.headers)


@dataclass(frozen=True, slots=True)
class ResultTemplate:
    """The fields that all results of one version of an evaluation share.

    Attributes:
        runtime: `llm_judge` or `hog`.
        output_type: `boolean`, `numeric` or `categorical`.
        minimum, maximum: bounds of a numeric score, where the definition has them.
        version, fingerprint: which definition judged.
    """

    evaluation_id: str
    name: str
    runtime: str
    output_type: str
    allows_na: bool
    version: int
    fingerprint: str
    minimum: float | None = None
    maximum: float | None = None

    def constant_properties(self) -> dict[str, Any]:
        """Return the properties that do not depend on the run, in a dict of the caller's own."""
        return {
            "$ai_evaluation_id": self.evaluation_id,
            "$ai_evaluation_name": self.name,
            "$ai_evaluation_type": "online",
            "$ai_evaluation_runtime": self.runtime,
            "$ai_evaluation_result_type": self.output_type,
            "$ai_evaluation_allows_na": self.allows_na,
            "$ai_evaluation_version": self.version,
            "$ai_evaluation_fingerprint": self.fingerprint,
            "$ai_target_event_type": GENERATION_EVENT,
            "$ai_target_type": "generation_uuid",
        }


class EventFields:
    """The parts that all results of one event share, each encoded when the first result needs it.

    Attributes:
        key, team_header: the Kafka key and a header of the results.

    Args:
        row, generation: the event.
    """

    __slots__ = ("_escaped", "_row", "_tail", "_tail_of", "generation", "key", "team_header")

    def __init__(self, row: SourceRow, generation: Generation) -> None:
        team = str(generation.team_id)
        self.generation = generation
        self.key = event_key(team, generation.uuid)
        self.team_header = ("team_id", team.encode())
        self._row = row
        self._escaped: bytes | None = None
        self._tail_of: tuple[str, bool] | None = None
        self._tail = b""

    def properties(self) -> dict[str, Any]:
        """Return the properties of a result that name the event or are copied from it."""
        event_uuid = self.generation.uuid
        return {"$ai_target_event_id": event_uuid, "$ai_target_id": event_uuid, **copied(self.generation.properties)}

    def escaped(self) -> bytes:
        """Return `properties` as members of a JSON object inside a JSON text. Raises TypeError as `_members` does."""
        if self._escaped is None:
            self._escaped = _members(self.properties())
        return self._escaped

    def tail(self, started: str, *, later: bool) -> bytes:
        """Return the row's fields behind its properties.

        Args:
            started: when the run started, as ClickHouse writes times.
            later: whether the result is stamped with the generation's own time.
        """
        wanted = (started, later)
        if self._tail_of != wanted:
            row, generation = self._row, self.generation
            row_fields = {
                "team_id": generation.team_id,
                "project_id": row.project_id,
                "distinct_id": generation.distinct_id,
                "timestamp": clickhouse_time(row.timestamp) if later else started,
                "elements_chain": "",
                "created_at": started,
                "person_mode": row.person_mode or "propertyless",
            }
            self._tail = _encode(row_fields)[1:]
            self._tail_of = wanted
        return self._tail


class ResultWriter:
    """Writes the results of one version of an evaluation under one trigger; shared fields are encoded once.

    Args:
        backfill_id: of a backfill or replay, else None.
    """

    def __init__(self, template: ResultTemplate, trigger: Trigger, backfill_id: str | None = None) -> None:
        constant = template.constant_properties()
        constant["$ai_evaluation_trigger"] = trigger
        if backfill_id is not None:
            constant["$ai_evaluation_backfill_id"] = backfill_id
        self._template = template
        # Properties are JSON inside of JSON: the constant ones are escaped once, here.
        self._head = b'","event":' + _encode(RESULT_EVENT) + b',"properties":' + _encode(_open(constant))[:-1]
        self._later = trigger in ("backfill", "replay")
        self._evaluation_header = ("evaluation_id", template.evaluation_id.encode())
        self._trigger_header = ("trigger", trigger.encode())
        self._started_at, self._started = "", ""
        self._began: dict[str, bytes] = {}
        """Members of the properties that a run has from its beginning, by its condition set; of `_started_at`."""
        self._boolean = template.output_type == "boolean"
        self._frames: dict[tuple[bool | None, bool], tuple[bytes, bytes]] = {}
        """Members of the properties that a boolean verdict gives, before and behind its reasoning."""

    def write(
        self,
        key: str,
        condition_id: str,
        started_at: str,
        fields: EventFields,
        outcome: Verdict | Skip,
        usage: JudgeUsage | None = None,
    ) -> ResultMessage:
        """Return the result event of `outcome`.

        Its id follows from the run `key` alone and its times from `started_at`, ISO-8601 (a backfill or a
        replay: the generation's own time), so a run that is repeated gives the same message identity.
        """
        if self._started_at != started_at:
            self._started_at, self._started = started_at, clickhouse_time(started_at)
            self._began.clear()
        try:
            began = self._began.get(condition_id) or self._beginning(condition_id)
            end = self._end(outcome, usage)
            rest = b"".join((began, b",", fields.escaped(), b",", end, b'}"'))
        except TypeError:
            rest = self._unusual(condition_id, fields, outcome, usage)
        identity = result_uuid(key)
        result_id = identity.encode()
        tail = fields.tail(self._started, later=self._later)
        value = b"".join((b'{"uuid":"', result_id, self._head, rest, b",", tail))
        headers: Headers = [
            (RESULT_ID_HEADER, result_id),
            self._evaluation_header,
            fields.team_header,
            self._trigger_header,
        ]
        return ResultMessage(identity, fields.key, value, headers, isinstance(outcome, Skip))

    def _beginning(self, condition_id: str) -> bytes:
        began = {"$ai_evaluation_start_time": self._started_at, "$ai_evaluation_condition_id": condition_id}
        members = self._began[condition_id] = _members(began)
        return members

    def _end(self, outcome: Verdict | Skip, usage: JudgeUsage | None) -> bytes:
        if usage is not None or not self._boolean or isinstance(outcome, Skip) or outcome.confidence is not None:
            return _members(self._outcome_properties(outcome, usage))
        kind = (outcome.result, outcome.applicable)
        before, behind = self._frames.get(kind) or self._frame(kind)
        reasoning = _members_text(outcome.reasoning) if outcome.reasoning else _NO_TEXT
        return b"".join((before, reasoning, behind))

    def _frame(self, kind: tuple[bool | None, bool]) -> tuple[bytes, bytes]:
        result, applicable = kind
        silent = _members(self._outcome_properties(Verdict(result=result, applicable=applicable), None))
        before, _, behind = silent.partition(_NO_TEXT)
        self._frames[kind] = before, behind
        return before, behind

    def _outcome_properties(self, outcome: Verdict | Skip, usage: JudgeUsage | None) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        _add_outcome(properties, self._template, outcome)
        if usage is not None:
            _add_usage(properties, usage)
        return properties

    def _unusual(
        self, condition_id: str, fields: EventFields, outcome: Verdict | Skip, usage: JudgeUsage | None
    ) -> bytes:
        """Return the rest of the properties where one of them is beyond what the fast encoder takes."""
        properties: dict[str, Any] = {
            "$ai_evaluation_start_time": self._started_at,
            "$ai_evaluation_condition_id": condition_id,
            **fields.properties(),
            **self._outcome_properties(outcome, usage),
        }
        return _encode(_encode(properties).decode()[1:])[1:]


def build_result(
    template: ResultTemplate,
    task: Task,
    row: SourceRow,
    generation: Generation,
    outcome: Verdict | Skip,
    usage: JudgeUsage | None = None,
) -> ResultMessage:
    """Return the result event of `outcome` for a task's run; see `ResultWriter.write`."""
    writer = ResultWriter(template, task.trigger, task.backfill_id)
    fields = EventFields(row, generation)
    return writer.write(task.run_key, task.condition_id, task.started_at, fields, outcome, usage)


def _add_outcome(properties: dict[str, Any], template: ResultTemplate, outcome: Verdict | Skip) -> None:
    if isinstance(outcome, Skip):
        # No result of any kind: a skip is never a fail (PostHog writes false here).
        properties["$ai_evaluation_skipped"] = True
        properties["$ai_evaluation_skip_reason"] = outcome.reason
        reasoning = f"{outcome.reasoning}\n{outcome.detail}" if outcome.reasoning else outcome.detail
        properties["$ai_evaluation_reasoning"] = reasoning
        return
    properties["$ai_evaluation_reasoning"] = outcome.reasoning
    if outcome.confidence is not None:
        properties["$ai_evaluation_confidence"] = outcome.confidence
    if template.allows_na:
        properties["$ai_evaluation_applicable"] = outcome.applicable
    if template.output_type == "numeric":
        if template.minimum is not None:
            properties["$ai_evaluation_numeric_result_min"] = template.minimum
        if template.maximum is not None:
            properties["$ai_evaluation_numeric_result_max"] = template.maximum
    if not outcome.applicable:
        return
    if template.output_type == "numeric":
        properties["$ai_evaluation_numeric_result"] = outcome.score
    elif template.output_type == "categorical":
        properties["$ai_evaluation_categorical_result"] = list(outcome.categories or ())
    else:
        properties["$ai_evaluation_result"] = outcome.result


def _add_usage(properties: dict[str, Any], usage: JudgeUsage) -> None:
    if usage.steps:
        properties["$ai_evaluation_steps"] = [_step(step) for step in usage.steps]
    if usage.confidence_source is not None:
        properties["$ai_evaluation_confidence_source"] = usage.confidence_source
    if usage.suspected_injection:
        properties["$ai_evaluation_suspected_injection"] = True
    if usage.provider == "hog":
        return  # code decided, and no model was asked
    properties["$ai_model"] = properties["$ai_evaluation_model"] = usage.model
    properties["$ai_provider"] = properties["$ai_evaluation_provider"] = usage.provider
    properties["$ai_input_tokens"] = usage.input_tokens
    properties["$ai_output_tokens"] = usage.output_tokens
    if usage.cost_usd is not None:
        properties["$ai_evaluation_cost_usd"] = usage.cost_usd
    properties["$ai_evaluation_latency"] = usage.latency_s
    properties["$ai_evaluation_key_type"] = usage.key_type
    if usage.key_id is not None:
        properties["$ai_evaluation_key_id"] = usage.key_id
    properties["$ai_evaluation_cached"] = usage.cached
    if usage.truncated:
        properties["$ai_evaluation_truncated"] = True
        if usage.truncated_to is not None:
            properties["$ai_evaluation_truncated_to"] = usage.truncated_to
    if usage.tokens_estimated:
        properties["$ai_evaluation_tokens_estimated"] = True


def _step(step: StepUsage) -> dict[str, Any]:
    found = {
        "step": step.step, "model": step.model, "provider": step.provider, "verdict": step.verdict,
        "confidence": step.confidence, "cost_usd": step.cost_usd, "latency": step.latency_s, "cached": step.cached,
    }  # fmt: skip
    return found if step.skip_reason is None else {**found, "skip_reason": step.skip_reason}


def _open(value: dict[str, Any]) -> str:
    """Return the JSON of an object that goes on."""
    return _encode(value).decode()[:-1] + ","


def _members(value: dict[str, Any]) -> bytes:
    """Return the members of an object as they stand in JSON inside a JSON text.

    Raises:
        TypeError: an integer is beyond 64 bits, or a text has a lone surrogate.
    """
    return orjson.dumps(orjson.dumps(value).decode()[1:-1])[1:-1]


_NO_TEXT = rb"\"\""
"""The empty text as `_members_text` returns it."""


def _members_text(value: str) -> bytes:
    """Return a text as it stands among `_members`. Raises TypeError if it has a lone surrogate."""
    return orjson.dumps(orjson.dumps(value).decode())[1:-1]


def _encode(value: dict[str, Any] | str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Integers beyond 64 bits and lone surrogates are legal in the events that come in.
        return json.dumps(value, separators=(",", ":")).encode()


VERDICTS = tuple(name for name in VERDICT_NAMES if name != "skipped")
"""Labels of runs that gave a verdict; those of all others are the reasons of skips."""


def outcome_label(outcome: Verdict | Skip) -> str:
    """Return the bounded metric label of an outcome."""
    if isinstance(outcome, Skip):
        return outcome.reason
    if not outcome.applicable:
        return "not_applicable"
    return verdict_name(outcome.result)


def verdict_label(outcome: str) -> str:
    """Return the label of `outcome_label` with all reasons of skips as one."""
    return outcome if outcome in VERDICTS else "skipped"


def result_template(evaluation: CompiledEvaluation) -> ResultTemplate:
    """Return what the results of `evaluation` have in common."""
    definition = evaluation.definition
    config = definition.output_config
    return ResultTemplate(
        evaluation_id=str(definition.id),
        name=definition.name,
        runtime=definition.evaluation_type,
        output_type=definition.output_type,
        allows_na=config.allows_na,
        version=definition.version,
        fingerprint=definition.fingerprint,
        minimum=getattr(config, "min", None),
        maximum=getattr(config, "max", None),
    )
