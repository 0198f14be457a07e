"""Bodies of `llm_analytics`: the evaluation config, provider keys, their validation and the models they reach."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from api.schemas.parts import PatchBody, RequestBody, ResponseBody, User
from config.definitions import Budget
from config.provider_keys import KeyState
from evaluators.llm_judge.providers import ProviderName

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255)]


def _sendable(key: SecretStr) -> SecretStr:
    # It goes into a header, which holds no more than this.
    if not re.fullmatch(_KEY, key.get_secret_value()):
        raise ValueError("A key is printable ASCII without spaces; check what was copied.")
    return key


_KEY = r"[!-~]+"
_ApiKey = Annotated[
    SecretStr,
    Field(min_length=1, max_length=4000, json_schema_extra={"pattern": f"^{_KEY}$"}),
    AfterValidator(_sendable),
]
_Url = Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)]
_Version = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]

_READ_ONLY = frozenset(
    {
        "id", "state", "error_message", "api_key_masked", "azure_endpoint_display", "api_version_display",
        "created_at", "created_by", "last_used_at",
    }
)  # fmt: skip


class _Connection(PatchBody):
    READ_ONLY: ClassVar[frozenset[str]] = _READ_ONLY

    azure_endpoint: _Url | None = None
    """Endpoint of an `azure_openai` resource."""
    api_version: _Version | None = None
    """API version of an `azure_openai` resource."""
    base_url: _Url | None = None
    """Endpoint of a `custom` provider: anything that speaks OpenAI's protocol."""


class ProviderKeyValidation(_Connection):
    """A key to be tried, and not stored."""

    provider: ProviderName
    """Whose key it is."""
    api_key: _ApiKey
    """The key itself."""


class KeyToTry(ProviderKeyValidation):
    """A key to be tried and, if a model is named, a model with it."""

    model: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)] | None = None
    """Ours: also ask this model for a verdict, one small call."""


class ProviderKeyCreate(ProviderKeyValidation):
    """A key to be stored, if it works."""

    name: _Name
    """Name for people."""
    set_as_active: bool = False
    """Make it the key of evaluations that name none."""


class ProviderKeyPatch(_Connection):
    """Fields of a key that a client may change. A new key or address is tried before it is stored."""

    provider: ProviderName | None = None
    """Cannot be changed; may be sent as it is."""
    name: _Name = ""
    """Name for people."""
    api_key: _ApiKey | None = None
    """A new key; left out or null, the stored one stays."""
    set_as_active: bool = False
    """Make it the key of evaluations that name none."""


class ProviderKey(ResponseBody):
    """A key as far as it is shown. The key itself is never returned."""

    id: UUID
    provider: str
    name: str
    state: KeyState
    error_message: str | None
    api_key_masked: str
    azure_endpoint: str | None
    api_version: str | None
    base_url: str | None
    azure_endpoint_display: str | None
    api_version_display: str | None
    set_as_active: bool
    created_at: datetime
    created_by: User | None
    last_used_at: datetime | None


class ModelTried(ResponseBody):
    """How a model answered a judge.

    `structured_output` is the form it answers in: `json_schema`, `tool_call`, `json_mode` or `instruction`; null if it
    gave no verdict, and then `problem` says why.
    """

    model: str
    structured_output: str | None
    takes_temperature: bool
    problem: str | None


class KeyValidated(ResponseBody):
    """Whether a key works, and how the model that was named answers."""

    state: KeyState
    error_message: str | None
    model: ModelTried | None = None


class DependentEvaluation(ResponseBody):
    """An evaluation that a key is needed by."""

    id: UUID
    name: str
    enabled: bool


class DependentConfigs(ResponseBody):
    """The evaluations that name the key and would stop without it, and whether it is the active one."""

    evaluations: list[DependentEvaluation]
    is_active: bool


class BudgetUsed(ResponseBody):
    """The spent part of a budget, and the part that runs in flight have reserved."""

    usd: float
    tokens: int
    reserved_usd: float
    reserved_tokens: int


class EvaluationConfig(ResponseBody):
    """The team's evaluation config."""

    trial_eval_limit: int
    trial_evals_used: int
    trial_evals_remaining: int
    active_provider_key: ProviderKey | None
    budget: Budget | None
    """Limit of the spending of all judges of the team together; null for no limit."""
    budget_used: BudgetUsed | None
    """Their spending in the current period; null without a budget."""
    created_at: datetime
    updated_at: datetime


class EvaluationConfigPatch(RequestBody):
    """The fields of the team's evaluation config that a client may change."""

    budget: Budget | None
    """The team's budget; null lifts it."""


class SetActiveKey(RequestBody):
    """The key that evaluations use which name none."""

    key_id: UUID
    """Id of a key whose state is `ok`."""


class Model(ResponseBody):
    """A model that can judge."""

    id: str
    is_default: bool


class Models(ResponseBody):
    """Models of a provider: asked of it with a key, else those that are known without one."""

    provider: str
    models: list[Model]
