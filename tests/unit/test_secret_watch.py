"""The watch over secrets sees what it is there for: each tap lets a secret through, and it is told with its place."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
import typer
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from typer.testing import CliRunner

from cli.api import register
from processor.runtime.health import HealthServer
from storage.sql.api_keys import ApiKeys
from storage.sql.engine import open_database
from storage.sql.migrations import upgrade
from tests.secret_watch import WATCH, Leak, SecretWatch
from tests.services.cache import CHECKOUT
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S

PRINT = "import os; print('dsn', os.environ['GAVEL_STORE__DSN'], flush=True)"


@pytest.fixture
def secret() -> str:
    """A secret as a provider key of a body or a setting comes into being: of no form that is known."""
    made = uuid4().hex
    SecretStr(made)
    return made


def only(leaks: list[Leak]) -> Leak:
    """Return the one leak; taken, so that it does not fail the test that provoked it."""
    (leak,) = leaks
    return leak


# -- the secrets


@pytest.mark.parametrize("text", ["key sk-first-000000000 in use", "Bearer gvl_" + "a" * 43])
def test_forms_of_secrets_are_seen(text: str) -> None:
    assert SecretWatch().find(text) is not None


@pytest.mark.parametrize("text", ["sk-a...wxyz", "gvl_abcd…", "a task-based view", "sk-"])
def test_masks_and_words_are_not(text: str) -> None:
    assert SecretWatch().find(text) is None


@pytest.mark.parametrize(
    ("value", "leaking"),
    [
        ("postgresql://gavel:c0rrect%20horse@h/d", "password 'c0rrect horse' is wrong"),
        ("postgresql://gavel:c0rrect%20horse@h/d", "to postgresql://gavel:c0rrect%20horse@h/d"),
        ("postgresql:///d?host=/run&password=c0rrect-horse", "with c0rrect-horse"),
        ("AIza-no-known-form-1", "key AIza-no-known-form-1."),
    ],
)
def test_a_value_is_seen_and_of_a_dsn_its_password(value: str, leaking: str) -> None:
    watch = SecretWatch()
    watch.watch_value(value)
    assert watch.find(leaking) is not None
    assert watch.find("postgresql://gavel@h/d") is None


def test_the_environment_of_a_process_holds_secrets() -> None:
    watch = SecretWatch()
    environment = {
        "GAVEL_SECRET_KEYS": "first-key-0123,other-key-4567",
        "GAVEL_KAFKA__SASL_USERNAME": "ann-of-the-mill",
    }
    watch.watch_environment(environment)
    assert watch.find("with other-key-4567") is not None
    assert watch.find("for ann-of-the-mill") is None


def test_a_made_api_key_is_taken_up_and_no_leak_shows_all_of_it(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    upgrade(database)
    _, key = ApiKeys(database).create(team_id=1, label="x", scopes=["*"], now=datetime.now(UTC))
    database.close()
    assert key in WATCH._by_prefix[key[:4]]
    found = WATCH.find(f"Bearer {key}")
    assert found is not None
    assert key not in found


# -- where it is looked for


def test_a_log_of_a_process_is_looked_through_when_it_ends(tmp_path: Path) -> None:
    dsn = f"postgresql://gavel:{uuid4().hex}@nowhere/gavel"
    for name, code in (("ends", PRINT), ("is-killed", PRINT + "; import time; time.sleep(100)")):
        log = tmp_path / f"{name}.log"
        process = GuardedProcess([sys.executable, "-c", code], log=log, env={"GAVEL_STORE__DSN": dsn})
        process.wait_until(lambda log=log: log.read_text().endswith("\n"), name)
        assert WATCH.take() == []
        process.kill()
        leak = only(WATCH.take())
        assert leak.place == f"the log {log}"
        assert leak.secret[:4] in dsn
        process.kill()
        assert WATCH.take() == [], "told twice"


def test_of_two_processes_with_one_log_the_later_one_is_looked_through_too(tmp_path: Path, secret: str) -> None:
    watch, log = SecretWatch(), tmp_path / "log"
    watch.watch(secret)
    watch.follow(log)
    log.write_text("begun\n")
    watch.follow(log)
    watch.settle(log)
    log.write_text(f"begun\n{secret}\n")
    assert watch.take() == []
    watch.settle(log)
    assert only(watch.take()).place == f"the log {log}"


def test_a_log_that_is_gone_and_one_that_is_left_over_are_told(tmp_path: Path, secret: str) -> None:
    watch = SecretWatch()
    watch.watch(secret)
    for name in ("gone", "left"):
        watch.follow(tmp_path / name)
    (tmp_path / "left").write_text(secret)
    watch.settle_all()
    gone, left = watch.take()
    assert "removed" in gone.place
    assert left.place.endswith("left")


def test_the_output_of_a_process_is_looked_at(secret: str) -> None:
    for stream in ("stdout", "stderr"):
        command = [sys.executable, "-c", f"import sys; print(sys.argv[1], file=sys.{stream})", secret]
        subprocess.run(command, capture_output=True, check=True)
        assert f"standard {'output' if stream == 'stdout' else 'error'} of" in only(WATCH.take()).place


def test_the_output_of_a_command_in_process_is_looked_at(secret: str) -> None:
    app = typer.Typer()
    app.command()(lambda: typer.echo(secret))
    CliRunner().invoke(app, [])
    assert "standard output" in only(WATCH.take()).place


def test_a_new_key_is_shown_by_its_command_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dsn = f"sqlite:///{tmp_path}/gavel.db"
    monkeypatch.setenv("GAVEL_STORE__DSN", dsn)
    database = open_database(dsn)
    upgrade(database)
    database.close()
    app = typer.Typer()
    register(app)
    made = CliRunner().invoke(app, ["keys", "create", "--team", "1", "--scope", "*"])
    assert made.exit_code == 0
    assert WATCH.take() == [], "its standard output is the one place"
    other = typer.Typer()
    other.command()(lambda: typer.echo(made.stdout))
    CliRunner().invoke(other, [])
    assert only(WATCH.take()).secret.startswith("gvl_")


def test_responses_are_looked_at_whoever_asks(secret: str) -> None:
    app = FastAPI()
    app.get("/body")(lambda: {"key": secret})
    TestClient(app).get("/body")
    assert only(WATCH.take()).place == "the response to GET /body"


def test_responses_of_the_health_server_are_looked_at(secret: str) -> None:
    import urllib.request

    server = HealthServer(
        "127.0.0.1", 0, live=lambda: (True, {"key": secret}), ready=lambda: (True, {}), registry=CollectorRegistry()
    )
    server.start()
    urllib.request.urlopen(f"http://127.0.0.1:{server.port}/livez", timeout=PATIENCE_S).close()
    server.stop()
    assert "/livez" in only(WATCH.take()).place


def test_what_a_test_takes_away_from_its_report_is_looked_at(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write(secret)
    capsys.readouterr()
    assert only(WATCH.take()).place == "captured output"
    with structlog.testing.capture_logs() as logs:
        structlog.get_logger().info("used", key=secret)
    assert len(logs) == 1
    assert "'used'" in only(WATCH.take()).place


# -- and that it fails the run

LEAKING = """
import logging, subprocess, sys
from pydantic import SecretStr
from tests.services.process import GuardedProcess

