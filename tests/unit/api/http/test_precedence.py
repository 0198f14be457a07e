"""Pages wait for requests of the API, for a bounded time, and one of them works at a time."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from api.http.measures import NoMetrics
from api.http.precedence import PageTurn, Precedence, standing_back
from api.serve import _Port
from api.services.bounded_archive import LimitedClient
from api.services.resources import open_services
from config.settings import load_settings
from storage.sql.engine import open_database


class Waited(threading.Event):
    """An event that notes for how long it was waited for, and that nobody sets meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        return super().wait(timeout)


def test_a_page_does_not_wait_while_no_request_is_in_progress() -> None:
    quiet = Waited()
    quiet.set()
    PageTurn(quiet, 1.0)()
    assert quiet.waits == []


def test_a_page_waits_for_requests_only_as_long_as_it_may_over_all_of_its_calls() -> None:
    quiet = Waited()
    turn = PageTurn(quiet, 0.02)
    for _ in range(5):
        turn()
    assert quiet.waits == [0.02], "the first wait used everything up"


def test_a_page_goes_on_when_the_last_request_has_ended() -> None:
    precedence, waits, order = Precedence(most_s=600), threading.Event(), []

    def work() -> None:
        with precedence.page():
            waits.set()
            precedence.give_way()
            order.append("page")

    page = threading.Thread(target=work)
    with precedence.request():
        with precedence.request():
            page.start()
            waits.wait()
        order.append("first request")
        assert page.is_alive()
    page.join()
    assert order == ["first request", "page"]


def test_only_threads_that_make_a_page_wait() -> None:
    precedence = Precedence(most_s=600)
    with precedence.request():
        precedence.give_way()
        with precedence.page():
            pass
        precedence.give_way()


def test_pages_are_written_one_at_a_time() -> None:
    precedence, order = Precedence(), []

    def work() -> None:
        with precedence.writing():
            order.append("second")

    with precedence.writing():
        other = threading.Thread(target=work)
        other.start()
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_page_gives_way_before_each_transaction_and_each_query(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/gavel.db")
    services = open_services(load_settings(environ={}, overrides={"data_dir": str(tmp_path)}), database)
    asked: list[str] = []
    services.precedence._of_thread.turn = lambda: asked.append("turn")
    for opened in (database.read, database.read_one, database.write):
        with opened():
            assert asked.pop() == "turn"
    client = LimitedClient(cast("Any", Archive()), services.precedence.give_way)
    client.query("SELECT 1", parameters={}, settings={})
    assert asked == ["turn"]
    services.close()
    database.close()


class Archive:
    def query(self, query: str, **_given: Any) -> None:
        pass


def test_a_page_that_writes_is_of_the_batch_class_and_not_afterwards() -> None:
    precedence, seen = Precedence(), []
    with precedence.writing():
        seen.append(os.sched_getscheduler(0))
    seen.append(os.sched_getscheduler(0))
    assert seen == [os.SCHED_BATCH, os.SCHED_OTHER]


def test_a_page_that_waits_is_of_the_batch_class() -> None:
    class Asked(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            self.policy = os.sched_getscheduler(0)
            return True

    quiet = Asked()
    PageTurn(quiet, 1.0)()
    assert (quiet.policy, os.sched_getscheduler(0)) == (os.SCHED_BATCH, os.SCHED_OTHER)


def test_a_class_that_somebody_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda _pid: os.SCHED_IDLE)
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: pytest.fail("changed"))
    with standing_back():
        pass


def test_a_system_without_classes_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getscheduler")
    with standing_back():
        pass


class Door:
    """Serves the console's paths, and notes whether a page would wait meanwhile."""

    def __init__(self, precedence: Precedence) -> None:
        self._precedence = precedence
        self.quiet: dict[str, bool] = {}

    def serves(self, path: str) -> bool:
        return path.startswith("/console/")

    async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
        self.quiet[scope["path"]] = self._precedence._quiet.is_set()


def test_only_requests_of_the_api_make_pages_wait() -> None:
    precedence = Precedence()
    door = Door(precedence)
    port = _Port(door, [door], NoMetrics(), precedence)
    for path in ("/console/1/", "/api/projects/1/evaluations/"):
        asyncio.run(port({"type": "http", "path": path}, None, None))
    assert door.quiet == {"/console/1/": True, "/api/projects/1/evaluations/": False}
    assert precedence._quiet.is_set()
