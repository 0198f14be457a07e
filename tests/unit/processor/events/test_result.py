"""The emitted result, field by field as the specification has it."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from conditions import EventRow
from evaluators.generation import COPIED, Generation
from evaluators.verdict import JudgeUsage, Skip, Verdict
from processor.events.identity import result_uuid, run_key
from processor.events.result import (
    EventFields,
    ResultMessage,
    ResultTemplate,
    ResultWriter,
    _add_outcome,
    _add_usage,
    build_result,
)
from processor.events.task import Task

EVENT = "018f4b1e-7c3a-7000-8000-000000000001"
TEMPLATE = ResultTemplate("eval-1", "Polite", "llm_judge", "boolean", allows_na=False, version=3, fingerprint="ab12")
KINDS_OF_OUTPUT = ("boolean", "numeric", "categorical")
TASK = Task(7, "eval-1", EVENT, run_key("llm_judge", "eval-1", EVENT), "set-1", "2026-03-01T10:00:00.250000+00:00")
ROW = EventRow(
    uuid=EVENT,
    event="$ai_generation",
    team_id=7,
    project_id=70,
    distinct_id="d",
    timestamp="2026-02-28 01:02:03",
    person_mode="full",
)
GENERATION = Generation(
    uuid=EVENT,
    team_id=7,
    event="$ai_generation",
    distinct_id="d",
    timestamp=datetime(2026, 2, 28, 1, 2, 3, tzinfo=UTC),
    properties={"$ai_trace_id": "t", "$session_id": "s", "$ai_prompt_version": 4, "$ai_model": "judged-model"},
)


def build(outcome: Verdict | Skip, usage: JudgeUsage | None = None, template=TEMPLATE, task=TASK) -> ResultMessage:
    return build_result(template, task, ROW, GENERATION, outcome, usage)


def properties(message: ResultMessage) -> dict:
    return json.loads(json.loads(message.value)["properties"])


def test_the_row_has_the_shape_of_an_event() -> None:
    message = build(Verdict(result=True, reasoning="fine"))
    row = json.loads(message.value)
    assert row.pop("properties")
    assert row == {
        "uuid": result_uuid(TASK.run_key),
        "event": "$ai_evaluation",
        "team_id": 7,
        "project_id": 70,
        "distinct_id": "d",
        "timestamp": "2026-03-01 10:00:00.250000",
        "elements_chain": "",
        "created_at": "2026-03-01 10:00:00.250000",
        "person_mode": "full",
    }
    assert message.key == f"7:{EVENT}".encode()
    assert dict(message.headers) == {
        "result_id": row["uuid"].encode(),
        "evaluation_id": b"eval-1",
        "team_id": b"7",
        "trigger": b"live",
    }


def test_a_boolean_verdict() -> None:
    assert properties(build(Verdict(result=False, reasoning=""))) == {
        "$ai_evaluation_id": "eval-1",
        "$ai_evaluation_name": "Polite",
        "$ai_evaluation_type": "online",
        "$ai_evaluation_runtime": "llm_judge",
        "$ai_evaluation_result_type": "boolean",
        "$ai_evaluation_result": False,
        "$ai_evaluation_allows_na": False,
        "$ai_evaluation_reasoning": "",
        "$ai_evaluation_start_time": TASK.started_at,
        "$ai_evaluation_trigger": "live",
        "$ai_evaluation_version": 3,
        "$ai_evaluation_fingerprint": "ab12",
        "$ai_evaluation_condition_id": "set-1",
        "$ai_target_event_id": EVENT,
        "$ai_target_event_type": "$ai_generation",
        "$ai_target_id": EVENT,
        "$ai_target_type": "generation_uuid",
        "$ai_trace_id": "t",
        "$session_id": "s",
        "$ai_prompt_version": 4,
    }


def test_a_skip_carries_no_result_of_any_kind() -> None:
    found = properties(build(Skip("unparsable_response", "no JSON in the answer")))
    assert found["$ai_evaluation_skipped"] is True
    assert found["$ai_evaluation_skip_reason"] == "unparsable_response"
    assert found["$ai_evaluation_reasoning"] == "no JSON in the answer"
    assert not [name for name in found if name.endswith("_result")]


def test_not_applicable_is_neither_pass_nor_fail() -> None:
    template = replace(TEMPLATE, allows_na=True)
    found = properties(build(Verdict(applicable=False, reasoning="no question"), template=template))
    assert found["$ai_evaluation_applicable"] is False
    assert "$ai_evaluation_result" not in found
    applies = properties(build(Verdict(result=True), template=template))
    assert applies["$ai_evaluation_applicable"] is True


def test_a_numeric_verdict_carries_its_bounds() -> None:
    template = replace(TEMPLATE, output_type="numeric", minimum=1, maximum=5)
    found = properties(build(Verdict(score=4.5), template=template))
    assert (found["$ai_evaluation_numeric_result"], found["$ai_evaluation_numeric_result_min"]) == (4.5, 1)
    assert found["$ai_evaluation_numeric_result_max"] == 5
    assert "$ai_evaluation_result" not in found


def test_a_categorical_verdict_is_a_list_of_keys() -> None:
    template = replace(TEMPLATE, output_type="categorical")
    found = properties(build(Verdict(categories=("billing", "refund")), template=template))
    assert found["$ai_evaluation_categorical_result"] == ["billing", "refund"]


def test_the_judge_is_attributed_only_if_a_model_was_called() -> None:
    usage = JudgeUsage(
        "gpt-5-mini", "openai", 100, 20, 0.001, 1.5, "own", "key-1", cached=False, truncated=True, truncated_to=9_000
    )
    found = properties(build(Verdict(result=True), usage))
    assert found["$ai_model"] == found["$ai_evaluation_model"] == "gpt-5-mini"
    assert (found["$ai_input_tokens"], found["$ai_evaluation_cost_usd"]) == (100, 0.001)
    assert (found["$ai_evaluation_key_type"], found["$ai_evaluation_key_id"]) == ("own", "key-1")
    assert found["$ai_evaluation_truncated"] is True
    assert found["$ai_evaluation_truncated_to"] == 9_000
    reused = properties(build(Verdict(result=True), JudgeUsage("m", "openai", truncated=True)))
    assert reused["$ai_evaluation_truncated"] is True
    assert "$ai_evaluation_truncated_to" not in reused
    assert "$ai_model" not in properties(build(Verdict(result=True)))


@pytest.mark.parametrize("trigger", ["backfill", "replay"])
def test_a_result_judged_later_is_stamped_with_the_generations_own_time(trigger: str) -> None:
    task = replace(TASK, trigger=trigger, backfill_id="b1")
    message = build(Verdict(result=True), task=task)
    assert json.loads(message.value)["timestamp"] == "2026-02-28 01:02:03.000000"
    assert properties(message)["$ai_evaluation_backfill_id"] == "b1"


def test_the_same_run_gives_the_same_bytes() -> None:
    assert build(Verdict(result=True, reasoning="x")) == build(Verdict(result=True, reasoning="x"))


def test_values_that_json_of_machines_cannot_hold_are_still_written() -> None:
    generation = structs.replace(GENERATION, properties={"$ai_trace_id": 10**30})
    message = build_result(TEMPLATE, TASK, ROW, generation, Verdict(result=True, reasoning="half \ud83d pair"))
    assert properties(message)["$ai_trace_id"] == 10**30


def test_a_confidence_stands_only_in_the_result_of_its_own_verdict() -> None:
    writer, fields = ResultWriter(TEMPLATE, "live"), EventFields(ROW, GENERATION)
    for confidence in (0.9, None, 0.5):
        verdict = Verdict(result=True, confidence=confidence)
        message = writer.write(TASK.run_key, TASK.condition_id, TASK.started_at, fields, verdict)
        assert properties(message).get("$ai_evaluation_confidence") == confidence


TEXTS = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(['"', "\\", "\u2028", "\ud83d", "é\x7f"])
OUTCOMES = st.one_of(
    st.builds(Verdict, result=st.booleans() | st.none(), applicable=st.booleans(), reasoning=TEXTS),
    st.builds(Verdict, result=st.booleans(), confidence=st.none() | st.floats(0, 1)),
    st.builds(Verdict, score=st.floats(0, 5), reasoning=TEXTS),
    st.builds(Verdict, categories=st.lists(TEXTS, max_size=2).map(tuple)),
    st.builds(Skip, st.just("hog_error"), TEXTS, TEXTS),
)
USAGES = st.none() | st.builds(
    JudgeUsage,
    TEXTS,
    st.just("openai"),
    st.integers(0, 9),
    st.integers(0, 10**30),
    st.none(),
    st.just(1.5),
    st.just("own"),
    st.none(),
    cached=st.booleans(),
    truncated=st.booleans(),
)
COPIES = st.dictionaries(
    st.sampled_from(["$ai_trace_id", "$session_id", "$ai_prompt_version"]), TEXTS | st.integers(-(10**25), 10**25)
)


def slowly(
    template: ResultTemplate,
    trigger: str,
    run: tuple[str, str, str],
    row: EventRow,
    generation: Generation,
    outcome: Verdict | Skip,
    usage: JudgeUsage | None,
) -> bytes:
    """The bytes of a result, encoded at once: the properties, then the row around them."""

    def encoded(value: object) -> bytes:
        try:
            return orjson.dumps(value)
        except TypeError:
            return json.dumps(value, separators=(",", ":")).encode()

    key, condition_id, started_at = run
    constant = {**template.constant_properties(), "$ai_evaluation_trigger": trigger}
    properties = {
        "$ai_evaluation_start_time": started_at,
        "$ai_evaluation_condition_id": condition_id,
        "$ai_target_event_id": generation.uuid,
        "$ai_target_id": generation.uuid,
        **{key: generation.properties[key] for key in COPIED if key in generation.properties},
    }
    _add_outcome(properties, template, outcome)
    if usage is not None:
        _add_usage(properties, usage)
    inner = encoded(encoded(constant).decode()[:-1] + ",")[:-1] + encoded(encoded(properties).decode()[1:])[1:]
    started = f"{started_at[:10]} {started_at[11:26]}"
    around = {
        "team_id": generation.team_id,
        "project_id": row.project_id,
        "distinct_id": generation.distinct_id,
        "timestamp": started if trigger == "live" else "2026-02-28 01:02:03.000000",
        "elements_chain": "",
        "created_at": started,
        "person_mode": row.person_mode,
    }
    head = b'{"uuid":"' + result_uuid(key).encode() + b'","event":"$ai_evaluation","properties":'
    return head + inner + b"," + encoded(around)[1:]


@given(COPIES, TEXTS, st.lists(st.tuples(OUTCOMES, USAGES, TEXTS), min_size=1, max_size=4))
def test_results_of_one_event_share_its_parts_and_have_the_bytes_of_results_made_alone(
    copies: dict[str, object], distinct_id: str, runs: list[tuple[Verdict | Skip, JudgeUsage | None, str]]
) -> None:
    generation = structs.replace(GENERATION, properties=copies, distinct_id=distinct_id)
    fields = EventFields(ROW, generation)
    templates = [replace(TEMPLATE, output_type=kind, allows_na=kind == "boolean") for kind in KINDS_OF_OUTPUT]
    writers = {
        (kind.output_type, trigger): (kind, ResultWriter(kind, trigger))
        for kind, trigger in itertools.product(templates, ("live", "replay"))
    }
    for outcome, usage, condition_id in runs:
        for (_, trigger), (template, writer) in writers.items():
            for started_at in (TASK.started_at, "2026-03-01T11:00:00.000001+00:00"):
                run = (TASK.run_key, condition_id, started_at)
                message = writer.write(*run, fields, outcome, usage)
                assert message.value == slowly(template, trigger, run, ROW, generation, outcome, usage)
                assert dict(message.headers)["result_id"] == result_uuid(TASK.run_key).encode()
