"""Project tokens: which team an event that arrives over HTTP belongs to.

A token is public by design: it can write events and nothing else. The store holds its SHA-256, so that a leaked
store gives nobody a token. Every change counts a revision, so a front door that polls the revision sees it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, ProgrammingError

from storage.sql.audit import record
from storage.sql.engine import Database, StoreSchemaError
from storage.sql.revision import Revision, bump, lock_definitions, read_revision
from storage.sql.tables import BigId, UtcDateTime, metadata

MAX_TOKEN_CHARS = 64
_PREFIX = "gvt_"
_IMPORTED_PREFIX = "phc_"
_BASE62 = string.ascii_letters + string.digits
_SECRET_CHARS = 43
"""43 characters of 62 hold 256 bits."""
MAX_EVENTS_PER_S = 1_000_000
MAX_BYTES_PER_S = 10**12
MAX_ORIGINS = 50
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]{0,30}://[a-z0-9._:\[\]-]{1,255}")

project_tokens = sa.Table(
    "project_tokens",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("team_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("token_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("masked", sa.String(32), nullable=False),
    sa.Column("events_per_s", sa.Integer, nullable=False, server_default="0"),
    sa.Column("bytes_per_s", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("origins", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("revoked_at", UtcDateTime),
    sa.Index("ix_project_tokens_team", "team_id", "id"),
)


class TokenRefused(ValueError):
    """A token that cannot be made as asked; the message says why and holds nothing of the token.

    Attributes:
        field: the argument at fault, `imported` or `origins`.
    """

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class ProjectToken:
    """A token without its secret.

    Attributes:
        masked: the last four characters, to tell two tokens apart.
        events_per_s, bytes_per_s: limits for one process of the front door; 0 means no limit.
        origins: browser origins that may send with it; all if empty.
    """

    id: int
    team_id: int
    name: str
    masked: str
    events_per_s: int
    bytes_per_s: int
    origins: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ActiveTokens:
    """All tokens that are not revoked, by hash, at one revision of the store."""

    revision: Revision
    by_hash: dict[str, ProjectToken]


class ProjectTokens:
    """The tokens of all teams. Every method is one short transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        *,
        team_id: int,
        now: datetime,
        name: str = "",
        imported: str | None = None,
        events_per_s: int = 0,
        bytes_per_s: int = 0,
        origins: Sequence[str] = (),
        actor: str | None = None,
    ) -> tuple[ProjectToken, str]:
        """Make a token. Return it and its text, which is not stored and cannot be read again.

        Args:
            imported: an existing `phc_…` token to use instead of a new one.
            origins: as browsers write them, such as `https://shop.example`.
            actor: who makes it, for the audit trail.

        Raises:
            TokenRefused: the imported token has another form or is in use already, or an origin is not one.
        """
        text = _new_text() if imported is None else _importable(imported)
        values = {
            "team_id": team_id,
            "name": name,
            "token_hash": token_hash(text),
            "masked": f"{text[:4]}...{text[-4:]}",
            "events_per_s": events_per_s,
            "bytes_per_s": bytes_per_s,
            "origins": " ".join(_checked(origins)),
            "created_at": now,
        }
        try:
            with self._database.write() as connection:
                lock_definitions(connection)
                statement = sa.insert(project_tokens).values(values).returning(project_tokens)
                row = connection.execute(statement).mappings().one()
                bump(connection, team_id)
                _audit(connection, row, "created", actor, now)
        except IntegrityError as error:
            raise TokenRefused(
                "imported",
                "this token is or was in use already; each token belongs to one team for good, so take another",
            ) from error
        return _read(row), text

    def list(self, team_id: int | None = None) -> list[ProjectToken]:
        """Return the tokens of a team, or of all teams, oldest first; revoked ones too."""
        query = sa.select(project_tokens).order_by(project_tokens.c.id)
        if team_id is not None:
            query = query.where(project_tokens.c.team_id == team_id)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query).mappings()]

    def page(self, team_id: int, *, limit: int, offset: int) -> tuple[Sequence[ProjectToken], int]:
        """Return a page of a team's tokens, newest first, revoked ones too, and how many there are in all."""
        mine = project_tokens.c.team_id == team_id
        query = sa.select(project_tokens).where(mine).order_by(project_tokens.c.id.desc()).limit(limit).offset(offset)
        count = sa.select(sa.func.count()).select_from(project_tokens).where(mine)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings()
            return [_read(row) for row in rows], connection.execute(count).scalar_one()

    def get(self, team_id: int, token_id: int) -> ProjectToken | None:
        """Return a team's token, or None if it has none with this id."""
        query = sa.select(project_tokens).where(project_tokens.c.id == token_id, project_tokens.c.team_id == team_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _read(row)

    def revoke(
        self, token_id: int, *, now: datetime, team_id: int | None = None, actor: str | None = None
    ) -> ProjectToken | None:
        """Revoke a token for good. Return it, or None if there is none; a second time changes nothing.

        Args:
            team_id: where given, a token of another team counts as missing.
            actor: who revokes it, for the audit trail.
        """
        mine = project_tokens.c.id == token_id
        if team_id is not None:
            mine &= project_tokens.c.team_id == team_id
        change = (
            sa.update(project_tokens)
            .where(mine)
            .values(revoked_at=sa.func.coalesce(project_tokens.c.revoked_at, now))
            .returning(project_tokens)
        )
        with self._database.write() as connection:
            lock_definitions(connection)
            row = connection.execute(change).mappings().one_or_none()
            if row is None:
                return None
            bump(connection, row["team_id"])
            if row["revoked_at"] == now:
                _audit(connection, row, "revoked", actor, now)
        return _read(row)

    def active(self, since: Revision | None) -> ActiveTokens | None:
        """Return the tokens that are not revoked, or None if nothing changed in the store after `since`.

        Raises:
            StoreError: the store does not answer or is not set up. This never means "no tokens".
        """
        try:
            with self._database.read() as connection:
                revision = read_revision(connection)
                if revision == since:
                    return None
                query = sa.select(project_tokens).where(project_tokens.c.revoked_at.is_(None))
                rows = connection.execute(query).mappings()
                return ActiveTokens(revision, {row["token_hash"]: _read(row) for row in rows})
        except ProgrammingError as error:
            raise StoreSchemaError("the store lacks the table of project tokens; run `gavel init`") from error


def token_hash(token: str) -> str:
    """Return the form in which the store knows `token`."""
    return hashlib.sha256(token.encode()).hexdigest()


def _new_text() -> str:
    return _PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_SECRET_CHARS))


