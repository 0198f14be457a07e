"""Bodies of `evaluations`.

`config.definitions` alone validates definitions, for the API, files and the store alike. The types here give the
document its schema and are not checked a second time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, SkipValidation, StringConstraints

from api.schemas.parts import PatchBody, ResponseBody, User
from api.schemas.tolerance import check_target, definition_parts
from api.schemas.trust import EnablingWarning
from conditions import ConditionSet
from config.definitions import (
    Budget,
    EvaluationStatus,
    EvaluationType,
    PromptConfig,
    SourceConfig,
    StatusReason,
)
from config.outputs import BooleanOutput, CategoricalOutput, NumericOutput
from config.strategies import Strategy
from evaluators.llm_judge.output import OutputType
from evaluators.llm_judge.providers import ProviderName

T = TypeVar("T")

_READ_ONLY = frozenset(
    {
        "id", "status", "status_reason", "status_reason_detail", "created_at", "updated_at", "created_by",
        "question",
    }
)  # fmt: skip


class ModelConfigurationBody(BaseModel):
    """Which model judges."""

    provider: ProviderName
    model: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    provider_key_id: UUID | None = None
    provider_key_name: str | None = Field(default=None, description="Read-only.")
    strategy: Strategy | None = Field(
        default=None,
        description="Several models that judge together; the fields above may then be left out.",
    )


_Name = Annotated[str, StringConstraints(min_length=1, max_length=400)]
_Config = PromptConfig | SourceConfig
_Output = BooleanOutput | NumericOutput | CategoricalOutput


class EvaluationPatch(PatchBody):
    """Fields of an evaluation that a client may write; those left out stay as they are."""

    READ_ONLY: ClassVar[frozenset[str]] = _READ_ONLY
    CHECKED: ClassVar[frozenset[str]] = frozenset({"target"})

    @classmethod
    def parts(cls, value: dict[str, Any]) -> dict[str, Any]:
        """See `RequestBody.parts`."""
        check_target(value)
        value.pop("target", None)
        return definition_parts(value)

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
    """Limit of the spending per period."""
    sampling_cohort: SkipValidation[Literal["shared", "independent"]] = "shared"
    """`shared`: all evaluations sample the same events."""
    cache_verdicts: SkipValidation[bool] = True
    """Whether an `llm_judge` uses its verdict on identical input again for a while, at no cost."""
    deleted: SkipValidation[bool] = False
    """Set to true to soft-delete the evaluation."""
    new_question: bool = False
    """Whether people's labels from before no longer answer the same question."""
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
    strategy: Strategy | None = Field(default=None, exclude_if=lambda strategy: strategy is None)
    """Several models that judge together; left out where one model judges."""


def _without_defaults(config: dict[str, Any]) -> dict[str, Any]:
    # The pages know `allows_na` only and forbid more: a client that checks against them sees more only if it was set.
    return {name: value for name, value in config.items() if name != "true_is_failure" or value}


class Evaluation(ResponseBody):
    """An evaluation."""

    id: UUID
    name: str
    description: str
    enabled: bool
    status: EvaluationStatus
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
    question: int
    created_at: datetime
    updated_at: datetime
    created_by: User | None
    deleted: bool
    warnings: list[EnablingWarning] | None = Field(None, exclude_if=lambda warnings: not warnings)
    """Only in the answer to a change: reasons not to rely yet on a judge that the change lets judge.

    Nothing is refused for them, and without any the field is absent.

    `labels_missing`: fewer than 20 labels say whether the version is right. `agreement_low`: it agrees with people only
    poorly or fairly. `criteria_unclear`: labellers are unsure or disagree. `canaries_missing`: no attack was tried on
    the version. `spoofed`: one succeeded.
    """


class EvaluationVersion(ResponseBody):
    """The definition that one version judged with."""

    version: int
    fingerprint: str
    question: int
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
