"""The newest problems of the log, as heartbeats show them, and a log whose lines are all JSON."""

from __future__ import annotations

import json
import subprocess
import sys

from processor.runtime.logs import RecentProblems
from tests.services.cache import CHECKOUT

SCRIPT = """
import logging, warnings
import structlog
from processor.runtime.logs import configure
recent = configure("info", "json")
structlog.get_logger("gavel").bind(role="sink").warning("sink_retries", table="t", remedy="wait")
logging.getLogger("library").error("it broke")
logging.getLogger("urllib3.connectionpool").warning("Retrying after connection broken: INSERT INTO t")
warnings.warn("a thing is deprecated", DeprecationWarning, stacklevel=1)
warnings.warn("a value is odd", UserWarning, stacklevel=1)
print([line["event"][:20] for line in recent.of("sink")])
"""


def test_all_lines_are_json_also_those_of_libraries_and_of_python_itself() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["level"] for line in lines][:2] == ["warning", "error"]
    assert any("a value is odd" in line["event"] for line in lines)
    assert "INSERT" not in done.stderr, "the sink says itself that ClickHouse is away"
    assert "sink_retries" in done.stdout
    assert "it broke" in done.stdout


def test_a_role_sees_its_own_problems_and_those_of_the_process() -> None:
    recent = RecentProblems()
    for role, level in (("sink", "warning"), ("judge", "error"), (None, "error"), ("sink", "info")):
        recent(None, "", {"level": level, "event": f"{role} {level}", "role": role, "timestamp": "t", "remedy": "wait"})
    assert [line["event"] for line in recent.of("sink")] == ["sink warning", "None error"]
    assert recent.of("sink")[0] == {"at": "t", "level": "warning", "event": "sink warning", "text": "remedy: wait"}


def test_what_is_kept_is_bounded() -> None:
    recent = RecentProblems()
    for number in range(1000):
        recent(None, "", {"level": "error", "event": f"{number}" + "e" * 1000, "detail": "d" * 100_000})
    kept = recent.of("sink")
    assert len(kept) == 8
    assert kept[-1]["event"].startswith("999e")
    assert len(json.dumps(kept)) < 6000
