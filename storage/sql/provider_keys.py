"""Teams' keys for LLM providers, and which of them is active. Keys are encrypted at rest and leave only as `SecretStr`.

KeyNotFound             no such key of this team
KeyNotUsable            the key does not work, so it cannot be made active
KeyStaysAtItsAddress    its address would change without the key being sent again

A change of a key counts as a change of the team's definitions: judges that poll the revision see it at once. The
audit trail has it from the same transaction, with the actor; the judge's own notes about a key's state are not in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import SecretStr
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    RowMapping,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from config.model_resolution import TeamKeys
from config.provider_keys import EvaluationConfig, KeyState, OpenKey, ProviderKey
from config.secrets import SecretBox, SecretsError, mask
from config.settings import Settings
from storage.sql.audit import difference, record
from storage.sql.engine import Database, StoreError
from storage.sql.evaluation_config import config_from, config_of, ensured_config, evaluation_config, set_config
from storage.sql.key_dependents import Dependent, dependents, hand_over
from storage.sql.revision import bump, lock_definitions
from storage.sql.tables import UtcDateTime, metadata

provider_keys = Table(
    "provider_keys",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("team_id", BigInteger, nullable=False),
    Column("provider", String(32), nullable=False),
    Column("name", String(255), nullable=False),
    Column("sealed_api_key", Text, nullable=False),
    Column("api_key_masked", String(32), nullable=False),
    Column("azure_endpoint", Text),
    Column("api_version", String(64)),
    Column("base_url", Text),
    Column("state", String(16), nullable=False),
    Column("error_message", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("created_by", String(200)),
    Column("last_used_at", UtcDateTime),
    Index("ix_provider_keys_team", "team_id", "created_at", "id"),
)
"""Keys of teams for LLM providers. The key itself is encrypted."""


class KeyNotFound(StoreError):
    """No such provider key of this team."""


class KeyNotUsable(StoreError):
    """The key's state is not `ok`."""


class KeyStaysAtItsAddress(StoreError):
    """A stored key would be sent to another address than the one that it was stored for.

    Attributes:
        field: the address that was to change.
    """

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"send api_key again to change {field}: a stored key is only sent to the address it came with")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to be stored; the repository encrypts `api_key`."""

    provider: str
    name: str
    api_key: SecretStr
    azure_endpoint: str | None = None
    api_version: str | None = None
    base_url: str | None = None
    state: KeyState = "unknown"
    error_message: str | None = None


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of a team's keys, and how many there are on all."""

    count: int
    results: tuple[ProviderKey, ...]


_FIELDS = tuple(ProviderKey.__dataclass_fields__)
_ADDRESSES = ("base_url", "azure_endpoint")
_HIDDEN_KEY = {"api_key": ["(hidden)", "(hidden)"]}
_CHANGEABLE = frozenset({"name", "azure_endpoint", "api_version", "base_url", "state", "error_message"})


