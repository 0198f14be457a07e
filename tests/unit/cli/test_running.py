"""How commands find the process that has the embedded parts, and do not believe a file that it left behind."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.running import AlreadyRunning, Running, RunningFile, StillStarting, find_running, reached_through
from config.settings import Settings
from tests.services.cache import CHECKOUT

HOLDS = """
import sys, time
from pathlib import Path
from cli.running import Running, RunningFile
file = RunningFile(Path(sys.argv[1]))
file.claim()
if sys.argv[2:]:
    file.publish(Running(4711, "1.0", kafka="127.0.0.1:9", clickhouse="http://gavel:secret@127.0.0.1:8/default"))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    words = getattr(request, "param", ["published"])
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path), *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_process_is_found_while_it_lives_and_its_file_is_stale_when_it_was_killed(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    found = find_running(tmp_path)
    assert found is not None
    assert found.pid == 4711
    with pytest.raises(AlreadyRunning, match="process 4711 already runs"):
        RunningFile(tmp_path).claim()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "running.json").stat().st_size > 0
    assert find_running(tmp_path) is None
    mine = RunningFile(tmp_path)
    mine.claim()
    mine.release()


@pytest.mark.parametrize("holder", [[]], indirect=True)
def test_a_process_that_has_not_published_is_starting(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(StillStarting):
        find_running(tmp_path)


def test_only_the_owner_can_read_the_secret(tmp_path: Path) -> None:
    (tmp_path / "running.json").touch(mode=0o644)
    file = RunningFile(tmp_path)
    file.claim()
    assert stat.S_IMODE((tmp_path / "running.json").stat().st_mode) == 0o600
    file.release()


def test_no_file_means_that_nothing_runs(tmp_path: Path) -> None:
    assert find_running(tmp_path / "absent") is None


def test_only_embedded_parts_are_reached_by_other_addresses(tmp_path: Path) -> None:
    running = Running(1, "1.0", kafka="127.0.0.1:9", clickhouse="http://gavel:secret@127.0.0.1:8/default")
    embedded = reached_through(Settings.model_validate({"data_dir": tmp_path}), running)
    assert (embedded.kafka.bootstrap_servers, embedded.kafka.group_protocol) == ("127.0.0.1:9", "classic")
    assert embedded.clickhouse.dsn.get_secret_value() == running.clickhouse
    servers = {"kafka": {"bootstrap_servers": "kafka:9092"}, "clickhouse": {"dsn": "http://clickhouse:8123/gavel"}}
    given = Settings.model_validate({"data_dir": tmp_path, **servers})
    assert reached_through(given, running) == given
