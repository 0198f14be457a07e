from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from cli.tokens import register
from storage.sql.engine import Database
from storage.sql.project_tokens import ProjectTokens


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    register(made)
    return made


def test_a_token_is_made_shown_once_listed_masked_and_revoked(app: typer.Typer, database: Database) -> None:
    run = CliRunner()
    made = run.invoke(app, ["tokens", "create", "--team", "7", "--name", "shop", "--events-per-s", "50"])
    assert made.exit_code == 0, made.output
    text = made.stdout.strip()
    (stored,) = ProjectTokens(database).list()
    assert (stored.team_id, stored.name, stored.events_per_s) == (7, "shop", 50)
    listed = run.invoke(app, ["tokens", "list"])
    assert listed.exit_code == 0
    assert text not in listed.stdout
    as_json = json.loads(run.invoke(app, ["tokens", "list", "--team", "7", "--json"]).stdout)
    assert [each["state"] for each in as_json] == ["active"]
    assert run.invoke(app, ["tokens", "revoke", str(stored.id)]).exit_code == 0
    assert ProjectTokens(database).list()[0].revoked_at is not None
    missing = run.invoke(app, ["tokens", "revoke", "999"])
    assert missing.exit_code == 2
    assert "gavel tokens list" in missing.stderr


def test_an_existing_token_is_imported_and_a_personal_key_is_not(app: typer.Typer, database: Database) -> None:
    run = CliRunner()
    phc = "phc_" + "x" * 43
    made = run.invoke(app, ["tokens", "create", "--team", "1", "--token", phc, "--json"])
    assert json.loads(made.stdout)["token"] == phc
    refused = run.invoke(app, ["tokens", "create", "--team", "1", "--token", "phx_" + "x" * 43])
    assert refused.exit_code == 2
    assert "phc_" in refused.stderr
