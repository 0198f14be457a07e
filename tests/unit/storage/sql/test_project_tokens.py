from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.sql.changes import read_changes
from storage.sql.engine import Database, StoreError, open_database
from storage.sql.migrations import upgrade
from storage.sql.project_tokens import ProjectTokens, TokenRefused, project_tokens, token_hash

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PHC = "phc_" + "aB3" * 14


@pytest.fixture
def database(tmp_path: Path) -> Database:
    found = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(found)
    return found


@pytest.fixture
def tokens(database: Database) -> ProjectTokens:
    return ProjectTokens(database)


def test_a_token_is_shown_once_and_stored_hashed(tokens: ProjectTokens, database: Database) -> None:
    made, text = tokens.create(team_id=7, name="checkout", now=NOW, origins=["https://a.example", "https://b.example"])
    assert re.fullmatch(r"gvt_[A-Za-z0-9]{43}", text)
    assert made.masked == f"gvt_...{text[-4:]}"
    with database.read() as connection:
        row = connection.execute(sa.select(project_tokens)).mappings().one()
    assert text not in str(dict(row))
    assert row["token_hash"] == token_hash(text)
    assert tokens.list(7) == [made]
    assert made.origins == ("https://a.example", "https://b.example")


def test_a_team_has_several_tokens_and_no_other_teams(tokens: ProjectTokens) -> None:
    for team in (1, 1, 2):
        tokens.create(team_id=team, now=NOW)
    assert [token.team_id for token in tokens.list(1)] == [1, 1]
    assert len(tokens.list()) == 3


def test_an_existing_token_is_imported_once(tokens: ProjectTokens) -> None:
    made, text = tokens.create(team_id=1, imported=f" {PHC}\n", now=NOW)
    assert (text, made.masked) == (PHC, f"phc_...{PHC[-4:]}")
    with pytest.raises(TokenRefused, match="in use already"):
        tokens.create(team_id=2, imported=PHC, now=NOW)
    tokens.revoke(made.id, now=NOW)
    with pytest.raises(TokenRefused, match="in use already"):
        tokens.create(team_id=2, imported=PHC, now=NOW)


@pytest.mark.parametrize("token", ["phx_" + "a" * 40, "gvl_" + "a" * 40, "phc_", "phc_" + "a" * 61, "phc_é" + "a" * 30])
def test_what_is_not_a_project_token_is_not_imported(tokens: ProjectTokens, token: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        tokens.create(team_id=1, imported=token, now=NOW)
    assert token[4:] == "" or token[4:] not in str(refused.value)
    assert tokens.list() == []


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://a b", "HTTPS://A", "", "null"])
def test_what_no_browser_sends_is_not_an_origin(tokens: ProjectTokens, origin: str) -> None:
    with pytest.raises(TokenRefused) as refused:
        tokens.create(team_id=1, origins=["https://shop.example:8443", "app+x://localhost", origin], now=NOW)
    assert refused.value.field == "origins"
    assert tokens.list() == []


def test_active_tokens_are_read_again_only_after_a_change(tokens: ProjectTokens) -> None:
    first = tokens.active(None)
    assert first is not None
    assert first.by_hash == {}
    assert tokens.active(first.revision) is None
    made, text = tokens.create(team_id=1, now=NOW)
    second = tokens.active(first.revision)
    assert second is not None
    assert second.by_hash == {token_hash(text): made}
    tokens.revoke(made.id, now=NOW)
    third = tokens.active(second.revision)
    assert third is not None
    assert third.by_hash == {}


def test_revoking_again_changes_nothing_and_another_teams_token_is_not_found(tokens: ProjectTokens) -> None:
    made, _ = tokens.create(team_id=1, now=NOW)
    assert tokens.revoke(made.id, now=NOW, team_id=2) is None
    first = tokens.revoke(made.id, now=NOW)
    assert first is not None
    assert tokens.revoke(made.id, now=datetime(2027, 1, 1, tzinfo=UTC)) == first
    assert tokens.revoke(99, now=NOW) is None


def test_a_store_without_the_table_is_not_a_store_without_tokens(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        ProjectTokens(open_database(f"sqlite:///{tmp_path}/empty.db")).active(None)


def test_a_new_token_leaves_the_definitions_of_its_team_as_they_are(tokens: ProjectTokens, database: Database) -> None:
    before = read_changes(database, None)
    assert before is not None
    tokens.create(team_id=1, now=NOW)
    changes = read_changes(database, before.revision)
    assert changes is not None
    assert not changes.complete
    assert changes.teams[1].evaluations == ()
