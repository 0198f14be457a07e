from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import typer
from cryptography.fernet import Fernet
from pydantic import SecretStr
from typer.testing import CliRunner

from cli.api import register
from config.secrets import SecretBox
from storage.sql.api_keys import ApiKeys
from storage.sql.audit import OPERATOR_TEAM, read_team_audit
from storage.sql.engine import Database
from storage.sql.provider_keys import NewKey, ProviderKeys

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    return made


def test_a_key_is_made_shown_once_listed_masked_and_revoked(app: typer.Typer, database: Database) -> None:
    run = CliRunner()
    made = run.invoke(app, ["keys", "create", "--team", "7", "--scope", "evaluation:write", "--label", "Ann"])
    assert made.exit_code == 0
    secret = made.stdout.strip()
    found = ApiKeys(database).find(secret, now=NOW)
    assert found is not None
    assert (found.team_id, found.label, found.scopes) == (7, "Ann", {"evaluation:write"})
    listed = run.invoke(app, ["keys", "list"])
    assert listed.exit_code == 0
    assert secret not in listed.stdout
    as_json = json.loads(run.invoke(app, ["keys", "list", "--team", "7", "--json"]).stdout)
    assert [key["state"] for key in as_json] == ["active"]
    assert json.loads(run.invoke(app, ["keys", "list", "--team", "8", "--json"]).stdout) == []
    assert run.invoke(app, ["keys", "revoke", str(found.id)]).exit_code == 0
    assert ApiKeys(database).find(secret, now=NOW) is None
    assert run.invoke(app, ["keys", "revoke", "999"]).exit_code == 2


@pytest.mark.parametrize(("owner", "team"), [(("--team", "7", "--scope", "*"), 7), (("--operator",), OPERATOR_TEAM)])
def test_making_and_revoking_a_key_are_in_the_trail_once(
    app: typer.Typer, database: Database, owner: tuple[str, ...], team: int
) -> None:
    run = CliRunner()
    secret = run.invoke(app, ["keys", "create", *owner, "--label", "Ann", "--expires-in-days", "3"]).stdout.strip()
    (key,) = ApiKeys(database).list()
    for _ in range(2):
        assert run.invoke(app, ["keys", "revoke", str(key.id)]).exit_code == 0
    with database.read() as connection:
        revoked, made = read_team_audit(connection, team, before=None, limit=10)
    assert [(each.object_type, each.object_id, each.actor) for each in (made, revoked)] == [
        ("api_key", str(key.id), "cli")
    ] * 2
    assert key.expires_at is not None
    assert (made.action, made.changes) == (
        "created",
        {
            "label": [None, "Ann"],
            "scopes": [None, sorted(key.scopes)],
            "expires_at": [None, key.expires_at.isoformat()],
        },
    )
    assert (revoked.action, revoked.changes) == ("revoked", {"label": ["Ann", None]})
    assert secret not in str(made.changes)


def test_a_key_whose_entry_cannot_be_written_is_not_made(app: typer.Typer, database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.text("DROP TABLE audit_log"))
    assert CliRunner().invoke(app, ["keys", "create", "--team", "7", "--scope", "*"]).exit_code != 0
    assert ApiKeys(database).list() == []


def test_a_scope_that_does_not_exist_is_refused_with_those_that_do(app: typer.Typer, database: Database) -> None:
    made = CliRunner().invoke(app, ["keys", "create", "--team", "1", "--scope", "everything"])
    assert made.exit_code == 2
    assert "evaluation:read" in made.stderr
    assert ApiKeys(database).list() == []


def test_without_tables_the_command_says_what_to_run(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAVEL_STORE__DSN", f"sqlite:///{tmp_path}/empty.db")
    made = CliRunner().invoke(app, ["keys", "list"])
    assert made.exit_code == 1
    assert "gavel init" in made.stderr


def test_rotation_encrypts_with_the_new_key_and_names_what_nothing_opens(
    app: typer.Typer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner()
    old = run.invoke(app, ["keys", "new-secret"]).stdout.strip()
    new, lost = Fernet.generate_key().decode(), Fernet.generate_key().decode()

    def store(secret_key: str) -> str:
        keys = ProviderKeys(database, SecretBox([SecretStr(secret_key)]), trial_eval_limit=100)
        made = keys.create(1, NewKey(provider="openai", name="k", api_key=SecretStr("sk-x")), actor=None, now=NOW)
        return made.id

    kept = store(old)
    monkeypatch.setenv("GAVEL_SECRET_KEYS", f"{new},{old}")
    assert run.invoke(app, ["keys", "rotate-secret"]).exit_code == 0
    opened = ProviderKeys(database, SecretBox([SecretStr(new)]), trial_eval_limit=100).open(1, kept).api_key
    assert opened is not None
    assert opened.get_secret_value() == "sk-x"
    gone = store(lost)
    rotated = run.invoke(app, ["keys", "rotate-secret", "--json"])
    assert rotated.exit_code == 1
    assert json.loads(rotated.stdout) == {"resealed": 1, "undecipherable": [gone]}


def test_the_api_alone_refuses_a_broker_that_lives_in_another_process(app: typer.Typer, database: Database) -> None:
    started = CliRunner().invoke(app, ["api"])
    assert started.exit_code == 2
    assert "gavel up" in started.stderr