SECRET = "no-known-form-of-a-key"
SecretStr(SECRET)
PRINT = [sys.executable, "-c", f"print('{SECRET}', flush=True); import time; time.sleep(100)"]

def test_clean(): print("sk-n...3456")
def test_prints(): print(SECRET)
def test_logs(): logging.getLogger("x").warning(SECRET)
def test_leaves_a_process(tmp_path):
    log = tmp_path / "left.log"
    globals()["left"] = GuardedProcess(PRINT, log=log)
    left.wait_until(lambda: log.read_text().endswith("\\n"), "it")
"""


def run_leaking(folder: Path, *options: str, tests: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_leaking.py").write_text(LEAKING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.secret_taps", "--rootdir", folder, "-c", "/dev/null"]
    quiet = ["--basetemp", folder / "tmp", "-p", "no:cacheprovider", "--color=no", "-q", "-k", tests]
    return subprocess.run(
        [*command, *quiet, *options, folder],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_a_leak_fails_the_test(tmp_path: Path) -> None:
    done = run_leaking(tmp_path, tests="clean or prints or logs")
    assert done.returncode == 1
    assert "2 failed, 1 passed" in done.stdout, done.stdout
    assert "the standard output of test_leaking.py::test_prints (call)" in done.stdout
    assert "no-known…" in done.stdout


@pytest.mark.parametrize("options", [[], ["-n", "1"]], ids=["alone", "workers"])
def test_a_leak_of_a_process_that_is_left_over_fails_the_run(tmp_path: Path, options: list[str]) -> None:
    done = run_leaking(tmp_path, *options, tests="leaves")
    assert "1 passed" in done.stdout, done.stdout
    assert done.returncode == 1, done.stdout
    assert "FAILED: the secret no-known… is in the log" in done.stdout
