"""Sessions of the console: hashed, ended by time and by their keys, and links that work once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.sql.api_keys import OPERATOR_SCOPES, ApiKeys, UnknownScope
from storage.sql.audit import OPERATOR_TEAM
from storage.sql.console_sessions import IDLE, LINK_LIFE, LONGEST, ConsoleSessions, console_sessions
from storage.sql.engine import Database, open_database
from storage.sql.migrations import upgrade

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(found)
    return found


def make_key(database: Database, team: int = 1, **more: object) -> object:
    key, _ = ApiKeys(database).create(team_id=team, label="a", scopes=["*"], now=NOW, **more)
    return key


def test_the_secret_of_a_session_is_not_stored(database: Database) -> None:
    secret = ConsoleSessions(database).open(make_key(database), now=NOW)
    with database.read() as connection:
        [row] = connection.execute(sa.select(console_sessions)).all()
    assert secret not in str(row)


def test_a_session_ends_after_12_idle_hours_and_after_7_days(database: Database) -> None:
    sessions = ConsoleSessions(database)
    secret = sessions.open(make_key(database), now=NOW)
    assert sessions.find(secret, now=NOW + IDLE) is not None
    assert sessions.find(secret, now=NOW + IDLE * 2 + timedelta(minutes=1)) is None
    moment = NOW + IDLE
    while moment < NOW + LONGEST:
        assert sessions.find(secret, now=moment) is not None
        moment += timedelta(hours=11)
    assert sessions.find(secret, now=NOW + LONGEST + timedelta(seconds=1)) is None


def test_a_revoked_or_expired_key_ends_what_it_gave(database: Database) -> None:
    sessions, keys = ConsoleSessions(database), ApiKeys(database)
    first, _ = keys.create(team_id=1, label="a", scopes=["*"], now=NOW)
    second, _ = keys.create(team_id=2, label="b", scopes=["*"], now=NOW, expires_at=NOW + timedelta(hours=1))
    secret = sessions.open(first, now=NOW)
    sessions.add(secret, second, now=NOW)
    found = sessions.find(secret, now=NOW)
    assert found is not None
    assert [key.team_id for key in found.keys] == [1, 2]
    keys.revoke(first.id, now=NOW)
    found = sessions.find(secret, now=NOW)
    assert found is not None
    assert [key.team_id for key in found.keys] == [2]
    assert sessions.find(secret, now=NOW + timedelta(hours=1)) is None


def test_a_second_key_of_a_team_takes_the_place_of_the_first(database: Database) -> None:
    sessions, keys = ConsoleSessions(database), ApiKeys(database)
    first, _ = keys.create(team_id=1, label="a", scopes=["*"], now=NOW)
    second, _ = keys.create(team_id=1, label="b", scopes=["evaluation:read"], now=NOW)
    secret = sessions.open(first, now=NOW)
    sessions.add(secret, second, now=NOW)
    found = sessions.find(secret, now=NOW)
    assert found is not None
    assert [key.id for key in found.keys] == [second.id]


def test_a_session_that_was_closed_is_gone(database: Database) -> None:
    sessions = ConsoleSessions(database)
    secret = sessions.open(make_key(database), now=NOW)
    sessions.close(secret)
    assert sessions.find(secret, now=NOW) is None


def test_a_link_works_once_and_ten_minutes(database: Database) -> None:
    sessions = ConsoleSessions(database)
    key, _ = ApiKeys(database).create(team_id=1, label="a", scopes=["*"], now=NOW)
    code = sessions.make_link(key, now=NOW)
    assert sessions.take_link(code, now=NOW) == key
    assert sessions.take_link(code, now=NOW) is None
    late = sessions.make_link(key, now=NOW)
    assert sessions.take_link(late, now=NOW + LINK_LIFE) is None
    revoked = sessions.make_link(key, now=NOW)
    ApiKeys(database).revoke(key.id, now=NOW)
    assert sessions.take_link(revoked, now=NOW) is None


def test_all_scopes_of_a_team_are_not_those_of_an_operator(database: Database) -> None:
    keys = ApiKeys(database)
    everything, _ = keys.create(team_id=1, label="a", scopes=["*"], now=NOW)
    operator, _ = keys.create(team_id=OPERATOR_TEAM, label="b", scopes=OPERATOR_SCOPES, now=NOW)
    assert not everything.allows("operations:read")
    assert operator.allows("operations:write")
    assert not operator.allows("evaluation:read")
    with pytest.raises(UnknownScope):
        keys.create(team_id=1, label="c", scopes=["operations:read"], now=NOW)
    with pytest.raises(UnknownScope):
        keys.create(team_id=OPERATOR_TEAM, label="d", scopes=["*"], now=NOW)


def test_the_audit_trail_names_the_session_and_finds_the_key(database: Database) -> None:
    from dataclasses import replace

    keys = ApiKeys(database)
    key, _ = keys.create(team_id=1, label="a", scopes=["*"], now=NOW)
    actor = replace(key, session="ab12").actor
    assert actor == f"key:{key.id} console:ab12"
    assert keys.of_actors([actor, key.actor, "cli", "key:x", None]) == {actor: key, key.actor: key}
