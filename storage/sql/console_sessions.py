"""Sign-ins to the console: a session row per browser, the keys in it, and one-time links.

A session's secret is 256 random bits. The store holds its SHA-256, so that whoever reads the store cannot use it. A
session has no rights of its own: each request looks up its keys, so that a key which is revoked or expires ends the
session.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from storage.sql.api_keys import ApiKey, api_keys, is_usable, read_key
from storage.sql.engine import Database
from storage.sql.tables import UtcDateTime, metadata

IDLE = timedelta(hours=12)
LONGEST = timedelta(days=7)
LINK_LIFE = timedelta(minutes=10)
_TOUCH_EVERY = timedelta(minutes=1)

console_sessions = sa.Table(
    "console_sessions",
    metadata,
    sa.Column("secret_hash", sa.String(64), primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False),
)

console_session_keys = sa.Table(
    "console_session_keys",
    metadata,
    sa.Column("secret_hash", sa.String(64), primary_key=True),
    sa.Column("key_id", sa.BigInteger, primary_key=True),
    sa.Column("added_at", UtcDateTime, nullable=False),
)

console_links = sa.Table(
    "console_links",
    metadata,
    sa.Column("code_hash", sa.String(64), primary_key=True),
    sa.Column("key_id", sa.BigInteger, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session that may be used now.

    Attributes:
        name: the beginning of the hash of its secret, by which the audit trail names it.
        keys: those of its keys that are valid now, in the order in which they were entered; never empty.
    """

    name: str
    keys: tuple[ApiKey, ...]


class ConsoleSessions:
    """The sessions of all browsers. Every method is one or two short transactions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, key: ApiKey, *, now: datetime) -> str:
        """Open a session with one key and return its secret. Sessions that are over are removed on the way."""
        secret = secrets.token_urlsafe(32)
        table = console_sessions
        with self._database.write() as connection:
            _remove(connection, (table.c.last_seen_at < now - IDLE) | (table.c.created_at < now - LONGEST))
            connection.execute(sa.delete(console_links).where(console_links.c.expires_at < now))
            values = {"secret_hash": _hash(secret), "created_at": now, "last_seen_at": now}
            connection.execute(sa.insert(table).values(values))
            connection.execute(
                sa.insert(console_session_keys).values(secret_hash=_hash(secret), key_id=key.id, added_at=now)
            )
        return secret

    def add(self, secret: str, key: ApiKey, *, now: datetime) -> None:
        """Add a key to a session; a second key of the same team takes the place of the first."""
        table = console_session_keys
        same_team = sa.select(api_keys.c.id).where(api_keys.c.team_id == key.team_id)
        with self._database.write() as connection:
            mine = table.c.secret_hash == _hash(secret)
            connection.execute(sa.delete(table).where(mine, table.c.key_id.in_(same_team)))
            connection.execute(sa.insert(table).values(secret_hash=_hash(secret), key_id=key.id, added_at=now))

    def find(self, secret: str, *, now: datetime, is_seen: bool = True) -> ConsoleSession | None:
        """Return the session with this secret; None if it is over or none of its keys is valid any more.

        Args:
            is_seen: note that the session is in use at `now`, which puts off its end by `IDLE`.
        """
        table, keys = console_sessions, console_session_keys
        with self._database.read() as connection:
            row = connection.execute(sa.select(table).where(table.c.secret_hash == _hash(secret))).mappings().first()
            if row is None or row["last_seen_at"] < now - IDLE or row["created_at"] < now - LONGEST:
                return None
            joined = api_keys.join(keys, keys.c.key_id == api_keys.c.id)
            chosen = sa.select(api_keys).select_from(joined).where(keys.c.secret_hash == row["secret_hash"])
            found = [read_key(each) for each in connection.execute(chosen.order_by(keys.c.added_at)).mappings()]
        usable = tuple(key for key in found if is_usable(key, now))
        if not usable:
            return None
        if is_seen and now - row["last_seen_at"] >= _TOUCH_EVERY:
            with self._database.write() as connection:
                connection.execute(
                    sa.update(table).where(table.c.secret_hash == row["secret_hash"]).values(last_seen_at=now)
                )
        return ConsoleSession(row["secret_hash"][:12], usable)

    def close(self, secret: str) -> None:
        """End a session; one that is not there is no error."""
        with self._database.write() as connection:
            _remove(connection, console_sessions.c.secret_hash == _hash(secret))

    def make_link(self, key: ApiKey, *, now: datetime) -> str:
        """Return a code that signs in once, within ten minutes, with this key."""
        code = secrets.token_urlsafe(32)
        values = {"code_hash": _hash(code), "key_id": key.id, "expires_at": now + LINK_LIFE}
        with self._database.write() as connection:
            connection.execute(sa.insert(console_links).values(values))
        return code

    def take_link(self, code: str, *, now: datetime) -> ApiKey | None:
        """Use up a code. Return its key, or None if it was used, has expired, or its key is not valid."""
        table = console_links
        with self._database.write() as connection:
            taken = sa.delete(table).where(table.c.code_hash == _hash(code)).returning(table)
            link = connection.execute(taken).mappings().first()
            if link is None or link["expires_at"] <= now:
                return None
            row = connection.execute(sa.select(api_keys).where(api_keys.c.id == link["key_id"])).mappings().first()
        key = None if row is None else read_key(row)
        return key if key is not None and is_usable(key, now) else None


def _remove(connection: Connection, which: sa.ColumnElement[bool]) -> None:
    table, keys = console_sessions, console_session_keys
    gone = sa.select(table.c.secret_hash).where(which)
    connection.execute(sa.delete(keys).where(keys.c.secret_hash.in_(gone)))
    connection.execute(sa.delete(table).where(which))


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
