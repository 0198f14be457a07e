"""Server times and weights of the console's pages: `python -m benchmarks.console [--results N] [--data FOLDER]`.

A team with 10 000 evaluations on SQLite and 10 million results of 30 days in chdb, read by 20 viewers who open a page
every 5 s. `gavel api` serves them as a process of its own, with chdb in it; the browser is left out. The table has the
first time of each page in that process, p95 of the others, and the gzipped size of its HTML. To fill the stores takes
longer than to measure: with `--data` they are kept in a folder, and a second call measures what the first one filled.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from clickhouse_connect.driver.client import Client as Archive

from benchmarks.api_load import serve
from benchmarks.console_beside import PACE_S, Client, Series, at_share, lines, time_beside
from benchmarks.table import markdown
from config.definitions import parse_draft
from console.assets import all_assets
from storage.clickhouse import connect, migrate
from storage.sql.api_keys import ApiKeys
from storage.sql.console_sessions import ConsoleSessions
from storage.sql.engine import Database, open_database
from storage.sql.evaluation_changes import create_evaluation
from storage.sql.migrations import upgrade
from storage.sql.revision import lock_definitions

TEAM, EVALUATIONS, RESULTS, VIEWERS, ROUNDS = 1, 10_000, 10_000_000, 20, 2
AT_ONCE = 1_000_000
TARGETS_MS = {
    "overview": 600,
    "evaluations": 200,
    "results": 200,
    "failures": 200,
    "evaluation": 400,
    "generation": 300,
    "labels": 200,
    "jobs": 200,
    "audit": 200,
}
HTML_KB, ASSETS_KB = 30, 60


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=int, default=RESULTS, help="results in ClickHouse (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--data", type=Path, help="folder in which the stores are kept for the next call")
    parser.add_argument("--fill-only", action="store_true", help="fill or upgrade the stores, and measure nothing")
    parser.add_argument("--api-only", action="store_true", help="leave out the table of pages")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        known = folder / "filled.json"
        if given.fill_only:
            folder.mkdir(parents=True, exist_ok=True)
            fill(folder, known, given.results)
            return
        # In a process of its own, because chdb keeps its folder until the process ends.
        words = ["-m", "benchmarks.console", "--fill-only", "--data", folder, "--results", given.results]
        subprocess.run([sys.executable, *map(str, words)], check=True)
        figures, beside = measure(folder, pages_too=not given.api_only, **json.loads(known.read_text()))
    if given.json:
        print(json.dumps({"pages": figures, "api_ms": {name: each.turns for name, each in beside.items()}}, indent=2))
        return
    header = ("page", "first ms", "p95 ms", "target ms", "HTML kB gzipped")
    rows = [
        (name, f"{each['cold_ms']:.0f}", f"{each['p95_ms']:.0f}", str(TARGETS_MS[name]), f"{each['html_kb']:.1f}")
        for name, each in figures.items()
    ]
    print(f"{EVALUATIONS:,} evaluations and {given.results:,} results:\n")
    print(markdown(header, rows))
    print(f"\nThe API's times for one evaluation, with {VIEWERS} viewers who open a page every {PACE_S:g} s:\n")
    print(markdown(("series", "p50 ms", "p95 ms", "moved by", "median turn moved by", "p95 of turns"), lines(beside)))
    print(f"\nThe target is a move of p95 of less than +10%. Load average at the end: {os.getloadavg()[0]:.1f}.")
    weight = sum(len(asset.compressed) for asset in all_assets()) / 1000
    print(f"\nAll {len(all_assets())} assets together weigh {weight:.1f} kB gzipped; the target is {ASSETS_KB} kB.")


def fill(folder: Path, known: Path, results: int) -> None:
    """Upgrade the stores of a folder. If they are new, fill them and write to `known` what to look at."""
    client = connect(f"chdb://{folder}/clickhouse")
    migrate(client)
    database = open_database(f"sqlite:///{folder}/gavel.db")
    upgrade(database)
    if not known.exists():
        ids = fill_store(database)
        event = fill_results(client, ids, results)
        known.write_text(json.dumps({"evaluation": ids[0], "event": event}))
    client.close()
    database.close()


def measure(
    folder: Path, evaluation: str, event: str, *, pages_too: bool
) -> tuple[dict[str, dict[str, float]], dict[str, Series]]:
    """Return p95 and weight per page, and the times of the API alone and beside viewers."""
    pages = pages_of(evaluation, event)
    with ExitStack() as stack:
        elsewhere = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        shutil.copytree(folder, elsewhere, symlinks=True, dirs_exist_ok=True)
        secret, sessions = readers_of(folder)
        port = stack.enter_context(served(folder))
        viewers = [Client(port, {"Cookie": each}) for each in sessions]
        figures = {}
        for name, path in pages.items() if pages_too else ():
            figures[name] = time_page(viewers, path)
            print(f"{name}: p95 {figures[name]['p95_ms']:.0f} ms", file=sys.stderr)
        _, other_sessions = readers_of(elsewhere)
        groups = {
            "beside": (port, sessions),
            "beside, elsewhere": (stack.enter_context(served(elsewhere)), other_sessions),
        }
        api = Client(port, {"Authorization": f"Bearer {secret}"})
        path = f"/api/projects/{TEAM}/evaluations/{evaluation}/"
        return figures, time_beside(api, path, groups, list(pages.values()))


def readers_of(folder: Path) -> tuple[str, list[str]]:
    """Make a key and sessions in the store of a folder, and return the secret and the cookies."""
    database = open_database(f"sqlite:///{folder}/gavel.db")
    upgrade(database)
    now = datetime.now(UTC)
    key, secret = ApiKeys(database).create(team_id=TEAM, label="bench", scopes=["*"], now=now)
    sessions = [ConsoleSessions(database).open(key, now=now) for _ in range(VIEWERS)]
    database.close()
    return secret, [f"gavel={each}" for each in sessions]


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Run `gavel api` over the stores of a folder and give its port."""
    archive = f"chdb://{folder}/clickhouse"
    with serve(f"sqlite:///{folder}/gavel.db", folder, GAVEL_CLICKHOUSE__DSN=archive) as (port, _):
        yield port


