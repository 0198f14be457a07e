"""What an evaluation is: the model that the API, the YAML files and the store share.

    DefinitionError                 a definition that cannot be used, with the attribute at fault

`EvaluationDraft` is what a person writes, `Evaluation` what the store keeps.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from conditions import ConditionError, ConditionSet, parse_conditions
from config.outputs import OUTPUT_CONFIGS, OutputConfig
from config.storable import find_unstorable
from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, compile_expression, compile_program

EvaluationType = Literal["llm_judge", "hog"]
OutputType = Literal["boolean", "numeric", "categorical"]
Status = Literal["active", "paused", "error"]
StatusReason = Literal[
    "provider_key_required",
    "provider_key_deleted",
    "no_default_model",
    "provider_key_invalid",
    "provider_key_permission_denied",
    "provider_key_quota_exceeded",
    "provider_key_rate_limited",
    "model_not_found",
    "model_not_supported",
    "hog_error",
    "trial_limit_reached",
    "budget_exhausted",
]
Provider = Literal["openai", "azure_openai", "anthropic", "gemini", "openrouter", "fireworks", "together_ai", "custom"]

MAX_CONFIG_CHARS = 200_000
"""Longest prompt or Hog source."""

_STORED = "stored"
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CONFIG_CHARS)]


class DefinitionError(ValueError):
    """A definition that cannot be used.

    Attributes:
        attr: the attribute at fault as the API names it, parts joined by `__`; empty for the whole.
        path: where exactly, down to a filter: keys and list positions.
        code: `required`, `unknown_field`, `invalid`, ...
        message: what is wrong and what to do.
        source_line: line within the Hog source, 1-based, if that is where the problem is.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Sequence[str | int] = (),
        attr: str | None = None,
        code: str = "invalid",
        source_line: int | None = None,
    ) -> None:
        self.message = message
        self.path = tuple(path)
        self.attr = "__".join(str(part) for part in self.path) if attr is None else attr
        self.code = code
        self.source_line = source_line
        super().__init__(f"{self.attr}: {message}" if self.attr else message)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class PromptConfig(_Part):
    """Criteria of an LLM judge."""

    prompt: _Text
    """Evaluation criteria for the judge: what makes an answer good or bad."""


class SourceConfig(_Part):
    """Code of a deterministic evaluator."""

    source: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CONFIG_CHARS)]
    """Hog source that returns true (pass), false (fail) or, where N/A is allowed, null."""

    @field_validator("source")
    @classmethod
    def _not_blank(cls, source: str) -> str:
        if not source.strip():
            raise ValueError("This field may not be blank.")
        return source


class ModelConfiguration(_Part):
    """Which model judges."""

    provider: Provider
    """Whose API is called."""
    model: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    """Model name as the provider knows it."""
    provider_key_id: UUID | None = None
    """Id of the team's provider key to use; without one its active key."""


class Budget(_Part):
    """What an evaluation may spend per period (UTC). Over it no model is called."""

    usd: Annotated[float, Field(gt=0, le=1_000_000_000, allow_inf_nan=False, strict=True)] | None = None
    """US dollars."""
    tokens: Annotated[int, Field(gt=0, le=10**15, strict=True)] | None = None
    """Input and output tokens together."""
    period: Literal["day", "week", "month"]
    """When the count starts again: at midnight, on Monday, on the first."""

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.usd is None and self.tokens is None:
            raise ValueError("A budget needs usd or tokens, or both.")
        return self


def compile_condition(source: str) -> Callable[[Mapping[str, object]], object]:
    """Compile the Hog expression of a `hogql` filter, for `conditions`, which knows no Hog.

    Raises:
        ValueError: it does not compile; says where.
    """
    try:
        return compile_expression(source)
    except HogCompileError as error:
        raise ValueError(str(error)) from error


_CONFIGS: Mapping[str, type[_Part]] = {"llm_judge": PromptConfig, "hog": SourceConfig}


