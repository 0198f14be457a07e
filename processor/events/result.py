"""The emitted result: one `$ai_evaluation` event for one run of one evaluation over one generation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import orjson

from evaluators.generation import Generation
from evaluators.verdict import JudgeUsage, Skip, Verdict
from processor.events.generation import GENERATION_EVENT, clickhouse_time, copied
from processor.events.identity import Trigger, result_uuid
from processor.events.task import Headers, Task, event_key

RESULT_EVENT = "$ai_evaluation"
RESULT_ID_HEADER = "result_id"
"""The first header of a result, so that it need not be looked for; its evaluation's id is the second."""


class SourceRow(Protocol):
    """What a result takes over from the generation's row."""

    project_id: int | None
    person_mode: str | None
    timestamp: str | None


class ResultMessage(msgspec.Struct, frozen=True, gc=False):
    """A result as it is produced to Kafka."""

    uuid: str
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class ResultTemplate:
    """What every result of one version of an evaluation has in common.

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


class ResultWriter:
    """Writes the results of one version of an evaluation under one trigger; what they have in common is encoded once.

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
        self._started = ("", "")

    def write(
        self,
        key: str,
        condition_id: str,
        started_at: str,
        row: SourceRow,
        generation: Generation,
        outcome: Verdict | Skip,
        usage: JudgeUsage | None = None,
    ) -> ResultMessage:
        """Return the result event of `outcome`.

        Its id follows from the run `key` alone and its times from `started_at`, ISO-8601 (a backfill or a
        replay: the generation's own time), so a run that is repeated gives the same message identity.
        """
        event_uuid = generation.uuid
        properties: dict[str, Any] = {
            "$ai_evaluation_start_time": started_at,
            "$ai_evaluation_condition_id": condition_id,
            "$ai_target_event_id": event_uuid,
            "$ai_target_id": event_uuid,
            **copied(generation.properties),
        }
        _add_outcome(properties, self._template, outcome)
        if usage is not None:
            _add_usage(properties, usage)

        if self._started[0] != started_at:
            self._started = (started_at, clickhouse_time(started_at))
        stamp = started = self._started[1]
        if self._later:
            stamp = clickhouse_time(row.timestamp)
        row_fields = {
            "team_id": generation.team_id,
            "project_id": row.project_id,
            "distinct_id": generation.distinct_id,
            "timestamp": stamp,
            "elements_chain": "",
            "created_at": started,
            "person_mode": row.person_mode or "propertyless",
        }
        identity = result_uuid(key)
        result_id = identity.encode()
        rest = _encode(_encode(properties).decode()[1:])
        value = b"".join((b'{"uuid":"', result_id, self._head, rest[1:], b",", _encode(row_fields)[1:]))
        team = str(generation.team_id)
        headers: Headers = [
            (RESULT_ID_HEADER, result_id),
            self._evaluation_header,
            ("team_id", team.encode()),
            self._trigger_header,
        ]
        return ResultMessage(identity, event_key(team, event_uuid), value, headers)


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
    return writer.write(task.run_key, task.condition_id, task.started_at, row, generation, outcome, usage)


def _add_outcome(properties: dict[str, Any], template: ResultTemplate, outcome: Verdict | Skip) -> None:
    if isinstance(outcome, Skip):
        # No result of any kind: a skip is never a fail (PostHog writes false here).
        properties["$ai_evaluation_skipped"] = True
        properties["$ai_evaluation_skip_reason"] = outcome.reason
        reasoning = f"{outcome.reasoning}\n{outcome.detail}" if outcome.reasoning else outcome.detail
        properties["$ai_evaluation_reasoning"] = reasoning
        return
    properties["$ai_evaluation_reasoning"] = outcome.reasoning
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


def _open(value: dict[str, Any]) -> str:
    """Return the JSON of an object that goes on."""
    return _encode(value).decode()[:-1] + ","


def _encode(value: dict[str, Any] | str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:
        # Integers beyond 64 bits and lone surrogates are legal in the events that come in.
        return json.dumps(value, separators=(",", ":")).encode()
