"""Pages wait for requests of the API, for a bounded time, and one of them works at a time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from api.http.measures import NoMetrics
from api.http.precedence import PageTurn, Precedence
from api.serve import _Port


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
        with precedence.page() as give_way:
            waits.set()
            give_way()
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


def test_pages_work_one_at_a_time() -> None:
    precedence, order = Precedence(), []

    def work() -> None:
        with precedence.page():
            order.append("second")

    with precedence.page():
        other = threading.Thread(target=work)
        other.start()
        order.append("first")
    other.join()
    assert order == ["first", "second"]


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
