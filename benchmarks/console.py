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
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from uuid import UUID

from clickhouse_connect.driver.client import Client as Archive

from benchmarks.api_load import serve
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
PACE_S = 5.0
"""How long a viewer reads a page before the next one."""
API_REQUESTS, TURNS = 250, 3
IDLE_S = 1.0
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
    parser.add_argument("--fill-only", action="store_true", help="fill the stores of --data, and measure nothing")
    parser.add_argument("--api-only", action="store_true", help="leave out the table of pages")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.data or Path(temporary)
        known = folder / "filled.json"
        if given.fill_only:
            folder.mkdir(parents=True, exist_ok=True)
            known.write_text(json.dumps(fill(folder, given.results)))
            return
        if not known.exists():
            # In a process of its own, because chdb keeps its folder until the process ends.
            words = ["-m", "benchmarks.console", "--fill-only", "--data", folder, "--results", given.results]
            subprocess.run([sys.executable, *map(str, words)], check=True)
        figures, beside = measure(folder, pages_too=not given.api_only, **json.loads(known.read_text()))
    if given.json:
        print(json.dumps({"pages": figures, "api_ms": beside}, indent=2))
        return
    header = ("page", "first ms", "p95 ms", "target ms", "HTML kB gzipped")
    rows = [
        (name, f"{each['cold_ms']:.0f}", f"{each['p95_ms']:.0f}", str(TARGETS_MS[name]), f"{each['html_kb']:.1f}")
        for name, each in figures.items()
    ]
    print(f"{EVALUATIONS:,} evaluations and {given.results:,} results:\n")
    print(markdown(header, rows))
    moved = beside["beside_p95"] / beside["alone_p95"] - 1
    print(
        f"\nThe API's p95 for one evaluation is {beside['alone_p95']:.1f} ms alone and {beside['beside_p95']:.1f} ms "
        f"beside {VIEWERS} viewers who open a page every {PACE_S:g} s ({moved:+.0%}; the target is +10%)."
    )
    weight = sum(len(asset.compressed) for asset in all_assets()) / 1000
    print(f"\nAll {len(all_assets())} assets together weigh {weight:.1f} kB gzipped; the target is {ASSETS_KB} kB.")


def fill(folder: Path, results: int) -> dict[str, str]:
    """Fill the stores of a folder, and return the ids of an evaluation and of a generation."""
    client = connect(f"chdb://{folder}/clickhouse")
    migrate(client)
    database = open_database(f"sqlite:///{folder}/gavel.db")
    upgrade(database)
    ids = fill_store(database)
    event = fill_results(client, ids, results)
    client.close()
    database.close()
    return {"evaluation": ids[0], "event": event}


def measure(
    folder: Path, evaluation: str, event: str, *, pages_too: bool
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Return p95 and weight per page, and p95 of the API alone and beside viewers."""
    dsn = f"sqlite:///{folder}/gavel.db"
    database = open_database(dsn)
    upgrade(database)
    now = datetime.now(UTC)
    key, secret = ApiKeys(database).create(team_id=TEAM, label="bench", scopes=["*"], now=now)
    sessions = [ConsoleSessions(database).open(key, now=now) for _ in range(VIEWERS)]
    database.close()
    pages = pages_of(evaluation, event)
    archive = f"chdb://{folder}/clickhouse"
    with serve(dsn, folder, GAVEL_CLICKHOUSE__DSN=archive) as (port, _):
        viewers = [Client(port, {"Cookie": f"gavel={each}"}) for each in sessions]
        figures = {}
        for name, path in pages.items() if pages_too else ():
            figures[name] = time_page(viewers, path)
            print(f"{name}: p95 {figures[name]['p95_ms']:.0f} ms", file=sys.stderr)
        api = Client(port, {"Authorization": f"Bearer {secret}"})
        return figures, time_beside(api, viewers, list(pages.values()), evaluation)


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


class Client:
    """One client with a connection, which is opened anew after a pause, because the server closes idle ones."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = headers
        self._last = 0.0

    def get(self, path: str) -> tuple[float, bytes]:
        """Return the milliseconds until the whole answer was there, and its body."""
        started = time.perf_counter()
        if started - self._last > IDLE_S:
            self._connection.close()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        self._last = time.perf_counter()
        took = (self._last - started) * 1000
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:300]!r}")
        return took, body


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


def time_beside(api: Client, viewers: list[Client], paths: list[str], evaluation: str) -> dict[str, float]:
    """Return p50 and p95 of the API alone and beside viewers, by turns, so that both see the same machine."""
    path = f"/api/projects/{TEAM}/evaluations/{evaluation}/"
    time_api(api, path)
    found: dict[str, list[float]] = {"alone": [], "beside": []}
    for _ in range(TURNS):
        found["alone"] += time_api(api, path)
        done = threading.Event()
        readers = [
            threading.Thread(target=read_pages, args=(each, paths, done, place)) for place, each in enumerate(viewers)
        ]
        for reader in readers:
            reader.start()
        found["beside"] += time_api(api, path)
        done.set()
        for reader in readers:
            reader.join()
    return {
        f"{name}_p{share * 100:.0f}": at_share(each, share) for name, each in found.items() for share in (0.5, 0.95)
    }


def time_api(api: Client, path: str) -> list[float]:
    """Return the times of requests one after the other, in ms; they are spread over time, as those of clients are."""
    taken = []
    for _ in range(API_REQUESTS):
        taken.append(api.get(path)[0])
        time.sleep(0.02)
    return taken


def at_share(taken: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    return sorted(taken)[int(len(taken) * share)]


def read_pages(viewer: Client, paths: list[str], done: threading.Event, place: int) -> None:
    """Open one page after the other, with a pause for reading, until `done`."""
    done.wait(PACE_S * place / VIEWERS)
    while not done.is_set():
        viewer.get(paths[place % len(paths)])
        place += 1
        done.wait(PACE_S)


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