def _importable(token: str) -> str:
    text = token.strip()
    body = text.removeprefix(_IMPORTED_PREFIX)
    if body == text or len(text) > MAX_TOKEN_CHARS or len(body) < 16 or not (body.isascii() and body.isprintable()):
        raise TokenRefused(
            "imported",
            f"only a PostHog project token can be imported: it begins with {_IMPORTED_PREFIX} and has 20 to "
            f"{MAX_TOKEN_CHARS} printable ASCII characters. Leave it out to get a new token",
        )
    return text


def _checked(origins: Sequence[str]) -> Sequence[str]:
    if len(origins) > MAX_ORIGINS:
        raise TokenRefused("origins", f"a token may name {MAX_ORIGINS} origins at most")
    wrong = next((each for each in origins if not _ORIGIN.fullmatch(each)), None)
    if wrong is not None:
        raise TokenRefused(
            "origins",
            f"{wrong[:100]!r} is not an origin; write it as browsers do, in lower case and without a path, such as "
            "https://shop.example",
        )
    return origins


def _audit(connection: sa.Connection, row: sa.RowMapping, action: str, actor: str | None, now: datetime) -> None:
    name = [None, row["name"]] if action == "created" else [row["name"], None]
    record(
        connection, team_id=row["team_id"], object_type="project_token", object_id=str(row["id"]), action=action,
        actor=actor, at=now, changes={"name": name},
    )  # fmt: skip


def _read(row: sa.RowMapping) -> ProjectToken:
    fields = {name: row[name] for name in ProjectToken.__dataclass_fields__}
    fields["origins"] = tuple(row["origins"].split())
    return ProjectToken(**fields)
