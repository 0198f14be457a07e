"""The model of an evaluation, which the API, the YAML files and the store share.

A person writes an `EvaluationDraft`; the store keeps an `Evaluation`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
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
from conditions.model import EXPRESSION_GLOBALS
from config.definition_errors import DefinitionError, first_problem
from config.outputs import OUTPUT_CONFIGS, OutputConfig
from config.storable import find_unstorable
from config.strategies import HogStep, ModelStep, Strategy
from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, compile_expression, compile_program
from evaluators.llm_judge.budget import Period
from evaluators.llm_judge.output import OutputType
from evaluators.llm_judge.providers import ProviderName

EvaluationType = Literal["llm_judge", "hog"]
EvaluationStatus = Literal["active", "paused", "error"]
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

MAX_CONFIG_CHARS = 200_000
"""Longest prompt or Hog source."""

_STORED = "stored"
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CONFIG_CHARS)]


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

    model_config = ConfigDict(
        json_schema_extra=lambda schema: schema.update(
            {"required": [], "anyOf": [{"required": ["provider", "model"]}, {"required": ["strategy"]}]}
        )
    )

    # It stands first so that its problems are told before those of the fields that are taken from it.
    strategy: Strategy | None = Field(default=None, exclude_if=lambda strategy: strategy is None)
    """Several models that judge together. Provider, model and key are then those of its first model."""
    provider: ProviderName
    """Whose API is called."""
    model: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    """Model name as the provider knows it."""
    provider_key_id: UUID | None = None
    """Id of the team's provider key to use; without one its active key."""

    @model_validator(mode="before")
    @classmethod
    def _first_of_strategy(cls, value: Any) -> Any:
        """Take provider, model and key from the strategy where they are left out."""
        strategy = value.get("strategy") if isinstance(value, Mapping) else None
        steps = strategy.get("steps") if isinstance(strategy, Mapping) else None
        if not isinstance(steps, list | tuple):
            return value
        first = next((step for step in steps if isinstance(step, Mapping) and "hog" not in step), {})
        names = ("provider", "model", "provider_key_id")
        return {**value, **{name: first[name] for name in names if value.get(name) is None and name in first}}

    @model_validator(mode="after")
    def _agrees_with_strategy(self) -> Self:
        if self.strategy is not None:
            first = self.strategy.model_steps[0]
            for name in ("provider", "model", "provider_key_id"):
                if getattr(self, name) != getattr(first, name):
                    raise ValueError(
                        f"{name} is not that of the strategy's first model; leave it out, or name it there."
                    )
        return self

    @property
    def models(self) -> tuple[ModelConfiguration | ModelStep, ...]:
        """Each model that judges, in the order of the steps."""
        return (self,) if self.strategy is None else self.strategy.model_steps

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of the provider keys that it names."""
        return frozenset(str(model.provider_key_id) for model in self.models if model.provider_key_id is not None)


class Budget(_Part):
    """The most that an evaluation may spend per period (UTC). Over it no model is called."""

    usd: Annotated[float, Field(gt=0, le=1_000_000_000, allow_inf_nan=False, strict=True)] | None = None
    """US dollars."""
    tokens: Annotated[int, Field(gt=0, le=10**15, strict=True)] | None = None
    """Input and output tokens together."""
    period: Period
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
    return _compile_condition(source, None)


def check_condition(source: str) -> Callable[[Mapping[str, object]], object]:
    """Compile the expression of a filter that is about to be saved: as `compile_condition`, and the globals are known.

    Raises:
        ValueError: it does not compile, or it names a global that no event has; says where.
    """
    return _compile_condition(source, EXPRESSION_GLOBALS)


def _compile_condition(source: str, known_globals: frozenset[str] | None) -> Callable[[Mapping[str, object]], object]:
    try:
        return compile_expression(source, known_globals=known_globals)
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
        problem = first_problem(error)
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
    """Description of the check, for people."""
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
    """The most that its judge may spend."""
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
    def _parse_conditions(cls, value: Any, info: ValidationInfo) -> Any:
        # A stored filter that names an unknown global is an error of its evaluation, event by event, as before.
        compile_filter = compile_condition if info.context == _STORED else check_condition
        if isinstance(value, list | tuple):
            value = [each.model_dump(mode="json") if isinstance(each, ConditionSet) else each for each in value]
        try:
            return parse_conditions(value, compile_expression=compile_filter)
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
    def _hog_step_is_boolean(self) -> Self:
        strategy = None if self.model_configuration is None else self.model_configuration.strategy
        if strategy is not None and isinstance(strategy.steps[0], HogStep) and self.output_type != "boolean":
            path = ("model_configuration", "strategy", "steps", 0)
            raise PydanticCustomError(
                "in_part", "{text}", {"text": "Hog gives booleans; ask models only.", "path": path}
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
    question: int = 1
    """Counts changes after which people's labels no longer answer the same question, from 1."""
    status: EvaluationStatus
    """`paused` and `error` mean not enabled."""
    status_reason: StatusReason | None = None
    """Why it is in error or was paused by the system."""
    status_reason_detail: str | None = None
    """The reason in words."""
    origin: Literal["api", "file"] = "api"
    """Its origin: the API, or `gavel evaluations apply`."""
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
        raise first_problem(error) from None


def read_condition_sets(value: object) -> tuple[ConditionSet, ...]:
    """Return condition sets that a person wrote without the rest of a definition.

    Raises:
        DefinitionError: with the text that `parse_draft` gives for the same sets.
    """
    try:
        return parse_conditions(value, compile_expression=compile_condition)
    except ConditionError as error:
        raise DefinitionError(str(error), path=("conditions", *_steps(error.path)), attr="conditions") from None


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
        DefinitionError: the stored values are not an evaluation, as after an edit by hand.
    """
    try:
        return Evaluation.model_validate(raw, context=_STORED)
    except ValidationError as error:
        raise first_problem(error) from None


def _steps(path: str) -> tuple[str | int, ...]:
    """Return `conditions[1].properties[0].value` as steps, without the first, which is the field."""
    parts = re.findall(r"[^.\[\]]+", path)[1:]
    return tuple(int(part) if part.isdigit() else part for part in parts)


def _hog_problem(error: HogCompileError) -> dict[str, Any]:
    return {"text": str(error), "source_at": (error.line, error.column)}
