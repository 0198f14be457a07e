"""The figures of a report over many results in chdb: `python -m benchmarks.reports [--rows N …] [--json]`.

The limits: a million results in 2 s, ten million in 10 s with bounded memory. Half of the results lie in the period and
half in the one before; they have two versions, four prompt versions, three condition sets and two models. The growth of
memory is that of the process, ClickHouse's engine included, from before the first query to its peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from benchmarks.table import markdown
from reports.evaluation_reports.cells import ReportPeriod, read_cells, read_latencies, read_shape
from reports.evaluation_reports.examples import make_examples, sample_failures
from reports.evaluation_reports.figures import make_figures
from storage.clickhouse import connect, migrate
from storage.clickhouse.query import PassRule

TEAM, EVALUATION = 1, "8b4883eb-9190-4e70-bfb9-71682af8a50b"
START = datetime(2026, 9, 7, tzinfo=UTC)
WEEK = timedelta(days=7)
_STEP = 1_000_000
_TIMES = 3

_FILL = """
INSERT INTO evaluation_results
    (uuid, team_id, evaluation_id, timestamp, record_time, result_type, result, skipped, skip_reason, reasoning,
     evaluation_version, fingerprint, condition_id, target_event_id, prompt_name, prompt_version, evaluation_model,
     cost_usd, latency_s, input_tokens, output_tokens)
SELECT toString(toUUID(concat('00000000-0000-4000-8000-', leftPad(hex(cityHash64(number)), 12, '0')))), {team:Int64},
       {evaluation:String}, fromUnixTimestamp64Micro({start:Int64} + number * intDiv({span:Int64}, {rows:Int64})),
       now64(3), 'boolean', if(number % 50 = 0, NULL, number % 7 > 0), number % 50 = 0,
       if(number % 50 = 0, 'over_budget', ''), 'The answer does not name the source of its claim.',
       if(number > {rows:Int64} * 0.8, 2, 1), if(number > {rows:Int64} * 0.8, 'f2', 'f1'),
       concat('set ', toString(number % 3)), toString(cityHash64(number, 1)), 'support', toString(number % 4),
       if(number % 2, 'small', 'large'), 0.0004, 0.3 + (number % 100) / 50, 900, 60
FROM numbers({first:UInt64}, {count:UInt64})
"""


def measure(rows: int) -> dict[str, object]:
    """Return the seconds of the figures over `rows` results, and by how many MiB the process grew."""
    with tempfile.TemporaryDirectory() as folder:
        client = connect(f"chdb://{Path(folder).absolute()}/clickhouse")
        migrate(client)
        values = {
            "team": TEAM, "evaluation": EVALUATION, "rows": rows, "start": int(START.timestamp() * 1_000_000),
            "span": int(2 * WEEK.total_seconds() * 1_000_000),
        }  # fmt: skip
        for first in range(0, rows, _STEP):
            client.command(_FILL, parameters={**values, "first": first, "count": min(_STEP, rows - first)})
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
        before = _peak_mib()
        period = ReportPeriod(START + WEEK, START + 2 * WEEK)
        times = []
        for _ in range(_TIMES):
            began = time.perf_counter()
            shape = read_shape(client, TEAM, EVALUATION, period)
            cells = read_cells(client, TEAM, EVALUATION, period, shape, PassRule())
            latencies = read_latencies(client, TEAM, EVALUATION, period)
            failures = sample_failures(client, TEAM, EVALUATION, period, PassRule(), limit=200)
            figures = make_figures(cells, latencies, shape, period)
            make_examples(failures)
            times.append(time.perf_counter() - began)
        grown = _peak_mib() - before
        client.close()
    counted = figures["counts"]["results"] + figures["previous_counts"]["results"]
    return {"results": rows, "counted": counted, "seconds": round(median(times), 2), "grown_mib": round(grown)}


def _peak_mib() -> float:
    """Return the most memory that the process held since the peak was reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def apart(rows: int) -> dict[str, object]:
    """Return what `measure` returns in a process of its own, which begins with no memory of another measurement."""
    argv = [sys.executable, "-m", "benchmarks.reports", "--json", "--rows", str(rows)]
    found: dict[str, object] = json.loads(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--json", action="store_true", help="measure the first number of rows, and print JSON")
    given = parser.parse_args()
    if given.json:
        print(json.dumps(measure(given.rows[0])))
        return
    rows = [
        (f"{each['results']:,}", f"{each['counted']:,}", f"{each['seconds']} s", f"{each['grown_mib']} MiB")
        for each in map(apart, given.rows)
    ]
    print(markdown(("results stored", "counted", "figures of a report", "memory grew by"), rows))


if __name__ == "__main__":
    main()
