"""The columns that the sink fills, and the event properties that they come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Kind = Literal["text", "texts", "int", "float", "flag", "maybe_flag", "time"]
Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
DECLARED: dict[Kind, tuple[Any, Any]] = {
    "text": (str, ""),
    "time": (str, ""),
    "texts": (tuple[str, ...], ()),
    "int": (Integer | None, None),
    "float": (float | None, None),
    "flag": (bool, False),
    "maybe_flag": (bool | None, None),
}
"""How msgspec reads each kind: its type and its default."""

SENT: dict[Kind, str] = {
    "text": "String",
    "time": "DateTime64(6, 'UTC')",
    "texts": "Array(String)",
    "int": "Nullable(Int64)",
    "float": "Nullable(Float64)",
    "flag": "Bool",
    "maybe_flag": "Nullable(Bool)",
}
"""As what each kind is sent; the table may store it as LowCardinality."""

DEFAULTS: dict[Kind, object] = {
    "text": "",
    "time": ...,
    "texts": (),
    "int": None,
    "float": None,
    "flag": False,
    "maybe_flag": None,
}
"""The value of a column of each kind when nothing is sent for it; times are always sent."""

Fields = tuple[tuple[str, str, Kind], ...]
"""Column, property, kind."""

RESULT_FIELDS: Fields = (
    ("start_time", "$ai_evaluation_start_time", "time"),
    ("evaluation_id", "$ai_evaluation_id", "text"),
    ("evaluation_name", "$ai_evaluation_name", "text"),
    ("evaluation_type", "$ai_evaluation_type", "text"),
    ("runtime", "$ai_evaluation_runtime", "text"),
    ("result_type", "$ai_evaluation_result_type", "text"),
    ("result", "$ai_evaluation_result", "maybe_flag"),
    ("numeric_result", "$ai_evaluation_numeric_result", "float"),
    ("numeric_result_min", "$ai_evaluation_numeric_result_min", "float"),
    ("numeric_result_max", "$ai_evaluation_numeric_result_max", "float"),
    ("categorical_result", "$ai_evaluation_categorical_result", "texts"),
    ("allows_na", "$ai_evaluation_allows_na", "flag"),
    ("applicable", "$ai_evaluation_applicable", "maybe_flag"),
    ("reasoning", "$ai_evaluation_reasoning", "text"),
    ("skipped", "$ai_evaluation_skipped", "flag"),
    ("skip_reason", "$ai_evaluation_skip_reason", "text"),
    ("trigger", "$ai_evaluation_trigger", "text"),
    ("backfill_id", "$ai_evaluation_backfill_id", "text"),
    ("evaluation_version", "$ai_evaluation_version", "int"),
    ("fingerprint", "$ai_evaluation_fingerprint", "text"),
    ("condition_id", "$ai_evaluation_condition_id", "text"),
    ("target_event_id", "$ai_target_event_id", "text"),
    ("target_event_type", "$ai_target_event_type", "text"),
    ("target_id", "$ai_target_id", "text"),
    ("target_type", "$ai_target_type", "text"),
    ("trace_id", "$ai_trace_id", "text"),
    ("ai_session_id", "$ai_session_id", "text"),
    ("session_id", "$session_id", "text"),
    ("prompt_name", "$ai_prompt_name", "text"),
    ("prompt_version", "$ai_prompt_version", "text"),
    ("model", "$ai_model", "text"),
    ("provider", "$ai_provider", "text"),
    ("evaluation_model", "$ai_evaluation_model", "text"),
    ("evaluation_provider", "$ai_evaluation_provider", "text"),
    ("input_tokens", "$ai_input_tokens", "int"),
    ("output_tokens", "$ai_output_tokens", "int"),
    ("cost_usd", "$ai_evaluation_cost_usd", "float"),
    ("latency_s", "$ai_evaluation_latency", "float"),
    ("key_type", "$ai_evaluation_key_type", "text"),
    ("key_id", "$ai_evaluation_key_id", "text"),
    ("cached", "$ai_evaluation_cached", "maybe_flag"),
    ("truncated", "$ai_evaluation_truncated", "flag"),
    ("confidence", "$ai_evaluation_confidence", "float"),
)
DECISION_FIELDS: Fields = (
    ("evaluation_id", "$ai_evaluation_id", "text"),
    ("target_event_id", "$ai_target_event_id", "text"),
    ("decision", "$ai_decision", "text"),
    ("reason", "$ai_decision_reason", "text"),
    ("detail", "$ai_decision_detail", "text"),
    ("evaluation_version", "$ai_evaluation_version", "int"),
    ("trigger", "$ai_evaluation_trigger", "text"),
)
LABEL_FIELDS: Fields = (
    ("label_id", "$ai_label_id", "text"),
    ("evaluation_id", "$ai_evaluation_id", "text"),
    ("question", "$ai_label_question", "int"),
    ("target_event_id", "$ai_target_event_id", "text"),
    ("unsure", "$ai_label_unsure", "flag"),
    ("applicable", "$ai_label_applicable", "maybe_flag"),
    ("result", "$ai_label_result", "maybe_flag"),
    ("score", "$ai_label_score", "float"),
    ("categories", "$ai_label_categories", "texts"),
    ("comment", "$ai_label_comment", "text"),
    ("labeller", "$ai_label_labeller", "text"),
    ("source", "$ai_label_source", "text"),
    ("seconds", "$ai_label_seconds", "float"),
    ("adjudicates", "$ai_label_adjudicates", "flag"),
    ("after_reveal", "$ai_label_after_reveal", "flag"),
)
MEASUREMENT_FIELDS: Fields = (
    *RESULT_FIELDS,
    ("measurement_id", "$ai_measurement_run_id", "text"),
    ("measurement_kind", "$ai_measurement_kind", "text"),
    ("item", "$ai_measurement_item", "text"),
    ("repeat", "$ai_measurement_repeat", "int"),
)
ARCHIVE_FIELDS: Fields = (
    ("trace_id", "$ai_trace_id", "text"),
    ("ai_session_id", "$ai_session_id", "text"),
    ("session_id", "$session_id", "text"),
    ("span_id", "$ai_span_id", "text"),
    ("model", "$ai_model", "text"),
    ("provider", "$ai_provider", "text"),
    ("input_tokens", "$ai_input_tokens", "int"),
    ("output_tokens", "$ai_output_tokens", "int"),
    ("latency_s", "$ai_latency", "float"),
    ("cost_usd", "$ai_total_cost_usd", "float"),
    ("http_status", "$ai_http_status", "int"),
    ("is_error", "$ai_is_error", "maybe_flag"),
    ("prompt_name", "$ai_prompt_name", "text"),
    ("prompt_version", "$ai_prompt_version", "text"),
)


SHARED: tuple[tuple[str, str], ...] = (
    ("uuid", "String"),
    ("team_id", "Int64"),
    ("project_id", "Nullable(Int64)"),
    ("distinct_id", "String"),
    ("timestamp", "DateTime64(6, 'UTC')"),
    ("created_at", "DateTime64(6, 'UTC')"),
    ("person_mode", "String"),
    ("properties", "String"),
    ("record_time", "DateTime64(3, 'UTC')"),
)
ARCHIVE_ONLY = tuple(
    (name, "String")
    for name in (
        "event",
        "elements_chain",
        "person_id",
        "person_properties",
        *(f"group{n}_properties" for n in range(5)),
    )
)
