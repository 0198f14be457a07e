from __future__ import annotations

from pathlib import Path

import pytest

from storage.sql.engine import Database, open_database
from storage.sql.migrations import upgrade


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The store that commands of the test open, by the settings in the environment."""
    dsn = f"sqlite:///{tmp_path}/gavel.db"
    monkeypatch.setenv("GAVEL_STORE__DSN", dsn)
    monkeypatch.setenv("GAVEL_DATA_DIR", str(tmp_path))
    found = open_database(dsn)
    upgrade(found)
    return found
