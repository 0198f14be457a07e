"""The key and the model that judge an evaluation, and the refusal of definitions for which there are none."""

from __future__ import annotations

from datetime import datetime

from api.http.errors import Invalid
from config.definitions import EvaluationDraft, ModelConfiguration
from config.model_resolution import ResolvedModel, Unresolved, resolve_model
from config.prices import load_prices
from config.settings import Settings
from evaluators.llm_judge import PROVIDERS
from storage.sql.provider_keys import KeyNotFound, ProviderKeys


class TeamModels:
    """The keys and models of all teams; each method names the team and sees no other. It calls no provider."""

    def __init__(self, settings: Settings, keys: ProviderKeys) -> None:
        self._settings = settings
        self._keys = keys

    def known(self, provider: str) -> list[str]:
        """Return the models of a provider that have a price, its default model first."""
        default = PROVIDERS[provider].default_model
        priced = load_prices(self._settings.judge.prices_path).prices.get(provider, {})
        names = [name for name in priced if not name.endswith("*") and name != default]
        return [default, *names] if default is not None else names

    def check_key(self, team_id: int, draft: EvaluationDraft) -> None:
        """Refuse a pinned key that is not the team's, or is another provider's. Raises `Invalid`."""
        chosen = draft.model_configuration
        if chosen is None:
            return
        for model in chosen.models:
            attr = "model_configuration__provider_key_id"
            if chosen.strategy is not None:
                position = next(at for at, step in enumerate(chosen.strategy.steps) if step is model)
                attr = f"model_configuration__strategy__steps__{position}__provider_key_id"
            if model.provider_key_id is not None:
                self._check_pinned(team_id, str(model.provider_key_id), model.provider, attr)

    def _check_pinned(self, team_id: int, key_id: str, provider: str, attr: str) -> None:
        try:
            key = self._keys.get(team_id, key_id)
        except KeyNotFound as error:
            raise Invalid("There is no such provider key in this team.", code="does_not_exist", attr=attr) from error
        if key.provider != provider:
            raise Invalid(f"This key is for {key.provider}, not for {provider}.", attr=attr)

    def check_enabled(self, team_id: int, draft: EvaluationDraft, *, now: datetime) -> None:
        """Refuse an LLM judge that is enabled while no key and model can be had for it. Raises `Invalid`."""
        self.check_key(team_id, draft)
        if draft.enabled and draft.evaluation_type == "llm_judge":
            try:
                self.resolve(team_id, draft.model_configuration, now=now)
            except Unresolved as error:
                raise Invalid(f"It cannot be enabled: {error.detail}.", code=error.code, attr="enabled") from error

    def resolve(self, team_id: int, chosen: ModelConfiguration | None, *, now: datetime) -> ResolvedModel:
        """Return the key and the model that serve `chosen`, as the judge role finds them.

        Raises:
            Unresolved: there is none, or only a trial that is used up.
        """
        keys = self._keys.team_keys(team_id, () if chosen is None else chosen.key_ids)
        resolved = resolve_model(chosen, keys, self._settings.judge)
        on_trial = any(model.endpoint.key_type == "trial" for model in resolved.all)
        if on_trial and self._keys.config(team_id, now=now).trial_evals_remaining == 0:
            detail = "the team's trial runs are used up; add a provider key"
            raise Unresolved("trial_limit_reached", "trial_limit_reached", detail)
        return resolved
