"""Bodies of `evaluations`.

What a client writes is validated by `config.definitions` alone, for the API, files and the store alike; the
types here give the document its schema and are not checked a second time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, SkipValidation, StringConstraints

from api.schemas.parts import PatchBody, ResponseBody, User
from conditions import ConditionSet
from config.definitions import (
    Budget,
    EvaluationType,
    OutputType,
    PromptConfig,
    Provider,
    SourceConfig,
    Status,
    StatusReason,
)
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput

T = TypeVar("T")

_READ_ONLY = frozenset(
    {
        "id", "status", "status_reason", "status_reason_detail", "created_at", "updated_at", "created_by",
    }
)  # fmt: skip


class ModelConfigurationBody(BaseModel):
    """Which model judges."""

    provider: Provider
    model: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    provider_key_id: UUID | None = None
    provider_key_name: str | None = Field(default=None, description="Read-only.")


_Name = Annotated[str, StringConstraints(min_length=1, max_length=400)]
_Config = PromptConfig | SourceConfig
_Output = BooleanOutput | NumericOutput | CategoricalOutput


class EvaluationPatch(PatchBody):
    """Fields of an evaluation that a client may write; those left out stay as they are."""

    READ_ONLY: ClassVar[frozenset[str]] = _READ_ONLY

    name: SkipValidation[_Name] = ""
    """Name of the evaluation."""
    description: SkipValidation[str] = ""
    """Optional description of what this evaluation checks."""
    enabled: SkipValidation[bool] = False
    """Whether the evaluation runs automatically on new `$ai_generation` events."""
    evaluation_type: SkipValidation[EvaluationType] = "llm_judge"
    """`llm_judge` asks a model, `hog` runs deterministic Hog code."""
    evaluation_config: SkipValidation[_Config | None] = None
    """`{prompt}` for `llm_judge`, `{source}` for `hog`."""
    output_type: SkipValidation[OutputType] = "boolean"
    """Kind of verdict; Hog gives booleans."""
    output_config: SkipValidation[_Output | None] = None
    """Options of the output type. A change is merged key by key."""
    conditions: SkipValidation[list[ConditionSet] | None] = None
    """Which events are evaluated: OR between condition sets, AND within each. `[]`: none; null: all."""
    model_configuration: SkipValidation[ModelConfigurationBody | None] = None
    """Model of an `llm_judge`; null: the team's active key and its provider's default model."""
    budget: SkipValidation[Budget | None] = None
    """What may be spent per period."""
    sampling_cohort: SkipValidation[Literal["shared", "independent"]] = "shared"
    """`shared`: all evaluations sample the same events."""
    cache_verdicts: SkipValidation[bool] = True
    """Whether an `llm_judge` uses its verdict on identical input again for a while, at no cost."""
    deleted: SkipValidation[bool] = False
    """Set to true to soft-delete the evaluation."""
    version: Annotated[int | None, Field(ge=1, le=2**31 - 1)] = None
    """Version that the change is meant for; another one is answered by 409. Left out: any."""


class EvaluationCreate(EvaluationPatch):
    """A new evaluation."""

    name: SkipValidation[_Name] = Field()
    evaluation_type: SkipValidation[EvaluationType] = Field()
    evaluation_config: SkipValidation[_Config] = Field()


class ModelConfigurationOut(ResponseBody):
    """Which model judges."""

    provider: str
    model: str
    provider_key_id: UUID | None
    provider_key_name: str | None


def _without_defaults(config: dict[str, Any]) -> dict[str, Any]:
    # The pages know `allows_na` only and forbid more: a client that checks against them sees more only if it was set.
    return {name: value for name, value in config.items() if name != "true_is_failure" or value}


class Evaluation(ResponseBody):
    """An evaluation."""

    id: UUID
    name: str
    description: str
    enabled: bool
    status: Status
    status_reason: StatusReason | None
    status_reason_detail: str | None
    evaluation_type: EvaluationType
    evaluation_config: _Config
    output_type: OutputType
    output_config: Annotated[dict[str, Any], AfterValidator(_without_defaults)]
    conditions: list[dict[str, Any]]
    model_configuration: ModelConfigurationOut | None
    budget: Budget | None
    sampling_cohort: Literal["shared", "independent"]
    cache_verdicts: bool
    version: int
    created_at: datetime
    updated_at: datetime
    created_by: User | None
    deleted: bool


class EvaluationVersion(ResponseBody):
    """What one version judged with."""

    version: int
    fingerprint: str
    evaluation_type: str
    evaluation_config: dict[str, Any]
    output_type: str
    output_config: dict[str, Any]
    model_configuration: dict[str, Any] | None
    created_at: datetime
    created_by: User | None


class AuditEntry(ResponseBody):
    """One change: which field, from what, to what."""

    action: str
    at: datetime
    actor: str | None
    by: User | None
    changes: dict[str, Any]
