"""Teams' keys for LLM providers, and which of them is active. Keys are encrypted at rest and leave only as `SecretStr`.

KeyNotFound             no such key of this team
KeyNotUsable            the key does not work, so it cannot be made active

A change of a key counts as a change of the team's definitions: judges that poll the revision see it at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import SecretStr
from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from config.secrets import SecretBox, SecretsError, mask
from config.store.engine import Database, StoreError
from config.store.judging_tables import evaluation_config, provider_keys
from config.store.revision import bump, lock_definitions

KeyState = Literal["unknown", "ok", "invalid", "error"]


class KeyNotFound(StoreError):
    """No such provider key of this team."""


class KeyNotUsable(StoreError):
    """The key's state is not `ok`."""


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
    """A key with its secret; None if it cannot be decrypted with what is configured."""

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


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of a team's keys, and how many there are on all."""

    count: int
    results: tuple[ProviderKey, ...]


_FIELDS = tuple(ProviderKey.__dataclass_fields__)
_CHANGEABLE = frozenset({"name", "azure_endpoint", "api_version", "base_url", "state", "error_message"})


class ProviderKeys:
    """Repository of keys and evaluation configs. Each method is one transaction.

    Args:
        trial_eval_limit: of configs that are made from now on.
    """

    def __init__(self, database: Database, box: SecretBox, *, trial_eval_limit: int = 100) -> None:
        self._database = database
        self._box = box
        self._trial_eval_limit = trial_eval_limit

    # -- keys -----------------------------------------------------------------------------------------

    def create(
        self,
        team_id: int,
        *,
        provider: str,
        name: str,
        api_key: SecretStr,
        actor: str | None,
        now: datetime,
        azure_endpoint: str | None = None,
        api_version: str | None = None,
        base_url: str | None = None,
        state: KeyState = "unknown",
        error_message: str | None = None,
        set_as_active: bool = False,
    ) -> ProviderKey:
        """Store a key.

        Raises:
            NoSecretKeys: nothing to encrypt it with is configured.
            KeyNotUsable: it is to be made active and its state is not `ok`.
        """
        row = {
            "id": str(uuid.uuid4()),
            "team_id": team_id,
            "provider": provider,
            "name": name,
            "sealed_api_key": self._box.seal(api_key),
            "api_key_masked": mask(api_key),
            "azure_endpoint": azure_endpoint,
            "api_version": api_version,
            "base_url": base_url,
            "state": state,
            "error_message": error_message,
            "created_at": now,
            "updated_at": now,
            "created_by": actor,
        }
        with self._database.write() as connection:
            lock_definitions(connection)
            connection.execute(insert(provider_keys).values(row))
            bump(connection, team_id)
            key = _get(connection, team_id, str(row["id"]))
            if set_as_active:
                self._activate(connection, key, now)
            return key

    def get(self, team_id: int, key_id: str) -> ProviderKey:
        """Return a key.

        Raises:
            KeyNotFound: it is not there, or another team's.
        """
        with self._database.read() as connection:
            return _get(connection, team_id, key_id)

    def open(self, team_id: int, key_id: str) -> OpenKey:
        """Return a key with its secret, to validate it. Raises as `get`."""
        with self._database.read() as connection:
            return self._open(_row(connection, team_id, key_id))

    def page(self, team_id: int, *, limit: int = 100, offset: int = 0) -> KeyPage:
        """Return a page of the team's keys, newest first."""
        wanted = provider_keys.c.team_id == team_id
        order = (provider_keys.c.created_at.desc(), provider_keys.c.id.desc())
        with self._database.read() as connection:
            count = connection.execute(select(func.count()).select_from(provider_keys).where(wanted)).scalar_one()
            statement = select(provider_keys).where(wanted).order_by(*order).limit(limit).offset(offset)
            rows = connection.execute(statement).mappings().all()
        return KeyPage(count, tuple(map(_from_row, rows)))

    def update(
        self, team_id: int, key_id: str, changes: Mapping[str, Any], *, now: datetime, api_key: SecretStr | None = None
    ) -> ProviderKey:
        """Change fields of a key, and the key itself if `api_key` is given.

        Raises:
            KeyNotFound: see `get`.
            ValueError: a field that cannot be changed.
        """
        unknown = set(changes) - _CHANGEABLE
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} of a provider key cannot be changed")
        values = dict(changes) | {"updated_at": now}
        if api_key is not None:
            values |= {"sealed_api_key": self._box.seal(api_key), "api_key_masked": mask(api_key)}
        with self._database.write() as connection:
            lock_definitions(connection)
            current = _row(connection, team_id, key_id)
            if api_key is None and all(current[name] == value for name, value in changes.items()):
                return _from_row(current)
            connection.execute(update(provider_keys).where(provider_keys.c.id == key_id).values(values))
            bump(connection, team_id)
            return _get(connection, team_id, key_id)

    def set_state(
        self, team_id: int, key_id: str, state: KeyState, *, error_message: str | None, now: datetime
    ) -> ProviderKey | None:
        """Note whether a key works; None if it is gone meanwhile."""
        try:
            return self.update(team_id, key_id, {"state": state, "error_message": error_message}, now=now)
        except KeyNotFound:
            return None

    def touch(self, key_ids: Sequence[str], now: datetime) -> None:
        """Note that keys were used; no change of a definition."""
        if key_ids:
            with self._database.write() as connection:
                connection.execute(
                    update(provider_keys).where(provider_keys.c.id.in_(key_ids)).values(last_used_at=now)
                )

    def delete(self, team_id: int, key_id: str) -> None:
        """Delete a key; if it was the active one, none is.

        What evaluations that are pinned to it become is the caller's business: they are in error until
        they name another.

        Raises:
            KeyNotFound: see `get`.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            _row(connection, team_id, key_id)
            connection.execute(
                update(evaluation_config)
                .where(evaluation_config.c.active_provider_key_id == key_id)
                .values(active_provider_key_id=None)
            )
            connection.execute(delete(provider_keys).where(provider_keys.c.id == key_id))
            bump(connection, team_id)

    def open_all(self) -> list[OpenKey]:
        """Return all keys of all teams with their secrets, for the judge role."""
        with self._database.read() as connection:
            rows = connection.execute(select(provider_keys)).mappings().all()
        return [self._open(row) for row in rows]

    def _open(self, row: RowMapping) -> OpenKey:
        try:
            api_key = self._box.open(row["sealed_api_key"])
        except SecretsError:
            api_key = None
        return OpenKey(_from_row(row), api_key)

    # -- evaluation config ----------------------------------------------------------------------------

    def config(self, team_id: int, *, now: datetime) -> EvaluationConfig:
        """Return the team's config, which is made if there is none."""
        with self._database.read() as connection:
            found = _config(connection, team_id)
        if found is not None:
            return found
        with self._database.write() as connection:
            return self._made(connection, team_id, now)

    def configs(self) -> list[EvaluationConfig]:
        """Return the configs of all teams that have one."""
        with self._database.read() as connection:
            return [_config_from(row) for row in connection.execute(select(evaluation_config)).mappings()]

    def set_active_key(self, team_id: int, key_id: str | None, *, now: datetime) -> EvaluationConfig:
        """Make a key the active one, or none.

        Raises:
            KeyNotFound: see `get`.
            KeyNotUsable: its state is not `ok`.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            if key_id is None:
                self._made(connection, team_id, now)
                _set_config(connection, team_id, now, active_provider_key_id=None)
                bump(connection, team_id)
            else:
                self._activate(connection, _get(connection, team_id, key_id), now)
            return self._made(connection, team_id, now)

    def set_team_budget(self, team_id: int, budget: Mapping[str, Any] | None, *, now: datetime) -> EvaluationConfig:
        """Set what the team may spend on all its judges together, as JSON of a `Budget`; None for no limit."""
        with self._database.write() as connection:
            lock_definitions(connection)
            self._made(connection, team_id, now)
            _set_config(connection, team_id, now, budget=None if budget is None else dict(budget))
            bump(connection, team_id)
            return self._made(connection, team_id, now)

    def take_trial(self, team_id: int, *, now: datetime) -> bool:
        """Count one trial run; False, and nothing counted, if the trial is used up. Exact under concurrency."""
        columns = evaluation_config.c
        with self._database.write() as connection:
            self._made(connection, team_id, now)
            changed = connection.execute(
                update(evaluation_config)
                .where(columns.team_id == team_id, columns.trial_evals_used < columns.trial_eval_limit)
                .values(trial_evals_used=columns.trial_evals_used + 1)
            )
            return changed.rowcount == 1

    def give_back_trial(self, team_id: int) -> None:
        """Take back one trial run that called no model."""
        columns = evaluation_config.c
        with self._database.write() as connection:
            connection.execute(
                update(evaluation_config)
                .where(columns.team_id == team_id, columns.trial_evals_used > 0)
                .values(trial_evals_used=columns.trial_evals_used - 1)
            )

    def _activate(self, connection: Connection, key: ProviderKey, now: datetime) -> None:
        if key.state != "ok":
            raise KeyNotUsable(f"the key's state is {key.state}; validate it first, only a working key can be active")
        self._made(connection, key.team_id, now)
        _set_config(connection, key.team_id, now, active_provider_key_id=key.id)
        bump(connection, key.team_id)

    def _made(self, connection: Connection, team_id: int, now: datetime) -> EvaluationConfig:
        found = _config(connection, team_id)
        if found is not None:
            return found
        row = {
            "team_id": team_id,
            "trial_eval_limit": self._trial_eval_limit,
            "trial_evals_used": 0,
            "created_at": now,
            "updated_at": now,
        }
        # Two first uses at the same time both come here.
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(evaluation_config).values(row).on_conflict_do_nothing())
        made = _config(connection, team_id)
        if made is None:
            raise StoreError(f"the evaluation config of team {team_id} could not be made")
        return made


def _row(connection: Connection, team_id: int, key_id: str) -> RowMapping:
    wanted = (provider_keys.c.team_id == team_id, provider_keys.c.id == key_id)
    row = connection.execute(select(provider_keys).where(*wanted)).mappings().one_or_none()
    if row is None:
        raise KeyNotFound(f"team {team_id} has no provider key {key_id}")
    return row


def _get(connection: Connection, team_id: int, key_id: str) -> ProviderKey:
    return _from_row(_row(connection, team_id, key_id))


def _from_row(row: RowMapping) -> ProviderKey:
    return ProviderKey(**{name: row[name] for name in _FIELDS})


def _config_of(team_id: int) -> Select[Any]:
    return select(evaluation_config).where(evaluation_config.c.team_id == team_id)


def _config(connection: Connection, team_id: int) -> EvaluationConfig | None:
    row = connection.execute(_config_of(team_id)).mappings().one_or_none()
    return None if row is None else _config_from(row)


def _config_from(row: RowMapping) -> EvaluationConfig:
    return EvaluationConfig(**{name: row[name] for name in EvaluationConfig.__dataclass_fields__})


def _set_config(connection: Connection, team_id: int, now: datetime, **values: Any) -> None:
    connection.execute(
        update(evaluation_config).where(evaluation_config.c.team_id == team_id).values(updated_at=now, **values)
    )
