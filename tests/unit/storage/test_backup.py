"""A backup of the store that is made while the store is in use, and a store that goes on from it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.fernet import Fernet
from pydantic import SecretStr

from config.definitions import parse_draft
from config.secrets import SecretBox
from config.settings import load_settings
from storage.sql.engine import Database, open_database, open_store
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import check_current, upgrade
from storage.sql.provider_keys import NewKey, ProviderKeys
from storage.sql.revision import read_revision
from tests.services.postgres import dump_and_restore, fresh_database

TEAM = 3
KEYS = SecretBox((SecretStr(Fernet.generate_key().decode()),))


def store_in(folder: Path) -> Database:
    return open_store(load_settings(None, overrides={"data_dir": str(folder)}, environ={}))


def evaluate(store: Database, name: str) -> str:
    draft = {"name": name, "evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
    return Evaluations(store).create(TEAM, parse_draft(draft), actor="test", now=datetime.now(UTC)).id


@dataclass
class Kept:
    """The content of a store when it was backed up."""

    evaluation: str
    key: str
    revision: int


def filled(store: Database) -> Kept:
    upgrade(store)
    evaluation = evaluate(store, "before the backup")
    key = ProviderKeys(store, KEYS, trial_eval_limit=100).create(
        TEAM,
        NewKey(provider="openai", name="k", api_key=SecretStr("sk-0123456789")),
        actor="test",
        now=datetime.now(UTC),
    )
    with store.read() as connection:
        return Kept(evaluation, key.id, read_revision(connection))


def goes_on(store: Database, kept: Kept) -> None:
    """Assert that a restored store holds all that was backed up and nothing later, and that it works."""
    check_current(store)
    assert upgrade(store) == []
    names = {each.id: each.name for each in Evaluations(store).each(TEAM)}
    assert names == {kept.evaluation: "before the backup"}
    with store.read() as connection:
        assert read_revision(connection) == kept.revision
    assert ProviderKeys(store, KEYS, trial_eval_limit=100).get(TEAM, kept.key).id == kept.key
    evaluate(store, "after the restore")


def test_a_sqlite_store_goes_on_from_its_backup_with_definitions_keys_and_revision(tmp_path: Path) -> None:
    with closing(store_in(tmp_path / "one")) as store:
        kept = filled(store)
        (tmp_path / "two").mkdir()
        # This is what `sqlite3 gavel.db ".backup gavel-backup.db"` does.
        with (
            closing(sqlite3.connect(tmp_path / "one/gavel.db")) as source,
            closing(sqlite3.connect(tmp_path / "two/gavel.db")) as target,
        ):
            source.backup(target)
        evaluate(store, "after the backup")
    with closing(store_in(tmp_path / "two")) as restored:
        goes_on(restored, kept)


def test_a_postgresql_store_goes_on_from_its_dump_with_definitions_keys_and_revision(
    postgres_server: str, postgres_dsn: str
) -> None:
    with fresh_database(postgres_server) as empty, closing(open_database(postgres_dsn)) as store:
        kept = filled(store)
        dump_and_restore(postgres_dsn, empty)
        evaluate(store, "after the backup")
        with closing(open_database(empty)) as restored:
            goes_on(restored, kept)
