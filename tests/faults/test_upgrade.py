"""A rolling upgrade under load: the next release's migration runs first, then the roles are replaced one by one.

The next release is a copy of the checkout with one more migration, which adds a column and a table, as migrations must.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from examples.stand_in.client import StandInServer
from storage.sql.heartbeats import Heartbeats
from storage.sql.migrations import _all_revisions, _scripts
from tests.faults.pipeline import ROLES, Pipeline, pipeline
from tests.services.cache import CHECKOUT

NEXT = "99.0"
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = {head!r}
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("evaluations", sa.Column("of_the_next_release", sa.Text, nullable=True))
    op.create_table("table_of_the_next_release", sa.Column("id", sa.Integer, primary_key=True))
"""
_MAIN = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """A tree of the next release: the store's room is a copy with one migration more, all others are the same."""
    tree = tmp_path / "next"
    tree.mkdir()
    for folder in CHECKOUT.iterdir():
        if (folder / "__init__.py").exists() and folder.name != "storage":
            (tree / folder.name).symlink_to(folder)
    shutil.copytree(CHECKOUT / "storage", tree / "storage", ignore=shutil.ignore_patterns("__pycache__"))
    head = _all_revisions(_scripts())[-1]
    (tree / "storage/sql/migrations/versions/9999_next.py").write_text(MIGRATION.format(head=head))
    writer = tree / "storage/heartbeat.py"
    text = writer.read_text()
    assert 'version("gavel")' in text
    writer.write_text(text.replace('version("gavel")', repr(NEXT)))
    return tree


def command(gavel: Pipeline, tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **gavel.env, **release(tree)}
    return subprocess.run(
        [sys.executable, "-c", _MAIN, *words], env=env, cwd=gavel.folder, check=False, capture_output=True, text=True
    )


def release(tree: Path) -> dict[str, str]:
    """Return the environment by which a process runs the code of a tree, and not that of the working directory."""
    return {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def running(gavel: Pipeline) -> set[tuple[str, str]]:
    """Return role and version of the processes that say that they run."""
    beats = Heartbeats(gavel.database).read(now=datetime.now(UTC))
    return {(beat.role, beat.version) for beat in beats if beat.vitals.state == "running"}


def test_each_event_is_judged_once_while_every_role_is_upgraded(
    kafka: str, stand_in_server: StandInServer, next_release: Path
) -> None:
    stand_in_server.reset()
    with pipeline(kafka, stand_in_server.base_url) as gavel:
        gavel.start()
        gavel.send(40, over_s=1.0)
        made = command(gavel, next_release, "init", "--json")
        assert made.returncode == 0, made.stderr
        assert "9999" in made.stdout
        gavel.send(40, over_s=1.0)  # the release before on the tables of the next one
        for role in ROLES:
            gavel.start(f"{role}-next", env=release(next_release))
            gavel.wait(partial(gavel.logged, f"{role}-next", "started"), f"the next {role}")
            gavel.send(20, over_s=0.5)
            assert gavel.stop(role) == {role: 0}
            gavel.send(20, over_s=0.5)
        gavel.check()
        assert gavel.exits() == []
        # The first heartbeat of a process says that it joins; the next one comes after `INTERVAL_S`.
        gavel.wait(lambda: running(gavel) == {(role, NEXT) for role in ROLES}, "all roles run in the next release")
        before = command(gavel, CHECKOUT, "check")
        assert before.returncode == 1
        assert "migration 9999, which this release does not know" in before.stdout
