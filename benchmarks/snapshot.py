"""The time that a processor takes to load a team's definitions, and to take over one edit, on SQLite.

    python -m benchmarks.snapshot [--sizes 1000 10000]

* first load: everything is read, validated and compiled, half Hog and half judges, each with conditions;
* one edit: one Hog source changes in the store; read and compiled until the new snapshot is there. The best of
  five edits. The poller's interval of 1 s comes on top: an edit reaches a running processor within 2 s.
* longest stall: the longest time for which another thread of the process got no turn while edits were taken over.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import insert, select

from benchmarks.table import markdown
from config.definitions import parse_draft, patch_draft
from storage.snapshot import SnapshotPoller
from storage.sql.changes import read_changes
from storage.sql.engine import Database, open_database
from storage.sql.evaluation_changes import evaluations
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EDITS = 5
_SOURCE = """
let answer := lower(output)
if (empty(answer)) { return null }
for (let word in ['sorry', 'cannot', 'number %d']) {
  if (answer like concat('%%', word, '%%')) { print(word) return false }
}
return true
"""


def fill(database: Database, size: int) -> str:
    """Make one team of `size` evaluations; return the id of one that is Hog."""
    store = Evaluations(database)
    made = [
        store.create(1, parse_draft({"name": "n", "enabled": True, **kind}), actor="bench", now=NOW)
        for kind in (
            {
                "evaluation_type": "hog",
                "evaluation_config": {"source": _SOURCE % 0},
                "output_config": {"allows_na": True},
            },
            {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it polite?"}},
        )
    ]
    with database.write() as connection:
        statement = select(evaluations).order_by(evaluations.c.evaluation_type)
        rows = [dict(row) for row in connection.execute(statement).mappings()]
        connection.execute(insert(evaluations), [_copy(rows[n % 2], n) for n in range(2, size)])
    return made[0].id


def _copy(row: dict[str, Any], n: int) -> dict[str, Any]:
    model = {"key": "$ai_model", "value": [f"model-{n % 50}"], "operator": "exact", "type": "event"}
    copied = {**row, "id": f"ffffffff-0000-7000-8000-{n:012d}", "name": f"n{n}"}
    copied["conditions"] = [{"id": f"c{n}", "rollout_percentage": 50, "properties": [model]}]
    if row["evaluation_type"] == "hog":
        copied["evaluation_config"] = {"source": _SOURCE % n}
    return copied


class Stalls:
    """Notes in a thread of its own the longest time that it got no turn."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        last_s = time.perf_counter()
        while not self._stop.is_set():
            time.sleep(0.001)
            now_s = time.perf_counter()
            self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s

    def stop(self) -> float:
        """End, and return the longest."""
        self._stop.set()
        self._thread.join()
        return self.longest_s


def measure(size: int) -> list[str]:
    """Return the table's line for a team of `size`."""
    with tempfile.TemporaryDirectory(prefix="gavel-bench-") as directory:
        database = open_database(f"sqlite:///{Path(directory) / 'gavel.db'}")
        upgrade(database)
        edited = fill(database, size)
        poller = SnapshotPoller(partial(read_changes, database))
        first_s = _timed(poller)
        if poller.current is None or len(poller.current.teams[1].evaluations) != size:
            raise SystemExit("not all evaluations are in the snapshot")
        store, took_s, stalls = Evaluations(database), [], Stalls()
        for n in range(EDITS):
            change = {"evaluation_config": {"source": _SOURCE % (size + n)}}
            store.update(1, edited, partial(patch_draft, changes=change), actor="bench", now=NOW)
            took_s.append(_timed(poller))
            found = poller.current.find(1, edited)
            if found is None or found.definition.source != change["evaluation_config"]["source"]:
                raise SystemExit("the edit is not in the snapshot")
        stall_s = stalls.stop()
        database.close()
    return [f"{size:,}", f"{first_s:.2f} s", f"{min(took_s) * 1000:.0f} ms", f"{stall_s * 1000:.0f} ms"]


def _timed(poller: SnapshotPoller) -> float:
    started_s = time.perf_counter()
    if not poller.poll():
        raise SystemExit(f"the store did not answer: {poller.last_error}")
    return time.perf_counter() - started_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000])
    sizes = parser.parse_args().sizes
    structlog.configure(processors=[], logger_factory=structlog.ReturnLoggerFactory())
    print(markdown(["evaluations of the team", "first load", "one edit", "longest stall"], [measure(n) for n in sizes]))


if __name__ == "__main__":
    main()
