"""Personal API keys: who may call the HTTP API, for which team, with which scopes.

A key is 32 random bytes, shown once when it is made. The store holds its SHA-256: with that much randomness
in the key a slow hash would protect nothing more, and each request needs it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from storage.sql.audit import OPERATOR_TEAM, record
from storage.sql.engine import Database
from storage.sql.tables import BigId, UtcDateTime, metadata

SCOPES: tuple[str, ...] = (
    "evaluation:read",
    "evaluation:write",
    "dataset:read",
    "dataset:write",
    "llm_analytics:read",
    "llm_analytics:write",
    "llm_provider_key:read",
    "llm_provider_key:write",
    "query:read",
    "error_tracking:write",
    "ingest_token:read",
    "ingest_token:write",
    "label:read",
    "label:write",
)
ALL_SCOPES = "*"
_WRITE_ONLY = frozenset({"label"})
"""Areas whose write scope does not contain read: who labels must not see the labels and the results of others."""
OPERATOR_SCOPES: tuple[str, ...] = ("operations:read", "operations:write")
"""Scopes of those who run Gavel. A key has them only if it was made as an operator's, never by `*`."""

_PREFIX = "gvl_"
_ACTOR_PREFIX = "key:"
_TOUCH_EVERY = timedelta(minutes=1)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("label", sa.String(200), nullable=False),
    sa.Column("email", sa.String(254), nullable=False, server_default=""),
    sa.Column("key_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("masked", sa.String(32), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("last_used_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
    sa.Index("ix_api_keys_team", "team_id", "id"),
)


