"""Teams' provider keys and evaluation configs, as records: the repository is `storage.sql.provider_keys`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import SecretStr

KeyState = Literal["unknown", "ok", "invalid", "error"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKey:
    """A key as the API shows it: without the key itself."""

    id: str
    team_id: int
    provider: str
    name: str
    api_key_masked: str
    azure_endpoint: str | None
    api_version: str | None
    base_url: str | None
    state: KeyState
    error_message: str | None
    created_at: datetime
    updated_at: datetime
    created_by: str | None
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenKey:
    """A key with its secret; None if no configured key decrypts it."""

    key: ProviderKey
    api_key: SecretStr | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """A team's evaluation config. `budget` is the team's own, as `Budget` of an evaluation writes it."""

    team_id: int
    trial_eval_limit: int
    trial_evals_used: int
    active_provider_key_id: str | None
    budget: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime

    @property
    def trial_evals_remaining(self) -> int:
        """Trial runs that are left."""
        return max(0, self.trial_eval_limit - self.trial_evals_used)
