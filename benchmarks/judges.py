"""How many judges help one busy evaluation: verdicts per second of 1, 2, 4 and 8 judge processes.

    python -m benchmarks.judges [--judges 1 2 4 8] [--seconds 12] [--protocol consumer]

One evaluation has a backlog that every number of judges gets anew. The provider takes 1 s per call, and each judge
makes 16 calls at a time: n judges can give at most 16 n verdicts per second. Verdicts are lacking because calls take
longer than the provider's second ("s per call"), or because places for calls are free ("places used"). The columns of
"cores" show the CPU time per second of the judges, and of everything on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import sqlalchemy as sa

from benchmarks.table import markdown
from examples.stand_in.client import StandInServer
from storage.sql.revision import bump
from tests.faults.pipeline import TEAM, Pipeline, pipeline
from tests.services.kafka import KafkaServer

CALLS = 16
LATENCY_S = 1.0
PARTITIONS = 64
"""A backlog is spread over the square root of their number of lanes: 8 of 64."""
SETTINGS = {
    "KAFKA__PARTITIONS": str(PARTITIONS),
    "JUDGE__CONCURRENCY": str(CALLS),
    "JUDGE__CALL_DEADLINE_S": "20",
    "JUDGE__READ_TIMEOUT_S": "10",
    "JUDGE__RUN_DEADLINE_S": "60",
    "STORE__POLL_INTERVAL_S": "1",
}
_WARM_UP_S = 3.0
_VERDICTS = "gavel_results_total"
_SHARE_OF_GENERATIONS = 0.5
"""Less than the share of the events that are judged, so that the backlog lasts."""
_BUSY = "Tone"
_TO_ALL = '[{"id": "all", "rollout_percentage": 100, "properties": []}]'


def only_one_busy(gavel: Pipeline) -> None:
    """Let one judge run on every event, and nothing else."""
    with gavel.database.write() as connection:
        off = sa.text(
            "UPDATE evaluations SET enabled = :on, status = 'paused', revision = :revision WHERE name <> :name"
        )
        values = {"name": _BUSY, "revision": bump(connection, TEAM)}
        connection.execute(off, {**values, "on": False})
        to_all = sa.text("UPDATE evaluations SET conditions = :to, revision = :revision WHERE name = :name")
        connection.execute(to_all, {**values, "to": _TO_ALL})


def judged(gavel: Pipeline, number: int) -> bytes:
    """Return a generation like no other, so that each one is a call: equal prompts share one."""
    _, event = gavel.next_event()
    properties = {"$ai_input": f"question {number}", "$ai_output": f"answer {number}"}
    return json.dumps(json.loads(event) | {"properties": json.dumps(properties)}).encode()


class Measured(NamedTuple):
    """The work of so many judges per second while they had a backlog."""

    verdicts: float
    call_s: float
    calls_at_a_time: float
    judges_cores: float
    cores: float


def _totals(gavel: Pipeline) -> defaultdict[str, float]:
    """Return the calls that ended, and the seconds of calls and of CPU, of all judges and of the machine so far."""
    found: defaultdict[str, float] = defaultdict(float)
    for name in gavel.processes:
        if not name.startswith("judge"):
            continue
        address = gavel.logged(name, "started")[-1]["metrics"]
        with urllib.request.urlopen(address, timeout=30) as answer:
            for line in answer.read().decode().splitlines():
                sample, _, value = line.rpartition(" ")
                found[sample.partition("{")[0]] += 0 if line.startswith("#") else float(value)
    busy = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    found["machine"] = sum(map(int, busy[:3] + busy[5:7])) / os.sysconf("SC_CLK_TCK")
    return found


def measure(kafka: str, provider: str, judges: int, seconds: float, protocol: str) -> Measured:
    """Return what so many judges do while they have a backlog."""
    backlog = int(judges * CALLS * (seconds + 10.0) / LATENCY_S / _SHARE_OF_GENERATIONS)
    with pipeline(kafka, provider, {**SETTINGS, "KAFKA__GROUP_PROTOCOL": protocol}) as gavel:
        only_one_busy(gavel)
        gavel.start("matcher", *(f"judge-{number}" for number in range(judges)))
        gavel.wait(lambda: all(gavel.logged(name, "partitions_assigned") for name in gavel.processes), "partitions")
        time.sleep(5.0)  # the group settles
        for number in range(backlog):
            gavel.produce(judged(gavel, number), key=uuid4().hex)
        gavel.wait(lambda: _totals(gavel)[_VERDICTS], "the first verdict")
        time.sleep(_WARM_UP_S)
        before, began = _totals(gavel), time.monotonic()
        time.sleep(seconds)
        took_s = time.monotonic() - began
        did = defaultdict(float, {name: total - before[name] for name, total in _totals(gavel).items()})
        call_s = did["gavel_judge_call_seconds_sum"] / (did["gavel_judge_call_seconds_count"] or 1)
        at_a_time = did["gavel_judge_call_seconds_sum"] / took_s
        return Measured(
            did[_VERDICTS] / took_s,
            call_s,
            at_a_time,
            did["process_cpu_seconds_total"] / took_s,
            did["machine"] / took_s,
        )


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judges", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=12.0, help="how long each is measured")
    parser.add_argument("--protocol", choices=["consumer", "classic"], default="consumer", help="of the group")
    given = parser.parse_args()
    provider = StandInServer("--latency", str(LATENCY_S))
    rows = []
    try:
        with KafkaServer() as broker:
            for judges in given.judges:
                did = measure(broker.bootstrap_servers, provider.base_url, judges, given.seconds, given.protocol)
                most = judges * CALLS / LATENCY_S
                places = did.calls_at_a_time / (judges * CALLS)
                rows.append([str(judges), f"{did.verdicts:.1f}", f"{most:.0f}", f"{did.verdicts / most:.0%}"])
                rows[-1] += [f"{did.call_s:.2f}", f"{places:.0%}", f"{did.judges_cores:.2f}", f"{did.cores:.2f}"]
                print("\t".join(rows[-1]), flush=True)
    finally:
        provider.close()
    columns = ["judges", "verdicts/s", "at most", "share", "s per call", "places used", "cores of judges", "cores"]
    print(markdown(columns, rows))


if __name__ == "__main__":
    main()
