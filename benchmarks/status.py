"""How fast an operator sees a running system: `gavel status`, and `/metrics` with 10,000 evaluations.

    python -m benchmarks.status [--evaluations 10000] [--rounds 7]

Matcher, judge and sink are processes of their own on a real Kafka and ClickHouse's engine behind HTTP. "First screen"
is the time from the start of the command until its first line is on the terminal.
"""

from __future__ import annotations

import argparse
import os
import pty
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from statistics import median
from uuid import uuid4

import sqlalchemy as sa

from benchmarks.table import markdown
from cli.overview import Gatherer
from examples.stand_in.client import StandInServer
from storage.sql.evaluation_changes import evaluations
from storage.sql.revision import bump
from tests.faults.pipeline import TEAM, Pipeline, pipeline
from tests.services.cache import CHECKOUT
from tests.services.kafka import KafkaServer

_STATUS = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"
_READ_BYTES = 65_536
_FIRST_WORD = b"Gavel"
"""It begins the first line; commands to the terminal come before it."""


def many_evaluations(gavel: Pipeline, count: int) -> None:
    """Store so many copies of one enabled evaluation, and wait until the matcher has loaded them."""
    with gavel.database.write() as connection:
        row = dict(connection.execute(sa.select(evaluations).where(evaluations.c.enabled).limit(1)).mappings().one())
        row["revision"] = bump(connection, TEAM)
        rows = [{**row, "id": str(uuid4()), "name": f"copy {number}"} for number in range(count)]
        connection.execute(sa.insert(evaluations), rows)
    gavel.wait(
        lambda: any(entry["enabled"] >= count for entry in gavel.logged("matcher", "snapshot_loaded")), "definitions"
    )


def first_screen_s(gavel: Pipeline) -> float:
    """Return the seconds until `gavel status` has written to its terminal."""
    ours, theirs = pty.openpty()
    env = gavel.env | {"PYTHONPATH": str(CHECKOUT), "TERM": "xterm"}
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", _STATUS, "status"], env=env, stdout=theirs, stdin=theirs)
    try:
        shown = b""
        while _FIRST_WORD not in shown:
            shown += os.read(ours, _READ_BYTES)
        return time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)
        os.close(theirs)


def scrape_s(address: str) -> float:
    """Return the seconds of one GET of `/metrics`."""
    began = time.perf_counter()
    with urllib.request.urlopen(address, timeout=30) as answer:
        answer.read()
    return time.perf_counter() - began


def row(name: str, measure: Callable[[], float], rounds: int, target_ms: int) -> list[str]:
    """Return a row of the table, in milliseconds."""
    times_ms = [measure() * 1000 for _ in range(rounds)]
    return [name, f"{min(times_ms):.0f}", f"{median(times_ms):.0f}", f"{max(times_ms):.0f}", f"< {target_ms}"]


def main() -> None:
    """Parse the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    provider = StandInServer()
    rows = []
    try:
        with KafkaServer() as broker, pipeline(broker.bootstrap_servers, provider.base_url) as gavel:
            gavel.start()
            gavel.send(50)
            gavel.check()
            with closing(Gatherer(gavel.settings, gavel.database)) as gatherer:
                gatherer.gather()  # connects
                rows.append(row("`gavel status`, first screen", lambda: first_screen_s(gavel), given.rounds, 1000))
                rows.append(row("`gavel status`, refresh", lambda: gatherer.gather().took_s, given.rounds * 3, 200))
            many_evaluations(gavel, given.evaluations)
            address = gavel.logged("matcher", "started")[-1]["metrics"]
            name = f"`/metrics` of a matcher, {given.evaluations:,} evaluations"
            rows.append(row(name, lambda: scrape_s(address), given.rounds * 3, 50))
    finally:
        provider.close()
    print(markdown(["what", "best (ms)", "median (ms)", "worst (ms)", "target (ms)"], rows))


if __name__ == "__main__":
    main()