def pages_of(evaluation: str, event: str) -> dict[str, str]:
    """Return the addresses of the measured pages by name."""
    base = f"/console/{TEAM}/"
    return {
        "overview": base,
        "evaluations": f"{base}evaluations/",
        "results": f"{base}results/",
        "failures": f"{base}results/?verdict=fail",
        "evaluation": f"{base}evaluations/{evaluation}/?range=30d",
        "generation": f"{base}generations/{event}/",
        "labels": f"{base}labels/",
        "jobs": f"{base}jobs/",
        "audit": f"{base}audit/",
    }


def time_page(viewers: list[Client], path: str) -> dict[str, float]:
    """Let all viewers open a page, and return the first time, p95 of the others, and the gzipped size.

    The viewers of a round are spread over the time that each of them reads, as people are.
    """
    cold, body = viewers[0].get(path)
    taken: list[float] = []

    def view(viewer: Client, place: int) -> None:
        time.sleep(PACE_S * place / len(viewers))
        for _ in range(ROUNDS):
            taken.append(viewer.get(path)[0])
            time.sleep(PACE_S)

    with ThreadPoolExecutor(len(viewers)) as pool:
        list(pool.map(view, viewers, range(len(viewers))))
    return {"cold_ms": cold, "p95_ms": at_share(taken, 0.95), "html_kb": len(gzip.compress(body)) / 1000}


def fill_store(database: Database) -> list[str]:
    """Make the evaluations and return their ids."""
    now, ids = datetime.now(UTC) - timedelta(days=31), []
    source = {"evaluation_type": "hog", "evaluation_config": {"source": "return true"}, "enabled": True}
    with database.write() as connection:
        lock_definitions(connection)
        for number in range(EVALUATIONS):
            draft = parse_draft({"name": f"evaluation {number}", **source})
            made = create_evaluation(connection, TEAM, draft, database.limits, actor="bench", now=now)
            ids.append(made.id)
    return ids


def fill_results(client: Archive, ids: list[str], results: int) -> str:
    """Insert results of the last 30 days, spread over 20 of the evaluations, and return the id of a generation."""
    names = ", ".join(f"'{each}'" for each in ids[:20])
    for start in range(0, results, AT_ONCE):
        count = min(AT_ONCE, results - start)
        client.command(
            f"""
            INSERT INTO evaluation_results (uuid, team_id, distinct_id, timestamp, created_at, record_time, start_time,
                evaluation_id, evaluation_name, runtime, result_type, result, reasoning, target_event_id, trigger,
                evaluation_version, fingerprint, model)
            SELECT toString(reinterpretAsUUID(sipHash128(number))), {TEAM}, 'a', at, at, at, at,
                [{names}][number % 20 + 1], 'evaluation', 'hog', 'boolean', number % 11 != 0,
                'The reply leaves the question open, as replies do.',
                toString(reinterpretAsUUID(sipHash128(number % 20, number))),
                'live', 1, 'f', 'gpt-5-mini'
            FROM (SELECT number + {start} AS number,
                  now64(6) - toIntervalSecond((number + {start}) * 2592000 / {results}) AS at FROM numbers({count}))
            """  # own numbers and ids
        )
    event = str(UUID(int=1))
    moment = datetime.now(UTC) - timedelta(minutes=5)
    properties = json.dumps({"$ai_input": [{"role": "user", "content": "How?"}] * 50, "$ai_output": "So."})
    row = {"uuid": event, "event": "$ai_generation", "team_id": TEAM, "distinct_id": "a", "timestamp": moment}
    row |= {"created_at": moment, "record_time": moment, "properties": properties}
    client.insert("ai_events", [list(row.values())], column_names=list(row))
    return event


if __name__ == "__main__":
    main()
