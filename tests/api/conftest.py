"""The whole application over real stores: SQLite and PostgreSQL alike, ClickHouse's engine behind HTTP."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from clickhouse_connect.driver.client import Client as ClickHouseClient
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.services.resources import Services, open_services
from config.settings import load_settings
from processor.events.task import Task
from storage.clickhouse import connect
from storage.sql.api_keys import ApiKeys
from storage.sql.engine import Database, open_database
from storage.sql.migrations import upgrade
from tests.services.clickhouse import clickhouse_server
from tests.services.postgres import fresh_database

_teams = itertools.count(1000)


@dataclass
class SentTasks:
    """Stands in the place of the task topic: keeps tasks instead of sending them, or refuses them."""

    sent: list[tuple[Task, bytes]] = field(default_factory=list)
    failure: Exception | None = None

    def send(self, task: Task, event: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append((task, event))

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def clickhouse_dsn() -> Iterator[str]:
    """DSN of a ClickHouse with Gavel's tables, in a process of its own, for the tests of this folder."""
    with clickhouse_server() as dsn:
        yield dsn


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An up-to-date store of each kind, shared by the tests of this folder: each has a team of its own."""
    if request.param == "sqlite":
        found = open_database(f"sqlite:///{tmp_path_factory.mktemp('api')}/gavel.db")
        upgrade(found)
        yield found
        found.close()
        return
    with fresh_database(request.getfixturevalue("postgres_server")) as dsn:
        found = open_database(dsn)
        upgrade(found)
        yield found
        found.close()


@dataclass
class Api:
    """The application, a team, and a client with a key of that team that has every scope."""

    app: FastAPI
    services: Services
    team: int
    http: TestClient
    tasks: SentTasks
    clickhouse_dsn: str

    def call(self, method: str, path: str, *, base: str = "projects", **options: Any) -> Any:
        """Call a path of the team."""
        return self.http.request(method, f"/api/{base}/{self.team}/{path}", **options)

    def ok(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """Call a path of the team that must succeed, and return the JSON."""
        response = self.call(method, path, **options)
        assert response.status_code == status, response.text
        return response.json() if response.content else None

    def error(self, method: str, path: str, status: int = 400, **options: Any) -> dict[str, Any]:
        """Call a path of the team that must fail, and return the error, whose shape is checked."""
        response = self.call(method, path, **options)
        assert response.status_code == status, response.text
        found: dict[str, Any] = response.json()
        assert set(found) == {"type", "code", "detail", "attr"}, found
        return found

    def key(self, *scopes: str, team: int | None = None) -> str:
        """Make another key and return it."""
        _, secret = ApiKeys(self.services.database).create(
            team_id=team or self.team, label="Bob", scopes=scopes, now=datetime.now(UTC)
        )
        return secret

    def as_key(self, secret: str) -> TestClient:
        """Return a client with that key."""
        return _client(self.app, secret)

    def hog(self, source: str = "return true", **fields: Any) -> dict[str, Any]:
        """Make a Hog evaluation over the API."""
        body = {
            "name": "hog",
            "evaluation_type": "hog",
            "evaluation_config": {"source": source},
            "output_type": "boolean",
        }
        made: dict[str, Any] = self.ok("POST", "evaluations/", 201, json=body | fields)
        return made

    def events(self, *properties: dict[str, Any], **columns: Any) -> list[str]:
        """Put generations into the archive, the last one newest, and return their ids."""
        now = datetime.now(UTC) - timedelta(minutes=5)
        rows = []
        for place, each in enumerate(properties):
            moment = columns.get("timestamp") or now + timedelta(seconds=place)
            row = {
                "uuid": str(uuid4()), "event": "$ai_generation", "team_id": self.team, "distinct_id": "ann",
                "timestamp": moment, "created_at": moment, "record_time": moment, "properties": json.dumps(each),
                "trace_id": each.get("$ai_trace_id", ""),
            }  # fmt: skip
            rows.append(row | {name: value for name, value in columns.items() if name != "timestamp"})
        self.insert("ai_events", *rows)
        return [row["uuid"] for row in rows]

    def result(self, evaluation: dict[str, Any], event: str, **columns: Any) -> str:
        """Put a result into ClickHouse and return its id."""
        now = datetime.now(UTC)
        row = {
            "uuid": str(uuid4()), "team_id": self.team, "distinct_id": "ann", "timestamp": now, "created_at": now,
            "record_time": now, "start_time": now, "evaluation_id": evaluation["id"],
            "evaluation_name": evaluation["name"], "evaluation_type": "online", "runtime": "hog",
            "result_type": "boolean", "result": True, "target_event_id": event, "target_id": event, "trigger": "live",
            "properties": "{}", "evaluation_version": 1,
        } | columns  # fmt: skip
        self.insert("evaluation_results", row)
        return str(row["uuid"])

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        """Put rows, all with the same columns, into a table of ClickHouse."""
        client = _kept_client(self.clickhouse_dsn)
        client.insert(table, [list(row.values()) for row in rows], column_names=list(rows[0]))


@cache
def _kept_client(dsn: str) -> ClickHouseClient:
    """Return a client that is never closed: opening one takes as long as an insert."""
    return connect(dsn)


def _client(app: FastAPI, secret: str) -> TestClient:
    return TestClient(app, headers={"Authorization": f"Bearer {secret}"}, raise_server_exceptions=False)


def _overrides(clickhouse_dsn: str, folder: Path) -> dict[str, Any]:
    return {
        "data_dir": str(folder),
        "clickhouse": {"dsn": clickhouse_dsn},
        "secret_keys": [Fernet.generate_key().decode()],
        "api": {"requests_per_minute": 1_000_000, "unauthorized_per_minute": 1_000_000},
        "judge": {"allowed_hosts": ["127.0.0.1"]},
    }


def _open(database: Database, overrides: dict[str, Any]) -> Services:
    settings = load_settings(environ={}, overrides=overrides)
    return replace(
        open_services(settings, database),
        tasks=SentTasks(),  # does what a TaskSender does, in memory
    )


def enter(app: FastAPI, services: Services, clickhouse_dsn: str) -> Api:
    """Return an application with a new team."""
    team = next(_teams)
    _, secret = ApiKeys(services.database).create(
        team_id=team, label="Ann Lee", email="ann@example.com", scopes=["*"], now=datetime.now(UTC)
    )
    http = _client(app, secret)
    tasks: Any = services.tasks
    tasks.sent.clear()
    tasks.failure = None
    return Api(app, services, team, http, tasks, clickhouse_dsn)


@pytest.fixture
def make_api(database: Database, clickhouse_dsn: str, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """A function that makes an application with other settings, by section."""
    opened: list[Services] = []

    def make(**sections: dict[str, Any]) -> Api:
        overrides = _overrides(clickhouse_dsn, tmp_path)
        for name, section in sections.items():
            overrides[name] = overrides.get(name, {}) | section if isinstance(section, dict) else section
        opened.append(_open(database, overrides))
        return enter(create_app(opened[-1]), opened[-1], clickhouse_dsn)

    yield make
    for services in opened:
        services.close()


@pytest.fixture(scope="session")
def shared_app(
    database: Database, clickhouse_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FastAPI, Services]]:
    """One application per store for all tests that need no settings of their own: making one takes a while."""
    services = _open(database, _overrides(clickhouse_dsn, tmp_path_factory.mktemp("data")))
    yield create_app(services), services
    services.close()


@pytest.fixture
def api(shared_app: tuple[FastAPI, Services], clickhouse_dsn: str) -> Api:
    """The application with a team of its own."""
    return enter(*shared_app, clickhouse_dsn)


@pytest.fixture(scope="session")
def session_api(shared_app: tuple[FastAPI, Services], clickhouse_dsn: str) -> Api:
    """The application with a team for tests that only read, or that a few objects more do not disturb."""
    return enter(*shared_app, clickhouse_dsn)
