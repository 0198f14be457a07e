"""The process around the roles, without roles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from processor.exit_codes import EXIT_FAILED
from processor.runtime.process import Runtime
from tests.services.waiting import PATIENCE_S


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """One whose signal handlers are installed for the test, and which runs nothing."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    made = Runtime.__new__(Runtime)
    monkeypatch.setattr(made, "_stop", threading.Event(), raising=False)
    monkeypatch.setattr(made, "_background", [], raising=False)
    monkeypatch.setattr(made, "_export_snapshot", lambda: None)
    made.install_signal_handlers()
    yield made
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", ["_acquire_restore", "_release_save"])
def test_a_signal_while_the_thread_that_waits_holds_its_own_lock_ends_the_wait(
    runtime: Runtime, number: signal.Signals, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler that took the lock would wait for ever for the thread that it interrupted."""
    raised = threading.Event()

    def interrupted(real: Any) -> Any:
        def call(condition: Any, *arguments: Any) -> Any:
            ours = condition is runtime._stop._cond and not raised.is_set()
            if ours and moment == "_release_save":
                raised.set()
                signal.raise_signal(number)
            found = real(condition, *arguments)
            if ours and moment == "_acquire_restore":
                raised.set()
                signal.raise_signal(number)
            return found

        return call

    def spare(condition: Any, *arguments: Any) -> Any:
        pytest.fail("the handler waited for the lock of its own thread")

    monkeypatch.setattr(threading.Event, "set", lambda self: spare(self) if self is runtime._stop else real_set(self))
    monkeypatch.setattr(threading.Condition, moment, interrupted(getattr(threading.Condition, moment)))
    runtime.wait()
    assert raised.is_set()


real_set = threading.Event.set


BUILT = """
import sys, threading, time
from types import SimpleNamespace
from prometheus_client import CollectorRegistry
from config.settings import load_settings
from processor.metrics import Metrics
from processor.runtime import process
from storage.sql.engine import open_store
from storage.sql.migrations import upgrade

settings = load_settings()
database = open_store(settings)
upgrade(database)
stopped, now = threading.Event(), time.monotonic()
stage = SimpleNamespace(role="any", heartbeat_s=now, progress_s=now, stop=stopped.set, run=stopped.wait)
"""
HANGS = f"""{BUILT}
stage.stop = lambda: None
process.BUILDERS["sink"] = lambda _: stage
process._LEAVE_S = 0.1
runtime = process.Runtime(settings, ["sink"], database, Metrics(CollectorRegistry()))
runtime._heartbeat = SimpleNamespace(start=lambda: None, stop=lambda failed: print(failed))
runtime.start()
sys.exit(runtime.stop())
"""

CRASHES = f"""{BUILT}
def broken(self):
    raise ValueError("a defect")

process.BUILDERS["matcher"] = lambda _: stage
process.LabelSender.send_some = broken
runtime = process.Runtime(settings, ["matcher"], database, Metrics(CollectorRegistry()))
runtime._heartbeat.start = runtime._heartbeat.stop = lambda *_: None
runtime.start()
runtime.wait()
sys.exit(runtime.stop())
"""


def ended(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    given = {
        "KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATA_DIR": folder, "HTTP__PORT": 0, "WATCHDOG__SHUTDOWN_S": 0.1,
    }  # fmt: skip
    environ = {**os.environ, **{f"GAVEL_{name}": str(value) for name, value in given.items()}}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=PATIENCE_S)


def test_a_role_that_does_not_end_does_not_keep_the_process(tmp_path: Path) -> None:
    """It hung without a message until somebody killed it: the interpreter waited for the role's thread."""
    done = ended(HANGS, tmp_path)
    assert done.returncode == EXIT_FAILED, done.stderr
    assert "it did not end in time" in done.stdout


def test_a_defect_in_the_work_beside_the_roles_ends_the_process(tmp_path: Path) -> None:
    """The roles went on without it: no label was sent any more, and nobody was told."""
    done = ended(CRASHES, tmp_path)
    assert done.returncode == EXIT_FAILED, done.stderr
    assert "background_failed" in done.stdout + done.stderr
    assert "a defect" in done.stdout + done.stderr
