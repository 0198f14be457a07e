"""`gavel evaluations` from files to the store, and from the store to a running snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from config.definitions import parse_draft, patch_draft
from config.files import FileEvaluation
from storage.apply import Step, apply_definitions
from storage.snapshot import SnapshotPoller
from storage.sql.changes import Changes, read_changes
from storage.sql.engine import Database
from storage.sql.evaluation_changes import EvaluationExists
from storage.sql.evaluation_queries import EvaluationQuery
from storage.sql.evaluations import Evaluations
from storage.sql.revision import Revision
from tests.services.cache import CHECKOUT
from tests.services.waiting import PATIENCE_S, until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def wanted(name: str, *, prompt: str = "p", enabled: bool = False, identity: str | None = None) -> FileEvaluation:
    draft = parse_draft(
        {
            "name": name,
            "evaluation_type": "llm_judge",
            "evaluation_config": {"prompt": prompt},
            "enabled": enabled,
        }
    )
    return FileEvaluation(draft, identity, Path("x.yaml"), 1)


def actions(steps: list[Step]) -> dict[str, str]:
    return {step.name: step.action for step in steps}


def test_applying_creates_updates_and_then_changes_nothing(database: Database) -> None:
    apply = partial(apply_definitions, database, 1, actor="cli", now=NOW)
    assert actions(apply([wanted("a"), wanted("b")])) == {"a": "created", "b": "created"}
    assert actions(apply([wanted("a", prompt="q"), wanted("b")])) == {"a": "updated", "b": "unchanged"}
    revision = read_changes(database, None)
    assert actions(apply([wanted("a", prompt="q"), wanted("b")])) == {"a": "unchanged", "b": "unchanged"}
    assert revision is not None
    assert read_changes(database, revision.revision) is None


def test_a_dry_run_says_what_would_be_done_and_does_nothing(database: Database) -> None:
    before = read_changes(database, None)
    steps = apply_definitions(database, 1, [wanted("a")], actor="cli", now=NOW, prune=True, dry_run=True)
    assert actions(steps) == {"a": "created"}
    assert before is not None
    assert read_changes(database, before.revision) is None
    assert Evaluations(database).page(1, EvaluationQuery()).count == 0


def test_prune_deletes_what_came_from_files_and_never_what_came_from_the_api(database: Database) -> None:
    apply = partial(apply_definitions, database, 1, actor="cli", now=NOW)
    over_api = Evaluations(database).create(1, wanted("api").draft, actor="me", now=NOW)
    apply_definitions(database, 2, [wanted("other team")], actor="cli", now=NOW)
    apply([wanted("a"), wanted("b")])
    assert actions(apply([wanted("a")])) == {"a": "unchanged"}
    assert actions(apply([wanted("a")], prune=True)) == {"a": "unchanged", "b": "deleted"}
    assert actions(apply([wanted("a")], prune=True)) == {"a": "unchanged"}
    assert {e.name for e in Evaluations(database).each(1)} == {"a", "api"}
    assert [e.name for e in Evaluations(database).each(2)] == ["other team"]
    assert actions(apply([wanted("a"), wanted("b")])) == {"a": "unchanged", "b": "restored"}
    assert Evaluations(database).get(1, over_api.id) == over_api


def test_an_evaluation_in_error_stays_so_until_its_definition_changes(database: Database) -> None:
    apply = partial(apply_definitions, database, 1, actor="cli", now=NOW)
    (step,) = apply([wanted("a", enabled=True)])
    store = Evaluations(database)
    store.set_status(1, step.evaluation_id, "error", actor="judge", now=NOW, reason="model_not_found")
    (step,) = apply([wanted("a", enabled=True)])
    assert step.action == "unchanged"
    assert "model_not_found" in step.note
    assert store.get(1, step.evaluation_id).status == "error"
    apply([wanted("a", enabled=True, prompt="q")])
    assert store.get(1, step.evaluation_id).status == "active"


def test_an_error_in_the_middle_leaves_nothing_applied(database: Database) -> None:
    taken = Evaluations(database).create(2, wanted("theirs").draft, actor="me", now=NOW)
    with pytest.raises(EvaluationExists, match=r"x.yaml:1: .*another team"):
        apply_definitions(database, 1, [wanted("a"), wanted("b", identity=taken.id)], actor="cli", now=NOW)
    assert list(Evaluations(database).each(1)) == []


def test_two_pipelines_applying_at_once_make_each_evaluation_once(database: Database) -> None:
    files = [wanted(f"n{number}") for number in range(10)]
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(apply_definitions, database, 1, files, actor="cli", now=NOW) for _ in range(4)]
        found = [actions(run.result()) for run in runs]
    assert sum(list(each.values()).count("created") for each in found) == 10
    assert Evaluations(database).page(1, EvaluationQuery()).count == 10


def test_an_edit_reaches_a_running_snapshot_with_the_next_look(database: Database) -> None:
    store = Evaluations(database)
    made = store.create(1, wanted("a", enabled=True).draft, actor="me", now=NOW)
    looks: list[Revision | None] = []

    def look(known: Revision | None) -> Changes | None:
        looks.append(known)
        return read_changes(database, known)

    poller = SnapshotPoller(look, 0.5)
    poller.start()
    try:
        until(lambda: poller.current is not None and poller.current.teams[1].enabled == 1)
        store.update(1, made.id, lambda e: patch_draft(e, {"enabled": False}), actor="me", now=NOW)
        before = len(looks)
        until(lambda: len(looks) > before + 1)  # the first of them has ended
        assert poller.current is not None
        assert poller.current.teams[1].enabled == 0
    finally:
        poller.stop()


def test_a_real_store_that_disappears_and_comes_back(database: Database) -> None:
    """Its table is renamed away: the poller keeps its snapshot, counts, and then continues."""
    store = Evaluations(database)
    store.create(1, wanted("a", enabled=True).draft, actor="me", now=NOW)
    poller = SnapshotPoller(partial(read_changes, database), 0.02)
    poller.start()
    try:
        until(lambda: poller.current is not None)
        kept = poller.current
        with database.write() as connection:
            connection.execute(text("ALTER TABLE store_revision RENAME TO elsewhere"))
        until(lambda: poller.failures > 2)
        assert poller.current is kept
        with database.write() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO store_revision"))
        store.create(1, wanted("b", enabled=True).draft, actor="me", now=NOW)
        until(lambda: poller.current is not None and poller.current.teams[1].enabled == 2)
    finally:
        poller.stop()


# -- the commands, as processes -------------------------------------------------------------------------


class Shell:
    """Runs `gavel` in a folder with a store of its own."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.environ = {"GAVEL_STORE__DSN": dsn, "PATH": "/usr/bin:/bin", "HOME": str(folder)}

    def __call__(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cli.main import main; main()", *arguments],
            cwd=self.folder,
            env=self.environ | {"PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def gavel(tmp_path: Path, database: Database, dsn: str) -> Shell:
    (tmp_path / "defs").mkdir()
    (tmp_path / "defs" / "a.yaml").write_text(
        "name: Helpful [x]\nenabled: true\nevaluation_config: {prompt: Is it helpful}\n"
    )
    (tmp_path / "defs" / "a.cases.yaml").write_text("- name: a case\n  expect: pass\n")
    (tmp_path / "bad.yaml").write_text("name: A\nevaluation_config: {prompt: a}\nenbled: true\n")
    return Shell(tmp_path, dsn)


def test_the_commands_from_files_to_store_and_back(gavel: Shell) -> None:
    assert "1 valid" in gavel("evaluations", "validate", "defs")
    assert "1 created" in gavel("evaluations", "apply", "defs", "--dry-run")
    assert json.loads(gavel("evaluations", "list", "--json")) == []
    assert "1 created" in gavel("evaluations", "apply", "defs")
    assert "1 unchanged" in gavel("evaluations", "apply", "defs")
    (listed,) = json.loads(gavel("evaluations", "list", "--json"))
    assert (listed["name"], listed["status"], listed["version"]) == ("Helpful [x]", "active", 1)
    assert "Helpful [x]" in gavel("evaluations", "list")
    assert "created by cli" in gavel("evaluations", "show", "Helpful [x]")
    shown = json.loads(gavel("evaluations", "show", listed["id"], "--json"))
    assert (shown["fingerprint"], len(shown["versions"]), len(shown["history"])) == (listed["fingerprint"], 1, 1)
    gavel("evaluations", "export", "-o", "out")
    assert "1 unchanged" in gavel("evaluations", "apply", "out")
    assert gavel("evaluations", "export").startswith("id: ")
    assert "another team" in gavel("evaluations", "apply", "out", "--team", "2", code=1)
    assert json.loads(gavel("evaluations", "list", "--team", "2", "--json")) == []


def test_one_bad_file_stops_all_and_is_told_by_line(gavel: Shell) -> None:
    output = gavel("evaluations", "apply", "defs", "bad.yaml", code=1)
    assert "bad.yaml:3:9: enbled: Unknown field" in output
    assert json.loads(gavel("evaluations", "list", "--json")) == []
    problems = json.loads(gavel("evaluations", "validate", "bad.yaml", "--json", code=1))["problems"]
    assert problems == [
        {"file": "bad.yaml", "line": 3, "column": 9, "message": "enbled: Unknown field; remove it or correct its name."}
    ]


def test_wrong_usage_and_an_absent_store_are_told_with_a_remedy(gavel: Shell) -> None:
    gavel("evaluations", "apply", code=2)
    assert "cannot be read" in gavel("evaluations", "apply", "none.yaml", code=1)
    assert "gavel evaluations list" in gavel("evaluations", "show", "nobody", code=2)
    gavel.environ["GAVEL_STORE__DSN"] = "postgresql://u:hunter2@127.0.0.1:1/d"
    output = gavel("evaluations", "list", code=1)
    assert "gavel check" in output
    assert "hunter2" not in output
    gavel.environ["GAVEL_STORE__DSN"] = f"sqlite:///{gavel.folder}/fresh.db"
    assert "gavel init" in gavel("evaluations", "list", code=1)
    gavel.environ["GAVEL_STOR__DSN"] = "x"
    assert "did you mean GAVEL_STORE__DSN?" in gavel("evaluations", "list", code=2)


def test_config_show_hides_secrets_and_names_sources(gavel: Shell) -> None:
    gavel.environ["GAVEL_JUDGE__TRIAL_API_KEY"] = "hunter2"
    rows = {row["setting"]: row for row in json.loads(gavel("config", "show", "--json"))}
    assert rows["judge.trial_api_key"] == {
        "setting": "judge.trial_api_key",
        "value": "***",
        "source": "GAVEL_JUDGE__TRIAL_API_KEY",
    }
    assert rows["store.dsn"]["source"] == "GAVEL_STORE__DSN"
    assert "hunter2" not in gavel("config", "show")
