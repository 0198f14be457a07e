"""Who uses the console: keys become sessions, and sessions give back their keys as long as these are valid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from api.http.errors import NotAuthenticated, Throttled
from api.http.rate_limit import RateLimiter
from api.services.resources import Services
from storage.sql.api_keys import ALL_SCOPES, ApiKey, ApiKeys, is_usable
from storage.sql.audit import OPERATOR_TEAM
from storage.sql.console_sessions import LINK_LIFE, LONGEST, ConsoleSession, ConsoleSessions
from storage.sql.engine import Database
from storage.sql.sent_forms import SentForms

_FAILURES_AT_ONCE = 20
_LOCAL_KEY = "gavel up"
MAX_SECRET_CHARS = 200
COOKIE_LIFE_S = int(LONGEST.total_seconds())


@dataclass(frozen=True, slots=True)
class Reader:
    """Who looks at the console, and as which of the session's keys.

    Attributes:
        session: name of the session, for the audit trail.
        key: the key of the team that is looked at; its actor names the session too.
        keys: all keys of the session.
    """

    session: str
    key: ApiKey
    keys: tuple[ApiKey, ...]

    @property
    def teams(self) -> tuple[int, ...]:
        """The numbers of the teams that the session has keys of."""
        return tuple(key.team_id for key in self.keys if key.team_id != OPERATOR_TEAM)

    @property
    def is_operator(self) -> bool:
        """Whether one of the keys is an operator's."""
        return any(key.allows("operations:read") for key in self.keys)


class ConsoleAccess:
    """Opens and finds sessions.

    Attributes:
        sent_forms: which forms of sessions were sent already.

    Args:
        monotonic_s: clock of the limit on failed sign-ins, in seconds.
    """

    def __init__(self, services: Services, *, monotonic_s: Callable[[], float]) -> None:
        self._services = services
        self._sessions = ConsoleSessions(services.database)
        self.sent_forms = SentForms(services.database)
        self._failures = RateLimiter(
            per_minute=services.settings.api.unauthorized_per_minute, burst=_FAILURES_AT_ONCE, monotonic_s=monotonic_s
        )

    def enter(self, secret: str, session_secret: str | None, *, address: str) -> tuple[ApiKey, str]:
        """Sign in with an API key. Return it and the session's secret, which is a new one unless a session is open.

        Raises:
            NotAuthenticated: the key is unknown, revoked or expired.
            Throttled: too many sign-ins from this address failed.
        """
        now = self._services.now()
        key = ApiKeys(self._services.database).find(secret.strip(), now=now) if secret.strip() else None
        return self._open(key, session_secret, address, "This API key is not valid.")

    def enter_by_link(self, code: str, session_secret: str | None, *, address: str) -> tuple[ApiKey, str]:
        """Sign in with the code of a one-time link. Errors as `enter`."""
        key = self._sessions.take_link(code, now=self._services.now())
        return self._open(key, session_secret, address, "This link was used already, or it has expired.")

    def find(self, session_secret: str | None, *, is_seen: bool = True) -> ConsoleSession | None:
        """Return the session, or None if there is none that is valid.

        Args:
            is_seen: a person asks, so the session is not idle.
        """
        if not session_secret or len(session_secret) > MAX_SECRET_CHARS:
            return None
        return self._sessions.find(session_secret, now=self._services.now(), is_seen=is_seen)

    def leave(self, session_secret: str) -> None:
        """End the session."""
        self._sessions.close(session_secret)

    def _open(self, key: ApiKey | None, session_secret: str | None, address: str, refusal: str) -> tuple[ApiKey, str]:
        if key is None:
            wait_s = self._failures.take(address)
            raise Throttled(wait_s) if wait_s else NotAuthenticated(refusal, code="authentication_failed")
        now = self._services.now()
        if session_secret is not None and self.find(session_secret) is not None:
            self._sessions.add(session_secret, key, now=now)
            return key, session_secret
        return key, self._sessions.open(key, now=now)


def reader(session: ConsoleSession, team: int | None) -> Reader | None:
    """Return the reader of a team's pages, or of the operator's if `team` is None. None if the session has no key."""
    wanted = OPERATOR_TEAM if team is None else team
    key = next((each for each in session.keys if each.team_id == wanted), None)
    if key is None:
        return None
    return Reader(session.name, replace(key, session=session.name), session.keys)


def sign_in_path(database: Database, key: ApiKey, *, now: datetime) -> str:
    """Return the path of a link that signs in once, within ten minutes, with `key`."""
    return f"/console/link/?code={ConsoleSessions(database).make_link(key, now=now)}"


def local_sign_in_path(database: Database, team_id: int, *, now: datetime) -> str:
    """Return such a link for whoever started `gavel up`, with a key of his team that lives as long as a session."""
    keys = ApiKeys(database)
    for key in keys.list(team_id):
        if key.label == _LOCAL_KEY and is_usable(key, now + LINK_LIFE):
            return sign_in_path(database, key, now=now)
    made, _ = keys.create(
        team_id=team_id, label=_LOCAL_KEY, scopes=[ALL_SCOPES], now=now, expires_at=now + LONGEST, actor="cli"
    )
    return sign_in_path(database, made, now=now)
