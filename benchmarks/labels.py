"""Labels, queues and trust with a million results in chdb: `python -m benchmarks.labels [--json]`.

The limits: `trust/` with 5 000 labels in 1 s, and the next item of a queue in 50 ms. Each time is the median of several
calls of the functions that serve the endpoints.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID, uuid4

from api.schemas.label_queues import ItemLabel, LabelQueueCreate
from api.services import label_items, label_queues
from api.services.resources import Services, open_services
from api.services.trust import report
from benchmarks.table import markdown
from config.definitions import Evaluation, parse_draft
from config.settings import load_settings
from storage.clickhouse import connect, migrate
from storage.sql.api_keys import ALL_SCOPES, ApiKey
from storage.sql.engine import open_database
from storage.sql.evaluations import Evaluations
from storage.sql.labels import Labels, NewLabel
from storage.sql.measurements import MeasuredItem, MeasurementRuns, NewMeasurement, Standing
from storage.sql.migrations import upgrade

RESULTS = 1_000_000
LABELS = 5_000
IMPORTED = 5_000
CONSISTENCY_ITEMS, REPEATS = 50, 5
NOW = datetime.now(UTC)
DAYS = 20

_FILL = """
INSERT INTO evaluation_results
    (uuid, team_id, distinct_id, timestamp, created_at, record_time, start_time, evaluation_id, evaluation_name,
     evaluation_type, runtime, result_type, result, target_event_id, target_id, trigger, properties,
     evaluation_version, fingerprint, model, ingested_at)
SELECT toString(toUUID(concat('00000000-0000-4000-8000-', leftPad(hex(number), 12, '0')))), 1, 'd',
       toDateTime64({start:Int64} + intDiv(number * {span:Int64}, {rows:Int64}), 6, 'UTC') AS moment, moment, moment,
       moment, {evaluation:String}, 'e', 'online', 'llm_judge', 'boolean', number % 5 != 0,
       concat('target-', toString(number)), concat('target-', toString(number)), 'live', '{}', 1,
       {fingerprint:String}, concat('model-', toString(number % 3)), toDateTime({start:Int64}, 'UTC')
FROM numbers({rows:UInt64})
"""


def filled(services: Services, dsn: str) -> Evaluation:
    """Return an evaluation with a million results."""
    draft = parse_draft({"name": "e", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}})
    evaluation = Evaluations(services.database).create(1, draft, actor=None, now=NOW)
    client = connect(dsn)
    migrate(client)
    start = int((NOW - timedelta(days=DAYS)).timestamp())
    values = {
        "start": start, "span": DAYS * 86_400 - 60, "rows": RESULTS, "evaluation": evaluation.id,
        "fingerprint": evaluation.fingerprint,
    }  # fmt: skip
    client.command(_FILL, parameters=values)
    client.close()
    return evaluation


def label(services: Services, evaluation: Evaluation, targets: range, labeller: str) -> float:
    """Label targets as the judge did, except for each seventh, and return labels per second."""
    store = Labels(services.database)
    began = time.perf_counter()
    for first in range(targets.start, targets.stop, 1000):
        new = [
            NewLabel(
                evaluation_id=evaluation.id, question=1, target_event_id=f"target-{number * 199 % RESULTS}",
                verdict={"applicable": True, "result": (number * 199 % 5 != 0) != (number % 7 == 0)},
                labeller=labeller, source="import", client_id=f"{labeller}-{number}",
            )
            for number in range(first, min(first + 1000, targets.stop))
        ]  # fmt: skip
        store.add(1, new, actor="cli", now=NOW)
    return len(targets) / (time.perf_counter() - began)


def measured(services: Services, evaluation: Evaluation, dsn: str) -> None:
    """Store a consistency run with its results, which `trust/` shows beside the agreement."""
    store = MeasurementRuns(services.database)
    items = [MeasuredItem(f"event:target-{number}", f"target-{number}") for number in range(CONSISTENCY_ITEMS)]
    run = store.create(
        NewMeasurement(
            team_id=1,
            evaluation_id=evaluation.id,
            kind="consistency",
            versions=[1],
            repeats=REPEATS,
            params={},
            items=items,
        ),
        actor="bench",
        now=NOW,
    )
    rows = [
        {
            "uuid": str(uuid4()), "team_id": 1, "timestamp": NOW, "created_at": NOW, "record_time": NOW,
            "start_time": NOW, "evaluation_id": evaluation.id, "result_type": "boolean", "result": True,
            "target_event_id": each.event_uuid, "trigger": "measurement", "properties": "{}", "evaluation_version": 1,
            "measurement_id": run.id, "measurement_kind": run.kind, "item": each.item, "repeat": repeat,
        }
        for each in items
        for repeat in range(REPEATS)
    ]  # fmt: skip
    client = connect(dsn)
    client.insert("evaluation_measurements", [list(row.values()) for row in rows], column_names=list(rows[0]))
    client.close()
    store.claim("bench", now=NOW, lease_s=60)
    store.report(run.id, "bench", Standing(len(items), 0, len(rows)), now=NOW, lease_s=60)
    store.finish(run.id, "bench", "completed", now=NOW)


def timed(call: Callable[[], Any], times: int) -> float:
    """Return the median of several calls in milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


def measure(folder: Path) -> list[tuple[str, float, str]]:
    """Return name, figure and unit of each row."""
    dsn = f"chdb://{folder}/clickhouse"
    settings = load_settings(
        environ={},
        overrides={"data_dir": str(folder), "clickhouse": {"dsn": dsn}, "store": {"dsn": f"sqlite:///{folder}/g.db"}},
    )
    database = open_database(f"sqlite:///{folder}/g.db")
    upgrade(database)
    services = open_services(settings, database)
    caller = ApiKey(1, 1, "bench", "bench@example.com", "", frozenset({ALL_SCOPES}), NOW)
    evaluation = filled(services, dsn)
    measured(services, evaluation, dsn)
    rows = [("labels stored in blocks of 1 000", label(services, evaluation, range(IMPORTED), "other"), "labels/s")]
    body = LabelQueueCreate(evaluation=UUID(evaluation.id), window_start=NOW - timedelta(days=DAYS + 1), size=LABELS)
    began = time.perf_counter()
    queue = label_queues.create(services, caller, body)
    rows.append((f"random queue of {LABELS} drawn", (time.perf_counter() - began) * 1000, "ms"))
    said = ItemLabel(verdict={"result": True})

    def one() -> None:
        item = label_items.next_item(services, caller, queue.id)
        assert item is not None
        label_items.answer(services, caller, queue.id, str(item.id), said)

    rows.append(("next item of the queue", timed(lambda: label_items.next_item(services, caller, queue.id), 50), "ms"))
    rows.append(("next item and its label", timed(one, 50), "ms"))
    rows.append(
        (
            f"trust with {RESULTS:,} results and {IMPORTED:,} labels",
            timed(lambda: report.trust(services, evaluation), 5),
            "ms",
        )
    )
    services.close()
    database.close()
    return rows


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gavel-bench-", ignore_cleanup_errors=True) as folder:
        rows = measure(Path(folder))
    if given.json:
        print(json.dumps([{"name": name, "value": value, "unit": unit} for name, value, unit in rows]))
    else:
        print(markdown(("work", "time"), [(name, f"{value:,.1f} {unit}") for name, value, unit in rows]))


if __name__ == "__main__":
    main()