class UnknownScope(ValueError):
    """A scope that does not exist; `scope` is it."""

    def __init__(self, scope: str, known: Collection[str]) -> None:
        self.scope = scope
        super().__init__(f"there is no scope {scope!r} for such a key; the scopes are {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret. `masked` shows enough of it to tell two keys apart.

    Attributes:
        session: of the console, if the key is used there; empty otherwise.
    """

    id: int
    team_id: int
    label: str
    email: str
    masked: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    session: str = ""

    def allows(self, scope: str) -> bool:
        """Return whether the key has `scope`; write contains read, but for labels."""
        if scope in self.scopes or (ALL_SCOPES in self.scopes and scope not in OPERATOR_SCOPES):
            return True
        area, _, action = scope.partition(":")
        return action == "read" and area not in _WRITE_ONLY and f"{area}:write" in self.scopes

    @property
    def actor(self) -> str:
        """How the store names who did something with this key, and in which session of the console."""
        return f"{_ACTOR_PREFIX}{self.id}{f' console:{self.session}' if self.session else ''}"

    @property
    def owner(self) -> str:
        """Who labels with this key: the address of its owner, or the actor if none was given."""
        return self.email.lower() or f"{_ACTOR_PREFIX}{self.id}"


class ApiKeys:
    """The keys of all teams. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        *,
        team_id: int,
        label: str,
        scopes: Collection[str],
        now: datetime,
        email: str = "",
        expires_at: datetime | None = None,
        actor: str | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key. Return it and its secret, which is not stored and cannot be had again.

        Args:
            actor: who makes it, for the audit trail.

        Raises:
            UnknownScope: a scope that does not exist.
        """
        known = OPERATOR_SCOPES if team_id == OPERATOR_TEAM else (*SCOPES, ALL_SCOPES)
        for scope in scopes:
            if scope not in known:
                raise UnknownScope(scope, known)
        secret, ordered = _PREFIX + secrets.token_urlsafe(32), sorted(set(scopes))
        values = {
            "team_id": team_id,
            "label": label,
            "email": email,
            "key_hash": _hash(secret),
            "masked": f"{secret[:8]}...{secret[-4:]}",
            "scopes": " ".join(ordered),
            "created_at": now,
            "expires_at": expires_at,
        }
        with self._database.write() as connection:
            row = connection.execute(sa.insert(api_keys).values(values).returning(api_keys)).mappings().one()
            given: dict[str, Any] = {"label": label, "email": email, "scopes": ordered}
            if expires_at is not None:
                given["expires_at"] = expires_at.isoformat()
            changes = {name: [None, value] for name, value in given.items() if value}
            _audit(connection, row, "created", changes, actor, now)
        return read_key(row), secret

    def find(self, secret: str, *, now: datetime) -> ApiKey | None:
        """Return the key with this secret if it may be used now; remember that it was, to the minute."""
        with self._database.read() as connection:
            row = (
                connection.execute(sa.select(api_keys).where(api_keys.c.key_hash == _hash(secret)))
                .mappings()
                .one_or_none()
            )
        if row is None:
            return None
        key = read_key(row)
        if not is_usable(key, now):
            return None
        if key.last_used_at is None or now - key.last_used_at >= _TOUCH_EVERY:
            with self._database.write() as connection:
                connection.execute(sa.update(api_keys).where(api_keys.c.id == key.id).values(last_used_at=now))
        return key

    def list(self, team_id: int | None = None) -> list[ApiKey]:
        """Return the keys of a team, or of all teams, oldest first; revoked ones too."""
        query = sa.select(api_keys).order_by(api_keys.c.id)
        if team_id is not None:
            query = query.where(api_keys.c.team_id == team_id)
        with self._database.read() as connection:
            return [read_key(row) for row in connection.execute(query).mappings()]

    def of_actors(self, actors: Iterable[str | None]) -> dict[str, ApiKey]:
        """Return the keys of `actors`, by actor, in one query; an actor that is not a key is left out."""
        ids = {actor: key_id for actor in actors if actor is not None and (key_id := _key_id(actor)) is not None}
        if not ids:
            return {}
        with self._database.read() as connection:
            rows = connection.execute(sa.select(api_keys).where(api_keys.c.id.in_(set(ids.values())))).mappings().all()
        keys = {key.id: key for key in map(read_key, rows)}
        return {actor: keys[key_id] for actor, key_id in ids.items() if key_id in keys}

    def revoke(self, key_id: int, *, now: datetime, actor: str | None = None) -> ApiKey | None:
        """Revoke a key for good. Return it, or None if there is none; a second time changes nothing.

        Args:
            actor: who revokes it, for the audit trail.
        """
        change = (
            sa.update(api_keys)
            .where(api_keys.c.id == key_id)
            .values(revoked_at=sa.func.coalesce(api_keys.c.revoked_at, now))
            .returning(api_keys)
        )
        with self._database.write() as connection:
            row = connection.execute(change).mappings().one_or_none()
            if row is not None and row["revoked_at"] == now:
                _audit(connection, row, "revoked", {"label": [row["label"], None]}, actor, now)
        return None if row is None else read_key(row)


def _audit(
    connection: sa.Connection, row: sa.RowMapping, action: str, changes: Mapping[str, Any], actor: str | None,
    now: datetime,
) -> None:  # fmt: skip
    record(
        connection, team_id=row["team_id"], object_type="api_key", object_id=str(row["id"]), action=action,
        actor=actor, at=now, changes=changes,
    )  # fmt: skip


def _key_id(actor: str) -> int | None:
    """Return the id of the key behind an actor, with or without the console's session; None if there is none."""
    prefix, _, rest = actor.partition(":")
    number = rest.partition(" ")[0]
    return int(number) if f"{prefix}:" == _ACTOR_PREFIX and number.isascii() and number.isdigit() else None


def key_number(actor: str | None) -> int | None:
    """Return the id of the key that `actor` names; None if it is not a key."""
    number = (actor or "").removeprefix(_ACTOR_PREFIX)
    return int(number) if actor is not None and number != actor and number.isdecimal() else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def is_usable(key: ApiKey, now: datetime) -> bool:
    """Return whether `key` is neither revoked nor expired."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def read_key(row: sa.RowMapping) -> ApiKey:
    """Return the key that a row of `api_keys` is."""
    fields = {name: row[name] for name in ApiKey.__dataclass_fields__ if name != "session"}
    fields["scopes"] = frozenset(row["scopes"].split())
    return ApiKey(**fields)
