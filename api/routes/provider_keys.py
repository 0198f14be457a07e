"""`llm_analytics/provider_keys`: a team's keys for LLM providers. A key goes in and never comes out."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, status

from api.http.auth import Scoped
from api.http.errors import Invalid, Unavailable
from api.http.one_hop import OneHopRoute
from api.http.pagination import Page, WindowParam
from api.http.services import ServicesParam
from api.http.slow import slow
from api.routes.parameters import IdPath
from api.schemas import provider_keys as bodies
from api.services.owners import Owner
from api.services.provider_key_changes import (
    ADDRESS,
    check_stored_key,
    delete_key,
    endpoint_of,
    open_key,
    secret_of,
    try_key,
)
from api.services.resources import Services
from config.provider_keys import ProviderKey
from config.secrets import NoSecretKeys
from evaluators.llm_judge import PROVIDERS
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.providers import ProviderName
from storage.sql.api_keys import ApiKey
from storage.sql.provider_keys import KeyNotUsable, KeyStaysAtItsAddress, NewKey, check_address

router = APIRouter(route_class=OneHopRoute, prefix="/llm_analytics", tags=["llm_analytics"])

Reader = Annotated[ApiKey, Scoped("llm_provider_key:read")]
Writer = Annotated[ApiKey, Scoped("llm_provider_key:write")]


@router.get("/provider_keys/")
def list_provider_keys(caller: Reader, services: ServicesParam, window: WindowParam) -> Page[bodies.ProviderKey]:
    """List the team's provider keys, newest first."""
    page = services.keys.page(caller.team_id, limit=window.limit, offset=window.offset)
    owner = services.owners.of(key.created_by for key in page.results)
    return window.page([shown(key, owner) for key in page.results], page.count)


@router.post("/provider_keys/", status_code=status.HTTP_201_CREATED)
@slow
def create_provider_key(body: bodies.ProviderKeyCreate, caller: Writer, services: ServicesParam) -> bodies.ProviderKey:
    """Store a key, after trying it: 400 on `api_key` if it does not work."""
    try_key(services, endpoint_of(services, body.provider, body.api_key, body.given()))
    address = {name: getattr(body, name) for name in ADDRESS}
    try:
        key = services.keys.create(
            caller.team_id,
            NewKey(provider=body.provider, name=body.name, api_key=body.api_key, state="ok", **address),
            actor=caller.actor,
            now=services.now(),
            set_as_active=body.set_as_active,
        )
    except NoSecretKeys as error:
        raise Unavailable(str(error), code="no_secret_keys") from error
    return shown(key, services.owners.of([key.created_by]))


