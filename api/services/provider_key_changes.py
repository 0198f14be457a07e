"""Changes of a team's keys for LLM providers, for the API and the console. A key goes in and never comes out."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from api.http.errors import Conflict, Invalid, NotFound
from api.services.resources import Services
from config.provider_keys import OpenKey, ProviderKey
from evaluators.llm_judge import Endpoint
from storage.sql.api_keys import ApiKey
from storage.sql.provider_keys import KeyNotFound

ADDRESS = ("azure_endpoint", "api_version", "base_url")
_MAX_SECRET_CHARS = 1_000


def delete_key(services: Services, caller: ApiKey, key_id: str, replacement_id: str | None) -> None:
    """Delete a key. Evaluations that name it use the replacement, or stop with the reason `provider_key_deleted`.

    Raises:
        NotFound: the team has no such key.
        Invalid: the replacement is not another key for the same provider.
    """
    key = open_key(services, caller, key_id).key
    replacement: ProviderKey | None = None
    if replacement_id is not None:
        try:
            replacement = services.keys.get(caller.team_id, replacement_id)
        except KeyNotFound as error:
            problem = "The team has no provider key with this id; choose one of the list of its keys."
            raise Invalid(problem, code="does_not_exist", attr="replacement_key_id") from error
        if replacement.id == key.id or replacement.provider != key.provider:
            raise Invalid(f"The replacement must be another key for {key.provider}.", attr="replacement_key_id")
    services.keys.delete(
        caller.team_id,
        key.id,
        actor=caller.actor,
        now=services.now(),
        replacement_id=None if replacement is None else replacement.id,
    )


def replace_secret(services: Services, caller: ApiKey, key_id: str, secret: str) -> str:
    """Store another secret for a key once the provider takes it, and return the key's name. Blocks as `try_key`.

    Raises:
        NotFound: the team has no such key.
        Invalid: the provider does not take the secret.
    """
    given = secret.strip()
    if not given or len(given) > _MAX_SECRET_CHARS:
        raise Invalid(f"A key has 1 to {_MAX_SECRET_CHARS} characters.", attr="api_key")
    opened = open_key(services, caller, key_id)
    api_key = SecretStr(given)
    address = {name: getattr(opened.key, name) for name in ADDRESS}
    try_key(services, endpoint_of(services, opened.key.provider, api_key, address))
    changes = {"state": "ok", "error_message": None}
    key = services.keys.update(
        caller.team_id, opened.key.id, changes, now=services.now(), api_key=api_key, actor=caller.actor
    )
    return key.name


def open_key(services: Services, caller: ApiKey, key_id: str) -> OpenKey:
    """Return a key of the team with its secret. Raises `NotFound`."""
    try:
        return services.keys.open(caller.team_id, key_id)
    except KeyNotFound as error:
        raise NotFound from error


def secret_of(opened: OpenKey) -> SecretStr:
    """Return the secret of a key. Raises `Conflict` if none of the configured keys decrypts it."""
    if opened.api_key is None:
        detail = "The stored key cannot be decrypted; send it again, or see the setting secret_keys."
        raise Conflict(detail, code="undecipherable", attr="api_key")
    return opened.api_key


def endpoint_of(services: Services, provider: str, api_key: SecretStr, address: dict[str, Any]) -> Endpoint:
    """Return the place that a key is for, with it. Raises `Invalid` for an address that may not be called."""
    return services.judging.endpoint(provider, api_key, **{name: address.get(name) or None for name in ADDRESS})


def try_key(services: Services, endpoint: Endpoint) -> None:
    """Ask the provider whether a key works. Blocks up to forty seconds. Raises `Invalid` if it does not."""
    state, message = services.judging.validate(endpoint)
    if state != "ok":
        raise Invalid(f"The key does not work: {message}", code=f"key_{state}", attr="api_key")


def check_stored_key(services: Services, caller: ApiKey, key_id: str) -> ProviderKey:
    """Ask the provider whether a stored key works, note the answer, and return the key. Blocks up to forty seconds.

    Raises:
        NotFound: the team has no such key, or it is gone by now.
        Conflict: it cannot be decrypted.
        Invalid: its address may not be called.
    """
    opened = open_key(services, caller, key_id)
    before = opened.key
    address = {name: getattr(before, name) for name in ADDRESS}
    state, message = services.judging.validate(endpoint_of(services, before.provider, secret_of(opened), address))
    key = services.keys.set_state(
        caller.team_id, before.id, state, error_message=message, now=services.now(), actor=caller.actor
    )
    if key is None:
        raise NotFound
    return key
