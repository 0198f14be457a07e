"""Requests that only read cross one thread, ask the store little, and never show what is no longer so."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

import api.routes
from api.app import create_app
from api.http.known_keys import KEPT_S, KnownKeys
from api.http.one_hop import OneHopRoute
from config.definitions import patch_draft
from storage.sql.api_keys import ApiKeys
from storage.sql.evaluations import Evaluations
from tests.api.conftest import Api
from tests.api.test_queries import counted


def _routes() -> list[APIRoute]:
    modules = [importlib.import_module(f"api.routes.{each.name}") for each in pkgutil.iter_modules(api.routes.__path__)]
    routers = [value for module in modules for value in vars(module).values() if isinstance(value, APIRouter)]
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def test_every_route_and_every_dependency_runs_on_the_loop() -> None:
    routes = _routes()
    assert len(routes) > 40
    for route in routes:
        assert isinstance(route, OneHopRoute), f"{route.path}: give its router route_class=OneHopRoute"
        waiting = list(route.dependant.dependencies)
        while waiting:
            dependant = waiting.pop()
            waiting += dependant.dependencies
            assert inspect.iscoroutinefunction(dependant.call) or _is_object(dependant.call), (
                f"{route.path}: {dependant.call} would take a thread of its own; write it as a coroutine"
            )


def _is_object(call: object) -> bool:
    """FastAPI's security schemes are objects whose `__call__` is a coroutine."""
    return type(call).__module__.startswith("fastapi.security")


def test_reading_an_evaluation_again_asks_the_store_once(api: Api) -> None:
    evaluation = api.hog()
    api.ok("GET", f"evaluations/{evaluation['id']}/")
    api.ok("GET", "evaluations/")
    with counted(api) as statements:
        api.ok("GET", f"evaluations/{evaluation['id']}/")
    assert len([each for each in statements if each.startswith("SELECT")]) == 1, statements
    with counted(api) as statements:
        api.ok("GET", "evaluations/")
    assert len([each for each in statements if each.startswith("SELECT")]) == 1, statements


def test_a_change_that_another_process_made_is_seen_at_once(api: Api) -> None:
    evaluation = api.hog()
    path = f"evaluations/{evaluation['id']}/"
    api.ok("GET", path)
    elsewhere = Evaluations(api.services.database)
    elsewhere.update(
        api.team,
        evaluation["id"],
        lambda current: patch_draft(current, {"name": "renamed"}),
        actor=None,
        now=datetime.now(UTC),
    )
    assert api.ok("GET", path)["name"] == "renamed"
    assert [each["name"] for each in api.ok("GET", "evaluations/")["results"]] == ["renamed"]


def test_a_revoked_key_works_for_less_than_two_seconds_more(api: Api) -> None:
    moment = [100.0]
    client = TestClient(create_app(api.services, monotonic_s=lambda: moment[0]))
    keys = ApiKeys(api.services.database)
    key, secret = keys.create(team_id=api.team, label="x", scopes=["*"], now=datetime.now(UTC))

    def status() -> int:
        headers = {"Authorization": f"Bearer {secret}"}
        return client.get(f"/api/projects/{api.team}/evaluations/", headers=headers).status_code

    assert status() == 200
    keys.revoke(key.id, now=datetime.now(UTC))
    moment[0] += 1.9
    assert status() == 401


def test_a_known_key_is_not_asked_for_and_expires_in_time(api: Api) -> None:
    now = datetime.now(UTC)
    key, secret = ApiKeys(api.services.database).create(
        team_id=api.team, label="x", scopes=["*"], now=now, expires_at=now + timedelta(seconds=1)
    )
    moment = [0.0]
    known = KnownKeys(lambda: moment[0])
    assert known.get(secret, now=now) is None
    known.keep(secret, key)
    assert known.get(secret, now=now) is key
    assert known.get(secret + "x", now=now) is None
    assert known.get(secret, now=now + timedelta(seconds=1)) is None
    moment[0] = KEPT_S
    assert known.get(secret, now=now) is None


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_connection_that_was_cut_while_it_rested_is_replaced(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.sql.engine._PING_AFTER_S", 0.0)
    database = api.services.database
    with database.read() as connection:
        victim = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    elsewhere = sa.create_engine(database.engine.url)
    with elsewhere.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": victim})
    elsewhere.dispose()
    api.ok("GET", "evaluations/")