@router.get("/provider_keys/{id}/")
def retrieve_provider_key(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.ProviderKey:
    """Return one key, masked."""
    key = open_key(services, caller, str(object_id)).key
    return shown(key, services.owners.of([key.created_by]))


@router.patch("/provider_keys/{id}/")
@slow
def update_provider_key(
    object_id: IdPath, body: bodies.ProviderKeyPatch, caller: Writer, services: ServicesParam
) -> bodies.ProviderKey:
    """Change a key. A new key or address is tried before it is stored."""
    opened = open_key(services, caller, str(object_id))
    given = body.given()
    if given.get("provider") not in (None, opened.key.provider):
        raise Invalid("The provider of a key cannot be changed; make another key.", attr="provider")
    changes: dict[str, Any] = {name: given[name] for name in ("name", *ADDRESS) if name in given}
    api_key = body.api_key
    if api_key is None:
        try:
            check_address(opened.key, changes)
        except KeyStaysAtItsAddress as error:
            raise Invalid(f"{error}.", code="required", attr="api_key") from error
    if api_key is not None or any(changes.get(n, getattr(opened.key, n)) != getattr(opened.key, n) for n in ADDRESS):
        address = {name: changes.get(name, getattr(opened.key, name)) for name in ADDRESS}
        try_key(services, endpoint_of(services, opened.key.provider, api_key or secret_of(opened), address))
        changes |= {"state": "ok", "error_message": None}
    keys = services.keys
    key = keys.update(caller.team_id, opened.key.id, changes, now=services.now(), api_key=api_key, actor=caller.actor)
    if body.set_as_active:
        _activate(services, caller, key)
    return shown(key, services.owners.of([key.created_by]))


@router.delete("/provider_keys/{id}/", status_code=status.HTTP_204_NO_CONTENT)
def delete_provider_key(
    object_id: IdPath,
    caller: Writer,
    services: ServicesParam,
    replacement_key_id: Annotated[
        UUID | None, Query(description="Key that takes over evaluations that name this one.")
    ] = None,
) -> None:
    """Delete a key. Evaluations that name it use the replacement, or stop with the reason `provider_key_deleted`."""
    delete_key(services, caller, str(object_id), None if replacement_key_id is None else str(replacement_key_id))


@router.post("/provider_keys/{id}/validate/")
@slow
def validate_provider_key(object_id: IdPath, caller: Writer, services: ServicesParam) -> bodies.ProviderKey:
    """Try a stored key now and note whether it works."""
    key = check_stored_key(services, caller, str(object_id))
    return shown(key, services.owners.of([key.created_by]))


@router.get("/provider_keys/{id}/dependent_configs/")
def list_dependent_configs(object_id: IdPath, caller: Reader, services: ServicesParam) -> bodies.DependentConfigs:
    """Return the evaluations that would stop without this key."""
    key = open_key(services, caller, str(object_id)).key
    config = services.keys.config(caller.team_id, now=services.now())
    return bodies.DependentConfigs(
        evaluations=[
            bodies.DependentEvaluation(id=UUID(each.id), name=each.name, enabled=each.enabled)
            for each in services.keys.dependents(caller.team_id, key.id)
        ],
        is_active=config.active_provider_key_id == key.id,
    )


@router.post("/provider_key_validations/")
@slow
def validate_key(
    body: bodies.KeyToTry,
    caller: Writer,
    services: ServicesParam,
) -> bodies.KeyValidated:
    """Try a key without storing it, and a model with it if one is named."""
    endpoint = endpoint_of(services, body.provider, body.api_key, body.given())
    state, message = services.judging.validate(endpoint, body.model)
    if state != "ok" or body.model is None:
        return bodies.KeyValidated(state=state, error_message=message)
    tried = services.judging.check_model(endpoint, body.model, team_id=caller.team_id)
    shown = bodies.ModelTried(
        model=body.model,
        structured_output=tried.mode,
        takes_temperature=tried.temperature,
        problem=tried.problem,
    )
    return bodies.KeyValidated(state=state, error_message=message, model=shown)


@router.get("/models/")
@slow
def list_models(
    caller: Reader,
    services: ServicesParam,
    provider: Annotated[ProviderName, Query(description="Whose models.")],
    key_id: Annotated[UUID | None, Query(description="Key to ask the provider with.")] = None,
) -> bodies.Models:
    """List the models of a provider: live with a key, else those with a known price."""
    default = PROVIDERS[provider].default_model
    if key_id is None:
        names = services.models.known(provider)
    else:
        opened = open_key(services, caller, str(key_id))
        if opened.key.provider != provider:
            raise Invalid(f"This key is for {opened.key.provider}.", attr="key_id")
        address = {name: getattr(opened.key, name) for name in ADDRESS}
        try:
            names = services.judging.models(endpoint_of(services, provider, secret_of(opened), address))
        except ProviderFailure as failure:
            raise Invalid(f"The provider did not list its models: {failure.detail}", attr="key_id") from failure
    models = [bodies.Model(id=name, is_default=name == default) for name in names]
    return bodies.Models(provider=provider, models=models)


def shown(key: ProviderKey, owner: Owner) -> bodies.ProviderKey:
    """Return a key as far as it is shown."""
    return bodies.ProviderKey(
        id=UUID(key.id),
        provider=key.provider,
        name=key.name,
        state=key.state,
        error_message=key.error_message,
        api_key_masked=key.api_key_masked,
        azure_endpoint=key.azure_endpoint,
        api_version=key.api_version,
        base_url=key.base_url,
        azure_endpoint_display=key.azure_endpoint,
        api_version_display=key.api_version,
        set_as_active=False,
        created_at=key.created_at,
        created_by=owner(key.created_by),
        last_used_at=key.last_used_at,
    )


def _activate(services: Services, caller: ApiKey, key: ProviderKey) -> None:
    try:
        services.keys.set_active_key(caller.team_id, key.id, actor=caller.actor, now=services.now())
    except KeyNotUsable as error:
        raise Invalid(str(error), code="key_not_usable", attr="set_as_active") from error