def _read_part(value: Any, model: type[BaseModel]) -> Any:
    """Validate a part by the model that a sibling field chose, keeping the position inside the part."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if not isinstance(value, Mapping):
        raise PydanticCustomError("invalid", "Must be an object.")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = _first(error)
        raise PydanticCustomError(
            "in_part", "{text}", {"text": problem.message, "path": problem.path, "code": problem.code}
        ) from None


class EvaluationDraft(_Part):
    """An evaluation as a person defines it.

    Validation is complete: conditions are parsed and Hog is compiled. `DefinitionError` is raised by
    `parse_draft`; constructing the model directly raises pydantic's `ValidationError`.
    """

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
    """Name of the evaluation."""
    description: str = ""
    """What this evaluation checks, for people."""
    enabled: StrictBool = False
    """Whether it runs on new `$ai_generation` events."""
    evaluation_type: EvaluationType
    """`llm_judge` asks a model, `hog` runs deterministic Hog code."""
    evaluation_config: PromptConfig | SourceConfig
    """`{prompt}` for `llm_judge`, `{source}` for `hog`."""
    output_type: OutputType = "boolean"
    """Kind of verdict. Hog gives booleans."""
    output_config: OutputConfig = Field(default=None, validate_default=True)
    """Options of the output type."""
    conditions: tuple[ConditionSet, ...] = Field(default=None, validate_default=True)
    """Which events are evaluated: OR across sets, AND within one. Null or omitted: all; an empty list: none."""
    model_configuration: ModelConfiguration | None = None
    """Model of an `llm_judge`; null uses the team's active key and its provider's default model."""
    budget: Budget | None = None
    """What may be spent."""
    sampling_cohort: Literal["shared", "independent"] = "shared"
    """`shared`: all evaluations sample the same events. `independent`: this one draws its own."""
    cache_verdicts: StrictBool = True
    """Whether an `llm_judge` uses its verdict on identical input again for a while, at no cost."""
    deleted: StrictBool = False
    """Hides the evaluation and stops it."""

    @field_validator("evaluation_config", mode="before")
    @classmethod
    def _config_of_type(cls, value: Any, info: ValidationInfo) -> Any:
        model = _CONFIGS.get(info.data.get("evaluation_type", ""))
        return value if model is None else _read_part(value, model)

    @field_validator("evaluation_config")
    @classmethod
    def _compiles(cls, value: PromptConfig | SourceConfig, info: ValidationInfo) -> PromptConfig | SourceConfig:
        if isinstance(value, SourceConfig) and info.context != _STORED:
            try:
                compile_program(value.source, known_globals=EVALUATOR_GLOBALS)
            except HogCompileError as error:
                raise PydanticCustomError("hog_compile", "{text}", _hog_problem(error)) from None
        return value

    @field_validator("output_config", mode="before")
    @classmethod
    def _output_of_type(cls, value: Any, info: ValidationInfo) -> Any:
        model = OUTPUT_CONFIGS.get(info.data.get("output_type", ""))
        if model is None:
            return value
        return _read_part({} if value is None else value, model)

    @field_validator("conditions", mode="before")
    @classmethod
    def _parse_conditions(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            value = [each.model_dump(mode="json") if isinstance(each, ConditionSet) else each for each in value]
        try:
            return parse_conditions(value, compile_expression=compile_condition)
        except ConditionError as error:
            context = {"text": str(error), "path": _steps(error.path)}
            raise PydanticCustomError("conditions", "{text}", context) from None

    @model_validator(mode="after")
    def _hog_is_boolean(self) -> Self:
        if self.evaluation_type == "hog" and self.output_type != "boolean":
            raise PydanticCustomError(
                "in_part", "{text}", {"text": "Hog gives booleans; use output_type boolean.", "path": ("output_type",)}
            )
        return self

    @model_validator(mode="after")
    def _storable(self) -> Self:
        for path, problem in find_unstorable(self.model_dump(mode="python")):
            context = {"text": problem, "path": path[:1] if path[0] == "conditions" else path}
            raise PydanticCustomError("in_part", "{text}", context)
        return self

    def judging(self) -> dict[str, Any]:
        """Return what decides a verdict, as JSON values: what a version of the evaluation is."""
        return self.model_dump(
            mode="json",
            include={"evaluation_type", "evaluation_config", "output_type", "output_config", "model_configuration"},
        )

    def fingerprint_of_judging(self) -> str:
        """Return the hex hash of `judging()`: equal for two evaluations exactly if they judge alike."""
        text = json.dumps(self.judging(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def source(self) -> str | None:
        """The Hog source, or None for an LLM judge."""
        return self.evaluation_config.source if isinstance(self.evaluation_config, SourceConfig) else None

    @property
    def prompt(self) -> str | None:
        """The criteria, or None for Hog."""
        return self.evaluation_config.prompt if isinstance(self.evaluation_config, PromptConfig) else None


class Evaluation(EvaluationDraft):
    """An evaluation as the store keeps it.

    `status` is `active` exactly when `enabled`.
    """

    id: str
    """UUID in its canonical form."""
    team_id: int
    """The team that owns it."""
    version: int
    """Counts changes that alter judging, from 1."""
    revision: int
    """The store's revision at the last change of any kind; what optimistic concurrency compares."""
    fingerprint: str
    """Hex hash of what decides a verdict."""
    status: Status
    """`paused` and `error` mean not enabled."""
    status_reason: StatusReason | None = None
    """Why it is in error or was paused by the system."""
    status_reason_detail: str | None = None
    """The reason in words."""
    origin: Literal["api", "file"] = "api"
    """What made it: the API, or `gavel evaluations apply`."""
    created_at: datetime
    updated_at: datetime
    created_by: str | None = None
    """Who made it: a user's or a key's id, or `cli`."""

    @model_validator(mode="after")
    def _status_follows_enabled(self) -> Self:
        if (self.status == "active") != self.enabled:
            raise ValueError(f"status {self.status} with enabled {self.enabled}: active means enabled")
        return self

    def draft(self) -> EvaluationDraft:
        """Return the part that a person wrote."""
        return EvaluationDraft.model_construct(**{name: getattr(self, name) for name in EvaluationDraft.model_fields})


