"""The time of a page at the server: `python -m benchmarks.api [--json] [--dsn DSN]`.

10 000 evaluations of one team on SQLite (or another store), over the whole application in this process: middleware,
authentication, the store, and the response as JSON. The network is left out. Best and median of several rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fastapi.testclient import TestClient

from api.app import create_app
from api.services.resources import open_services
from benchmarks.table import markdown
from config.definitions import parse_draft
from config.settings import load_settings
from storage.sql.api_keys import ApiKeys
from storage.sql.engine import Database, open_database
from storage.sql.evaluation_changes import create_evaluation
from storage.sql.migrations import upgrade
from storage.sql.revision import lock_definitions

EVALUATIONS = 10_000
TEAM = 1
ROUNDS = 40
LIMIT_MS = 30.0

REQUESTS = {
    "first page (100)": "evaluations/",
    "last page (100)": f"evaluations/?offset={EVALUATIONS - 100}",
    "by name": "evaluations/?order_by=name",
    "enabled only": "evaluations/?enabled=true",
    "search": "evaluations/?search=evaluation%209999",
    "one": "evaluations/{id}/",
}


def fill(database: Database) -> str:
    """Store the evaluations and return the id of one."""
    now = datetime.now(UTC)
    conditions = [{"id": "a", "rollout_percentage": 10, "properties": [{"key": "$ai_model", "value": ["gpt-5", "o3"]}]}]
    found = ""
    with database.write() as connection:
        lock_definitions(connection)
        for number in range(EVALUATIONS):
            draft = parse_draft(
                {
                    "name": f"evaluation {number}",
                    "description": "Whether the answer is polite and to the point.",
                    "enabled": number % 2 == 0,
                    "evaluation_type": "hog",
                    "evaluation_config": {"source": "return length(output) > 10"},
                    "conditions": conditions,
                }
            )
            moment = now - timedelta(seconds=number)
            found = create_evaluation(connection, TEAM, draft, database.limits, actor="key:1", now=moment).id
    return found


def measure(dsn: str | None) -> dict[str, tuple[float, float]]:
    """Return best and median milliseconds per request."""
    with tempfile.TemporaryDirectory(prefix="gavel-benchmark-") as folder:
        overrides = {"data_dir": folder, "api": {"requests_per_minute": 10_000_000}}
        settings = load_settings(environ={}, overrides=overrides)
        database = open_database(dsn or f"sqlite:///{Path(folder)}/gavel.db")
        upgrade(database)
        evaluation_id = fill(database)
        _, secret = ApiKeys(database).create(team_id=TEAM, label="b", scopes=["*"], now=datetime.now(UTC))
        services = open_services(settings, database)
        with TestClient(create_app(services), headers={"Authorization": f"Bearer {secret}"}) as client:
            times: dict[str, list[float]] = {name: [] for name in REQUESTS}
            for _ in range(ROUNDS):
                for name, path in REQUESTS.items():
                    address = f"/api/projects/{TEAM}/{path.replace('{id}', evaluation_id)}"
                    began = time.perf_counter()
                    answer = client.get(address)
                    times[name].append((time.perf_counter() - began) * 1000)
                    if answer.status_code != 200:
                        raise RuntimeError(f"{address}: {answer.status_code} {answer.text}")
        database.close()
    return {name: (min(found), statistics.median(found)) for name, found in times.items()}


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--dsn", help="an empty store other than SQLite")
    given = arguments.parse_args()
    found = measure(given.dsn)
    if given.json:
        print(json.dumps({name: {"best_ms": best, "median_ms": median} for name, (best, median) in found.items()}))
        return
    rows = [[name, f"{best:.1f}", f"{median:.1f}"] for name, (best, median) in found.items()]
    print(markdown(["request", "best (ms)", "median (ms)"], rows))
    print(f"\nGoal for a page of {EVALUATIONS} evaluations on SQLite: below {LIMIT_MS:.0f} ms.")


if __name__ == "__main__":
    main()