class ProviderKeys:
    """Repository of keys and evaluation configs. Each method is one transaction.

    Args:
        trial_eval_limit: of configs that are made from now on.
    """

    def __init__(self, database: Database, box: SecretBox, *, trial_eval_limit: int) -> None:
        self._database = database
        self._box = box
        self._trial_eval_limit = trial_eval_limit

    @classmethod
    def of(cls, settings: Settings, database: Database) -> ProviderKeys:
        """Return the repository with the operator's secret keys and trial limit."""
        return cls(database, SecretBox(settings.secret_keys), trial_eval_limit=settings.judge.trial_eval_limit)

    # -- keys -----------------------------------------------------------------------------------------

    def create(
        self, team_id: int, new: NewKey, *, actor: str | None, now: datetime, set_as_active: bool = False
    ) -> ProviderKey:
        """Store a key.

        Raises:
            NoSecretKeys: nothing to encrypt it with is configured.
            KeyNotUsable: it is to be made active and its state is not `ok`.
        """
        row = {
            "id": str(uuid.uuid4()),
            "team_id": team_id,
            "provider": new.provider,
            "name": new.name,
            "sealed_api_key": self._box.seal(new.api_key),
            "api_key_masked": mask(new.api_key),
            "azure_endpoint": new.azure_endpoint,
            "api_version": new.api_version,
            "base_url": new.base_url,
            "state": new.state,
            "error_message": new.error_message,
            "created_at": now,
            "updated_at": now,
            "created_by": actor,
        }
        with self._database.write() as connection:
            lock_definitions(connection)
            connection.execute(insert(provider_keys).values(row))
            bump(connection, team_id)
            key = _get(connection, team_id, str(row["id"]))
            _audit(connection, key, "created", {"provider": [None, key.provider], "name": [None, key.name]}, actor, now)
            if set_as_active:
                self._activate(connection, key, actor, now)
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
        self,
        team_id: int,
        key_id: str,
        changes: Mapping[str, Any],
        *,
        now: datetime,
        api_key: SecretStr | None = None,
        actor: str | None = None,
        action: str = "updated",
    ) -> ProviderKey:
        """Change fields of a key, and the key itself if `api_key` is given.

        Args:
            actor: of the entry in the audit trail; None for a change by the judge, which leaves none.
            action: of that entry.

        Raises:
            KeyNotFound: see `get`.
            KeyStaysAtItsAddress: an address changes and no `api_key` is given.
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
            if api_key is None:
                check_address(_from_row(current), changes)
                if all(current[name] == value for name, value in changes.items()):
                    return _from_row(current)
            connection.execute(update(provider_keys).where(provider_keys.c.id == key_id).values(values))
            bump(connection, team_id)
            key = _get(connection, team_id, key_id)
            if actor is not None:
                differs = difference({name: current[name] for name in changes}, changes)
                _audit(connection, key, action, differs | ({} if api_key is None else _HIDDEN_KEY), actor, now)
            return key

    def set_state(
        self,
        team_id: int,
        key_id: str,
        state: KeyState,
        *,
        error_message: str | None,
        now: datetime,
        actor: str | None = None,
    ) -> ProviderKey | None:
        """Note whether a key works, for `actor` as in `update`; None if it is gone meanwhile."""
        changes = {"state": state, "error_message": error_message}
        try:
            return self.update(team_id, key_id, changes, now=now, actor=actor, action="tested")
        except KeyNotFound:
            return None

    def touch(self, key_ids: Sequence[str], now: datetime) -> None:
        """Note that keys were used; no change of a definition."""
        if key_ids:
            with self._database.write() as connection:
                connection.execute(
                    update(provider_keys).where(provider_keys.c.id.in_(key_ids)).values(last_used_at=now)
                )

    def delete(
        self, team_id: int, key_id: str, *, actor: str | None, now: datetime, replacement_id: str | None = None
    ) -> None:
        """Delete a key, and give each evaluation that names it to another key or stop it, in one transaction.

        With a replacement the evaluations name that one from now on, and it becomes the active key if the deleted one
        was and it works. Without one the enabled evaluations stop with the reason `provider_key_deleted`, and no key
        is active if the deleted one was.

        Raises:
            KeyNotFound: see `get`; of the replacement too.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            key = _get(connection, team_id, key_id)
            replacement = None if replacement_id is None else _get(connection, team_id, replacement_id)
            hand_over(connection, key, replacement, self._database.limits, actor=actor, now=now)
            config = config_of(connection, team_id)
            if config is not None and config.active_provider_key_id == key_id:
                successor = replacement.id if replacement is not None and replacement.state == "ok" else None
                set_config(connection, team_id, now, active_provider_key_id=successor)
            connection.execute(delete(provider_keys).where(provider_keys.c.id == key_id))
            _audit(connection, key, "deleted", {"name": [key.name, None]}, actor, now)
            bump(connection, team_id)

    def dependents(self, team_id: int, key_id: str) -> list[Dependent]:
        """Return the team's evaluations that name a key, by name. One query."""
        with self._database.read() as connection:
            return dependents(connection, team_id, key_id)

    def names(self, team_id: int, key_ids: Collection[str]) -> dict[str, str]:
        """Return the names of the team's keys among `key_ids`, by id. One query."""
        columns = provider_keys.c
        query = select(columns.id, columns.name).where(columns.team_id == team_id, columns.id.in_(key_ids))
        with self._database.read() as connection:
            return {row.id: row.name for row in connection.execute(query)}

    def team_keys(self, team_id: int, pinned: Collection[str] = ()) -> TeamKeys:
        """Return the team's active key and those of `pinned` that are the team's, with their secrets.

        It is for those who ask about one evaluation; the judge role keeps the keys of all teams in memory.
        """
        with self._database.read() as connection:
            config = config_of(connection, team_id)
            active = None if config is None else config.active_provider_key_id
            columns = provider_keys.c
            wanted = (columns.team_id == team_id, columns.id.in_({*pinned, active} - {None}))
            rows = connection.execute(select(provider_keys).where(*wanted)).mappings().all()
        return TeamKeys({row["id"]: self._open(row) for row in rows}, active)

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
            found = config_of(connection, team_id)
        if found is not None:
            return found
        with self._database.write() as connection:
            return self._made(connection, team_id, now)

    def configs(self) -> list[EvaluationConfig]:
        """Return the configs of all teams that have one."""
        with self._database.read() as connection:
            return [config_from(row) for row in connection.execute(select(evaluation_config)).mappings()]

    def set_active_key(self, team_id: int, key_id: str, *, actor: str | None, now: datetime) -> EvaluationConfig:
        """Make a key the active one.

        Raises:
            KeyNotFound: see `get`.
            KeyNotUsable: its state is not `ok`.
        """
        with self._database.write() as connection:
            lock_definitions(connection)
            self._activate(connection, _get(connection, team_id, key_id), actor, now)
            return self._made(connection, team_id, now)

    def set_team_budget(
        self, team_id: int, budget: Mapping[str, Any] | None, *, actor: str | None, now: datetime
    ) -> EvaluationConfig:
        """Set what the team may spend on all its judges together, as JSON of a `Budget`; None for no limit."""
        with self._database.write() as connection:
            lock_definitions(connection)
            before = self._made(connection, team_id, now).budget
            after = None if budget is None else dict(budget)
            set_config(connection, team_id, now, budget=after)
            record(
                connection,
                team_id=team_id,
                object_type="evaluation_config",
                object_id=str(team_id),
                action="updated",
                actor=actor,
                at=now,
                changes={"budget": [None if before is None else dict(before), after]},
            )
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

    def _activate(self, connection: Connection, key: ProviderKey, actor: str | None, now: datetime) -> None:
        if key.state != "ok":
            raise KeyNotUsable(f"the key's state is {key.state}; validate it first, only a working key can be active")
        if self._made(connection, key.team_id, now).active_provider_key_id == key.id:
            return
        set_config(connection, key.team_id, now, active_provider_key_id=key.id)
        _audit(connection, key, "activated", {}, actor, now)
        bump(connection, key.team_id)

    def _made(self, connection: Connection, team_id: int, now: datetime) -> EvaluationConfig:
        return ensured_config(connection, team_id, now, trial_eval_limit=self._trial_eval_limit)


def check_address(key: ProviderKey, changes: Mapping[str, Any]) -> None:
    """Refuse changes that would lead a stored key elsewhere. Ask before the key is tried at the new address.

    Raises:
        KeyStaysAtItsAddress: `changes` have another address.
    """
    for field in _ADDRESSES:
        if field in changes and (changes[field] or None) != (getattr(key, field) or None):
            raise KeyStaysAtItsAddress(field)


def _audit(
    connection: Connection, key: ProviderKey, action: str, changes: Mapping[str, Any], actor: str | None, now: datetime
) -> None:
    record(
        connection, team_id=key.team_id, object_type="provider_key", object_id=key.id, action=action, actor=actor,
        at=now, changes=changes,
    )  # fmt: skip


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