def parse_draft(raw: object) -> EvaluationDraft:
    """Validate what a person wrote.

    Raises:
        DefinitionError: the first problem, in the order of the fields.
    """
    try:
        return EvaluationDraft.model_validate(raw)
    except ValidationError as error:
        raise _first(error) from None


def patch_draft(current: EvaluationDraft, changes: Mapping[str, Any]) -> EvaluationDraft:
    """Return `current` with the fields of `changes` replaced; `output_config` is merged key by key.

    A new type drops the configuration that belonged to the old one.

    Raises:
        DefinitionError: as `parse_draft`.
    """
    merged = to_raw(current)
    if "evaluation_type" in changes and changes["evaluation_type"] != current.evaluation_type:
        merged.pop("evaluation_config")
    if "output_type" in changes and changes["output_type"] != current.output_type:
        merged["output_config"] = {"allows_na": current.output_config.allows_na}
    merged.update(changes)
    if isinstance(changes.get("output_config"), Mapping):
        before = to_raw(current)["output_config"] if merged["output_type"] == current.output_type else {}
        merged["output_config"] = {**before, **changes["output_config"]}
    return parse_draft(merged)


def to_raw(draft: EvaluationDraft) -> dict[str, Any]:
    """Return the fields of a draft as JSON values that `parse_draft` reads back to an equal draft."""
    return draft.model_dump(mode="json", include=set(EvaluationDraft.model_fields))


def load_stored(raw: Mapping[str, Any]) -> Evaluation:
    """Read an evaluation that was validated when it was stored; its Hog is not compiled again.

    Raises:
        DefinitionError: the stored values are no evaluation, as after an edit by hand.
    """
    try:
        return Evaluation.model_validate(raw, context=_STORED)
    except ValidationError as error:
        raise _first(error) from None


def _steps(path: str) -> tuple[str | int, ...]:
    """Return `conditions[1].properties[0].value` as steps, without the first, which is the field."""
    parts = re.findall(r"[^.\[\]]+", path)[1:]
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _hog_problem(error: HogCompileError) -> dict[str, Any]:
    return {"text": str(error), "source_line": error.line}


_CODES = {"missing": "required", "extra_forbidden": "unknown_field", "string_too_short": "blank"}
_MESSAGES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field; remove it or correct its name.",
    "string_too_short": "This field may not be blank.",
}


def _first(error: ValidationError) -> DefinitionError:
    """Return the first of pydantic's problems as ours. Values are left out: a prompt may be long or private."""
    problem = error.errors(include_url=False, include_input=False)[0]
    context = problem.get("ctx", {})
    kind = problem["type"]
    path = (*_without_tags(problem["loc"]), *context.get("path", ()))
    message = _MESSAGES.get(kind) or problem["msg"].removeprefix("Value error, ")
    return DefinitionError(
        message,
        path=path,
        # The API reports every problem of the conditions on the field as a whole.
        attr=str(path[0]) if kind == "conditions" else None,
        code=context.get("code") or _CODES.get(kind, "invalid"),
        source_line=context.get("source_line"),
    )


def _without_tags(location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Drop the names of union members, which pydantic writes between field names."""
    return tuple(part for part in location if not (isinstance(part, str) and part[:1].isupper()))
